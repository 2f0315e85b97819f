//! Which version of each field is in force here, and whose word counts.
//!
//! A version is an instant of the server's clock, made when a change reaches Redis, and greater than that of the change
//! before: so it goes by the order in which Redis took changes, and not by which server, or which copy of its memory,
//! tells of them. What came last counts, wherever it is still known.

use super::state::Field;
use bytes::{Buf, BufMut, Bytes};
use std::collections::HashMap;

/// A field that comes from elsewhere; without a value it was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Versioned {
    pub(super) field: Bytes,
    pub(super) version: u64,
    pub(super) value: Option<Bytes>,
}

/// Before a value, big endian: as the script writes it.
const PREFIX: usize = 7;
/// Of what a program was built with: whatever was changed at some time counts for more.
const BUILT_IN: u64 = 1;

impl Versioned {
    /// A value that cannot be read counts as deleted, and for less than any that was changed.
    pub(super) fn new(field: Bytes, mut stored: Bytes) -> Self {
        if stored.len() < PREFIX {
            return Self { field, version: BUILT_IN, value: None };
        }
        let version = stored.get_uint(PREFIX);
        Self { field, version, value: (!stored.is_empty()).then_some(stored) }
    }
}

/// A value as it is stored.
fn stored(version: u64, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(PREFIX + value.len());
    out.put_uint(version, PREFIX);
    out.put_slice(value);
    out
}

/// What is known of a field.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    version: u64,
    is_deleted: bool,
}

/// Of all fields of a state.
#[derive(Debug, Default)]
pub(super) struct Versions {
    known: HashMap<Box<[u8]>, Known>,
    /// By field: the last step of ours that has no version yet.
    pending: HashMap<Vec<u8>, Pending>,
}

/// A change of ours on its way.
#[derive(Debug)]
struct Pending {
    step: u64,
    /// The newest that others said meanwhile. It is newer than ours where that had been taken without our knowing.
    passed_over: Option<Versioned>,
}

impl Versions {
    /// A change is made here.
    pub(super) fn begin(&mut self, fields: &[Field], step: u64) {
        for (field, _) in fields {
            let pending = self.pending.entry(field.clone());
            pending.or_insert(Pending { step, passed_over: None }).step = step;
        }
    }

    /// Redis has taken a change of ours, as that version.
    pub(super) fn sent(&mut self, fields: &[Field], version: u64) {
        for (field, value) in fields {
            let _newest = self.note(field, Known { version, is_deleted: value.is_empty() });
        }
    }

    /// Redis has all changes up to that step; what was passed over for them, and is to be taken if it is newer.
    pub(super) fn returned(&mut self, step: u64) -> Vec<Versioned> {
        let done = self.pending.extract_if(|_, pending| pending.step <= step);
        done.filter_map(|(_, pending)| pending.passed_over).collect()
    }

    /// Whether nothing newer was known.
    fn note(&mut self, field: &[u8], new: Known) -> bool {
        match self.known.get_mut(field) {
            Some(known) if new.version < known.version => return false,
            Some(known) => *known = new,
            None => drop(self.known.insert(field.into(), new)),
        }
        true
    }

    /// Whether a field from Redis is to be put in force: nothing newer is known, and we have not changed the field
    /// meanwhile; our change will be the newer one. What is known already is put in force again: it may not have fitted (a
    /// key that was still attached elsewhere).
    pub(super) fn take(&mut self, other: &Versioned) -> bool {
        let known = Known { version: other.version, is_deleted: other.value.is_none() };
        if !self.note(&other.field, known) {
            return false;
        }
        let pending = self.pending.get_mut(&*other.field);
        pending.map(|pending| pending.passed_over = Some(other.clone())).is_none()
    }

