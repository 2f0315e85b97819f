//! What lies in a place of the tier: a value, or where to look for it.

use crate::{
    cache::{
        codec::{self, StoredFor},
        store::StoredValue,
    },
    clock::Timestamp,
};
use bytes::{Buf, BufMut, Bytes};
use http::HeaderName;
use std::{sync::Arc, time::Duration};

const VALUE: u8 = 1;
const VARIES: u8 = 2;

/// A value on its way out of the tier.
pub(super) enum Opened {
    /// With the number of the last purge before its call began.
    Value(StoredValue, u64),
    /// Answers vary by these fields, and lie each in a place of its own.
    Varies(Arc<[HeaderName]>),
}

/// A value with what a reader must know beside it.
pub(super) fn seal(value: &StoredValue, key: &[u8], ttl: Duration, purges: u64, now: Timestamp) -> Bytes {
    let text = value.to_bytes(key, now);
    let mut out = Vec::with_capacity(17 + text.len());
    out.put_u8(VALUE);
    out.put_u64(purges);
    out.put_u64(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
    out.put_slice(&text);
    out.into()
}

pub(super) fn signpost(names: &[HeaderName], key: &[u8]) -> Bytes {
    let mut out = vec![VARIES];
    codec::put_text(&mut out, key);
    codec::put_names(&mut out, names);
    out.into()
}

/// `None`: it is none, or that of another key.
pub(super) fn open(mut bytes: Bytes, key: &[u8], left: Duration, now: Timestamp) -> Option<Opened> {
    match bytes.try_get_u8().ok()? {
        VALUE => {
            let purges = bytes.try_get_u64().ok()?;
            let ttl = Duration::from_millis(bytes.try_get_u64().ok()?);
            let lay = StoredFor::Time(ttl.saturating_sub(left));
            StoredValue::from_bytes(bytes, key, lay, now).map(|value| Opened::Value(value, purges))
        }
        VARIES => {
            let own = codec::take_text(&mut bytes)?;
            let names = codec::take_names(&mut bytes)?;
            (own == key && bytes.is_empty()).then_some(Opened::Varies(names))
        }
        _ => None,
    }
}
