//! The hottest values once more for each thread: a hit on one of them writes to no line that another thread writes to.
//!
//! A value's reference counts (entry, fields, body) are such lines, and so is the lock of its shard: two threads that
//! serve the same entry wait for each other's writes. A copy has counts of its own and shares the body's memory.

use super::{
    answer::compact,
    entry::{Content, Entry},
    key::{StoreKey, StoredKey},
    stats::{STRIPES, stripe},
    store::{Slot, StoredValue},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering::SeqCst},
};

/// Places for copies in a thread's set. A key has one place.
const PLACES: usize = 256;
/// So many more look-ups than its neighbours in a place does a value need to be copied.
const VOTES: u32 = 16;
/// After so many hits on a copy the store is asked again: it must learn that the value is in use, or may have dropped
/// it.
const USES: u32 = 32;
/// Counts of changes, by hash.
const CHANGES: usize = 1024;
/// Which part of the capacity all copies together may have.
pub(super) const PART_OF_CAPACITY: u64 = 32;
/// ... and one value of what a set has.
const PART_OF_SET: u64 = 16;

/// The copies of all threads.
#[derive(Debug)]
pub(super) struct Front {
    sets: [Set; STRIPES],
    /// How often something under a key was changed: a copy holds as long as the count.
    changes: Box<[AtomicU64]>,
    /// How often everything may have changed.
    sweeps: AtomicU64,
    /// Bytes of one set's copies at most.
    room: u64,
}

/// On lines of its own, like the counters.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Set(Mutex<Places>);

#[derive(Debug, Default)]
struct Places {
    places: Box<[Place]>,
    bytes: u64,
}

/// The value that most look-ups of a place were for (after Boyer and Moore), and its copy once they are enough.
#[derive(Debug, Default)]
struct Place {
    hash: u64,
    votes: u32,
    copy: Option<Box<Copy>>,
}

#[derive(Debug)]
struct Copy {
    key: StoredKey,
    value: StoredValue,
    /// What lay in the store.
    original: Arc<Entry>,
    age: Age,
    uses: u32,
    weight: u64,
}

/// Both counts, as they were before the store was asked.
type Age = (u64, u64);

/// What a set says to a look-up.
enum Said {
    Copy(StoredValue),
    Ask { copies: bool },
}

impl Front {
    /// Copies of `capacity` bytes at most.
    pub(super) fn new(capacity: u64) -> Self {
        Self {
            sets: Default::default(),
            changes: (0..CHANGES).map(|_| AtomicU64::new(0)).collect(),
            sweeps: AtomicU64::new(0),
            room: capacity / STRIPES as u64,
        }
    }

    /// The value under a key: a copy of this thread's, or what `load` finds.
    pub(super) fn get(
        &self,
        key: StoreKey<'_>,
        load: impl FnOnce() -> Option<StoredValue>,
    ) -> Option<StoredValue> {
        let age = self.age(key);
        let copies = match self.lock().map(|mut set| set.ask(key, age)) {
            Some(Said::Copy(value)) => return Some(value),
            Some(Said::Ask { copies }) => copies,
            // More threads than sets: another one is here.
            None => false,
        };
        let value = load()?;
        if copies {
            self.keep(key, &value, age);
        }
        Some(value)
    }

    /// Something under the key has changed: to be called after the change.
    pub(super) fn changed(&self, key: StoreKey<'_>) {
        self.count(key).fetch_add(1, SeqCst);
    }

    /// Everything may have changed.
    pub(super) fn swept(&self) {
        self.sweeps.fetch_add(1, SeqCst);
    }

    /// Bytes of all copies.
    pub(super) fn bytes(&self) -> u64 {
        let lock = |set: &Set| set.0.lock().map_or(0, |set| set.bytes);
        self.sets.iter().map(lock).sum()
    }

    fn count(&self, key: StoreKey<'_>) -> &AtomicU64 {
        &self.changes[(key.hash() >> 32) as usize % CHANGES]
    }

    fn age(&self, key: StoreKey<'_>) -> Age {
        (self.count(key).load(SeqCst), self.sweeps.load(SeqCst))
    }

    fn lock(&self) -> Option<MutexGuard<'_, Places>> {
        self.sets[stripe()].0.try_lock().ok()
    }

    fn keep(&self, key: StoreKey<'_>, value: &StoredValue, age: Age) {
        let Some(mut set) = self.lock() else { return };
        let Slot::One(entry) = &value.0 else { return };
        let weight = value.weight(key.bytes().len());
        if set.renew(key, entry, age) || entry.is_sealed || weight > self.room / PART_OF_SET {
            return;
        }
        set.drop_copy(key);
        if set.bytes + weight <= self.room {
            let copy = Copy {
                key: key.to_owned(),
                value: StoredValue(Slot::One(Arc::new(copied(entry)))),
                original: Arc::clone(entry),
                age,
                uses: 0,
                weight,
            };
            set.bytes += weight;
            set.place(key).copy = Some(Box::new(copy));
        }
    }
}

impl Places {
    fn place(&mut self, key: StoreKey<'_>) -> &mut Place {
        if self.places.is_empty() {
            self.places = (0..PLACES).map(|_| Place::default()).collect();
        }
        &mut self.places[(key.hash() >> 16) as usize % PLACES]
    }

