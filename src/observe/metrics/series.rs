//! One series: what is counted under one set of labels.

use super::{
    super::event::{RequestEvent, known_method},
    histogram::{Durations, SECONDS},
};
use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Where there is no name, or no room for one more.
pub(super) const OTHER: &str = "other";

/// The labels of a series, borrowed from a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Labels<'a> {
    pub(super) stage: &'a str,
    pub(super) method: &'a str,
    pub(super) route: &'a str,
    pub(super) status: u16,
}

impl<'a> Labels<'a> {
    pub(super) fn of(event: &RequestEvent<'a>) -> Self {
        let context = event.context();
        Self {
            stage: context.stage().unwrap_or(OTHER),
            method: known_method(context.method()),
            route: context.resource_path().unwrap_or(OTHER),
            status: event.status().map_or(0, |status| status.as_u16()),
        }
    }

    /// Where requests go once the budget is spent: at most ten methods by the statuses of HTTP.
    pub(super) fn folded(self) -> Self {
        Self { stage: OTHER, route: OTHER, status: self.status / 100 * 100, ..self }
    }
}

/// The counts under one set of labels, and the labels themselves.
#[derive(Debug)]
pub(super) struct Series {
    stage: Box<str>,
    method: Box<str>,
    route: Box<str>,
    status: u16,
    pub(super) latency: Durations,
    pub(super) integration: Durations,
    pub(super) request_bytes: AtomicU64,
    pub(super) response_bytes: AtomicU64,
}

impl Series {
    pub(super) fn new(labels: Labels<'_>) -> Self {
        Self {
            stage: labels.stage.into(),
            method: labels.method.into(),
            route: labels.route.into(),
            status: labels.status,
            latency: Durations::default(),
            integration: Durations::default(),
            request_bytes: AtomicU64::new(0),
            response_bytes: AtomicU64::new(0),
        }
    }

    pub(super) fn labels(&self) -> Labels<'_> {
        Labels { stage: &self.stage, method: &self.method, route: &self.route, status: self.status }
    }

    pub(super) fn record(&self, event: &RequestEvent<'_>) {
        let context = event.context();
        self.latency.record(event.latency());
        if let Some(latency) = context.integration_latency() {
            self.integration.record(latency);
        }
        self.request_bytes.fetch_add(context.request_length().unwrap_or(0), Relaxed);
        self.response_bytes.fetch_add(event.response_length(), Relaxed);
    }

    pub(super) fn totals(&self) -> SeriesTotals {
        let latency = self.latency.read(&SECONDS);
        let integration = self.integration.read(&SECONDS);
        SeriesTotals {
            stage: self.stage.to_string(),
            method: self.method.to_string(),
            route: self.route.to_string(),
            status: self.status,
            count: latency.count,
            latency: seconds(latency.sum),
            integration_count: integration.count,
            integration_latency: seconds(integration.sum),
            request_bytes: self.request_bytes.load(Relaxed),
            response_bytes: self.response_bytes.load(Relaxed),
        }
    }
}

fn seconds(sum: f64) -> Duration {
    Duration::try_from_secs_f64(sum).unwrap_or(Duration::MAX)
}

/// Sums of one series since the start.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SeriesTotals {
    /// The stage, or `other`.
    pub stage: String,
    /// The method, or `_OTHER`.
    pub method: String,
    /// The resource path as declared, or `other`.
    pub route: String,
    /// The status; 0 where the client was told nothing.
    pub status: u16,
    /// Requests.
    pub count: u64,
    /// Sum of their latencies.
    pub latency: Duration,
    /// Requests whose integration was measured.
    pub integration_count: u64,
    /// Sum of their integration latencies.
    pub integration_latency: Duration,
    /// Announced bytes of request bodies.
    pub request_bytes: u64,
    /// Bytes of answers' bodies.
    pub response_bytes: u64,
}
