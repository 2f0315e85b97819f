//! Lambda-style authorizers: a function of yours says who is calling and what they may.
//!
//! How a request is judged by [`AuthorizerLayer`]:
//!
//! 1. Behind a stage, or with [`AuthorizerLayer::routes`]: a method whose
//!    [`Authorization`](crate::route::Authorization) is not `Custom` passes, other layers authorize it. A `Custom` method
//!    is judged by the authorizer it names, and refused if there is none of that name. Without either, and where no
//!    declared method matches, the first authorizer judges.
//! 2. Used alone, paths with dot segments or malformed escapes are refused, as a stage does.
//! 3. An explicit deny of the layer's resource policy, if it has one, ends the request.
//! 4. Every identity source must be there ([`AuthorizerBuilder::identity_sources`]) and be text; a TOKEN must match
//!    the validation expression. Otherwise the function is not called.
//! 5. A cached answer is used. If there is none the function is called, once for all requests of one identity that
//!    wait. Every waiting request drives the call, so it goes on while one is left; the last one to hang up ends it.
//! 6. The answer is read strictly: a principal that is not empty, a policy the [engine](crate::policy) accepts whole,
//!    context values that are scalars, no member twice, at most 65,536 bytes.
//! 7. Policy and resource policy decide together ([`combine`](crate::policy::combine)) about the method and path that
//!    are called, on a hit as on a miss: what is cached is the policy, not the verdict. The path is the one that is
//!    routed, as the function is told it in the method ARN, whatever its spelling (`/%61dmin/` for `/admin`); an explicit
//!    deny of the path as received, or decoded, counts too.
//! 8. A request that passes has [`RequestContext::authorizer`](crate::context::RequestContext::authorizer), its principal,
//!    and its `usageIdentifierKey` for an `ApiKeyLayer` whose source is the authorizer.
//!
//! | case | REST | HTTP API | [`Cause`](crate::response::Cause) |
//! |---|---|---|---|
//! | dot segment, malformed escape (layer alone) | 400 `{"message":"Bad Request"}` | the same | `DotSegment`, `InvalidEscape` |
//! | method ARN above 1,600 bytes | 414 `{"message":"Request URI too long"}`, `BadRequestException` | 414 `{"message":"Request URI too long"}` | `ResourceArnTooLong` |
//! | identity source missing (REST: or empty) | 401 `{"message":"Unauthorized"}`, `UnauthorizedException` | 401 `{"message":"Unauthorized"}` | `IdentityMissing` |
//! | it is not UTF-8, or does not match the expression | the same | the same | `IdentityMalformed` |
//! | the function throws exactly `Unauthorized` | the same | the same | `AuthorizerUnauthorized` |
//! | a statement denies | 403 `{"Message":"User is not authorized to access this resource with an explicit deny"}`, `AccessDeniedException` | 403 `{"message":"Forbidden"}` | `AuthorizerExplicitDeny` |
//! | no statement allows | 403 `{"Message":"User is not authorized to access this resource"}`, `AccessDeniedException` | the same | `AuthorizerImplicitDeny` |
//! | malformed answer | 500 `{"message":null}`, `AuthorizerConfigurationException` | 500 `{"message":"Internal Server Error"}` | `AuthorizerMalformed` |
//! | the function throws anything else, or cannot be called | the same | the same | `AuthorizerFailed` |
//! | the method names an unknown authorizer | the same | the same | `AuthorizerUnknown` |
//! | no answer in time | 500 `{"message":"Internal server error"}`, `AuthorizerFailureException` | the same | `AuthorizerTimeout` |
//!
//! All are `content-type: application/json`. A refusal by policy has an
//! [`AccessDenial`](crate::policy::AccessDenial) for operators in the answer's extensions. Gateway responses for
//! `ACCESS_DENIED` may show `$context.authorizer.*` of the caller that is denied.
//!
//! The cache is keyed by the values of the identity sources in order (all values of a repeated parameter, of which the
//! function is told the last), by the stage, and by the authorizer. The key is 128 bits of SipHash with a secret drawn at
//! the start; no token is kept. Method and path are **not** in the key: a policy that names only the method that was
//! called first refuses the next one until the TTL is over ([`Authorizer::single_method_policies`]), and a function that
//! looks at anything else than its identity sources decides for requests it has not seen. [`Authorizer`] is the handle
//! that revokes, by principal, by identity, or all.
//!
//! Processes can share answers and revocations (`redis::Fleet::share_authorizer`): what the function has said to one is
//! used by all, encrypted under a [secret](AuthorizerBuilder::shared_secret) of theirs, and a revocation in one holds in
//! all.
//!
//! The function is a tower service: [`authorizer_fn`] makes one of an async closure, [`LambdaInvoke`] of an HTTP client
//! and a Lambda function.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_gateway::{
//!     authorizer::{Authorizer, AuthorizerAnswer, AuthorizerEvent, AuthorizerLayer, authorizer_fn},
//!     context::RequestContext,
//! };
//!
//! async fn who(event: AuthorizerEvent) -> Result<AuthorizerAnswer, &'static str> {
//!     match event.authorization_token() {
//!         "Bearer ada" => Ok(AuthorizerAnswer::allow("ada", ["arn:aws:execute-api:*:*:*/*/GET/*"])),
//!         "Bearer bob" => Ok(AuthorizerAnswer::deny("bob", ["*"])),
//!         _ => Err("Unauthorized"),
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let pets = Authorizer::token("pets", authorizer_fn(who)).build()?;
//! let service = AuthorizerLayer::new(pets.clone()).layer(service_fn(|request: Request<()>| async move {
//!     let context = RequestContext::of(request.extensions()).expect("made by the layer");
//!     let id = context.authorizer().and_then(|known| known.principal_id()).unwrap_or_default().to_owned();
//!     Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(id)))
//! }));
//! let ask = |token| service.clone().oneshot(Request::get("/pets").header("authorization", token).body(()).unwrap());
//!
//! assert_eq!(ask("Bearer ada").await.unwrap().status(), 200);
//! assert_eq!(ask("Bearer bob").await.unwrap().status(), 403);
//! assert_eq!(ask("Bearer eve").await.unwrap().status(), 401);
//! assert_eq!(ask("Bearer ada").await.unwrap().status(), 200);
//! assert_eq!(pets.calls(), 3, "ada's second request was answered from the cache");
//! # Ok::<(), tower_gateway::ConfigError>(())
//! # }).unwrap();
//! ```
//!
//! AWS: "Use API Gateway Lambda authorizers" in the developer guide, and "Control access to HTTP APIs with AWS Lambda
//! authorizers".

mod answer;
mod builder;
mod cache;
mod call;
mod error;
mod event;
mod flight;
mod function;
mod future;
mod handle;
mod identity;
mod judge;
mod key;
mod lambda;
mod layer;
mod memo;
mod peers;
mod query;
#[cfg(feature = "redis")]
mod shared;
#[cfg(feature = "tracing")]
mod trace;

pub use answer::AuthorizerAnswer;
pub use builder::{AuthorizerBuilder, PayloadFormat};
pub use error::AuthorizerError;
pub use event::AuthorizerEvent;
pub use function::{AuthorizerFn, authorizer_fn};
pub use future::AuthorizerFuture;
pub use handle::Authorizer;
pub use lambda::LambdaInvoke;
pub use layer::{AuthorizerLayer, AuthorizerService};
#[cfg(feature = "redis")]
pub(crate) use peers::{Peers, Revocation};
#[cfg(feature = "redis")]
pub use shared::SharedAnswerStats;
#[cfg(feature = "redis")]
pub(crate) use shared::{AnswerStore, Asked, Claim, Found, Place};
