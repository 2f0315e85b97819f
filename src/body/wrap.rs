//! Wraps the bodies of a service once, so that every layer around it meets [`GatewayBody`] only.

use super::GatewayBody;
use http::{Request, Response};
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tower_layer::Layer;
use tower_service::Service;

/// Gives a service's answers the body type [`GatewayBody`], which is `From<Bytes>`: with it, every layer works on a
/// service whose body is a box, a stream or tonic's. Requests pass as they are.
///
/// ```
/// use http::{Request, Response};
/// use http_body_util::{BodyExt, Empty, combinators::BoxBody};
/// use std::convert::Infallible;
/// use tower::{Layer, ServiceExt, service_fn};
/// use tower_gateway::body::BodyLayer;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let boxed = service_fn(|_: Request<()>| async {
///     Ok::<_, Infallible>(Response::new(BoxBody::new(Empty::<bytes::Bytes>::new())))
/// });
/// let answer = BodyLayer.layer(boxed).oneshot(Request::new(())).await.unwrap();
/// assert!(answer.into_body().collect().await.unwrap().to_bytes().is_empty());
/// # });
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct BodyLayer;

impl<S> Layer<S> for BodyLayer {
    type Service = BodyService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        BodyService { inner }
    }
}

/// The service of [`BodyLayer`].
#[derive(Clone, Copy, Debug)]
pub struct BodyService<S> {
    inner: S,
}

impl<S, B, R> Service<Request<B>> for BodyService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<GatewayBody<R>>;
    type Error = S::Error;
    type Future = WrapBody<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        WrapBody { future: self.inner.call(request) }
    }
}

pin_project! {
    /// Response future of [`BodyService`].
    #[derive(Debug)]
    pub struct WrapBody<F> {
        #[pin]
        future: F,
    }
}

impl<F, R, E> Future for WrapBody<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<GatewayBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(self.project().future.poll(cx))?;
        Poll::Ready(Ok(response.map(GatewayBody::new)))
    }
}
