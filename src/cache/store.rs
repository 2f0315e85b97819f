//! Where entries live: the trait, and what is kept under one key.

use super::{
    entry::Entry,
    key::{StoreKey, StoredKey},
};
use crate::clock::Timestamp;
use http::{HeaderMap, HeaderName};
use std::{fmt, mem::size_of, sync::Arc};

/// Keeps values under keys, within a capacity in bytes. The default is
/// [`MemoryCacheStore`](super::MemoryCacheStore).
///
/// Synchronous: it is asked on the hot path, in part under a lock of the cache, which it must not call or wait for.
/// Values are opaque; [`StoredValue::to_bytes`] and [`StoredValue::from_bytes`] are for a store that leaves the process.
pub trait CacheStore: fmt::Debug + Send + Sync + 'static {
    /// The value under a key. Compares the whole key, not only the hash.
    fn get(&self, key: StoreKey<'_>) -> Option<StoredValue>;

    /// Puts a value under a key, in place of one that may be there. `false`: it does not fit, and nothing is kept
    /// under that key.
    fn insert(&self, key: &StoredKey, value: StoredValue) -> bool;

    /// Drops what is under a key.
    fn remove(&self, key: StoreKey<'_>);

    /// Looks at every value, and keeps those for which the function says so.
    fn retain(&self, keep: &mut dyn FnMut(&[u8], &StoredValue) -> bool);

    /// The same where a request waits, which does not ask what became of it: it counts when the call returns, and a store
    /// that is slow may do the rest of it later. Default: [`retain`](Self::retain).
    fn retain_behind(&self, keep: Arc<KeepValue>) {
        self.retain(&mut |key, value| keep(key, value));
    }

    /// What is kept.
    fn usage(&self) -> StoreUsage;

    /// Whether it may have entries that were not put in by this cache, such as those of the process before. Default: no.
    fn is_warm(&self) -> bool {
        false
    }
}

impl<T: CacheStore + ?Sized> CacheStore for Arc<T> {
    fn get(&self, key: StoreKey<'_>) -> Option<StoredValue> {
        (**self).get(key)
    }

    fn insert(&self, key: &StoredKey, value: StoredValue) -> bool {
        (**self).insert(key, value)
    }

    fn remove(&self, key: StoreKey<'_>) {
        (**self).remove(key);
    }

    fn retain(&self, keep: &mut dyn FnMut(&[u8], &StoredValue) -> bool) {
        (**self).retain(keep);
    }

    fn retain_behind(&self, keep: Arc<KeepValue>) {
        (**self).retain_behind(keep);
    }

    fn usage(&self) -> StoreUsage {
        (**self).usage()
    }

    fn is_warm(&self) -> bool {
        (**self).is_warm()
    }
}

/// Says of a key and its value whether they stay.
pub type KeepValue = dyn Fn(&[u8], &StoredValue) -> bool + Send + Sync;

/// How full a store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreUsage {
    /// Keys with a value.
    pub keys: u64,
    /// Bytes, with what each entry costs beside its body.
    pub bytes: u64,
    /// The most bytes that are kept. It also says how much bodies on their way may hold, see
    /// [`CacheBuilder::capacity`](super::CacheBuilder::capacity).
    pub capacity: u64,
    /// The weight of the largest value that is taken.
    pub largest: u64,
    /// The same of a value of several answers: those to one request with other values of the fields that `Vary` names.
    /// Where that is less than `largest`, as in a store that does not say, they have the room of one.
    pub largest_together: u64,
}

/// What is kept under one key: answers, or a mark that answers are not storable. A clone is a reference count.
#[derive(Clone)]
pub struct StoredValue(pub(super) Slot);

impl StoredValue {
    /// What it weighs in bytes, with a key of that length.
    pub fn weight(&self, key_bytes: usize) -> u64 {
        let entries = self.0.entries().iter().map(|entry| u64::from(entry.weight)).sum::<u64>();
        overhead(key_bytes) + entries
    }

    /// How many answers it has: one for each set of values of the fields that they vary by.
    pub fn answers(&self) -> usize {
        self.0.entries().len()
    }
}

/// What a value weighs beside its answers.
fn overhead(key_bytes: usize) -> u64 {
    (SLOT_OVERHEAD + key_bytes) as u64
}

