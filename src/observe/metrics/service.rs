//! The page as a small tower service, to be mounted where it cannot be reached from outside.

use super::PrometheusMetrics;
use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE},
};
use std::{
    convert::Infallible,
    fmt,
    future::{Ready, ready},
    marker::PhantomData,
    task::{Context, Poll},
};
use tower_service::Service;

/// The answer, at once.
pub type MetricsFuture<R> = Ready<Result<Response<R>, Infallible>>;

/// Answers `GET` and `HEAD` of any path with the page, everything else with 405. Made by [`PrometheusMetrics::service`].
///
/// Metrics tell of stages, routes and traffic: mount it on a port of its own, or behind an authorizer.
pub struct MetricsService<R> {
    metrics: PrometheusMetrics,
    body: PhantomData<fn() -> R>,
}

impl PrometheusMetrics {
    /// The Prometheus endpoint, with a body type of your choice.
    pub fn service<R: From<Bytes>>(&self) -> MetricsService<R> {
        MetricsService { metrics: self.clone(), body: PhantomData }
    }
}

impl<R> Clone for MetricsService<R> {
    fn clone(&self) -> Self {
        Self { metrics: self.metrics.clone(), body: PhantomData }
    }
}

impl<R> fmt::Debug for MetricsService<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsService").field("metrics", &self.metrics).finish()
    }
}

impl<B, R: From<Bytes>> Service<Request<B>> for MetricsService<R> {
    type Response = Response<R>;
    type Error = Infallible;
    type Future = MetricsFuture<R>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        ready(Ok(if is_read { page(&self.metrics) } else { not_allowed() }))
    }
}

fn page<R: From<Bytes>>(metrics: &PrometheusMetrics) -> Response<R> {
    let mut response = Response::new(R::from(metrics.render().into()));
    let version = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, version);
    response
}

fn not_allowed<R: From<Bytes>>() -> Response<R> {
    let mut response = Response::new(R::from(Bytes::new()));
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}
