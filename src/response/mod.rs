//! Gateway responses: what a client is told when the gateway refuses.
//!
//! A layer that refuses answers with AWS's exact bytes at once and leaves the [`GatewayError`] in the extensions of
//! the answer. [`GatewayResponseLayer`], outside of it, renders that error as [`GatewayResponses`] configure it and
//! adds the request ids to every answer, refused or not.
//!
//! | type | status | built-in body |
//! |---|---|---|
//! | `ACCESS_DENIED` | 403 | `{"Message":"User is not authorized to access this resource"}` (capital `M`) |
//! | `API_CONFIGURATION_ERROR` | 500 | `{"message": "Internal server error"}` (a space after the colon) |
//! | `AUTHORIZER_CONFIGURATION_ERROR` | 500 | `{"message":null}` |
//! | `AUTHORIZER_FAILURE` | 500 | `{"message":"Internal server error"}` (unconfirmed) |
//! | `BAD_REQUEST_BODY` | 400 | `{"message": "Invalid request body"}` |
//! | `BAD_REQUEST_PARAMETERS` | 400 | `{"message": "Missing required request parameters: [..]"}` |
//! | `DEFAULT_4XX`, `DEFAULT_5XX` | the original | fallbacks of all others, by status |
//! | `EXPIRED_TOKEN` | 403 | `{"message":"The security token included in the request is expired"}` |
//! | `INTEGRATION_FAILURE` | 504 | `{"message": "Network error communicating with endpoint"}` |
//! | `INTEGRATION_TIMEOUT` | 504 | `{"message": "Endpoint request timed out"}` |
//! | `INVALID_API_KEY` | 403 | `{"message":"Forbidden"}` |
//! | `INVALID_SIGNATURE` | 403 | `{"message":"The request signature we calculated does not match ..."}` |
//! | `MISSING_AUTHENTICATION_TOKEN` | 403 | `{"message":"Missing Authentication Token"}` |
//! | `QUOTA_EXCEEDED` | 429 | `{"message":"Limit Exceeded"}` |
//! | `REQUEST_TOO_LARGE` | 413 | `HTTP content length exceeded 10485760 bytes.` (plain text) |
//! | `RESOURCE_NOT_FOUND` | 404 | `{"message":"Resource not found"}` (unconfirmed) |
//! | `THROTTLED` | 429 | `{"message":"Too Many Requests"}` |
//! | `UNAUTHORIZED` | 401 | `{"message":"Unauthorized"}` |
//! | `UNSUPPORTED_MEDIA_TYPE` | 415 | `{"message": "Unsupported Media Type"}` |
//! | `WAF_FILTERED` | 403 | `{"message":"Forbidden"}` |
//!
//! On a REST API every refusal also carries `x-amzn-ErrorType`, and every answer `x-amzn-RequestId` and
//! `x-amz-apigw-id`; an HTTP API has fixed answers and one header, `apigw-requestid`.
//!
//! A gRPC client expects a status in headers and no JSON. A response of status 200 with an empty template for
//! `application/grpc` and the headers `grpc-status` (`'8'`) and `grpc-message` (`context.error.message`) is one.
//!
//! # Example
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_gateway::response::{GatewayResponse, GatewayResponseLayer, GatewayResponses, ResponseType};
//! # #[cfg(feature = "payload-limit")]
//! # fn main() {
//! use tower_gateway::payload_limit::PayloadLimitLayer;
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let own = GatewayResponse::new()
//!     .status(400)
//!     .header("x-stage", "'test'")
//!     .template("application/json", r#"{"error":$context.error.messageString}"#);
//! let responses = GatewayResponses::new().with(ResponseType::RequestTooLarge, &own).unwrap();
//! let service = tower::ServiceBuilder::new()
//!     .layer(GatewayResponseLayer::new(responses))
//!     .layer(PayloadLimitLayer::new(10))
//!     .service(service_fn(|_: Request<_>| async { Ok::<_, Infallible>(Response::new(http_body_util::Full::<Bytes>::from("ok"))) }));
//!
//! let allowed = service.clone().oneshot(Request::new(http_body_util::Full::<Bytes>::from("short"))).await.unwrap();
//! assert_eq!(allowed.status(), 200);
//! assert!(allowed.headers().contains_key("x-amzn-requestid"));
//!
//! let long = Request::builder().header("content-length", "11").body(http_body_util::Full::<Bytes>::from("much longer")).unwrap();
//! let refused = service.oneshot(long).await.unwrap();
//! assert_eq!(refused.status(), 400);
//! assert_eq!(refused.headers()["x-stage"], "test");
//! # });
//! # }
//! # #[cfg(not(feature = "payload-limit"))]
//! # fn main() {}
//! ```
//!
//! AWS: "Gateway responses for REST APIs in API Gateway" in the developer guide.

mod config;
mod error;
mod explain;
mod layer;
mod names;
mod remains;
mod render;
mod response_type;
mod template;

pub use config::{GatewayResponse, GatewayResponses};
pub use error::{Cause, GatewayError};
pub use layer::{Finish, GatewayResponseLayer, GatewayResponseService};
pub use response_type::{ResponseType, UnknownResponseType};

#[cfg(feature = "cors")]
pub(crate) use layer::is_cors_field;
#[cfg(feature = "usage-plan")]
pub(crate) use layer::{RATELIMIT, RATELIMIT_POLICY};
pub(crate) use remains::Remains;
pub(crate) use render::json_string;
#[cfg(any(feature = "usage-plan", feature = "cache"))]
pub(crate) use render::number_value;
#[cfg(feature = "gateway")]
pub(crate) use template::RequestHead;

#[cfg(test)]
mod tests;
