//! How often other processes had the answer.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What became of answers that memory did not have, since the authorizer was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SharedAnswerStats {
    /// Another process had asked the function before.
    pub found: u64,
    /// Another process was just asking it, and was waited for.
    pub followed: u64,
    /// This process asked it for all.
    pub led: u64,
    /// This process asked it for itself: the store did not answer, or another process took too long.
    pub alone: u64,
    /// What was found was revoked, over, or not to be read.
    pub unusable: u64,
    /// Answers that were given to the store.
    pub stored: u64,
    /// Answers that the store did not take, or that were too many at once.
    pub not_stored: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) found: AtomicU64,
    pub(super) followed: AtomicU64,
    pub(super) led: AtomicU64,
    pub(super) alone: AtomicU64,
    pub(super) unusable: AtomicU64,
    pub(super) stored: AtomicU64,
    pub(super) not_stored: AtomicU64,
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

impl Counters {
    pub(super) fn snapshot(&self) -> SharedAnswerStats {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        SharedAnswerStats {
            found: read(&self.found),
            followed: read(&self.followed),
            led: read(&self.led),
            alone: read(&self.alone),
            unusable: read(&self.unusable),
            stored: read(&self.stored),
            not_stored: read(&self.not_stored),
        }
    }
}
