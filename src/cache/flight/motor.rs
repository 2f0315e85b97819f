//! What drives a flight: the service's future, and then the body of its answer, behind one erased type.

use crate::body::BoxError;
use bytes::Bytes;
use http::{Extensions, HeaderMap, Response, StatusCode, response::Parts};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    any::Any,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// One polled frame of a body.
pub(crate) type Polled = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

/// A head that came, to be looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadRef<'a> {
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) extensions: &'a Extensions,
    pub(crate) is_end: bool,
}

/// A call to the service, whatever its types. The steps come in this order: `poll_head` until it is ready, `head`,
/// then either `open` and `poll_frame`, or `raw`.
pub(crate) trait Drive: Send {
    fn poll_head(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;

    /// The head, or `None` where the service failed.
    fn head(&self) -> Option<HeadRef<'_>>;

    fn size_hint(&self) -> SizeHint;

    /// Takes the head off, and goes on to the body.
    fn open(self: Pin<&mut Self>) -> Option<Parts>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled;

    fn is_end_stream(&self) -> bool;

    /// The service's own `Result`, untouched, for the request that made the call.
    fn raw(self: Pin<&mut Self>) -> Option<Box<dyn Any + Send>>;
}

/// The engine of a flight, pinned.
pub(crate) type Motor = Pin<Box<dyn Drive>>;

pin_project! {
    #[project = CallProj]
    pub(crate) enum Call<F, R, E> {
        Head { #[pin] future: F },
        Landed { result: Option<Result<Response<R>, E>> },
        Body { #[pin] body: R },
    }
}

impl<F, R, E> Call<F, R, E>
where
    F: Future<Output = Result<Response<R>, E>> + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
    E: Send + 'static,
{
    pub(crate) fn motor(future: F) -> Motor {
        Box::pin(Self::Head { future })
    }
}

impl<F, R, E> Drive for Call<F, R, E>
where
    F: Future<Output = Result<Response<R>, E>> + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
    E: Send + 'static,
{
    fn poll_head(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let CallProj::Head { future } = self.as_mut().project() {
            let result = Some(ready!(future.poll(cx)));
            self.set(Self::Landed { result });
        }
        Poll::Ready(())
    }

    fn head(&self) -> Option<HeadRef<'_>> {
        let Self::Landed { result: Some(Ok(response)) } = self else { return None };
        Some(HeadRef {
            status: response.status(),
            headers: response.headers(),
            extensions: response.extensions(),
            is_end: response.body().is_end_stream(),
        })
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Landed { result: Some(Ok(response)) } => response.body().size_hint(),
            Self::Body { body } => body.size_hint(),
            _ => SizeHint::default(),
        }
    }

    fn open(mut self: Pin<&mut Self>) -> Option<Parts> {
        let CallProj::Landed { result } = self.as_mut().project() else { return None };
        let (parts, body) = result.take()?.ok()?.into_parts();
        self.set(Self::Body { body });
        Some(parts)
    }

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        match self.project() {
            CallProj::Body { body } => {
                body.poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Into::into)))
            }
            _ => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Body { body } => body.is_end_stream(),
            _ => false,
        }
    }

    fn raw(self: Pin<&mut Self>) -> Option<Box<dyn Any + Send>> {
        match self.project() {
            CallProj::Landed { result } => {
                result.take().map(|result| Box::new(result) as Box<dyn Any + Send>)
            }
            _ => None,
        }
    }
}
