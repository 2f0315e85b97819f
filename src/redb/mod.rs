//! State that survives a restart: one file for one process.
//!
//! [`StateFile`] keeps what the handles of this crate would lose with the process, on the `redb` crate (pure Rust, no
//! server). Needs Rust 1.90, as `redb` 4 does; everything else needs the version of the crate. For state that many
//! processes share, see the feature `redis`.
//!
//! | kept | by | on the disk |
//! |---|---|---|
//! | API keys, digests only | [`StateFile::keep_keys`] | before the change counts and the call returns |
//! | plans and attached keys | [`StateFile::keep_plans`] | the same |
//! | use per key and day, quotas | [`StateFile::keep_usage`] | units are reserved in the file before they are spent |
//! | cache entries, where you want that | [`StateFile::cache_store`] | behind, within [`StateFileBuilder::batch_pause`] |
//!
//! What happens when:
//!
//! 1. One thread writes. What comes while it waits for the disk is the next batch: one transaction, forced to the disk,
//!    all of it or nothing. A change that could not be written is refused, and nothing has changed.
//! 2. A request is charged in memory, to units that were reserved in the file ahead: some for the pace of its key, at
//!    most half of what is left. It waits for the disk only where none are left.
//! 3. [`UsagePlans::hand_back`](crate::usage_plan::UsagePlans::hand_back) writes what was used and gives back the rest;
//!    [`StateFile::close`] then writes all that waits and lets go of the file. The next process goes on to the unit.
//! 4. After a crash, a `kill -9` or a power cut, units that were reserved and not reported are *unknown*: they stay
//!    charged to their quota, so that no limit is ever exceeded, until [`StateFile::reconcile`] says how many were
//!    used, an operator sets what is left, or their period ends.
//!    [`UsageReport::unknown`](crate::usage_plan::UsageReport::unknown) and [`StateFile::unknown_usage`] say how many
//!    there are. Use on a plan without a quota reserves nothing: what was not reported yet (half a lease epoch) is lost.
//! 5. Throttles are in memory. After a restart every bucket starts as if it had been empty when the process before
//!    ended ([`StateFile::close`]; after a crash: now), and had been filling since: a client never gets a burst twice.
//!    [`StateFileBuilder::full_throttles`] lets them start full.
//! 6. At a start, what is configured in code and what the file has are merged: the later change counts, see
//!    [`StateFile::keep_keys`].
//!
//! | opening finds | answer |
//! |---|---|
//! | no file, or an empty one | a new one, mode 0600 |
//! | a file of this crate and format | every page is checked against its checksum, then read |
//! | a file that another process has open | [`StateFileError::InUse`] |
//! | the format of a newer version | [`StateFileError::Version`], nothing is written |
//! | another program's database, or none | [`StateFileError::Foreign`], nothing is written |
//! | bytes that were not written so | [`StateFileError::Damaged`], never an older state in its place |
//!
//! | while it serves | answer to a request |
//! |---|---|
//! | the disk fails, units are in hand | the service's |
//! | the disk fails, none are in hand | 503 `{"message":"Service Unavailable"}` (see [`StateFile::keep_usage`]) |
//! | a quota is exhausted, or what is left is unknown | 429 `{"message":"Limit Exceeded"}` |
//!
//! After a failed write the file is opened anew, checked as at a start, and what could not be written is tried once more;
//! if the disk fails again, after a second at the earliest with what comes next. [`StateFileStats::reopened`] counts, and
//! with feature `tracing` a warning of target `tower_gateway::redb` says so. If another process has opened the file
//! meanwhile, this one has lost it: everything is refused as after [`StateFile::close`].
//!
//! ```
//! use tower_gateway::{
//!     api_key::{ApiKey, ApiKeys},
//!     redb::{StateFile, StateFileError},
//!     usage_plan::{Quota, QuotaPeriod, UsagePlan, UsagePlans},
//! };
//!
//! # let path = std::env::temp_dir().join(format!("tower-gateway-doc-{}.state", std::process::id()));
//! # let _none_there = std::fs::remove_file(&path);
//! let start = || {
//!     let file = StateFile::open(&path)?;
//!     let keys = ApiKeys::builder().key(ApiKey::new("acme").value("0123456789abcdefghij")).build()?;
//!     file.keep_keys(&keys)?;
//!     let gold = UsagePlan::new("gold").quota(Quota::new(1000, QuotaPeriod::Month)?);
//!     let plans = file.keep_usage(UsagePlans::builder().plan(gold).attach("gold", "acme")).build()?;
//!     file.keep_plans(&plans)?;
//!     Ok::<_, StateFileError>((file, keys, plans))
//! };
//! let (file, keys, _plans) = start()?;
//! keys.set_enabled("acme", false)?;
//! assert!(matches!(StateFile::open(&path), Err(StateFileError::InUse { .. })));
//! file.close(); // first `plans.hand_back().await`, where requests were served
//! assert!(keys.set_enabled("acme", true).is_err(), "what cannot be written is refused");
//!
//! let (_file, keys, _plans) = start()?;
//! assert!(!keys.get("acme").expect("configured").enabled(), "it is still disabled");
//! # drop((_file, keys, _plans));
//! # std::fs::remove_file(&path).expect("written");
//! # Ok::<(), StateFileError>(())
//! ```
//!
//! # Caveats
//!
//! * Give the same configuration at each start. A key or plan that was configured once and no longer is goes.
//! * Opening reads the whole file to check it. Two fsyncs a batch: a change of a key takes as long as those.
//! * `redb` checks pages with xxh3, which finds accidents and not forgery: let only the owner write to the file.
//! * The file must be on a local disk that keeps what it has confirmed. It may be copied while it is closed.
//! * What a key or principal used is forgotten at a start when that is half a year ago.
//! * The form of the tables is in `src/redb/tables.rs`; they may be read with any tool for `redb` 4 files.

mod cache;
mod engine;
mod error;
mod file;
mod kept;
mod keys;
mod ledger;
mod plans;
mod queue;
mod rows;
mod tables;
mod usage;
mod writer;

pub use cache::FileCacheStore;
pub use error::StateFileError;
pub use file::{StateFile, StateFileBuilder, StateFileStats};
pub use usage::{FileUsageStore, UnknownUsage};

#[cfg(test)]
mod tests;
