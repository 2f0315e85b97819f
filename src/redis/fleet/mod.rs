//! [`Fleet`]: the processes that share what is stored, and tell each other what has changed.
//!
//! Every change that the others must know is a **record** in one log in Redis, with a number. Each process
//!
//! 1. says every second that it lives, and which number it has applied; the answer has the records that it lacks;
//! 2. is told over a channel that there is a new one, and then asks at once: a message that is lost costs a second;
//! 3. applies records in order, and says so. The process that made the change can wait for that
//!    ([`Acknowledgement`](crate::store::Acknowledgement)): for the live ones, and not for one that has been silent for 3
//!    s;
//! 4. that has been away for longer than the log reaches (1,024 records), or finds that the server has lost its memory or
//!    came back older than it was, begins anew: memories of stored answers and of authorizers are dropped, keys and plans
//!    are read from Redis. What Redis has lost, or has in an older version than a process knows, the processes put back.
//!
//! | shared | by | a process that is cut off |
//! |---|---|---|
//! | stored answers, purges | [`Fleet::cache`], a [`CacheTier`](crate::cache::CacheTier) | serves what it has in memory, fetches the rest itself |
//! | API keys | [`Fleet::share_keys`] | goes on with the keys it knows; its own changes follow when it is back |
//! | usage plans, attachments; not the account's throttle, which is set in each process | [`Fleet::share_plans`] | the same |
//! | answers and revocations of authorizers | `Fleet::share_authorizer` | uses no cached answer after 2.7 s: every request is authorized anew |
//!
//! Every change of a key, a plan or an attachment has a **version**, an instant of the server's clock that is greater than
//! that of the change before. The greatest version counts everywhere, so of two changes the one that Redis took last. Redis
//! takes the changes of a process that was cut off when it comes back, and they replace what was done meanwhile. So if you
//! disable a key while processes are cut off (`cut_off` of the acknowledgement) and they may have edited it too, disable it
//! again when they are back.
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
//! | `keys` | hash: id of an API key, and its version (7 bytes) and record, or nothing where it was deleted; digests, never values | the same |
//! | `plans` | hash: plans and attachments, in the same way | the same |
//! | `cache:<name>:v:<digest>` | a stored answer under the SHA-256 of its key | as long as it is fresh |
//! | `cache:<name>:c:<digest>` | whose call is under way | 1 s, renewed |
//! | `authorizer:<name>:v:<digest>` | an answer of an authorizer, encrypted, under a keyed digest of identity and stage | at most its TTL |
//! | `authorizer:<name>:c:<digest>` | whose call is under way | 1 s |
//!
//! **What can be read there.** Of stored answers everything, unless they are encrypted
//! ([`data_encrypted`](crate::route::CacheSettings::data_encrypted)); of encrypted ones still the key (stage, path, query,
//! declared fields, the principal's id, but credentials only as digests), status and tags. The place of a value is a digest
//! of its key without a secret: a reader who guesses a key finds its entry. Purges hold what they are about: a path, a tag,
//! a key. API keys lie there as digests beside their ids, names and plans, usage by a digest of the key's id. Answers and
//! revocations of authorizers cannot be read. So let only operators read that Redis: use TLS, a password, and a server that
//! serves nothing else.
//!
//! A server that comes back *older* than it was (a snapshot, `everysec`, a replica that was behind) undoes nothing that a
//! living process has taken note of: the first one to notice, by the mark of the last record that it knows or by a number
//! that one of its own records was given, has all begin anew, and each puts back what it knows in a newer version.
//! Answers of caches and authorizers that lie in it from before are used by nobody. It takes a second at most; a process
//! that starts in that second may believe the old state for as long. One thing goes unnoticed: a change that Redis had
//! answered and then lost before any process had heard of it, if another process's change has been given its number
//! meanwhile. What no process knows any more is lost: run the server with `appendfsync always` and without asynchronous
//! failover where that matters also when everything goes down at once.
//!
//! Keys and plans expire like everything else. Their end moves away while any process lives, so a fleet loses them only
//! when all of it has been down for 30 days; and a fleet that is given up leaves nothing behind.
//!
//! ```
//! use std::{error::Error, time::Duration};
//! use tower_gateway::{api_key::{ApiKey, ApiKeys}, cache::Cache, redis::{Fleet, Redis}, usage_plan::UsagePlans};
//!
//! async fn share(fleet: &Fleet, keys: &ApiKeys, plans: &UsagePlans) -> Result<(), Box<dyn Error>> {
//!     fleet.share_keys(keys).await?;
//!     fleet.share_plans(plans).await?;
//!     keys.set_enabled("k1", false)?;
//!     let told = fleet.settled(Duration::from_secs(5)).await?;
//!     assert!(told.is_complete(), "{:?} may still let the key in", told.silent);
//!     Ok(())
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let keys = ApiKeys::builder().key(ApiKey::new("k1").value("0123456789abcdefghij")).build()?;
//! let plans = UsagePlans::builder().build()?;
//! // Nobody listens there. Joining does not wait: it connects in the background, and again.
//! let fleet = Fleet::join(&Redis::new("redis://127.0.0.1:1")?.prefix("shop")?)?;
//! let cache = Cache::builder().second_tier(fleet.cache("answers")).build()?;
//! assert!(share(&fleet, &keys, &plans).await.is_err());
//! assert!(keys.get("k1").is_some_and(|key| key.enabled()), "keys that are not shared are as they were");
//! # drop(cache);
//! # Ok::<_, Box<dyn Error>>(())
//! # })?;
//! # Ok::<_, Box<dyn Error>>(())
//! ```

#[cfg(feature = "authorizer")]
mod authorizers;
mod cache;
mod keys;
mod listener;
mod member;
mod plans;
mod record;
mod scripts;
mod state;
mod values;
mod versions;

pub use cache::RedisCache;
pub use member::Fleet;
