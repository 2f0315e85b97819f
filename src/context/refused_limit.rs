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
    pub(crate) fn note_refused_limit(&self, limit: impl FnOnce() -> Option<RefusedLimit>) {
        if self.tells_refused_limit()
            && let Some(limit) = limit()
        {
            let _first_writer_wins = self.0.refused_limit.set(Box::new(limit));
        }
    }

    #[cfg(feature = "tracing")]
    fn tells_refused_limit(&self) -> bool {
        self.execution().is_some()
    }

    #[cfg(not(feature = "tracing"))]
    fn tells_refused_limit(&self) -> bool {
        false
    }

    #[allow(dead_code, reason = "read by the execution log")]
    pub(crate) fn refused_limit(&self) -> Option<&RefusedLimit> {
        self.0.refused_limit.get().map(|limit| &**limit)
    }
}
