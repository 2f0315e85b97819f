//! [`Redis`]: the handle, its settings, and calls that end when their caller's time is over.

use super::{
    error::RedisError,
    link::{Link, Live},
    names::Names,
    race::{before, sleep},
    subscription::Feed,
};
use crate::{
    clock::{Clock, timer::Sleep},
    error::ConfigError,
};
use ::redis::{Client, Cmd, IntoConnectionInfo, ProtocolVersion, Value};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// A connection to one Redis or Valkey server, shared by everything that keeps state there.
///
/// It connects when it is first used, and again in the background (with growing, jittered pauses of at most a second)
/// whenever the connection is lost; clones share the one connection. No call waits longer than its own deadline.
///
/// ```
/// use std::time::Duration;
/// use tower_gateway::redis::Redis;
///
/// let redis = Redis::new("redis://127.0.0.1:6379")?.prefix("shop")?.connect_timeout(Duration::from_millis(500));
/// assert_eq!(redis.key_prefix(), "{shop}:");
/// assert!(Redis::new("http://127.0.0.1").is_err());
/// # Ok::<(), tower_gateway::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Redis {
    inner: Arc<Inner>,
}

#[derive(Clone)]
struct Settings {
    client: Client,
    names: Names,
    connect_timeout: Duration,
}

struct Inner {
    settings: Settings,
    link: Link,
    feed: Feed,
    /// Microseconds from our monotonic clock to the server's, never too many; `UNKNOWN` before the first answer.
    offset: AtomicI64,
    /// Calls that have had no answer since the last one that had.
    unanswered: AtomicU64,
}

const UNKNOWN: i64 = i64::MIN;
const DEFAULT_PREFIX: &str = "tower-gateway";
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// So many calls without an answer in a row, and the connection is given up: the network may have lost it silently.
const SILENT_CALLS: u64 = 8;

impl Redis {
    /// A server by its URL: `redis://[user:password@]host[:port][/database]`, `rediss://` for TLS (feature
    /// `redis-tls`), `redis+unix:///path`. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// Not such a URL. The error does not repeat it, for it may hold a password.
    pub fn new(url: &str) -> Result<Self, ConfigError> {
        let names = Names::new(DEFAULT_PREFIX)?;
        let client = open(url)?;
        Ok(Self::build(Settings { client, names, connect_timeout: DEFAULT_CONNECT_TIMEOUT }))
    }

    /// What all keys and channels start with, in braces. Gateways with the same prefix on the same server share their
    /// state; all keys of one prefix lie on one slot of a cluster. Default: `tower-gateway`.
    ///
    /// # Errors
    ///
    /// An empty prefix, or one with a brace or a space.
    pub fn prefix(self, prefix: &str) -> Result<Self, ConfigError> {
        let names = Names::new(prefix)?;
        Ok(Self::build(Settings { names, ..self.inner.settings.clone() }))
    }

    /// How long one attempt to connect may take. Calls do not wait for it longer than their own deadlines. Default: one
    /// second.
    #[must_use]
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        Self::build(Settings { connect_timeout: timeout, ..self.inner.settings.clone() })
    }

    /// What all keys and channels start with.
    pub fn key_prefix(&self) -> String {
        self.names().name("", &[])
    }

    fn build(settings: Settings) -> Self {
        let link = Link::new(settings.client.clone(), settings.connect_timeout);
        let feed = Feed::new(settings.client.clone(), settings.connect_timeout);
        let (offset, unanswered) = (AtomicI64::new(UNKNOWN), AtomicU64::new(0));
        Self { inner: Arc::new(Inner { settings, link, feed, offset, unanswered }) }
    }

    pub(crate) fn names(&self) -> &Names {
        &self.inner.settings.names
    }

    pub(super) fn feed(&self) -> &Feed {
        &self.inner.feed
    }

    /// Sends one command and waits for its answer, connecting first where that is needed.
    ///
    /// # Errors
    ///
    /// See [`RedisError`]. After [`RedisError::Deadline`] and [`RedisError::Away`] the server may have acted or may
    /// still act: what must not happen late belongs into a script ([`Redis::run`]).
    pub(crate) async fn call(&self, command: &Cmd, within: Duration) -> Result<Value, RedisError> {
        let mut call = self.begin(within);
        let connection = call.connection().await?;
        match call.send(connection, command).await {
            // Another node of a cluster has what it asks for: from now on that one is asked.
            Err(error) if error.is_server("MOVED") => {
                let connection = call.connection().await?;
                call.send(connection, command).await
            }
            outcome => outcome,
        }
    }

    /// Whether the server answers.
    ///
    /// # Errors
    ///
    /// It does not, or not in time.
    pub async fn ping(&self, within: Duration) -> Result<(), RedisError> {
        self.call(&::redis::cmd("PING"), within).await.map(drop)
    }

    /// Whether there is a connection at this moment.
    pub fn is_connected(&self) -> bool {
        self.inner.link.is_live()
    }

    pub(super) fn begin(&self, within: Duration) -> Call<'_> {
        Call {
            inner: &self.inner,
            sleep: sleep(within),
            ends: monotonic_micros().saturating_add(micros(within)),
        }
    }

    /// Notes what the server's clock shows, in microseconds since 1970: scripts say it with their answers.
    pub(crate) fn saw_server_time(&self, micros: i64) {
        self.inner.saw_server_time(micros);
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("prefix", &self.key_prefix()).finish_non_exhaustive()
    }
}

