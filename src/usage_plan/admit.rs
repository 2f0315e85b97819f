//! The decision: all limits of a request are charged together or not at all (design D9). Pure.

use crate::{
    response::Cause,
    throttle::{
        Throttle,
        bucket::{Bucket, BucketVerdict},
    },
};

/// The limits that apply to one request; what is `None` does not exist.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    pub(super) plan: Option<PlanThrottle>,
    pub(super) stage: Option<SharedThrottle>,
    pub(super) account: Option<SharedThrottle>,
    pub(super) quota: Option<QuotaInForce>,
}

/// A throttle that all callers share.
#[derive(Clone, Copy, Debug)]
pub(super) struct SharedThrottle {
    pub(super) throttle: Throttle,
    pub(super) shadow: bool,
}

/// A plan's throttle, general or of the method.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlanThrottle {
    pub(super) throttle: Throttle,
    pub(super) cause: Cause,
    pub(super) shadow: bool,
}

/// A plan's quota at this moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct QuotaInForce {
    pub(super) limit: u64,
    pub(super) reset_seconds: u64,
    pub(super) shadow: bool,
}

/// What has been spent of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spent {
    pub(super) plan: Bucket,
    pub(super) stage: Bucket,
    pub(super) account: Bucket,
    /// Of the quota in this period: what was used, less what `UpdateUsage` added to the limit.
    pub(super) charged: i64,
}

/// Why not, and when again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) cause: Cause,
    /// Whole seconds, rounded up; `None`: waiting does not help.
    pub(super) retry_after: Option<u64>,
}

/// Limits in shadow mode that would have refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shadowed {
    pub(super) throttle: bool,
    pub(super) stage: bool,
    pub(super) account: bool,
    pub(super) quota: bool,
}

/// Which of the buckets that all callers share have given tokens: one in shadow mode that lacked them has not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TookShared {
    stage: bool,
    account: bool,
}

impl TookShared {
    pub(super) fn of(limits: &Limits, verdict: Result<Shadowed, Refusal>) -> Self {
        let Ok(shadowed) = verdict else { return Self::default() };
        Self {
            stage: limits.stage.is_some() && !shadowed.stage,
            account: limits.account.is_some() && !shadowed.account,
        }
    }

    /// Of what belongs to stage and account, that of those which have.
    pub(super) fn only<T>(self, stage: Option<T>, account: Option<T>) -> (Option<T>, Option<T>) {
        (stage.filter(|_| self.stage), account.filter(|_| self.account))
    }
}

/// Charges `cost` to every limit, or says which refuses and changes nothing.
///
/// The first refusal in this order is reported: plan (its method's throttle stands in for the general one), stage
/// method, account, quota.
pub(super) fn charge(limits: &Limits, spent: &mut Spent, now: u64, cost: u32) -> Result<Shadowed, Refusal> {
    let mut next = *spent;
    let mut shadowed = Shadowed::default();
    if let Some(limit) = limits.plan {
        let taken = take(&mut next.plan, limit.throttle, now, cost, limit.cause);
        shadowed.throttle = unless_shadow(taken, limit.shadow)?;
    }
    if let Some(limit) = limits.stage {
        let taken = take(&mut next.stage, limit.throttle, now, cost, Cause::StageMethodThrottle);
        shadowed.stage = unless_shadow(taken, limit.shadow)?;
    }
    if let Some(limit) = limits.account {
        let taken = take(&mut next.account, limit.throttle, now, cost, Cause::AccountThrottle);
        shadowed.account = unless_shadow(taken, limit.shadow)?;
    }
    if let Some(quota) = limits.quota
        && u64::from(cost) > remaining(quota.limit, spent)
    {
        if !quota.shadow {
            return Err(quota.refusal(cost));
        }
        shadowed.quota = true;
    }
    next.charged = next.charged.saturating_add(cost.into());
    *spent = next;
    Ok(shadowed)
}

/// Whether a limit in shadow mode would have refused; one that is not refuses.
fn unless_shadow(taken: Result<(), Refusal>, shadow: bool) -> Result<bool, Refusal> {
    match taken {
        Err(refusal) if !shadow => Err(refusal),
        taken => Ok(taken.is_err()),
    }
}

/// What is left of the quota.
pub(super) fn remaining(limit: u64, spent: &Spent) -> u64 {
    let left = i128::from(limit) - i128::from(spent.charged);
    left.clamp(0, i128::from(u64::MAX)) as u64
}

impl QuotaInForce {
    /// A request that costs more than a whole period has need not come again.
    pub(super) fn refusal(&self, cost: u32) -> Refusal {
        let retry_after = (u64::from(cost) <= self.limit).then_some(self.reset_seconds);
        Refusal { cause: Cause::Quota, retry_after }
    }
}

/// What costs nothing is never refused, not even by an overdrawn bucket.
fn take(bucket: &mut Bucket, throttle: Throttle, now: u64, cost: u32, cause: Cause) -> Result<(), Refusal> {
    if cost == 0 {
        return Ok(());
    }
    match bucket.check(throttle, now, cost) {
        BucketVerdict::Admit(next) => {
            *bucket = next;
            Ok(())
        }
        BucketVerdict::Refuse { retry_after_nanos } => {
            Err(Refusal { cause, retry_after: retry_after_nanos.map(whole_seconds) })
        }
    }
}

