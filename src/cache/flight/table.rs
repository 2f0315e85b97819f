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
    /// Those with credentials that the key does not tell apart share among themselves: what comes of such a call is most
    /// often for the client alone that made it.
    pub(crate) has_credentials: bool,
}

impl FlightKey {
    fn hash_value(&self) -> u64 {
        let variant = self
            .variant
            .as_ref()
            .and_then(|values| values.first_chunk())
            .map_or(0, |first| u64::from_le_bytes(*first));
        self.primary.borrowed().hash() ^ variant ^ u64::from(self.has_credentials)
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

#[derive(Default)]
struct Shard {
    by_key: HashSet<Listed, BuildHasherDefault<Given>>,
    /// Calls whose place newer ones have taken: purges mean them, and nobody finds them any more.
    overtaken: Vec<Arc<Flight>>,
}

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
        self.0.by_key.get(key).map(|listed| &listed.0)
    }

    /// Puts a flight in the place of one with its key.
    pub(crate) fn put(mut self, flight: Arc<Flight>) {
        let replaced = self.0.by_key.replace(Listed(flight));
        self.0.overtaken.extend(replaced.map(|listed| listed.0));
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
        self.shard(key).by_key.contains(key)
    }

    /// Takes a flight out.
    pub(crate) fn remove(&self, flight: &Flight) {
        let is_it = |known: &Arc<Flight>| std::ptr::eq(Arc::as_ptr(known), flight);
        let key = flight.key();
        let mut shard = self.shard(key);
        let removed = match shard.by_key.get(key).is_some_and(|known| is_it(&known.0)) {
            true => shard.by_key.take(key).map(|listed| listed.0),
            false => {
                let at = shard.overtaken.iter().position(is_it);
                at.map(|at| shard.overtaken.swap_remove(at))
            }
        };
        drop(shard);
        drop(removed);
    }

    /// Every flight there is.
    pub(crate) fn all(&self) -> Vec<Arc<Flight>> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let found = shard.by_key.iter().map(|listed| &listed.0);
            all.extend(found.chain(&shard.overtaken).cloned());
        }
        all
    }
}

impl fmt::Debug for FlightTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FlightTable({} flights)", self.all().len())
    }
}
