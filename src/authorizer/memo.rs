//! Calls that a cached policy was found to allow: what need not be worked out again.
//!
//! What is kept stays the policy, and the memo is a part of it: a new answer comes with an empty one. Only allowed calls
//! are noted, and only of policies that look at nothing but the ARN
//! ([`Policy::decides_by_resource_alone`](crate::policy::Policy)), so a refusal is always worked out, with its reasons.

use super::key::CallKey;
use crate::policy::ExecuteApi;
use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// As many calls of one identity as are remembered; a power of two.
const PLACES: usize = 8;

/// Allowed calls of one API by their keys. The newest call of a place takes it.
///
/// The halves of a key are written one after the other. Two writers of one place may leave halves of both: that is the
/// key of no call, as any 128 bits are.
#[derive(Debug, Default)]
pub(super) struct AllowedCalls {
    /// The API of the first call: an authorizer may serve several, whose ARNs differ.
    api: OnceLock<ExecuteApi>,
    places: [[AtomicU64; 2]; PLACES],
}

impl AllowedCalls {
    pub(super) fn holds(&self, api: &ExecuteApi, key: CallKey) -> bool {
        let [low, high] = key.halves();
        let place = self.place(low);
        let is_there = place[0].load(Relaxed) == low && place[1].load(Relaxed) == high;
        is_there && self.api.get().is_some_and(|own| own == api)
    }

    pub(super) fn note(&self, api: &ExecuteApi, key: CallKey) {
        if self.api.get_or_init(|| api.clone()) != api {
            return;
        }
        let [low, high] = key.halves();
        let place = self.place(low);
        place[0].store(low, Relaxed);
        place[1].store(high, Relaxed);
    }

    fn place(&self, low: u64) -> &[AtomicU64; 2] {
        &self.places[low as usize % PLACES]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_known_once_noted_and_of_its_api_only() {
        let (one, other) =
            (ExecuteApi::default(), ExecuteApi::new("eu-west-1", "111122223333", "a").unwrap());
        let memo = AllowedCalls::default();
        let key = |low: u64, high: u64| CallKey::from_halves([low, high]);
        assert!(!memo.holds(&one, key(1, 2)));
        memo.note(&one, key(1, 2));
        assert!(memo.holds(&one, key(1, 2)) && !memo.holds(&other, key(1, 2)));
        for unknown in [key(1, 3), key(9, 2), key(2, 2), key(2, 1)] {
            assert!(!memo.holds(&one, unknown), "{unknown:?}");
        }
        memo.note(&other, key(3, 3));
        assert!(!memo.holds(&one, key(3, 3)) && !memo.holds(&other, key(3, 3)));
        memo.note(&one, key(9, 9));
        assert!(memo.holds(&one, key(9, 9)) && !memo.holds(&one, key(1, 2)), "the place was taken");
    }
}
