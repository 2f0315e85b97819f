//! The response future: the service's answer with our headers, or the answer to a preflight.

use super::touch::Touch;
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

pin_project! {
    /// Response future of [`CorsService`](super::CorsService). Errors of the inner service pass through untouched.
    #[derive(Debug)]
    pub struct CorsFuture<F> {
        #[pin]
        state: State<F>,
        touch: Option<Touch>,
    }
}

pin_project! {
    /// A preflight keeps the headers only and makes its answer when polled: no box, and no room for a whole response.
    #[project = StateProj]
    #[derive(Debug)]
    enum State<F> {
        Actual { #[pin] future: F },
        Preflight { headers: Option<HeaderMap> },
    }
}

impl<F> CorsFuture<F> {
    pub(super) fn actual(future: F, touch: Option<Touch>) -> Self {
        Self { state: State::Actual { future }, touch }
    }

    pub(super) fn preflight(headers: HeaderMap) -> Self {
        Self { state: State::Preflight { headers: Some(headers) }, touch: None }
    }
}

impl<F, R, E> Future for CorsFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: From<Bytes>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.state.project() {
            StateProj::Actual { future } => {
                // In place: an answer is some hundred bytes to move.
                let mut answer = future.poll(cx);
                if let Poll::Ready(Ok(response)) = &mut answer
                    && let Some(touch) = this.touch.take()
                {
                    touch.apply(response.headers_mut());
                }
                answer
            }
            StateProj::Preflight { headers } => match headers.take() {
                Some(headers) => Poll::Ready(Ok(no_content(headers))),
                None => Poll::Pending,
            },
        }
    }
}

/// The 204 that answers a preflight.
pub(crate) fn no_content<R: From<Bytes>>(headers: HeaderMap) -> Response<R> {
    let mut response = Response::new(R::from(Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    *response.headers_mut() = headers;
    response
}
