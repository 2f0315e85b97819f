//! The payload limit for services whose body type can hold any body: nothing is wrapped that need not be watched.

use super::{future::PayloadLimitFuture, layer::Config};
use crate::body::GatewayBody;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};
use tower_layer::Layer;
use tower_service::Service;

/// [`PayloadLimitLayer`](super::PayloadLimitLayer) with one body type outside and inside; made by its
/// [`same_body`](super::PayloadLimitLayer::same_body).
pub struct SameBodyLayer<B> {
    config: Arc<Config>,
    wrap: fn(GatewayBody<B>) -> B,
}

impl<B> SameBodyLayer<B> {
    pub(super) fn new(config: Arc<Config>, wrap: fn(GatewayBody<B>) -> B) -> Self {
        Self { config, wrap }
    }
}

impl<B> Clone for SameBodyLayer<B> {
    fn clone(&self) -> Self {
        Self { config: Arc::clone(&self.config), wrap: self.wrap }
    }
}

impl<B> fmt::Debug for SameBodyLayer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SameBodyLayer").field("config", &self.config).finish_non_exhaustive()
    }
}

impl<S, B> Layer<S> for SameBodyLayer<B> {
    type Service = SameBodyService<S, B>;

    fn layer(&self, inner: S) -> Self::Service {
        SameBodyService { inner, layer: self.clone() }
    }
}

/// The service of [`SameBodyLayer`].
pub struct SameBodyService<S, B> {
    inner: S,
    layer: SameBodyLayer<B>,
}

impl<S: Clone, B> Clone for SameBodyService<S, B> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.clone() }
    }
}

impl<S: fmt::Debug, B> fmt::Debug for SameBodyService<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SameBodyService").field("inner", &self.inner).field("layer", &self.layer).finish()
    }
}

impl<S, B, R> Service<Request<B>> for SameBodyService<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    B: Body,
    R: From<Bytes>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = PayloadLimitFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let admission = match self.layer.config.admit(&mut request) {
            Ok(admission) => admission,
            Err(refusal) => return PayloadLimitFuture::refused(refusal, &mut request),
        };
        let Some((meter, watch)) = admission else {
            return PayloadLimitFuture::forwarded(self.inner.call(request), None);
        };
        let wrap = self.layer.wrap;
        let request = request.map(|body| wrap(GatewayBody::metered(body, Some(meter))));
        PayloadLimitFuture::forwarded(self.inner.call(request), Some(watch))
    }
}
