//! The right to make the call for all processes.

use super::{Asked, Claim, PATIENCE, Place, SharedAnswers, stats::count, value::SharedText};
use crate::{authorizer::cache::Entry, clock::Timestamp, store::StoreFuture};
use std::sync::{Arc, atomic::Ordering::SeqCst};

/// A claim, held by the call that may bring an answer. Dropped without one, it ends, and the next process may try.
pub(super) struct Lead {
    shared: Arc<SharedAnswers>,
    place: Place,
    token: u128,
    /// The number of the last record before the call began.
    seen: u64,
    is_ours: bool,
}

impl Lead {
    pub(super) fn new(shared: &Arc<SharedAnswers>, place: Place) -> Self {
        Self { shared: Arc::clone(shared), place, token: fastrand::u128(..), seen: 0, is_ours: false }
    }

    /// From here on it may be ours: whoever is dropped, or hears nothing, may have got it.
    pub(super) fn ask(&mut self, instead: bool) -> StoreFuture<Asked> {
        self.is_ours = true;
        let claim = Claim { token: self.token, lasts: PATIENCE, instead };
        self.shared.store.ask(self.place, claim)
    }

    /// The call begins.
    pub(super) fn begun(mut self, seen: u64) -> Self {
        self.seen = seen;
        self
    }

    /// The claim was not made: another process has it, or there was a value.
    pub(super) fn never_made(mut self) {
        self.is_ours = false;
    }

    /// Writes what the function said behind the request's back, for what is left of its time.
    pub(super) fn keep(mut self, said: &SharedText, entry: &Entry, now: Timestamp) {
        let shared = Arc::clone(&self.shared);
        let text = said.to_bytes(self.seen, entry.invoked, entry.ttl);
        let left = entry.ttl.saturating_sub(now.since(entry.invoked));
        let sealed = shared.seal.seal(self.place, &text).filter(|_| left.as_millis() > 0);
        let Some(sealed) = sealed.filter(|sealed| shared.has_room(sealed.len())) else {
            return count(&shared.counters.not_stored);
        };
        self.is_ours = false;
        let (place, token, size) = (self.place, self.token, sealed.len());
        let writing = Arc::clone(&shared);
        shared.store.spawn(Box::pin(async move {
            let keep = || writing.store.keep(place, sealed, left, token);
            let kept = writing.guard.call(writing.guard.deadline(), keep).await;
            writing.under_way.fetch_sub(size, SeqCst);
            count(if kept.is_ok() { &writing.counters.stored } else { &writing.counters.not_stored });
        }));
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if self.is_ours {
            let released = self.shared.store.release(self.place, self.token);
            // The claim ends by itself where that fails.
            self.shared.store.spawn(Box::pin(async move { drop(released.await) }));
        }
    }
}
