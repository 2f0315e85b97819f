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

impl Script {
    pub(crate) fn new(source: &'static str) -> Self {
        Self { source, digest: ::redis::Script::new(source).get_hash().to_owned() }
    }

    fn command(&self, whole: bool, keys: &[&str], not_after: &str, arguments: &[&[u8]]) -> Cmd {
        let mut command = Cmd::new();
        match whole {
            true => command.arg("EVAL").arg(self.source),
            false => command.arg("EVALSHA").arg(&self.digest),
        };
        command.arg(keys.len()).arg(keys).arg(not_after);
        for argument in arguments {
            command.arg(*argument);
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
        let mut call = self.begin(within);
        let (mut whole, mut late) = (false, false);
        loop {
            let connection = call.connection().await?;
            // After connecting, which is when the server's clock is first known.
            let not_after = call.not_after();
            match call.send(connection, &script.command(whole, keys, &not_after, arguments)).await {
                Err(error) if error.is_server("NOSCRIPT") && !whole => whole = true,
                // Our idea of the server's clock was old; this answer has brought a new one.
                Err(error) if error.is_server("LATE") && !late => late = true,
                Err(error) if error.is_server("LATE") => return Err(RedisError::Deadline),
                outcome => return outcome,
            }
        }
    }
}
