//! One binary, one module per promise.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(missing_docs, reason = "tests")]

mod support;

#[cfg(feature = "api-key")]
mod api_keys;
#[cfg(all(feature = "cache", feature = "gateway"))]
mod caching;
#[cfg(feature = "cors")]
mod cors;
#[cfg(feature = "gateway")]
mod gateway;
#[cfg(feature = "cache")]
mod http_cache;
#[cfg(feature = "payload-limit")]
mod payload_limits;
#[cfg(feature = "usage-plan")]
mod quotas;
mod responses;
#[cfg(feature = "cache")]
mod rfc9111;
#[cfg(feature = "stage")]
mod stages;
#[cfg(feature = "usage-plan")]
mod throttling;
#[cfg(feature = "timeout")]
mod timeouts;
