//! `tracing` spans with OpenTelemetry's names.

use super::detail::Details;
use crate::{
    clock::Clock,
    context::{ApiKind, RequestContext},
    observe::{Sampling, event::known_method},
};
use http::{Request, Response, StatusCode, Version};
use pin_project_lite::pin_project;
use std::{
    borrow::Cow,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
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
/// | `http.request.method`, `http.route`, `http.response.status_code` | OpenTelemetry's: a method that is none of HTTP's nine is `_OTHER`, and `HTTP` in `otel.name` |
/// | `http.request.method_original` | such a method, as the client wrote it |
/// | `network.protocol.version`, `client.address` | `1.1`, `2`; [`source_ip`](RequestContext::source_ip) |
/// | `url.scheme` | where the request names it: HTTP/2, absolute URIs |
/// | `url.path` | the path as received, if [`received_path`](Self::received_path) is on |
/// | `error.type` | the gateway response type of a refusal; the status of another 5xx; `_OTHER` for an error of the service |
/// | `aws.request_id`, `aws.extended_request_id` | the ids that the client gets; the former once more where a gateway inside is an HTTP API's |
/// | `trace_id`, `parent_id` | of the [`TraceLayer`](super::TraceLayer) outside, if there is one, as it hands them on; of a gateway's own inside, with the answer |
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
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_gateway::{clock::Clock, observe::{Sampling, trace::SpanLayer}};
    ///
    /// let worth_it = Sampling::all().successes(0.0)?.slower_than(Duration::from_secs(1));
    /// let layer = SpanLayer::new().details(worth_it, Clock::system());
    /// # let _ = layer;
    /// # Ok::<(), tower_gateway::ConfigError>(())
    /// ```
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
    ///     // Under a route for every method a client may write what it likes.
    ///     let method = match context.method().as_str() {
    ///         known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known,
    ///         _ => "HTTP",
    ///     };
    ///     if let Some(route) = context.resource_path() {
    ///         Context::current().span().update_name(format!("{method} {route}"));
    ///     }
    /// });
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn at_answer(mut self, hook: impl Fn(&RequestContext) + Send + Sync + 'static) -> Self {
        self.at_answer = Some(Arc::new(hook));
        self
    }

    /// The span of a request, unless nobody wants it.
    fn open<B>(&self, request: &Request<B>) -> Option<Box<Open>> {
        let context = RequestContext::of(request.extensions());
        let mut span = Span::none();
        let mut make = || span = self.new_span(request, context);
        match (&self.hook, context) {
            (Some(hook), Some(context)) => hook(context, &mut make),
            _ => make(),
        }
        if span.is_disabled() {
            return None;
        }
        if let (Some(_), Some(context)) = (&self.details, context) {
            context.want_phases();
        }
        let Self { at_answer, details, .. } = self.clone();
        let kind = context.map(RequestContext::api_kind);
        let is_traced = context.is_some_and(|context| context.trace().is_some());
        Some(Box::new(Open { span, kind, is_traced, context: context.cloned(), at_answer, details }))
    }

    /// All that is known already goes in at once: a subscriber may write every field anew for each that comes later.
    fn new_span<B>(&self, request: &Request<B>, context: Option<&RequestContext>) -> Span {
        let address = context.and_then(RequestContext::source_ip).map(|address| address.to_string());
        let trace = context.and_then(RequestContext::trace);
        let method = known_method(request.method());
        tracing::info_span!(
            target: "tower_gateway",
            "request",
            otel.name = &*span_name(method, context.and_then(RequestContext::resource_path)),
            otel.kind = "server",
            otel.status_code = Empty,
            http.request.method = method,
            http.request.method_original = (method == OTHER).then(|| request.method().as_str()),
            http.route = Empty,
            http.response.status_code = Empty,
            error.r#type = Empty,
            url.scheme = request.uri().scheme_str(),
            url.path = self.received_path.then(|| request.uri().path()),
            network.protocol.version = protocol_version(request.version()),
            client.address = address.as_deref(),
            aws.request_id = context.map(RequestContext::request_id),
            aws.extended_request_id = context.map(RequestContext::extended_request_id),
            trace_id = trace.map(|trace| trace.trace_id().to_hex()).as_deref(),
            parent_id = trace.map(|trace| trace.forwarded_parent().to_string()).as_deref(),
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
        )
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
        // Two functions: one that looks at its request cannot pass it on without a copy.
        if is_heard() {
            return self.call_in_span(request);
        }
        SpanFuture { future: self.inner.call(request), open: None }
    }
}

