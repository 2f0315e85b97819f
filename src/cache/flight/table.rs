//! The calls that are on their way, by key.

use super::Flight;
use crate::cache::{key::StoredKey, memory::Given};
use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasherDefault, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Which call: the key, and the `Vary` values where it is known that answers vary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FlightKey {
    pub(crate) primary: StoredKey,
    pub(crate) variant: Option<[u8; 32]>,
}

impl FlightKey {
    fn hash_value(&self) -> u64 {
        let variant = self
            .variant
            .as_ref()
            .and_then(|values| values.first_chunk())
            .map_or(0, |first| u64::from_le_bytes(*first));
        self.primary.borrowed().hash() ^ variant
    }
}

impl Hash for FlightKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash_value());
    }
}

type Shard = HashMap<FlightKey, Arc<Flight>, BuildHasherDefault<Given>>;

const SHARDS: usize = 16;

/// Locks are held for a look-up and an insertion, never while a service is called.
#[derive(Default)]
pub(crate) struct FlightTable {
    shards: [Mutex<Shard>; SHARDS],
}

impl FlightTable {
    fn shard(&self, key: &FlightKey) -> MutexGuard<'_, Shard> {
        // Bits from the middle: the map uses both ends.
        let index = (key.hash_value() >> 40) as usize % SHARDS;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `decide` on the flight of a key while nobody else can start or end one; puts in what it gives back.
    pub(crate) fn enter<T>(
        &self,
        key: &FlightKey,
        decide: impl FnOnce(Option<&Arc<Flight>>) -> (T, Option<Arc<Flight>>),
    ) -> T {
        let mut shard = self.shard(key);
        let (out, new) = decide(shard.get(key));
        if let Some(flight) = new {
            shard.insert(key.clone(), flight);
        }
        out
    }

    /// Whether there is a flight.
    pub(crate) fn has(&self, key: &FlightKey) -> bool {
        self.shard(key).contains_key(key)
    }

    /// Takes a flight out, unless a newer one has its place.
    pub(crate) fn remove(&self, flight: &Flight) {
        let key = flight.key();
        let mut shard = self.shard(key);
        if shard.get(key).is_some_and(|known| std::ptr::eq(Arc::as_ptr(known), flight)) {
            shard.remove(key);
        }
    }

    /// Every flight there is.
    pub(crate) fn all(&self) -> Vec<Arc<Flight>> {
        let lock = |shard: &Mutex<Shard>| -> Vec<_> {
            shard.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
        };
        self.shards.iter().flat_map(lock).collect()
    }
}

impl fmt::Debug for FlightTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FlightTable({} flights)", self.all().len())
    }
}
