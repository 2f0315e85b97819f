//! What all stores outside of the process have in common: how they are asked, and what happens when they do not answer.
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
//! A quota of six whose store cannot be reached, in one of three processes:
//!
//! ```
//! # #[cfg(feature = "redis")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use http::{Request, Response};
//! use std::{convert::Infallible, time::Duration};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_gateway::{
//!     context::PrincipalLayer,
//!     redis::{Redis, RedisUsage},
//!     store::{FailurePolicy, StoreOptions},
//!     usage_plan::{Quota, QuotaPeriod, UsagePlan, UsagePlanLayer, UsagePlans},
//! };
//!
//! let statuses = async |policy: FailurePolicy| {
//!     let nobody_listens = Redis::new("redis://127.0.0.1:1")?;
//!     let options = StoreOptions::new().failure(policy).processes(3).deadline(Duration::from_millis(20));
//!     let plans = UsagePlans::builder()
//!         .plan(UsagePlan::new("six").quota(Quota::new(6, QuotaPeriod::Month)?))
//!         .store(RedisUsage::new(nobody_listens))
//!         .store_options(options)
//!         .build()?;
//!     let service = ServiceBuilder::new()
//!         .layer(PrincipalLayer::new(|_| Some("ada".to_owned())))
//!         .layer(UsagePlanLayer::new(plans).plan_by_principal(|_| Some("six".to_owned())))
//!         .service(service_fn(async |_| Ok::<_, Infallible>(Response::new(body()))));
//!     let mut statuses = Vec::new();
//!     for _ in 0..3 {
//!         statuses.push(service.clone().oneshot(Request::new(body())).await?.status().as_u16());
//!     }
//!     Ok::<_, Box<dyn std::error::Error>>(statuses)
//! };
//! # fn body() -> http_body_util::Full<bytes::Bytes> { Default::default() }
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! assert_eq!(statuses(FailurePolicy::Allow).await?, [200, 200, 200]);
//! assert_eq!(statuses(FailurePolicy::Degrade).await?, [200, 200, 429]);
//! assert_eq!(statuses(FailurePolicy::Deny).await?, [503, 503, 503]);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "redis"))]
//! # fn main() {}
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
