//! Counters: what the cache did, and why it did not do more.

use super::reason::{CacheStatus, NoCacheReason};
use crate::striped::Striped;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a [`Cache`](super::Cache) has done since it was made. Counts of answers, not of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheStats {
    counts: Counts<u64>,
}

impl CacheStats {
    /// How many answers had that status.
    pub fn count(&self, status: CacheStatus) -> u64 {
        self.counts.statuses[status as usize]
    }

    /// How many answers did not come from the cache for that reason.
    pub fn missed(&self, reason: NoCacheReason) -> u64 {
        self.counts.missed[reason as usize]
    }

    /// How many answers of the service were not stored for that reason.
    pub fn not_stored(&self, reason: NoCacheReason) -> u64 {
        self.counts.not_stored[reason as usize]
    }

    /// Answers from the cache (AWS: `CacheHitCount`): hits, stale ones, and those that shared somebody's call, also one
    /// that confirmed what was stored.
    pub fn hits(&self) -> u64 {
        self.sum_of(CacheStatus::is_hit)
    }

    /// Answers that a call to the service was made for while caching was on (AWS: `CacheMissCount`), with those that it
    /// confirmed and those of requests that had waited for somebody else's in vain.
    pub fn misses(&self) -> u64 {
        self.sum_of(CacheStatus::is_miss)
    }

    fn sum_of(&self, counts: fn(CacheStatus) -> bool) -> u64 {
        self.statuses().filter(|(status, _)| counts(*status)).map(|(_, count)| count).sum()
    }

    /// How many answers were stored.
    pub fn stored(&self) -> u64 {
        self.counts.stored
    }

    /// Every reason with a count, for both questions: why not from the cache, why not stored.
    pub fn reasons(&self) -> impl Iterator<Item = (NoCacheReason, u64, u64)> {
        let row = |reason: &NoCacheReason| (*reason, self.missed(*reason), self.not_stored(*reason));
        NoCacheReason::ALL.iter().map(row).filter(|(_, missed, not_stored)| missed + not_stored > 0)
    }

    /// Every status with its count.
    pub fn statuses(&self) -> impl Iterator<Item = (CacheStatus, u64)> {
        CacheStatus::ALL.into_iter().map(|status| (status, self.count(status)))
    }
}

const STATUSES: usize = CacheStatus::ALL.len();
const REASONS: usize = NoCacheReason::ALL.len();

#[derive(Clone, Debug, PartialEq, Eq)]
struct Counts<T> {
    statuses: [T; STATUSES],
    missed: [T; REASONS],
    not_stored: [T; REASONS],
    stored: T,
}

impl<T: Default> Default for Counts<T> {
    fn default() -> Self {
        Self {
            statuses: std::array::from_fn(|_| T::default()),
            missed: std::array::from_fn(|_| T::default()),
            not_stored: std::array::from_fn(|_| T::default()),
            stored: T::default(),
        }
    }
}

/// The counters in use.
#[derive(Debug, Default)]
pub(super) struct Counters {
    counts: Striped<Counts<AtomicU64>>,
}

impl Counters {
    pub(super) fn answered(&self, status: CacheStatus, reason: Option<NoCacheReason>) {
        let mine = self.counts.mine();
        mine.statuses[status as usize].fetch_add(1, Relaxed);
        if let Some(reason) = reason {
            mine.missed[reason as usize].fetch_add(1, Relaxed);
        }
    }

    pub(super) fn stored(&self) {
        self.counts.mine().stored.fetch_add(1, Relaxed);
    }

    pub(super) fn not_stored(&self, reason: NoCacheReason) {
        self.counts.mine().not_stored[reason as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn snapshot(&self) -> CacheStats {
        let mut counts = Counts::default();
        for stripe in self.counts.iter() {
            add(&mut counts.statuses, &stripe.statuses);
            add(&mut counts.missed, &stripe.missed);
            add(&mut counts.not_stored, &stripe.not_stored);
            counts.stored += stripe.stored.load(Relaxed);
        }
        CacheStats { counts }
    }
}

fn add(sums: &mut [u64], counters: &[AtomicU64]) {
    sums.iter_mut().zip(counters).for_each(|(sum, counter)| *sum += counter.load(Relaxed));
}
