//! What is kept of a request whose watched body keeps somebody waiting.

use super::{Inner, client_wait::ClientWait};
use std::{sync::Mutex, task::Waker};

/// In a block of its own: most bodies are there when they are read.
#[derive(Debug, Default)]
#[allow(dead_code, reason = "not every feature set watches bodies")]
pub(super) struct BodyWatch {
    pub(super) client_wait: ClientWait,
    /// Who waits for the answer: the body may be read, and cut off, by another task.
    pub(super) watcher: Mutex<Option<Waker>>,
}

impl Inner {
    pub(super) fn body_watch(&self) -> &BodyWatch {
        self.watch.get_or_init(Box::default)
    }
}
