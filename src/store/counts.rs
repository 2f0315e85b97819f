//! How often a store failed, and what became of the requests.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What was counted since the store was configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreCounts {
    /// Calls that were made.
    pub calls: u64,
    /// Calls that the store answered with an error.
    pub errors: u64,
    /// Calls without an answer at the deadline.
    pub timeouts: u64,
    /// Calls that were not made, because the store had failed too often.
    pub skipped: u64,
    /// How often the store was left alone.
    pub opened: u64,
    /// Requests that waited for the store, whatever it said.
    pub waited: u64,
    /// Requests admitted under [`FailurePolicy::Allow`](super::FailurePolicy::Allow).
    pub allowed: u64,
    /// What those cost: the excess over the limits is at most this.
    pub allowed_units: u64,
    /// Requests refused under [`FailurePolicy::Deny`](super::FailurePolicy::Deny).
    pub denied: u64,
    /// Requests admitted under [`FailurePolicy::Degrade`](super::FailurePolicy::Degrade).
    pub degraded: u64,
    /// Requests refused under it.
    pub degraded_refused: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counts([AtomicU64; 11]);

/// What is counted, in the order of [`StoreCounts`].
#[derive(Clone, Copy, Debug)]
pub(super) enum Count {
    Calls,
    Errors,
    Timeouts,
    Skipped,
    Opened,
    Waited,
    Allowed,
    AllowedUnits,
    Denied,
    Degraded,
    DegradedRefused,
}

impl Counts {
    pub(super) fn add(&self, count: Count, by: u64) {
        self.0[count as usize].fetch_add(by, Relaxed);
    }

    pub(super) fn snapshot(&self) -> StoreCounts {
        let [
            calls,
            errors,
            timeouts,
            skipped,
            opened,
            waited,
            allowed,
            allowed_units,
            denied,
            degraded,
            degraded_refused,
        ] = self.0.each_ref().map(|count| count.load(Relaxed));
        StoreCounts {
            calls,
            errors,
            timeouts,
            skipped,
            opened,
            waited,
            allowed,
            allowed_units,
            denied,
            degraded,
            degraded_refused,
        }
    }
}
