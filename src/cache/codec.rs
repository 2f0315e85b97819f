//! Stored values as bytes, for stores that leave the process.
//!
//! | bytes | |
//! |---|---|
//! | 4 | `tgcv` |
//! | 1 | version of the form, 2 |
//! | 16 | the first half of the SHA-256 digest of all that follows |
//! | 8 | when it was written, in milliseconds since 1970 |
//! | 4 + n | the whole key |
//! | 1 | 0: answers are not storable; 1: answers; 2: answers to requests with credentials are not storable |
//! | ... | the rest of the mark's life, or a count and the answers |
//!
//! Numbers are big-endian, texts have their length in front. Another version, another digest, a length beyond the end or
//! bytes after it: it is no value, and the answer is fetched anew. What is encrypted is written as it is.
//!
//! Times are written as ages. Monotonic clocks of two processes have nothing in common, and a wall clock may jump.

use super::{
    entry::{Content, Entry, Freshness, Meta},
    selection::Selection,
    store::{Slot, StoredValue},
};
use crate::clock::Timestamp;
use bytes::{Buf, BufMut, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sha2::{Digest, Sha256};
use std::{sync::Arc, time::Duration};

const MAGIC: &[u8; 4] = b"tgcv";
const VERSION: u8 = 2;
const CHECKSUM: usize = 16;
const HEAD: usize = MAGIC.len() + 1 + CHECKSUM;
const PASS: u8 = 0;
const ANSWERS: u8 = 1;
const PASS_OF_CREDENTIALS: u8 = 2;

/// How long a value has lain in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoredFor {
    /// The store knows it, such as from what is left of a TTL.
    Time(Duration),
    /// By the wall clock: the difference to the time at which it was written, zero where the clock was set back.
    WallClock,
}

impl StoredValue {
    /// The value under its key ([`StoreKey::bytes`](super::StoreKey::bytes)) as bytes, for a store that keeps such. The
    /// form has a version and a checksum; what is encrypted stays so.
    pub fn to_bytes(&self, key: &[u8], now: Timestamp) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD + 64 + key.len() + self.weight(0) as usize);
        out.put_slice(MAGIC);
        out.put_u8(VERSION);
        out.put_bytes(0, CHECKSUM);
        out.put_i64(now.unix_millis());
        put_text(&mut out, key);
        put_slot(&mut out, &self.0, now);
        let sum = checksum(&out[HEAD..]);
        out[HEAD - CHECKSUM..HEAD].copy_from_slice(&sum);
        out
    }

    /// Reads such bytes back. `None`: they are damaged, of another version, or the value of another key, which is
    /// compared whole. What has expired is read all the same: the rules judge it, as they do in memory.
    pub fn from_bytes(bytes: Bytes, key: &[u8], stored_for: StoredFor, now: Timestamp) -> Option<Self> {
        let (own, value) = decode(bytes, stored_for, now)?;
        (own == key).then_some(value)
    }

    /// The same with its key, for a store whose own keys are only digests.
    #[cfg(feature = "redb")]
    pub(crate) fn with_key(bytes: Bytes, stored_for: StoredFor, now: Timestamp) -> Option<(Bytes, Self)> {
        decode(bytes, stored_for, now)
    }

    /// How much longer the value is of use: until its answers are stale and may not be served stale either. Zero for a
    /// value that is of none.
    pub fn remaining(&self, now: Timestamp) -> Duration {
        match &self.0 {
            Slot::Pass { until, .. } => Duration::from_nanos(until.saturating_sub(now.monotonic_nanos())),
            slot => slot.entries().iter().map(|entry| rest_of_life(entry, now)).max().unwrap_or_default(),
        }
    }
}

fn rest_of_life(entry: &Entry, now: Timestamp) -> Duration {
    let Freshness { lifetime, while_revalidate, if_error, .. } = entry.meta.freshness;
    lifetime.saturating_add(while_revalidate.max(if_error)).saturating_sub(entry.meta.age(now))
}

/// The value with its key, for a store whose keys are only digests.
pub(super) fn decode(
    mut bytes: Bytes,
    stored_for: StoredFor,
    now: Timestamp,
) -> Option<(Bytes, StoredValue)> {
    if bytes.len() < HEAD || bytes.split_to(MAGIC.len()) != MAGIC[..] || bytes.get_u8() != VERSION {
        return None;
    }
    let sum = bytes.split_to(CHECKSUM);
    if sum != checksum(&bytes)[..] {
        return None;
    }
    decode_checked(bytes, stored_for, now)
}

