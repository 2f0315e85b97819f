//! What operators do where usage is shared: report over all processes, set what is left, forget.

use super::{
    directory::PlanState,
    lending::{Lending, period_of},
    plans::{UsagePlans, not_attached, subject_of_key},
    report::UsageReport,
    shard::Change,
    store::{BucketAsk, Counter, LeaseAsk, RemainingAsk, ThrottleAsk, Tokens, UsageAsk},
};
use crate::{
    error::ConfigError,
    store::{StoreCounts, StoreError},
};
use std::{fmt, future::Future, time::Duration};
use tokio::sync::oneshot;

/// Why shared usage could not be read or set.
#[derive(Debug)]
#[non_exhaustive]
pub enum SharedUsageError {
    /// What was asked for does not exist, or cannot be asked for.
    Config(ConfigError),
    /// The store did not answer.
    Store(StoreError),
}

impl fmt::Display for SharedUsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SharedUsageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(error) => error.source(),
            Self::Store(error) => error.source(),
        }
    }
}

/// What is to be said of a key before something is asked about it.
enum Statement {
    None,
    After(oneshot::Receiver<()>),
    Ask(u32, LeaseAsk),
}

/// Asks that are waited for before this process's own statement.
const TRIES: usize = 4;

impl From<ConfigError> for SharedUsageError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<StoreError> for SharedUsageError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl UsagePlans {
    /// How the store of shared usage did, since the handle was built. `None`: there is no store.
    pub fn store_counts(&self) -> Option<StoreCounts> {
        self.lending().map(|lending| lending.guard.counts())
    }

    /// Of how many processes this one takes itself to be one, if the store fails
    /// ([`FailurePolicy::Degrade`](crate::store::FailurePolicy)). `None`: there is no store.
    pub fn sharing_processes(&self) -> Option<u64> {
        self.lending().map(|lending| lending.sharers(0))
    }

    /// What a key used in all processes, as [`usage`](Self::usage) says it of this one. Of what processes have in hand
    /// it is not known whether it is used: [`UsageReport::unknown`] says how much that is; it counts as left. Without a
    /// store this is [`usage`](Self::usage).
    ///
    /// # Errors
    ///
    /// As [`usage`](Self::usage); the store did not answer.
    pub async fn shared_usage(
        &self,
        plan_id: &str,
        key_id: &str,
        start_date: &str,
        end_date: &str,
    ) -> Result<UsageReport, SharedUsageError> {
        let Some(lending) = self.lending() else {
            return Ok(self.usage(plan_id, Some(key_id), start_date, end_date)?);
        };
        let report = UsageReport::new(plan_id, start_date, end_date)?;
        self.state(lending, plan_id, key_id, false, lending.guard.deadline()).await?;
        let ask = {
            let directory = self.directory();
            let plan = directory.require(plan_id)?;
            self.usage_ask(plan, subject_of_key(key_id), report.range())
        };
        let stored = lending.guard.call(lending.guard.deadline(), || lending.store.usage(ask)).await;
        let stored = stored.map_err(|failure| SharedUsageError::Store(failure.into()))?;
        let directory = self.directory();
        let plan = directory.require(plan_id)?;
        Ok(report.with_stored(plan, key_id, &stored, self.now().unix_seconds()))
    }

    pub(super) fn usage_ask(
        &self,
        plan: &PlanState,
        subject: u128,
        (first_day, last_day): (i32, i32),
    ) -> UsageAsk {
        let span = plan.span(self.now().unix_seconds());
        UsageAsk {
            counter: Counter::of(&plan.plan, subject),
            period: period_of(&span),
            limit: plan.quota().map(super::quota::Quota::limit),
            // The days of the present period say what was left at the end of each.
            first_day: first_day.min(span.window_day),
            last_day: last_day.max(span.day),
            now: self.clock().virtual_unix_micros(),
        }
    }

