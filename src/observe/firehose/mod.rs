//! Access logs to an Amazon Data Firehose stream, in batches.
//!
//! [`FirehoseSink`] is a [`LogSink`](super::LogSink): a request copies its line into a buffer under a short lock and goes
//! on. [`FirehoseDelivery`] sends what gathers there (`PutRecordBatch`) through any HTTP client that is a tower service;
//! run it on the runtime of your choice.
//!
//! 1. A line is one record, with a line end: without one, entries run together in the files that Firehose writes
//!    ([`FirehoseBuilder::line_ends`] switches it off). A record of more than 1,000 KiB is dropped and counted.
//! 2. A batch is sent when 500 records or 4 MiB (encoded) have gathered, or the first of them has waited for
//!    [`flush_interval`](FirehoseBuilder::flush_interval).
//! 3. Firehose answers for every record: only those that failed are sent again, before newer ones, after a pause that
//!    doubles from 100 ms to 10 s. An answer 429 or 5xx, one that cannot be read, an error of the client and no answer in
//!    time count as failures of the whole batch. Any other answer gives the batch up: it would fail again.
//! 4. A record that failed [`max_attempts`](FirehoseBuilder::max_attempts) times is given up.
//! 5. While Firehose is slow or away, records wait up to [`capacity`](FirehoseBuilder::capacity) bytes (and as many again
//!    that are being sent); what finds no room is dropped and counted. Requests never wait.
//! 6. When [`close`](FirehoseSink::close) was called, or the last handle is dropped, the delivery sends what is left and
//!    ends: await it, and nothing is lost.
//!
//! Every record ends up in exactly one count of [`FirehoseStats`]. Records may be delivered twice, as Firehose itself
//! says of retries.
//!
//! Requests are not signed here. AWS wants Signature Version 4 of service `firehose`: that is the client's part, as in
//! `examples/firehose.rs`, which signs with the crate `aws-sigv4` and has the signatures checked by
//! [`SigV4AuthLayer`](crate::sigv4).
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_gateway::observe::{
//!     AccessLog, AccessLogFormat, AccessLogLayer, LogApi, LogPreset,
//!     firehose::FirehoseSink,
//! };
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! // A real client has hyper inside, and signs.
//! let client = service_fn(|request: Request<Full<Bytes>>| async move {
//!     assert_eq!(request.headers()["x-amz-target"], "Firehose_20150804.PutRecordBatch");
//!     let answer = r#"{"FailedPutCount":0,"RequestResponses":[{"RecordId":"1"}]}"#;
//!     Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(answer)))
//! });
//! let endpoint = "https://firehose.eu-west-1.amazonaws.com".parse().unwrap();
//! let (sink, delivery) = FirehoseSink::new("amazon-apigateway-pets", &endpoint).unwrap();
//! let delivering = tokio::spawn(delivery.run(client));
//!
//! let log = AccessLog::new(AccessLogFormat::preset(LogApi::Rest, LogPreset::Json), sink.clone());
//! let service = AccessLogLayer::new(log).layer(service_fn(|_: Request<()>| async {
//!     Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
//! }));
//! service.oneshot(Request::new(())).await.unwrap();
//! sink.close();
//! delivering.await.unwrap();
//! assert_eq!(sink.stats().delivered, 1);
//! # });
//! ```
//!
//! AWS: "PutRecordBatch" in the Firehose API reference; "Log API calls to Amazon Data Firehose" in the developer guide.

mod batch;
mod delivery;
mod queue;

pub use delivery::FirehoseDelivery;
pub use queue::{FirehoseBuilder, FirehoseSink, FirehoseStats};

#[cfg(test)]
mod tests;
