//! The figures of every request through the `metrics` facade, for whichever recorder the program has installed.

use super::{
    event::{RequestEvent, known_method},
    layer::Observer,
    samples::{MetricSource, SampleKind, Samples},
};
use crate::{body::Outcome, context::RequestContext};
use http::StatusCode;
use metrics::{
    Label, SharedString, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

/// Figures of a source that are kept apart.
const SOURCE_BUDGET: usize = 1_000;

/// Records through the `metrics` crate, in OpenTelemetry's names: an [`Observer`].
///
/// | name | kind | labels |
/// |---|---|---|
/// | `http.server.request.duration` | histogram, seconds | stage, method, route, status |
/// | `http.client.request.duration` | histogram, seconds: the integration | the same |
/// | `http.server.active_requests` | gauge | |
/// | `http.server.request.body.size`, `http.server.response.body.size` | histogram, bytes | as above |
/// | `tower_gateway.refusals` | counter | `response_type`, `cause`, `layer` |
/// | `tower_gateway.requests_ended` | counter | `outcome` |
/// | `tower_gateway.cache.lookups` | counter | `result`, `reason` where there is one |
/// | `tower_gateway.authorizer.duration` | histogram, seconds: calls of its function, verifications of tokens | `authorizer` |
/// | `tower_gateway.authorizer.lookups` | counter | `authorizer`, `result`: `hit` is a cached answer or a remembered token |
/// | `tower_gateway.plan.throttle.headroom`, `tower_gateway.plan.quota.headroom` | histogram: the share that is left | `plan` |
///
/// Requests have `error.type` too where they failed: `panicked`, `failed`, or the status of a 5xx.
///
/// Labels come from the route table, the configuration and enumerations, never from what a client sent: what has no route
/// is `other`. There is no budget beside that: at most a series for each declared method and status, and the recorder
/// keeps those of methods that a later deployment has no more. [`PrometheusMetrics`](super::PrometheusMetrics) has a
/// budget.
#[derive(Clone, Copy, Debug, Default)]
pub struct FacadeMetrics;

impl FacadeMetrics {
    /// Records with the recorder that is installed when a request ends.
    pub fn new() -> Self {
        Self
    }

    /// Tells the recorder that is installed of units and meanings. Call it once it is.
    pub fn describe(&self) {
        describe_histogram!(
            "http.server.request.duration",
            Unit::Seconds,
            "Duration of HTTP server requests."
        );
        describe_histogram!(
            "http.client.request.duration",
            Unit::Seconds,
            "Duration of calls to the integration."
        );
        describe_gauge!(
            "http.server.active_requests",
            Unit::Count,
            "Requests that have arrived and not ended."
        );
        describe_histogram!("http.server.request.body.size", Unit::Bytes, "Bytes of request bodies.");
        describe_histogram!("http.server.response.body.size", Unit::Bytes, "Bytes of answers.");
        describe_counter!("tower_gateway.refusals", Unit::Count, "Refused requests.");
        describe_counter!("tower_gateway.requests_ended", Unit::Count, "Requests by how they ended.");
        describe_counter!("tower_gateway.cache.lookups", Unit::Count, "Look-ups in the cache.");
        describe_histogram!(
            "tower_gateway.authorizer.duration",
            Unit::Seconds,
            "How long requests waited for authorizers."
        );
        describe_counter!("tower_gateway.authorizer.lookups", Unit::Count, "What authorizers were asked.");
        // Shares from 0 to 1, for which the facade has no unit.
        let headroom = [
            ("tower_gateway.plan.throttle.headroom", "Share of the caller's bucket that is left."),
            ("tower_gateway.plan.quota.headroom", "Share of the caller's quota that is left."),
        ];
        headroom.into_iter().for_each(|(name, meaning)| describe_histogram!(name, meaning));
    }

    /// Records what a source says at this moment, at most 1,000 figures apart. Call it at the pace of your recorder.
    pub fn publish(&self, source: &dyn MetricSource) {
        let mut samples = Samples::new(SOURCE_BUDGET);
        source.collect(&mut samples);
        for one in samples.iter() {
            let labels: Vec<_> = one.labels().map(|(name, value)| label(name, value.to_owned())).collect();
            match one.kind() {
                // Counts are whole numbers; the facade keeps the greatest it was told.
                SampleKind::Counter => counter!(one.name(), labels).absolute(one.value() as u64),
                SampleKind::Gauge => gauge!(one.name(), labels).set(one.value()),
            }
        }
    }
}

/// What the caller's plan and authorizer did.
fn record_caller(event: &RequestEvent<'_>) {
    if let Some(authorizer) = event.authorizer_use() {
        let name = label("authorizer", authorizer.name.to_owned());
        let result = if authorizer.latency.is_some() { "miss" } else { "hit" };
        let labels = vec![name.clone(), label("result", result)];
        counter!("tower_gateway.authorizer.lookups", labels).increment(1);
        if let Some(latency) = authorizer.latency {
            histogram!("tower_gateway.authorizer.duration", vec![name]).record(latency);
        }
    }
    let Some(headroom) = event.plan_headroom() else { return };
    let plan = || vec![label("plan", headroom.plan_id.to_string())];
    if let Some(left) = headroom.throttle_ratio() {
        histogram!("tower_gateway.plan.throttle.headroom", plan()).record(left);
    }
    if let Some(left) = headroom.quota_ratio() {
        histogram!("tower_gateway.plan.quota.headroom", plan()).record(left);
    }
}

fn label(name: &'static str, value: impl Into<SharedString>) -> Label {
    Label::new(name, value)
}

fn labels(event: &RequestEvent<'_>) -> Vec<Label> {
    let context = event.context();
    let text = |text: Option<&str>| text.unwrap_or("other").to_owned();
    let status = event.status().map_or_else(|| "0".to_owned(), |status| status.as_str().to_owned());
    let mut labels = vec![
        label("stage", text(context.stage())),
        label("http.request.method", known_method(context.method())),
        label("http.route", text(context.resource_path())),
        label("http.response.status_code", status),
    ];
    labels.extend(error_type(event).map(|kind| label("error.type", kind)));
    labels
}

/// OpenTelemetry: of failures and of a server's errors alone.
fn error_type(event: &RequestEvent<'_>) -> Option<String> {
    let of_status = || Some(event.status().filter(StatusCode::is_server_error)?.as_str().to_owned());
    match event.outcome() {
        outcome @ (Outcome::Panicked | Outcome::Failed) => Some(outcome.as_str().to_owned()),
        Outcome::Complete | Outcome::ClientClosed => of_status(),
    }
}

impl Observer for FacadeMetrics {
    fn started(&self, _: &RequestContext) {
        gauge!("http.server.active_requests").increment(1.0);
    }

    fn ended(&self, event: &RequestEvent<'_>) {
        let context = event.context();
        gauge!("http.server.active_requests").decrement(1.0);
        let labels = labels(event);
        histogram!("http.server.request.duration", labels.clone()).record(event.latency());
        if let Some(latency) = context.integration_latency() {
            histogram!("http.client.request.duration", labels.clone()).record(latency);
        }
        if let Some(length) = event.request_length() {
            histogram!("http.server.request.body.size", labels.clone()).record(length as f64);
        }
        histogram!("http.server.response.body.size", labels).record(event.response_length() as f64);
        counter!("tower_gateway.requests_ended", "outcome" => event.outcome().as_str()).increment(1);
        if let Some(error) = event.error() {
            let kind = [
                label("response_type", error.response_type().as_str()),
                label("cause", format!("{:?}", error.cause())),
                label("layer", event.refusing_layer()),
            ];
            counter!("tower_gateway.refusals", kind.to_vec()).increment(1);
        }
        if let Some((result, reason)) = event.cache_lookup() {
            let reason = reason.map(|reason| label("reason", reason));
            let labels: Vec<_> = [label("result", result)].into_iter().chain(reason).collect();
            counter!("tower_gateway.cache.lookups", labels).increment(1);
        }
        record_caller(event);
    }

    fn needs_headroom(&self) -> bool {
        true
    }
}
