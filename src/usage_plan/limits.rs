//! What a key has left at this moment, of every plan that it is in. Looking changes nothing.

use super::{
    directory::PlanState,
    entry::Entry,
    plans::{UsagePlans, subject_of_key},
    quota::{QuotaPeriod, Window},
    shard::Shard,
};
use crate::{
    clock::Timestamp,
    throttle::{Throttle, bucket::Bucket},
};

/// The limits of one plan, and what one key has left of each.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PlanLimits {
    /// The plan's id.
    pub plan_id: String,
    /// Its name for people.
    pub plan_name: Option<String>,
    /// The stages it is for; none is every stage.
    pub stages: Vec<String>,
    /// The general throttle.
    pub throttle: Option<ThrottleState>,
    /// Throttles of single methods, in place of the general one.
    pub methods: Vec<MethodThrottleState>,
    /// The quota.
    pub quota: Option<QuotaState>,
}

/// A token bucket at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ThrottleState {
    /// The numbers in force.
    pub throttle: Throttle,
    /// Tokens left; `None` where each method has a bucket of its own
    /// ([`ThrottleScope::KeyAndMethod`](super::ThrottleScope::KeyAndMethod)).
    pub tokens_left: Option<u32>,
    /// Whether it only counts what it would have refused.
    pub shadow: bool,
}

/// A plan's throttle of one method.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MethodThrottleState {
    /// The stage; empty where requests have none.
    pub stage: String,
    /// The resource path as declared.
    pub resource_path: String,
    /// The verb, or `ANY`.
    pub method: String,
    /// Its bucket.
    pub state: ThrottleState,
}

/// The method that a throttle of a plan is for.
#[cfg(feature = "gateway")]
#[derive(Clone, Debug)]
pub(crate) struct NamedMethod {
    plan_id: String,
    pub(crate) stage: String,
    /// Resource path, a blank, verb.
    pub(crate) key: String,
}

#[cfg(feature = "gateway")]
impl std::fmt::Display for NamedMethod {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { plan_id, stage, key } = self;
        write!(f, "method throttle `{key}` on stage `{stage}` of usage plan `{plan_id}`")
    }
}

/// A quota at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuotaState {
    /// Requests per period.
    pub limit: u64,
    /// The kind of period.
    pub period: QuotaPeriod,
    /// What was charged in the present period.
    pub used: u64,
    /// What is left: not always the difference, since [`UsagePlans::update_remaining`] changes it alone.
    pub remaining: u64,
    /// The present period; the quota is full again at its end.
    pub window: Window,
    /// Whether it only counts what it would have refused.
    pub shadow: bool,
}

impl UsagePlans {
    /// What a key, given by its id, has left of each plan that it is in, in the order in which the plans were put. Empty
    /// for a key in no plan.
    pub fn limits(&self, key_id: &str) -> Vec<PlanLimits> {
        let (subject, now, directory) = (subject_of_key(key_id), self.now(), self.directory());
        let shard = self.table().lock(subject);
        let left = |plan: &PlanState| {
            let index = shard.find(subject, |slot| slot == plan.slot)?;
            limits_of(&shard, index, plan, now)
        };
        directory.iter().filter_map(left).collect()
    }

    /// Every method that a throttle of a plan is for.
    #[cfg(feature = "gateway")]
    pub(crate) fn named_methods(&self) -> Vec<NamedMethod> {
        let directory = self.directory();
        let of_plan = |plan: &PlanState| {
            let named = plan.method_throttles().map(|own| {
                let (path, verb) = own.method();
                let (plan_id, stage) = (plan.plan.id().to_owned(), own.stage().to_owned());
                NamedMethod { plan_id, stage, key: format!("{path} {verb}") }
            });
            named.collect::<Vec<_>>()
        };
        directory.iter().flat_map(of_plan).collect()
    }

    /// The throttle that all requests of all stages share.
    pub fn account_limit(&self) -> Option<ThrottleState> {
        let (now, directory) = (self.now().monotonic_nanos(), self.directory());
        let account = directory.account.as_ref()?;
        Some(state(account.throttle, *account.slot.lock(), account.shadow, now))
    }
}

fn state(throttle: Throttle, bucket: Bucket, shadow: bool, now: u64) -> ThrottleState {
    ThrottleState { throttle, tokens_left: Some(bucket.available(throttle, now)), shadow }
}

fn limits_of(shard: &Shard, index: u32, plan: &PlanState, now: Timestamp) -> Option<PlanLimits> {
    let entry = shard.entry(index)?;
    let (nanos, shadow) = (now.monotonic_nanos(), plan.plan.throttle_is_shadow());
    let general = plan.plan.general_throttle().map(|throttle| match plan.is_by_method() {
        true => ThrottleState { throttle, tokens_left: None, shadow },
        false => state(throttle, entry.bucket, shadow, nanos),
    });
    let methods = plan.method_throttles().map(|own| {
        let bucket = shard.method_bucket(entry.subject(), plan.slot, own.id());
        let (resource_path, method) = own.method();
        MethodThrottleState {
            stage: own.stage().to_owned(),
            resource_path: resource_path.to_owned(),
            method: method.to_owned(),
            state: state(own.throttle(), bucket, shadow, nanos),
        }
    });
    Some(PlanLimits {
        plan_id: plan.plan.id().to_owned(),
        plan_name: plan.plan.display_name().map(str::to_owned),
        stages: plan.plan.stages().to_vec(),
        throttle: general,
        methods: methods.collect(),
        quota: quota_of(shard, index, entry, plan, now.unix_seconds()),
    })
}

/// An entry stands at the day of its last use: where that is in another period, nothing is used in this one.
fn quota_of(shard: &Shard, index: u32, entry: &Entry, plan: &PlanState, unix: i64) -> Option<QuotaState> {
    let (quota, span) = (plan.quota()?, plan.span(unix));
    let is_present = entry.period == span.window_day;
    let remaining = entry.remaining(Some(quota)).filter(|_| is_present);
    let days = shard.days(index, plan, unix);
    let used = days.iter().filter(|day| (span.window_day..=span.day).contains(&day.day));
    Some(QuotaState {
        limit: quota.limit(),
        period: quota.period(),
        used: used.map(|day| day.used).sum(),
        remaining: remaining.unwrap_or(quota.limit()),
        window: Window { start: span.window_start, end: span.window_end },
        shadow: plan.plan.quota_is_shadow(),
    })
}
