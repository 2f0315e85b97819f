//! Metrics: counts and durations of every request, as an [`Observer`](super::Observer).
//!
//! [`PrometheusMetrics`] keeps them in memory, in OpenTelemetry's words, and serves them in Prometheus' text format.
//!
//! 1. A series is a stage, a method, a route, and a status. Methods beyond the nine of HTTP are `_OTHER`, requests
//!    without a route have the route `other`, those without a stage the stage `other`: a client cannot make a series by
//!    what it sends.
//! 2. The label budget holds that for large tables too: what is new when it is spent goes to stage and route `other`, with
//!    its method and status; a status that is not registered as the first of its class (499 as 400). These are some hundred
//!    series at most, beside the budget.
//! 3. A request is counted when it ends, whichever way; in between it is in flight.
//! 4. Threads count apart, eight ways, and a scrape adds up: nothing is lost, and two threads seldom write to the same line
//!    of a cache. A series takes about 200 bytes, its labels, and 384 bytes for each of the eight ways that met it.
//!
//! | metric | type | AWS |
//! |---|---|---|
//! | `http_server_request_duration_seconds{stage,http_request_method,http_route,http_response_status_code}` | histogram | `Latency`, `Count`, `4XXError`, `5XXError` |
//! | `http_client_request_duration_seconds{…}` | histogram | `IntegrationLatency` |
//! | `http_server_active_requests` | gauge | |
//! | `tower_gateway_request_bytes_total{…}`, `tower_gateway_response_bytes_total{…}` | counter | `DataProcessed` |
//! | `tower_gateway_refusals_total{response_type,cause,layer}` | counter | |
//! | `tower_gateway_requests_ended_total{outcome}` | counter | |
//! | `tower_gateway_cache_lookups_total{result,reason}` | counter | `CacheHitCount`, `CacheMissCount` |
//! | `tower_gateway_authorizer_duration_seconds{authorizer}` | histogram: how long requests waited for a call of its function, or for a token to be verified | |
//! | `tower_gateway_authorizer_lookups_total{authorizer,result}` | counter: `hit` is a cached answer or a remembered token, `miss` a call or a verification | |
//! | `tower_gateway_plan_throttle_headroom_ratio{plan}` | histogram: the share of the caller's bucket that is left once a request is charged or refused | |
//! | `tower_gateway_plan_quota_headroom_ratio{plan}` | histogram: the share of the caller's quota that is left | |
//! | `tower_gateway_folded_requests_total` | counter | requests counted under `other` because the budget is spent |
//! | `tower_gateway_access_log_lines_total{result}` | counter | of a [`LogWriter`](super::LogWriter) given to it |
//! | whatever a [`MetricSource`](super::MetricSource) counts: failures of stores, for one | counter, gauge | |
//!
//! Headroom is a histogram over requests because keys are too many to have a series each: `…_bucket{plan="gold",le="0.05"}`
//! counts the requests after which a twentieth or less was left, and the rate of it is what to be warned of.
//!
//! Series of 5xx have the label `error_type` too, the status. `url_scheme` is left out: the listener knows it, and an API
//! is served by one or the other.
//!
//! A status of 0 stands for requests that were told nothing. Bytes of requests are those that were read, never those that
//! were only announced ([`RequestEvent::request_length`](super::RequestEvent::request_length)).
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_gateway::observe::{PrometheusMetrics, ObserveLayer};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let metrics = PrometheusMetrics::new();
//! let service = ObserveLayer::new().observer(metrics.clone()).layer(service_fn(|_: Request<()>| async {
//!     Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("pets")))
//! }));
//! service.oneshot(Request::new(())).await.unwrap().into_body().collect().await.unwrap();
//!
//! let page = metrics.service::<Full<Bytes>>().oneshot(Request::new(())).await.unwrap();
//! assert_eq!(page.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
//! let text = page.into_body().collect().await.unwrap().to_bytes();
//! let text = std::str::from_utf8(&text).unwrap();
//! assert!(text.contains("tower_gateway_requests_ended_total{outcome=\"complete\"} 1\n"));
//! # });
//! ```

mod count;
mod histogram;
mod named;
mod registry;
mod series;
mod series_counts;
mod service;
mod table;
mod text;

#[cfg(test)]
mod tests;

pub use registry::{CacheLookups, PrometheusMetrics, PrometheusMetricsBuilder, Refusals};
pub use series::SeriesTotals;
pub use service::{MetricsFuture, MetricsService};
