//! Who is told of records.

use crate::redis::RedisError;
use bytes::Bytes;
use std::{future::Future, pin::Pin};

pub(super) type Reloading<'a> = Pin<Box<dyn Future<Output = Result<(), RedisError>> + Send + 'a>>;

/// One that is told of the records of its topic, in order. When a method returns, the record is in force.
pub(super) trait Listener: Send + Sync {
    /// `false`: it makes no sense of it, and must begin anew.
    fn heard(&self, number: u64, words: &Bytes, own: bool) -> bool;

    /// The others' records have passed up to that number.
    fn passed(&self, _: u64) {}

    /// Records up to that number may have been missed.
    fn missed(&self, number: u64) -> Reloading<'_>;

    /// Whether somebody still needs it.
    fn is_alive(&self) -> bool {
        true
    }
}
