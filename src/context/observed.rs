//! What only observers ask for: how long the integration took, who the client says it is, how much it sent.

use super::{RequestContext, headroom::PlanHeadroom, phases::Phases};
use crate::clock::Timestamp;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// Zero stands for nothing known; what is kept is one more than the value.
#[derive(Debug, Default)]
pub(super) struct Observed {
    integration_nanos: AtomicU64,
    /// From the arrival to the call.
    integration_offset: AtomicU64,
    integration_status: AtomicU16,
    wants_headroom: AtomicBool,
    was_cached: AtomicBool,
    is_observed: AtomicBool,
    is_refresh: AtomicBool,
    #[cfg(any(feature = "cache", feature = "timeout"))]
    has_stand_in: AtomicBool,
    is_preflight: AtomicBool,
    /// Bytes of the request body that were read.
    request_received: AtomicU64,
    /// Copied: the value may be a part of a connection's buffer.
    user_agent: OnceLock<Box<[u8]>>,
    rare: OnceLock<Box<Rare>>,
}

/// What few observers ask for, in one block that is made for the first of it: no other request has room for it.
#[derive(Debug, Default)]
pub(super) struct Rare {
    /// `x-amzn-RequestId` or `x-amz-request-id`, and `x-amz-id-2` of the service's answer.
    endpoint_ids: OnceLock<[Option<HeaderValue>; 2]>,
    pub(super) headroom: OnceLock<PlanHeadroom>,
    pub(super) phases: OnceLock<Phases>,
    #[cfg(any(feature = "tracing", feature = "xray"))]
    trace: OnceLock<super::trace::TraceContext>,
    #[cfg(feature = "tracing")]
    pub(super) execution: OnceLock<Box<super::ExecutionRecord>>,
    #[cfg(all(feature = "tracing", feature = "usage-plan"))]
    pub(super) refused_limit: OnceLock<super::RefusedLimit>,
}

impl Observed {
    /// To be read.
    pub(super) fn rare(&self) -> Option<&Rare> {
        self.rare.get().map(|rare| &**rare)
    }

    /// To be written.
    pub(super) fn make_rare(&self) -> &Rare {
        self.rare.get_or_init(Box::default)
    }

    pub(super) fn phases(&self) -> Option<&Phases> {
        self.rare()?.phases.get()
    }

    #[cfg(feature = "usage-plan")]
    pub(super) fn wants_headroom(&self) -> bool {
        self.wants_headroom.load(Relaxed)
    }

    pub(super) fn was_cached(&self) -> bool {
        self.was_cached.load(Relaxed)
    }
}

/// What observers want to have kept until the end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) user_agent: bool,
    pub(crate) headroom: bool,
    pub(crate) phases: bool,
}

impl RequestContext {
    /// `$context.integration.latency`: from the call of the service inside to the head of its answer. `None` where it
    /// was not called, or nobody measured.
    pub fn integration_latency(&self) -> Option<Duration> {
        self.0.observed.integration_nanos.load(Relaxed).checked_sub(1).map(Duration::from_nanos)
    }

    /// From the arrival of the request to the call of the service inside.
    #[cfg(feature = "xray")]
    pub(crate) fn integration_offset(&self) -> Duration {
        Duration::from_nanos(self.0.observed.integration_offset.load(Relaxed))
    }

    /// `$context.integration.timeToFirstContent`: from the call to the first byte of the answer's body.
    pub(crate) fn time_to_first_content(&self) -> Option<Duration> {
        let first = self.0.observed.phases()?.first_content.get()?;
        self.integration_latency()?;
        let called = Duration::from_nanos(self.0.observed.integration_offset.load(Relaxed));
        Some(first.since(self.arrived()).saturating_sub(called))
    }

    /// The first byte of the answer's body is there.
    pub(crate) fn note_first_content(&self, now: impl FnOnce() -> Timestamp) {
        if let Some(phases) = self.0.observed.phases() {
            phases.first_content.get_or_init(now);
        }
    }

    /// `$context.integration.status`: what the service inside answered, before anything outside changed it.
    pub fn integration_status(&self) -> Option<StatusCode> {
        StatusCode::from_u16(self.0.observed.integration_status.load(Relaxed)).ok()
    }

    /// Whether anybody is told how the request ends.
    #[cfg(any(feature = "gateway", feature = "jwt", feature = "payload-limit"))]
    pub(crate) fn is_observed(&self) -> bool {
        self.0.observed.is_observed.load(Relaxed)
    }

    /// The bytes of the request body that were read so far. What `Content-Length` announces is a client's word, and not
    /// in it: a body that nobody reads has 0. `None` for a request without a body, and for a body that nobody counts:
    /// [`Gateway`](crate::gateway) does where somebody observes it, and so does a `PayloadLimitLayer` inside of an
    /// observer.
    pub fn request_length(&self) -> Option<u64> {
        self.0.observed.request_received.load(Relaxed).checked_sub(1)
    }

    /// Bytes of the request body as they are read.
    pub(crate) fn saw_request_data(&self, data: &[u8]) {
        self.0.observed.request_received.fetch_add(data.len() as u64, Relaxed);
        #[cfg(feature = "tracing")]
        if let Some(execution) = self.execution() {
            execution.note(|texts| texts.request_body.push(data));
        }
    }

