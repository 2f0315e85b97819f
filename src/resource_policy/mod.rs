//! Resource policies: who may call an API, from where, over what.
//!
//! A REST API's resource policy is judged in two phases (developer guide, "How API Gateway resource policies affect
//! authorization workflow"). This layer is the first one; authorizers inside it do the second, given the same policy (a
//! gateway gives them its own). How a request is judged:
//!
//! 1. The ARN of the call is made from what is *routed*: the stage, the method, and the path as this layer sees it.
//!    It is spelled as it is matched (`/admin` for `/admin/`, `//admin` and `/%61dmin`); an explicit deny of the path as
//!    received, or decoded, counts too. Without a stage around it, the layer refuses dot segments as `StageRouter` does.
//! 2. The caller is anonymous: only statements for `"*"` name it.
//! 3. Which answer is final depends on the method's [`Authorization`](crate::route::Authorization):
//!
//! | authorization | the policy allows | says nothing | denies |
//! |---|---|---|---|
//! | `NONE`, or no declared method | passes | 403 | 403 |
//! | `COGNITO_USER_POOLS`, `JWT` | passes, the token is judged next | 403 | 403 |
//! | `CUSTOM` | passes, the authorizer is asked next | passes; the authorizer must allow | 403, the authorizer is not asked |
//! | `AWS_IAM` | passes | passes | passes: the signature comes first |
//!
//! A call through a [private](crate::context::Ingress::private) entry is refused where no policy is attached: in `Gateway`,
//! `SigV4AuthLayer` and `AuthorizerLayer`.
//!
//! The policy of an `AWS_IAM` method is judged by `SigV4AuthLayer`, which knows the caller: outside of a gateway, give it
//! the same policy. What a refusal says and explains is a setting of each layer, and not of the policy.
//! [`ResourcePolicyLayer::phase`] replaces the table by one row for all requests.
//!
//! | refusal | answer | [`Cause`](crate::response::Cause) |
//! |---|---|---|
//! | says nothing | 403 `{"Message":"User: anonymous is not authorized to perform: execute-api:Invoke on resource: arn:aws:execute-api:…"}`, `x-amzn-errortype: AccessDeniedException` | `ResourcePolicySilent` |
//! | denies | the same with ` with an explicit deny` | `ResourcePolicyDenied` |
//! | dot segment, malformed escape | 400 `{"message":"Bad Request"}` | `DotSegment`, `InvalidEscape` |
//!
//! The account in the ARN is masked to its last four digits. [`DenialWording`] has the longer wording of 2026. An HTTP API
//! answers 403 `{"message":"Forbidden"}`; on AWS only REST APIs have resource policies. Operators find an
//! [`AccessDenial`](crate::policy::AccessDenial) in the extensions of the answer: which statement denied, and which would
//! have allowed but for one condition.
//!
//! What the condition keys stand for: [`RequestKeys`](crate::policy::RequestKeys). `aws:SourceIp` is the connection's peer,
//! or the client behind [`TrustedProxies`](crate::context::TrustedProxies); `X-Forwarded-For` alone means nothing. TLS and
//! VPC endpoints are told by [`Ingress`](crate::context::Ingress).
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_gateway::{
//!     context::PeerAddr,
//!     policy::{AccessDenial, ExecuteApi},
//!     resource_policy::{ResourcePolicy, ResourcePolicyLayer},
//! };
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let api = ExecuteApi::new("eu-west-1", "111122223333", "a1b2c3d4e5")?;
//! let policy = ResourcePolicy::new(&api, r#"{"Version": "2012-10-17", "Statement": [{"Sid": "office", "Effect": "Allow",
//!     "Principal": "*", "Action": "execute-api:Invoke", "Resource": "execute-api:/*",
//!     "Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}}]}"#)?;
//! let service = ResourcePolicyLayer::new(policy).stage("v1").layer(service_fn(|_: Request<()>| async {
//!     Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("cat, dog")))
//! }));
//! let from = |peer: &str| {
//!     Request::get("/pets").extension(PeerAddr(peer.parse().unwrap())).body(()).unwrap()
//! };
//!
//! assert_eq!(service.clone().oneshot(from("203.0.113.7:4711")).await.unwrap().status(), 200);
//! let refused = service.oneshot(from("198.51.100.1:4711")).await.unwrap();
//! assert_eq!(refused.status(), 403);
//! assert_eq!(refused.headers()["x-amzn-errortype"], "AccessDeniedException");
//! let denial = refused.extensions().get::<AccessDenial>().expect("for operators");
//! assert_eq!(denial.resource(), "arn:aws:execute-api:eu-west-1:111122223333:a1b2c3d4e5/v1/GET/pets");
//! let missed = denial.evaluation().near_misses().next().expect("one statement would have allowed");
//! assert_eq!((missed.sid.as_deref(), missed.failed_conditions[0].key.as_str()), (Some("office"), "aws:SourceIp"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod attached;
mod layer;

pub use crate::policy::DenialWording;
pub use attached::ResourcePolicy;
pub use layer::{Phase, ResourcePolicyLayer, ResourcePolicyService};
