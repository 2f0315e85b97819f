//! Signatures that were used already.

use super::error::SignatureError;
use crate::response::{Cause, GatewayError, ResponseType};
use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

const SHARDS: usize = 16;

/// Remembers each signature until nobody would accept it any more, up to a number of them.
pub(super) struct ReplayWindow {
    shards: [Mutex<BTreeSet<Used>>; SHARDS],
    /// Of all shards together.
    remembered: AtomicUsize,
    capacity: usize,
}

/// The second after which the signature has expired, and the signature. It covers its own time, so one signature has
/// one entry.
type Used = (i64, [u8; 32]);

impl ReplayWindow {
    pub(super) fn new(capacity: usize) -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        Self { shards, remembered: AtomicUsize::new(0), capacity: capacity.max(1) }
    }

    /// Notes a signature that was just verified. A second use is refused; and so is a first one that there is no room
    /// to remember, because it could be repeated.
    pub(super) fn admit(&self, signature: &[u8; 32], until: i64, now: i64) -> Result<(), GatewayError> {
        let full = Err(GatewayError::new(ResponseType::Throttled, Cause::ReplayWindowFull));
        if self.note(signature, until, now)? {
            return Ok(());
        }
        // Others may hold room for what has expired.
        for shard in &self.shards {
            self.forget(&mut lock(shard), now);
        }
        if self.note(signature, until, now)? { Ok(()) } else { full }
    }

    /// Whether there was room.
    fn note(&self, signature: &[u8; 32], until: i64, now: i64) -> Result<bool, GatewayError> {
        let mut used = lock(&self.shards[usize::from(signature[0]) % SHARDS]);
        self.forget(&mut used, now);
        if used.contains(&(until, *signature)) {
            return Err(SignatureError::replayed().into());
        }
        let one_more = |count: usize| (count < self.capacity).then_some(count + 1);
        let has_room = self.remembered.fetch_update(Relaxed, Relaxed, one_more).is_ok();
        if has_room {
            used.insert((until, *signature));
        }
        Ok(has_room)
    }

    fn forget(&self, used: &mut BTreeSet<Used>, now: i64) {
        while used.first().is_some_and(|first| first.0 < now) {
            used.pop_first();
            self.remembered.fetch_sub(1, Relaxed);
        }
    }
}

fn lock(shard: &Mutex<BTreeSet<Used>>) -> MutexGuard<'_, BTreeSet<Used>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for ReplayWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayWindow").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_counts_once_until_it_has_expired() {
        let window = ReplayWindow::new(1000);
        let cause = |error: GatewayError| error.cause();
        assert!(window.admit(&[1; 32], 100, 0).is_ok());
        assert!(window.admit(&[2; 32], 100, 0).is_ok());
        assert_eq!(window.admit(&[1; 32], 100, 100).map_err(cause), Err(Cause::SignatureReplayed));
        assert!(window.admit(&[1; 32], 100, 101).is_ok(), "forgotten: the verifier refuses it by its time");
    }

    #[test]
    fn exactly_the_capacity_is_remembered_wherever_signatures_fall() {
        for (capacity, spread) in [(1, 1), (16, 1), (16, 7), (100, 13), (1000, 255)] {
            let window = ReplayWindow::new(capacity);
            let signature = |number: usize| {
                let mut signature = [0; 32];
                signature[0] = (number % spread) as u8;
                signature[1..9].copy_from_slice(&number.to_be_bytes());
                signature
            };
            for number in 0..capacity {
                assert!(window.admit(&signature(number), 100, 0).is_ok(), "{number} of {capacity}");
            }
            let full = window.admit(&signature(capacity), 100, 0).map_err(|error| error.cause());
            assert_eq!(full, Err(Cause::ReplayWindowFull), "{capacity}");
            let seen = window.admit(&signature(0), 100, 0).map_err(|error| error.cause());
            assert_eq!(seen, Err(Cause::SignatureReplayed), "{capacity}");
            // What has expired makes room, whichever shard holds it.
            for number in 0..capacity {
                assert!(
                    window.admit(&signature(capacity + number), 200, 101).is_ok(),
                    "{number} of {capacity}"
                );
            }
        }
    }
}
