//! Where a request came in: over TLS or not, through a VPC endpoint or not.
//!
//! AWS knows this of every call; here the listener says it, by putting an [`Ingress`] into the request's extensions, or
//! a proxy that is trusted, through [`IngressLayer`]. A client cannot: no header is read that is not named, and none
//! from a peer that is not trusted.

use super::{RequestContext, TrustedProxies, layer::PeerSource};
use http::{Extensions, HeaderMap, HeaderName, Request};
use std::{
    net::IpAddr,
    sync::Arc,
    task::{Context, Poll},
};
use tower_layer::Layer;
use tower_service::Service;

/// How a request came in, as a request extension put there by the server: what the condition keys
/// `aws:SecureTransport`, `aws:SourceVpc`, `aws:SourceVpce` and `aws:VpcSourceIp` of policies tell, and
/// `$context.tlsVersion`, `cipherSuite`, `identity.vpcId`, `identity.vpceId` and `endpointType` of logs. Without one a
/// request counts as public and not secure, and logs say nothing. A clone is a reference count: make it once for a
/// connection.
///
/// ```
/// use http::Request;
/// use tower_gateway::context::Ingress;
///
/// let endpoint = Ingress::private()
///     .vpc_endpoint("vpce-1a2b3c4d")
///     .vpc("vpc-9f8e7d6c")
///     .source_ip("10.0.3.7".parse()?)
///     .tls("TLSv1.3")
///     .cipher("TLS_AES_128_GCM_SHA256");
/// let request = Request::builder().extension(endpoint).body(())?;
/// # let _ = request;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Ingress(Arc<Entry>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Entry {
    secure: bool,
    private: bool,
    vpc_id: Option<Box<str>>,
    vpc_endpoint_id: Option<Box<str>>,
    vpc_source_ip: Option<IpAddr>,
    tls_version: Option<Box<str>>,
    cipher_suite: Option<Box<str>>,
}

impl Ingress {
    /// A call from anywhere: a Regional or edge endpoint. `aws:SourceIp` is the client's address.
    pub fn public() -> Self {
        Self::default()
    }

    /// A call through a VPC endpoint: a private API. `aws:SourceIp` is absent, as on AWS, even where the address is
    /// known; what is not said is absent too. `Gateway`, `SigV4AuthLayer` and `AuthorizerLayer` refuse it where they have
    /// no resource policy: a private API without one is closed.
    pub fn private() -> Self {
        Self::public().change(|entry| entry.private = true)
    }

    fn change(mut self, change: impl FnOnce(&mut Entry)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// Whether the client's connection is encrypted (`aws:SecureTransport`). Default: no.
    pub fn secure(self, secure: bool) -> Self {
        self.change(|entry| entry.secure = secure)
    }

    /// The protocol version that was negotiated (`$context.tlsVersion`), in AWS's spelling: `TLSv1.3`. Makes the entry
    /// secure.
    pub fn tls(self, version: impl Into<Box<str>>) -> Self {
        self.change(|entry| (entry.secure, entry.tls_version) = (true, Some(version.into())))
    }

    /// The cipher suite that was negotiated (`$context.cipherSuite`), by its IANA name: `TLS_AES_128_GCM_SHA256`. Makes
    /// the entry secure.
    pub fn cipher(self, suite: impl Into<Box<str>>) -> Self {
        self.change(|entry| (entry.secure, entry.cipher_suite) = (true, Some(suite.into())))
    }

    /// The VPC that the call comes from (`aws:SourceVpc`). Makes the entry private.
    pub fn vpc(self, id: impl Into<Box<str>>) -> Self {
        self.change(|entry| (entry.private, entry.vpc_id) = (true, Some(id.into())))
    }

    /// The VPC endpoint that the call comes through (`aws:SourceVpce`). Makes the entry private.
    pub fn vpc_endpoint(self, id: impl Into<Box<str>>) -> Self {
        self.change(|entry| (entry.private, entry.vpc_endpoint_id) = (true, Some(id.into())))
    }

    /// The caller's address inside the VPC (`aws:VpcSourceIp`). Makes the entry private.
    pub fn source_ip(self, address: IpAddr) -> Self {
        self.change(|entry| (entry.private, entry.vpc_source_ip) = (true, Some(address.to_canonical())))
    }

    /// Whether the client's connection is encrypted.
    pub fn is_secure(&self) -> bool {
        self.0.secure
    }

    /// Whether the call came through a VPC endpoint.
    pub fn is_private(&self) -> bool {
        self.0.private
    }

    /// `$context.endpointType`.
    pub(super) fn endpoint_type(&self) -> &'static str {
        if self.is_private() { "PRIVATE" } else { "REGIONAL" }
    }

    /// The protocol version of the client's connection.
    pub fn tls_version(&self) -> Option<&str> {
        self.0.tls_version.as_deref()
    }