/// For stores that write values down.
#[cfg(feature = "redb")]
impl StoredValue {
    /// Whether it is more than a mark that answers are not storable.
    pub(crate) fn has_answers(&self) -> bool {
        !self.0.entries().is_empty()
    }

    /// How many of its answers were purged softly.
    pub(crate) fn soft_purges(&self) -> usize {
        self.0.entries().iter().filter(|entry| entry.meta.is_soft_purged()).count()
    }
}

impl fmt::Debug for StoredValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredValue({} entries)", self.0.entries().len())
    }
}

#[derive(Clone)]
pub(super) enum Slot {
    One(Arc<Entry>),
    /// One for each set of `Vary` values, the newest first.
    Many(Arc<[Arc<Entry>]>),
    /// Hit-for-miss: until then (monotonic), requests do not wait for each other.
    Pass {
        until: u64,
        /// It holds for those alone that carry credentials which their key does not tell apart.
        of_credentials: bool,
    },
}

/// What a store has room for under one key, in bytes of entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    one: u64,
    together: u64,
}

impl Room {
    pub(super) fn of(usage: StoreUsage) -> Self {
        Self { one: usage.largest, together: usage.largest_together.max(usage.largest) }
    }

    /// Beside a key.
    pub(super) fn beside(self, key: StoreKey<'_>) -> Self {
        let overhead = overhead(key.bytes().len());
        let Self { one, together } = self;
        Self { one: one.saturating_sub(overhead), together: together.saturating_sub(overhead) }
    }
}

/// Most answers under one key. A `Vary` on something with more values pushes the oldest out.
const MOST_VARIANTS: usize = 32;
/// A slot of the memory store, its place in the table, the key's and the entry's reference counts: measured, see
/// the memory test.
const SLOT_OVERHEAD: usize = 192;

impl Slot {
    pub(super) fn entries(&self) -> &[Arc<Entry>] {
        match self {
            Self::One(entry) => std::slice::from_ref(entry),
            Self::Many(entries) => entries,
            Self::Pass { .. } => &[],
        }
    }

    /// Whether it is a mark that holds for a request.
    pub(super) fn is_pass(&self, now: Timestamp, has_credentials: bool) -> bool {
        matches!(self, Self::Pass { until, of_credentials }
            if *until > now.monotonic_nanos() && (has_credentials || !of_credentials))
    }

    /// Entries, the newest first; `None` where there is none.
    pub(super) fn of(mut entries: Vec<Arc<Entry>>) -> Option<Self> {
        match entries.len() {
            0 => None,
            1 => entries.pop().map(Self::One),
            _ => Some(Self::Many(entries.into())),
        }
    }

    /// Where the newest entry for a request is.
    pub(super) fn position(&self, request: &HeaderMap) -> Option<usize> {
        self.entries().iter().position(|entry| entry.is_for(request))
    }

    /// Whether a call has brought a newer entry than this one in its place, which is still fresh.
    pub(super) fn has_newer(&self, entry: &Entry, now: Timestamp) -> bool {
        let is_newer =
            |own: &Entry| own.meta.is_fresh(now) && own.meta.is_of_later_call(entry.meta.requested);
        self.entries().iter().any(|own| is_replaced(own, entry) && is_newer(own))
    }

    /// With a new entry in front: in place of the one that it replaces, beside those for other `Vary` values as far
    /// as `room` goes.
    pub(super) fn with(previous: Option<&Self>, entry: Arc<Entry>, room: Room) -> Self {
        let others = previous.map_or(&[][..], Self::entries);
        let others = others.iter().filter(|other| !is_replaced(other, &entry)).take(MOST_VARIANTS - 1);
        let weight = u64::from(entry.weight);
        // The store does not take one that is too large, whatever lies beside it.
        let mut left = if weight > room.one { 0 } else { room.together.saturating_sub(weight) };
        let mut kept = Vec::new();
        for other in others {
            let Some(less) = left.checked_sub(u64::from(other.weight)) else { break };
            left = less;
            kept.push(Arc::clone(other));
        }
        match kept.is_empty() {
            true => Self::One(entry),
            false => Self::Many(std::iter::once(entry).chain(kept).collect()),
        }
    }
}

fn is_replaced(old: &Entry, new: &Entry) -> bool {
    match (&old.meta.selection, &new.meta.selection) {
        (Some(old), Some(new)) => old == new,
        _ => true,
    }
}

