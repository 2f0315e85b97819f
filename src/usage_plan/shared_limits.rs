//! What a key has left over all processes: asked of the store, and where it does not answer, what this process knows.

use super::{
    directory::PlanState,
    lending::Lending,
    limits::{LimitScope, PlanLimits, QuotaState, ThrottleState},
    plans::{UsagePlans, subject_of_key},
    shared::SharedUsageError,
    store::{BucketAsk, BucketId, BucketLevel, Counter, StoredUsage, ThrottleAsk, Tokens},
};
use crate::{store::StoreError, throttle::bucket::Bucket};
use std::time::Duration;

/// The limits of a key, as far as the store of shared usage was asked and answered: each says its [`LimitScope`].
#[derive(Debug)]
#[non_exhaustive]
pub struct SharedLimits {
    /// Of the plans that the key is in, in the order in which they were put.
    pub plans: Vec<PlanLimits>,
    /// The throttle that all requests share.
    pub account: Option<ThrottleState>,
    /// Why the store's figures, or some of them, are not among these.
    pub failure: Option<StoreError>,
}

/// The limits of one plan, and how the store is asked about its buckets.
struct Asked {
    limits: PlanLimits,
    buckets: Vec<BucketAsk>,
}

impl UsagePlans {
    /// What [`limits`](Self::limits) and [`account_limit`](Self::account_limit) say, over all processes: of quotas, and
    /// of throttles where the store shares them. The store has its deadline for all of it; what it did not answer by
    /// then says so. Looking charges nothing. Without a store these are the figures of this process.
    pub async fn shared_limits(&self, key_id: &str) -> SharedLimits {
        self.limits_everywhere(key_id, Vec::new()).await.0
    }

    /// The same, and what is left in other buckets, in their order; `None` where the store does not know or did not say.
    pub(crate) async fn limits_everywhere(
        &self,
        key_id: &str,
        others: Vec<BucketAsk>,
    ) -> (SharedLimits, Vec<Option<u32>>) {
        let unknown = vec![None; others.len()];
        let mut account = self.account_limit();
        let Some(lending) = self.lending() else {
            return (SharedLimits { plans: self.limits(key_id), account, failure: None }, unknown);
        };
        let mut asked = self.limits_and_buckets(key_id);
        let told = self.ask_all(lending, key_id, &mut asked, &mut account, others).await;
        let plans = asked.into_iter().map(|asked| asked.limits).collect();
        match told {
            Ok(left) => (SharedLimits { plans, account, failure: None }, left),
            Err(failure) => (SharedLimits { plans, account, failure: Some(failure) }, unknown),
        }
    }

    /// Fills in the store's figures, up to the first that it does not give.
    async fn ask_all(
        &self,
        lending: &Lending,
        key_id: &str,
        asked: &mut [Asked],
        account: &mut Option<ThrottleState>,
        others: Vec<BucketAsk>,
    ) -> Result<Vec<Option<u32>>, StoreError> {
        let started = self.now();
        let rest = || lending.guard.deadline().saturating_sub(self.now().since(started));
        for own in asked.iter_mut() {
            let PlanLimits { plan_id, quota, .. } = &mut own.limits;
            let Some(quota) = quota else { continue };
            match self.stored_quota(lending, plan_id, key_id, rest()).await {
                Ok(stored) => quota.share(&stored),
                // The key has left the plan meanwhile.
                Err(SharedUsageError::Config(_)) => {}
                Err(SharedUsageError::Store(failure)) => return Err(failure),
            }
        }
        let none_of = vec![None; others.len()];
        if !lending.shares_throttles {
            return Ok(none_of);
        }
        let directory = self.directory();
        let past_of_account =
            directory.account.as_ref().map(|account| account.past.clone()).unwrap_or_default();
        let of_all = |state: &ThrottleState| BucketAsk {
            id: BucketId::Account,
            throttle: state.throttle,
            past: past_of_account.clone(),
            shadow: state.shadow,
        };
        let buckets = asked.iter().flat_map(|own| own.buckets.clone());
        let buckets: Vec<_> = buckets.chain(others).chain(account.as_ref().map(of_all)).collect();
        let left = self.stored_tokens(lending, buckets, rest()).await?;
        Ok(share_tokens(asked, account, left, none_of.len()))
    }

