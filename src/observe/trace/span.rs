//! `tracing` spans with OpenTelemetry's names.

use super::detail::Details;
use crate::{clock::Clock, context::RequestContext, observe::Sampling};
use http::{Request, Response, Version};
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tower_layer::Layer;
use tower_service::Service;
use tracing::{Level, Span, field::Empty};

/// Runs everything inside in a span `request` of target `tower_gateway`, level INFO, from the call to the head of the
/// answer.
///
/// | field | value |
/// |---|---|
/// | `otel.name` | `{method}`, then `{method} {http.route}` once the route is known |
/// | `otel.kind` | `server` |
/// | `otel.status_code` | `ERROR` for 5xx and errors of the service; 4xx leave it unset |
/// | `http.request.method`, `http.route`, `http.response.status_code` | OpenTelemetry's |
/// | `network.protocol.version`, `client.address` | `1.1`, `2`; [`source_ip`](RequestContext::source_ip) |
/// | `url.scheme` | where the request names it: HTTP/2, absolute URIs |
/// | `url.path` | the path as received, if [`received_path`](Self::received_path) is on |
/// | `error.type` | the gateway response type of a refusal; the status of another 5xx; `_OTHER` for an error of the service |
/// | `aws.request_id`, `aws.extended_request_id` | the ids that the client gets |
/// | `trace_id`, `parent_id` | of the [`TraceLayer`](super::TraceLayer) outside, if there is one |
///
/// With [`details`](Self::details), spans of some requests also have `tower_gateway.` `cause`, `layer`, `stage`,
/// `api_key_id`, `cache.status`, `cache.reason`, and the milliseconds of phases: `waf.latency_ms`,
/// `authenticate.latency_ms`, `authorizer.latency_ms`, `authorize.latency_ms`, `integration.latency_ms`.
///
/// The route is a template, never the path that was received. Where nobody listens, no field is made.
///
/// An OpenTelemetry exporter learns of the caller's span from [`around_new_span`](Self::around_new_span), and of the
/// route's name from [`at_answer`](Self::at_answer). Its spans have ids of its own: calls to other services should carry
/// what its propagator writes, in place of the headers that a `TraceLayer` hands on.
#[derive(Clone, Default)]
pub struct SpanLayer {
    hook: Option<Arc<Hook>>,
    at_answer: Option<Arc<AnswerHook>>,
    received_path: bool,
    details: Option<Arc<Details>>,
}

type Hook = dyn Fn(&RequestContext, &mut dyn FnMut()) + Send + Sync;
type AnswerHook = dyn Fn(&RequestContext) + Send + Sync;

impl SpanLayer {
    /// A span for every request.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the path as received is a field, `url.path`. OpenTelemetry asks for it; paths may hold what nobody should
    /// keep. Default: no.
    #[must_use]
    pub fn received_path(mut self, keep: bool) -> Self {
        self.received_path = keep;
        self
    }

    /// Records what happened inside of the gateway on the spans of these requests, decided when the head of the answer is
    /// there: `Sampling::all().successes(0.0)?.slower_than(..)` takes slow, refused and failed ones only. `clock` is that
    /// of the context. It needs a context from outside (a [`TraceLayer`](super::TraceLayer), an `ObserveLayer`). Default:
    /// of none.
    #[must_use]
    pub fn details(mut self, sampling: Sampling, clock: Clock) -> Self {
        self.details = Some(Arc::new(Details { sampling, clock }));
        self
    }

    /// Runs around the making of every span, which the hook's second argument does; of requests that a
    /// [`TraceLayer`](super::TraceLayer) or another of our layers outside has given a context. With
    /// `tracing-opentelemetry`, the place to say whose child it is:
    ///
    /// ```
    /// use opentelemetry::{Context, trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState}};
    /// use tower_gateway::{context::RequestContext, observe::trace::SpanLayer};
    ///
    /// /// The caller's span.
    /// fn parent(context: &RequestContext) -> Option<Context> {
    ///     let trace = context.trace()?;
    ///     let trace_id = TraceId::from_hex(&trace.trace_id().to_hex()).ok()?;
    ///     let span_id = SpanId::from_hex(&trace.parent()?.to_string()).ok()?;
    ///     let flags = if trace.is_sampled() { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
    ///     let remote = SpanContext::new(trace_id, span_id, flags, true, TraceState::NONE);
    ///     Some(Context::new().with_remote_span_context(remote))
    /// }
    /// let layer = SpanLayer::new().around_new_span(|context, make| {
    ///     let _parent = parent(context).map(Context::attach);
    ///     make();
    /// });
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn around_new_span(
        mut self,
        hook: impl Fn(&RequestContext, &mut dyn FnMut()) + Send + Sync + 'static,
    ) -> Self {
        self.hook = Some(Arc::new(hook));
        self
    }

    /// Runs inside of every span when the head of its answer is there. `tracing-opentelemetry` does not rename a span that
    /// has begun, and the route is known later: the place to do so.
    ///
    /// ```
    /// use opentelemetry::{Context, trace::TraceContextExt};
    /// use tower_gateway::observe::trace::SpanLayer;
    ///
    /// let layer = SpanLayer::new().at_answer(|context| {
    ///     if let Some(route) = context.resource_path() {
    ///         Context::current().span().update_name(format!("{} {route}", context.method()));
    ///     }
    /// });
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn at_answer(mut self, hook: impl Fn(&RequestContext) + Send + Sync + 'static) -> Self {
        self.at_answer = Some(Arc::new(hook));
        self
    }

