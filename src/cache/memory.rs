//! The memory store, on `quick_cache`.

use super::{
    key::{StoreKey, StoredKey},
    store::{CacheStore, StoreUsage, StoredValue},
};
use crate::error::ConfigError;
use quick_cache::{
    Equivalent, OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle},
};
use std::{
    fmt,
    hash::{BuildHasherDefault, Hash, Hasher},
};

/// Entries in memory: the ones that are asked for often stay, the others make room. Weights are bytes, with what an
/// entry costs beside its body, so that capacity means memory. An expired entry is room like any other.
pub struct MemoryCacheStore {
    cache: Cache<StoredKey, StoredValue, Weigh, BuildHasherDefault<Given>>,
    largest: u64,
    largest_together: u64,
}

/// A value may have this part of a shard at most: a shard with one value in it is no cache.
const PARTS_OF_SHARD: u64 = 2;
const MOST_SHARDS: u64 = 64;
/// What an average answer is taken for, to size the tables.
const AVERAGE: u64 = 4096;

impl MemoryCacheStore {
    /// A store of `capacity` bytes for values of up to `largest` bytes (their weight, see [`StoredValue::weight`]). As
    /// many shards as that allows, at most 64. Answers under one key, for other values of the fields that `Vary` names,
    /// may weigh twice as much together, as far as they leave a quarter of a shard to others; what is older makes room.
    ///
    /// # Errors
    ///
    /// The capacity is less than twice the largest value.
    pub fn new(capacity: u64, largest: u64) -> Result<Self, ConfigError> {
        let shard = largest.max(1).saturating_mul(PARTS_OF_SHARD);
        if capacity < shard {
            let problem = format!("is less than twice the largest entry ({largest} bytes)");
            return Err(ConfigError::new("cache capacity", capacity, problem));
        }
        let shards = previous_power_of_two((capacity / shard).clamp(1, MOST_SHARDS));
        let items = (capacity / AVERAGE).max(32 * shards);
        let options = OptionsBuilder::new()
            .shards(shards as usize)
            .estimated_items_capacity(usize::try_from(items).unwrap_or(usize::MAX))
            .weight_capacity(capacity)
            .build()
            .map_err(|error| {
                ConfigError::new("cache capacity", capacity, "does not fit").with_source(error)
            })?;
        let cache =
            Cache::with_options(options, Weigh, BuildHasherDefault::default(), DefaultLifecycle::default());
        let most = cache.shard_capacity() / 4 * 3;
        let largest_together = largest.saturating_mul(2).min(most).max(largest);
        Ok(Self { cache, largest, largest_together })
    }

    fn takes(&self, key: &StoredKey, value: &StoredValue) -> bool {
        let most = if value.answers() > 1 { self.largest_together } else { self.largest };
        value.weight(key.borrowed().bytes().len()) <= most
    }

    /// Puts a value under a key, unless there is one: what lies there then.
    #[cfg(feature = "redb")]
    pub(crate) fn insert_if_absent(&self, key: &StoredKey, value: StoredValue) -> StoredValue {
        if !self.takes(key, &value) {
            return value;
        }
        let found: Result<_, std::convert::Infallible> = self.cache.get_or_insert_with(key, || Ok(value));
        found.unwrap_or_else(|never| match never {})
    }
}

fn previous_power_of_two(number: u64) -> u64 {
    1 << (63 - number.max(1).leading_zeros())
}

impl CacheStore for MemoryCacheStore {
    fn get(&self, key: StoreKey<'_>) -> Option<StoredValue> {
        self.cache.get(&Lookup(key))
    }

    fn insert(&self, key: &StoredKey, value: StoredValue) -> bool {
        let fits = self.takes(key, &value);
        match fits {
            true => self.cache.insert(key.clone(), value),
            false => self.remove(key.borrowed()),
        }
        fits
    }

    fn remove(&self, key: StoreKey<'_>) {
        self.cache.remove(&Lookup(key));
    }

    fn retain(&self, keep: &mut dyn FnMut(&[u8], &StoredValue) -> bool) {
        // `retain` wants a `Fn`; shards are visited one after the other, so the cell is never borrowed twice.
        let keep = std::cell::RefCell::new(keep);
        self.cache.retain(|key, value| (keep.borrow_mut())(key.borrowed().bytes(), value));
    }

    fn usage(&self) -> StoreUsage {
        StoreUsage {
            keys: self.cache.len() as u64,
            bytes: self.cache.weight(),
            capacity: self.cache.capacity(),
            largest: self.largest,
            largest_together: self.largest_together,
        }
    }
}

impl fmt::Debug for MemoryCacheStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCacheStore").field("usage", &self.usage()).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug)]
struct Weigh;

impl Weighter<StoredKey, StoredValue> for Weigh {
    fn weight(&self, key: &StoredKey, value: &StoredValue) -> u64 {
        value.weight(key.borrowed().bytes().len())
    }
}

/// Keys bring their hash along.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Given(u64);

impl Hasher for Given {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl Hash for StoredKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.borrowed().hash());
    }
}

impl PartialEq for StoredKey {
    fn eq(&self, other: &Self) -> bool {
        self.borrowed().bytes() == other.borrowed().bytes()
    }
}

impl Eq for StoredKey {}

/// Private, so that `quick_cache` does not show in the public API.
struct Lookup<'a>(StoreKey<'a>);

impl Hash for Lookup<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash());
    }
}

impl Equivalent<StoredKey> for Lookup<'_> {
    fn equivalent(&self, key: &StoredKey) -> bool {
        self.0.bytes() == key.borrowed().bytes()
    }
}

#[cfg(all(test, feature = "redb"))]
mod tests {
    use super::*;
    use crate::cache::store::Slot;

    #[test]
    fn what_is_there_is_not_replaced_by_what_is_older() {
        let store = MemoryCacheStore::new(1 << 20, 1 << 10).unwrap();
        let key = StoreKey::new(7, b"a key").to_stored();
        let mark = |until| StoredValue(Slot::Pass { until, of_credentials: false });
        let until = |value: StoredValue| match value.0 {
            Slot::Pass { until, .. } => until,
            _ => 0,
        };
        assert_eq!(until(store.insert_if_absent(&key, mark(1))), 1);
        assert!(store.insert(&key, mark(2)));
        assert_eq!(until(store.insert_if_absent(&key, mark(3))), 2);
        assert_eq!(store.get(key.borrowed()).map(until), Some(2));
    }
}
