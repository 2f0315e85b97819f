//! The features of Amazon API Gateway inside your own process, as tower layers around any hyper or axum service.
//!
//! Take the whole [`gateway`], or single layers. Answers have AWS's bytes where those are known, limits admit exactly what
//! they say, and in a [`Gateway`](gateway::Gateway) a request that a limit or an access check refuses is charged nothing.
//!
//! ```
//! # #[cfg(feature = "gateway")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use axum::{Router, body::Body, routing::get};
//! use http::{Method, Request};
//! use tower::{Layer, ServiceExt};
//! use tower_gateway::{
//!     api_key::{ApiKey, ApiKeys},
//!     gateway::Gateway,
//!     route::{ApiMethod, Routes},
//!     stage::Stages,
//!     throttle::Throttle,
//!     usage_plan::{Quota, QuotaPeriod, UsagePlan, UsagePlans},
//! };
//!
//! let api = Router::new().route("/pets", get(|| async { "cat, dog" }));
//! let routes = Routes::builder().method("/pets", Method::GET, ApiMethod::new().api_key_required(true)).build()?;
//! let keys = ApiKeys::builder().key(ApiKey::new("partner").value("0123456789abcdefghij")).build()?;
//! let gold = UsagePlan::new("gold").throttle(Throttle::new(10.0, 1)?).quota(Quota::new(1000, QuotaPeriod::Month)?);
//! let plans = UsagePlans::builder().plan(gold).attach("gold", "partner").build()?;
//! let gateway =
//!     Gateway::builder().stages(Stages::single("prod", routes)?).api_keys(keys).usage_plans(plans).build()?;
//! let app = gateway.layer(api);
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let ask = || Request::get("/prod/pets").header("x-api-key", "0123456789abcdefghij").body(Body::empty());
//! assert_eq!(app.clone().oneshot(ask()?).await?.status(), 200);
//! assert_eq!(app.oneshot(ask()?).await?.status(), 429);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "gateway"))]
//! # fn main() {}
//! ```
//!
//! | module | feature | what it decides |
//! |---|---|---|
//! | [`gateway`] | `gateway` (default) | the order of all layers |
//! | [`stage`] | `stage` | which stage, deployment, resource and method |
//! | [`cors`] | `cors` | which pages of other origins may read the answer |
//! | [`filter`] | | whatever a function of yours decides |
//! | [`mtls`] | `mtls` | who is calling, by the connection's client certificate |
//! | [`payload_limit`] | `payload-limit` | how large and how slow a request may be |
//! | [`resource_policy`] | `policy` | who may call from where, by a resource policy |
//! | [`sigv4`] | `sigv4` | whether the signature is the caller's, and what the caller may do |
//! | [`authorizer`] | `authorizer` | who is calling, by a function of yours, and what they may do |
//! | [`jwt`] | `jwt` | who is calling, by a signed token |
//! | [`api_key`] | `api-key` | which key is calling |
//! | [`usage_plan`] | `usage-plan` | how much and how fast |
//! | [`cache`] | `cache` | which answers are served again |
//! | [`timeout`] | `timeout` | how long the service may take |
//! | [`response`] | | what a refused client is told |
//! | [`observe`] | `access-log` and others | nothing: logs, metrics, traces, explanations |
//! | [`redb`] | `redb` | nothing: state that survives a restart |
//! | [`redis`] | `redis` | nothing: state that many processes share |
//! | [`store`] | `usage-plan`, `cache` or `authorizer` | what happens to a request whose store is away |
//! | [`policy`] | `policy` | what an IAM policy document says about a request |
//! | [`route`] | | nothing: resources, methods and their settings |
//! | [`throttle`] | | nothing: the token bucket and its settings |
//! | [`context`] | | nothing: what is known of a request, `$context` |
//! | [`body`], [`clock`], [`future`] | | nothing: the body type, the time, the futures of the layers |
//!
//! Layers share one [`RequestContext`](context::RequestContext), found in the request's extensions. Time comes from
//! one [`clock`]. A [`ConfigError`] names the value that is at fault, when something is built and never later.
//!
//! # Layers stacked by hand
//!
//! A [`Gateway`](gateway::Gateway) has the order built in. Layers that you stack yourself stand in this one, from outside
//! to inside; leave out what you do not need:
//!
//! `TraceLayer`, `SpanLayer`, `ObserveLayer` or `AccessLogLayer`, `GatewayResponseLayer`, `MutualTlsLayer`, `CorsLayer`,
//! `FilterLayer`, `StageRouter`, `PayloadLimitLayer`, `ResourcePolicyLayer`, the authorizers (`SigV4AuthLayer`,
//! `AuthorizerLayer`, `JwtAuthorizerLayer`, `CognitoAuthorizerLayer`), `PrincipalLayer`, `ApiKeyLayer`, `UsagePlanLayer`,
//! `CacheLayer`, `TimeoutLayer`, `IntegrationTimerLayer`.
//!
//! `tower::ServiceBuilder` takes them in this order. `Router::layer` of axum takes them in the **reverse** one: the layer
//! that is added last stands outermost. Two mistakes open a door:
//!
//! * A `UsagePlanLayer` outside of the layer that establishes the caller (`ApiKeyLayer`, `PrincipalLayer`, an authorizer)
//!   has nobody to charge.
//! * A `CacheLayer` outside of a layer that refuses serves stored answers to callers whom that layer would refuse.
//!
//! What differs from a [`Gateway`](gateway::Gateway): here a `CorsLayer` answers preflights before a `FilterLayer` inside
//! of it sees them, and a request that is refused for its body after it was charged stays charged.
//!
//! ```
//! # #[cfg(feature = "gateway")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use axum::{Router, body::Body, routing::get};
//! use http::Request;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_gateway::{
//!     api_key::{ApiKey, ApiKeyLayer, ApiKeys},
//!     throttle::Throttle,
//!     timeout::TimeoutLayer,
//!     usage_plan::{UsagePlan, UsagePlanLayer, UsagePlans},
//! };
//!
//! let keys = ApiKeys::builder().key(ApiKey::new("partner").value("0123456789abcdefghij")).build()?;
//! let gold = UsagePlan::new("gold").throttle(Throttle::new(10.0, 1)?);
//! let plans = UsagePlans::builder().plan(gold).attach("gold", "partner").build()?;
//! let app = Router::new().route("/pets", get(|| async { "cat, dog" })).layer(
//!     ServiceBuilder::new()
//!         .layer(ApiKeyLayer::new(keys)) // says who is calling
//!         .layer(UsagePlanLayer::new(plans)) // charges the key's plan
//!         .layer(TimeoutLayer::default()),
//! );
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let ask = || Request::get("/pets").header("x-api-key", "0123456789abcdefghij").body(Body::empty());
//! assert_eq!(app.clone().oneshot(ask()?).await?.status(), 200);
//! assert_eq!(app.clone().oneshot(ask()?).await?.status(), 429);
//! assert_eq!(app.oneshot(Request::get("/pets").body(Body::empty())?).await?.status(), 403);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "gateway"))]
//! # fn main() {}
//! ```
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(feature = "gateway"),
    allow(dead_code, reason = "the core serves every layer, a single feature uses a part of it")
)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

