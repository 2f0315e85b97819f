//! The plans as requests read them: an immutable snapshot behind one `ArcSwap`.

use super::{
    headers,
    layer::Place,
    plan::{ThrottleScope, UsagePlan},
    quota::{Calendar, Quota, Span},
    span_cell::SpanCell,
};
use crate::{
    clock::Timestamp,
    context::MethodInForce,
    error::{ConfigError, ConfigErrorKind},
    response::Cause,
    route::normalise,
    throttle::{PastRates, SharedBucket, Throttle, id_of},
};
use http::{HeaderValue, Method};
use std::{
    cmp::Ordering,
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

/// Every plan by its slot. A slot is given once and never again, so that state of a deleted plan is never taken for
/// another's.
#[derive(Clone, Debug, Default)]
pub(super) struct Directory {
    plans: Vec<Option<Arc<PlanState>>>,
    by_id: HashMap<Arc<str>, u32>,
    /// Plans that were put so far.
    editions: u32,
    pub(super) account: Option<SharedBucket>,
}

impl Directory {
    pub(super) fn at(&self, slot: u32) -> Option<&PlanState> {
        self.plans.get(slot as usize)?.as_deref()
    }

    /// A shared bucket with its present numbers, where they are known here: the account's.
    pub(super) fn present<'a>(&'a self, shared: &'a SharedBucket) -> &'a SharedBucket {
        self.account.as_ref().filter(|account| Arc::ptr_eq(&account.slot, &shared.slot)).unwrap_or(shared)
    }

    pub(super) fn named(&self, id: &str) -> Option<&PlanState> {
        self.at(*self.by_id.get(id)?)
    }

    /// The same, for callers who asked for it by name.
    pub(super) fn require(&self, id: &str) -> Result<&PlanState, ConfigError> {
        self.named(id).ok_or_else(|| {
            ConfigError::new("usage plan", id, "there is no such plan").with_kind(ConfigErrorKind::NotFound)
        })
    }

    /// Whether keys are attached to a plan that is for the stage.
    pub(super) fn has_keys(&self, stage: Option<&str>) -> bool {
        self.iter().any(|plan| plan.plan.covers(stage) && plan.has_keys())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &PlanState> {
        self.plans.iter().flatten().map(|plan| &**plan)
    }

    /// Adds a plan, or edits the one with its id: slot and counts stay.
    pub(super) fn put(&mut self, plan: UsagePlan, now: Timestamp) {
        let slot = self.by_id.get(plan.id()).copied().unwrap_or(self.plans.len() as u32);
        if slot as usize == self.plans.len() {
            self.plans.push(None);
            self.by_id.insert(plan.id().into(), slot);
        }
        self.editions = self.editions.wrapping_add(1);
        let place = &mut self.plans[slot as usize];
        *place = Some(Arc::new(PlanState::new(plan, (slot, self.editions), place.as_deref(), now)));
    }

    pub(super) fn remove(&mut self, id: &str) {
        if let Some(slot) = self.by_id.remove(id) {
            self.plans[slot as usize] = None;
        }
    }
}

/// How often limits in shadow mode would have refused, since the plan was first put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShadowCounts {
    /// By the throttles of the plan.
    pub throttle: u64,
    /// By its quota.
    pub quota: u64,
}

#[derive(Debug, Default)]
pub(super) struct Shadow {
    throttle: AtomicU64,
    quota: AtomicU64,
}

impl Shadow {
    pub(super) fn count(&self, shadowed: super::admit::Shadowed) {
        for (count, was) in [(&self.throttle, shadowed.throttle), (&self.quota, shadowed.quota)] {
            if was {
                count.fetch_add(1, Relaxed);
            }
        }
    }

    pub(super) fn counts(&self) -> ShadowCounts {
        ShadowCounts { throttle: self.throttle.load(Relaxed), quota: self.quota.load(Relaxed) }
    }
}

/// A plan, compiled.
#[derive(Debug)]
pub(super) struct PlanState {
    pub(super) plan: UsagePlan,
    pub(super) slot: u32,
    /// No other state of this plan has it.
    pub(super) edition: u32,
    pub(super) shadow: Arc<Shadow>,
    /// How many keys are attached.
    pub(super) keys: Arc<AtomicUsize>,
    calendar: Calendar,
    /// The present day, so that the calendar is asked once a day.
    span: SpanCell,
    /// `RateLimit-Policy` of the general throttle and the quota.
    policy: Option<HeaderValue>,
    /// Sorted by stage and method.
    overrides: Box<[Override]>,
    /// How the rate of the general throttle came to be what it is.
    general: Course,
    /// The same of methods that have, or had, a throttle of their own.
    methods: HashMap<u64, Course>,
}

/// A throttle through its edits. While there is none, the earlier numbers hold.
#[derive(Clone, Debug, Default)]
struct Course {
    throttle: Option<Throttle>,
    past: PastRates,
}

impl Course {
    fn edited(self, throttle: Option<Throttle>, now: Timestamp) -> Self {
        match (self.throttle, throttle) {
            (_, None) => self,
            (None, Some(_)) => Self { throttle, ..self },
            (Some(old), Some(new)) => Self { throttle, past: self.past.edited(old, new, now) },
        }
    }
}

/// The throttle of one method.
#[derive(Debug)]
pub(super) struct Override {
    stage: String,
    /// Resource path, a space, verb.
    method: String,
    id: u64,
    throttle: Throttle,
    policy: Option<HeaderValue>,
}

/// The plan's throttle for one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct InForce<'a> {
    pub(super) throttle: Option<Throttle>,
    pub(super) past: &'a PastRates,
    pub(super) cause: Cause,
    /// Whose bucket: the key's own, or the one of this method.
    pub(super) method: Option<u64>,
    pub(super) policy: Option<&'a HeaderValue>,
}

