//! Usage that many processes share: the same promises of every store, kept by functions that are generic over it.
#![cfg(feature = "api-key")]
#![allow(dead_code, unreachable_pub, reason = "each store uses a part of it")]

mod cluster;
pub(crate) mod double;
mod faults;
mod late;
mod process;
#[cfg(feature = "redis")]
mod redis;
pub mod suite;
mod waiting;
