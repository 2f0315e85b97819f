//! The look-up table: an immutable snapshot in two levels.
//!
//! Readers take a snapshot without waiting. A writer makes the next one: it copies the small level with its change in
//! it, and only when that has grown to the square root of the whole, the two are merged. So one change among a
//! million keys copies at most a thousand entries, and a merge is rare enough to cost no more per change.

use super::{
    digest::{DigestHashing, KeyDigest},
    store::KeyEntry,
};
use std::{
    borrow::Borrow,
    collections::{HashMap, HashSet},
    hash::{Hash, Hasher},
    sync::Arc,
};

/// The small level may always hold this many changes.
const SMALL: usize = 64;

/// An entry, found by its digest. It lies in the table itself: behind a pointer it would cost a third cache miss.
#[derive(Clone, Debug)]
struct Slot(KeyEntry);

impl Borrow<KeyDigest> for Slot {
    fn borrow(&self) -> &KeyDigest {
        self.0.digest()
    }
}

impl Hash for Slot {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.digest().hash(state);
    }
}

impl PartialEq for Slot {
    fn eq(&self, other: &Self) -> bool {
        self.0.digest() == other.0.digest()
    }
}

impl Eq for Slot {}

/// An entry put in place, or, with `None`, one taken away.
pub(super) type Change = (KeyDigest, Option<KeyEntry>);

type Base = HashSet<Slot, DigestHashing>;
type Delta = HashMap<KeyDigest, Option<Arc<KeyEntry>>, DigestHashing>;

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
            None => self.base.get(digest).map(|slot| &slot.0),
        }
    }

    /// The next snapshot. Of two changes of one digest the later counts.
    pub(super) fn with(&self, changes: Vec<Change>) -> Self {
        let most = self.base.len().isqrt().max(SMALL);
        if self.delta.len() + changes.len() <= most {
            let mut delta = self.delta.clone();
            delta.extend(changes.into_iter().map(|(digest, entry)| (digest, entry.map(Arc::new))));
            return Self { base: Arc::clone(&self.base), delta };
        }
        let delta = HashMap::with_hasher(self.delta.hasher().clone());
        Self { base: Arc::new(self.merged(changes)), delta }
    }

    fn merged(&self, changes: Vec<Change>) -> Base {
        let mut base = self.base_with_room(changes.len());
        for (digest, change) in &self.delta {
            apply(&mut base, digest, change.as_deref().cloned());
        }
        for (digest, change) in changes {
            apply(&mut base, &digest, change);
        }
        base
    }

    /// A clone copies the slots in place, without hashing, so room that is wanted is better made in one step.
    fn base_with_room(&self, changes: usize) -> Base {
        let wanted = self.base.len() + self.delta.len() + changes;
        if wanted <= self.base.capacity() {
            return (*self.base).clone();
        }
        let mut base = Base::with_capacity_and_hasher(wanted, self.base.hasher().clone());
        base.extend(self.base.iter().cloned());
        base
    }

    #[cfg(test)]
    fn levels(&self) -> (usize, usize) {
        (self.base.len(), self.delta.len())
    }
}

fn apply(base: &mut Base, digest: &KeyDigest, change: Option<KeyEntry>) {
    match change {
        Some(entry) => drop(base.replace(Slot(entry))),
        None => drop(base.take(digest)),
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