/// What follows the checksum.
fn decode_checked(mut bytes: Bytes, stored_for: StoredFor, now: Timestamp) -> Option<(Bytes, StoredValue)> {
    let written = bytes.try_get_i64().ok()?;
    let key = take_text(&mut bytes)?;
    let ago = match stored_for {
        StoredFor::Time(time) => time,
        StoredFor::WallClock => {
            let millis = now.unix_millis().saturating_sub(written);
            Duration::from_millis(u64::try_from(millis).unwrap_or(0))
        }
    };
    let slot = take_slot(&mut bytes, ago, now)?;
    bytes.is_empty().then_some((key, StoredValue(slot)))
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    digest.first_chunk().copied().unwrap_or_default()
}

fn put_slot(out: &mut Vec<u8>, slot: &Slot, now: Timestamp) {
    if let Slot::Pass { until, of_credentials } = slot {
        out.put_u8(if *of_credentials { PASS_OF_CREDENTIALS } else { PASS });
        return out.put_u64(until.saturating_sub(now.monotonic_nanos()));
    }
    out.put_u8(ANSWERS);
    out.put_u8(u8::try_from(slot.entries().len()).unwrap_or(u8::MAX));
    slot.entries().iter().take(usize::from(u8::MAX)).for_each(|entry| put_entry(out, entry, now));
}

fn take_slot(bytes: &mut Bytes, ago: Duration, now: Timestamp) -> Option<Slot> {
    match bytes.try_get_u8().ok()? {
        kind @ (PASS | PASS_OF_CREDENTIALS) => {
            let left = bytes.try_get_u64().ok()?.saturating_sub(nanos(ago));
            let until = now.monotonic_nanos().saturating_add(left);
            Some(Slot::Pass { until, of_credentials: kind == PASS_OF_CREDENTIALS })
        }
        ANSWERS => {
            let count = bytes.try_get_u8().ok()?;
            let entries = (0..count).map(|_| take_entry(bytes, ago, now).map(Arc::new));
            Slot::of(entries.collect::<Option<Vec<_>>>()?)
        }
        _ => None,
    }
}

fn put_entry(out: &mut Vec<u8>, entry: &Entry, now: Timestamp) {
    let Entry { meta, content, is_sealed, .. } = entry;
    out.put_u16(meta.status.as_u16());
    out.put_u8(flags([
        *is_sealed,
        meta.is_soft_purged(),
        meta.freshness.must_revalidate,
        meta.freshness.always_validate,
        meta.freshness.immutable,
    ]));
    let Freshness { lifetime, initial_age, while_revalidate, if_error, .. } = meta.freshness;
    // What is read back was asked for before all of its age.
    let travel = meta.responded.since(meta.requested).saturating_sub(initial_age);
    put_times(out, [travel, meta.age(now).max(initial_age)]);
    put_times(out, [lifetime, while_revalidate, if_error]);
    put_times(out, [meta.soft_purged_for(now).unwrap_or_default()]);
    put_selection(out, meta.selection.as_ref());
    out.put_u32(meta.tags.len() as u32);
    meta.tags.iter().for_each(|tag| put_text(out, tag.as_bytes()));
    put_fields(out, &content.headers);
    out.put_u8(u8::from(content.trailers.is_some()));
    content.trailers.iter().for_each(|trailers| put_fields(out, trailers));
    put_text(out, &content.body);
}

/// The age as it is now becomes the age at which the answer came: it came to this process now.
fn take_entry(bytes: &mut Bytes, ago: Duration, now: Timestamp) -> Option<Entry> {
    let status = StatusCode::from_u16(bytes.try_get_u16().ok()?).ok()?;
    let [is_sealed, is_soft_purged, must_revalidate, always_validate, immutable] =
        from_flags(bytes.try_get_u8().ok()?)?;
    let [travel, age] = take_times(bytes)?;
    let [lifetime, while_revalidate, if_error] = take_times(bytes)?;
    let [purged] = take_times(bytes)?;
    let initial_age = age.saturating_add(ago);
    let freshness = Freshness {
        lifetime,
        initial_age,
        while_revalidate,
        if_error,
        must_revalidate,
        always_validate,
        immutable,
    };
    let selection = take_selection(bytes)?;
    let tags = (0..bytes.try_get_u32().ok()?).map(|_| take_tag(bytes)).collect::<Option<Box<[_]>>>()?;
    let requested = earlier(now, initial_age.saturating_add(travel));
    let meta = Meta::new(status, (requested, now), freshness, selection, tags);
    if is_soft_purged {
        meta.purge_softly(now, purged.saturating_add(ago));
    }
    let headers = take_fields(bytes)?;
    let trailers = match take_bool(bytes)? {
        true => Some(Box::new(take_fields(bytes)?)),
        false => None,
    };
    let content = Content { headers, body: take_text(bytes)?, trailers };
    Some(Entry { is_sealed, ..Entry::new(meta, content) })
}

