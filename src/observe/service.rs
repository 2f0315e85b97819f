//! The service: a guard goes with the request, then with the body of its answer.

use super::layer::Observers;
use crate::{
    body::{EndGuard, GatewayBody, LentGuard},
    context::RequestContext,
    response::GatewayError,
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tower_service::Service;

/// The service of [`ObserveLayer`](super::ObserveLayer) and [`AccessLogLayer`](super::AccessLogLayer).
#[derive(Clone, Debug)]
pub struct ObserveService<S> {
    inner: S,
    watch: Arc<Observers>,
}

impl<S> ObserveService<S> {
    pub(super) fn new(inner: S, watch: Arc<Observers>) -> Self {
        Self { inner, watch }
    }
}

impl<S, B, R> Service<Request<B>> for ObserveService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body<Data = Bytes>,
{
    type Response = Response<GatewayBody<R>>;
    type Error = S::Error;
    type Future = ObserveFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut lent = LentGuard::default();
        forward(self, request, &mut lent)
    }
}

/// The guard lies with the caller while the service is called, and nothing is asked afterwards: where something is to be
/// dropped on unwinding, or between branches, compilers do not make the future in its place, but copy it there. And
/// who has looked at a request copies it to pass it on, so what the service does to it first is done in the same copy.
#[inline(never)]
fn forward<S, B>(
    service: &mut ObserveService<S>,
    mut request: Request<B>,
    lent: &mut LentGuard,
) -> ObserveFuture<S::Future>
where
    S: Service<Request<B>>,
{
    lent.put(service.watch.start(&mut request));
    ObserveFuture { future: service.inner.call(request), guard: lent.take() }
}

pin_project! {
    /// Response future of [`ObserveService`]. Errors of the inner service pass through untouched.
    #[derive(Debug)]
    pub struct ObserveFuture<F> {
        #[pin]
        future: F,
        guard: Option<EndGuard>,
    }
}

impl<F, R, E> Future for ObserveFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<GatewayBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(guard) = this.guard else { return Poll::Pending };
        let answer = ready!(guard.inside(|| this.future.poll(cx)));
        Poll::Ready(match answer {
            Ok(response) => Ok(hand_over(this.guard, response)),
            Err(error) => {
                guard.failed();
                *this.guard = None;
                Err(error)
            }
        })
    }
}

/// The guard goes on with the body.
fn hand_over<R: Body>(guard: &mut Option<EndGuard>, response: Response<R>) -> Response<GatewayBody<R>> {
    let guard = guard.take().and_then(|guard| {
        note_error(guard.context(), &response);
        guard.answered(&response)
    });
    response.map(|body| GatewayBody::guarded(body, guard))
}

/// A layer that refused without our context has left its reason in the answer alone.
fn note_error<R>(context: &RequestContext, response: &Response<R>) {
    if context.error().is_none()
        && let Some(error) = response.extensions().get::<GatewayError>()
    {
        context.set_answered_error(error.clone());
    }
}
