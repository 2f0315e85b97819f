//! What is kept of a request whose body is watched, from when there is something to keep.

use super::{Inner, charge::KeptCharge, client_wait::ClientWait};
use std::{
    sync::{Mutex, OnceLock},
    task::Waker,
};

/// In a block of its own: most requests have no body.
#[derive(Debug, Default)]
#[allow(dead_code, reason = "not every feature set watches bodies")]
pub(super) struct BodyWatch {
    /// What the request was charged, while it may still be refused.
    pub(super) charge: OnceLock<KeptCharge>,
    pub(super) client_wait: ClientWait,
    /// Who waits for the answer: the body may be read, and cut off, by another task.
    pub(super) watcher: Mutex<Option<Waker>>,
}

impl Inner {
    pub(super) fn body_watch(&self) -> &BodyWatch {
        self.watch.get_or_init(Box::default)
    }
}
