//! Traces: `X-Amzn-Trace-Id` and W3C's `traceparent`, continued through the gateway.
//!
//! [`TraceLayer`], around a `Gateway`, or beside an [`ObserveLayer`](super::ObserveLayer) in either order, and outside of
//! everything that calls:
//!
//! 1. reads `traceparent`, else `X-Amzn-Trace-Id`; what is malformed or repeated counts as absent;
//! 2. begins a trace where none came, its id starting with the time as X-Ray wants it;
//! 3. decides whether it is recorded: the client's decision (`Sampled`, the flag of `traceparent`) stands; without one,
//!    or with `Sampled=?`, an active layer asks its [`SamplingRule`]s, a passive one records nothing;
//! 4. hands both headers to the service inside, in agreement; `Lineage` and unknown fields go along. `tracestate` is left
//!    alone where the request's `traceparent` was accepted, and removed where it was not: it belongs to that trace (W3C
//!    Trace Context, section 3.3). `Parent` is the gateway's own span where it records one, else the caller's;
//! 5. writes the same `X-Amzn-Trace-Id` on the answer where AWS does (recorded): on what the service answers, unless it
//!    has set one, on 504, and in an active layer on 429; not on what was refused before, nor on what a gateway answers to
//!    a preflight.
//!
//! AWS sends no `traceparent` to clients, and neither does this layer.
//!
//! Given to a gateway ([`GatewayBuilder::trace`](crate::gateway::GatewayBuilder::trace)) it decides once the stage is
//! known, so that rules can name it, and a service around the gateway sees the client's headers as they came. What stands
//! around the gateway then learns of the trace with the answer: a `SpanLayer` there has `trace_id` from then on, and its
//! hook `around_new_span` knows no parent.
//!
//! `$context.xrayTraceId` is the trace id. [`XRayDaemon`] sends a segment of each request that an active layer records
//! (feature `xray`), not of those that a client has recorded and a passive one hands on;
//! `SpanLayer` makes `tracing` spans (feature `tracing`). Both decide at the end what is worth more: `XRayDaemon::tail`
//! which segments are sent, `SpanLayer::details` which spans say more than their route and status.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_gateway::observe::trace::TraceLayer;
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let service = TraceLayer::new().layer(service_fn(|request: Request<()>| async move {
//!     Ok::<_, Infallible>(Response::new(Bytes::copy_from_slice(request.headers()["traceparent"].as_bytes())))
//! }));
//! let ask = async |sent: Option<&str>| {
//!     let request = sent.into_iter().fold(Request::builder(), |request, sent| request.header("x-amzn-trace-id", sent));
//!     service.clone().oneshot(request.body(()).unwrap()).await.unwrap().into_body()
//! };
//! let sent = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
//! assert_eq!(ask(Some(sent)).await, "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01");
//! // Without a trace, or with one that is malformed, a new one begins, and is not recorded.
//! for begun in [ask(None).await, ask(Some("Root=1-5759e988-bd86;Sampled=1")).await] {
//!     assert!(begun.ends_with(b"-00") && !begun.starts_with(b"00-5759e988"), "{begun:?}");
//! }
//! # });
//! ```
//!
//! AWS: "AWS X-Ray concepts: tracing header"; W3C: "Trace Context".

#[cfg(feature = "tracing")]
mod detail;
mod header;
mod layer;
mod names;
mod rules;
#[cfg(feature = "tracing")]
mod span;
#[cfg(feature = "xray")]
mod xray;

pub use crate::context::trace::{SpanId, TraceContext, TraceId};
pub use layer::{TraceFuture, TraceLayer, TraceService};
pub use rules::SamplingRule;
#[cfg(feature = "tracing")]
pub use span::{SpanFuture, SpanLayer, SpanService};
#[cfg(feature = "xray")]
pub use xray::XRayDaemon;