    /// Lets the store know what this process has used of a key's quota, and hands back what it has in hand if `all`.
    pub(super) async fn state(
        &self,
        lending: &Lending,
        plan_id: &str,
        key_id: &str,
        all: bool,
        within: Duration,
    ) -> Result<(), SharedUsageError> {
        // An ask that is under way does not know all; the one after it does.
        for _ in 0..TRIES {
            match self.statement(lending, plan_id, key_id, all)? {
                Statement::None => return Ok(()),
                Statement::After(done) => drop(done.await),
                Statement::Ask(slot, ask) => {
                    self.fly(lending, slot, ask, within).await;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn statement(
        &self,
        lending: &Lending,
        plan_id: &str,
        key_id: &str,
        all: bool,
    ) -> Result<Statement, ConfigError> {
        let directory = self.directory();
        let plan = directory.require(plan_id)?;
        let (subject, now) = (subject_of_key(key_id), self.now());
        let mut shard = self.table().lock(subject);
        shard.find(subject, |slot| slot == plan.slot).ok_or_else(|| not_attached(key_id))?;
        let holding = shard.leases.find(subject, plan.slot).filter(|holding| !holding.is_settled());
        let Some(holding) = holding else { return Ok(Statement::None) };
        if holding.is_asking() {
            return Ok(Statement::After(holding.follow()));
        }
        let manner = lending.manner(plan, subject, now);
        let ask = if all { holding.hand_back(manner) } else { holding.report_only(manner) };
        Ok(Statement::Ask(plan.slot, ask))
    }

    /// Sets what is left of a key's quota in the present period and in all processes (AWS: `UpdateUsage`). What other
    /// processes have used and not yet reported (at most what they have in hand) counts against what is left. Without a
    /// store this is [`update_remaining`](Self::update_remaining).
    ///
    /// # Errors
    ///
    /// As [`update_remaining`](Self::update_remaining); the store did not answer.
    pub async fn update_shared_remaining(
        &self,
        plan_id: &str,
        key_id: &str,
        remaining: u64,
    ) -> Result<(), SharedUsageError> {
        let Some(lending) = self.lending() else {
            return Ok(self.update_remaining(plan_id, key_id, remaining)?);
        };
        self.state(lending, plan_id, key_id, true, lending.guard.deadline()).await?;
        let ask = {
            let directory = self.directory();
            let plan = directory.require(plan_id)?;
            let limit =
                plan.quota().ok_or_else(|| ConfigError::new("usage plan", plan_id, "has no quota"))?.limit();
            RemainingAsk {
                counter: Counter::of(&plan.plan, subject_of_key(key_id)),
                period: period_of(&plan.span(self.now().unix_seconds())),
                limit,
                remaining,
                now: self.clock().virtual_unix_micros(),
            }
        };
        let set = lending.guard.call(lending.guard.deadline(), || lending.store.set_remaining(ask)).await;
        set.map_err(|failure| SharedUsageError::Store(failure.into()))?;
        self.changed_here(plan_id, subject_of_key(key_id));
        Ok(())
    }

    fn changed_here(&self, plan_id: &str, subject: u128) {
        let directory = self.directory();
        let Some(plan) = directory.named(plan_id) else { return };
        if let Some(holding) = self.table().lock(subject).leases.find(subject, plan.slot) {
            holding.changed();
        }
    }

    /// Does something with the store that nobody waits for.
    fn in_background<F>(&self, work: impl FnOnce(Self) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if let Some(runtime) = self.lending().and_then(Lending::runtime) {
            runtime.spawn(work(self.clone()));
        }
    }

    /// The key has left the plan.
    pub(super) fn forget(&self, plan_id: &str, subject: u128) {
        let counter = Counter { plan: plan_id.into(), subject };
        self.in_background(|plans| async move {
            if let Some(lending) = plans.lending() {
                let _forgotten =
                    lending.guard.call(lending.guard.deadline(), || lending.store.forget(counter)).await;
            }
        });
    }

    /// The plan is gone, and its keys with it. A look through a whole store takes longer than a request would wait.
    pub(super) fn forget_all_of(&self, plan_id: &str) {
        let plan = plan_id.into();
        self.in_background(|plans| async move {
            if let Some(lending) = plans.lending() {
                let _forgotten = lending.store.forget_plan(plan).await;
            }
        });
    }

    /// A cost became known after the tokens were taken.
    pub(super) fn change_tokens(&self, buckets: &[BucketAsk], change: Change) {
        let tokens = match change {
            Change::GiveBack(amount) => Tokens::GiveBack(amount),
            Change::TakeMore(amount) => Tokens::Overdraw(amount),
        };
        let ask = ThrottleAsk { buckets: buckets.to_vec(), tokens, now: self.clock().virtual_unix_micros() };
        self.in_background(|plans| async move {
            if let Some(lending) = plans.lending() {
                let _changed =
                    lending.guard.call(lending.guard.deadline(), || lending.store.throttle(ask)).await;
            }
        });
    }
}
