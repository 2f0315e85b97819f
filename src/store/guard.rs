//! Around every call of a store: deadline, breaker, counts.

use super::{
    breaker::{Breaker, Pass},
    counts::{Count, Counts, StoreCounts},
    error::{StoreError, StoreFuture},
    options::{FailurePolicy, StoreOptions},
};
use crate::clock::Clock;
use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

/// Guards one store.
#[derive(Debug)]
pub(crate) struct StoreGuard {
    /// For logs.
    #[cfg_attr(not(feature = "tracing"), allow(dead_code, reason = "nobody logs"))]
    name: &'static str,
    options: StoreOptions,
    clock: Clock,
    breaker: Mutex<Breaker>,
    counts: Counts,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum StoreFailure {
    Failed(StoreError),
    Late,
    /// Nor in less than half of the deadline, which was all that was left: that proves nothing.
    Hurried,
    /// It was not asked.
    LeftAlone,
}

impl fmt::Display for StoreFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Late | Self::Hurried => f.write_str("the store did not answer in time"),
            Self::LeftAlone => f.write_str("the store is left alone after failures"),
        }
    }
}

impl From<StoreFailure> for StoreError {
    fn from(failure: StoreFailure) -> Self {
        match failure {
            StoreFailure::Failed(error) => error,
            StoreFailure::Late | StoreFailure::Hurried => Self::new("the store did not answer in time"),
            StoreFailure::LeftAlone => Self::new("the store is left alone after failures"),
        }
    }
}

/// What became of a request whose store failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decided {
    Admitted,
    Refused,
}

impl StoreGuard {
    pub(crate) fn new(name: &'static str, options: StoreOptions, clock: Clock) -> Self {
        Self { name, options, clock, breaker: Mutex::default(), counts: Counts::default() }
    }

    pub(crate) fn options(&self) -> &StoreOptions {
        &self.options
    }

    pub(crate) fn deadline(&self) -> Duration {
        self.options.deadline
    }

    pub(crate) fn counts(&self) -> StoreCounts {
        self.counts.snapshot()
    }

    /// Asks the store, for at most `within` and never longer than the deadline. Whoever stops waiting has not failed.
    pub(crate) async fn call<T>(
        &self,
        within: Duration,
        ask: impl FnOnce() -> StoreFuture<T>,
    ) -> Result<T, StoreFailure> {
        let mut ticket = self.ticket()?;
        let within = within.min(self.options.deadline);
        let answer = self.race(within, ask()).await;
        match &answer {
            Ok(_) => ticket.succeeded(),
            Err(StoreFailure::Late) if within < self.options.deadline / 2 => {
                return Err(StoreFailure::Hurried);
            }
            Err(failure) => ticket.failed(failure),
        }
        answer
    }

    fn ticket(&self) -> Result<Ticket<'_>, StoreFailure> {
        let pass = self.breaker().pass(self.now());
        if pass == Pass::No {
            self.counts.add(Count::Skipped, 1);
            return Err(StoreFailure::LeftAlone);
        }
        self.counts.add(Count::Calls, 1);
        Ok(Ticket { guard: self, pass, settled: false })
    }

    /// The timer is made when the store does not answer at once.
    async fn race<T>(&self, within: Duration, mut asked: StoreFuture<T>) -> Result<T, StoreFailure> {
        let mut timer = None;
        poll_fn(|cx| {
            if let Poll::Ready(answer) = asked.as_mut().poll(cx) {
                return Poll::Ready(answer.map_err(StoreFailure::Failed));
            }
            let timer = timer.get_or_insert_with(|| self.clock.sleep(within));
            Pin::new(timer).poll(cx).map(|()| Err(StoreFailure::Late))
        })
        .await
    }

    /// A request waits for this store.
    pub(crate) fn count_wait(&self) {
        self.counts.add(Count::Waited, 1);
    }

    /// A request of so many units was decided without the store.
    pub(crate) fn count(&self, policy: FailurePolicy, decided: Decided, units: u64) {
        let count = match (policy, decided) {
            (FailurePolicy::Allow, _) => Count::Allowed,
            (FailurePolicy::Deny, _) => Count::Denied,
            (FailurePolicy::Degrade, Decided::Admitted) => Count::Degraded,
            (FailurePolicy::Degrade, Decided::Refused) => Count::DegradedRefused,
        };
        self.counts.add(count, 1);
        if policy == FailurePolicy::Allow {
            self.counts.add(Count::AllowedUnits, units);
        }
        self.tell(policy, decided);
    }

    #[cfg(feature = "tracing")]
    fn tell(&self, policy: FailurePolicy, decided: Decided) {
        tracing::warn!(target: "tower_gateway::store", store = self.name, ?policy, ?decided, "decided without the store");
    }

    #[cfg(not(feature = "tracing"))]
    fn tell(&self, _: FailurePolicy, _: Decided) {}

    #[cfg(feature = "tracing")]
    fn tell_failure(&self, failure: &StoreFailure, opened: bool) {
        tracing::warn!(target: "tower_gateway::store", store = self.name, %failure, opened, "the store failed");
    }

    #[cfg(not(feature = "tracing"))]
    fn tell_failure(&self, _: &StoreFailure, _: bool) {}

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        self.clock.now().monotonic_nanos()
    }
}

