//! What the gateway knows of one request: API Gateway's `$context`.
//!
//! [`RequestContext`] is made by the first of our layers that sees a request and found in its extensions by the
//! others, and by the handler. Each slot is written once, by one layer:
//!
//! | slot | written by |
//! |---|---|
//! | request id, extended id, times, method, URI as received | the layer that makes the context |
//! | [`Ingress`] | the same, or [`IngressLayer`] |
//! | kind of API, source address | the first layer that has been told of them: [`RequestContextLayer`], `Gateway` and others with such settings. Until then the API is a REST API and the address the peer's |
//! | host, stage, deployment, variables, resource path, path variables | `StageRouter`, of what it refuses too as far as they are known (a layer used alone with a `Routes` value: resource path only) |
//! | [`VerifiedApiKey`] | `ApiKeyLayer` |
//! | [`Principal`] | [`PrincipalLayer`]; implied by an authorizer's answer or a signature |
//! | [`AuthorizerContext`] | an authorizer |
//! | [`CallerIdentity`] | `SigV4AuthLayer` |
//! | error, [`Explanation`] | the layer that refuses |
//! | cache status, reason, age | `CacheLayer` |
//! | integration latency and status, user agent, announced length of the request | `ObserveLayer`, `IntegrationTimerLayer` |
//! | what the phases came to | each phase, where an observer asks for it |
//!
//! A `StageRouter` or `Gateway` inside of another one has a context of its own, so that no layer is judged by the outer
//! one's method. Ids, times, peer, client, kind of API and what came in are the same, and who is calling is what the outer
//! one knows until a layer inside says it; a refusal is noted in both. Everything else begins anew, and observers
//! outside see the outer one.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_gateway::context::{RequestContext, RequestContextLayer};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let handler = service_fn(|request: Request<()>| async move {
//!     let context = request.extensions().get::<RequestContext>().expect("made by the layer");
//!     assert_eq!(context.request_id().len(), 36);
//!     Ok::<_, Infallible>(Response::new(Bytes::from(context.variable("httpMethod").unwrap().into_owned())))
//! });
//! let service = RequestContextLayer::new().layer(handler);
//! let answer = service.oneshot(Request::new(())).await.unwrap();
//! assert_eq!(answer.into_body(), "GET");
//! # });
//! ```

mod authorizer;
mod authorizer_run;
mod body_fault;
mod body_watch;
mod cache;
mod caller;
mod charge;
#[cfg(feature = "jwt")]
mod claims;
#[cfg(feature = "mtls")]
mod client_certificate;
mod client_wait;
mod config;
#[cfg(any(feature = "api-key", feature = "policy"))]
mod declared;
#[cfg(feature = "tracing")]
mod execution;
mod explanation;
mod forwarded;
mod head;
#[cfg(feature = "access-log")]
mod headroom;
mod host;
mod identity;
mod ids;
mod in_force;
mod ingress;
#[cfg(feature = "jwt")]
pub(crate) mod json_object;
mod layer;
mod nested;
#[cfg(feature = "access-log")]
mod observed;
mod phases;
mod principal;
mod proxies;
#[cfg(feature = "usage-plan")]
mod rate_limit;
#[cfg(feature = "usage-plan")]
mod refused_limit;
mod short_text;
#[cfg(any(feature = "tracing", feature = "xray"))]
pub(crate) mod trace;
mod unrouted;
mod variables;

#[cfg(feature = "authorizer")]
pub(crate) use authorizer::KnownBy;
pub use authorizer::{AuthorizerContext, AuthorizerValue};
pub use caller::{Caller, CallerIdentity, CallerKind};
#[cfg(feature = "jwt")]
pub use claims::{ClaimStyle, Claims};
#[cfg(feature = "mtls")]
pub use client_certificate::ClientCertificate;
pub use explanation::Explanation;
pub use head::Head;
#[cfg(feature = "access-log")]
pub use headroom::{AuthorizerUse, PlanHeadroom};
pub use identity::{Principal, VerifiedApiKey};
pub use ingress::{Ingress, IngressLayer, IngressService};
pub use layer::{PeerAddr, RequestContextLayer, RequestContextService};
pub use principal::{PrincipalLayer, PrincipalService};
pub use proxies::{ForwardedHeader, TrustedProxies};

