//! The future of both layers: forward, refuse, or wait for a key first.

use super::{engine::Verdict, layer::judge, service::Pending};
use crate::future::{Held, HeldFuture, Next};
use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use tower_service::Service;

pin_project! {
    /// Response future of JWT and Cognito authorizers. Errors of the inner service pass through untouched.
    pub struct TokenFuture<S, B, R>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        inner: HeldFuture<S::Future, R, Pending<S, B>>,
    }
}

impl<S: Service<Request<B>>, B, R> TokenFuture<S, B, R> {
    pub(super) fn forwarded(future: S::Future) -> Self {
        Self { inner: HeldFuture::forwarded(future) }
    }

    pub(super) fn new(next: Next<S::Future, R, Pending<S, B>>) -> Self {
        Self { inner: next.into() }
    }
}

impl<S, B, R> Held<S::Future, R> for Pending<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<Bytes>,
{
    type Outcome = ();

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.wait).poll(cx)
    }

    /// Judges again, now that the keys were fetched.
    fn go_on(mut self, (): ()) -> Next<S::Future, R, Self> {
        self.look = self.look.again(self.engine.clock.now());
        match judge(&self.engine, &self.context, &self.scopes, &self.request, self.look) {
            Verdict::Pass(established) => {
                self.context.set_authorizer(&established);
                Next::Forward(self.inner.call(self.request))
            }
            Verdict::Refuse(refusal) => {
                Next::Refuse(self.engine.refuse(refusal, &self.scopes, &self.context, self.look))
            }
            Verdict::Wait(wait) => Next::Wait(Self { wait, ..self }),
        }
    }
}

impl<S, B, R> Future for TokenFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<Bytes>,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().inner.poll(cx)
    }
}

impl<S: Service<Request<B>>, B, R> fmt::Debug for TokenFuture<S, B, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenFuture").finish_non_exhaustive()
    }
}
