//! What is counted under one set of labels, and the sums of it.

use super::{
    super::event::RequestEvent,
    count::Count,
    histogram::{Cumulative, Durations},
};
use crate::body::Outcome;
use std::sync::OnceLock;

/// What some threads have counted.
#[derive(Debug, Default)]
pub(super) struct SeriesCounts {
    /// Of the requests that were answered to their end.
    complete: Durations,
    /// Of the others, which most series have none of.
    incomplete: OnceLock<Box<Durations>>,
    integration: Durations,
    request_bytes: Count,
    pub(super) response_bytes: Count,
}

impl SeriesCounts {
    pub(super) fn record(&self, event: &RequestEvent<'_>) {
        let context = event.context();
        // Most requests have no body, and what adds nothing need not be paid for.
        if let Some(length) = event.request_length().filter(|length| *length > 0) {
            self.request_bytes.add(length);
        }
        self.response_bytes.add(event.response_length());
        if let Some(latency) = context.integration_latency() {
            self.integration.record(latency);
        }
        let latency = match event.outcome() {
            Outcome::Complete => &self.complete,
            _ => self.incomplete.get_or_init(Box::default),
        };
        latency.record(event.latency());
    }

    /// Requests that were answered to their end.
    pub(super) fn completed(&self) -> u64 {
        self.complete.read().count
    }
}

/// Sums over all threads.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SeriesSums {
    pub(super) latency: Cumulative<15>,
    pub(super) integration: Cumulative<15>,
    pub(super) request_bytes: u64,
    pub(super) response_bytes: u64,
}

impl SeriesSums {
    pub(super) fn plus(self, counts: &SeriesCounts) -> Self {
        let latency = self.latency.plus(counts.complete.read());
        Self {
            latency: counts.incomplete.get().map_or(latency, |others| latency.plus(others.read())),
            integration: self.integration.plus(counts.integration.read()),
            request_bytes: self.request_bytes + counts.request_bytes.get(),
            response_bytes: self.response_bytes + counts.response_bytes.get(),
        }
    }
}
