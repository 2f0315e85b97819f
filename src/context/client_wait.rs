//! How long a request's client has kept the service waiting for its body.

use super::RequestContext;
use crate::clock::Timestamp;
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Written by the meter of the body, read by the timeout of the integration, which may be in other tasks.
#[derive(Debug, Default)]
pub(super) struct ClientWait(Mutex<Waits>);

#[derive(Debug, Default)]
struct Waits {
    over: Duration,
    /// The present one: its beginning, and how long it may take. Beyond that it is not the client's: whoever reads
    /// would have cut the body off.
    present: Option<(Timestamp, Duration)>,
}

impl Waits {
    fn until(&self, now: Timestamp) -> Duration {
        let present = self.present.map(|(since, longest)| now.since(since).min(longest));
        self.over + present.unwrap_or_default()
    }
}

impl RequestContext {
    fn client_waits<T>(&self, call: impl FnOnce(&mut Waits) -> T) -> T {
        call(&mut self.0.body_watch().client_wait.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The body was read, and has nothing yet.
    pub(crate) fn client_wait_begins(&self, now: Timestamp, longest: Duration) {
        self.client_waits(|waits| waits.present = Some((now, longest)));
    }

    /// It has something, or nobody reads it any more.
    pub(crate) fn client_wait_ends(&self, now: Timestamp) {
        self.client_waits(|waits| *waits = Waits { over: waits.until(now), present: None });
    }

    /// All waits that are over. Makes nothing where there was none.
    pub(crate) fn client_waited(&self) -> Duration {
        let Some(watch) = self.0.watch.get() else { return Duration::ZERO };
        watch.client_wait.0.lock().unwrap_or_else(PoisonError::into_inner).over
    }

    /// All waits until now, and whether one is under way.
    pub(crate) fn client_wait(&self, now: Timestamp) -> (Duration, bool) {
        if self.0.watch.get().is_none() {
            return (Duration::ZERO, false);
        }
        self.client_waits(|waits| {
            let is_waiting = waits.present.is_some_and(|(since, longest)| now.since(since) < longest);
            (waits.until(now), is_waiting)
        })
    }
}
