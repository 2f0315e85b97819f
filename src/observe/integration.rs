//! Measures the integration: the service that stands inside every layer.

use crate::{
    clock::{Clock, Timestamp},
    context::RequestContext,
};
use http::{Request, Response};
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tower_layer::Layer;
use tower_service::Service;

/// Notes in the request's context how long the service inside took to answer, and with which status:
/// `$context.integration.latency`, `$context.integration.status`, `IntegrationLatency`. Put it innermost. Without a
/// context (no layer of ours outside it) it does nothing.
#[derive(Clone, Debug, Default)]
pub struct IntegrationTimerLayer {
    clock: Clock,
}

impl IntegrationTimerLayer {
    /// By the system's clock.
    pub fn new() -> Self {
        Self::default()
    }

    /// The clock. Default: the system's.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }
}

impl<S> Layer<S> for IntegrationTimerLayer {
    type Service = IntegrationTimerService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        IntegrationTimerService { inner, clock: self.clock.clone() }
    }
}

/// The service of [`IntegrationTimerLayer`].
#[derive(Clone, Debug)]
pub struct IntegrationTimerService<S> {
    inner: S,
    clock: Clock,
}

impl<S, B, R> Service<Request<B>> for IntegrationTimerService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = IntegrationTimerFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let context = RequestContext::of(request.extensions()).cloned();
        let timer =
            context.map(|context| Timer { context, called_at: self.clock.now(), clock: self.clock.clone() });
        IntegrationTimerFuture { future: self.inner.call(request), timer }
    }
}

#[derive(Debug)]
struct Timer {
    context: RequestContext,
    called_at: Timestamp,
    clock: Clock,
}

pin_project! {
    /// Response future of [`IntegrationTimerService`].
    #[derive(Debug)]
    pub struct IntegrationTimerFuture<F> {
        #[pin]
        future: F,
        timer: Option<Timer>,
    }
}

impl<F, R, E> Future for IntegrationTimerFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.future.poll(cx));
        if let Some(timer) = this.timer.take() {
            let status = answer.as_ref().ok().map(Response::status);
            timer.context.set_integration(timer.called_at, timer.clock.now(), status);
        }
        Poll::Ready(answer)
    }
}
