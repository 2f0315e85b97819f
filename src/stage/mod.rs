//! Stages: named, changeable pointers to immutable deployments.
//!
//! When does a request pass [`StageRouter`], and as what?
//!
//! 1. A path with a dot segment, plain or encoded, or an invalid escape is refused with 400 before anything else.
//! 2. The stage is found: by custom domain and base path mapping, else by the first path segment, else `$default`.
//! 3. A canary takes its share of the requests, at random.
//! 4. Resource and method are matched in the deployment the stage points to (see [`route`](crate::route)).
//! 5. The service sees the path without stage and base path; the path as received stays in the context. A trailing slash is
//!    ignored by the match and handed on: if the service is to take `/pets/` for `/pets`, put tower-http's
//!    `NormalizePathLayer` around it.
//! 6. What is refused for its path or method belongs to its stage: logs, metrics and gateway responses know it.
//!
//! What was matched decides which credentials the layers inside ask for. So a layer that changes methods or rewrites
//! paths by what a client says belongs outside of `StageRouter`: inside, a changed method, and a path that is not the end
//! of the one that was matched, count as declared nowhere, and stay closed.
//!
//! | refused | REST | HTTP API |
//! |---|---|---|
//! | dot segment, invalid escape, two `Host` fields (whatever the target says) | 400 `{"message":"Bad Request"}` | the same |
//! | unknown stage, host or base path | 403 `{"message":"Forbidden"}`, `ForbiddenException` | 404 `{"message":"Not Found"}` |
//! | no such path or method | 403 `{"message":"Missing Authentication Token"}`, `MissingAuthenticationTokenException` | 404 `{"message":"Not Found"}` |
//! | the same, and `Authorization` is no complete signature (feature `sigv4`) | 403 `IncompleteSignatureException`, which says what it lacks, as on AWS | 404 `{"message":"Not Found"}` |
//! | the same with [`NoRoute::NotFound`] | 404 `{"message":"Resource not found"}` | 404 `{"message":"Not Found"}` |
//!
//! [`Stages`] is the handle for changes at run time: deploy, roll back, variables, settings, canary. A request that
//! is in flight stays on the deployment it started on. All deployments are served by the one service inside; it sees
//! which one in [`RequestContext::deployment_id`](crate::context::RequestContext::deployment_id) and in the stage
//! variables, the way a Lambda alias is chosen on AWS.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Method, Request, Response};
//! use http_body_util::Full;
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_gateway::{
//!     context::RequestContext,
//!     route::{ApiMethod, Routes},
//!     stage::{StageRouter, Stages},
//! };
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let routes = Routes::builder().method("/pets/{id}", Method::GET, ApiMethod::new()).build().unwrap();
//! let router = StageRouter::new(Stages::single("prod", routes).unwrap());
//! let service = router.layer(service_fn(|request: Request<()>| async move {
//!     assert_eq!(request.uri().path(), "/pets/7");
//!     let context = request.extensions().get::<RequestContext>().unwrap();
//!     Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(context.path_parameter("id").unwrap().to_owned())))
//! }));
//! let ask = |path: &str| service.clone().oneshot(Request::builder().uri(path).body(()).unwrap());
//! assert_eq!(ask("/prod/pets/7").await.unwrap().status(), 200);
//! assert_eq!(ask("/test/pets/7").await.unwrap().headers()["x-amzn-errortype"], "ForbiddenException");
//! let unknown = ask("/prod/dogs").await.unwrap();
//! assert_eq!(unknown.headers()["x-amzn-errortype"], "MissingAuthenticationTokenException");
//! assert_eq!(ask("/prod/../admin").await.unwrap().status(), 400);
//! # });
//! ```
//!
//! AWS: "Deploy REST APIs in API Gateway", "Set up a canary release deployment" in the developer guide.

mod builder;
mod config;
mod domain;
mod matching;
mod service;
mod snapshot;
mod state;
mod store;

pub use builder::StagesBuilder;
pub use config::{CanarySettings, DEFAULT_STAGE, Deployment, NoRoute, Stage, StageThrottle};
pub use domain::CustomDomain;
pub use service::{StageRouter, StageRouterService};
pub use store::Stages;
