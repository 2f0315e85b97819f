//! How a store is asked, and what happens when it fails.

use std::time::Duration;

/// What happens to a request whose store failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailurePolicy {
    /// It is admitted, and counted.
    Allow,
    /// It is refused with 503.
    Deny,
    /// The process decides alone, on its own part of each limit.
    #[default]
    Degrade,
}

/// How a store is asked; see the [module docs](super).
#[derive(Clone, Debug)]
pub struct StoreOptions {
    failure: FailurePolicy,
    pub(crate) deadline: Duration,
    pub(super) failures: u32,
    pub(super) shortest_pause: Duration,
    pub(super) longest_pause: Duration,
    processes: u32,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            failure: FailurePolicy::default(),
            deadline: Duration::from_millis(20),
            failures: 5,
            shortest_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(5),
            processes: 1,
        }
    }
}

impl StoreOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// What happens to requests when the store fails. Default: [`FailurePolicy::Degrade`].
    #[must_use]
    pub fn failure(mut self, policy: FailurePolicy) -> Self {
        self.failure = policy;
        self
    }

    /// How long a request waits for the store, in all. Default: 20 ms.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// After how many failures in a row the store is left alone. Default: 5; at least 1.
    #[must_use]
    pub fn failures(mut self, failures: u32) -> Self {
        self.failures = failures.max(1);
        self
    }

    /// The first and the longest pause before a store that was left alone is tried again. Each is twice the one before,
    /// and up to half of it is left out at random, so that processes do not come back together. Default: 100 ms, 5 s.
    #[must_use]
    pub fn pause(mut self, shortest: Duration, longest: Duration) -> Self {
        (self.shortest_pause, self.longest_pause) = (shortest, longest.max(shortest));
        self
    }

    /// How many processes share the limits, at least, for [`FailurePolicy::Degrade`]. Default: 1. If the store knew of
    /// more when it last answered, those count; before its first answer nobody knows of any, and this decides. So say how
    /// many there usually are.
    #[must_use]
    pub fn processes(mut self, processes: u32) -> Self {
        self.processes = processes.max(1);
        self
    }

    /// What happens to requests when the store fails.
    pub fn failure_policy(&self) -> FailurePolicy {
        self.failure
    }

    /// How many processes share the limits, when the store has last counted `seen`.
    pub(crate) fn sharers(&self, seen: u64) -> u64 {
        seen.max(self.processes.into())
    }
}
