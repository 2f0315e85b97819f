//! What happened: access logs, metrics, traces, and every other observer of how a request ended.
//!
//! [`ObserveLayer`] stands outside of every other layer. It lets everything pass, and tells its [`Observer`]s once for
//! each request, with one [`RequestEvent`]:
//!
//! 1. when the last byte of the answer was handed over: the body said that it ends, or `Content-Length` is reached;
//! 2. with the head, where no body follows it: `HEAD`, 204, 304, an upgrade (101), an empty body;
//! 3. when the answer, or the work on it, is dropped before: the client has gone ([`Outcome::ClientClosed`]);
//! 4. when the service or its body panics ([`Outcome::Panicked`]) or gives an error ([`Outcome::Failed`]).
//!
//! Refusals are answers like others: one event, with [`RequestEvent::error`]. An observer that panics is ignored.
//!
//! [`AccessLogLayer`] is [`ObserveLayer`] with one [`AccessLog`]: a compiled [`AccessLogFormat`], a [`LogSink`], and
//! [`Sampling`].
//!
//! | `$context` variable | at the end of a request |
//! |---|---|
//! | `status` | what the client was told; `-` where it was told nothing |
//! | `responseLength` | bytes of the body that were handed over |
//! | `responseLatency` | milliseconds from arrival to the last byte |
//! | `integration.latency`, `.status`, `integrationLatency`, `integrationStatus` | by [`IntegrationTimerLayer`] |
//! | `integration.timeToAllHeaders`, `integration.timeToFirstContent`, `integration.responseTransferMode` | the same latency; from the call to the first byte of the body; `STREAMED`; `-` where the service gave no answer |
//! | `integration.error`, `integrationErrorMessage` | [`RequestEvent::integration_error`]: a timeout, an error, a panic |
//! | `authenticate.*` | the signature: `latency`, `status` (200, or that of the refusal), `error` |
//! | `authorizer.*` | the work of an authorizer: `latency` as the request waited, `integrationLatency`, `integrationStatus` and `requestId` of its function's call, `status`, `error`; a cached answer took no time |
//! | `authorize.*` | what policies said of whom a signature or a Lambda-style authorizer established |
//! | `waf.*`, `wafResponseCode` | the [`filter`](crate::filter) |
//! | `tlsVersion`, `cipherSuite`, `identity.vpcId`, `identity.vpceId`, `endpointType` | by an [`Ingress`](crate::context::Ingress) of the listener |
//! | `awsEndpointRequestId`, `awsEndpointRequestId2`, `integration.requestId` | `x-amzn-RequestId` (or `x-amz-request-id`) and `x-amz-id-2` of the service's answer, in `Gateway` |
//! | `routeKey` | `GET /pets/{id}`, as declared |
//! | `apiId`, `accountId` | by [`ApiInfo`] |
//! | `identity.userAgent` | as sent; invalid UTF-8 replaced |
//! | `protocol` | always `HTTP/1.1`, also of HTTP/2; a span's `network.protocol.version` says which it was |
//! | `dataProcessed` | bytes of the request that were read, and of the answer |
//! | `outcome` (ours) | `complete`, `client_closed`, `panicked`, `failed` |
//! | `error.cause` (ours) | the [`Cause`](crate::response::Cause) of a refusal, for operators |
//! | `error.layer` (ours) | the [layer](crate::context::RequestContext::refusing_layer) that refused, by its name |
//! | `requestLength` (ours) | the bytes of the request's body that were read, whatever its `Content-Length` announces; `-` where nobody counts: [`Gateway`](crate::gateway) does, for its own observers and those around it, and a `PayloadLimitLayer` inside of the observer |
//! | every other | [`RequestContext::variable`](crate::context::RequestContext::variable), or `-` |
//!
//! Other observers: `PrometheusMetrics` with a Prometheus page (feature `prometheus`), `EmfLog` for CloudWatch (feature
//! `emf`), `FacadeMetrics` for the `metrics` crate (feature `metrics`), `admin::Explain` for operators (feature `admin`),
//! `metering::UsageJournal` for bills (feature `metering`), `trace::XRayDaemon` (feature `xray`). What happened inside,
//! step by step, is written by `ExecutionLog` (feature `tracing`).
//!
//! AWS inserts values raw. Here they are escaped as the format demands ([`Escaping`]), credentials are masked, and no
//! value can end a line, whatever the client sent.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use std::{convert::Infallible, sync::{Arc, Mutex}};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_gateway::{
//!     filter::{FilterLayer, Verdict},
//!     observe::{AccessLog, AccessLogFormat, AccessLogLayer, LogApi, RequestEvent},
//! };
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let lines = Arc::new(Mutex::new(Vec::new()));
//! let kept = Arc::clone(&lines);
//! let sink = move |line: &str, event: &RequestEvent<'_>| {
//!     let line = line.replace(event.context().request_id(), "ID");
//!     kept.lock().unwrap().push(line);
//! };
//! let text = r#"{"id":"$context.requestId","status":$context.status,"bytes":$context.responseLength,"why":"$context.error.responseType"}"#;
//! let format = AccessLogFormat::new(LogApi::Rest, text).unwrap();
//! let service = ServiceBuilder::new()
//!     .layer(AccessLogLayer::new(AccessLog::new(format, sink)))
//!     .layer(FilterLayer::new(|head, _| match head.uri.path() {
//!         "/secret" => Verdict::Block,
//!         _ => Verdict::Pass,
//!     }))
//!     .service(service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("pets"))) }));
//!
//! for path in ["/pets", "/secret"] {
//!     let request = Request::builder().uri(path).body(()).unwrap();
//!     service.clone().oneshot(request).await.unwrap().into_body().collect().await.unwrap();
//! }
//! let lines = lines.lock().unwrap();
//! assert_eq!(lines[0], r#"{"id":"ID","status":200,"bytes":4,"why":"-"}"#);
//! assert_eq!(lines[1], r#"{"id":"ID","status":403,"bytes":23,"why":"WAF_FILTERED"}"#);
//! # });
//! ```
//!
//! AWS: "Set up CloudWatch logging for REST APIs", "Variables for access logging" in the developer guide.