/// What an entry costs in memory.
pub(super) fn weight_of(
    headers: &HeaderMap,
    body: usize,
    trailers: Option<&HeaderMap>,
    (tags, varies_by): (&[Box<str>], &[HeaderName]),
) -> u32 {
    let trailers = trailers.map_or(0, fields_weight);
    let tags = tags.iter().map(|tag| tag.len() + size_of::<Box<str>>() + 16).sum::<usize>();
    let names = varies_by.iter().map(|name| name.as_str().len() + size_of::<HeaderName>()).sum::<usize>();
    let total = size_of::<Entry>() + fields_weight(headers) + body + trailers + tags + names;
    u32::try_from(total).unwrap_or(u32::MAX)
}

/// A field's bucket is 104 bytes, its index 4; both tables have spare room.
const FIELD_OVERHEAD: usize = 112;

fn fields_weight(fields: &HeaderMap) -> usize {
    let text: usize = fields.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    text + fields.capacity().max(fields.len()) * FIELD_OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cache::{
            MemoryCacheStore,
            entry::{Content, Freshness, Meta},
            selection::Selection,
        },
        clock::Timestamp,
    };
    use http::{HeaderValue, StatusCode, header::ACCEPT_LANGUAGE};

    const LARGEST: u64 = 10_000;

    fn entry(language: &'static str, body: usize) -> Arc<Entry> {
        let request = [(ACCEPT_LANGUAGE, HeaderValue::from_static(language))].into_iter().collect();
        let selection = Selection::of([ACCEPT_LANGUAGE].into(), &request);
        let now = Timestamp::new(0, 0);
        let meta =
            Meta::new(StatusCode::OK, (now, now), Freshness::default(), Some(selection), Box::default());
        let content = Content { headers: HeaderMap::new(), body: vec![7; body].into(), trailers: None };
        Arc::new(Entry::new(meta, content))
    }

    /// How many answers lie under a key after two were stored, of which together all but `less` bytes fit.
    fn kept(usage: StoreUsage, store: &dyn CacheStore, first: usize, less: i64) -> usize {
        let key = StoreKey::new(7, b"a key").to_owned();
        let room = usage.largest.max(usage.largest_together) as i64;
        let empty = entry("de", 0).weight;
        let second = room - less - i64::from(2 * empty) - first as i64;
        let mut slot = None;
        for entry in [entry("de", first), entry("en", second as usize)] {
            slot = Some(Slot::with(slot.as_ref(), entry, Room::of(usage).beside(key.borrowed())));
            assert!(store.insert(&key, StoredValue(slot.clone().unwrap())), "{less}");
        }
        store.get(key.borrowed()).map_or(0, |value| value.answers())
    }

    #[test]
    fn answers_that_just_do_not_fit_together_do_not_drive_each_other_out() {
        let store = MemoryCacheStore::new(4 * LARGEST, LARGEST).unwrap();
        let usage = store.usage();
        let overhead = overhead(b"a key".len()) as i64;
        for less in 0..overhead + 50 {
            let both = if less < overhead { 1 } else { 2 };
            assert_eq!(kept(usage, &store, 9_000, less), both, "{less} bytes less");
            // A store that has one limit for all.
            let plain = StoreUsage { largest_together: 0, ..usage };
            assert_eq!(kept(plain, &store, 1_000, less), both, "{less} bytes less");
        }
    }

    #[test]
    fn each_of_several_answers_is_held_to_the_limit_of_one() {
        let store = MemoryCacheStore::new(4 * LARGEST, LARGEST).unwrap();
        let key = StoreKey::new(7, b"a key").to_owned();
        let room = Room::of(store.usage()).beside(key.borrowed());
        let small = Slot::One(entry("de", 10));
        let large = Slot::with(Some(&small), entry("en", LARGEST as usize), room);
        assert!(!store.insert(&key, StoredValue(large)));
        assert!(store.get(key.borrowed()).is_none());
    }

    #[test]
    fn the_names_that_an_answer_varies_by_weigh_something() {
        let names: Vec<HeaderName> =
            (0..1_000).map(|number| format!("x-{number}").parse().unwrap()).collect();
        let weight = |names: &[HeaderName]| weight_of(&HeaderMap::new(), 0, None, (&[], names));
        assert!(weight(&names) > weight(&[]) + 34_000);
    }
}
