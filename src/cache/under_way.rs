//! How much of bodies that are on their way is kept, of all calls together: a body that may be stored is kept from its
//! start, however slowly it is read, and how many there are is for clients to say.

use super::store::StoreUsage;
use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Bytes of all calls, and how many there may be.
#[derive(Debug)]
pub(super) struct UnderWay {
    bytes: AtomicU64,
    most: u64,
}

/// This part of the store's capacity, and as much as two of the largest answers in any case.
const PART: u64 = 4;

impl UnderWay {
    pub(super) fn beside(store: StoreUsage) -> Self {
        let most = (store.capacity / PART).max(store.largest.saturating_mul(2));
        Self { bytes: AtomicU64::new(0), most }
    }
}

/// What one call keeps.
#[derive(Debug)]
pub(super) struct Kept {
    of: Arc<UnderWay>,
    bytes: u64,
}

impl Kept {
    pub(super) fn nothing_of(all: &Arc<UnderWay>) -> Self {
        Self { of: Arc::clone(all), bytes: 0 }
    }

    pub(super) fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.of.bytes.fetch_add(bytes, Relaxed);
    }

    /// Whether it is not too much, with what all the others keep.
    pub(super) fn fits(&self) -> bool {
        self.of.bytes.load(Relaxed) <= self.of.most
    }

    /// Keeps nothing any more, but what somebody has yet to read.
    pub(super) fn release(&mut self) {
        self.of.bytes.fetch_sub(mem::take(&mut self.bytes), Relaxed);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.release();
    }
}