/// Seconds of `nanos`, rounded up.
pub(super) fn whole_seconds(nanos: u64) -> u64 {
    nanos.div_ceil(1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limits(plan: Option<(f64, u32)>, quota: Option<u64>) -> Limits {
        let throttle = |(rate, burst)| Throttle::new(rate, burst).unwrap();
        let cause = Cause::PlanThrottle;
        let plan = plan.map(|plan| PlanThrottle { throttle: throttle(plan), cause, shadow: false });
        let quota = quota.map(|limit| QuotaInForce { limit, reset_seconds: 60, shadow: false });
        Limits { plan, quota, ..Limits::default() }
    }

    fn shared(throttle: Throttle) -> SharedThrottle {
        SharedThrottle { throttle, shadow: false }
    }

    fn cause(limits: &Limits, spent: &mut Spent, cost: u32) -> Option<Cause> {
        charge(limits, spent, 0, cost).err().map(|refusal| refusal.cause)
    }

    #[test]
    fn a_refusal_by_one_limit_leaves_the_others_unchanged() {
        let by_rate = limits(Some((1.0, 1)), Some(10));
        let mut spent = Spent::default();
        assert_eq!(cause(&by_rate, &mut spent, 1), None);
        let before = spent;
        assert_eq!(cause(&by_rate, &mut spent, 1), Some(Cause::PlanThrottle));
        assert_eq!(spent, before);

        let by_quota = limits(Some((1.0, 10)), Some(1));
        let mut spent = Spent::default();
        assert_eq!(cause(&by_quota, &mut spent, 1), None);
        let before = spent;
        let refusal = charge(&by_quota, &mut spent, 0, 1).unwrap_err();
        assert_eq!(refusal, Refusal { cause: Cause::Quota, retry_after: Some(60) });
        assert_eq!(spent, before);
    }

    #[test]
    fn absent_is_never_zero_and_zero_is_never_absent() {
        for (plan, quota, refused) in [
            (None, None, None),
            (Some((5.0, 5)), None, None),
            (None, Some(5), None),
            (Some((5.0, 0)), None, Some(Cause::PlanThrottle)),
            (None, Some(0), Some(Cause::Quota)),
        ] {
            assert_eq!(cause(&limits(plan, quota), &mut Spent::default(), 1), refused, "{plan:?} {quota:?}");
        }
    }

    #[test]
    fn the_first_level_is_reported() {
        let none = Throttle::new(0.0, 0).unwrap();
        let mut all = limits(Some((0.0, 0)), Some(0));
        (all.stage, all.account) = (Some(shared(none)), Some(shared(none)));
        let mut spent = Spent::default();
        assert_eq!(cause(&all, &mut spent, 1), Some(Cause::PlanThrottle));
        all.plan = None;
        assert_eq!(cause(&all, &mut spent, 1), Some(Cause::StageMethodThrottle));
        all.stage = None;
        assert_eq!(cause(&all, &mut spent, 1), Some(Cause::AccountThrottle));
        all.account = None;
        assert_eq!(cause(&all, &mut spent, 1), Some(Cause::Quota));
        assert_eq!(spent, Spent::default());
        assert_eq!(cause(&all, &mut spent, 0), None, "what costs nothing is free");
    }

    #[test]
    fn what_lacked_the_tokens_has_given_none() {
        let shadow = |burst| SharedThrottle { throttle: Throttle::new(0.0, burst).unwrap(), shadow: true };
        let limits = Limits { stage: Some(shadow(0)), account: Some(shadow(1)), ..Limits::default() };
        let verdict = charge(&limits, &mut Spent::default(), 0, 1);
        let took = TookShared::of(&limits, verdict);
        assert_eq!(took.only(Some("stage"), Some("account")), (None, Some("account")));
        let none = TookShared::of(&Limits::default(), verdict);
        assert_eq!(none.only(Some("stage"), Some("account")), (None, None), "a limit that did not apply");
    }

    #[test]
    fn shadow_limits_count_and_admit() {
        let mut both = limits(Some((0.0, 1)), Some(1));
        both.plan.as_mut().unwrap().shadow = true;
        both.quota.as_mut().unwrap().shadow = true;
        let mut spent = Spent::default();
        assert_eq!(charge(&both, &mut spent, 0, 1), Ok(Shadowed::default()));
        assert_eq!(
            charge(&both, &mut spent, 0, 1),
            Ok(Shadowed { throttle: true, quota: true, ..Shadowed::default() })
        );
        assert_eq!(spent.charged, 2);
    }

    proptest! {
        /// Either everything is charged or nothing is, whatever the limits.
        #[test]
        fn all_or_nothing(
            bursts in proptest::array::uniform3(proptest::option::of(0_u32..6)),
            quota in proptest::option::of(0_u64..8),
            costs in proptest::collection::vec(0_u32..4, 1..20),
        ) {
            let throttle = |burst: u32| shared(Throttle::new(0.0, burst).unwrap());
            let mut limits = limits(bursts[0].map(|burst| (0.0, burst)), quota);
            (limits.stage, limits.account) = (bursts[1].map(throttle), bursts[2].map(throttle));
            let (mut spent, mut admitted) = (Spent::default(), 0_u64);
            for cost in costs {
                let fits = bursts.iter().flatten().map(|burst| u64::from(*burst)).chain(quota)
                    .all(|limit| admitted + u64::from(cost) <= limit);
                let verdict = charge(&limits, &mut spent, 0, cost);
                prop_assert_eq!(verdict.is_ok(), fits || cost == 0);
                admitted += if verdict.is_ok() { u64::from(cost) } else { 0 };
                prop_assert_eq!(spent.charged, admitted as i64);
                for (limit, bucket) in [(limits.stage, spent.stage), (limits.account, spent.account)] {
                    let Some(limit) = limit else { continue };
                    let limit = limit.throttle;
                    prop_assert_eq!(u64::from(limit.burst_limit() - bucket.available(limit, 0)), admitted);
                }
            }
        }
    }
}
