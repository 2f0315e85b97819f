//! The one response future of the layers: forward and touch up the answer, or answer at once.

use http::Response;
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// What a layer does to the answer of the service inside it. Runs once, when the head of the answer is there.
pub trait OnResponse<R> {
    /// Changes the answer in place.
    fn on_response(self, response: &mut Response<R>);
}

/// Leaves the answer alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Untouched;

impl<R> OnResponse<R> for Untouched {
    fn on_response(self, _: &mut Response<R>) {}
}

pin_project! {
    /// Response future of the layers of this crate. Errors of the inner service pass through untouched.
    #[derive(Debug)]
    pub struct ResponseFuture<F, H, R> {
        #[pin]
        state: State<F, R>,
        hook: Option<H>,
    }
}

pin_project! {
    #[project = StateProj]
    #[derive(Debug)]
    enum State<F, R> {
        Forwarded { #[pin] future: F },
        Refused { response: Option<Box<Response<R>>> },
    }
}

impl<F, H, R> ResponseFuture<F, H, R> {
    pub(crate) fn forwarded(future: F, hook: H) -> Self {
        Self { state: State::Forwarded { future }, hook: Some(hook) }
    }

    /// The hook does not run: a refusal is complete as it is.
    #[allow(dead_code, reason = "not every feature set has a layer that refuses")]
    pub(crate) fn refused(response: Response<R>) -> Self {
        Self { state: State::Refused { response: Some(Box::new(response)) }, hook: None }
    }
}

impl<F, H, R, E> Future for ResponseFuture<F, H, R>
where
    F: Future<Output = Result<Response<R>, E>>,
    H: OnResponse<R>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.state.project() {
            StateProj::Forwarded { future } => {
                let mut response = ready!(future.poll(cx))?;
                if let Some(hook) = this.hook.take() {
                    hook.on_response(&mut response);
                }
                Poll::Ready(Ok(response))
            }
            StateProj::Refused { response } => match response.take() {
                Some(response) => Poll::Ready(Ok(*response)),
                None => Poll::Pending,
            },
        }
    }
}
