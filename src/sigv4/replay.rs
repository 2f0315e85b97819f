//! Signatures that were used already.

use super::error::SignatureError;
use crate::response::{Cause, GatewayError, ResponseType};
use std::{
    collections::BTreeSet,
    fmt,
    sync::{Mutex, PoisonError},
};

const SHARDS: usize = 16;

/// Remembers each signature until nobody would accept it any more, up to a number of them.
pub(super) struct ReplayWindow {
    shards: [Mutex<BTreeSet<Used>>; SHARDS],
    /// Of one shard.
    capacity: usize,
}

/// The second after which the signature has expired, and the signature. It covers its own time, so one signature has
/// one entry.
type Used = (i64, [u8; 32]);

impl ReplayWindow {
    pub(super) fn new(capacity: usize) -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        Self { shards, capacity: capacity.div_ceil(SHARDS).max(1) }
    }

    /// Notes a signature that was just verified. A second use is refused; and so is a first one that there is no room
    /// to remember, because it could be repeated.
    pub(super) fn admit(&self, signature: &[u8; 32], until: i64, now: i64) -> Result<(), GatewayError> {
        let shard = &self.shards[usize::from(signature[0]) % SHARDS];
        let mut used = shard.lock().unwrap_or_else(PoisonError::into_inner);
        while used.first().is_some_and(|first| first.0 < now) {
            used.pop_first();
        }
        if used.contains(&(until, *signature)) {
            return Err(SignatureError::replayed().into());
        }
        if used.len() >= self.capacity {
            return Err(GatewayError::new(ResponseType::Throttled, Cause::ReplayWindowFull));
        }
        used.insert((until, *signature));
        Ok(())
    }
}

impl fmt::Debug for ReplayWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayWindow").field("capacity", &(self.capacity * SHARDS)).finish_non_exhaustive()
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
    fn what_cannot_be_remembered_is_refused() {
        let window = ReplayWindow::new(16);
        assert!(window.admit(&[1; 32], 100, 0).is_ok());
        let mut other = [1; 32];
        other[31] = 2;
        let full = window.admit(&other, 100, 0).map_err(|error| error.cause());
        assert_eq!(full, Err(Cause::ReplayWindowFull));
        assert!(window.admit(&other, 200, 101).is_ok(), "room again");
    }
}
