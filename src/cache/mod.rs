//! `CacheLayer`: answers are stored, and served again without calling the service.
//!
//! How the parts fit (internal; the rules of a mode are plugged in at one place):
//!
//! | file | what |
//! |---|---|
//! | `rules.rs` | the trait `Rules`: every decision of a mode, pure; the life of a request in six questions |
//! | `aws.rs`, `rfc/` | the two modes |
//! | `entry.rs`, `selection.rs` | what is stored: `Entry { Meta, Content }`; the digest of the `Vary` values |
//! | `key.rs`, `credentials.rs` | the key of a request; which credentials it carries and whether the key has them |
//! | `store.rs`, `memory.rs` | `CacheStore` and the memory store: several `Entry`s (one per `Vary` selection) or a hit-for-miss mark under one key |
//! | `flight/` | one call per key: head, body segments and outcome that any reader drives and all read |
//! | `service.rs`, `future.rs` | moves data from one to the next |

mod answer;
mod aws;
mod config;
mod core;
mod credentials;
mod entry;
mod flight;
mod future;
mod handle;
mod key;
mod layer;
mod memory;
mod note;
mod plan;
mod purge;
mod reason;
pub mod rfc;
mod rules;
#[cfg(feature = "cache-encryption")]
mod seal;
mod selection;
mod stats;
mod store;
mod tags;

pub use aws::InvalidationRequest;
pub use config::CacheBuilder;
pub use future::CacheFuture;
pub use handle::Cache;
pub use key::{StoreKey, StoredKey};
pub use layer::{CacheLayer, CacheService};
pub use memory::MemoryCacheStore;
pub use purge::Purge;
pub use reason::{CacheStatus, NoCacheReason};
#[cfg(feature = "cache-encryption")]
pub use seal::EncryptionKeys;
pub use stats::CacheStats;
pub use store::{CacheStore, StoreUsage, StoredValue};