fn open(url: &str) -> Result<Client, ConfigError> {
    let problem = "is no redis://, rediss:// (feature `redis-tls`) or redis+unix:// address";
    let refuse = |_| ConfigError::new("Redis URL", "(not shown)", problem);
    let info = url.into_connection_info().map_err(refuse)?;
    // The third protocol tells of published messages, and of a connection that has ended.
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Client::open(info.set_redis_settings(settings)).map_err(refuse)
}

impl Inner {
    fn saw_server_time(&self, server: i64) {
        self.offset.store(server - monotonic_micros(), Relaxed);
    }

    fn saw_answer(&self) {
        if self.unanswered.load(Relaxed) > 0 {
            self.unanswered.store(0, Relaxed);
        }
    }

    fn saw_silence(&self, generation: u64) {
        if self.unanswered.fetch_add(1, Relaxed) + 1 >= SILENT_CALLS {
            self.unanswered.store(0, Relaxed);
            self.link.lost(generation);
        }
    }

    fn judge(&self, generation: u64, error: &::redis::RedisError) -> RedisError {
        let judged = RedisError::of(error);
        match &judged {
            // A replica that was the master: the address may lead to the new one by now.
            RedisError::Away => self.link.lost(generation),
            RedisError::Server(code) if code == "READONLY" => self.link.lost(generation),
            RedisError::Server(code) if code == "MOVED" => {
                self.link.moved(generation, error.detail().unwrap_or_default());
            }
            RedisError::Server(code) if code == "LATE" => {
                error.detail().and_then(parse_time).into_iter().for_each(|time| self.saw_server_time(time));
            }
            _ => {}
        }
        judged
    }
}

/// One call's time.
pub(super) struct Call<'a> {
    inner: &'a Arc<Inner>,
    sleep: Sleep,
    /// On our monotonic clock, in microseconds.
    ends: i64,
}

impl Call<'_> {
    /// The connection, when there is one.
    pub(super) async fn connection(&mut self) -> Result<Live, RedisError> {
        let live =
            before(&mut self.sleep, self.inner.link.live()).await.unwrap_or(Err(RedisError::Deadline))?;
        if let Some(time) = live.fresh_time() {
            self.inner.saw_server_time(time);
        }
        Ok(live)
    }

    /// The end of this call on the server's clock, for a script, if that clock is known.
    pub(super) fn not_after(&self) -> Option<i64> {
        match self.inner.offset.load(Relaxed) {
            UNKNOWN => None,
            offset => Some(self.ends.saturating_add(offset)),
        }
    }

    pub(super) async fn send(&mut self, mut live: Live, command: &Cmd) -> Result<Value, RedisError> {
        let answer = before(&mut self.sleep, live.connection.send_packed_command(command)).await;
        match answer {
            Some(Ok(Value::ServerError(error))) => {
                self.inner.saw_answer();
                Err(self.inner.judge(live.generation, &error.into()))
            }
            Some(Ok(value)) => {
                self.inner.saw_answer();
                Ok(value)
            }
            Some(Err(error)) => Err(self.inner.judge(live.generation, &error)),
            None => {
                self.inner.saw_silence(live.generation);
                Err(RedisError::Deadline)
            }
        }
    }
}

/// `seconds microseconds`, as `TIME` says it.
fn parse_time(text: &str) -> Option<i64> {
    let (seconds, micros) = text.trim().split_once(' ')?;
    seconds.parse::<i64>().ok()?.checked_mul(1_000_000)?.checked_add(micros.parse().ok()?)
}

fn monotonic_micros() -> i64 {
    (Clock::system().now().monotonic_nanos() / 1_000) as i64
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_and_never_repeated() {
        for url in ["", "http://user:secret@host", "redis://host:port"] {
            let error = Redis::new(url).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("host"), "{error}");
        }
        let redis = Redis::new("redis://:secret@127.0.0.1").unwrap();
        assert_eq!(format!("{redis:?}"), "Redis { prefix: \"{tower-gateway}:\", .. }");
        assert!(redis.prefix("a}").is_err());
    }

    #[test]
    fn the_servers_time_is_read() {
        assert_eq!(parse_time("1795331880 000123"), Some(1_795_331_880_000_123));
        assert_eq!(parse_time("1795331880"), None);
    }
}