    /// Whether the caller is the one who counts from now on: a second one would count every byte twice.
    pub(crate) fn begin_request_count(&self) -> bool {
        self.0.observed.request_received.compare_exchange(0, 1, Relaxed, Relaxed).is_ok()
    }

    /// `$context.identity.userAgent`, where an observer asked for it. Whatever the client wrote.
    pub fn user_agent(&self) -> Option<&[u8]> {
        self.0.observed.user_agent.get().map(|value| &**value)
    }

    /// `$context.awsEndpointRequestId` and `awsEndpointRequestId2`: what the service inside says its ids are. Whatever it
    /// wrote.
    pub(crate) fn endpoint_ids(&self) -> [Option<&HeaderValue>; 2] {
        match self.0.observed.rare().and_then(|rare| rare.endpoint_ids.get()) {
            Some([id, id_2]) => [id.as_ref(), id_2.as_ref()],
            None => [None, None],
        }
    }

    #[cfg(feature = "gateway")]
    pub(crate) fn set_endpoint_ids(&self, headers: &HeaderMap) {
        let id = headers.get("x-amzn-requestid").or_else(|| headers.get("x-amz-request-id"));
        let ids = [id, headers.get("x-amz-id-2")];
        if ids.iter().any(Option::is_some) {
            let ids = ids.map(Option::<&_>::cloned);
            let _first_writer_wins = self.0.observed.make_rare().endpoint_ids.set(ids);
        }
    }

    /// The place in a trace, behind a `TraceLayer`.
    #[cfg(any(feature = "tracing", feature = "xray"))]
    pub fn trace(&self) -> Option<&super::trace::TraceContext> {
        self.0.observed.rare()?.trace.get()
    }

    #[cfg(any(feature = "tracing", feature = "xray"))]
    pub(crate) fn set_trace(&self, trace: super::trace::TraceContext) {
        let _first_writer_wins = self.0.observed.make_rare().trace.set(trace);
    }

    /// The gateway answers a preflight: no method was asked.
    #[cfg(feature = "gateway")]
    pub(crate) fn note_preflight(&self) {
        self.0.observed.is_preflight.store(true, Relaxed);
    }

    #[cfg(any(feature = "tracing", feature = "xray"))]
    pub(crate) fn is_answered_preflight(&self) -> bool {
        self.0.observed.is_preflight.load(Relaxed)
    }

    /// The request has its answer. What calls the service on its behalf refreshes what is stored, and what comes of it is
    /// no part of this request.
    #[cfg(feature = "cache")]
    pub(crate) fn begin_refresh(&self) {
        self.0.observed.is_refresh.store(true, Relaxed);
    }

    pub(crate) fn is_refresh(&self) -> bool {
        self.0.observed.is_refresh.load(Relaxed)
    }

    /// A call is made for it in whose place a stored answer may be served, should the service be given up.
    #[cfg(feature = "cache")]
    pub(crate) fn note_stand_in(&self) {
        self.0.observed.has_stand_in.store(true, Relaxed);
    }

    /// Whether the cache outside says what came of the request.
    #[cfg(feature = "timeout")]
    pub(crate) fn has_stand_in(&self) -> bool {
        self.0.observed.has_stand_in.load(Relaxed) || self.outer().is_some_and(Self::has_stand_in)
    }

    /// A retry overwrites: the last attempt is what the client got. It is noted outside, too: whoever observes a retry
    /// around a stage looks there.
    pub(crate) fn set_integration(&self, called_at: Timestamp, now: Timestamp, status: Option<StatusCode>) {
        if self.is_refresh() {
            return;
        }
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let (latency, offset) = (nanos(now.since(called_at)), nanos(called_at.since(self.arrived())));
        self.0.observed.integration_nanos.store(latency.saturating_add(1), Relaxed);
        self.0.observed.integration_offset.store(offset, Relaxed);
        self.0.observed.integration_status.store(status.map_or(0, |status| status.as_u16()), Relaxed);
        if let Some(outer) = self.outer() {
            outer.set_integration(called_at, now, status);
        }
    }

    /// The authorizer's answer was a cached one, or a token one that is remembered.
    #[cfg(feature = "authorizer")]
    pub(crate) fn note_cached_authorizer(&self) {
        self.0.observed.was_cached.store(true, Relaxed);
    }

    /// What the phases come to is to be kept.
    pub(crate) fn want_phases(&self) {
        self.0.observed.make_rare().phases.get_or_init(Phases::default);
    }

    pub(crate) fn observe_head(&self, headers: &HeaderMap, wanted: Wanted) {
        self.0.observed.is_observed.store(true, Relaxed);
        if wanted.phases {
            self.want_phases();
        }
        if wanted.headroom {
            self.0.observed.wants_headroom.store(true, Relaxed);
        }
        if wanted.user_agent
            && let Some(agent) = headers.get(header::USER_AGENT)
        {
            let _first_writer_wins = self.0.observed.user_agent.set(agent.as_bytes().into());
        }
    }
}
