//! Cached answers and the calls in flight.
//!
//! What is kept is the grant (policy and context), never a verdict: each request is judged anew. A look-up takes one
//! shard's read lock of the cache. A miss takes the lock of the flights, under which flights are joined, landed and
//! revoked: so no call is made twice, and a revocation is never undone by a call that began before it.

use super::{
    AuthorizerError,
    answer::Grant,
    flight::{BoxFuture, Flight, Seat},
    key::CacheKey,
};
use crate::{
    clock::Timestamp,
    context::AuthorizerCall,
    error::ConfigError,
    keyed_hash::{KeyedHash, TakeHalf},
};
use quick_cache::{UnitWeighter, sync::Cache};
use std::{
    collections::{HashMap, hash_map::Entry as MapEntry},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

/// What one call of the function came to.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) outcome: Result<Arc<Grant>, AuthorizerError>,
    /// `None` where another process had made it.
    pub(super) call: Option<Arc<AuthorizerCall>>,
    /// What becomes of the cache.
    pub(super) keep: Keep,
}

/// What a call leaves behind in the cache.
#[derive(Clone, Debug)]
pub(super) enum Keep {
    /// Its answer.
    Answer(Arc<Entry>),
    /// Nothing, and what was there is not true any more.
    Forget,
    /// What was there: the call failed.
    AsItWas,
}

/// A cached answer.
#[derive(Debug)]
pub(super) struct Entry {
    /// `None`: the function said `Unauthorized`.
    pub(super) grant: Option<Arc<Grant>>,
    /// When the function was called: a TTL counts from there.
    pub(super) invoked: Timestamp,
    pub(super) ttl: Duration,
    /// The identity as the function was told it, whatever the stage.
    pub(super) identity: CacheKey,
}

/// How an entry stands at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    Fresh,
    Stale,
    Dead,
}

impl Entry {
    fn allows(&self) -> bool {
        self.grant.as_ref().is_some_and(|grant| grant.allows)
    }

    /// A stale refusal is not used: only what a caller may do is worth keeping a little longer.
    pub(super) fn freshness(&self, now: Timestamp, stale_while_revalidate: Duration) -> Freshness {
        let age = now.since(self.invoked);
        match age {
            age if age < self.ttl => Freshness::Fresh,
            age if self.allows() && age < self.ttl.saturating_add(stale_while_revalidate) => Freshness::Stale,
            _ => Freshness::Dead,
        }
    }
}

type Entries = Cache<CacheKey, Arc<Entry>, UnitWeighter, TakeHalf>;

/// The answers of one authorizer.
pub(super) struct ResultCache {
    entries: Entries,
    /// Those that can still be joined.
    flights: Mutex<HashMap<CacheKey, Arc<Flight<Finished>>>>,
    pub(super) hash: KeyedHash,
}

type Flights<'a> = MutexGuard<'a, HashMap<CacheKey, Arc<Flight<Finished>>>>;

/// What a miss leads to.
pub(super) enum Joined {
    /// It has landed in between.
    Cached(Arc<Entry>),
    Waiting(Waiter),
}

impl fmt::Debug for ResultCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResultCache").field("entries", &self.entries.len()).finish_non_exhaustive()
    }
}

impl ResultCache {
    /// Identities are known by a random key, or by a secret that processes share.
    pub(super) fn new(capacity: usize, secret: Option<[u8; 16]>) -> Result<Self, ConfigError> {
        let random = || KeyedHash::random("authorizer cache");
        let hash = secret.map(KeyedHash::from_secret).map_or_else(random, Ok)?;
        let entries = Cache::with(
            capacity,
            capacity as u64,
            UnitWeighter,
            TakeHalf,
            quick_cache::sync::DefaultLifecycle::default(),
        );
        Ok(Self { entries, flights: Mutex::default(), hash })
    }

