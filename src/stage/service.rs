//! The layer: match, then refuse or forward.

use super::Stages;
use crate::{
    clock::Clock,
    context::ContextConfig,
    future::{ResponseFuture, Untouched},
    response::Remains,
};
use bytes::Bytes;
use http::{Request, Response};
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tower_layer::Layer;
use tower_service::Service;

/// Routes requests to stages; see the [module docs](super).
///
/// Wraps the whole router from outside: `router.layer(stage_router)` of axum would run only after axum has routed.
#[derive(Clone, Debug)]
pub struct StageRouter {
    config: Arc<Config>,
}

#[derive(Clone, Debug)]
struct Config {
    stages: Stages,
    context: ContextConfig,
}

impl StageRouter {
    /// Routes by the given stages, which stay changeable through their handle.
    pub fn new(stages: Stages) -> Self {
        Self { config: Arc::new(Config { stages, context: ContextConfig::default() }) }
    }

    /// The clock of arrival times, where this is the first of our layers. Default: the system's.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        Arc::make_mut(&mut self.config).context.clock = clock;
        self
    }
}

impl<S> Layer<S> for StageRouter {
    type Service = StageRouterService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        StageRouterService { inner, config: Arc::clone(&self.config) }
    }
}

/// The service of [`StageRouter`].
#[derive(Clone, Debug)]
pub struct StageRouterService<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S, B, R> Service<Request<B>> for StageRouterService<S>
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

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let context = self.config.context.find_or_nest(&mut request);
        let mut matched = self.config.stages.match_request(&request);
        matched.note(&context, &mut request);
        if let Some(error) = matched.refusal.take() {
            return ResponseFuture::refused(error.refuse_with(&context, Remains::of(&mut request)));
        }
        // What lives across the call has the future copied; see `future`.
        drop((matched, context));
        ResponseFuture::forwarded(self.inner.call(request), Untouched)
    }
}
