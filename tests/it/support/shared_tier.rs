//! A second tier in this process's memory, for caches that stand for processes.
#![allow(dead_code, unreachable_pub, reason = "each feature set uses a part of it")]

use bytes::Bytes;
use std::{
    collections::HashMap,
    future::{pending, ready},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};
use tower_gateway::{
    cache::tier::{CacheTier, PurgeListener, TierAnswer, TierClaim, TierFound, TierPlace},
    clock::{Clock, Timestamp},
    store::{Acknowledgement, StoreFuture},
};

/// What the processes share. Each gets a [`Seat`] of its own.
#[derive(Debug, Default)]
pub struct SharedTier {
    state: Mutex<State>,
    clock: Clock,
    /// Every place is the same one, as if digests collided.
    pub collides: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    values: HashMap<TierPlace, (Bytes, Timestamp, Duration)>,
    claims: HashMap<TierPlace, (u128, Timestamp, Duration)>,
    purges: Vec<Bytes>,
    seats: Vec<Arc<SeatState>>,
}

#[derive(Default)]
struct SeatState {
    listener: Mutex<Option<Weak<dyn PurgeListener>>>,
    applied: Mutex<usize>,
    is_deaf: AtomicBool,
    is_away: AtomicBool,
    is_mute: AtomicBool,
}

impl std::fmt::Debug for SeatState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SeatState")
    }
}

/// One process's connection.
#[derive(Clone, Debug)]
pub struct Seat {
    tier: Arc<SharedTier>,
    state: Arc<SeatState>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SharedTier {
    pub fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self { clock, ..Self::default() })
    }

    pub fn seat(self: &Arc<Self>) -> Seat {
        let mut shared = lock(&self.state);
        let state = Arc::new(SeatState::default());
        shared.seats.push(Arc::clone(&state));
        Seat { tier: Arc::clone(self), state }
    }

    /// Every value, as it lies there.
    pub fn values(&self) -> Vec<Bytes> {
        lock(&self.state).values.values().map(|(bytes, ..)| bytes.clone()).collect()
    }

    /// The longest time to live of a value, when it was stored.
    pub fn longest_ttl(&self) -> Option<Duration> {
        lock(&self.state).values.values().map(|(_, _, ttl)| *ttl).max()
    }

    pub fn claims(&self) -> usize {
        lock(&self.state).claims.len()
    }

    /// Changes every value.
    pub fn damage(&self, damage: impl Fn(&mut Vec<u8>)) {
        for (bytes, ..) in lock(&self.state).values.values_mut() {
            let mut changed = bytes.to_vec();
            damage(&mut changed);
            *bytes = changed.into();
        }
    }

    fn place(&self, place: TierPlace, state: &State) -> TierPlace {
        let first = || state.values.keys().chain(state.claims.keys()).next().copied();
        if self.collides.load(SeqCst) { first().unwrap_or(place) } else { place }
    }
}

impl Seat {
    /// It hears of no purge any more, or of all that it has missed.
    pub fn deaf(&self, is_deaf: bool) {
        self.state.is_deaf.store(is_deaf, SeqCst);
        self.hear();
    }

    /// It gets no answer any more.
    pub fn away(&self, is_away: bool) {
        self.state.is_away.store(is_away, SeqCst);
    }

    /// Its purges are not taken any more; all else goes on.
    pub fn mute(&self, is_mute: bool) {
        self.state.is_mute.store(is_mute, SeqCst);
    }

    fn hear(&self) {
        hear(&lock(&self.tier.state).purges.clone(), &self.state);
    }

    fn answer<T: Send + 'static>(&self, act: impl FnOnce(&SharedTier, &mut State) -> T) -> StoreFuture<T> {
        if self.state.is_away.load(SeqCst) {
            return Box::pin(pending());
        }
        let mut state = lock(&self.tier.state);
        let now = self.tier.clock.now();
        state.values.retain(|_, (_, since, ttl)| now.since(*since) < *ttl);
        state.claims.retain(|_, (_, since, lasts)| now.since(*since) < *lasts);
        Box::pin(ready(Ok(act(&self.tier, &mut state))))
    }
}

fn hear(purges: &[Bytes], seat: &SeatState) {
    if seat.is_deaf.load(SeqCst) {
        return;
    }
    let Some(listener) = lock(&seat.listener).as_ref().and_then(Weak::upgrade) else { return };
    let mut applied = lock(&seat.applied);
    for purge in &purges[*applied..] {
        *applied += 1;
        listener.purged(*applied as u64, purge);
    }
}

impl CacheTier for Seat {
    fn ask(&self, place: TierPlace, claim: Option<TierClaim>) -> StoreFuture<TierAnswer> {
        self.answer(move |tier, state| {
            let now = tier.clock.now();
            let place = tier.place(place, state);
            let value = state.values.get(&place).filter(|_| !claim.is_some_and(|claim| claim.instead));
            let found = match (value, claim) {
                (Some((bytes, since, ttl)), _) => {
                    TierFound::Value(bytes.clone(), ttl.saturating_sub(now.since(*since)))
                }
                (None, Some(_)) if state.claims.contains_key(&place) => TierFound::Claimed,
                (None, Some(claim)) => {
                    state.claims.insert(place, (claim.token, now, claim.lasts));
                    TierFound::Nothing
                }
                (None, None) => TierFound::Nothing,
            };
            TierAnswer::new(state.purges.len() as u64, found)
        })
    }

    fn store(&self, place: TierPlace, value: Bytes, ttl: Duration, token: Option<u128>) -> StoreFuture<()> {
        self.answer(move |tier, state| {
            let place = tier.place(place, state);
            if state.claims.get(&place).is_some_and(|(own, ..)| Some(*own) == token) {
                state.claims.remove(&place);
            }
            state.values.insert(place, (value, tier.clock.now(), ttl));
        })
    }

    fn renew(&self, place: TierPlace, claim: TierClaim) -> StoreFuture<()> {
        self.answer(move |tier, state| {
            if let Some((own, since, lasts)) = state.claims.get_mut(&place)
                && *own == claim.token
            {
                (*since, *lasts) = (tier.clock.now(), claim.lasts);
            }
        })
    }

    fn release(&self, place: TierPlace, token: u128) -> StoreFuture<()> {
        self.answer(move |_, state| {
            if state.claims.get(&place).is_some_and(|(own, ..)| *own == token) {
                state.claims.remove(&place);
            }
        })
    }

    fn announce(&self, purge: Bytes) -> StoreFuture<u64> {
        if self.state.is_mute.load(SeqCst) {
            return Box::pin(pending());
        }
        let tier = Arc::clone(&self.tier);
        let numbered = self.answer(move |_, state| {
            state.purges.push(purge);
            state.purges.len() as u64
        });
        Box::pin(async move {
            let number = numbered.await?;
            let (purges, seats) = {
                let state = lock(&tier.state);
                (state.purges.clone(), state.seats.clone())
            };
            seats.iter().for_each(|seat| hear(&purges, seat));
            Ok(number)
        })
    }

    fn acknowledged(&self, number: u64, _: Duration) -> StoreFuture<Acknowledgement> {
        self.answer(move |_, state| {
            let has = |seat: &&Arc<SeatState>| *lock(&seat.applied) as u64 >= number;
            let count = state.seats.iter().filter(has).count();
            let silent = state.seats.iter().enumerate().filter(|(_, seat)| !has(seat));
            Acknowledgement::new(count, silent.map(|(index, _)| index.to_string()).collect(), Vec::new())
        })
    }

    fn listen(&self, listener: Weak<dyn PurgeListener>) {
        *lock(&self.state.listener) = Some(listener);
    }
}