fn earlier(now: Timestamp, by: Duration) -> Timestamp {
    let by = nanos(by);
    let wall = now.unix_millis().saturating_mul(1_000_000).saturating_sub_unsigned(by);
    Timestamp::new(now.monotonic_nanos().saturating_sub(by), wall)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn flags<const N: usize>(all: [bool; N]) -> u8 {
    all.iter().rev().fold(0, |flags, set| flags << 1 | u8::from(*set))
}

/// `None`: one that has no meaning.
fn from_flags<const N: usize>(flags: u8) -> Option<[bool; N]> {
    (flags >> N == 0).then(|| std::array::from_fn(|index| flags >> index & 1 == 1))
}

pub(super) fn take_bool(bytes: &mut Bytes) -> Option<bool> {
    from_flags(bytes.try_get_u8().ok()?).map(|[set]| set)
}

/// In nanoseconds: 584 years, and more is as good as that.
fn put_times<const N: usize>(out: &mut Vec<u8>, times: [Duration; N]) {
    times.into_iter().for_each(|time| out.put_u64(nanos(time)));
}

fn take_times<const N: usize>(bytes: &mut Bytes) -> Option<[Duration; N]> {
    let mut times = [Duration::ZERO; N];
    for time in &mut times {
        *time = Duration::from_nanos(bytes.try_get_u64().ok()?);
    }
    Some(times)
}

fn put_selection(out: &mut Vec<u8>, selection: Option<&Selection>) {
    let names = selection.map_or(&[][..], |selection| selection.names());
    out.put_u8(u8::from(selection.is_some()));
    if let Some(selection) = selection {
        put_names(out, names);
        out.put_slice(selection.values());
    }
}

fn take_selection(bytes: &mut Bytes) -> Option<Option<Selection>> {
    if !take_bool(bytes)? {
        return Some(None);
    }
    let names = take_names(bytes)?;
    let values = (bytes.len() >= 32).then(|| bytes.split_to(32))?;
    Some(Some(Selection::from_parts(names, *values.first_chunk()?)))
}

pub(super) fn put_names(out: &mut Vec<u8>, names: &[HeaderName]) {
    out.put_u32(names.len() as u32);
    names.iter().for_each(|name| put_text(out, name.as_str().as_bytes()));
}

pub(super) fn take_names(bytes: &mut Bytes) -> Option<Arc<[HeaderName]>> {
    let count = bytes.try_get_u32().ok()?;
    (0..count).map(|_| HeaderName::from_bytes(&take_text(bytes)?).ok()).collect()
}

fn take_tag(bytes: &mut Bytes) -> Option<Box<str>> {
    Some(std::str::from_utf8(&take_text(bytes)?).ok()?.into())
}

pub(super) fn put_fields(out: &mut Vec<u8>, fields: &HeaderMap) {
    out.put_u32(fields.len() as u32);
    for (name, value) in fields {
        put_text(out, name.as_str().as_bytes());
        out.put_u8(u8::from(value.is_sensitive()));
        put_text(out, value.as_bytes());
    }
}

pub(super) fn take_fields(bytes: &mut Bytes) -> Option<HeaderMap> {
    let count = bytes.try_get_u32().ok()?;
    let mut fields = HeaderMap::new();
    for _ in 0..count {
        let name = HeaderName::from_bytes(&take_text(bytes)?).ok()?;
        let is_sensitive = take_bool(bytes)?;
        let mut value = HeaderValue::from_maybe_shared(take_text(bytes)?).ok()?;
        value.set_sensitive(is_sensitive);
        fields.try_append(name, value).ok()?;
    }
    Some(fields)
}

/// Bytes, after their length.
pub(super) fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    out.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
    out.put_slice(text);
}

pub(super) fn take_text(bytes: &mut Bytes) -> Option<Bytes> {
    let length = bytes.try_get_u32().ok()? as usize;
    (length <= bytes.len()).then(|| bytes.split_to(length))
}

#[cfg(test)]
mod tests;
