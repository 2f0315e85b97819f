//! Limits on what a request may bring: bytes of body, bytes of header fields, length of the URL, and slowness.
//!
//! What is decided, in this order:
//!
//! 1. A URL above [`url_limit`](PayloadLimitLayer::url_limit) or header fields above
//!    [`header_limit`](PayloadLimitLayer::header_limit) are refused.
//! 2. A `Content-Length` that is not one number (empty, signed, a list, two lines that differ) is refused: nobody
//!    may disagree about where a request ends.
//! 3. A `Content-Length`, or a body that knows its own length, above the limit is refused before a byte is read; the
//!    service is not called. The limit is the method's own
//!    ([`ApiMethod::payload_limit`](crate::route::ApiMethod::payload_limit)), or the layer's.
//! 4. A body that does not know its length is counted while it streams, whatever its header says. The service never
//!    sees a byte beyond the limit: its read fails with [`BodyLimitError`](crate::body::BodyLimitError).
//!    Bytes that it does not read are not received: the answer of a service that reads nothing stands, where AWS, which
//!    takes in the whole body first, says 413.
//! 5. A body below the [minimum rate](PayloadLimitLayer::minimum_rate) is cut off the same way.
//! 6. After a cut the client sees our answer at once, whatever the service does: if it swallows the error, waits for
//!    something else, reads in another task or fails, its future is dropped and its answer replaced. Only an
//!    answer whose head has been sent already stands.
//!
//! | refused | REST API | body |
//! |---|---|---|
//! | URL too long | 414 `DEFAULT_4XX` | `{"message":"Request URI too long"}` |
//! | header fields too large | 431 `DEFAULT_4XX` | `{"message":"Request Header Fields Too Large"}` |
//! | `Content-Length` invalid | 400 `DEFAULT_4XX` | `{"message":"Bad Request"}` |
//! | body too long | 413 `REQUEST_TOO_LARGE` | `HTTP content length exceeded 10485760 bytes.`, `content-type: text; charset=utf-8`, no `x-amzn-ErrorType` |
//! | the same, [`as_json`](PayloadLimitLayer::as_json) | 413 `REQUEST_TOO_LARGE` | `{"message":"Request Too Long"}` |
//! | body too slow | 408 `DEFAULT_4XX` | `{"message":"Request Timeout"}` |
//!
//! The 413 is as recorded from AWS; statuses and words of the others are unconfirmed (AWS does not document them).
//! All but the plain text carry `content-type: application/json` and `x-amzn-ErrorType`. An HTTP API answers 413 with
//! `{"message":"Request Entity Too Large"}` and the others alike, without the error type.
//!
//! In `Gateway` a request that is cut off is charged nothing. Used alone, this layer does not know of a
//! `UsagePlanLayer` inside of it: what was charged before the body was read stays charged.
//!
//! Used alone, the layer hands the service `Request<GatewayBody<B>>` and keeps the type of its answers;
//! [`same_body`](PayloadLimitLayer::same_body) keeps the type of the request's body too. A request with
//! an ended body, or with a known length and [no minimum rate](PayloadLimitLayer::no_minimum_rate), is not metered.
//! A metered one needs a [`RequestContext`](crate::context::RequestContext), which is made if no outer layer has; the
//! meter itself allocates nothing until the client keeps the service waiting. Upgrades (101) pass untouched.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_gateway::{GatewayBody, payload_limit::PayloadLimitLayer};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let echo = service_fn(|request: Request<GatewayBody<Full<Bytes>>>| async {
//!     let bytes = request.into_body().collect().await.unwrap().to_bytes();
//!     Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(bytes)))
//! });
//! let service = PayloadLimitLayer::new(5).layer(echo);
//!
//! let short = Request::new(Full::<Bytes>::from("short"));
//! let answer = service.clone().oneshot(short).await.unwrap();
//! assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "short");
//!
//! let longer = Request::new(Full::<Bytes>::from("longer"));
//! let answer = service.oneshot(longer).await.unwrap();
//! assert_eq!(answer.status(), 413);
//! let body = answer.into_body().collect().await.unwrap().to_bytes();
//! assert_eq!(body, "HTTP content length exceeded 5 bytes.");
//! # });
//! ```
//!
//! AWS: "Quotas for configuring and running a REST API in API Gateway" in the developer guide; RFC 9110 sections 8.6
//! (`Content-Length`), 15.5.9 (408), 15.5.14 (413), 15.5.15 (414); RFC 6585 section 5 (431).

mod check;
mod future;
mod layer;
#[cfg(feature = "gateway")]
mod phase;
mod same_body;
mod service;

pub use future::PayloadLimitFuture;
pub use layer::PayloadLimitLayer;
pub use same_body::{SameBodyLayer, SameBodyService};
pub use service::PayloadLimitService;

#[cfg(test)]
mod tests;
