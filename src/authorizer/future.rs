//! Waits for the authorizer if it must, and then for the service.

use super::{
    handle::Ticket,
    layer::{Config, refuse},
};
use crate::context::RequestContext;
use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tower_service::Service;

pin_project! {
    /// Response future of [`AuthorizerService`](super::AuthorizerService). Errors of the service pass through
    /// untouched. Dropping it leaves a call that others wait for to them.
    #[derive(Debug)]
    pub struct AuthorizerFuture<S, B, F, R> {
        #[pin]
        state: State<S, B, F, R>,
    }
}

pin_project! {
    #[project = StateProj]
    #[derive(Debug)]
    enum State<S, B, F, R> {
        Forwarded { #[pin] future: F },
        Refused { response: Option<Box<Response<R>>> },
        // Boxed: most requests never wait.
        Waiting { waiting: Option<Box<Waiting<S, B>>> },
    }
}

/// A request that waits for its authorizer.
pub(super) struct Waiting<S, B> {
    pub(super) ticket: Ticket,
    /// Ready.
    pub(super) service: S,
    pub(super) request: Request<B>,
    pub(super) context: RequestContext,
    pub(super) config: Arc<Config>,
}

impl<S, B> fmt::Debug for Waiting<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waiting(..)")
    }
}

impl<S, B, F, R> AuthorizerFuture<S, B, F, R> {
    pub(super) fn forwarded(future: F) -> Self {
        Self { state: State::Forwarded { future } }
    }

    pub(super) fn refused(response: Response<R>) -> Self {
        Self { state: State::Refused { response: Some(Box::new(response)) } }
    }

    pub(super) fn waiting(waiting: Waiting<S, B>) -> Self {
        Self { state: State::Waiting { waiting: Some(Box::new(waiting)) } }
    }
}

impl<S, B, R> Future for AuthorizerFuture<S, B, S::Future, R>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<Bytes>,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Forwarded { future } => return future.poll(cx),
                StateProj::Refused { response } => match response.take() {
                    Some(response) => return Poll::Ready(Ok(*response)),
                    None => return Poll::Pending,
                },
                StateProj::Waiting { waiting } => {
                    let Some(pending) = waiting else { return Poll::Pending };
                    let finished = ready!(pending.ticket.poll(cx));
                    let Some(pending) = waiting.take() else { return Poll::Pending };
                    pending.go_on(finished.as_deref())
                }
            };
            this.state.set(next);
        }
    }
}

impl<S, B> Waiting<S, B> {
    /// Calls the service, or refuses.
    fn go_on<R>(mut self, finished: Option<&super::cache::Finished>) -> State<S, B, S::Future, R>
    where
        S: Service<Request<B>, Response = Response<R>>,
        R: From<Bytes>,
    {
        match self.config.settle_call(&self.context, &mut self.request, finished) {
            Ok(()) => State::Forwarded { future: self.service.call(self.request) },
            Err(refusal) => State::Refused { response: Some(Box::new(refuse(&self.context, refusal))) },
        }
    }
}
