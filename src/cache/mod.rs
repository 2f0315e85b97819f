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

mod entry;
mod reason;
pub mod rfc;
mod rules;
mod selection;

pub use reason::{CacheStatus, NoCacheReason};
