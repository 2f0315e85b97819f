//! The layer, and its judgement.

use crate::{
    clock::Clock,
    context::{ApiKind, ClientCertificate, ContextConfig, check_domain, comparable_host, is_of_domain},
    error::ConfigError,
    future::{ResponseFuture, Untouched},
    response::{Cause, GatewayError},
};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, Uri, header::HOST};
use std::{
    borrow::Cow,
    sync::Arc,
    task::{Context, Poll},
};
use tower_layer::Layer;
use tower_service::Service;

/// Asks for a client certificate; see the [module docs](super).
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct MutualTlsLayer {
    config: Arc<Config>,
}

#[derive(Clone, Debug, Default)]
struct Config {
    /// In lower case; empty: all.
    domains: Vec<Box<str>>,
    context: ContextConfig,
}

impl MutualTlsLayer {
    /// Asks on every host.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks only on these custom domain names; `*.example.com` is every name of one more label. Default, and with no names:
    /// every host.
    ///
    /// # Errors
    ///
    /// A name that no request's host can be: with a port, a scheme, an empty label (a final dot makes one), a space, or a
    /// `*` that is not the whole first label of several.
    pub fn domains<T: AsRef<str>>(
        mut self,
        domains: impl IntoIterator<Item = T>,
    ) -> Result<Self, ConfigError> {
        let checked = domains.into_iter().map(|name| {
            check_domain("mutual TLS domain", name.as_ref())?;
            Ok::<Box<str>, ConfigError>(name.as_ref().to_ascii_lowercase().into())
        });
        Arc::make_mut(&mut self.config).domains = checked.collect::<Result<_, ConfigError>>()?;
        Ok(self)
    }

    /// The clock of the request context, where this layer makes it. Default: the machine's.
    pub fn clock(mut self, clock: Clock) -> Self {
        Arc::make_mut(&mut self.config).context.clock = clock;
        self
    }

    /// The kind of API whose refusals this layer gives, where no layer outside has said one: needed around a gateway of an
    /// HTTP API, which is asked too late. Default: REST.
    pub fn api_kind(mut self, kind: ApiKind) -> Self {
        Arc::make_mut(&mut self.config).context.kind = Some(kind);
        self
    }
}

impl Config {
    fn decide<B>(&self, request: &Request<B>) -> Result<(), GatewayError> {
        let host = host(request.uri(), request.headers());
        judge(&self.domains, host.as_deref(), request.extensions().get()).map_err(GatewayError::forbidden)
    }
}

#[cfg(feature = "gateway")]
impl MutualTlsLayer {
    /// The phase of `Gateway`.
    pub(crate) fn admit<B>(&self, request: &Request<B>) -> Result<(), GatewayError> {
        self.config.decide(request)
    }
}

/// The decision. `host` is `None` where the request has no host that can be compared, or more than one.
fn judge(
    domains: &[Box<str>],
    host: Option<&str>,
    certificate: Option<&ClientCertificate>,
) -> Result<(), Cause> {
    // A request without a single host cannot prove that it is for an open domain.
    if !domains.is_empty()
        && host.is_some_and(|host| !domains.iter().any(|domain| is_of_domain(host, domain)))
    {
        return Ok(());
    }
    let certificate = certificate.ok_or(Cause::ClientCertificateMissing)?;
    match certificate.server_name() {
        Some(name) if host != Some(name) => Err(Cause::ClientCertificateForeign),
        _ => Ok(()),
    }
}

/// The host that the request is for, as it is compared. A target and a field that name different hosts name none: which of
/// them a service goes by is its own choice.
fn host<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> Option<Cow<'r, str>> {
    let mut fields = headers.get_all(HOST).iter();
    let field = match (fields.next(), fields.next()) {
        (Some(field), None) => Some(comparable_host(field.to_str().ok()?)?),
        (None, _) => None,
        (Some(_), Some(_)) => return None,
    };
    match (uri.host(), field) {
        (Some(target), Some(field)) => comparable_host(target).filter(|target| *target == field),
        (Some(target), None) => comparable_host(target),
        (None, field) => field,
    }
}

impl<S> Layer<S> for MutualTlsLayer {
    type Service = MutualTlsService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        MutualTlsService { inner, config: Arc::clone(&self.config) }
    }
}