impl PlanState {
    fn new(plan: UsagePlan, (slot, edition): (u32, u32), old: Option<&Self>, now: Timestamp) -> Self {
        let shadow = old.map(|old| Arc::clone(&old.shadow)).unwrap_or_default();
        let keys = old.map(|old| Arc::clone(&old.keys)).unwrap_or_default();
        let general = old.map(|old| old.general.clone()).unwrap_or_default();
        let mut overrides: Vec<_> =
            plan.methods().iter().map(|method| Override::new(&plan, method)).collect();
        overrides.sort_by(|one, other| one.place().cmp(&other.place()));
        let methods = courses(&plan, old, &overrides, now);
        Self {
            slot,
            edition,
            shadow,
            keys,
            general: general.edited(plan.general_throttle(), now),
            methods,
            calendar: plan.general_quota().map_or_else(Calendar::utc_days, |quota| quota.calendar().clone()),
            span: SpanCell::default(),
            policy: headers::policy(&plan, plan.general_throttle()),
            overrides: overrides.into(),
            plan,
        }
    }

    pub(super) fn has_keys(&self) -> bool {
        self.keys.load(Relaxed) > 0
    }

    pub(super) fn quota(&self) -> Option<&Quota> {
        self.plan.general_quota()
    }

    pub(super) fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    pub(super) fn span(&self, unix: i64) -> Span {
        if let Some(kept) = self.span.load().filter(|kept| kept.holds_at(unix)) {
            return kept;
        }
        let span = self.calendar.span(unix);
        self.span.store(&span);
        span
    }

