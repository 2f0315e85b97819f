//! What went wrong with a request's body, told to the future that waits for the answer.

use super::RequestContext;
use std::sync::atomic::Ordering::Relaxed;
#[cfg(feature = "payload-limit")]
use std::{sync::PoisonError, task::Waker};

/// What went wrong with the request body while it streamed, for the layer that watches the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFault {
    TooLarge { limit: u64 },
    TooSlow,
}

impl RequestContext {
    /// Notes the first fault and wakes the watcher. The lock orders the note before the watcher's next look.
    #[cfg(feature = "payload-limit")]
    pub(crate) fn set_body_fault(&self, fault: BodyFault) {
        let code = match fault {
            BodyFault::TooSlow => 1,
            BodyFault::TooLarge { limit } => limit.saturating_add(2),
        };
        let _first_fault_wins = self.0.body_fault.compare_exchange(0, code, Relaxed, Relaxed);
        let watcher = self.0.body_watch().watcher.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(watcher) = watcher {
            watcher.wake();
        }
    }

    /// Has `waker` woken at the next fault; look at [`Self::body_fault`] afterwards, not before.
    #[cfg(feature = "payload-limit")]
    pub(crate) fn watch_body(&self, waker: &Waker) {
        let mut watcher = self.0.body_watch().watcher.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *watcher {
            Some(known) => known.clone_from(waker),
            None => *watcher = Some(waker.clone()),
        }
    }

    pub(crate) fn body_fault(&self) -> Option<BodyFault> {
        match self.0.body_fault.load(Relaxed) {
            0 => None,
            1 => Some(BodyFault::TooSlow),
            code => Some(BodyFault::TooLarge { limit: code - 2 }),
        }
    }
}