    async fn stored_quota(
        &self,
        lending: &Lending,
        plan_id: &str,
        key_id: &str,
        within: Duration,
    ) -> Result<StoredUsage, SharedUsageError> {
        let started = self.now();
        self.state(lending, plan_id, key_id, false, within).await?;
        let rest = within.saturating_sub(self.now().since(started));
        let ask = {
            let directory = self.directory();
            let plan = directory.require(plan_id)?;
            let span = plan.span(self.now().unix_seconds());
            self.usage_ask(plan, subject_of_key(key_id), (span.window_day, span.day))
        };
        let stored = lending.guard.call(rest, || lending.store.usage(ask)).await;
        stored.map_err(|failure| SharedUsageError::Store(failure.into()))
    }

    /// Tokens left in each bucket: nothing is taken.
    async fn stored_tokens(
        &self,
        lending: &Lending,
        buckets: Vec<BucketAsk>,
        within: Duration,
    ) -> Result<Vec<u32>, StoreError> {
        if buckets.is_empty() {
            return Ok(Vec::new());
        }
        let (tokens, now) = (Tokens::Take(0), self.clock().virtual_unix_micros());
        let ask = ThrottleAsk { buckets: buckets.clone(), tokens, now };
        let levels = lending.guard.call(within, || lending.store.throttle(ask)).await?;
        if levels.len() != buckets.len() {
            return Err(StoreError::new("the store answered for other buckets than it was asked for"));
        }
        let left = |(bucket, level): (&BucketAsk, &BucketLevel)| {
            Bucket::with_deficit(level.deficit, 0).available(bucket.throttle, 0)
        };
        Ok(buckets.iter().zip(&levels).map(left).collect())
    }

    fn limits_and_buckets(&self, key_id: &str) -> Vec<Asked> {
        let subject = subject_of_key(key_id);
        let asked = |plan: &PlanState, limits| Asked { limits, buckets: buckets_of(plan, subject) };
        self.each_limit(key_id, asked)
    }
}

/// The general bucket, where there is one for all methods, and those of single methods.
fn buckets_of(plan: &PlanState, subject: u128) -> Vec<BucketAsk> {
    let (counter, shadow) = (Counter::of(&plan.plan, subject), plan.plan.throttle_is_shadow());
    let general = plan.plan.general_throttle().filter(|_| !plan.is_by_method());
    let past = plan.past_of(None);
    let general = general.map(|throttle| {
        let id = BucketId::Key(counter.clone());
        BucketAsk { id, throttle, past: past.clone(), shadow }
    });
    let methods = plan.method_throttles().map(|own| {
        let id = BucketId::Method(counter.clone(), own.id());
        BucketAsk { id, throttle: own.throttle(), past: plan.past_of(Some(own.id())).clone(), shadow }
    });
    general.into_iter().chain(methods).collect()
}

/// Hands out what was answered, in the order of the ask; what the other buckets have comes back.
fn share_tokens(
    asked: &mut [Asked],
    account: &mut Option<ThrottleState>,
    left: Vec<u32>,
    others: usize,
) -> Vec<Option<u32>> {
    let mut left = left.into_iter();
    for own in asked {
        let methods = own.buckets.iter().filter(|bucket| matches!(bucket.id, BucketId::Method(..))).count();
        let general = own.limits.throttle.iter_mut().filter(|_| own.buckets.len() > methods);
        let states = general.chain(own.limits.methods.iter_mut().map(|method| &mut method.state));
        states.zip(left.by_ref()).for_each(|(state, left)| state.share(left));
    }
    let others = left.by_ref().take(others).map(Some).collect();
    account.iter_mut().zip(left).for_each(|(state, left)| state.share(left));
    others
}

impl ThrottleState {
    fn share(&mut self, left: u32) {
        (self.tokens_left, self.scope) = (Some(left), LimitScope::Shared);
    }
}

impl QuotaState {
    fn share(&mut self, stored: &StoredUsage) {
        let used = stored.days.iter().map(|day| day.units).sum::<i64>();
        self.used = u64::try_from(used).unwrap_or(0);
        self.remaining = stored.remaining.unwrap_or(self.limit);
        (self.in_hand, self.scope) = (stored.unknown, LimitScope::Shared);
    }
}
