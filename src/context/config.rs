//! What a context is made from, and which layer's word counts where several have one.

use super::{
    ApiKind, HostText, Inner, RequestContext, TrustedProxies, cache, ids::RequestIds, layer::PeerSource,
};
use crate::{clock::Clock, route::MatchedRoute};
use http::{Extensions, HeaderMap, Request};
#[cfg(any(feature = "api-key", feature = "usage-plan"))]
use std::sync::atomic::AtomicBool;
#[cfg(feature = "gateway")]
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU8, AtomicU64},
};

/// The number of the next gateway. After four thousand million the numbers begin anew.
#[cfg(feature = "gateway")]
static NEXT_MAKER: AtomicU32 = AtomicU32::new(1);

/// What a context is made from. What nobody has said is `None`: the context that a layer makes without knowing it is
/// completed by the first layer inside that does, so that a layer put around another never hides its settings.
#[derive(Clone, Debug, Default)]
pub(crate) struct ContextConfig {
    /// Default: REST.
    pub(crate) kind: Option<ApiKind>,
    pub(crate) clock: Clock,
    /// Default: nobody is trusted.
    pub(crate) proxies: Option<TrustedProxies>,
    pub(crate) peer: PeerSource,
    /// The gateway that this is of.
    #[cfg(feature = "usage-plan")]
    pub(crate) maker: Option<std::num::NonZeroU32>,
}

impl ContextConfig {
    pub(crate) fn with_clock(clock: Clock) -> Self {
        Self { clock, ..Self::default() }
    }

    /// Of a gateway: says everything. What nobody has said is the default from now on, and no layer inside changes it.
    #[cfg(feature = "gateway")]
    pub(crate) fn complete(mut self) -> Self {
        self.kind.get_or_insert_default();
        self.proxies.get_or_insert_default();
        self.maker = std::num::NonZeroU32::new(NEXT_MAKER.fetch_add(1, Relaxed));
        self
    }

    /// The request's context: the one that an outer layer made, or a new one. For layers that have no say in it: what
    /// they make is open to those that have.
    pub(crate) fn find_or_create<B>(&self, request: &mut Request<B>) -> RequestContext {
        if let Some(found) = request.extensions().get::<RequestContext>() {
            return found.clone();
        }
        let context = self.create(request, None, (None, None));
        put(request, context)
    }

    /// The same for layers whose settings count: they complete what is open.
    pub(crate) fn establish<B>(&self, request: &mut Request<B>) -> RequestContext {
        if let Some(found) = request.extensions().get::<RequestContext>() {
            return self.complete_found(found, request);
        }
        let context = self.create(request, Some(self), (None, None));
        put(request, context)
    }

    /// The same for a gateway, a new one with route and `Host` field, which have been looked at before. Inside of another
    /// stage it has one of its own.
    #[cfg(feature = "gateway")]
    pub(crate) fn enter<B>(
        &self,
        request: &mut Request<B>,
        seen: impl FnOnce() -> (Option<MatchedRoute>, Option<HostText>),
    ) -> RequestContext {
        match request.extensions().get::<RequestContext>() {
            Some(found) if found.is_staged() => {
                let outer = found.clone();
                self.nest(request, outer)
            }
            Some(found) => self.complete_found(found, request),
            None => {
                let context = self.create(request, Some(self), seen());
                put(request, context)
            }
        }
    }

    /// [`find_or_create`](Self::find_or_create) for a stage: inside of another one it has a context of its own.
    #[cfg(feature = "stage")]
    pub(crate) fn find_or_nest<B>(&self, request: &mut Request<B>) -> RequestContext {
        match request.extensions().get::<RequestContext>() {
            Some(found) if found.is_staged() => {
                let outer = found.clone();
                self.nest(request, outer)
            }
            _ => self.find_or_create(request),
        }
    }