#[cfg(feature = "authorizer")]
pub(crate) use authorizer_run::{AuthorizerCall, AuthorizerRun};
#[cfg(feature = "payload-limit")]
pub(crate) use body_fault::BodyFault;
pub(crate) use cache::CacheNote;
#[cfg(feature = "usage-plan")]
pub(crate) use charge::{GiveBack, KeptCharge, PlainCharge, PlanCharge};
pub(crate) use config::ContextConfig;
#[cfg(all(feature = "tracing", feature = "authorizer"))]
pub(crate) use execution::{CallTexts, Credentials};
#[cfg(feature = "tracing")]
#[cfg_attr(
    not(feature = "gateway"),
    allow(unused_imports, reason = "the gateway sees what the service is sent")
)]
pub(crate) use execution::{EndpointTexts, ExecutionRecord, ExecutionTexts, Redact};
pub(crate) use explanation::Reason;
pub(crate) use host::HostText;
#[cfg(any(feature = "stage", feature = "tracing", feature = "xray"))]
pub(crate) use host::without_port;
#[cfg(any(feature = "stage", feature = "mtls"))]
pub(crate) use host::{check_domain, comparable_host, is_of_domain};
#[cfg(feature = "api-key")]
pub(crate) use identity::KeyId;
#[cfg(any(feature = "api-key", feature = "usage-plan"))]
pub(crate) use identity::subject;
#[cfg(feature = "usage-plan")]
pub(crate) use in_force::MethodInForce;
#[cfg(any(feature = "gateway", feature = "access-log"))]
pub(crate) use layer::PeerSource;
#[cfg(feature = "access-log")]
pub(crate) use observed::Wanted;
pub(crate) use phases::Phase;
#[cfg(feature = "usage-plan")]
pub(crate) use rate_limit::{Announced, FIELD_LEN, RateLimit};
#[cfg(feature = "usage-plan")]
pub(crate) use refused_limit::{LimitNumbers, RefusedLimit};
#[cfg(feature = "stage")]
pub(crate) use unrouted::Unrouted;
#[cfg(any(feature = "sigv4", feature = "metering"))]
pub(crate) use variables::civil_from_days;
#[cfg(feature = "access-log")]
pub(crate) use variables::common_log_time;

use crate::{clock::Timestamp, response::GatewayError, route::MatchedRoute};
use body_watch::BodyWatch;
use http::{Extensions, Method, Uri};
use ids::RequestIds;
#[cfg(any(feature = "api-key", feature = "usage-plan"))]
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, AtomicU64},
    },
};

/// Which kind of API answers: it decides the table of refusals (design D4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApiKind {
    /// REST API (v1): 21 configurable gateway responses, `x-amzn-RequestId`, 504 on a timeout.
    #[default]
    Rest,
    /// HTTP API (v2): fixed answers, `apigw-requestid`, 404 for an unknown route, 503 on a timeout.
    Http,
}

/// One request's context; see the [module docs](self). A clone is a reference count.
#[derive(Clone)]
pub struct RequestContext(Arc<Inner>);

/// Without the query, which may hold a presigned signature or a token, and without what layers found out.
impl fmt::Debug for RequestContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("RequestContext");
        out.field("request_id", &self.request_id()).field("method", self.method());
        out.field("path", &self.received_uri().path()).finish_non_exhaustive()
    }
}

struct Inner {
    /// What a layer has said that has a say in it.
    kind: OnceLock<ApiKind>,
    /// What it is until then.
    assumed_kind: ApiKind,
    arrived: Timestamp,
    #[cfg(feature = "usage-plan")]
    maker: Option<std::num::NonZeroU32>,
    ids: RequestIds,
    method: Method,
    uri: Uri,
    peer: OnceLock<IpAddr>,
    /// Who stands behind the proxies, once a layer has said which are trusted.
    client: OnceLock<IpAddr>,
    ingress: OnceLock<Ingress>,
    #[cfg(feature = "mtls")]
    client_certificate: Option<ClientCertificate>,
    route: OnceLock<MatchedRoute>,
    /// That of a stage, where the table of a layer around it has taken the slot: it goes before.
    stage_route: OnceLock<Box<MatchedRoute>>,
    /// The context of the stage that this one's is inside of.
    outer: Option<RequestContext>,
    unrouted: OnceLock<Box<unrouted::Unrouted>>,
    base_path: OnceLock<Arc<str>>,
    /// The `Host` field, where the URI names no host.
    host: OnceLock<HostText>,
    api_key: OnceLock<VerifiedApiKey>,
    principal: OnceLock<Principal>,
    authorizer: OnceLock<Arc<AuthorizerContext>>,
    authorizer_run: OnceLock<Box<authorizer_run::AuthorizerRun>>,
    caller: OnceLock<CallerIdentity>,
    /// What the answer will say of the plan's limits, until it is written.
    #[cfg(feature = "usage-plan")]
    rate_limit: OnceLock<RateLimit>,
    error: OnceLock<GatewayError>,
    reason: OnceLock<Box<dyn Reason>>,
    cache: cache::CacheSlot,
    #[cfg(feature = "access-log")]
    observed: observed::Observed,
    late_refusal: AtomicU8,
    /// What the request was charged, while it may still be refused.
    charge: OnceLock<charge::KeptCharge>,
    watch: OnceLock<Box<BodyWatch>>,
    /// An `ApiKeyLayer` has seen the request.
    #[cfg(any(feature = "api-key", feature = "usage-plan"))]
    key_seen: AtomicBool,
    /// 0: none; 1: too slow; `limit + 2`: longer than the limit.
    body_fault: AtomicU64,
}

