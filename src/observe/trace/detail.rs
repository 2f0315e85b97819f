//! What only the spans of slow, refused and failed requests say: decided when the head of the answer is there.

use crate::{
    clock::Clock,
    context::RequestContext,
    observe::{
        Sampling,
        event::{is_error, millis},
    },
};
use http::StatusCode;
use tracing::Span;

/// Which spans get details, and by which clock requests are slow.
#[derive(Clone, Debug)]
pub(super) struct Details {
    pub(super) sampling: Sampling,
    pub(super) clock: Clock,
}

/// Names of fields, and the variables that they show.
const VARIABLES: [(&str, &str); 8] = [
    ("tower_gateway.stage", "stage"),
    ("tower_gateway.waf.latency_ms", "waf.latency"),
    ("tower_gateway.authenticate.latency_ms", "authenticate.latency"),
    ("tower_gateway.authorizer.latency_ms", "authorizer.latency"),
    ("tower_gateway.authorize.latency_ms", "authorize.latency"),
    ("tower_gateway.cache.status", "cache.status"),
    ("tower_gateway.cache.reason", "cache.reason"),
    ("tower_gateway.api_key_id", "identity.apiKeyId"),
];

impl Details {
    /// Records them where this request is one to be looked at.
    pub(super) fn record(&self, span: &Span, context: &RequestContext, status: Option<StatusCode>) {
        let latency = self.clock.now().since(context.arrived());
        if !self.sampling.takes_answer(is_error(status, context), latency) {
            return;
        }
        if let Some(error) = context.error() {
            span.record("tower_gateway.cause", format!("{:?}", error.cause()));
            span.record("tower_gateway.layer", context.refusing_layer().unwrap_or("other"));
        }
        if let Some(latency) = context.integration_latency() {
            span.record("tower_gateway.integration.latency_ms", millis(latency));
        }
        for (field, name) in VARIABLES {
            if let Some(value) = context.variable(name) {
                span.record(field, &*value);
            }
        }
    }
}
