//! The layer that makes the context and does nothing else.

use super::{ApiKind, ContextConfig, TrustedProxies};
use crate::clock::Clock;
use http::{Extensions, Request};
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::{Context, Poll},
};
use tower_layer::Layer;
use tower_service::Service;

/// The address of a connection's peer, as a request extension put there by the server.
///
/// axum's `ConnectInfo` is read by [`RequestContextLayer::peer_addr`] instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// A function that finds the peer's address in the extensions of a request.
type PeerFn = dyn Fn(&Extensions) -> Option<IpAddr> + Send + Sync;

/// Where the peer's address is found.
#[derive(Clone, Default)]
pub(crate) struct PeerSource(Option<Arc<PeerFn>>);

impl PeerSource {
    pub(crate) fn new(find: impl Fn(&Extensions) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(find)))
    }

    pub(super) fn of(&self, extensions: &Extensions) -> Option<IpAddr> {
        match &self.0 {
            Some(find) => find(extensions),
            None => extensions.get::<PeerAddr>().map(|peer| peer.0.ip()),
        }
    }
}

impl fmt::Debug for PeerSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "PeerSource(fn)" } else { "PeerSource(PeerAddr)" })
    }
}

/// Makes the [`RequestContext`](super::RequestContext), or completes one that an outer layer made which was not told what
/// this one is. Needed alone only to set what is not the default: kind of API, trusted proxies, clock. `Gateway` has it
/// built in.
#[derive(Clone, Debug, Default)]
pub struct RequestContextLayer {
    config: Arc<ContextConfig>,
}

impl RequestContextLayer {
    /// REST, no trusted proxies, the system's clock, addresses from [`PeerAddr`].
    pub fn new() -> Self {
        Self::default()
    }

    fn change(mut self, change: impl FnOnce(&mut ContextConfig)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }

    /// Which kind of API answers. Default: [`ApiKind::Rest`].
    #[must_use]
    pub fn api_kind(self, kind: ApiKind) -> Self {
        self.change(|config| config.kind = Some(kind))
    }

    /// The proxies that are believed about a client's address. Default: none.
    #[must_use]
    pub fn trusted_proxies(self, proxies: TrustedProxies) -> Self {
        self.change(|config| config.proxies = Some(proxies))
    }

    /// The clock of arrival times. Default: the system's.
    #[must_use]
    pub fn clock(self, clock: Clock) -> Self {
        self.change(|config| config.clock = clock)
    }

    /// Finds the peer's address in another extension than [`PeerAddr`]; for axum:
    /// `|extensions| extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip())`.
    #[must_use]
    pub fn peer_addr(self, find: impl Fn(&Extensions) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        self.change(|config| config.peer = PeerSource::new(find))
    }
}

impl<S> Layer<S> for RequestContextLayer {
    type Service = RequestContextService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequestContextService { inner, config: Arc::clone(&self.config) }
    }
}

/// The service of [`RequestContextLayer`].
#[derive(Clone, Debug)]
pub struct RequestContextService<S> {
    inner: S,
    config: Arc<ContextConfig>,
}

impl<S, B> Service<Request<B>> for RequestContextService<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        self.config.establish(&mut request);
        self.inner.call(request)
    }
}