    fn ask(&mut self, key: StoreKey<'_>, age: Age) -> Said {
        let place = self.place(key);
        if place.hash != key.hash() {
            if place.votes > 0 {
                place.votes -= 1;
            } else {
                (place.hash, place.votes) = (key.hash(), 1);
                self.drop_copy(key);
            }
            return Said::Ask { copies: false };
        }
        place.votes = (place.votes + 1).min(2 * VOTES);
        let copies = place.votes >= VOTES;
        let Some(copy) = &mut place.copy else { return Said::Ask { copies } };
        if copy.age != age || copy.key.borrowed().bytes() != key.bytes() {
            self.drop_copy(key);
            return Said::Ask { copies };
        }
        copy.uses += 1;
        if copy.uses < USES { Said::Copy(copy.value.clone()) } else { Said::Ask { copies: true } }
    }

    /// A copy of what still lies in the store is good for some more hits.
    fn renew(&mut self, key: StoreKey<'_>, entry: &Arc<Entry>, age: Age) -> bool {
        let Some(copy) = &mut self.place(key).copy else { return false };
        let is_same = Arc::ptr_eq(&copy.original, entry) && copy.age == age;
        if is_same {
            copy.uses = 0;
        }
        is_same
    }

    fn drop_copy(&mut self, key: StoreKey<'_>) {
        if let Some(copy) = self.place(key).copy.take() {
            self.bytes -= copy.weight;
        }
    }
}

/// The same entry with counts of its own, also of its fields' names.
fn copied(entry: &Entry) -> Entry {
    let Content { headers, body, trailers } = &entry.content;
    let mut fields = HeaderMap::with_capacity(headers.keys_len());
    for (name, value) in &compact(headers) {
        let name = HeaderName::from_bytes(name.as_str().as_bytes()).unwrap_or_else(|_| name.clone());
        fields.append(name, value.clone());
    }
    let content =
        Content { headers: fields, body: Bytes::from_owner(body.clone()), trailers: trailers.clone() };
    Entry { meta: entry.meta.clone(), content, is_sealed: entry.is_sealed, weight: entry.weight }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cache::entry::{Freshness, Meta},
        clock::Timestamp,
    };
    use http::{HeaderValue, StatusCode};

    fn value(body: &'static str) -> StoredValue {
        let now = Timestamp::new(0, 0);
        let meta = Meta::new(StatusCode::OK, (now, now), Freshness::default(), None, Box::default());
        let mut headers = HeaderMap::new();
        for (name, value) in [("etag", "1"), ("x-own", "2"), ("x-own", "3")] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let content = Content { headers, body: Bytes::from_static(body.as_bytes()), trailers: None };
        StoredValue(Slot::One(Arc::new(Entry::new(meta, content))))
    }

    fn entry(value: &StoredValue) -> &Arc<Entry> {
        &value.0.entries()[0]
    }

    fn key() -> StoreKey<'static> {
        StoreKey::new(7, b"key")
    }

    /// Asks until there is a copy.
    fn warmed(value: &StoredValue) -> Front {
        let front = Front::new(1 << 20);
        for _ in 0..VOTES {
            let got = front.get(key(), || Some(value.clone())).unwrap();
            assert!(Arc::ptr_eq(entry(&got), entry(value)));
        }
        front
    }

    #[test]
    fn what_is_hot_is_served_from_an_equal_copy() {
        let stored = value("pets");
        let front = warmed(&stored);
        let copy = front.get(key(), || None).unwrap();
        assert!(!Arc::ptr_eq(entry(&copy), entry(&stored)));
        assert_eq!(entry(&copy).content.headers, entry(&stored).content.headers);
        assert_eq!(entry(&copy).content.body, "pets");
        assert_eq!(front.bytes(), stored.weight(3));
        // The store is asked now and then, and the copy stays as long as it has the same.
        let mut asked = 0;
        for _ in 0..10 * USES {
            let got = front.get(key(), || {
                asked += 1;
                Some(stored.clone())
            });
            assert_eq!(entry(&got.unwrap()).content.body, "pets");
        }
        assert_eq!(asked, 10);
        assert_eq!(Arc::strong_count(entry(&stored)), 2);
    }

    #[test]
    fn nothing_changed_is_served() {
        let stored = value("old");
        let front = warmed(&stored);
        front.changed(StoreKey::new(7 << 32, b"other"));
        assert!(front.get(key(), || None).is_some());
        front.changed(key());
        assert!(front.get(key(), || None).is_none());
        assert_eq!(front.bytes(), 0);
        let front = warmed(&stored);
        front.swept();
        assert_eq!(entry(&front.get(key(), || Some(value("new"))).unwrap()).content.body, "new");
    }

    /// Where the hashes collide, keys are still compared.
    #[test]
    fn another_key_with_the_same_hash_is_another_value() {
        let front = warmed(&value("pets"));
        assert!(front.get(StoreKey::new(7, b"other"), || None).is_none());
    }

    #[test]
    fn a_change_while_the_store_is_asked_leaves_no_old_copy() {
        let stored = value("old");
        let front = Front::new(1 << 20);
        for _ in 0..2 * VOTES {
            front.get(key(), || {
                front.changed(key());
                Some(stored.clone())
            });
        }
        assert!(front.get(key(), || None).is_none());
    }

    #[test]
    fn the_copies_stay_within_their_room() {
        let stored = value("pets");
        let front = Front::new(STRIPES as u64 * stored.weight(3) * 20);
        for number in 0..100 {
            for _ in 0..=VOTES {
                front.get(StoreKey::new(number << 16, b"key"), || Some(stored.clone()));
            }
        }
        assert_eq!(front.bytes(), 20 * stored.weight(3));
        let small = Front::new(stored.weight(3));
        for _ in 0..=VOTES {
            small.get(key(), || Some(stored.clone()));
        }
        assert_eq!(small.bytes(), 0);
    }
}