mod access_log;
#[cfg(feature = "admin")]
pub mod admin;
#[cfg(feature = "emf")]
mod emf;
mod event;
#[cfg(feature = "tracing")]
pub mod execution;
#[cfg(feature = "metrics")]
mod facade;
#[cfg(feature = "firehose")]
pub mod firehose;
mod integration;
mod layer;
#[cfg(feature = "metering")]
pub mod metering;
#[cfg(feature = "prometheus")]
pub mod metrics;
#[cfg(any(feature = "prometheus", feature = "emf", feature = "metrics"))]
mod samples;
#[cfg(any(feature = "admin", feature = "tracing", feature = "xray"))]
mod secret_path;
mod service;
mod sink;
#[cfg(all(
    any(feature = "prometheus", feature = "emf", feature = "metrics"),
    any(feature = "usage-plan", feature = "cache", feature = "authorizer")
))]
mod store_figures;
#[cfg(any(feature = "tracing", feature = "xray"))]
pub mod trace;

pub use crate::body::Outcome;
pub use access_log::{AccessLog, AccessLogFormat, Escaping, LogApi, LogPreset, Sampling};
#[cfg(feature = "emf")]
pub use emf::EmfLog;
pub use event::{ApiInfo, RequestEvent};
#[cfg(feature = "tracing")]
pub use execution::ExecutionLog;
#[cfg(feature = "metrics")]
pub use facade::FacadeMetrics;
#[cfg(feature = "firehose")]
pub use firehose::FirehoseSink;
pub use integration::{IntegrationTimerFuture, IntegrationTimerLayer, IntegrationTimerService};
#[cfg(feature = "gateway")]
pub(crate) use layer::Observers;
pub use layer::{AccessLogLayer, ObserveLayer, Observer};
#[cfg(feature = "prometheus")]
pub use metrics::PrometheusMetrics;
#[cfg(any(feature = "prometheus", feature = "emf", feature = "metrics"))]
pub use samples::{MetricSource, Sample, SampleKind, Samples};
pub use service::{ObserveFuture, ObserveService};
#[cfg(feature = "tracing")]
pub use sink::TracingSink;
pub use sink::{LogSink, LogStats, LogWriter, RotatingFile};

#[cfg(test)]
mod tests;