pub mod body;
pub mod clock;
#[cfg(any(feature = "redb", feature = "redis"))]
#[allow(dead_code, reason = "for the stores outside of the process")]
mod codec;
pub mod context;
mod error;
#[cfg(feature = "authorizer")]
mod expression;
pub mod future;
#[cfg(any(feature = "authorizer", feature = "jwt"))]
mod keyed_hash;
mod percent;
pub mod response;
pub mod route;
#[cfg(any(feature = "api-key", feature = "sigv4"))]
mod sha256;
#[cfg(any(feature = "usage-plan", feature = "cache", feature = "authorizer"))]
pub mod store;
#[cfg(any(feature = "cache", feature = "prometheus"))]
mod striped;
pub mod throttle;

#[cfg(feature = "api-key")]
pub mod api_key;
#[cfg(feature = "authorizer")]
pub mod authorizer;
#[cfg(feature = "cache")]
pub mod cache;
#[cfg(feature = "cors")]
pub mod cors;
pub mod filter;
#[cfg(feature = "gateway")]
pub mod gateway;
#[cfg(feature = "jwt")]
pub mod jwt;
#[cfg(feature = "mtls")]
pub mod mtls;
#[cfg(feature = "access-log")]
pub mod observe;
#[cfg(feature = "payload-limit")]
pub mod payload_limit;
#[cfg(feature = "policy")]
pub mod policy;
#[cfg(feature = "redb")]
pub mod redb;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "policy")]
pub mod resource_policy;
#[cfg(feature = "sigv4")]
pub mod sigv4;
#[cfg(feature = "stage")]
pub mod stage;
#[cfg(feature = "timeout")]
pub mod timeout;
#[cfg(feature = "usage-plan")]
pub mod usage_plan;

pub use body::GatewayBody;
pub use error::{ConfigError, ConfigErrorKind};

#[cfg(all(doctest, feature = "gateway"))]
#[doc = include_str!("../README.md")]
#[allow(missing_debug_implementations, reason = "only carries the README's example")]
struct ReadmeExamples;
