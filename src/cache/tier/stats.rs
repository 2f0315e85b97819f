//! Counters of the second tier.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What the second tier did since the cache was made; counted once for everybody who asked together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TierStats {
    /// Answers that it had.
    pub found: u64,
    /// It had nothing, and this process made the call for all.
    pub led: u64,
    /// Answers that another process's call brought, while this one waited.
    pub followed: u64,
    /// It did not answer, or nobody had an answer in time: this process made a call of its own.
    pub alone: u64,
    /// Entries that were of no use: purged, damaged, or another key's.
    pub unusable: u64,
    /// Entries that were written.
    pub stored: u64,
    /// Entries that were not: too much was on its way, or the tier did not answer.
    pub not_stored: u64,
}

macro_rules! counters {
    ($($name:ident),+) => {
        #[derive(Debug, Default)]
        pub(super) struct Counters { $(pub(super) $name: AtomicU64,)+ }

        impl Counters {
            pub(super) fn snapshot(&self) -> TierStats {
                TierStats { $($name: self.$name.load(Relaxed),)+ }
            }
        }
    };
}

counters!(found, led, followed, alone, unusable, stored, not_stored);

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