/// A call under way. Dropped without an answer, it lets another one try.
struct Ticket<'a> {
    guard: &'a StoreGuard,
    pass: Pass,
    settled: bool,
}

impl Ticket<'_> {
    fn succeeded(&mut self) {
        self.settled = true;
        self.guard.breaker().succeeded();
    }

    fn failed(&mut self, failure: &StoreFailure) {
        self.settled = true;
        let count = if matches!(failure, StoreFailure::Late) { Count::Timeouts } else { Count::Errors };
        self.guard.counts.add(count, 1);
        let (guard, now) = (self.guard, self.guard.now());
        let opened = guard.breaker().failed(self.pass, &guard.options, now, fastrand::f64());
        if opened {
            guard.counts.add(Count::Opened, 1);
        }
        guard.tell_failure(failure, opened);
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if !self.settled && self.pass == Pass::Probe {
            self.guard.breaker().released();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use futures_util::FutureExt;
    use std::future::{pending, ready};

    const DAY: Duration = Duration::from_secs(86_400);

    fn guard() -> (ManualClock, StoreGuard) {
        let clock = ManualClock::at_unix_seconds(0);
        let guard = StoreGuard::new("test", StoreOptions::new().failures(2), clock.clock());
        (clock, guard)
    }

    fn dead() -> StoreFuture<()> {
        Box::pin(ready(Err(StoreError::new("dead"))))
    }

    fn alive() -> StoreFuture<()> {
        Box::pin(ready(Ok(())))
    }

    #[test]
    fn a_silent_store_costs_the_deadline_and_not_more() {
        let (clock, guard) = guard();
        let mut call = Box::pin(guard.call(DAY, || Box::pin(pending::<Result<(), _>>())));
        assert!(call.as_mut().now_or_never().is_none());
        clock.advance(Duration::from_millis(19));
        assert!(call.as_mut().now_or_never().is_none());
        clock.advance(Duration::from_millis(1));
        assert!(matches!(call.as_mut().now_or_never(), Some(Err(StoreFailure::Late))));
        assert_eq!((guard.counts().calls, guard.counts().timeouts), (1, 1));
    }

    #[test]
    fn a_dead_store_is_left_alone_and_tried_by_one() {
        let (clock, guard) = guard();
        for _ in 0..2 {
            assert!(matches!(guard.call(DAY, dead).now_or_never(), Some(Err(StoreFailure::Failed(_)))));
        }
        assert!(matches!(guard.call(DAY, alive).now_or_never(), Some(Err(StoreFailure::LeftAlone))));
        clock.advance(Duration::from_millis(100));
        let mut probe = Box::pin(guard.call(DAY, || Box::pin(pending::<Result<(), _>>())));
        assert!(probe.as_mut().now_or_never().is_none());
        assert!(matches!(guard.call(DAY, alive).now_or_never(), Some(Err(StoreFailure::LeftAlone))));
        drop(probe);
        assert!(matches!(guard.call(DAY, alive).now_or_never(), Some(Ok(()))), "the probe was given up");
        let counts = guard.counts();
        assert_eq!((counts.errors, counts.skipped, counts.opened), (2, 2, 1));
    }

    #[test]
    fn what_was_hardly_given_time_is_no_failure() {
        let (clock, guard) = guard();
        for _ in 0..9 {
            let within = Duration::from_millis(2);
            let mut call = Box::pin(guard.call(within, || Box::pin(pending::<Result<(), _>>())));
            assert!(call.as_mut().now_or_never().is_none());
            clock.advance(within);
            assert!(matches!(call.as_mut().now_or_never(), Some(Err(StoreFailure::Hurried))));
        }
        assert_eq!(guard.counts().opened, 0);
    }
}
