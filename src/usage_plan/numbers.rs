//! The limits of one request in their own numbers: for logs and metrics, which may ask after the plan has changed.

use super::{directory::PlanState, shard::Demand};
#[cfg(feature = "access-log")]
use crate::context::{Announced, PlanHeadroom};
use crate::{
    context::{LimitNumbers, RefusedLimit},
    response::Cause,
    throttle::{SharedBucket, Throttle},
};
use std::sync::Arc;

/// What applied to a request; what is `None` did not exist.
#[derive(Clone, Debug)]
pub(super) struct Numbers {
    plan_id: Option<Arc<str>>,
    throttle: Option<Throttle>,
    quota: Option<(u64, &'static str)>,
    stage: Option<Throttle>,
    account: Option<Throttle>,
}

impl Numbers {
    /// `throttle` is that of the plan which is in force for the method.
    pub(super) fn new(plan: Option<&PlanState>, throttle: Option<Throttle>, demand: &Demand<'_>) -> Self {
        let shared = |bucket: Option<&SharedBucket>| bucket.map(|bucket| bucket.throttle);
        let quota = plan.and_then(PlanState::quota);
        Self {
            plan_id: plan.map(|plan| plan.plan.shared_id()),
            throttle,
            quota: quota.map(|quota| (quota.limit(), quota.period().as_str())),
            stage: shared(demand.stage),
            account: shared(demand.account),
        }
    }

    /// The limit that refused for this cause.
    pub(super) fn behind(&self, cause: Cause) -> Option<RefusedLimit> {
        let of = |plan_id: Option<&Arc<str>>, numbers| RefusedLimit { plan_id: plan_id.cloned(), numbers };
        let plan_id = self.plan_id.as_ref();
        match cause {
            Cause::Quota => {
                self.quota.map(|(limit, period)| of(plan_id, LimitNumbers::Quota { limit, period }))
            }
            Cause::StageMethodThrottle => self.stage.map(|throttle| of(None, numbers(throttle))),
            Cause::AccountThrottle => self.account.map(|throttle| of(None, numbers(throttle))),
            _ => self.throttle.map(|throttle| of(plan_id, numbers(throttle))),
        }
    }

    /// For observers: what the answer says of the limits, beside what they are.
    #[cfg(feature = "access-log")]
    pub(super) fn headroom(&self, announced: Announced) -> Option<PlanHeadroom> {
        let left = |(tokens, _)| Some((tokens, self.throttle?.burst_limit()));
        Some(PlanHeadroom {
            plan_id: self.plan_id.clone()?,
            throttle: announced.throttle.and_then(left),
            quota: announced.quota.zip(self.quota).map(|((left, _), (limit, _))| (left, limit)),
        })
    }
}

fn numbers(throttle: Throttle) -> LimitNumbers {
    LimitNumbers::Throttle { rate: throttle.rate_limit(), burst: throttle.burst_limit() }
}
