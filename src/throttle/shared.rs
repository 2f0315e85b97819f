//! A bucket that many requests share: its setting beside its locked state.

use super::{Throttle, bucket::Bucket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The state of one shared bucket. A mutex and not an atomic: several limits of one request are locked in a fixed
/// order and charged together, so nobody ever sees another request's provisional charge (design D9).
#[derive(Debug, Default)]
pub(crate) struct Slot(Mutex<Bucket>);

impl Slot {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Bucket> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A throttle in force: the numbers, and the state that outlives an edit of the numbers.
#[derive(Clone, Debug)]
pub(crate) struct SharedBucket {
    pub(crate) throttle: Throttle,
    pub(crate) slot: Arc<Slot>,
}

impl SharedBucket {
    pub(crate) fn new(throttle: Throttle) -> Self {
        Self { throttle, slot: Arc::default() }
    }
}
