//! What every store outside of the process has in common: how it is asked, and what happens when it does not answer.
//!
//! 1. Each call has a deadline ([`StoreOptions::deadline`], 20 ms). What has not answered by then has failed.
//! 2. After a few failures in a row ([`StoreOptions::failures`], 5) the store is left alone, so that a dead one costs
//!    nothing; after a pause, which grows and is random, one call at a time tries whether it is back.
//! 3. What happens to a request whose store failed is the [`FailurePolicy`].
//! 4. Everything is counted ([`StoreCounts`]), and told to `tracing` (feature `tracing`, target `tower_gateway::store`);
//!    `observe::Samples::store` puts the counts on a page of metrics.
//!
//! | policy | limits | status |
//! |---|---|---|
//! | `Allow` | none; what is admitted is counted, and reported to the store when it is back | the service's |
//! | `Deny` | nothing is admitted | 503 `{"message": "Service Unavailable"}`, `ServiceUnavailableException` |
//! | `Degrade` (default) | the process's own part: a quota's limit, a throttle's rate and burst, over the number of processes | the service's, or 429 |
//!
//! ```
//! use std::time::Duration;
//! use tower_gateway::store::{FailurePolicy, StoreOptions};
//!
//! let options = StoreOptions::new()
//!     .failure(FailurePolicy::Deny)
//!     .deadline(Duration::from_millis(5))
//!     .processes(3);
//! assert_eq!(options.failure_policy(), FailurePolicy::Deny);
//! ```

mod acknowledgement;
mod breaker;
#[cfg(feature = "cache")]
mod claims;
mod counts;
mod error;
mod guard;
mod options;
#[cfg(feature = "cache")]
mod record_log;

pub use acknowledgement::Acknowledgement;
#[cfg(all(test, feature = "redis", feature = "authorizer"))]
pub(crate) use claims::LONGEST_PAUSE;
#[cfg(feature = "cache")]
pub(crate) use claims::{Next, until_told};
pub use counts::StoreCounts;
pub use error::{StoreError, StoreFuture};
#[allow(unused_imports, reason = "not every feature set has a store")]
pub(crate) use guard::{Decided, StoreFailure, StoreGuard};
pub use options::{FailurePolicy, StoreOptions};
#[cfg(feature = "cache")]
pub(crate) use record_log::RecordLog;
