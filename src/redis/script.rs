//! Lua scripts: sent by their digest, and whole where the server does not know them (any more).

use super::{connection::Redis, error::RedisError};
use ::redis::{Cmd, Value};
use std::time::Duration;

/// A script of this crate.
///
/// Its first argument is the instant, in microseconds of the server's clock, from which on it must do nothing but
/// answer with the error `LATE` and the server's time: what a frozen server or a slow network delivers late has no
/// effect that nobody waits for any more.
#[derive(Debug)]
pub(crate) struct Script {
    source: &'static str,
    digest: String,
}

/// Arguments beside the keys, and bytes for each key and all else: a command that stays below need not grow.
const ROOM: (usize, usize) = (6, 128);

impl Script {
    pub(crate) fn new(source: &'static str) -> Self {
        Self { source, digest: ::redis::Script::new(source).get_hash().to_owned() }
    }

    /// Without its arguments.
    fn command(&self, whole: bool, keys: &[impl AsRef<str>]) -> Cmd {
        let mut command = Cmd::with_capacity(ROOM.0 + keys.len(), ROOM.1 * (keys.len() + 1));
        match whole {
            true => command.arg("EVAL").arg(self.source),
            false => command.arg("EVALSHA").arg(&self.digest),
        };
        command.arg(keys.len());
        for key in keys {
            command.arg(key.as_ref());
        }
        command
    }
}

impl Redis {
    /// Runs a script, within a time that includes connecting and a second try with the whole script.
    ///
    /// # Errors
    ///
    /// See [`RedisError`].
    pub(crate) async fn run(
        &self,
        script: &Script,
        keys: &[&str],
        arguments: &[&[u8]],
        within: Duration,
    ) -> Result<Value, RedisError> {
        let write = |command: &mut Cmd, not_after: Option<i64>| {
            command.arg(not_after.map_or_else(String::new, |instant| instant.to_string()));
            for argument in arguments {
                command.arg(*argument);
            }
        };
        self.run_with(script, keys, within, write).await
    }

    /// The same with arguments that are written when the instant is known from which on the script must do nothing:
    /// for a script that is told so in a way of its own.
    pub(super) async fn run_with(
        &self,
        script: &Script,
        keys: &[impl AsRef<str>],
        within: Duration,
        mut write: impl FnMut(&mut Cmd, Option<i64>),
    ) -> Result<Value, RedisError> {
        let mut call = self.begin(within);
        let (mut whole, mut late, mut moved) = (false, false, false);
        loop {
            let connection = call.connection().await?;
            // After connecting, which is when the server's clock is first known.
            let mut command = script.command(whole, keys);
            write(&mut command, call.not_after());
            match call.send(connection, &command).await {
                Err(error) if error.is_server("NOSCRIPT") && !whole => whole = true,
                Err(error) if error.is_server("MOVED") && !moved => moved = true,
                // Our idea of the server's clock was old; this answer has brought a new one.
                Err(error) if error.is_server("LATE") && !late => late = true,
                Err(error) if error.is_server("LATE") => return Err(RedisError::Deadline),
                outcome => return outcome,
            }
        }
    }
}