/// The service of [`MutualTlsLayer`].
#[derive(Clone, Debug)]
pub struct MutualTlsService<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S, B, R> Service<Request<B>> for MutualTlsService<S>
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
        let context = self.config.context.find_or_create(&mut request);
        match self.config.decide(&request) {
            Ok(()) => ResponseFuture::forwarded(self.inner.call(request), Untouched),
            Err(error) => ResponseFuture::refused(error.refuse(&context)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};
    use tower::{ServiceExt, service_fn};

    fn certificate() -> ClientCertificate {
        let params = CertificateParams::new(vec!["client".to_owned()]).unwrap();
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        ClientCertificate::from_verified_chain(&[made.der()]).unwrap()
    }

    #[test]
    fn the_certificate_counts_for_the_host_of_its_handshake_alone() {
        let (any, of_a) = (certificate(), certificate().with_server_name("A.example"));
        let all: &[Box<str>] = &[];
        let some: &[Box<str>] = &["a.example".into(), "*.b.example".into()];
        let missing = Err(Cause::ClientCertificateMissing);
        let foreign = Err(Cause::ClientCertificateForeign);
        for (domains, host, certificate, expected) in [
            (all, Some("a.example"), None, missing),
            (all, Some("x.example"), Some(&any), Ok(())),
            (all, Some("a.example"), Some(&of_a), Ok(())),
            (all, Some("x.example"), Some(&of_a), foreign),
            (all, None, Some(&of_a), foreign),
            (some, Some("x.example"), None, Ok(())),
            (some, Some("a.example"), None, missing),
            (some, Some("x.b.example"), None, missing),
            (some, Some("y.x.b.example"), None, Ok(())),
            (some, Some("x.b.example"), Some(&of_a), foreign),
            (some, None, None, missing),
        ] {
            assert_eq!(judge(domains, host, certificate), expected, "{domains:?} {host:?}");
        }
    }

    #[test]
    fn hosts_are_read_from_the_target_or_the_one_field() {
        let from = |uri: &'static str, fields: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(HOST, field.parse().unwrap());
            }
            host(&Uri::from_static(uri), &headers).map(Cow::into_owned)
        };
        assert_eq!(from("/", &["A.example:8443"]).as_deref(), Some("a.example"));
        assert_eq!(from("/", &["a.example."]).as_deref(), Some("a.example"));
        assert_eq!(from("https://b.example/", &[]).as_deref(), Some("b.example"));
        assert_eq!(from("https://b.example/", &["B.example.:443"]).as_deref(), Some("b.example"));
        assert_eq!(from("https://b.example/", &["a.example"]), None, "a service may go by either");
        assert_eq!((from("/", &[]), from("/", &["a", "b"])), (None, None));
        assert_eq!(from("/", &["a.example.."]), None, "what a service would take it for, nobody knows");
        assert_eq!(from("https://a.example../", &[]), None);
    }

    #[test]
    fn a_domain_that_no_host_can_be_is_refused() {
        let domains = |name: &str| MutualTlsLayer::new().domains(["a.example", name]);
        for name in ["b.example:443", "b.example.", "https://b.example", " b.example", "*"] {
            let error = domains(name).unwrap_err();
            assert_eq!((error.location(), error.value()), ("mutual TLS domain", name));
        }
        assert_eq!(domains("*.B.example").unwrap().config.domains[1].as_ref(), "*.b.example");
    }

    #[tokio::test]
    async fn a_request_without_a_certificate_gets_403_and_the_context_shows_the_certificate() {
        let handler = service_fn(|request: Request<()>| async move {
            let context = crate::context::RequestContext::of(request.extensions()).unwrap();
            let subject = context.variable("identity.clientCert.subjectDN").map(Cow::into_owned);
            let other = context.variable("identity.clientCert.other");
            assert!(other.is_none() && context.client_certificate().is_some());
            Ok::<_, std::convert::Infallible>(Response::new(http_body_util::Full::<Bytes>::from(
                subject.unwrap(),
            )))
        });
        let service = MutualTlsLayer::new().layer(handler);
        let refused = service.clone().oneshot(Request::new(())).await.unwrap();
        assert_eq!(
            (refused.status().as_u16(), refused.headers()["x-amzn-errortype"].to_str().unwrap()),
            (403, "ForbiddenException")
        );
        let request = Request::builder().extension(certificate()).body(()).unwrap();
        assert_eq!(service.oneshot(request).await.unwrap().status(), 200);
        let http_api = MutualTlsLayer::new().api_kind(ApiKind::Http).layer(handler);
        let refused = http_api.oneshot(Request::new(())).await.unwrap();
        assert_eq!((refused.status().as_u16(), refused.headers().get("x-amzn-errortype")), (403, None));
    }
}
