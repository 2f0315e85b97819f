//! One binary, one module per promise.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(missing_docs, reason = "tests")]

mod support;

#[cfg(feature = "gateway")]
mod access_logs;
#[cfg(feature = "api-key")]
mod api_keys;
#[cfg(feature = "gateway")]
mod browser;
#[cfg(feature = "cors")]
mod cors;
#[cfg(feature = "gateway")]
mod gateway;
#[cfg(feature = "gateway")]
mod grpc;
#[cfg(all(feature = "gateway", feature = "prometheus", feature = "emf", feature = "metrics"))]
mod metrics;
#[cfg(all(feature = "gateway", feature = "admin", feature = "metering"))]
mod operators;
#[cfg(feature = "payload-limit")]
mod payload_limits;
#[cfg(feature = "usage-plan")]
mod quotas;
mod responses;
#[cfg(feature = "stage")]
mod stages;
#[cfg(feature = "usage-plan")]
mod throttling;
#[cfg(feature = "timeout")]
mod timeouts;
#[cfg(all(feature = "stage", feature = "tracing", feature = "xray"))]
mod traces;
