//! The look-up table: an immutable snapshot in two levels.
//!
//! Readers take a snapshot without waiting. A writer makes the next one: it copies the small level with its change in
//! it, and only when that has grown to the square root of the whole, the two are merged. So one change among a
//! million keys copies at most a thousand entries, and a merge is rare enough to cost no more per change.

use super::{
    digest::{DigestHashing, KeyDigest},
    store::KeyEntry,
};
use std::{collections::HashMap, hash::BuildHasher, sync::Arc};

/// The small level may always hold this many changes.
const SMALL: usize = 64;

/// An entry put in place, or, with `None`, one taken away.
pub(super) type Change = (KeyDigest, Option<KeyEntry>);

type Delta = HashMap<KeyDigest, Option<Arc<KeyEntry>>, DigestHashing>;

/// The large level: open addressing over the entries themselves, two thirds full. It is never changed, so nothing is
/// ever taken out of it, and a look-up meets its entry at once: one cache miss, where a table with control bytes or
/// with pointers has two or three.
#[derive(Debug)]
struct Base {
    slots: Box<[Option<KeyEntry>]>,
    length: usize,
    hashing: DigestHashing,
}

impl Default for Base {
    fn default() -> Self {
        Self::new(0, std::iter::empty())
    }
}

impl Base {
    /// Of `length` entries with different digests.
    fn new(length: usize, entries: impl Iterator<Item = KeyEntry>) -> Self {
        let slots = (0..length + length / 2 + 1).map(|_| None).collect();
        let mut base = Self { slots, length, hashing: DigestHashing::default() };
        for entry in entries {
            let at = base.place(entry.digest());
            base.slots[at] = Some(entry);
        }
        base
    }

    /// Where the digest stands, or would stand. One slot at least is free.
    fn place(&self, digest: &KeyDigest) -> usize {
        let hash = u128::from(self.hashing.hash_one(digest));
        let mut at = ((hash * self.slots.len() as u128) >> 64) as usize;
        while self.slots[at].as_ref().is_some_and(|entry| entry.digest() != digest) {
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
        at
    }

    fn get(&self, digest: &KeyDigest) -> Option<&KeyEntry> {
        self.slots[self.place(digest)].as_ref()
    }

    fn iter(&self) -> impl Iterator<Item = &KeyEntry> {
        self.slots.iter().flatten()
    }
}

/// One snapshot; see the [module docs](self).
#[derive(Debug, Default)]
pub(super) struct Table {
    base: Arc<Base>,
    delta: Delta,
}

impl Table {
    pub(super) fn get(&self, digest: &KeyDigest) -> Option<&KeyEntry> {
        match self.delta.get(digest) {
            Some(change) => change.as_deref(),
            None => self.base.get(digest),
        }
    }

    /// The next snapshot. Of two changes of one digest the later counts.
    pub(super) fn with(&self, changes: Vec<Change>) -> Self {
        let most = self.base.length.isqrt().max(SMALL);
        if self.delta.len() + changes.len() <= most {
            let mut delta = self.delta.clone();
            delta.extend(changes.into_iter().map(|(digest, entry)| (digest, entry.map(Arc::new))));
            return Self { base: Arc::clone(&self.base), delta };
        }
        let delta = HashMap::with_hasher(self.delta.hasher().clone());
        Self { base: Arc::new(self.merged(changes)), delta }
    }

    fn merged(&self, changes: Vec<Change>) -> Base {
        let mut changed: HashMap<KeyDigest, Option<KeyEntry>, _> =
            HashMap::with_hasher(DigestHashing::default());
        changed.extend(self.delta.iter().map(|(digest, entry)| (*digest, entry.as_deref().cloned())));
        changed.extend(changes);
        let kept = || self.base.iter().filter(|entry| !changed.contains_key(entry.digest()));
        let length = kept().count() + changed.values().flatten().count();
        Base::new(length, kept().chain(changed.values().flatten()).cloned())
    }

    #[cfg(test)]
    fn levels(&self) -> (usize, usize) {
        (self.base.length, self.delta.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digest(number: u16) -> KeyDigest {
        KeyDigest::of(&number.to_be_bytes())
    }

    fn entry(number: u16, id: &str) -> Change {
        (digest(number), Some(KeyEntry::new(digest(number), id)))
    }

    #[test]
    fn changes_collect_in_the_small_level_and_are_merged_past_the_root() {
        let many = Table::default().with((0..10_000).map(|number| entry(number, "k")).collect());
        assert_eq!(many.levels(), (10_000, 0));
        let mut table = many.with(vec![entry(10_000, "new")]);
        assert_eq!(table.levels(), (10_000, 1));
        assert!(many.get(&digest(10_000)).is_none(), "an old snapshot does not change");
        for number in 10_001..10_100 {
            table = table.with(vec![entry(number, "new")]);
        }
        assert_eq!(table.levels(), (10_000, 100));
        table = table.with(vec![(digest(3), None)]);
        assert_eq!(table.levels(), (10_099, 0));
        assert!(table.get(&digest(3)).is_none() && table.get(&digest(10_000)).is_some());
    }

    proptest! {
        /// Any history of changes, in batches of any size, reads like a plain map.
        #[test]
        fn it_reads_like_a_map(
            batches in proptest::collection::vec(proptest::collection::vec((0u16..300, any::<bool>()), 0..90), 0..12),
        ) {
            let (mut table, mut model) = (Table::default(), HashMap::new());
            for (turn, batch) in batches.into_iter().enumerate() {
                let id = turn.to_string();
                let change = |(number, put): &(u16, bool)| match put {
                    true => entry(*number, &id),
                    false => (digest(*number), None),
                };
                table = table.with(batch.iter().map(change).collect());
                model.extend(batch.into_iter().map(|(number, put)| (number, put.then(|| id.clone()))));
            }
            for number in 0..300 {
                let expected = model.get(&number).cloned().flatten();
                prop_assert_eq!(table.get(&digest(number)).map(|entry| entry.id().to_owned()), expected);
            }
        }
    }
}
