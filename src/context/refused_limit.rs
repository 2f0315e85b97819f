//! Which limit refused a request, in its own numbers: for logs, never for the client.

use super::RequestContext;
use std::sync::Arc;

/// The limit behind a 429.
#[derive(Clone, Debug, PartialEq)]
#[allow(dead_code, reason = "read by the execution log")]
pub(crate) struct RefusedLimit {
    /// The usage plan it belongs to; `None` for those of stage and account.
    pub(crate) plan_id: Option<Arc<str>>,
    pub(crate) numbers: LimitNumbers,
}

/// What the limit allows.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(dead_code, reason = "read by the execution log")]
pub(crate) enum LimitNumbers {
    Throttle { rate: f64, burst: u32 },
    Quota { limit: u64, period: &'static str },
}

impl RequestContext {
    /// Keeps the limit where an execution log will tell of it.
    #[cfg(feature = "tracing")]
    pub(crate) fn note_refused_limit(&self, limit: impl FnOnce() -> Option<RefusedLimit>) {
        if self.execution().is_some()
            && let Some(limit) = limit()
        {
            let _first_writer_wins = self.0.observed.make_rare().refused_limit.set(limit);
        }
    }

    #[cfg(not(feature = "tracing"))]
    pub(crate) fn note_refused_limit(&self, _: impl FnOnce() -> Option<RefusedLimit>) {}

    #[cfg(feature = "tracing")]
    pub(crate) fn refused_limit(&self) -> Option<&RefusedLimit> {
        self.0.observed.rare()?.refused_limit.get()
    }
}