    /// The cipher suite of the client's connection.
    pub fn cipher_suite(&self) -> Option<&str> {
        self.0.cipher_suite.as_deref()
    }

    /// The VPC that the call comes from.
    pub fn vpc_id(&self) -> Option<&str> {
        self.0.vpc_id.as_deref()
    }

    /// The VPC endpoint that the call comes through.
    pub fn vpc_endpoint_id(&self) -> Option<&str> {
        self.0.vpc_endpoint_id.as_deref()
    }

    /// The caller's address inside the VPC.
    pub fn vpc_source_ip(&self) -> Option<IpAddr> {
        self.0.vpc_source_ip
    }
}

/// Takes a trusted proxy's word on how a request came in.
///
/// 1. An [`Ingress`] that the listener has put into the extensions stays.
/// 2. Otherwise, if the connection's peer is one of the [`TrustedProxies`], the headers that were named are read. None is
///    read by default: name those that the proxy *always* writes or removes, or clients write them.
/// 3. A header that names a VPC or an endpoint makes the call private. Repeated, or not an id, it makes it private
///    without saying which: no condition that asks for an endpoint holds.
/// 4. The scheme is secure if its header stands there once and says `https`.
/// 5. From any other peer nothing is believed: public, not secure.
///
/// This layer never refuses. Logs show what it found where it stands outside of the first of our other layers, which makes
/// the [`RequestContext`](super::RequestContext).
///
/// ```
/// use bytes::Bytes;
/// use http::{HeaderName, Request, Response};
/// use std::{convert::Infallible, net::SocketAddr};
/// use tower::{Layer, ServiceExt, service_fn};
/// use tower_gateway::context::{Ingress, IngressLayer, PeerAddr, TrustedProxies};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let layer = IngressLayer::new(TrustedProxies::new(["10.0.0.0/8"])?)
///     .vpc_endpoint_header(HeaderName::from_static("x-amzn-vpce-id"));
/// let service = layer.layer(service_fn(|request: Request<()>| async move {
///     let endpoint = request.extensions().get::<Ingress>().and_then(|ingress| ingress.vpc_endpoint_id());
///     Ok::<_, Infallible>(Response::new(Bytes::from(endpoint.unwrap_or("none").to_owned())))
/// }));
/// let from = |peer: &str| {
///     let peer = PeerAddr(SocketAddr::new(peer.parse().unwrap(), 443));
///     Request::builder().header("x-amzn-vpce-id", "vpce-1").extension(peer).body(()).unwrap()
/// };
/// assert_eq!(service.clone().oneshot(from("10.0.0.1")).await.unwrap().into_body(), "vpce-1");
/// assert_eq!(service.oneshot(from("198.51.100.1")).await.unwrap().into_body(), "none");
/// # Ok::<(), tower_gateway::ConfigError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct IngressLayer {
    config: Arc<Config>,
}

#[derive(Clone, Debug)]
struct Config {
    proxies: TrustedProxies,
    peer: PeerSource,
    vpc: Option<HeaderName>,
    vpc_endpoint: Option<HeaderName>,
    scheme: Option<HeaderName>,
}

impl IngressLayer {
    /// Believes the given proxies, in the headers named by the other settings.
    pub fn new(proxies: TrustedProxies) -> Self {
        let config =
            Config { proxies, peer: PeerSource::default(), vpc: None, vpc_endpoint: None, scheme: None };
        Self { config: Arc::new(config) }
    }

    fn change(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }

    /// The header in which the proxies name the VPC; API Gateway itself writes `x-amzn-vpc-id`. Default: none.
    pub fn vpc_header(self, name: HeaderName) -> Self {
        self.change(|config| config.vpc = Some(name))
    }

    /// The header in which the proxies name the VPC endpoint; API Gateway itself writes `x-amzn-vpce-id`. Default: none.
    pub fn vpc_endpoint_header(self, name: HeaderName) -> Self {
        self.change(|config| config.vpc_endpoint = Some(name))
    }

    /// The header in which the proxies name the scheme of the client's connection, usually `x-forwarded-proto`.
    /// Default: none.
    pub fn scheme_header(self, name: HeaderName) -> Self {
        self.change(|config| config.scheme = Some(name))
    }

    /// Finds the peer's address in another extension than [`PeerAddr`](super::PeerAddr).
    pub fn peer_addr(self, find: impl Fn(&Extensions) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        self.change(|config| config.peer = PeerSource::new(find))
    }
}

