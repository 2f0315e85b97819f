//! Reads, decides and forwards: a trace goes on through the gateway.

use super::{
    SpanId, TraceContext, TraceId,
    header::{self, TRACEPARENT, X_AMZN_TRACE_ID, amzn_value, traceparent_value},
    rules::{Rules, SamplingRule},
};
use crate::context::{ContextConfig, RequestContext};
use http::{HeaderMap, Request};
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tower_layer::Layer;
use tower_service::Service;

/// Continues the trace of a request, or begins one; see the [module docs](super).
#[derive(Clone, Debug, Default)]
pub struct TraceLayer {
    config: Arc<Config>,
}

#[derive(Clone, Debug, Default)]
struct Config {
    context: ContextConfig,
    rules: Rules,
    active: bool,
    ignore_client: bool,
}

impl TraceLayer {
    /// Passive, as stages are on AWS unless told otherwise: recorded is what a client says is recorded.
    pub fn new() -> Self {
        Self::default()
    }

    fn change(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }

    /// Decides by X-Ray's default rule for requests that bring no decision (`tracingEnabled`), and takes part in their
    /// traces with a span of its own. Default: passive.
    #[must_use]
    pub fn active(self, active: bool) -> Self {
        self.change(|config| config.active = active)
    }

    /// Decides by these rules, actively. Without one that matches, a request is not recorded.
    #[must_use]
    pub fn rules(self, rules: impl IntoIterator<Item = SamplingRule>) -> Self {
        let rules = Rules::new(rules.into_iter().collect());
        self.change(|config| (config.active, config.rules) = (true, rules))
    }

    /// Begins a trace of its own whatever the client sent. Default: clients are believed, as on AWS: they choose which
    /// trace their requests are part of, and whether it is recorded.
    #[must_use]
    pub fn ignore_client_traces(self, ignore: bool) -> Self {
        self.change(|config| config.ignore_client = ignore)
    }

    /// The clock of new trace ids, where this is the first of our layers. Default: the system's.
    #[must_use]
    pub fn clock(self, clock: crate::clock::Clock) -> Self {
        self.change(|config| config.context.clock = clock)
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = TraceService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TraceService { inner, config: Arc::clone(&self.config) }
    }
}

/// The service of [`TraceLayer`].
#[derive(Clone, Debug)]
pub struct TraceService<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S, B> Service<Request<B>> for TraceService<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let context = self.config.context.find_or_create(&mut request);
        let trace = self.config.enter(&context, request.headers());
        trace.forward(request.headers_mut());
        context.set_trace(trace);
        self.inner.call(request)
    }
}

impl Config {
    fn enter(&self, context: &RequestContext, headers: &HeaderMap) -> TraceContext {
        let incoming = if self.ignore_client { None } else { header::read(headers) };
        let own = SpanId::new(fastrand::u64(..));
        let new = || TraceId::new(context.arrived().unix_seconds(), fastrand::u128(..));
        let trace_id = incoming.as_ref().map_or_else(new, |found| found.trace_id);
        let decided = incoming.as_ref().and_then(|found| found.sampled);
        let (sampled, rule) = match decided {
            Some(sampled) => (sampled, None),
            None if self.active => self.rules.decide(context),
            None => (false, None),
        };
        let (parent, extra) = incoming.map(|found| (found.parent, found.extra)).unwrap_or_default();
        let takes_part = self.active && sampled;
        TraceContext { trace_id, parent, span: own, sampled, takes_part, rule, extra }
    }
}

impl TraceContext {
    /// Both headers, in agreement. A gateway that records no span of its own hands the caller's on.
    fn forward(&self, headers: &mut HeaderMap) {
        let parent = if self.takes_part { self.span } else { self.parent.unwrap_or(self.span) };
        if let Some(value) = amzn_value(self.trace_id, parent, self.sampled, &self.extra) {
            headers.insert(&X_AMZN_TRACE_ID, value);
        }
        if let Some(value) = traceparent_value(self.trace_id, parent, self.sampled) {
            headers.insert(&TRACEPARENT, value);
        }
    }
}
