//! Reads, decides, forwards and answers: a trace goes on through the gateway.

use super::{
    SpanId, TraceContext, TraceId,
    header::{self, Incoming, TRACEPARENT, TRACESTATE, X_AMZN_TRACE_ID, amzn_value, traceparent_value},
    rules::{Asked, Rules, SamplingRule},
};
use crate::{
    context::{ContextConfig, RequestContext, without_port},
    observe::ApiInfo,
    response::{GatewayError, ResponseType},
};
use http::{HeaderMap, HeaderValue, Request, Response, header::HOST};
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
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
    /// Answers stay without the header.
    silent: bool,
    /// The API, and its Region.
    api: Option<(ApiInfo, Arc<str>)>,
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

    /// Whether answers carry `X-Amzn-Trace-Id`, where AWS's do: see the [module docs](super). Default: yes.
    #[must_use]
    pub fn answer_header(self, send: bool) -> Self {
        self.change(|config| config.silent = !send)
    }

    /// What rules by service name and ARN go by: the API's name and id, and the Region that names it. Default: neither is
    /// known.
    #[must_use]
    pub fn api(self, api: ApiInfo, region: impl Into<Arc<str>>) -> Self {
        self.change(|config| config.api = Some((api, region.into())))
    }

    /// The clock of new trace ids, where this is the first of our layers. Default: the system's.
    #[must_use]
    pub fn clock(self, clock: crate::clock::Clock) -> Self {
        self.change(|config| config.context.clock = clock)
    }
}

/// As a phase of a gateway. Where a layer outside has begun, there is nothing to do.
#[cfg(feature = "gateway")]
impl TraceLayer {
    pub(crate) fn begin(&self, context: &RequestContext, headers: &mut HeaderMap) -> bool {
        let begins = context.trace().is_none();
        if begins {
            self.config.begin(context, headers);
        }
        begins
    }

    pub(crate) fn answered<R>(&self, context: &RequestContext, response: &mut Response<R>) {
        if !self.config.silent {
            answer(context, self.config.active, response);
        }
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

impl<S, B, R> Service<Request<B>> for TraceService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = TraceFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let context = self.config.context.find_or_create(&mut request);
        self.config.begin(&context, request.headers_mut());
        let future = self.inner.call(request);
        TraceFuture {
            future,
            context: Some(context).filter(|_| !self.config.silent),
            active: self.config.active,
        }
    }
}

pin_project! {
    /// Response future of [`TraceService`].
    #[derive(Debug)]
    pub struct TraceFuture<F> {
        #[pin]
        future: F,
        context: Option<RequestContext>,
        active: bool,
    }
}

impl<F, R, E> Future for TraceFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut polled = ready!(this.future.poll(cx));
        if let (Ok(response), Some(context)) = (&mut polled, this.context) {
            answer(context, *this.active, response);
        }
        Poll::Ready(polled)
    }
}

/// Writes the header on an answer that has it on AWS.
fn answer<R>(context: &RequestContext, active: bool, response: &mut Response<R>) {
    let error = context.error().or_else(|| response.extensions().get());
    // On AWS a mock answers them, whose answers have no header.
    let has_header = is_answered(error, active) && !context.is_answered_preflight();
    let trace = context.trace().filter(|_| has_header);
    if let Some(value) = trace.and_then(TraceContext::answer_value) {
        response.headers_mut().entry(&X_AMZN_TRACE_ID).or_insert(value);
    }
}

/// Recorded from AWS: on answers of the integration and on those that the gateway made in its place, on the 429 of an
/// API that traces; not on what was refused before.
fn is_answered(error: Option<&GatewayError>, active: bool) -> bool {
    use ResponseType::{IntegrationFailure, IntegrationTimeout, QuotaExceeded, Throttled};
    match error.map(GatewayError::response_type) {
        None | Some(IntegrationFailure | IntegrationTimeout) => true,
        Some(Throttled | QuotaExceeded) => active,
        Some(_) => false,
    }
}

impl Config {
    fn read(&self, headers: &HeaderMap) -> Option<Incoming> {
        if self.ignore_client { None } else { header::read(headers) }
    }

    /// Reads what came, decides, and hands both headers on.
    fn begin(&self, context: &RequestContext, headers: &mut HeaderMap) {
        let incoming = self.read(headers);
        let is_w3c = incoming.as_ref().is_some_and(|found| found.is_w3c);
        let trace = self.enter(context, incoming, || host(context, headers));
        trace.forward(headers);
        if !is_w3c {
            headers.remove(&TRACESTATE);
        }
        context.set_trace(trace);
    }

    /// `host` is asked for where a rule decides.
    fn enter<'a>(
        &self,
        context: &RequestContext,
        incoming: Option<Incoming>,
        host: impl FnOnce() -> &'a str,
    ) -> TraceContext {
        let own = SpanId::new(fastrand::u64(..));
        let new = || TraceId::new(context.arrived().unix_seconds(), fastrand::u128(..));
        let trace_id = incoming.as_ref().map_or_else(new, |found| found.trace_id);
        let decided = incoming.as_ref().and_then(|found| found.sampled);
        let (sampled, rule) = match decided {
            Some(sampled) => (sampled, None),
            None if self.active => {
                self.rules.decide(&Asked { context, host: host(), api: self.api.as_ref() })
            }
            None => (false, None),
        };
        let (parent, extra) = incoming.map(|found| (found.parent, found.extra)).unwrap_or_default();
        let takes_part = self.active && sampled;
        TraceContext { trace_id, parent, span: own, sampled, takes_part, rule, extra }
    }
}

/// The host that was asked for, as nobody outside has looked for it yet: the URI's, else the one that the field names.
fn host<'a>(context: &'a RequestContext, headers: &'a HeaderMap) -> &'a str {
    let field = || header::single(headers, &HOST).map(without_port);
    context.domain_name().or_else(field).unwrap_or_default()
}

impl TraceContext {
    /// A gateway that records no span of its own hands the caller's on.
    pub(super) fn forwarded_parent(&self) -> SpanId {
        if self.takes_part { self.span } else { self.parent.unwrap_or(self.span) }
    }

    /// What the client is told of the trace.
    fn answer_value(&self) -> Option<HeaderValue> {
        amzn_value(self.trace_id, self.forwarded_parent(), self.sampled, &self.extra)
    }

    /// Both headers, in agreement.
    fn forward(&self, headers: &mut HeaderMap) {
        let parent = self.forwarded_parent();
        if let Some(value) = amzn_value(self.trace_id, parent, self.sampled, &self.extra) {
            headers.insert(&X_AMZN_TRACE_ID, value);
        }
        if let Some(value) = traceparent_value(self.trace_id, parent, self.sampled) {
            headers.insert(&TRACEPARENT, value);
        }
    }
}