    fn new_span<B>(&self, request: &Request<B>) -> Span {
        if !tracing::enabled!(target: "tower_gateway", Level::INFO) {
            return Span::none();
        }
        let mut span = Span::none();
        match (&self.hook, RequestContext::of(request.extensions())) {
            (Some(hook), Some(context)) => hook(context, &mut || span = new_span(request)),
            _ => span = new_span(request),
        }
        if self.received_path {
            span.record("url.path", request.uri().path());
        }
        span
    }
}

impl fmt::Debug for SpanLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpanLayer").field("received_path", &self.received_path).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for SpanLayer {
    type Service = SpanService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SpanService { inner, layer: self.clone() }
    }
}

/// The service of [`SpanLayer`].
#[derive(Clone, Debug)]
pub struct SpanService<S> {
    inner: S,
    layer: SpanLayer,
}

impl<S, B, R> Service<Request<B>> for SpanService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = SpanFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let span = self.layer.new_span(&request);
        let context =
            (!span.is_disabled()).then(|| RequestContext::of(request.extensions()).cloned()).flatten();
        if let (Some(_), Some(context)) = (&self.layer.details, &context) {
            context.want_phases();
        }
        let future = span.in_scope(|| self.inner.call(request));
        let SpanLayer { at_answer, details, .. } = &self.layer;
        SpanFuture { future, span, context, at_answer: at_answer.clone(), details: details.clone() }
    }
}

fn new_span<B>(request: &Request<B>) -> Span {
    let span = tracing::info_span!(
        target: "tower_gateway",
        "request",
        otel.name = span_name(request),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = request.method().as_str(),
        http.route = Empty,
        http.response.status_code = Empty,
        error.r#type = Empty,
        url.scheme = request.uri().scheme_str(),
        url.path = Empty,
        network.protocol.version = protocol_version(request.version()),
        client.address = Empty,
        aws.request_id = Empty,
        aws.extended_request_id = Empty,
        trace_id = Empty,
        parent_id = Empty,
        tower_gateway.cause = Empty,
        tower_gateway.layer = Empty,
        tower_gateway.stage = Empty,
        tower_gateway.api_key_id = Empty,
        tower_gateway.cache.status = Empty,
        tower_gateway.cache.reason = Empty,
        tower_gateway.waf.latency_ms = Empty,
        tower_gateway.authenticate.latency_ms = Empty,
        tower_gateway.authorizer.latency_ms = Empty,
        tower_gateway.authorize.latency_ms = Empty,
        tower_gateway.integration.latency_ms = Empty,
    );
    if let Some(context) = RequestContext::of(request.extensions()) {
        span.record("aws.request_id", context.request_id());
        span.record("aws.extended_request_id", context.extended_request_id());
        if let Some(address) = context.source_ip() {
            span.record("client.address", address.to_string());
        }
        if let Some(trace) = context.trace() {
            span.record("trace_id", trace.trace_id().to_hex());
            span.record("parent_id", trace.span_id().to_string());
        }
    }
    span
}

/// The route where it is known already: behind a `StageRouter`.
fn span_name<B>(request: &Request<B>) -> String {
    let route = RequestContext::of(request.extensions()).and_then(RequestContext::resource_path);
    match route {
        Some(route) => format!("{} {route}", request.method()),
        None => request.method().to_string(),
    }
}

fn protocol_version(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_09 => Some("0.9"),
        Version::HTTP_10 => Some("1.0"),
        Version::HTTP_11 => Some("1.1"),
        Version::HTTP_2 => Some("2"),
        Version::HTTP_3 => Some("3"),
        _ => None,
    }
}

pin_project! {
    /// Response future of [`SpanService`].
    pub struct SpanFuture<F> {
        #[pin]
        future: F,
        span: Span,
        context: Option<RequestContext>,
        at_answer: Option<Arc<AnswerHook>>,
        details: Option<Arc<Details>>,
    }
}

impl<F, R, E> Future for SpanFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.span.in_scope(|| this.future.poll(cx)));
        if !this.span.is_disabled() {
            let status = answer.as_ref().ok().map(Response::status);
            record(this.span, this.context.as_ref(), status.map(|status| status.as_u16()));
            if let (Some(details), Some(context)) = (this.details, this.context.as_ref()) {
                details.record(this.span, context, status);
            }
        }
        if let (Some(hook), Some(context)) = (this.at_answer, this.context) {
            this.span.in_scope(|| hook(context));
        }
        Poll::Ready(answer)
    }
}

impl<F> fmt::Debug for SpanFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpanFuture").field("span", &self.span).finish_non_exhaustive()
    }
}

/// What is known once the head is there: the layers inside have matched the route.
fn record(span: &Span, context: Option<&RequestContext>, status: Option<u16>) {
    if let Some(status) = status {
        span.record("http.response.status_code", status);
    }
    if status.is_none_or(|status| status >= 500) {
        span.record("otel.status_code", "ERROR");
    }
    let Some(context) = context else { return };
    if let Some(route) = context.resource_path() {
        span.record("http.route", route);
        span.record("otel.name", format!("{} {route}", context.method()));
    }
    if let Some(error) = context.error() {
        span.record("error.type", error.response_type().as_str());
    } else if status.is_none_or(|status| status >= 500) {
        span.record("error.type", status.map_or("_OTHER".to_owned(), |status| status.to_string()));
    }
}
