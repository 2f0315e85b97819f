//! State that many processes share, in Redis 7 or Valkey: [`Redis`] is the connection, [`RedisUsage`] keeps quotas, use
//! and throttles, [`Fleet`] makes processes one gateway.
//!
//! What happens to a request whose plan has limits:
//!
//! 1. *Quota.* A process takes units ahead, a *lease*, and spends them without asking. It gets what its waiting requests
//!    need, and beyond that what its own pace asks for, at most half of its part of what is left. Near the end of the
//!    quota it asks for each request. So exactly the limit is admitted, however many processes there are.
//! 2. If other processes hold the units that are missing they are told, and hand them back.
//! 3. *Throttles* (plan, method, stage, account) are decided in one script and one round trip, by the server's time,
//!    together or not at all, exactly as memory decides. A request that needs units and tokens asks for both in that one
//!    script.
//! 4. What a dead process held counts as used when its lease ends. What a process does that is cut off, or whose server is
//!    frozen or gone, says the [`FailurePolicy`](crate::store::FailurePolicy).
//!
//! | Redis | `Degrade` (default) | `Deny` | `Allow` |
//! |---|---|---|---|
//! | answers | 200, or 429 as from memory | the same | the same |
//! | is silent | the first requests wait for the deadline (20 ms), then none | | |
//! | is away, quota in hand | 200 from the lease until it ends | the same | the same |
//! | is away | 200 within `limit / n`, then 429 | 503 `{"message": "Service Unavailable"}` | 200, counted |
//!
//! `n` is how many processes share the limits: each store with plans says every second that it is there, and counts for
//! 10 s; a new one is known to the others within a second. What a process was last told holds while Redis is away. Before
//! Redis was reached for the first time nothing is known: say how many there are with
//! [`StoreOptions::processes`](crate::store::StoreOptions::processes), which is also the least number that is ever assumed.
//! Parts are rounded down and nobody gets the remainder, but a throttle's part is at least one token.
//!
//! ```
//! use http::{Request, Response};
//! use std::{convert::Infallible, time::Duration};
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_gateway::{
//!     api_key::{ApiKey, ApiKeyLayer, ApiKeys},
//!     redis::{Redis, RedisUsage},
//!     store::StoreOptions,
//!     usage_plan::{Quota, QuotaPeriod, UsagePlan, UsagePlanLayer, UsagePlans},
//! };
//!
//! // Nobody listens there: of 6 requests a month, one of 3 processes admits 2 when it is alone.
//! let redis = Redis::new("redis://127.0.0.1:1")?.prefix("shop")?;
//! let plans = UsagePlans::builder()
//!     .plan(UsagePlan::new("gold").quota(Quota::new(6, QuotaPeriod::Month)?))
//!     .attach("gold", "partner")
//!     .store(RedisUsage::new(redis))
//!     .store_options(StoreOptions::new().processes(3).deadline(Duration::from_millis(20)))
//!     .build()?;
//! let keys = ApiKeys::builder().key(ApiKey::new("partner").value("0123456789abcdefghij")).build()?;
//! let inner = service_fn(|_| async { Ok::<_, Infallible>(Response::new(bytes_body())) });
//! let service = ApiKeyLayer::new(keys).layer(UsagePlanLayer::new(plans).layer(inner));
//! # fn bytes_body() -> http_body_util::Full<bytes::Bytes> { Default::default() }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let ask = || Request::get("/").header("x-api-key", "0123456789abcdefghij").body(bytes_body());
//! assert_eq!(service.clone().oneshot(ask()?).await?.status(), 200);
//! assert_eq!(service.clone().oneshot(ask()?).await?.status(), 200);
//! assert_eq!(service.oneshot(ask()?).await?.status(), 429);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # The server
//!
//! Redis 7 or Valkey, one server or one that replicates. Persist to the degree that counts must survive it: a server that
//! comes back without its data learns from the living processes what they have used, each of which says it with its next
//! ask, at the latest after an epoch; until then more than the limit may be admitted, at most what had been used before.
//! With `appendonly yes` and `appendfsync always` a killed server forgets nothing. A script that reaches the server after
//! its caller's deadline does nothing, so the server's clock may not be corrected by more than the deadline at a time
//! without a few calls that fail.
//!
//! A **cluster** serves a prefix by one node, that of the prefix's slot: prefixes are what spreads over nodes. The URL
//! may name any node that is up: when it answers `MOVED` the connection goes to the one that it names, within the same
//! call, and back to the URL's when that is lost. What a slot has to wait for while it migrates (`ASK`, `TRYAGAIN`), and
//! a cluster that is down (`CLUSTERDOWN`), are failures as of a server that is away. Over plain `redis://` the server
//! that answers may name any host by `MOVED`, which then gets the password: use `rediss://`.
//!
//! # Keys
//!
//! Everything is below `{prefix}:`, a hash tag: all of one gateway lies on one slot of a cluster. A plan's id and a stage's
//! name have `:` and `%` escaped as `%3A` and `%25`; a caller is the first half of the SHA-256 digest of its id, in
//! hexadecimal digits. No key is without expiry.
//!
//! | key | type | what | lives | bytes in Redis 7.0 |
//! |---|---|---|---|---|
//! | `{prefix}:bucket:PLAN:CALLER` | hash | `b`: the plan's general bucket: version 1, deficit (3 words of 6 bytes to the base 10^14), microseconds of its last change (7), milliseconds until when the key lives at least (6) | until it is full, and a second or two | at most 200 |
//! | `{prefix}:methods:PLAN:CALLER` | hash | the same for each method, by 8 bytes | until all are full | |
//! | `{prefix}:stage:STAGE:METHOD`, `{prefix}:account` | hash | `b`: the same for all callers | until it is full | |
//! | `{prefix}:counter:PLAN:CALLER` | hash | `pSTART`: a period's end, what is charged, when it was first seen; `hSTART:HOLDER`: a holder's sequence, end of lease, units in hand, units used by day | ten minutes beyond its period and leases | at most 500, with the days |
//! | `{prefix}:days:PLAN:CALLER` | hash | units used by day, counted from 1970-01-01 | 92 days from the last | |
//! | `{prefix}:processes` | sorted set | each store of a process, by the millisecond until which it counts | 10 s from the last word | |
//! | `{prefix}:news` | channel | recalls and changes of counters | | |
//!
//! What is kept of a deleted plan is looked for with `SCAN` and deleted in the background. A bucket of rate 0 is never
//! full: it is forgotten ten years after its last change. The method buckets of a caller are forgotten together. Counts
//! are exact up to 2^50 units; a larger limit counts as that. `examples/inspect_redis.rs` shows what is counted for a
//! key.

mod buckets;
mod connection;
mod counters;
mod error;
pub mod fleet;
mod forget;
mod inspect;
mod link;
mod names;
mod news;
mod race;
mod reply;
mod roll;
mod script;
mod subscription;
#[cfg(test)]
mod tests;
mod usage;

pub use connection::Redis;
pub use error::RedisError;
pub use fleet::{Fleet, RedisCache};
pub use inspect::{InspectedLease, InspectedPeriod, Inspection};
pub use usage::RedisUsage;