    fn flights(&self) -> Flights<'_> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, key: &CacheKey) -> Option<Arc<Entry>> {
        self.entries.get(key)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Joins the flight for a key, or starts one. `usable` says whether an entry that has come in between will do.
    pub(super) fn join(
        self: &Arc<Self>,
        key: CacheKey,
        usable: impl Fn(&Entry) -> bool,
        start: impl FnOnce() -> BoxFuture<Finished>,
    ) -> Joined {
        let mut flights = self.flights();
        if let Some(entry) = self.entries.get(&key).filter(|entry| usable(entry)) {
            return Joined::Cached(entry);
        }
        let flight = flights.entry(key).or_insert_with(|| Flight::new(start()));
        Joined::Waiting(self.board(key, flight))
    }

    /// Starts a flight to refresh what is still served, if there is none yet.
    pub(super) fn refresh(
        self: &Arc<Self>,
        key: CacheKey,
        start: impl FnOnce() -> BoxFuture<Finished>,
    ) -> Option<Waiter> {
        match self.flights().entry(key) {
            MapEntry::Occupied(_) => None,
            MapEntry::Vacant(place) => Some(self.board(key, place.insert(Flight::new(start())))),
        }
    }

    fn board(self: &Arc<Self>, key: CacheKey, flight: &Arc<Flight<Finished>>) -> Waiter {
        Waiter {
            cache: Arc::clone(self),
            key,
            seat: flight.seat(),
            flight: Arc::clone(flight),
            landed: false,
        }
    }

    /// Takes a flight's result, unless it has been revoked in the meantime or somebody has brought it already.
    fn land(&self, key: CacheKey, flight: &Arc<Flight<Finished>>, keep: Keep) {
        let mut flights = self.flights();
        if !is_at(&flights, key, flight) {
            return;
        }
        match keep {
            Keep::Answer(entry) => self.entries.insert(key, entry),
            Keep::Forget => drop(self.entries.remove(&key)),
            Keep::AsItWas => {}
        }
        flights.remove(&key);
    }

    /// One waiter less. A flight that nobody waits for any more is given up; the lock keeps others from joining it
    /// meanwhile.
    fn leave(&self, key: CacheKey, flight: &Arc<Flight<Finished>>, seat: Seat) {
        let mut flights = self.flights();
        let left = flight.leave(seat);
        if left.is_abandoned() && is_at(&flights, key, flight) {
            flights.remove(&key);
        }
        drop(flights);
        drop(left);
    }

    /// Forgets the entries that `revoked` names and every call in flight: requests that come now ask anew.
    pub(super) fn revoke(&self, revoked: impl Fn(&Entry) -> bool) -> usize {
        let mut flights = self.flights();
        let detached = std::mem::take(&mut *flights);
        let before = self.entries.len();
        self.entries.retain(|_, entry| !revoked(entry));
        let after = self.entries.len();
        drop(flights);
        drop(detached);
        before.saturating_sub(after)
    }
}

fn is_at(flights: &Flights<'_>, key: CacheKey, flight: &Arc<Flight<Finished>>) -> bool {
    flights.get(&key).is_some_and(|known| Arc::ptr_eq(known, flight))
}

/// One request's place in a flight. Dropping it leaves the flight to the others.
#[derive(Debug)]
pub(super) struct Waiter {
    cache: Arc<ResultCache>,
    key: CacheKey,
    flight: Arc<Flight<Finished>>,
    seat: Seat,
    landed: bool,
}

impl Waiter {
    /// The result; `None` if the function panicked. Whoever sees it first, which includes the one whose poll has
    /// brought it about, puts it into the cache.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Arc<Finished>>> {
        let finished = ready!(self.flight.poll(self.seat, cx));
        if !std::mem::replace(&mut self.landed, true) {
            let keep = finished.as_ref().map_or(Keep::AsItWas, |finished| finished.keep.clone());
            self.cache.land(self.key, &self.flight, keep);
        }
        Poll::Ready(finished)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if self.landed {
            drop(self.flight.leave(self.seat));
        } else {
            self.cache.leave(self.key, &self.flight, self.seat);
        }
    }
}

#[cfg(test)]
mod tests;
