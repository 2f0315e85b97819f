//! A bucket that many requests share: its setting beside its locked state.

use super::{PastRates, Throttle, bucket::Bucket};
use crate::clock::{Clock, Timestamp};
use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// The state of one shared bucket. A mutex and not an atomic: several limits of one request are locked in a fixed
/// order and charged together, so nobody ever sees another request's provisional charge (design D9).
#[derive(Debug)]
pub(crate) struct Slot {
    /// No other has it, or ever will.
    number: u64,
    bucket: Mutex<Bucket>,
    /// How often it would have refused, had it not been in shadow mode.
    shadowed: AtomicU64,
    /// By which it is charged: that of the plans, which those who edit stages do not know.
    clock: OnceLock<Clock>,
}

impl Default for Slot {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            number: NEXT.fetch_add(1, Relaxed),
            bucket: Mutex::default(),
            shadowed: AtomicU64::new(0),
            clock: OnceLock::new(),
        }
    }
}

impl Slot {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever charges it says by which clock.
    pub(crate) fn is_charged_by(&self, clock: &Clock) {
        if self.clock.get().is_none() {
            let _first_wins = self.clock.set(clock.clone());
        }
    }

    pub(crate) fn count_shadowed(&self) {
        self.shadowed.fetch_add(1, Relaxed);
    }

    pub(crate) fn shadowed(&self) -> u64 {
        self.shadowed.load(Relaxed)
    }
}

/// A throttle in force: the numbers, and the state that outlives an edit of the numbers.
#[derive(Clone, Debug)]
pub(crate) struct SharedBucket {
    pub(crate) throttle: Throttle,
    /// The rates of before.
    pub(crate) past: PastRates,
    pub(crate) slot: Arc<Slot>,
    /// It only counts what it would have refused.
    pub(crate) shadow: bool,
    /// Of its name, which is the same in every process.
    pub(crate) id: u64,
}

impl SharedBucket {
    pub(crate) fn new(throttle: Throttle) -> Self {
        Self { throttle, past: PastRates::default(), slot: Arc::default(), shadow: false, id: 0 }
    }

    /// Tells one bucket from every other, those that are gone included; never 0.
    #[cfg(feature = "usage-plan")]
    pub(crate) fn number(&self) -> u64 {
        self.slot.number
    }

    /// The same bucket with other numbers, from `now` on.
    pub(crate) fn edited(&self, throttle: Throttle, now: Timestamp) -> Self {
        let past = self.past.edited(self.throttle, throttle, now);
        Self { throttle, past, ..self.clone() }
    }

    /// The same, at this moment. A bucket that nobody has charged is full: nothing came back to it.
    #[cfg(feature = "stage")]
    pub(crate) fn edited_now(&self, throttle: Throttle) -> Self {
        match self.slot.clock.get() {
            Some(clock) => self.edited(throttle, clock.now()),
            None => Self { throttle, ..self.clone() },
        }
    }

    /// What is in a locked bucket, as the last edit found it.
    pub(crate) fn settled(&self, bucket: Bucket) -> Bucket {
        self.past.settle(bucket)
    }
}

/// FNV-1a over the name of something configured, so nobody can choose it to collide.
pub(crate) fn id_of(name: impl Iterator<Item = u8>) -> u64 {
    name.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