impl RequestContext {
    /// The context of a request, if one of our layers has seen it.
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// `$context.requestId`, a lower-case UUID version 4; of an HTTP API the extended id, which is the one that its clients
    /// are told (`apigw-requestid`). Made here; a client's header is not trusted.
    pub fn request_id(&self) -> &str {
        match self.api_kind() {
            ApiKind::Rest => self.0.ids.request_id(),
            ApiKind::Http => self.0.ids.extended_request_id(),
        }
    }

    /// `$context.extendedRequestId`: 16 characters of base64 ending in `=`.
    pub fn extended_request_id(&self) -> &str {
        self.0.ids.extended_request_id()
    }

    /// Which kind of API answers.
    pub fn api_kind(&self) -> ApiKind {
        self.0.kind.get().copied().unwrap_or(self.0.assumed_kind)
    }

    /// The gateway that made it; nobody's if a layer outside did.
    #[cfg(feature = "usage-plan")]
    pub(crate) fn maker(&self) -> Option<std::num::NonZeroU32> {
        self.0.maker
    }

    /// When the first of our layers saw the request.
    pub fn arrived(&self) -> Timestamp {
        self.0.arrived
    }

    /// The method as received.
    pub fn method(&self) -> &Method {
        &self.0.method
    }

    /// The URI as received, with stage and base path.
    pub fn received_uri(&self) -> &Uri {
        &self.0.uri
    }

    /// `$context.identity.sourceIp`: the connection's peer, or who stands behind the proxies that are trusted.
    /// `None` where the server tells no address (see [`PeerAddr`]).
    pub fn source_ip(&self) -> Option<IpAddr> {
        self.0.client.get().or_else(|| self.0.peer.get()).copied()
    }

    /// Whether the source address is a trusted proxy's word, and not the connection's peer.
    #[cfg(feature = "xray")]
    pub(crate) fn is_forwarded(&self) -> bool {
        self.0.client.get().is_some_and(|client| Some(client) != self.0.peer.get())
    }

    /// How the request came in, where the listener or an [`IngressLayer`] has said so.
    pub fn ingress(&self) -> Option<&Ingress> {
        self.0.ingress.get()
    }

    pub(crate) fn set_ingress(&self, ingress: Ingress) {
        let _first_writer_wins = self.0.ingress.set(ingress);
    }

    /// The certificate that the listener found the client to have.
    #[cfg(feature = "mtls")]
    pub fn client_certificate(&self) -> Option<&ClientCertificate> {
        self.0.client_certificate.as_ref()
    }

    /// `$context.stage`, also of a request whose path or method its deployment does not declare.
    pub fn stage(&self) -> Option<&str> {
        Some(&self.stage_scope()?.name)
    }

    /// `$context.deploymentId`: the deployment that serves this request, to its end.
    pub fn deployment_id(&self) -> Option<&str> {
        Some(&self.stage_scope()?.deployment_id)
    }

    /// `$context.isCanaryRequest`; `None` while the stage has no canary settings.
    pub fn is_canary_request(&self) -> Option<bool> {
        self.stage_scope()?.canary
    }

    /// A stage variable, with the canary's overrides applied.
    pub fn stage_variable(&self, name: &str) -> Option<&str> {
        self.stage_scope()?.variables.get(name).map(String::as_str)
    }

    /// `$context.resourcePath`: the template that matched, `/pets/{id}`.
    pub fn resource_path(&self) -> Option<&str> {
        Some(&self.route()?.declared().resource_path)
    }

    /// A variable of the resource path, as received (not percent-decoded).
    pub fn path_parameter(&self, name: &str) -> Option<&str> {
        self.route()?.path_parameter(name, self.0.uri.path())
    }

    /// `$context.customDomain.basePathMatched`; `(none)` for the catch-all mapping.
    pub fn base_path_matched(&self) -> Option<&str> {
        self.0.base_path.get().map(|path| &**path)
    }

    /// `$context.domainName`: the host that was asked for, without its port. Of HTTP/1.1, behind a `StageRouter` or a
    /// gateway, it is what the `Host` field says: a client may write anything there.
    pub fn domain_name(&self) -> Option<&str> {
        let field = || Some(host::without_port(self.0.host.get()?.as_str()));
        self.0.uri.host().or_else(field)
    }

    /// The API key that was verified.
    pub fn api_key(&self) -> Option<&VerifiedApiKey> {
        self.0.api_key.get().or_else(|| self.outer()?.api_key())
    }

