//! [`Fleet`]: the processes that share what is stored, and tell each other what has changed.
//!
//! Every change that the others must know is a **record** in one log in Redis, with a number. Each process
//!
//! 1. says every second that it lives, and which number it has applied; the answer has the records that it lacks;
//! 2. is told over a channel that there is a new one, and then asks at once: a message that is lost costs a second;
//! 3. applies records in order, and says so. Whoever made the change waits for that
//!    ([`Acknowledgement`](crate::store::Acknowledgement)): for the live ones, and not for one that has been silent for 3 s;
//! 4. that has been away for longer than the log reaches (1,024 records), or finds that the server has lost its memory,
//!    begins anew: memories of stored answers and of authorizers are dropped, keys and plans are read from Redis. What
//!    Redis has lost, the processes put back.
//!
//! | shared | by | a process that is cut off |
//! |---|---|---|
//! | stored answers, purges | [`Fleet::cache`], a [`CacheTier`](crate::cache::CacheTier) | serves what it has in memory, fetches the rest itself |
//! | API keys | [`Fleet::share_keys`] | goes on with the keys it knows; its own changes follow when it is back |
//! | usage plans, attachments | [`Fleet::share_plans`] | the same |
//! | revocations of authorizers | `Fleet::share_authorizer` | uses no cached answer after 2.7 s: every request is authorized anew |
//!
//! # Keys
//!
//! All begin with [`Redis::key_prefix`](super::Redis::key_prefix), so they lie on one slot of a cluster.
//!
//! | key | what | lives |
//! |---|---|---|
//! | `fleet:number` | number of the last record | 30 days from the last sign of life |
//! | `fleet:log` | list of the last 1,024 records | the same |
//! | `fleet:members` | hash: process, and the number it has applied and until when it counts as alive (ms) | the same |
//! | `keys` | hash: id of an API key, and its record, or nothing where it was deleted; digests, never values | the same |
//! | `plans` | hash: plans and attachments | the same |
//! | `cache:<name>:v:<digest>` | a stored answer under the SHA-256 of its key | as long as it is fresh |
//! | `cache:<name>:c:<digest>` | whose call is under way | 1 s, renewed |
//!
//! A revocation is as durable as the server makes it. One that comes back *older* than it was (a snapshot, `everysec`, a
//! replica that was behind) undoes the last changes, in every process: run it with `appendfsync always` and without
//! asynchronous failover where a key that was disabled must stay so, or change it again after such an accident. A server
//! that comes back *empty* is filled by the processes.
//!
//! Keys and plans have an end as everything has. It moves away while any process lives, so a fleet loses them only when
//! all of it has been down for 30 days; and who runs no fleet any more leaves nothing behind.
//!
//! ```no_run
//! use tower_gateway::{api_key::ApiKeys, cache::Cache, redis::{Fleet, Redis}, usage_plan::UsagePlans};
//!
//! # async fn shared(keys: ApiKeys, plans: UsagePlans) -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! let fleet = Fleet::join(&Redis::new("redis://127.0.0.1")?.prefix("shop")?)?;
//! let cache = Cache::builder().second_tier(fleet.cache("answers")).build()?;
//! fleet.share_keys(&keys).await?;
//! fleet.share_plans(&plans).await?;
//! keys.set_enabled("k1", false)?;
//! let told = fleet.settled(Duration::from_secs(5)).await?;
//! assert!(told.is_complete(), "{:?} may still let the key in", told.silent);
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "authorizer")]
mod authorizers;
mod cache;
mod keys;
mod listener;
mod member;
mod plans;
mod record;
mod reply;
mod scripts;
mod state;

pub use cache::RedisCache;
pub use member::Fleet;