impl Config {
    fn ingress(&self, extensions: &Extensions, headers: &HeaderMap) -> Option<Ingress> {
        if extensions.get::<Ingress>().is_some() {
            return None;
        }
        let peer = self.peer.of(extensions)?.to_canonical();
        if !self.proxies.trusts(peer) {
            return None;
        }
        let mut ingress = Ingress::public();
        if let Some(found) = said(headers, self.vpc.as_ref()) {
            ingress = found.map_or_else(Ingress::private, |id| ingress.vpc(id));
        }
        if let Some(found) = said(headers, self.vpc_endpoint.as_ref()) {
            // One that is not understood spoils what the other said: which endpoint it was is not known.
            ingress = found.map_or_else(Ingress::private, |id| ingress.vpc_endpoint(id));
        }
        if ingress.is_private() {
            ingress = ingress.source_ip(self.proxies.client(peer, headers));
        }
        let scheme = said(headers, self.scheme.as_ref()).flatten();
        Some(ingress.secure(scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))))
    }
}

/// What a header says: `None` if it is not there, `Some(None)` if it stands there twice or is not a word.
fn said<'a>(headers: &'a HeaderMap, name: Option<&HeaderName>) -> Option<Option<&'a str>> {
    let mut fields = headers.get_all(name?).iter();
    let first = fields.next()?;
    let word = |text: &&str| {
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        plain && (1..=MAX_WORD).contains(&text.len())
    };
    Some(first.to_str().ok().filter(word).filter(|_| fields.next().is_none()))
}

/// Longer than any id of AWS.
const MAX_WORD: usize = 64;

impl<S> Layer<S> for IngressLayer {
    type Service = IngressService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        IngressService { inner, config: Arc::clone(&self.config) }
    }
}

/// The service of [`IngressLayer`].
#[derive(Clone, Debug)]
pub struct IngressService<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S, B> Service<Request<B>> for IngressService<S>
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
        if let Some(ingress) = self.config.ingress(request.extensions(), request.headers()) {
            if let Some(context) = RequestContext::of(request.extensions()) {
                context.set_ingress(ingress.clone());
            }
            request.extensions_mut().insert(ingress);
        }
        self.inner.call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::PeerAddr;
    use http::HeaderValue;
    use std::net::SocketAddr;

    fn ingress(peer: &str, fields: &[(&'static str, &'static str)]) -> Option<Ingress> {
        let layer = IngressLayer::new(TrustedProxies::new(["10.0.0.0/8"]).unwrap())
            .vpc_header(HeaderName::from_static("x-amzn-vpc-id"))
            .vpc_endpoint_header(HeaderName::from_static("x-amzn-vpce-id"))
            .scheme_header(HeaderName::from_static("x-forwarded-proto"));
        let mut extensions = Extensions::new();
        extensions.insert(PeerAddr(SocketAddr::new(peer.parse().unwrap(), 1)));
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        layer.config.ingress(&extensions, &headers)
    }

    const VPCE: (&str, &str) = ("x-amzn-vpce-id", "vpce-1");
    const VPC: (&str, &str) = ("x-amzn-vpc-id", "vpc-1");
    const HTTPS: (&str, &str) = ("x-forwarded-proto", "https");

    #[test]
    fn a_trusted_proxy_is_believed_and_nobody_else() {
        let found = ingress("10.0.0.1", &[VPCE, VPC, HTTPS, ("x-forwarded-for", "10.9.9.9")]).unwrap();
        assert_eq!((found.vpc_endpoint_id(), found.vpc_id()), (Some("vpce-1"), Some("vpc-1")));
        assert!(found.is_private() && found.is_secure());
        assert_eq!(found.vpc_source_ip(), Some("10.9.9.9".parse().unwrap()));
        assert_eq!(ingress("192.0.2.1", &[VPCE, VPC, HTTPS]), None);
        assert_eq!(ingress("10.0.0.1", &[]), Some(Ingress::public()));
        assert!(ingress("::ffff:10.0.0.1", &[HTTPS]).unwrap().is_secure());
    }

    #[test]
    fn what_is_not_understood_is_private_and_nobodys() {
        for fields in [
            &[VPCE, VPCE][..],
            &[VPC, ("x-amzn-vpce-id", "vpce-1, vpce-2")],
            &[("x-amzn-vpce-id", "")],
            &[VPC, VPC],
        ] {
            let found = ingress("10.0.0.1", fields).unwrap();
            assert!(found.is_private(), "{fields:?}");
            assert_eq!((found.vpc_endpoint_id(), found.vpc_id()), (None, None), "{fields:?}");
        }
        for fields in
            [&[HTTPS, HTTPS][..], &[("x-forwarded-proto", "https,http")], &[("x-forwarded-proto", "wss")]]
        {
            assert!(!ingress("10.0.0.1", fields).unwrap().is_secure(), "{fields:?}");
        }
    }

    #[test]
    fn the_listener_is_not_overruled() {
        let mut extensions = Extensions::new();
        extensions.insert(Ingress::public().secure(true));
        extensions.insert(PeerAddr("10.0.0.1:1".parse().unwrap()));
        let layer = IngressLayer::new(TrustedProxies::new(["10.0.0.0/8"]).unwrap());
        assert_eq!(layer.config.ingress(&extensions, &HeaderMap::new()), None);
    }
}
