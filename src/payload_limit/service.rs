//! The service: wraps the body, and has it metered where it must be.

use super::{future::PayloadLimitFuture, layer::Config};
use crate::body::GatewayBody;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

/// The service of [`PayloadLimitLayer`](super::PayloadLimitLayer): the service inside gets its request body as
/// [`GatewayBody`].
#[derive(Clone, Debug)]
pub struct PayloadLimitService<S> {
    pub(super) inner: S,
    pub(super) config: Arc<Config>,
}

impl<S, B, R> Service<Request<B>> for PayloadLimitService<S>
where
    S: Service<Request<GatewayBody<B>>, Response = Response<R>>,
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
        let admission = match self.config.admit(&mut request) {
            Ok(admission) => admission,
            Err(refusal) => return PayloadLimitFuture::refused(refusal, &mut request),
        };
        let (meter, watch) = admission.unzip();
        // Not before: a wrapped request is larger, and one that was looked at is copied to be passed on.
        let request = request.map(|body| GatewayBody::metered(body, meter));
        PayloadLimitFuture::forwarded(self.inner.call(request), watch)
    }
}