/// Whether somebody may listen.
fn is_heard() -> bool {
    tracing::enabled!(target: "tower_gateway", Level::INFO)
}

impl<S> SpanService<S> {
    #[inline(never)]
    fn call_in_span<B>(&mut self, request: Request<B>) -> SpanFuture<S::Future>
    where
        S: Service<Request<B>>,
    {
        let open = self.layer.open(&request);
        let future = match &open {
            Some(open) => open.span.in_scope(|| self.inner.call(request)),
            None => self.inner.call(request),
        };
        SpanFuture { future, open }
    }
}

/// A span that somebody listens to.
struct Open {
    span: Span,
    /// Which kind of API it was taken for.
    kind: Option<ApiKind>,
    /// Its trace was known.
    is_traced: bool,
    context: Option<RequestContext>,
    at_answer: Option<Arc<AnswerHook>>,
    details: Option<Arc<Details>>,
}

/// OpenTelemetry's word for methods that are none of HTTP's: a client may write what it likes.
const OTHER: &str = "_OTHER";

/// With the route where it is known already: behind a `StageRouter`.
fn span_name(method: &'static str, route: Option<&str>) -> Cow<'static, str> {
    let method = if method == OTHER { "HTTP" } else { method };
    route.map_or(method.into(), |route| format!("{method} {route}").into())
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
        // Boxed: without a listener, nothing but the future moves.
        open: Option<Box<Open>>,
    }
}

impl<F, R, E> Future for SpanFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(open) = this.open else { return this.future.poll(cx) };
        let polled = open.span.in_scope(|| this.future.poll(cx));
        if let Poll::Ready(answer) = &polled {
            open.answered(answer.as_ref().ok().map(Response::status));
        }
        polled
    }
}

impl<F> fmt::Debug for SpanFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = self.open.as_ref().map(|open| &open.span);
        f.debug_struct("SpanFuture").field("span", &span).finish_non_exhaustive()
    }
}

impl Open {
    /// What is known once the head is there: the layers inside have matched the route.
    fn answered(&self, status: Option<StatusCode>) {
        let context = self.context.as_ref();
        let failed = status.is_none_or(|status| status.is_server_error());
        let route = context.and_then(RequestContext::resource_path);
        let name = context.zip(route).map(|(context, _)| span_name(known_method(context.method()), route));
        let error = context.and_then(RequestContext::error).map(|error| error.response_type().as_str());
        // Whose kind a gateway inside has settled: the client is told another id.
        let settled = context.filter(|context| self.kind != Some(context.api_kind()));
        let trace = context.and_then(RequestContext::trace).filter(|_| !self.is_traced);
        let unexplained = || status.as_ref().map_or(OTHER, StatusCode::as_str);
        // In one call, for the same reason as above.
        tracing::record_all!(
            self.span,
            http.response.status_code = status.map(|status| status.as_u16()),
            otel.status_code = failed.then_some("ERROR"),
            http.route = route,
            otel.name = name.as_deref(),
            aws.request_id = settled.map(RequestContext::request_id),
            trace_id = trace.map(|trace| trace.trace_id().to_hex()).as_deref(),
            parent_id = trace.map(|trace| trace.forwarded_parent().to_string()).as_deref(),
            "error.type" = error.or_else(|| failed.then(unexplained)),
        );
        if let (Some(details), Some(context)) = (&self.details, context) {
            details.record(&self.span, context, status);
        }
        if let (Some(hook), Some(context)) = (&self.at_answer, context) {
            self.span.in_scope(|| hook(context));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_word_of_a_clients_own() {
        let method = http::Method::from_bytes(b"GETS").unwrap();
        assert_eq!(span_name(known_method(&method), None), "HTTP");
        assert_eq!(span_name(known_method(&method), Some("/pets/{id}")), "HTTP /pets/{id}");
        assert_eq!(span_name(known_method(&http::Method::GET), Some("/")), "GET /");
    }
}
