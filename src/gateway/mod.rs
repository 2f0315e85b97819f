//! [`Gateway`]: every layer in the one right order, each optional.
//!
//! From outside to inside, and what each phase of a REST API answers:
//!
//! | # | phase | builder | refuses with |
//! |---|---|---|---|
//! | 1 | context, route match, body; access log and other observers; trace (features `tracing`, `xray`) | always; [`observe`](GatewayBuilder::observe); `trace` | nothing yet |
//! | 2 | gateway responses, request ids | [`gateway_responses`](GatewayBuilder::gateway_responses) | nothing: it renders the refusals of the phases below |
//! | 3 | client certificate (feature `mtls`) | `mutual_tls` | 403 `Forbidden` |
//! | 4 | request filter | [`filter`](GatewayBuilder::filter) | 403 `WAF_FILTERED`, to preflights too |
//! | 5 | CORS | [`cors`](GatewayBuilder::cors) | nothing: it answers preflights, whatever the stage and method, unless phase 6 says 400. Its headers stand on every refusal but those of phase 3 and of a preflight |
//! | 6 | stage and route | [`stages`](GatewayBuilder::stages) | 400, 403 `Forbidden`, 403 `Missing Authentication Token`, 403 `IncompleteSignatureException` (feature `sigv4`) |
//! | 7 | URL, header and payload limits | on by default | 414, 431, 400 (`Content-Length`), 413, 408 |
//! | 8 | resource policy (feature `policy`) | `resource_policy` | 403 `ACCESS_DENIED`; without a policy so does every call through a [private](crate::context::Ingress::private) entry |
//! | 9 | authorizer of the method (features `sigv4`, `authorizer`, `jwt`) | `sigv4`, `authorizer`, `jwt_authorizer`, `cognito_authorizer` | 401, 403, 414, 500; a signature also 400, 413 and 429 |
//! | 10 | principal | [`principal`](GatewayBuilder::principal) | nothing: it only says who is calling |
//! | 11 | API key | [`api_keys`](GatewayBuilder::api_keys); [`api_key`](GatewayBuilder::api_key) for a layer of your own settings | 403 `INVALID_API_KEY` |
//! | 12 | throttles, then quota | [`usage_plans`](GatewayBuilder::usage_plans); [`usage_plan`](GatewayBuilder::usage_plan) for a layer with weighted costs, reservations or plans by principal | 429; 403 for a key in no plan of the stage; 503 where the store of shared limits is away and its policy is `Deny` |
//! | 13 | cache | [`cache`](GatewayBuilder::cache) | 403 where a client may not invalidate, by setting; 504 for `only-if-cached` in the RFC 9111 mode; otherwise it answers |
//! | 14 | integration timeout | on by default | 504 |
//!
//! The filter stands where AWS WAF does, before every access control. Whether a page may read the answer is decided
//! before the filter is asked, so that its refusals have CORS headers; a preflight is answered once the filter has let it
//! pass. The payload limit stands after the route because limits are per method.
//!
//! What phases 3 to 12 refuse is charged nothing, and so is a request that phase 7 or 9 cuts off later for its body. What
//! the cache or the timeout answers has been charged. A gateway inside another one does not learn of a body that the
//! outer one refuses: what it has charged stays charged, so let the inner one have the smaller payload limit.
//!
//! What `cache` is called on becomes a [`Gateway<Cached>`](Cached); without it stays a `Gateway`, that is
//! `Gateway<Uncached>`. Around a service `S` the one makes a [`CachedStack<S>`](CachedStack), the other a
//! [`Stack<S>`](Stack): these are the types to name where a function returns the service or a struct holds it.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Method, Request, Response};
//! use http_body_util::Full;
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_gateway::{
//!     api_key::{ApiKey, ApiKeys},
//!     gateway::Gateway,
//!     route::{ApiMethod, Routes},
//!     stage::Stages,
//! };
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let pets = ApiMethod::new().api_key_required(true);
//! let routes = Routes::builder().method("/pets", Method::GET, pets).build().unwrap();
//! let gateway = Gateway::builder()
//!     .stages(Stages::single("prod", routes).unwrap())
//!     .api_keys(ApiKeys::builder().key(ApiKey::new("gold").value("0123456789abcdefghij")).build().unwrap())
//!     .build()
//!     .unwrap();
//! let service = gateway.layer(service_fn(|_: Request<_>| async {
//!     Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("cat, dog")))
//! }));
//!
//! let allowed = Request::get("/prod/pets").header("x-api-key", "0123456789abcdefghij");
//! let answer = service.clone().oneshot(allowed.body(Full::<Bytes>::default()).unwrap()).await.unwrap();
//! assert_eq!(answer.status(), 200);
//! let refused = service.oneshot(Request::get("/prod/pets").body(Full::<Bytes>::default()).unwrap()).await.unwrap();
//! assert_eq!(refused.status(), 403);
//! assert!(refused.headers().contains_key("x-amzn-requestid"));
//! # });
//! ```

mod admission;
mod authorizers;
mod builder;
mod encryption;
mod entry;
mod integration;
mod observed;
mod slot;
mod throttles;

pub use admission::AdmissionService;
pub use authorizers::Authorized;
pub use builder::{BuildError, GatewayBuilder};
pub use entry::{GatewayFuture, GatewayService};
pub use integration::{IntegrationFuture, IntegrationService};
pub use slot::{SlotFuture, SlotService};

#[cfg(feature = "mtls")]
use crate::mtls::MutualTlsLayer;
#[cfg(any(feature = "tracing", feature = "xray"))]
use crate::observe::trace::TraceLayer;
#[cfg(feature = "policy")]
use crate::resource_policy::ResourcePolicyLayer;
use crate::{
    api_key::ApiKeyLayer,
    cache::{CacheLayer, CacheService},
    context::{ContextConfig, PrincipalLayer},
    cors::CorsLayer,
    filter::FilterLayer,
    observe::Observers,
    payload_limit::PayloadLimitLayer,
    response::GatewayResponseLayer,
    stage::Stages,
    timeout::TimeoutLayer,
    usage_plan::UsagePlanLayer,
};
use authorizers::Authorizers;
use std::sync::Arc;
use tower_layer::Layer;

/// The assembled gateway: a layer to put around a whole router (`gateway.layer(router)`), not inside one. A clone
/// is a reference count; see the [module docs](self).
#[derive(Clone, Debug)]
pub struct Gateway<C = Uncached> {
    phases: Arc<Phases>,
    cache: C,
}

/// A gateway without a cache.
#[derive(Clone, Copy, Debug, Default)]
pub struct Uncached;

/// A gateway with a cache, made by [`GatewayBuilder::cache`].
#[derive(Clone, Debug)]
pub struct Cached(CacheLayer);

/// The phases, outermost first; what is `None` costs a branch.
#[derive(Debug)]
struct Phases {
    context: ContextConfig,
    stages: Stages,
    observers: Option<Arc<Observers>>,
    responses: GatewayResponseLayer,
    #[cfg(any(feature = "tracing", feature = "xray"))]
    trace: Option<TraceLayer>,
    #[cfg(feature = "mtls")]
    mutual_tls: Option<MutualTlsLayer>,
    cors: Option<CorsLayer>,
    filter: Option<FilterLayer>,
    payload_limit: Option<PayloadLimitLayer>,
    #[cfg(feature = "policy")]
    resource_policy: Option<ResourcePolicyLayer>,
    authorizers: Authorizers,
    principal: Option<PrincipalLayer>,
    api_key: Option<ApiKeyLayer>,
    usage_plan: Option<UsagePlanLayer>,
    timeout: Option<TimeoutLayer>,
}

/// All phases around a service.
pub type Stack<S> = GatewayService<Authorized<AdmissionService<IntegrationService<S>>>>;
/// The same with a cache.
pub type CachedStack<S> = GatewayService<Authorized<AdmissionService<CacheService<IntegrationService<S>>>>>;

impl Gateway {
    /// Starts with the limits and the timeout that AWS has, and nothing else.
    pub fn builder() -> GatewayBuilder {
        GatewayBuilder::default()
    }
}

impl<C> Gateway<C> {
    /// Innermost: only the integration is timed, not the wait for a slow client before it.
    fn integration<S>(&self, service: S) -> IntegrationService<S> {
        IntegrationService::new(service, Arc::clone(&self.phases))
    }

    /// Everything outside of integration and cache. Three services of the gateway's own around those of the
    /// authorizers, each with the phases between which nothing can wait, decided by plain functions: a service a phase
    /// would move the request and its future once more for each. The order inside stands in `admit` of
    /// [`GatewayService`] and [`AdmissionService`].
    fn outside<S>(&self, inner: S) -> GatewayService<Authorized<AdmissionService<S>>> {
        let phases = || Arc::clone(&self.phases);
        // A charge before anything that costs more.
        let stack = AdmissionService::new(inner, phases());
        // Who is calling comes before what a caller may use.
        let stack = self.phases.authorizers.layer(stack);
        // From the context to the payload limit, and every answer on its way out.
        GatewayService::new(stack, phases())
    }
}

impl<S> Layer<S> for Gateway {
    type Service = Stack<S>;

    fn layer(&self, service: S) -> Self::Service {
        self.outside(self.integration(service))
    }
}

impl<S> Layer<S> for Gateway<Cached> {
    type Service = CachedStack<S>;

    /// The cache stands behind the quota, as on AWS: a hit is charged like any other request.
    fn layer(&self, service: S) -> Self::Service {
        self.outside(self.cache.0.layer(self.integration(service)))
    }
}
