//! The future of both layers: forward, refuse, or wait for a key first.

use super::{engine::Verdict, layer::judge, service::Held};
use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tower_service::Service;

pin_project! {
    /// Response future of JWT and Cognito authorizers. Errors of the inner service pass through untouched.
    pub struct TokenFuture<S, B, R>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S::Future, S, B, R>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, S, B, R> {
        Forwarded { #[pin] future: F },
        Refused { answer: Option<Box<Response<R>>> },
        Waiting { held: Option<Box<Held<S, B>>> },
    }
}

impl<S: Service<Request<B>>, B, R> TokenFuture<S, B, R> {
    pub(super) fn forwarded(future: S::Future) -> Self {
        Self { state: State::Forwarded { future } }
    }

    pub(super) fn refused(answer: Response<R>) -> Self {
        Self { state: State::Refused { answer: Some(Box::new(answer)) } }
    }

    pub(super) fn waiting(held: Held<S, B>) -> Self {
        Self { state: State::Waiting { held: Some(Box::new(held)) } }
    }
}

/// Judges again, now that the keys were fetched.
fn resume<S, B, R>(held: Held<S, B>) -> State<S::Future, S, B, R>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<Bytes>,
{
    let Held { mut inner, request, context, engine, scopes, wait: _ } = held;
    match judge(&engine, &scopes, &request, true) {
        Verdict::Pass(established) => {
            context.set_authorizer(&established);
            State::Forwarded { future: inner.call(request) }
        }
        Verdict::Refuse(refusal) => {
            State::Refused { answer: Some(Box::new(refusal.answer(engine.style(), &scopes, &context))) }
        }
        Verdict::Wait(wait) => {
            State::Waiting { held: Some(Box::new(Held { inner, request, context, engine, scopes, wait })) }
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
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Forwarded { future } => return future.poll(cx),
                StateProj::Refused { answer } => match answer.take() {
                    Some(answer) => return Poll::Ready(Ok(*answer)),
                    None => return Poll::Pending,
                },
                StateProj::Waiting { held } => {
                    if let Some(waiting) = held {
                        ready!(Pin::new(&mut waiting.wait).poll(cx));
                    }
                    match held.take() {
                        Some(held) => resume(*held),
                        None => return Poll::Pending,
                    }
                }
            };
            this.state.set(next);
        }
    }
}

impl<S: Service<Request<B>>, B, R> fmt::Debug for TokenFuture<S, B, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Forwarded { .. } => "TokenFuture(forwarded)",
            State::Refused { .. } => "TokenFuture(refused)",
            State::Waiting { .. } => "TokenFuture(waiting)",
        })
    }
}
