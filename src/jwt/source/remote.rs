//! Keys that an issuer publishes: fetched once for all who wait, renewed in the background, kept while it is away.

use super::{Inner, client::JwksClient};
use crate::{
    ConfigError,
    clock::{Clock, Timestamp},
    jwt::{error::JwtError, jwk::Kind, jwk_set::JwkSet},
};
use http::Uri;
use serde::Deserialize;
use std::{
    collections::hash_map::RandomState,
    fmt,
    future::Future,
    hash::BuildHasher,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{runtime::Handle, sync::watch};

/// Largest discovery document or key set in bytes (API Gateway quotas).
const MAX_DOCUMENT_BYTES: usize = 150_000;
/// Unknown key names that are remembered; which one is forgotten first is chance.
const ABSENT_PLACES: usize = 256;

/// Settings of keys that are fetched over HTTP.
///
/// 1. The first token that needs a key has them fetched; everybody who needs one meanwhile waits for the same
///    answer. The fetch is a task of its own on the tokio runtime: it goes on when the request that began it is
///    cancelled.
/// 2. After [`refresh_after`](Self::refresh_after) they are fetched again in the background. Nobody waits.
/// 3. While the issuer does not answer, the keys that are known stay in force until they are
///    [`usable_for`](Self::usable_for) old.
/// 4. A token with an unknown `kid` has the keys fetched again and waits for them; a name that was still unknown then
///    is refused without asking for [`unknown_kid_for`](Self::unknown_kid_for).
/// 5. Whatever the reason, between the beginnings of two fetches lies [`min_interval`](Self::min_interval): no
///    client can make the gateway ask more often.
#[derive(Clone, Debug)]
#[must_use]
pub struct RemoteJwks {
    location: Location,
    client: JwksClient,
    clock: Clock,
    timeout: Duration,
    min_interval: Duration,
    refresh_after: Duration,
    usable_for: Duration,
    unknown_kid_for: Duration,
}

/// Where the keys are.
#[derive(Clone, Debug)]
pub(super) enum Location {
    KeySet(Uri),
    /// The issuer as configured, and the address of its discovery document.
    Issuer(Box<str>, Uri),
}

impl RemoteJwks {
    /// The key set at this address.
    ///
    /// # Errors
    ///
    /// Not an absolute `http` or `https` address.
    pub fn url(url: &str, client: JwksClient) -> Result<Self, ConfigError> {
        Ok(Self::new(Location::KeySet(address("JWKS address", url)?), client))
    }

    /// The key set that the issuer's `/.well-known/openid-configuration` points to (OpenID Connect Discovery 1.0
    /// section 4). The document must name exactly this issuer.
    ///
    /// # Errors
    ///
    /// The issuer is not an absolute `http` or `https` address.
    pub fn issuer(issuer: &str, client: JwksClient) -> Result<Self, ConfigError> {
        let document = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let document = address("JWT issuer", &document)?;
        Ok(Self::new(Location::Issuer(issuer.into(), document), client))
    }

    fn new(location: Location, client: JwksClient) -> Self {
        Self {
            location,
            client,
            clock: Clock::system(),
            timeout: Duration::from_millis(1500),
            min_interval: Duration::from_secs(30),
            refresh_after: Duration::from_secs(600),
            usable_for: Duration::from_secs(7200),
            unknown_kid_for: Duration::from_secs(60),
        }
    }

    /// The clock of timeouts; ages and intervals go by that of the authorizer. Default: the machine's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// How long each of the two documents may take. Default: 1,500 ms, as on AWS.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Least time between the beginnings of two fetches, successful or not. Default: 30 seconds.
    pub fn min_interval(mut self, interval: Duration) -> Self {
        self.min_interval = interval;
        self
    }

    /// Age at which keys are fetched again in the background. Default: 10 minutes. A key that the issuer withdraws
    /// is good for so long.
    pub fn refresh_after(mut self, age: Duration) -> Self {
        self.refresh_after = age;
        self
    }

    /// Age at which keys that could not be fetched again are given up. Default: two hours, AWS's limit.
    pub fn usable_for(mut self, age: Duration) -> Self {
        self.usable_for = age;
        self
    }

    /// How long a `kid` that was unknown right after a fetch is refused without another. Default: 60 seconds.
    pub fn unknown_kid_for(mut self, time: Duration) -> Self {
        self.unknown_kid_for = time;
        self
    }

    pub(super) fn into_remote(self) -> Remote {
        Remote {
            location: self.location,
            client: self.client,
            clock: self.clock,
            timeout: self.timeout,
            min_interval: self.min_interval,
            refresh_after: self.refresh_after,
            usable_for: self.usable_for,
            unknown_kid_for: self.unknown_kid_for,
            next_attempt: AtomicU64::new(0),
            hasher: RandomState::new(),
            state: Mutex::default(),
        }
    }
}

fn address(location: &'static str, text: &str) -> Result<Uri, ConfigError> {
    let uri: Option<Uri> = text.parse().ok();
    let is_web = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
    uri.filter(is_web)
        .ok_or_else(|| ConfigError::new(location, text, "not an absolute http or https address"))
}

/// A remote source at work.
pub(super) struct Remote {
    location: Location,
    client: JwksClient,
    clock: Clock,
    timeout: Duration,
    min_interval: Duration,
    pub(super) refresh_after: Duration,
    pub(super) usable_for: Duration,
    unknown_kid_for: Duration,
    /// Before this monotonic time nobody asks: read without the lock, since stale keys are met by every request.
    next_attempt: AtomicU64,
    hasher: RandomState,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    flight: Option<watch::Receiver<()>>,
    /// Why the last fetch failed; `None` after one that did not.
    problem: Option<JwtError>,
    /// Names that were not there, by hash, and until when that is believed.
    absent: Vec<(u64, u64)>,
}

impl Remote {
    pub(super) fn location(&self) -> &Location {
        &self.location
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the keys fetched if nobody does and the interval has passed. The end of the fetch, if there is one.
    pub(super) fn refresh(&self, source: &Arc<Inner>, now: Timestamp) -> Option<watch::Receiver<()>> {
        if now.monotonic_nanos() < self.next_attempt.load(Relaxed) {
            return None;
        }
        let mut state = self.state();
        self.begin(&mut state, source, now)
    }

    fn begin(&self, state: &mut State, source: &Arc<Inner>, now: Timestamp) -> Option<watch::Receiver<()>> {
        // The sender is gone once the fetch has ended, however it ended.
        if let Some(flight) = state.flight.as_ref().filter(|flight| flight.has_changed().is_ok()) {
            return Some(flight.clone());
        }
        if now.monotonic_nanos() < self.next_attempt.load(Relaxed) {
            return None;
        }
        let runtime = Handle::try_current().ok()?;
        let interval = u64::try_from(self.min_interval.as_nanos()).unwrap_or(u64::MAX);
        self.next_attempt.store(now.monotonic_nanos().saturating_add(interval), Relaxed);
        let (end, flight) = watch::channel(());
        state.flight = Some(flight.clone());
        let source = Arc::clone(source);
        drop(runtime.spawn(async move {
            source.fetch_remote(now).await;
            drop(end);
        }));
        Some(flight)
    }

    /// See [`JwkSource::await_key`](super::JwkSource::await_key).
    pub(super) fn await_key(
        &self,
        source: &Arc<Inner>,
        kid: Option<&str>,
        now: Timestamp,
    ) -> Result<KeyWait, JwtError> {
        let mut state = self.state();
        if state.is_absent(self.hash(kid), now) {
            return Err(JwtError::UnknownKey);
        }
        match self.begin(&mut state, source, now) {
            Some(flight) => Ok(KeyWait::new(flight)),
            None => Err(state.reason(source.current.load().is_some())),
        }
    }

    /// See [`JwkSource::note_absent`](super::JwkSource::note_absent).
    pub(super) fn note_absent(&self, kid: Option<&str>, now: Timestamp) -> JwtError {
        let mut state = self.state();
        if let Some(problem) = state.problem {
            return problem;
        }
        let time = u64::try_from(self.unknown_kid_for.as_nanos()).unwrap_or(u64::MAX);
        state.note(self.hash(kid), now.monotonic_nanos().saturating_add(time));
        JwtError::UnknownKey
    }

    fn hash(&self, kid: Option<&str>) -> u64 {
        self.hasher.hash_one(kid)
    }

    async fn fetch(&self) -> Result<JwkSet, JwtError> {
        let uri = match &self.location {
            Location::KeySet(uri) => uri.clone(),
            Location::Issuer(issuer, document) => {
                let document = self.get(document.clone()).await.ok_or(JwtError::Discovery)?;
                key_set_address(&document, issuer).ok_or(JwtError::Discovery)?
            }
        };
        let text = self.get(uri).await.ok_or(JwtError::Keys)?;
        JwkSet::parse(&text, Kind::Public).ok_or(JwtError::Keys)
    }

    async fn get(&self, uri: Uri) -> Option<String> {
        self.client.fetch(uri, MAX_DOCUMENT_BYTES, self.timeout, &self.clock).await
    }
}

impl Inner {
    /// One fetch: the keys are in force before anybody who waits is woken.
    async fn fetch_remote(&self, begun: Timestamp) {
        let super::Origin::Remote(remote) = &self.origin else { return };
        let by_hand = self.by_hand();
        let fetched = remote.fetch().await;
        let problem = fetched.as_ref().err().copied();
        if let Ok(set) = fetched {
            self.install_fetched(set, begun, by_hand);
        }
        let mut state = remote.state();
        state.problem = problem;
        state.flight = None;
    }
}

impl State {
    /// Why a token is refused without asking again.
    fn reason(&self, has_keys: bool) -> JwtError {
        self.problem.unwrap_or(if has_keys { JwtError::UnknownKey } else { JwtError::Keys })
    }

    fn is_absent(&self, hash: u64, now: Timestamp) -> bool {
        let place = self.absent.get(hash as usize % ABSENT_PLACES);
        place.is_some_and(|(known, until)| *known == hash && now.monotonic_nanos() < *until)
    }

    fn note(&mut self, hash: u64, until: u64) {
        self.absent.resize(ABSENT_PLACES, (0, 0));
        self.absent[hash as usize % ABSENT_PLACES] = (hash, until);
    }
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// `jwks_uri` of a discovery document of this very issuer, not less protected than the issuer itself.
fn key_set_address(document: &str, issuer: &str) -> Option<Uri> {
    let found: Discovery = serde_json::from_str(document).ok()?;
    let uri = address("jwks_uri", &found.jwks_uri).ok()?;
    let is_protected = uri.scheme_str() == Some("https") || issuer.starts_with("http://");
    (found.issuer == issuer && is_protected).then_some(uri)
}

/// Completes when a fetch has ended, well or not.
pub(crate) struct KeyWait(Pin<Box<dyn Future<Output = ()> + Send>>);

impl KeyWait {
    fn new(mut flight: watch::Receiver<()>) -> Self {
        Self(Box::pin(async move {
            let _ended = flight.changed().await;
        }))
    }
}

impl Future for KeyWait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for KeyWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyWait(..)")
    }
}
