//! Waits for the authorizer if it must, and then for the service.

use super::{
    cache::Finished,
    handle::Ticket,
    layer::{Config, refuse},
};
use crate::{
    clock::Timestamp,
    context::RequestContext,
    future::{Held, HeldFuture, Next},
};
use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

pin_project! {
    /// Response future of [`AuthorizerService`](super::AuthorizerService). Errors of the service pass through
    /// untouched. Dropping it leaves a call that others wait for to them.
    pub struct AuthorizerFuture<S, B, F, R> {
        #[pin]
        inner: HeldFuture<F, R, Waiting<S, B>>,
    }
}

/// A request that waits for its authorizer.
pub(super) struct Waiting<S, B> {
    pub(super) ticket: Ticket,
    /// When it began to wait.
    pub(super) since: Timestamp,
    /// Ready.
    pub(super) service: S,
    pub(super) request: Request<B>,
    pub(super) context: RequestContext,
    pub(super) config: Arc<Config>,
}

impl<S, B, F, R> AuthorizerFuture<S, B, F, R> {
    pub(super) fn forwarded(future: F) -> Self {
        Self { inner: HeldFuture::forwarded(future) }
    }

    pub(super) fn new(next: Next<F, R, Waiting<S, B>>) -> Self {
        Self { inner: next.into() }
    }
}

impl<S, B, R> Future for AuthorizerFuture<S, B, S::Future, R>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<Bytes>,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().inner.poll(cx)
    }
}

impl<S, B, R> Held<S::Future, R> for Waiting<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<Bytes>,
{
    type Outcome = Option<Arc<Finished>>;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Self::Outcome> {
        self.ticket.poll(cx)
    }

    fn go_on(mut self, finished: Self::Outcome) -> Next<S::Future, R, Self> {
        let Self { config, context, request, since, .. } = &mut self;
        match config.settle_call(context, request, finished.as_deref(), *since) {
            Ok(()) => Next::Forward(self.service.call(self.request)),
            Err(refusal) => Next::Refuse(refuse(&self.context, refusal)),
        }
    }
}

impl<S, B, F, R> fmt::Debug for AuthorizerFuture<S, B, F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizerFuture").finish_non_exhaustive()
    }
}
