//! The calls that are on their way, by key.

use super::Flight;
use crate::cache::{key::StoredKey, memory::Given};
use std::{
    borrow::Borrow,
    collections::HashSet,
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

/// A flight in the table, by its own key.
struct Listed(Arc<Flight>);

impl Borrow<FlightKey> for Listed {
    fn borrow(&self) -> &FlightKey {
        self.0.key()
    }
}

impl Hash for Listed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key().hash(state);
    }
}

impl PartialEq for Listed {
    fn eq(&self, other: &Self) -> bool {
        self.0.key() == other.0.key()
    }
}

impl Eq for Listed {}

type Shard = HashSet<Listed, BuildHasherDefault<Given>>;

const SHARDS: usize = 16;

/// Locks are held for a look-up and an insertion, never while a service is called.
#[derive(Default)]
pub(crate) struct FlightTable {
    shards: [Mutex<Shard>; SHARDS],
}

/// A part of the table, in which nobody else can start or end a flight meanwhile.
pub(crate) struct Gate<'a>(MutexGuard<'a, Shard>);

impl Gate<'_> {
    pub(crate) fn get(&self, key: &FlightKey) -> Option<&Arc<Flight>> {
        self.0.get(key).map(|listed| &listed.0)
    }

    /// Puts a flight in the place of one with its key.
    pub(crate) fn put(mut self, flight: Arc<Flight>) {
        let replaced = self.0.replace(Listed(flight));
        drop(self);
        drop(replaced);
    }
}

impl FlightTable {
    fn shard(&self, key: &FlightKey) -> MutexGuard<'_, Shard> {
        // Bits from the middle: the map uses both ends.
        let index = (key.hash_value() >> 40) as usize % SHARDS;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The part of the table that a key belongs to.
    pub(crate) fn enter(&self, key: &FlightKey) -> Gate<'_> {
        Gate(self.shard(key))
    }

    /// Whether there is a flight.
    pub(crate) fn has(&self, key: &FlightKey) -> bool {
        self.shard(key).contains(key)
    }

    /// Takes a flight out, unless a newer one has its place.
    pub(crate) fn remove(&self, flight: &Flight) {
        let key = flight.key();
        let mut shard = self.shard(key);
        if shard.get(key).is_some_and(|known| std::ptr::eq(Arc::as_ptr(&known.0), flight)) {
            let removed = shard.take(key);
            drop(shard);
            drop(removed);
        }
    }

    /// Every flight there is.
    pub(crate) fn all(&self) -> Vec<Arc<Flight>> {
        let lock = |shard: &Mutex<Shard>| -> Vec<_> {
            shard
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .iter()
                .map(|listed| Arc::clone(&listed.0))
                .collect()
        };
        self.shards.iter().flat_map(lock).collect()
    }
}

impl fmt::Debug for FlightTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FlightTable({} flights)", self.all().len())
    }
}
