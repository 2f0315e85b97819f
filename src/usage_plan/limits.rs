//! What a key has left at this moment, of every plan that it is in. Looking changes nothing.

use super::{
    admit::{Spent, remaining},
    directory::PlanState,
    lending::Lending,
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

/// How far a figure reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitScope {
    /// Of this process: all there is, where usage is not shared.
    #[default]
    Process,
    /// Of all processes: the store's.
    Shared,
    /// Kept by the store, which was not asked or did not answer.
    Unknown,
}

impl LimitScope {
    /// `process`, `shared`, `unknown`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Shared => "shared",
            Self::Unknown => "unknown",
        }
    }
}

/// A token bucket at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ThrottleState {
    /// The numbers in force.
    pub throttle: Throttle,
    /// Tokens left; `None` where each method has a bucket of its own
    /// ([`ThrottleScope::KeyAndMethod`](super::ThrottleScope::KeyAndMethod)), and where only the store knows.
    pub tokens_left: Option<u32>,
    /// Whose tokens these are.
    pub scope: LimitScope,
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
    /// Resource path, a space, verb.
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
    /// What is left: not always the difference, since [`UsagePlans::update_remaining`] changes it alone. Of a shared quota
    /// whose store was not asked, what this process alone would have left.
    pub remaining: u64,
    /// Of what is left, units that processes hold: some of them may be used already. 0 where the store was not asked.
    pub in_hand: u64,
    /// Whose use this is.
    pub scope: LimitScope,
    /// The present period; the quota is full again at its end.
    pub window: Window,
    /// Whether it only counts what it would have refused.
    pub shadow: bool,
}

impl UsagePlans {
    /// What a key, given by its id, has left of each plan that it is in, in the order in which the plans were put. Empty
    /// for a key in no plan. Of usage that is shared this is what this process knows; see
    /// [`shared_limits`](Self::shared_limits).
    pub fn limits(&self, key_id: &str) -> Vec<PlanLimits> {
        self.each_limit(key_id, |_, limits| limits)
    }

    /// Something of each plan that a key is in, and of its limits.
    pub(super) fn each_limit<T>(&self, key_id: &str, each: impl Fn(&PlanState, PlanLimits) -> T) -> Vec<T> {
        let (subject, now, directory) = (subject_of_key(key_id), self.now(), self.directory());
        let shard = self.table().lock(subject);
        let left = |plan: &PlanState| {
            let index = shard.find(subject, |slot| slot == plan.slot)?;
            let mut limits = limits_of(&shard, index, plan, now)?;
            self.lending().inspect(|lending| limits.are_known_to(lending));
            Some(each(plan, limits))
        };
        directory.iter().filter_map(left).collect()
    }

    /// Whether a store decides on the tokens of all processes.
    #[cfg(feature = "admin")]
    pub(crate) fn shares_throttles(&self) -> bool {
        self.lending().is_some_and(|lending| lending.shares_throttles)
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
        let bucket = account.settled(*account.slot.lock());
        let mut state = state(account.throttle, bucket, account.shadow, now);
        self.lending().inspect(|lending| state.is_known_to(lending));
        Some(state)
    }
}

/// What is true of a process's figures where a store has others.
impl PlanLimits {
    fn are_known_to(&mut self, lending: &Lending) {
        let states = self.throttle.iter_mut().chain(self.methods.iter_mut().map(|method| &mut method.state));
        states.for_each(|state| state.is_known_to(lending));
        if let Some(quota) = &mut self.quota {
            quota.remaining = quota.limit.saturating_sub(quota.used);
        }
    }
}

impl ThrottleState {
    fn is_known_to(&mut self, lending: &Lending) {
        if lending.shares_throttles {
            (self.tokens_left, self.scope) = (None, LimitScope::Unknown);
        }
    }
}

fn state(throttle: Throttle, bucket: Bucket, shadow: bool, now: u64) -> ThrottleState {
    let tokens_left = Some(bucket.available(throttle, now));
    ThrottleState { throttle, tokens_left, scope: LimitScope::Process, shadow }
}

fn limits_of(shard: &Shard, index: u32, plan: &PlanState, now: Timestamp) -> Option<PlanLimits> {
    let entry = shard.entry(index)?;
    let (nanos, shadow) = (now.monotonic_nanos(), plan.plan.throttle_is_shadow());
    let general = plan.plan.general_throttle().map(|throttle| match plan.is_by_method() {
        true => ThrottleState { throttle, tokens_left: None, scope: LimitScope::Process, shadow },
        false => state(throttle, plan.past_of(None).settle(entry.bucket), shadow, nanos),
    });
    let methods = plan.method_throttles().map(|own| {
        let bucket = shard.method_bucket(entry.subject(), plan.slot, own.id());
        let bucket = plan.past_of(Some(own.id())).settle(bucket);
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
        quota: quota_of(shard, index, plan, now.unix_seconds()),
    })
}

/// As the next request finds it.
fn quota_of(shard: &Shard, index: u32, plan: &PlanState, unix: i64) -> Option<QuotaState> {
    let (quota, span) = (plan.quota()?, plan.span(unix));
    let charged = shard.charged_in(index, &span, plan);
    let days = shard.days(index, plan, unix);
    let used = days.iter().filter(|day| (span.window_day..=span.day).contains(&day.day));
    Some(QuotaState {
        limit: quota.limit(),
        period: quota.period(),
        used: used.map(|day| day.used).sum(),
        remaining: remaining(quota.limit(), &Spent { charged, ..Spent::default() }),
        in_hand: 0,
        scope: LimitScope::Process,
        window: Window { start_unix_seconds: span.window_start, end_unix_seconds: span.window_end },
        shadow: plan.plan.quota_is_shadow(),
    })
}
