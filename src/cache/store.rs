//! Where entries live: the trait, and what is kept under one key.

use super::{
    entry::Entry,
    key::{StoreKey, StoredKey},
};
use crate::clock::Timestamp;
use http::HeaderMap;
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

    /// Drops everything.
    fn clear(&self);

    /// What is kept.
    fn usage(&self) -> StoreUsage;

    /// Whether it may have entries that were not put in by this cache, such as those of the process before. Default: no.
    fn is_warm(&self) -> bool {
        false
    }
}

/// How full a store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreUsage {
    /// Keys with a value.
    pub keys: u64,
    /// Bytes, with what each entry costs beside its body.
    pub bytes: u64,
    /// The most bytes that are kept.
    pub capacity: u64,
    /// The weight of the largest value that is taken.
    pub largest: u64,
}

/// What is kept under one key: answers, or a mark that answers are not storable. A clone is a reference count.
#[derive(Clone)]
pub struct StoredValue(pub(super) Slot);

impl StoredValue {
    /// What it weighs in bytes, with a key of that length.
    pub fn weight(&self, key_bytes: usize) -> u64 {
        let entries = self.0.entries().iter().map(|entry| u64::from(entry.weight)).sum::<u64>();
        (SLOT_OVERHEAD + key_bytes) as u64 + entries
    }
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
    /// as `room` (bytes) goes.
    pub(super) fn with(previous: Option<&Self>, entry: Arc<Entry>, room: u64) -> Self {
        let others = previous.map_or(&[][..], Self::entries);
        let others = others.iter().filter(|other| !is_replaced(other, &entry)).take(MOST_VARIANTS - 1);
        let mut left = room.saturating_sub(u64::from(entry.weight));
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
    tags: &[Box<str>],
) -> u32 {
    let trailers = trailers.map_or(0, fields_weight);
    let tags = tags.iter().map(|tag| tag.len() + size_of::<Box<str>>() + 16).sum::<usize>();
    let total = size_of::<Entry>() + fields_weight(headers) + body + trailers + tags;
    u32::try_from(total).unwrap_or(u32::MAX)
}

/// A field's bucket is 104 bytes, its index 4; both tables have spare room.
const FIELD_OVERHEAD: usize = 112;

fn fields_weight(fields: &HeaderMap) -> usize {
    let text: usize = fields.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    text + fields.capacity().max(fields.len()) * FIELD_OVERHEAD
}
