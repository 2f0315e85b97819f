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
//! | `/metrics` | the Prometheus page |
//! | `/{view}`, `/{view}/{rest}` | a [`view`](AdminService::view) of yours, JSON |
//!
//! The record of a refused request says which layer refused, which statement or claim decided, and what would have been
//! allowed ([`Explanation`](crate::context::Explanation)). With `GatewayBuilder::explanation_id`, or
//! [`GatewayResponseLayer::explanation_id`](crate::response::GatewayResponseLayer::explanation_id), the answer names the
//! record by its id in a header field, so that who was refused can tell an operator which request it was; the answer says
//! nothing of the reasons.
//!
//! It refuses everybody with 403 until it is given an [`authorizer`](AdminService::authorizer). Paths are looked at from
//! where the service is mounted (`axum`'s `nest_service` takes the prefix away).
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_gateway::observe::{Metrics, ObserveLayer, admin::{AdminService, Explain}};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let (metrics, explain) = (Metrics::new(), Explain::new(1_000));
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
//! let open = closed.authorizer(|head| head.headers.contains_key("x-operator"));
//! assert_eq!(open.oneshot(ask(format!("/requests/{id}"))).await.unwrap().status(), 200);
//! # });
//! ```

mod explain;
mod service;
mod summary;

pub use explain::{Explain, RequestRecord};
pub use service::{AdminFuture, AdminService};
