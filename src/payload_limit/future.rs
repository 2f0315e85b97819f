//! Watches the body while the service inside works on the answer.

use super::{
    check::{answers_fault, refusal_of},
    layer::{Refusal, Watch},
};
use crate::{
    context::RequestContext,
    response::{GatewayError, Remains},
};
use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

pin_project! {
    /// Response future of [`PayloadLimitService`](super::PayloadLimitService).
    #[derive(Debug)]
    pub struct PayloadLimitFuture<F, R> {
        #[pin]
        state: State<F, R>,
    }
}

pin_project! {
    #[project = StateProj]
    #[derive(Debug)]
    enum State<F, R> {
        Forwarded { #[pin] future: F, watch: Option<Watch> },
        // In place: the futures of most services are larger than an answer.
        Refused { response: Option<Response<R>> },
    }
}

impl<F, R> PayloadLimitFuture<F, R> {
    pub(super) fn forwarded(future: F, watch: Option<Watch>) -> Self {
        Self { state: State::Forwarded { future, watch } }
    }
}

impl<F, R: From<Bytes>> PayloadLimitFuture<F, R> {
    #[cold]
    pub(super) fn refused<B>((context, error): Refusal, request: &mut Request<B>) -> Self {
        let response = error.refuse_in(context.as_ref(), Remains::of(request));
        Self { state: State::Refused { response: Some(response) } }
    }
}

impl<F, R, E> Future for PayloadLimitFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: From<Bytes>,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.as_mut().project().state.project() {
            StateProj::Forwarded { future, watch } => {
                let Some(watch) = watch else { return future.poll(cx) };
                let polled = future.poll(cx);
                let Some(replacement) = watch.replace(&polled, cx) else { return polled };
                // Drops the service's future: the client does not wait for what it still does.
                self.project().state.set(State::Refused { response: None });
                Poll::Ready(Ok(replacement))
            }
            StateProj::Refused { response } => match response.take() {
                Some(response) => Poll::Ready(Ok(response)),
                None => Poll::Pending,
            },
        }
    }
}

impl Watch {
    fn replace<R, E>(&self, polled: &Poll<Result<Response<R>, E>>, cx: &Context<'_>) -> Option<Response<R>>
    where
        R: From<Bytes>,
    {
        watch(&self.context, self.as_json, polled, cx)
    }
}

/// Our answer, if the body was cut off: whatever the service made of that, an error too, was caused by the cut.
pub(super) fn watch<R: From<Bytes>, E>(
    context: &RequestContext,
    as_json: bool,
    polled: &Poll<Result<Response<R>, E>>,
    cx: &Context<'_>,
) -> Option<Response<R>> {
    if polled.is_pending() {
        context.watch_body(cx.waker());
    }
    let fault = context.body_fault()?;
    context.note_late_refusal();
    (!is_answered(polled)).then(|| refusal_of(fault, as_json).refuse(context))
}

/// Whether a payload limit inside this one has answered, with its own limit.
fn is_answered<R, E>(polled: &Poll<Result<Response<R>, E>>) -> bool {
    let Poll::Ready(Ok(response)) = polled else { return false };
    response.extensions().get::<GatewayError>().is_some_and(answers_fault)
}
