//! The layer and its service.

use super::{
    Cache,
    future::{CacheFuture, Source},
    plan::LayerState,
};
use crate::{
    body::{BoxError, GatewayBody},
    route::{Routes, Scope},
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tower_layer::Layer;
use tower_service::Service;

/// Answers from a [`Cache`] where it can; see the [module docs](super).
///
/// Each service that [`layer`](Layer::layer) makes has entries of its own, and its clones share them. Under
/// `axum::Router::layer` every route therefore has its own; [`namespace`](Self::namespace) makes several share.
#[derive(Clone, Debug)]
pub struct CacheLayer {
    cache: Cache,
    scope: Option<Arc<Scope>>,
    namespace: Option<Box<str>>,
}

impl CacheLayer {
    /// A layer that keeps its answers in `cache`.
    pub fn new(cache: Cache) -> Self {
        Self { cache, scope: None, namespace: None }
    }

    /// Methods with their keys and settings, for a layer used alone: the table is matched where no `StageRouter` has
    /// matched before.
    #[must_use]
    pub fn routes(mut self, routes: &Routes) -> Self {
        self.scope = Some(routes.scope());
        self
    }

    /// Services made by layers of the same cache and name share entries: only of use where equal requests get equal
    /// answers from each of them. Default: no service shares with another.
    #[must_use]
    pub fn namespace(mut self, name: impl Into<Box<str>>) -> Self {
        self.namespace = Some(name.into());
        self
    }

    /// A name has a mark that no number has.
    fn instance(&self) -> Box<[u8]> {
        match &self.namespace {
            Some(name) => [b"=", name.as_bytes()].concat().into(),
            None => self.cache.core().next_instance().to_le_bytes().into(),
        }
    }
}

impl<S> Layer<S> for CacheLayer {
    type Service = CacheService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let core = Arc::clone(self.cache.core());
        let state = LayerState { core, scope: self.scope.clone(), instance: self.instance() };
        CacheService { inner, state: Arc::new(state) }
    }
}

/// The service of [`CacheLayer`]. Its answers have the body [`GatewayBody`]: a stored one, one that is stored while it
/// passes, or the service's own.
#[derive(Clone, Debug)]
pub struct CacheService<S> {
    inner: S,
    state: Arc<LayerState>,
}

impl<S, B, R> Service<Request<B>> for CacheService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<GatewayBody<R>>;
    type Error = S::Error;
    type Future = CacheFuture<S, B, R, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        CacheFuture::new(&self.state, Source::InPlace(&mut self.inner), request)
    }
}
