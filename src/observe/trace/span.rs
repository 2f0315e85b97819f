//! `tracing` spans with OpenTelemetry's names.

use crate::context::RequestContext;
use http::{Request, Response};
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
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
/// | `otel.name` | `{method} {http.route}` |
/// | `otel.kind` | `server` |
/// | `otel.status_code` | `ERROR` for 5xx and errors of the service; 4xx leave it unset |
/// | `http.request.method`, `http.route`, `http.response.status_code` | OpenTelemetry's |
/// | `error.type` | the gateway response type of a refusal |
/// | `aws.request_id`, `aws.extended_request_id` | the ids that the client gets |
/// | `trace_id`, `parent_id` | of the [`TraceLayer`](super::TraceLayer) outside, if there is one |
///
/// The route is a template, never the path that was received. Where nobody listens, no field is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct SpanLayer;

impl SpanLayer {
    /// A span for every request.
    pub fn new() -> Self {
        Self
    }
}

impl<S> Layer<S> for SpanLayer {
    type Service = SpanService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SpanService { inner }
    }
}

/// The service of [`SpanLayer`].
#[derive(Clone, Debug)]
pub struct SpanService<S> {
    inner: S,
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
        let span = new_span(&request);
        let context =
            (!span.is_disabled()).then(|| RequestContext::of(request.extensions()).cloned()).flatten();
        let future = span.in_scope(|| self.inner.call(request));
        SpanFuture { future, span, context }
    }
}

fn new_span<B>(request: &Request<B>) -> Span {
    if !tracing::enabled!(target: "tower_gateway", Level::INFO) {
        return Span::none();
    }
    let span = tracing::info_span!(
        target: "tower_gateway",
        "request",
        otel.name = Empty,
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = request.method().as_str(),
        http.route = Empty,
        http.response.status_code = Empty,
        error.r#type = Empty,
        aws.request_id = Empty,
        aws.extended_request_id = Empty,
        trace_id = Empty,
        parent_id = Empty,
    );
    if let Some(context) = RequestContext::of(request.extensions()) {
        span.record("aws.request_id", context.request_id());
        span.record("aws.extended_request_id", context.extended_request_id());
        if let Some(trace) = context.trace() {
            span.record("trace_id", trace.trace_id().to_hex());
            span.record("parent_id", trace.span_id().to_string());
        }
    }
    span
}

pin_project! {
    /// Response future of [`SpanService`].
    #[derive(Debug)]
    pub struct SpanFuture<F> {
        #[pin]
        future: F,
        span: Span,
        context: Option<RequestContext>,
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
            record(
                this.span,
                this.context.as_ref(),
                answer.as_ref().ok().map(|response| response.status().as_u16()),
            );
        }
        Poll::Ready(answer)
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
    }
}
