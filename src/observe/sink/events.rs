//! Lines as `tracing` events.

use super::{LogSink, RequestEvent};

/// Gives each line to the program's `tracing` subscriber, as the message of an event of target
/// `tower_gateway::access_log`, level INFO, with `aws.request_id` and `http.response.status_code` as fields. The
/// subscriber runs on the request's own path: what it costs, every request pays.
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingSink;

impl LogSink for TracingSink {
    fn write(&self, line: &str, event: &RequestEvent<'_>) {
        let status = event.status().map(|status| status.as_u16());
        tracing::event!(
            target: "tower_gateway::access_log",
            tracing::Level::INFO,
            { aws.request_id = event.context().request_id(), http.response.status_code = status },
            "{line}"
        );
    }
}
