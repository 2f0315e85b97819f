//! For operators: why a request got its answer, and how the gateway is doing.
//!
//! [`Explain`] keeps the last requests, an [`Observer`](super::Observer). [`AdminService`] shows them:
//!
//! | path | answer |
//! |---|---|
//! | `/` | one page, without anything from outside |
//! | `/requests` | the last requests, newest first, JSON |
//! | `/requests/{id}` | one of them; 404 where it is not known (any more) |
//! | `/summary` | what the page shows, JSON |
//! | `/limits/{key}` | every limit that applies to a key, given by its id, and what is left of it; JSON, 404 for an unknown one |
//! | `/stages`, `/stages/{name}` | deployments, history, canary, settings, names of variables; JSON |
//! | `/metrics` | the Prometheus page |
//! | `/{view}`, `/{view}/{rest}` | a [`view`](AdminService::view) of yours, JSON |
//!
//! The record of a refused request says which layer refused, which statement or claim decided, and what would have been
//! allowed ([`Explanation`](crate::context::Explanation)). With `GatewayBuilder::explanation_id`, or
//! [`GatewayResponseLayer::explanation_id`](crate::response::GatewayResponseLayer::explanation_id), the answer names the
//! record by its id in a header field, so that a refused client can tell an operator which request it was; the answer says
//! nothing of the reasons.
//!
//! The service refuses everybody with 403 until [`allow`](AdminService::allow) says whom to let in. Paths are looked at
//! from where the service is mounted (`axum`'s `nest_service` takes the prefix away). The page carries its style and its
//! script, and a `Content-Security-Policy` that names them by their hash and allows nothing else.
//!
//! `/limits/{key}` is there once the service was given [`usage_plans`](AdminService::usage_plans); with
//! [`api_keys`](AdminService::api_keys) it knows keys in no plan and `enabled`, with [`stages`](AdminService::stages)
//! `stageThrottles`. Escapes in the id are decoded (`a%2Fb`). The value of a key is never looked for.
//!
//! Where usage is shared, the store is asked
//! ([`UsagePlans::shared_limits`](crate::usage_plan::UsagePlans::shared_limits)), for at most its deadline. Then the
//! document has `"store": {"answered": true}`, or `false` with a `failure`, and every limit its `scope`:
//!
//! | `scope` | figures |
//! |---|---|
//! | `shared` | of all processes, as the store has them; a quota has `inHand`: units that processes hold, which count as left and may be used already |
//! | `process` | of this process: the store keeps no throttles, or did not answer; `remaining` is then the limit less what this process has used |
//! | `unknown` | the store keeps them and did not answer: no `tokensLeft` |
//!
//! The quotas of the page are asked for in the same way.
//!
//! ```json
//! {
//!   "keyId": "gold-key", "enabled": true,
//!   "plans": [{
//!     "planId": "gold", "name": "Gold", "stages": ["prod"],
//!     "throttle": { "rateLimit": 10, "burstLimit": 20, "tokensLeft": 19, "shadow": false },
//!     "methodThrottles": [{ "stage": "prod", "resourcePath": "/pets", "method": "POST", "rateLimit": 1, "burstLimit": 2, "tokensLeft": 2, "shadow": false }],
//!     "quota": { "period": "MONTH", "limit": 1000, "used": 3, "remaining": 997, "periodStart": 1793491200, "periodEnd": 1796083200, "resetSeconds": 751320, "shadow": false }
//!   }],
//!   "stageThrottles": [{ "stage": "prod", "resourcePath": "/pets", "method": "GET", "rateLimit": 5, "burstLimit": 7, "tokensLeft": 7, "shadow": false }],
//!   "account": { "rateLimit": 1000, "burstLimit": 500, "tokensLeft": 500, "shadow": false }
//! }
//! ```
//!
//! What does not exist is left out. `stages` of a plan is empty for all stages; `tokensLeft` is missing where each method
//! has a bucket of its own; times are seconds since 1970.
//!
//! `/stages` is `{"stages": [...], "deployments": [{"id", "description"}]}`, and one of its stages:
//!
//! ```json
//! {
//!   "name": "prod", "deploymentId": "v2", "history": ["v1", "v2"], "variables": ["backend"],
//!   "settings": { "pets/GET": { "throttle": { "rateLimit": 5, "burstLimit": 7, "shadow": false } } },
//!   "canary": { "deploymentId": "v3", "percentTraffic": 12.500, "stageVariableOverrides": ["backend"] }
//! }
//! ```
//!
//! Variables have their values too, as an object, with [`show_variable_values`](AdminService::show_variable_values).
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_gateway::observe::{PrometheusMetrics, ObserveLayer, admin::{AdminService, Explain}};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let (metrics, explain) = (PrometheusMetrics::new(), Explain::new(1_000));
//! let observe = ObserveLayer::new().observer(metrics.clone()).observer(explain.clone());
//! let service = observe.layer(service_fn(|_: Request<()>| async {
//!     Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("pets")))
//! }));
//! service.oneshot(Request::new(())).await.unwrap().into_body().collect().await.unwrap();
//!
//! let ask = |path: String| Request::builder().uri(path).header("x-operator", "yes").body(()).unwrap();
//! let id = explain.recent()[0].request_id.clone();
//! let closed = AdminService::<Full<Bytes>>::new(explain, metrics);
//! assert_eq!(closed.clone().oneshot(ask("/".into())).await.unwrap().status(), 403);
//! let open = closed.allow(|head| head.headers.contains_key("x-operator"));
//! assert_eq!(open.oneshot(ask(format!("/requests/{id}"))).await.unwrap().status(), 200);
//! # });
//! ```

mod explain;
mod handles;
mod json;
#[cfg(feature = "usage-plan")]
mod limits;
mod service;
#[cfg(feature = "stage")]
mod stages;
mod summary;

pub use explain::{Explain, RequestRecord};
pub use service::{AdminFuture, AdminService};