    /// What Redis lacks or has older than it is known here, as it is to be stored. `there`: the versions in Redis; `own`:
    /// all that the handle has.
    pub(super) fn repairs(&self, there: &HashMap<Bytes, u64>, own: Vec<Field>) -> Vec<Field> {
        let is_behind = |field: &[u8], version: u64| {
            there.get(field).is_none_or(|there| *there < version) && !self.pending.contains_key(field)
        };
        let known = |field: &[u8]| self.known.get(field).copied().unwrap_or_default();
        let deleted =
            self.known.iter().filter(|(field, known)| known.is_deleted && is_behind(field, known.version));
        let deleted = deleted.map(|(field, known)| (field.to_vec(), stored(known.version, &[])));
        let held = own.into_iter().filter_map(|(field, value)| {
            let version = known(&field).version.max(BUILT_IN);
            is_behind(&field, version).then(|| (field, stored(version, &value)))
        });
        // What is held may fit only where what is deleted has gone.
        deleted.chain(held).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_elsewhere(field: &'static str, version: u64, value: &str) -> Versioned {
        Versioned::new(field.into(), stored(version, value.as_bytes()).into())
    }

    fn field(name: &str, value: &str) -> Field {
        (name.into(), value.into())
    }

    #[test]
    fn the_newest_counts_and_our_own_word_until_it_has_come_back() {
        let mut versions = Versions::default();
        assert!(versions.take(&from_elsewhere("a", 5, "x")));
        assert!(versions.take(&from_elsewhere("a", 5, "x")) && !versions.take(&from_elsewhere("a", 4, "y")));
        versions.begin(&[field("a", "z")], 1);
        assert!(!versions.take(&from_elsewhere("a", 6, "y")), "ours comes after it");
        versions.sent(&[field("a", "z")], 7);
        assert!(!versions.take(&from_elsewhere("a", 7, "z")), "a later one of ours might be on its way");
        let passed_over = versions.returned(1);
        assert_eq!(passed_over, [from_elsewhere("a", 7, "z")]);
        assert!(!versions.take(&from_elsewhere("a", 6, "y")) && versions.take(&from_elsewhere("a", 7, "z")));
        assert!(versions.take(&from_elsewhere("a", 8, "y")));
    }

    /// Redis took our change and then another one, and a scan told of that before we had its answer to ours.
    #[test]
    fn what_was_passed_over_for_a_change_counts_if_it_came_after_it() {
        let mut versions = Versions::default();
        versions.begin(&[field("a", "ours")], 1);
        versions.begin(&[field("b", "ours")], 2);
        for name in ["a", "b"] {
            assert!(!versions.take(&from_elsewhere(name, 8, "theirs")));
        }
        versions.sent(&[field("a", "ours")], 7);
        let passed_over = versions.returned(1);
        assert_eq!(
            passed_over,
            [from_elsewhere("a", 8, "theirs")],
            "it is kept for as long as ours may be newer"
        );
        assert!(versions.take(&passed_over[0]));
        versions.sent(&[field("b", "ours")], 9);
        let passed_over = versions.returned(2);
        assert!(!versions.take(&passed_over[0]), "ours is newer");
        // One that is changed again keeps what was passed over until the last one has its version.
        versions.begin(&[field("a", "again")], 3);
        assert!(!versions.take(&from_elsewhere("a", 10, "theirs")));
        versions.begin(&[field("a", "and again")], 4);
        assert_eq!(versions.returned(3), []);
        assert_eq!(versions.returned(4), [from_elsewhere("a", 10, "theirs")]);
    }

    #[test]
    fn redis_is_told_what_it_lacks_and_nothing_else() {
        let mut versions = Versions::default();
        for (name, version, value) in [("same", 5, "x"), ("older", 6, "x"), ("gone", 7, ""), ("lost", 8, "x")]
        {
            assert!(versions.take(&from_elsewhere(name, version, value)));
        }
        versions.begin(&[field("pending", "p")], 1);
        let there = [("same", 5), ("older", 5), ("gone", 5), ("unread", 9)];
        let there = there.map(|(field, version)| (Bytes::from(field), version)).into();
        let own = ["same", "older", "lost", "pending", "built-in"].map(|name| field(name, "own")).into();
        let mut repairs = versions.repairs(&there, own);
        repairs.sort();
        let wanted = [("built-in", 1, "own"), ("gone", 7, ""), ("lost", 8, "own"), ("older", 6, "own")];
        let wanted = wanted.map(|(name, version, value)| (name.into(), stored(version, value.as_bytes())));
        assert_eq!(repairs, wanted);
    }

    #[test]
    fn what_cannot_be_read_is_deleted_and_yields_to_every_change() {
        let garbage = Versioned::new("a".into(), Bytes::from_static(b"123456"));
        assert_eq!((garbage.version, garbage.value), (BUILT_IN, None));
        let deleted = Versioned::new("a".into(), stored(9, b"").into());
        assert_eq!((deleted.version, deleted.value), (9, None));
    }
}
