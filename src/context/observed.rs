//! What only observers ask for: how long the integration took, who the client says it is, what it announced.

use super::{RequestContext, headroom::PlanHeadroom};
use http::{HeaderMap, StatusCode, header};
use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// Zero stands for nothing known; what is kept is one more than the value.
#[derive(Debug, Default)]
pub(super) struct Observed {
    integration_nanos: AtomicU64,
    integration_status: AtomicU32,
    /// [`WANTS_HEADROOM`] and [`AUTHORIZER_WAS_CACHED`].
    flags: AtomicU16,
    request_length: AtomicU64,
    /// Copied: the value may be a part of a connection's buffer.
    user_agent: OnceLock<Box<[u8]>>,
    pub(super) headroom: OnceLock<Box<PlanHeadroom>>,
    #[cfg(any(feature = "tracing", feature = "xray"))]
    trace: OnceLock<Box<super::trace::TraceContext>>,
}

const WANTS_HEADROOM: u16 = 1;
const AUTHORIZER_WAS_CACHED: u16 = 2;

impl Observed {
    #[cfg(feature = "usage-plan")]
    pub(super) fn wants_headroom(&self) -> bool {
        self.flags.load(Relaxed) & WANTS_HEADROOM != 0
    }

    pub(super) fn was_cached(&self) -> bool {
        self.flags.load(Relaxed) & AUTHORIZER_WAS_CACHED != 0
    }
}

/// What observers want to have kept until the end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) user_agent: bool,
    pub(crate) headroom: bool,
}

impl RequestContext {
    /// `$context.integration.latency`: from the call of the service inside to the head of its answer. `None` where it
    /// was not called, or nobody measured.
    pub fn integration_latency(&self) -> Option<Duration> {
        self.0.observed.integration_nanos.load(Relaxed).checked_sub(1).map(Duration::from_nanos)
    }

    /// `$context.integration.status`: what the service inside answered, before anything outside changed it.
    pub fn integration_status(&self) -> Option<StatusCode> {
        let status = u16::try_from(self.0.observed.integration_status.load(Relaxed)).ok()?;
        StatusCode::from_u16(status).ok()
    }

    /// The request's `Content-Length`, where it has one.
    pub fn request_length(&self) -> Option<u64> {
        self.0.observed.request_length.load(Relaxed).checked_sub(1)
    }

    /// `$context.identity.userAgent`, where an observer asked for it. Whatever the client wrote.
    pub fn user_agent(&self) -> Option<&[u8]> {
        self.0.observed.user_agent.get().map(|value| &**value)
    }

    /// The place in a trace, behind a `TraceLayer`.
    #[cfg(any(feature = "tracing", feature = "xray"))]
    pub fn trace(&self) -> Option<&super::trace::TraceContext> {
        self.0.observed.trace.get().map(|trace| &**trace)
    }

    #[cfg(any(feature = "tracing", feature = "xray"))]
    pub(crate) fn set_trace(&self, trace: super::trace::TraceContext) {
        let _first_writer_wins = self.0.observed.trace.set(Box::new(trace));
    }

    /// A retry overwrites: the last attempt is what the client got.
    pub(crate) fn set_integration(&self, latency: Duration, status: Option<StatusCode>) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.0.observed.integration_nanos.store(nanos.saturating_add(1), Relaxed);
        self.0.observed.integration_status.store(status.map_or(0, |status| status.as_u16().into()), Relaxed);
    }

    /// The authorizer's answer was a cached one.
    #[cfg(feature = "authorizer")]
    pub(crate) fn note_cached_authorizer(&self) {
        self.0.observed.flags.fetch_or(AUTHORIZER_WAS_CACHED, Relaxed);
    }

    pub(crate) fn observe_head(&self, headers: &HeaderMap, wanted: Wanted) {
        if wanted.headroom {
            self.0.observed.flags.fetch_or(WANTS_HEADROOM, Relaxed);
        }
        let length = headers.get(header::CONTENT_LENGTH);
        if let Some(length) = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok()) {
            self.0.observed.request_length.store(length.saturating_add(1), Relaxed);
        }
        if wanted.user_agent
            && let Some(agent) = headers.get(header::USER_AGENT)
        {
            let _first_writer_wins = self.0.observed.user_agent.set(agent.as_bytes().into());
        }
    }
}