    #[cfg(feature = "stage")]
    fn nest<B>(&self, request: &mut Request<B>, outer: RequestContext) -> RequestContext {
        let mut context = self.create(request, Some(self), (None, None));
        if let Some(inner) = Arc::get_mut(&mut context.0) {
            inner.continue_from(outer);
        }
        self.settle(&context, request.extensions(), request.headers());
        put(request, context)
    }

    fn complete_found<B>(&self, found: &RequestContext, request: &Request<B>) -> RequestContext {
        self.settle(found, request.extensions(), request.headers());
        if let (None, Some(ingress)) = (found.ingress(), request.extensions().get()) {
            found.set_ingress(Clone::clone(ingress));
        }
        found.clone()
    }

    /// Writes down what this configuration says and nobody outside has said.
    fn settle(&self, context: &RequestContext, extensions: &Extensions, headers: &HeaderMap) {
        let inner = &*context.0;
        if let Some(kind) = self.kind {
            let _outer_layers_first = inner.kind.set(kind);
        }
        if inner.peer.get().is_none()
            && let Some(peer) = self.peer.of(extensions)
        {
            let _is_first = inner.peer.set(peer.to_canonical());
        }
        if let (Some(proxies), Some(peer), None) = (&self.proxies, inner.peer.get(), inner.client.get()) {
            let _is_first = inner.client.set(proxies.client(*peer, headers));
        }
    }

    /// `said` is what no layer inside may change.
    fn create<B>(
        &self,
        request: &Request<B>,
        said: Option<&Self>,
        (route, host): (Option<MatchedRoute>, Option<HostText>),
    ) -> RequestContext {
        let peer = self.peer.of(request.extensions()).map(|peer| peer.to_canonical());
        let proxies = said.and_then(|said| said.proxies.as_ref());
        let client = proxies.zip(peer).map(|(proxies, peer)| proxies.client(peer, request.headers()));
        RequestContext(Arc::new(Inner {
            kind: slot(said.and_then(|said| said.kind)),
            assumed_kind: self.kind.unwrap_or_default(),
            arrived: self.clock.now(),
            #[cfg(feature = "usage-plan")]
            maker: self.maker,
            ids: RequestIds::random(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            peer: slot(peer),
            client: slot(client),
            ingress: slot(request.extensions().get().cloned()),
            #[cfg(feature = "mtls")]
            client_certificate: request.extensions().get().cloned(),
            route: slot(route),
            stage_route: OnceLock::new(),
            outer: None,
            unrouted: OnceLock::new(),
            base_path: OnceLock::new(),
            host: slot(host),
            api_key: OnceLock::new(),
            principal: OnceLock::new(),
            authorizer: OnceLock::new(),
            authorizer_run: OnceLock::new(),
            caller: OnceLock::new(),
            #[cfg(feature = "usage-plan")]
            rate_limit: OnceLock::new(),
            error: OnceLock::new(),
            reason: OnceLock::new(),
            cache: cache::CacheSlot::default(),
            #[cfg(feature = "access-log")]
            observed: super::observed::Observed::default(),
            late_refusal: AtomicU8::default(),
            charge: OnceLock::new(),
            watch: OnceLock::new(),
            #[cfg(any(feature = "api-key", feature = "usage-plan"))]
            key_seen: AtomicBool::new(false),
            body_fault: AtomicU64::new(0),
        }))
    }
}

/// Where the layers inside find it.
fn put<B>(request: &mut Request<B>, context: RequestContext) -> RequestContext {
    request.extensions_mut().insert(context.clone());
    context
}

/// A slot that is written already, or open.
fn slot<T>(value: Option<T>) -> OnceLock<T> {
    value.map_or_else(OnceLock::new, OnceLock::from)
}

#[cfg(test)]
mod tests {
    use super::Inner;

    /// glibc keeps blocks of up to 1,032 bytes at hand for each thread; a larger one costs 1,400 instructions more. Two
    /// counts stand before what is in an `Arc`.
    #[test]
    fn a_context_is_no_larger_than_what_allocators_keep_at_hand() {
        assert!(size_of::<Inner>() + 16 <= 1_032, "{}", size_of::<Inner>());
    }
}
