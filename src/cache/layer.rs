//! The layer and its service.

use super::{
    Cache,
    future::{CacheFuture, Source},
    instance::Instance,
    plan::LayerState,
};
use crate::{
    body::{BoxError, GatewayBody},
    route::Routes,
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
/// Each layer that [`new`](Self::new) makes has entries of its own; its clones, and the services they make, share
/// them. [`namespace`](Self::namespace) makes several layers share. In a store that outlives the process, and in a second
/// tier, only the first layer of a cache and layers with a name find entries again: see
/// [`namespace`](Self::namespace).
#[derive(Clone, Debug)]
pub struct CacheLayer {
    state: Arc<LayerState>,
}

impl CacheLayer {
    /// A layer that keeps its answers in `cache`.
    pub fn new(cache: Cache) -> Self {
        let core = cache.into_core();
        let instance = Instance::next_of(&core);
        Self { state: Arc::new(LayerState { core, scope: None, instance }) }
    }

    /// Methods with their keys and settings, for a layer used alone: the table is matched where no `StageRouter` has
    /// matched before.
    #[must_use]
    pub fn routes(mut self, routes: &Routes) -> Self {
        Arc::make_mut(&mut self.state).scope = Some(routes.scope());
        self
    }

    /// Whether it has a table of its own.
    #[cfg(feature = "gateway")]
    pub(crate) fn has_routes(&self) -> bool {
        self.state.scope.is_some()
    }

    /// Layers of the same cache and name share entries: only of use where equal requests get equal answers behind each
    /// of them. Default: no layer shares with another.
    ///
    /// The name also tells a layer apart in other processes, and after a restart. Without one the first layer of a cache
    /// stands for the first there, and the others share with none: the next program may make them in another order. Where
    /// the first one may be another's, too, give each a name.
    #[must_use]
    pub fn namespace(mut self, name: impl Into<Box<str>>) -> Self {
        Arc::make_mut(&mut self.state).instance = Instance::named(&name.into());
        self
    }
}

impl CacheLayer {
    /// Whether its cache has keys for methods whose settings ask for encryption.
    #[cfg(feature = "gateway")]
    pub(crate) fn can_encrypt(&self) -> bool {
        self.state.core.can_encrypt()
    }
}

impl<S> Layer<S> for CacheLayer {
    type Service = CacheService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CacheService { inner, state: Arc::clone(&self.state) }
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
    B: Body,
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

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;
    use std::{convert::Infallible, future::ready};

    #[test]
    fn a_hit_counts_no_reference_to_the_layer() {
        let service = tower::service_fn(|_: Request<Full<Bytes>>| {
            ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("pets"))))
        });
        let mut cached = CacheLayer::new(Cache::builder().build().unwrap()).layer(service);
        let mut counted = || {
            let future = cached.call(Request::new(Full::default()));
            let count = Arc::strong_count(&cached.state);
            let answer = futures_util::FutureExt::now_or_never(future).unwrap().unwrap();
            drop(answer);
            count
        };
        assert_eq!(counted(), 2, "the service, and the future of a miss");
        assert_eq!(counted(), 1, "the service");
    }
}
