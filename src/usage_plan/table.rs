//! The usage state of all keys: 64 shards, each behind its own short lock.

use super::shard::Shard;
use std::sync::{Mutex, MutexGuard, PoisonError};

const SHARD_BITS: u32 = 6;

/// State by subject. A lock is held for one decision, never across an await.
pub(super) struct Table {
    shards: Box<[Line<Mutex<Shard>>]>,
}

/// Begins a line of the cache: no two shards share one, and what a request needs of its shard lies on two.
#[derive(Default)]
#[repr(align(64))]
struct Line<T>(T);

impl Default for Table {
    fn default() -> Self {
        Self { shards: (0..1 << SHARD_BITS).map(|_| Line::default()).collect() }
    }
}

impl Table {
    /// The shard of a subject, by its topmost bits; the lowest ones place it inside.
    pub(super) fn lock(&self, subject: u128) -> MutexGuard<'_, Shard> {
        locked(&self.shards[(subject >> (128 - SHARD_BITS)) as usize])
    }

    /// One shard after the other, never two at once.
    pub(super) fn iter(&self) -> impl Iterator<Item = MutexGuard<'_, Shard>> {
        self.shards.iter().map(locked)
    }

    pub(super) fn shard(&self, index: usize) -> Option<MutexGuard<'_, Shard>> {
        self.shards.get(index).map(locked)
    }
}

fn locked(Line(shard): &Line<Mutex<Shard>>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
