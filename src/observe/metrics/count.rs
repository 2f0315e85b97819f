//! A counter.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Release},
};

/// Only grows. Whoever sees a count sees all that was counted before it, whichever thread did: so nobody reads that a
/// request has ended without reading that it had begun.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Release);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Acquire)
    }
}