    pub(super) fn in_force(&self, place: &Place<'_>) -> InForce<'_> {
        let stage = place.stage.unwrap_or_default();
        if let Some(method) = place.method
            && let Some(own) = self.override_of(stage, method, place.verb)
        {
            let (throttle, policy, method) = (Some(own.throttle), own.policy.as_ref(), Some(own.id));
            let past = self.past_of(method);
            return InForce { throttle, past, cause: Cause::PlanMethodThrottle, method, policy };
        }
        let method = place.method.filter(|_| self.is_by_method()).map(|method| {
            let declared = method.declared();
            method_id(stage, &declared.resource_path, declared.verb_name())
        });
        let (throttle, policy) = (self.plan.general_throttle(), self.policy.as_ref());
        InForce { throttle, past: self.past_of(method), cause: Cause::PlanThrottle, method, policy }
    }

    /// The rates of before, of the key's own bucket or of the one of a method.
    pub(super) fn past_of(&self, method: Option<u64>) -> &PastRates {
        let own = method.and_then(|method| self.methods.get(&method));
        &own.unwrap_or(&self.general).past
    }

    /// The numbers of a bucket: of the key's own, or of the one of a method, whose last ones hold while it has none.
    pub(super) fn throttle_of(&self, method: Option<u64>) -> Option<Throttle> {
        let own = method.and_then(|method| self.methods.get(&method)?.throttle);
        own.or_else(|| self.plan.general_throttle())
    }

    /// Whether each method has a bucket of its own of the general throttle.
    pub(super) fn is_by_method(&self) -> bool {
        self.plan.scope() == ThrottleScope::KeyAndMethod && self.plan.general_throttle().is_some()
    }

    pub(super) fn method_throttles(&self) -> impl Iterator<Item = &Override> {
        self.overrides.iter()
    }

    /// The request's own verb before the declared one, which may be `ANY`.
    fn override_of(&self, stage: &str, method: MethodInForce<'_>, verb: &Method) -> Option<&Override> {
        if self.overrides.is_empty() {
            return None;
        }
        let declared = method.declared();
        let find = |verb: &str| {
            let at = self.overrides.binary_search_by(|own| own.compare(stage, &declared.resource_path, verb));
            at.ok().map(|at| &self.overrides[at])
        };
        let by_stand_in = || find(method.stand_in(verb)?.as_str());
        find(verb.as_str()).or_else(by_stand_in).or_else(|| find("ANY").filter(|_| declared.verb.is_none()))
    }
}

/// Courses of the methods that have a throttle of their own, or had one. Where each method has a bucket of the general
/// throttle, that is what a method's bucket goes by before and after.
fn courses(
    plan: &UsagePlan,
    old: Option<&PlanState>,
    overrides: &[Override],
    now: Timestamp,
) -> HashMap<u64, Course> {
    let of_general =
        |plan: &UsagePlan| plan.general_throttle().filter(|_| plan.scope() == ThrottleScope::KeyAndMethod);
    let mut courses = old.map(|old| old.methods.clone()).unwrap_or_default();
    for own in overrides {
        courses.entry(own.id).or_insert_with(|| {
            old.filter(|old| of_general(&old.plan).is_some())
                .map(|old| old.general.clone())
                .unwrap_or_default()
        });
    }
    let present = |id: &u64| overrides.iter().find(|own| own.id == *id).map(|own| own.throttle);
    let edited = |(id, course): (u64, Course)| {
        let throttle = present(&id).or_else(|| of_general(plan));
        (id, course.edited(throttle, now))
    };
    courses.into_iter().map(edited).collect()
}

impl Override {
    fn new(plan: &UsagePlan, given: &super::plan::MethodThrottle) -> Self {
        let method = normalise(&given.key);
        let (path, verb) = method.rsplit_once(' ').unwrap_or((&method, ""));
        Self {
            stage: given.stage.clone(),
            id: method_id(&given.stage, path, verb),
            throttle: given.throttle,
            policy: headers::policy(plan, Some(given.throttle)),
            method,
        }
    }

    pub(super) fn stage(&self) -> &str {
        &self.stage
    }

    /// Resource path and verb.
    pub(super) fn method(&self) -> (&str, &str) {
        self.method.rsplit_once(' ').unwrap_or((&self.method, ""))
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn throttle(&self) -> Throttle {
        self.throttle
    }

    fn place(&self) -> (&str, &str) {
        (&self.stage, &self.method)
    }

    /// Orders like `place`, without putting path and verb together.
    fn compare(&self, stage: &str, path: &str, verb: &str) -> Ordering {
        let wanted = path.bytes().chain([b' ']).chain(verb.bytes());
        (*self.stage).cmp(stage).then_with(|| self.method.bytes().cmp(wanted))
    }
}

fn method_id(stage: &str, path: &str, verb: &str) -> u64 {
    id_of(stage.bytes().chain([0]).chain(path.bytes()).chain([b' ']).chain(verb.bytes()))
}
