//! One binary, one module per promise.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(missing_docs, reason = "tests")]

mod support;

#[cfg(feature = "gateway")]
mod access_logs;
#[cfg(feature = "api-key")]
mod api_keys;
#[cfg(all(feature = "authorizer", feature = "gateway"))]
mod authorizers;
#[cfg(feature = "gateway")]
mod browser;
#[cfg(all(feature = "cache", feature = "gateway"))]
mod caching;
#[cfg(all(feature = "gateway", feature = "sigv4", feature = "authorizer", feature = "jwt"))]
mod changed;
#[cfg(feature = "cors")]
mod cors;
#[cfg(feature = "gateway")]
mod errors;
#[cfg(all(feature = "gateway", feature = "tracing"))]
mod execution_logs;
#[cfg(all(feature = "gateway", feature = "firehose"))]
mod firehose;
#[cfg(all(feature = "gateway", feature = "admin", feature = "emf", feature = "metrics"))]
mod flat_memory;
#[cfg(feature = "redis")]
mod fleet;
#[cfg(feature = "gateway")]
mod gateway;
#[cfg(all(feature = "gateway", feature = "sigv4", feature = "authorizer", feature = "jwt"))]
mod gateway_auth;
#[cfg(feature = "gateway")]
mod gateway_observed;
#[cfg(feature = "gateway")]
mod grpc;
#[cfg(feature = "cache")]
mod http_cache;
#[cfg(feature = "jwt")]
mod jwt;
#[cfg(all(feature = "gateway", feature = "prometheus", feature = "emf", feature = "metrics"))]
mod metrics;
#[cfg(all(feature = "gateway", feature = "admin", feature = "metering"))]
mod operators;
#[cfg(feature = "payload-limit")]
mod payload_limits;
#[cfg(feature = "policy")]
mod policy_costs;
#[cfg(feature = "policy")]
mod policy_vectors;
#[cfg(feature = "usage-plan")]
mod quotas;
#[cfg(feature = "policy")]
mod resource_policies;
mod responses;
#[cfg(feature = "cache")]
mod rfc9111;
#[cfg(all(feature = "sigv4", feature = "stage", feature = "payload-limit"))]
mod sigv4;
#[cfg(feature = "access-log")]
mod sinks;
#[cfg(feature = "stage")]
mod stages;
#[cfg(feature = "redb")]
mod state_files;
#[cfg(feature = "usage-plan")]
mod throttling;
#[cfg(feature = "timeout")]
mod timeouts;
#[cfg(all(feature = "gateway", feature = "tracing", feature = "xray"))]
mod traces;
#[cfg(feature = "usage-plan")]
mod usage_stores;