    /// Notes that an `ApiKeyLayer` has judged the request, whether or not it needed a key.
    #[cfg(feature = "api-key")]
    pub(crate) fn note_key_seen(&self) {
        self.0.key_seen.store(true, Relaxed);
    }

    #[cfg(feature = "usage-plan")]
    pub(crate) fn is_key_seen(&self) -> bool {
        self.0.key_seen.load(Relaxed) || self.outer().is_some_and(Self::is_key_seen)
    }

    /// Who is calling: what an authorizer, a signature or the user's own authentication has said first.
    pub fn principal(&self) -> Option<&Principal> {
        let own = self.0.principal.get().or_else(|| self.implied_principal());
        own.or_else(|| self.outer()?.principal())
    }

    /// That of an authorizer's answer or of a signature. It is read where it is: a copy in the slot would cost every
    /// request that passes.
    fn implied_principal(&self) -> Option<&Principal> {
        let by_authorizer = self.0.authorizer.get().and_then(|established| established.principal());
        by_authorizer.or_else(|| self.0.caller.get().map(CallerIdentity::principal))
    }

    /// Lets the principal that there is stay the one, before something implies another.
    #[allow(dead_code, reason = "not every feature set has a layer that establishes a caller")]
    fn keep_principal(&self) {
        if let Some(first) = self.implied_principal() {
            let _is_kept_already = self.0.principal.set(first.clone());
        }
    }

    /// Whose signature was verified.
    pub fn caller(&self) -> Option<&CallerIdentity> {
        self.0.caller.get().or_else(|| self.outer()?.caller())
    }

    /// The refusal that ended the request.
    pub fn error(&self) -> Option<&GatewayError> {
        self.0.error.get()
    }

    #[cfg(feature = "usage-plan")]
    pub(crate) fn set_rate_limit(&self, rate_limit: RateLimit) {
        let _first_writer_wins = self.0.rate_limit.set(rate_limit);
    }

    /// Nothing of a charge that was given back: the numbers would still count it.
    #[cfg(feature = "usage-plan")]
    pub(crate) fn rate_limit(&self) -> Option<&RateLimit> {
        self.0.rate_limit.get().filter(|_| !self.is_given_back())
    }

    pub(crate) fn id_bytes(&self) -> &[u8; ids::TEXT_LEN] {
        self.0.ids.text()
    }

    pub(crate) fn route(&self) -> Option<&MatchedRoute> {
        self.0.stage_route.get().map(|route| &**route).or_else(|| self.0.route.get())
    }

    pub(crate) fn set_route(&self, route: MatchedRoute) {
        let _first_writer_wins = self.0.route.set(route);
    }

    /// The route of a stage, whatever a layer around it has matched against a table of its own.
    #[cfg(feature = "stage")]
    pub(crate) fn set_stage_route(&self, route: MatchedRoute) {
        if let Err(route) = self.0.route.set(route) {
            let _first_writer_wins = self.0.stage_route.set(Box::new(route));
        }
    }

    #[cfg(feature = "stage")]
    pub(crate) fn set_base_path(&self, base_path: Arc<str>) {
        let _first_writer_wins = self.0.base_path.set(base_path);
    }

    #[cfg(feature = "stage")]
    pub(crate) fn set_host(&self, field: HostText) {
        let _first_writer_wins = self.0.host.set(field);
    }

    #[cfg(feature = "api-key")]
    pub(crate) fn set_api_key(&self, key: VerifiedApiKey) {
        let _first_writer_wins = self.0.api_key.set(key);
    }

    pub(crate) fn set_principal(&self, principal: Principal) {
        if self.implied_principal().is_none() {
            let _first_writer_wins = self.0.principal.set(principal);
        }
    }

    #[cfg(feature = "sigv4")]
    pub(crate) fn set_caller(&self, caller: CallerIdentity) {
        self.keep_principal();
        let _first_writer_wins = self.0.caller.set(caller);
    }

    #[cfg(feature = "cache")]
    pub(crate) fn set_cache_note(&self, note: CacheNote) {
        self.0.cache.write(note);
    }

    #[allow(dead_code, reason = "read by the cache's part of the `$context` table")]
    pub(crate) fn cache_note(&self) -> Option<CacheNote> {
        self.0.cache.read()
    }

    /// Not of a refresh, whose request has its answer.
    pub(crate) fn set_error(&self, error: GatewayError) {
        #[cfg(feature = "access-log")]
        if self.is_refresh() {
            return;
        }
        self.set_answered_error(error);
    }

    /// The one that the client is answered with.
    pub(crate) fn set_answered_error(&self, error: GatewayError) {
        if let Some(outer) = self.outer() {
            outer.set_error(error.clone());
        }
        let _first_writer_wins = self.0.error.set(error);
    }
}
