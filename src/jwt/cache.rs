//! Tokens that were verified, remembered by a keyed hash: no text of a token is kept.

use super::verifier::Window;
use crate::{
    ConfigError,
    clock::Timestamp,
    context::AuthorizerContext,
    keyed_hash::{KeyedHash, TakeHalf},
};
use quick_cache::{
    UnitWeighter,
    sync::{Cache, DefaultLifecycle},
};
use std::{fmt, sync::Arc, time::Duration};

/// What was established of a token, and for how long that holds.
#[derive(Clone, Debug)]
pub(super) struct Verified {
    pub(super) established: Arc<AuthorizerContext>,
    /// Which issuer's keys it was verified with, and which edition of them.
    pub(super) provider: usize,
    pub(super) generation: u64,
    pub(super) window: Window,
    /// When it was verified, on the monotonic clock.
    pub(super) verified_at: Timestamp,
}

impl Verified {
    /// Whether the token's own dates, and the ceiling, let it pass now.
    fn is_fresh(&self, now: Timestamp, ceiling: Duration) -> bool {
        now.since(self.verified_at) < ceiling && self.window.contains(now)
    }
}

type Entries = Cache<u128, Verified, UnitWeighter, TakeHalf, DefaultLifecycle<u128, Verified>>;

/// See the module's first line.
pub(super) struct TokenCache {
    entries: Option<Entries>,
    hasher: KeyedHash,
    ceiling: Duration,
}

impl TokenCache {
    /// `capacity` or `ceiling` zero: nothing is remembered.
    pub(super) fn new(capacity: usize, ceiling: Duration) -> Result<Self, ConfigError> {
        let hasher = KeyedHash::random("JWT cache")?;
        let entries = (capacity > 0 && !ceiling.is_zero()).then(|| {
            Cache::with(capacity, capacity as u64, UnitWeighter, TakeHalf, DefaultLifecycle::default())
        });
        Ok(Self { entries, hasher, ceiling })
    }

    /// The name under which a token is remembered; `None` while nothing is.
    pub(super) fn key(&self, token: &[u8]) -> Option<u128> {
        self.entries.as_ref().map(|_| self.hasher.of(token))
    }

    pub(super) fn get(&self, key: u128, now: Timestamp) -> Option<Verified> {
        let found = self.entries.as_ref()?.get(&key)?;
        found.is_fresh(now, self.ceiling).then_some(found)
    }

    pub(super) fn insert(&self, key: u128, verified: Verified) {
        if let Some(entries) = &self.entries {
            entries.insert(key, verified);
        }
    }

    pub(super) fn clear(&self) {
        if let Some(entries) = &self.entries {
            entries.clear();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.as_ref().map_or(0, Cache::len)
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache").field("len", &self.len()).field("ceiling", &self.ceiling).finish()
    }
}
