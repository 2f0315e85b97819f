//! The response futures of the layers: forward and touch up the answer, or answer at once, or wait before either.
//!
//! The future of the service inside has some hundred bytes. The compiler makes it in its place in ours, unless a value
//! that must be dropped lives across the call: as it would have to be dropped if the call panics, the future is then made
//! elsewhere and copied. So a layer drops what it needs no longer before it calls.

use http::Response;
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// Only this crate implements the traits of its layers' types.
pub(crate) mod sealed {
    #[allow(unnameable_types, reason = "that nobody can name it is what it is for")]
    pub trait Sealed {}
}

/// What a layer does to the answer of the service inside it. Runs once, when the head of the answer is there.
///
/// Layers of this crate implement it, and nobody else can.
pub trait OnResponse<R>: sealed::Sealed {
    /// Changes the answer in place.
    fn on_response(self, response: &mut Response<R>);
}

/// Leaves the answer alone.
#[derive(Clone, Copy, Debug, Default)]
#[doc(hidden)]
pub struct Untouched;

impl sealed::Sealed for Untouched {}

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
        // In place: the futures of most services are larger than an answer.
        Refused { response: Option<Response<R>> },
    }
}

impl<F, H, R> ResponseFuture<F, H, R> {
    pub(crate) fn forwarded(future: F, hook: H) -> Self {
        Self { state: State::Forwarded { future }, hook: Some(hook) }
    }

    /// The hook does not run: a refusal is complete as it is.
    #[allow(dead_code, reason = "not every feature set has a layer that refuses")]
    pub(crate) fn refused(response: Response<R>) -> Self {
        Self { state: State::Refused { response: Some(response) }, hook: None }
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
                Some(response) => Poll::Ready(Ok(response)),
                None => Poll::Pending,
            },
        }
    }
}

/// A request that cannot be decided yet, and the service that is ready for it.
#[cfg(feature = "authorizer")]
pub(crate) trait Held<F, R>: Sized {
    /// What it waits for.
    type Outcome;

    /// Waits.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Self::Outcome>;

    /// Decides.
    fn go_on(self, outcome: Self::Outcome) -> Next<F, R, Self>;
}

/// How a request goes on.
#[cfg(feature = "authorizer")]
pub(crate) enum Next<F, R, W> {
    /// In the service, which was called.
    Forward(F),
    /// Not at all.
    Refuse(Response<R>),
    /// After waiting.
    Wait(W),
}

#[cfg(feature = "authorizer")]
pin_project! {
    /// Forwards, refuses, or waits and then does either. Dropped, it leaves nothing behind but what `W` leaves.
    pub(crate) struct HeldFuture<F, R, W> {
        #[pin]
        state: HeldState<F, R, W>,
    }
}

#[cfg(feature = "authorizer")]
pin_project! {
    #[project = HeldStateProj]
    enum HeldState<F, R, W> {
        Forwarded { #[pin] future: F },
        Refused { response: Option<Box<Response<R>>> },
        // Boxed: most requests never wait.
        Waiting { held: Option<Box<W>> },
    }
}

#[cfg(feature = "authorizer")]
impl<F, R, W> HeldFuture<F, R, W> {
    /// The service was called at once. Its future is made in its place here; in a [`Next`] it would be copied twice.
    pub(crate) fn forwarded(future: F) -> Self {
        Self { state: HeldState::Forwarded { future } }
    }
}

#[cfg(feature = "authorizer")]
impl<F, R, W> From<Next<F, R, W>> for HeldFuture<F, R, W> {
    fn from(next: Next<F, R, W>) -> Self {
        Self { state: next.into() }
    }
}

#[cfg(feature = "authorizer")]
impl<F, R, W> From<Next<F, R, W>> for HeldState<F, R, W> {
    fn from(next: Next<F, R, W>) -> Self {
        match next {
            Next::Forward(future) => Self::Forwarded { future },
            Next::Refuse(response) => Self::Refused { response: Some(Box::new(response)) },
            Next::Wait(held) => Self::Waiting { held: Some(Box::new(held)) },
        }
    }
}

#[cfg(feature = "authorizer")]
impl<F, R, W, E> Future for HeldFuture<F, R, W>
where
    F: Future<Output = Result<Response<R>, E>>,
    W: Held<F, R>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                HeldStateProj::Forwarded { future } => return future.poll(cx),
                HeldStateProj::Refused { response } => {
                    return response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(*response)));
                }
                HeldStateProj::Waiting { held } => {
                    let Some(waiting) = held else { return Poll::Pending };
                    let outcome = ready!(waiting.poll(cx));
                    let Some(waiting) = held.take() else { return Poll::Pending };
                    waiting.go_on(outcome)
                }
            };
            this.state.set(next.into());
        }
    }
}
