//! Execution logs: what happened to a request inside the gateway, step by step, in AWS's words.
//!
//! [`ExecutionLog`] is given to [`ObserveLayer::execution_log`](super::ObserveLayer::execution_log). It writes `tracing`
//! events of target `tower_gateway::execution`, one a line, when the request is over: first the ways in, then the ways
//! out, as on AWS. What is logged of a method is a setting of its stage
//! ([`MethodSettings::execution_logging`](crate::route::MethodSettings::execution_logging)), what the setting leaves open
//! that of the log:
//!
//! | level | lines |
//! |---|---|
//! | [`Off`](crate::route::LoggingLevel::Off) | none; costs a look at the setting |
//! | [`Error`](crate::route::LoggingLevel::Error) | of executions that the gateway refused or that failed: why, and the status. With a data trace: everything of them |
//! | [`Info`](crate::route::LoggingLevel::Info) | every step of every execution |
//!
//! An event has the level ERROR for what went wrong, else INFO; its message is the line after `(request id) `, its fields
//! are `aws.request_id` and `stage`. Where no subscriber wants the target, nothing is kept or written.
//!
//! | line | when |
//! |---|---|
//! | `Extended Request Id: ..` | always |
//! | `Starting authorizer: NAME for request: ID`, `Incoming identity: ****` | the method has an authorizer |
//! | `Endpoint request URI: ..`, `Endpoint request headers: {..}` | data trace; its function was called for this request, through `LambdaInvoke` |
//! | `Endpoint request body after transformations: ..`, `Authorizer result body before parsing: ..` | data trace; its function was called for this request, and answered |
//! | `Using valid authorizer policy for principal: ****`, `Successfully completed authorizer execution` | it allowed |
//! | `Unauthorized request: ID`, `The client is not authorized to perform this operation.`, `Execution failed due to configuration error: ..` | it did not; its failure |
//! | `Verifying Usage Plan for request: ID. API Key: ****  API Stage: API/STAGE` | the request came that far |
//! | `API Key  authorized because method 'GET /x' does not require API Key. ..` | no key was needed |
//! | `API Key **** not authorized because method 'GET /x' requires API Key and ..` | 403 `INVALID_API_KEY` |
//! | `API Key **** exceeded throttle limit for API Stage ..: Key throttle limit exceeded for Usage Plan ID .. Limit: 5.00 Burst: 10` | 429 by a plan |
//! | `Key throttle limit exceeded for RestApi .., Stage .., Resource .., HttpMethod .. Limit: 1.00 Burst: 1` | 429 by a stage's method |
//! | `API Key **** exceeded quota limit for API Stage ..: Key quota exhausted for Usage Plan ID .. Limit: 500 Period: DAY` | 429 by a quota |
//! | `Usage Plan check succeeded for API Key **** and API Stage ..` | it did |
//! | `Starting execution for request: ID`, `HTTP Method: GET, Resource Path: /pets/7`, `API Key: ****` | the request was admitted |
//! | `Method request path: {id=7}`, `.. query string: {..}`, `.. headers: {..}`, `.. body before transformations: ..` | data trace |
//! | `Endpoint request URI: ..`, `.. headers: {..}`, `.. body after transformations: ..`, `Sending request to ..` | data trace; the service was called |
//! | `Received response. Status: 200, Integration latency: 40 ms` | it answered |
//! | `Endpoint response headers: {..}`, `.. body before transformations: ..` | data trace |
//! | `Method response body after transformations: ..`, `Method response headers: {..}` | data trace |
//! | `Execution failed due to a timeout error`, `.. a network error communicating with endpoint` | 504; the service gave an error |
//! | `Successfully completed execution` | neither refused nor failed |
//! | `Method completed with status: 200` | the client was told one |
//! | `AWS Integration Endpoint RequestId : ..`, `X-ray Tracing ID : 1-..` | the answer, the trace has one |
//!
//! Ours, where no line of AWS is known: `Execution failed: LAYER refused with CAUSE`, `Execution failed due to an
//! internal error` (a panic), `Client closed the connection before the end of the response`. Requests that wait for the
//! same call of an authorizer show the same call; a cached answer has none.
//!
//! The values by which a method's authorizer decides (its identity sources, the field or parameter of a token) are masked
//! in every line, whatever their names.
//!
//! **What is not logged.** `Authorization`, cookies, keys, and every field, query parameter or path variable whose name
//! says API key (access, authorization, subscription key), token, JWT, secret, credential, password or signature, in
//! whatever way its words are joined, print as stars and their last six characters (all stars if they are short, or
//! `Basic`), a path variable in the paths of the lines, too; `token_type` and `token_use` are no tokens.
//! [`redact`](ExecutionLog::redact) adds names. The event and the answer of an authorizer's call are documents: in them the
//! identity sources' values, keys, the principal and members of such names are masked, at any depth; what is no JSON is not
//! shown. A path variable that is a secret is masked in them as a segment of a path or an ARN, as it was sent and decoded.
//! Of `Location`, `Content-Location` and `Referer`, query and fragment are masked like a query. Other bodies are not looked
//! into: a data trace of a method that is sent passwords logs passwords, unless
//! [`max_body_bytes`](ExecutionLog::max_body_bytes) is 0. A line is cut at 1,024 bytes and then ends in ` [TRUNCATED]`; it
//! can neither be broken nor forged by what a client sends. A body that is not UTF-8 prints as `[Binary Data]`.
//!
//! In [`Gateway`](crate::gateway) the settings are known when a request comes in. With a bare `ObserveLayer` outside of a
//! `StageRouter` they are known at its end only, so a data trace goes by the log's own setting, and there are no endpoint
//! lines: nothing stands at the service that could see its head.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Method, Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use std::{convert::Infallible, sync::{Arc, Mutex}};
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_gateway::{
//!     gateway::Gateway,
//!     observe::{ApiInfo, ExecutionLog, ObserveLayer},
//!     route::{ApiMethod, ExecutionLogging, LoggingLevel, MethodSettings, Routes},
//!     stage::{Deployment, Stage, Stages},
//! };
//! # #[derive(Clone, Default)]
//! # struct Lines(Arc<Mutex<Vec<String>>>);
//! # impl tracing::field::Visit for Lines {
//! #     fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
//! #         if field.name() == "message" { self.0.lock().unwrap().push(format!("{value:?}")) }
//! #     }
//! # }
//! # impl tracing::Subscriber for Lines {
//! #     fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool { metadata.target() == "tower_gateway::execution" }
//! #     fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id { tracing::span::Id::from_u64(1) }
//! #     fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
//! #     fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
//! #     fn event(&self, event: &tracing::Event<'_>) { event.record(&mut self.clone()); }
//! #     fn enter(&self, _: &tracing::span::Id) {}
//! #     fn exit(&self, _: &tracing::span::Id) {}
//! # }
//! # let lines = Lines::default();
//! # let _subscriber = tracing::subscriber::set_default(lines.clone());
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let info = MethodSettings::new().execution_logging(ExecutionLogging::new(LoggingLevel::Info));
//! let routes = Routes::builder().method("/pets/{id}", Method::GET, ApiMethod::new()).build().unwrap();
//! let stages = Stages::builder()
//!     .deployment(Deployment::new("v1", routes))
//!     .stage(Stage::new("prod", "v1").settings("*/*", info))
//!     .build()
//!     .unwrap();
//! let log = ExecutionLog::new().logging(ExecutionLogging::new(LoggingLevel::Error));
//! let observe = ObserveLayer::new().api(ApiInfo::new("pets").id("a1b2c3")).execution_log(log);
//! let service = Gateway::builder().stages(stages).observe(observe).build().unwrap().layer(service_fn(|_: Request<_>| async {
//!     Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("cat")))
//! }));
//! for path in ["/prod/pets/7", "/prod/dogs"] {
//!     let request = Request::get(path).body(Full::<Bytes>::default()).unwrap();
//!     service.clone().oneshot(request).await.unwrap().into_body().collect().await.unwrap();
//! }
//! # });
//! let lines = lines.0.lock().unwrap();
//! let text = |line: usize| lines[line].split_once(") ").unwrap().1;
//! assert!(text(0).starts_with("Extended Request Id: "));
//! assert_eq!(text(3), "Usage Plan check succeeded for API Key  and API Stage a1b2c3/prod");
//! assert_eq!(text(5), "HTTP Method: GET, Resource Path: /pets/7");
//! assert_eq!(text(8), "Method completed with status: 200");
//! assert_eq!(text(9), "Execution failed: StageRouter refused with NoRoute");
//! assert_eq!(text(10), "Method completed with status: 403");
//! assert_eq!(lines.len(), 11);
//! ```
//!
//! AWS: "Set up CloudWatch logging for REST APIs" in the developer guide; the lines are from published samples.

mod failure;
mod lines;
mod log;
mod redaction;

pub use log::ExecutionLog;
