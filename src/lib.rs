//! The features of Amazon API Gateway inside your own process, as tower layers around any hyper or axum service.
//!
//! Take the whole [`gateway`], or one layer; each is correct alone. Answers are AWS's, to the byte; limits admit
//! exactly what they say; a refused request is charged nothing.
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
//! | [`gateway`] | `gateway` (default) | the order of all of these |
//! | [`authorizer`] | `authorizer` | who is calling, by a function of yours, and what they may |
//! | [`api_key`] | `api-key` | which key is calling |
//! | [`usage_plan`] | `usage-plan` | how much and how fast |
//! | [`sigv4`] | `sigv4` | whether the signature is the caller's, and what the caller may do |
//! | [`stage`] | `stage` | which stage, deployment, resource and method |
//! | [`cache`] | `cache` | which answers are served again |
//! | [`cors`] | `cors` | which pages may read the answer |
//! | [`payload_limit`] | `payload-limit` | how large and how slow a request may be |
//! | [`jwt`] | `jwt` | who is calling, by a signed token |
//! | [`mtls`] | `mtls` | who is calling, by the connection's client certificate |
//! | [`timeout`] | `timeout` | how long the service may take |
//! | [`resource_policy`] | `policy` | who may call from where, by a resource policy |
//! | [`policy`] | `policy` | what an IAM policy document says to a request |
//! | [`observe`] | `access-log` | nothing: it writes down what happened |
//! | [`redb`] | `redb` | nothing: state that survives a restart |
//! | [`redis`] | `redis` | nothing: state that many processes share |
//! | [`store`] | | what happens to a request whose store is away |
//! | [`filter`] | | whatever a function of yours decides |
//! | [`response`] | | what a refused client is told |
//! | [`context`] | | what is known of a request: `$context` |
//!
//! Layers share one [`RequestContext`](context::RequestContext), found in the request's extensions. Time comes from
//! one [`clock`]. A [`ConfigError`] names the value that is at fault, when something is built and never later.
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
