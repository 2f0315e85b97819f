//! What the cache did for this request: a slot without an allocation.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// The words of the cache layer, and the age of a stored answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CacheNote {
    pub(crate) status: u8,
    pub(crate) reason: Option<u8>,
    pub(crate) age: Option<Duration>,
}

/// A note in one word: a flag, the status, the reason and the age in seconds. The last writer wins, since whether an
/// answer is stored is known only when its body has ended.
#[derive(Debug, Default)]
pub(super) struct CacheSlot(AtomicU64);

const WRITTEN: u64 = 1 << 63;
const NONE: u64 = 0xff;

impl CacheSlot {
    pub(super) fn write(&self, note: CacheNote) {
        let age = note.age.map_or(0, |age| u32::try_from(age.as_secs()).unwrap_or(u32::MAX - 1) + 1);
        let reason = note.reason.map_or(NONE, u64::from);
        self.0.store(WRITTEN | reason << 40 | u64::from(note.status) << 32 | u64::from(age), Relaxed);
    }

    pub(super) fn read(&self) -> Option<CacheNote> {
        let word = self.0.load(Relaxed);
        let age = (word as u32).checked_sub(1);
        let reason = word >> 40 & 0xff;
        (word & WRITTEN != 0).then_some(CacheNote {
            status: (word >> 32) as u8,
            reason: (reason != NONE).then_some(reason as u8),
            age: age.map(|seconds| Duration::from_secs(seconds.into())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let slot = CacheSlot::default();
        assert_eq!(slot.read(), None);
        for (reason, age) in [(None, None), (Some(0), Some(0)), (Some(254), Some(u64::from(u32::MAX - 2)))] {
            let note = CacheNote { status: 5, reason, age: age.map(Duration::from_secs) };
            slot.write(note);
            assert_eq!(slot.read(), Some(note));
        }
        slot.write(CacheNote { status: 0, reason: None, age: Some(Duration::MAX) });
        assert_eq!(slot.read().unwrap().age, Some(Duration::from_secs(u64::from(u32::MAX - 1))));
    }
}
