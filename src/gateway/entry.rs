//! The two ends of the route phase: the entry that matches, and the phase that refuses what did not match.

use crate::{
    body::GatewayBody,
    context::{ContextConfig, RequestContext},
    future::{ResponseFuture, Untouched},
    response::{Cause, GatewayError, ResponseType},
    stage::Stages,
};
use bytes::Bytes;
use http::{Request, Response};
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tower_layer::Layer;
use tower_service::Service;

/// Makes the context, matches the route, and wraps the request body: once, for all phases.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) context: ContextConfig,
    pub(super) stages: Stages,
    /// There is no phase that checks keys.
    pub(super) keyless: bool,
}

impl Entry {
    fn admit<B>(&self, mut request: Request<B>) -> Request<GatewayBody<B>> {
        let context = self.context.find_or_create(&mut request);
        let matched = self.stages.match_request(&context, &mut request);
        if let Err(error) = matched.and_then(|()| self.check_keys(&context)) {
            context.set_pending_refusal(error);
        }
        request.map(GatewayBody::new)
    }

    /// The builder has refused such a method; a later deployment may bring one.
    fn check_keys(&self, context: &RequestContext) -> Result<(), GatewayError> {
        let keyed = |context: &RequestContext| {
            context.route().is_some_and(|route| route.declared().method.api_key_required)
        };
        match self.keyless && keyed(context) {
            true => Err(GatewayError::new(ResponseType::InvalidApiKey, Cause::ApiKeyMissing)),
            false => Ok(()),
        }
    }
}

/// The assembled service, made by [`Gateway`](super::Gateway).
#[derive(Clone, Debug)]
pub struct GatewayService<S> {
    pub(super) stack: S,
    pub(super) entry: Arc<Entry>,
}

impl<S, B> Service<Request<B>> for GatewayService<S>
where
    S: Service<Request<GatewayBody<B>>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.stack.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.stack.call(self.entry.admit(request))
    }
}

/// The phase that refuses: bad paths, unknown stages, unmatched routes.
#[derive(Clone, Copy, Debug)]
pub struct RouteRefusalLayer;

impl<S> Layer<S> for RouteRefusalLayer {
    type Service = RouteRefusalService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RouteRefusalService { inner }
    }
}

/// The service of [`RouteRefusalLayer`].
#[derive(Clone, Copy, Debug)]
pub struct RouteRefusalService<S> {
    inner: S,
}

impl<S, B, R> Service<Request<B>> for RouteRefusalService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<Bytes>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, Untouched, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let context = RequestContext::of(request.extensions());
        let Some((context, error)) = context.and_then(|context| Some((context, context.pending_refusal()?)))
        else {
            return ResponseFuture::forwarded(self.inner.call(request), Untouched);
        };
        ResponseFuture::refused(error.clone().refuse(context))
    }
}
