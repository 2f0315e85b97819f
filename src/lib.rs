//! The features of Amazon API Gateway as tower layers.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

pub mod body;
pub mod clock;
pub mod context;
mod error;
pub mod future;
pub mod response;
pub mod route;
pub mod throttle;

#[cfg(feature = "api-key")]
pub mod api_key;
#[cfg(feature = "cors")]
pub mod cors;
pub mod filter;
#[cfg(feature = "gateway")]
pub mod gateway;
#[cfg(feature = "payload-limit")]
pub mod payload_limit;
#[cfg(feature = "stage")]
pub mod stage;
#[cfg(feature = "timeout")]
pub mod timeout;
#[cfg(feature = "usage-plan")]
pub mod usage_plan;

pub use body::GatewayBody;
pub use error::ConfigError;
