//! One shard of the usage state: everything that one lock guards.

use super::{
    admit::{self, Limits, PlanThrottle, QuotaInForce, Refusal, SharedThrottle, Spent, TookShared},
    days::{History, PastDay, left_of},
    directory::{Directory, InForce, PlanState},
    entry::{Entry, NONE, Names, Slab},
    index::Index,
    leases::Leases,
    methods::MethodBuckets,
    quota::Span,
    reservation::Charged,
    resumed::Resumed,
};
use crate::{
    clock::Timestamp,
    context::Announced,
    throttle::{PastRates, SharedBucket, Throttle, bucket::Bucket},
};
use std::sync::MutexGuard;

/// What a request asks for, beside its plan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand<'a> {
    pub(super) stage: Option<&'a SharedBucket>,
    pub(super) account: Option<&'a SharedBucket>,
    pub(super) now: Timestamp,
    pub(super) cost: u32,
    /// The cost is an estimate, and what was taken is to be remembered.
    pub(super) reserved: bool,
    /// How buckets start, where a process before this one may have used them.
    pub(super) resumed: Option<Resumed>,
}

/// What became of it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) refusal: Option<Refusal>,
    pub(super) announced: Announced,
    /// What was taken from where, if it was admitted and the cost may still change.
    pub(super) charged: Option<Charged>,
    /// The same of the buckets of stage and account, where they are this process's.
    pub(super) shared: TookShared,
}

/// Entries of some subjects, in chains of one subject's plans. What requests look at comes first.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Shard {
    heads: Index,
    pub(super) entries: Slab,
    pub(super) leases: Leases,
    names: Names,
    pub(super) history: History,
    pub(super) methods: MethodBuckets,
    /// Where the sweep of idle entries goes on.
    cursor: u32,
}

impl Shard {
    /// The subject's entry on a plan that will do.
    pub(super) fn find(&self, subject: u128, mut will_do: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = self.heads.find(subject, |head| self.is_of(head, subject))?;
        loop {
            let entry = self.entries.get(at)?;
            if will_do(entry.plan) {
                return Some(at);
            }
            at = entry.next;
        }
    }

    fn is_of(&self, index: u32, subject: u128) -> bool {
        self.entries.get(index).is_some_and(|entry| entry.subject() == subject)
    }

    /// A new entry at the head of its subject's chain.
    fn insert(&mut self, subject: u128, plan: u32, name: u32) -> u32 {
        let head = self.heads.find(subject, |head| self.is_of(head, subject));
        let index = self.entries.insert(Entry::new(subject, plan, head.unwrap_or(NONE), name));
        match head {
            Some(head) => drop(self.heads.replace(subject, index, |first| first == head)),
            None => self.heads.insert(subject, index),
        }
        index
    }

    pub(super) fn attach(&mut self, subject: u128, plan: u32, key_id: &str) {
        let name = self.names.push(key_id);
        self.insert(subject, plan, name);
    }

    /// The entry of a principal, made on demand. Each new one looks at two others that may leave, so that there are
    /// never many more than are in use, and nobody has to clean.
    pub(super) fn find_or_insert(
        &mut self,
        subject: u128,
        plan: &PlanState,
        directory: &Directory,
        now: Timestamp,
    ) -> u32 {
        if let Some(found) = self.find(subject, |slot| slot == plan.slot) {
            return found;
        }
        for _ in 0..2 {
            self.sweep_one(directory, now);
        }
        self.insert(subject, plan.slot, NONE)
    }

    fn sweep_one(&mut self, directory: &Directory, now: Timestamp) {
        let at = self.cursor;
        self.cursor = if at + 1 < self.entries.len() { at + 1 } else { 0 };
        if let Some(entry) = self.entries.get(at)
            && !entry.is_free()
            && entry.is_on_demand()
            && is_idle((at, entry), &self.history, directory, now)
        {
            let (subject, plan) = (entry.subject(), entry.plan);
            self.unlink(subject, plan);
        }
    }

    /// Takes an entry away, with its past; its method buckets stay until they are full.
    fn unlink(&mut self, subject: u128, plan: u32) -> bool {
        let Some(index) = self.find(subject, |slot| slot == plan) else { return false };
        let next = self.entries.get(index).map_or(NONE, |entry| entry.next);
        self.bypass(subject, index, next);
        if let Some(name) = self.entries.get(index).map(|entry| entry.name) {
            self.names.remove(name);
        }
        self.entries.free(index);
        self.history.forget(index);
        if self.names.wants_compaction() {
            self.names.compact(&mut self.entries);
        }
        true
    }

    /// Lets whatever points at `index` point at `next`.
    fn bypass(&mut self, subject: u128, index: u32, next: u32) {
        let Some(head) = self.heads.find(subject, |head| self.is_of(head, subject)) else { return };
        if head != index {
            return self.bypass_later(head, index, next);
        }
        match next {
            NONE => self.heads.remove(subject, |first| first == head),
            next => drop(self.heads.replace(subject, next, |first| first == head)),
        }
    }

    fn bypass_later(&mut self, head: u32, index: u32, next: u32) {
        let mut at = head;
        while let Some(entry) = self.entries.get_mut(at) {
            if entry.next == index {
                entry.next = next;
                return;
            }
            at = entry.next;
        }
    }

    pub(super) fn detach(&mut self, subject: u128, plan: u32) -> bool {
        self.methods.forget(|of| of == (subject, plan));
        self.leases.forget(subject, plan);
        self.unlink(subject, plan)
    }

    pub(super) fn forget_plan(&mut self, plan: u32) {
        let of_plan = self.entries.iter_from(0).filter(|(_, entry)| entry.plan == plan);
        let subjects: Vec<_> = of_plan.map(|(_, entry)| entry.subject()).collect();
        // Once for all of them: the requests of the shard wait meanwhile.
        self.methods.forget(|of| of.1 == plan);
        for subject in subjects {
            self.leases.forget(subject, plan);
            self.unlink(subject, plan);
        }
    }

    /// Every plan of a subject.
    pub(super) fn plans_of(&self, subject: u128) -> Vec<u32> {
        let mut plans = Vec::new();
        let _none = self.find(subject, |plan| {
            plans.push(plan);
            false
        });
        plans
    }

    /// Is there an attached key on this plan that is also on one that is not compatible with it?
    pub(super) fn has_conflict(&self, plan: u32, conflicts: impl Fn(u32) -> bool) -> bool {
        let is_key = |entry: &Entry| entry.plan == plan && !entry.is_on_demand();
        let mut of_plan = self.entries.iter_from(0).filter(|(_, entry)| is_key(entry));
        of_plan.any(|(_, entry)| self.find(entry.subject(), &conflicts).is_some())
    }

    /// Decides on a request of an entry, under the lock of this shard: see [`admit::charge`].
    pub(super) fn charge(
        &mut self,
        index: u32,
        plan: &PlanState,
        in_force: InForce<'_>,
        demand: &Demand<'_>,
    ) -> Option<Outcome> {
        let (now, span) = (demand.now.monotonic_nanos(), plan.span(demand.now.unix_seconds()));
        let Self { entries, history, methods, .. } = self;
        let entry = entries.get_mut(index)?;
        entry.roll(index, &span, plan.quota(), history);
        let place = in_force.method.map(|method| (entry.subject(), entry.plan, method));
        let mut spent = entry.spent();
        if let Some((subject, plan, method)) = place {
            spent.plan = methods.get(subject, plan, method);
        }
        spent.plan = demand.present(spent.plan, in_force.throttle, in_force.past);
        let limits = limits(plan, &in_force, &span, demand);
        let verdict = charge_shared(&limits, &mut spent, demand);
        let mut took_tokens = false;
        if let Ok(shadowed) = verdict {
            took_tokens = in_force.throttle.is_some() && !shadowed.throttle;
            plan.shadow.count(shadowed);
            entry.use_up(demand.cost.into());
            match (place, in_force.throttle) {
                (Some(place), Some(throttle)) if took_tokens => methods.put(place, spent.plan, throttle, now),
                (Some(_), _) => {}
                (None, _) => entry.bucket = spent.plan,
            }
        }
        let charged = demand.reserved.then(|| Charged::new(entry, &in_force, &span, took_tokens));
        let announced = announced(&limits, &spent, now);
        let shared = TookShared::of(&limits, verdict);
        Some(Outcome { refusal: verdict.err(), announced, charged, shared })
    }

    /// Gives back or takes more, now that the cost is known: exactly the difference, from where it was taken. So much was
    /// changed.
    pub(super) fn settle(
        &mut self,
        charged: &Charged,
        plan: Option<&PlanState>,
        change: Change,
        now: u64,
    ) -> Option<Change> {
        let index = self.find(charged.subject, |plan| plan == charged.plan)?;
        let Self { entries, history, methods, .. } = self;
        let entry = entries.get_mut(index)?;
        let used =
            if entry.today == charged.day { entry.used_today } else { history.used_on(index, charged.day) };
        // The key may have left the plan meanwhile and come back: then nothing of it is kept that could come back.
        let change = change.within(used);
        if charged.counts_in(entry.period, plan) {
            entry.charged = change.of_charged(entry.charged);
        }
        if entry.today == charged.day {
            entry.used_today = change.of(entry.used_today);
        } else {
            let period_end =
                plan.map_or(charged.day + 1, |plan| plan.calendar().span_of_day(charged.day).next_window_day);
            history.change(index, charged.day, period_end, change);
        }
        let throttle = plan.and_then(|plan| plan.throttle_of(charged.method));
        let settled = |bucket| plan.map_or(bucket, |plan| plan.past_of(charged.method).settle(bucket));
        match (throttle.filter(|_| charged.took_tokens && !charged.elsewhere), charged.method) {
            (Some(throttle), None) => {
                entry.bucket = change.of_bucket(settled(entry.bucket), throttle, now);
            }
            (Some(throttle), Some(method)) => {
                let place = (charged.subject, charged.plan, method);
                let bucket = settled(methods.get(place.0, place.1, place.2));
                let bucket = change.of_bucket(bucket, throttle, now);
                methods.put(place, bucket, throttle, now);
            }
            (None, _) => {}
        }
        Some(change)
    }

    /// Sets what is left of the present period.
    pub(super) fn set_remaining(&mut self, index: u32, plan: &PlanState, unix: i64, remaining: u64) {
        let (Some(quota), Some(entry)) = (plan.quota(), self.entries.get_mut(index)) else { return };
        entry.roll(index, &plan.span(unix), Some(quota), &mut self.history);
        let charged = i128::from(quota.limit()) - i128::from(remaining);
        entry.charged = charged.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
    }

    /// The days of an entry on which something happened, oldest first, up to now; nothing is changed.
    pub(super) fn days(&self, index: u32, plan: &PlanState, unix: i64) -> Vec<PastDay> {
        let mut days: Vec<_> = self.history.of(index).copied().collect();
        let Some(entry) = self.entries.get(index) else { return days };
        let span = plan.span(unix);
        // The day that the entry stands at, which may be past: it rolls when it is next used.
        if entry.today <= span.day && entry.today != super::entry::NEVER {
            // Within the present period, which an edit may have changed since, it is what the next request finds.
            let charged = match entry.is_within(&span) {
                true => entry.charged_in(index, &span, plan.quota(), &self.history),
                false => entry.charged,
            };
            let left = left_of(plan.quota(), charged);
            let day = PastDay { day: entry.today, used: entry.used_today, left };
            days.insert(days.partition_point(|past| past.day < day.day), day);
        }
        days
    }

    /// What counts against the quota in the period of this span.
    pub(super) fn charged_in(&self, index: u32, span: &Span, plan: &PlanState) -> i64 {
        self.entries.get(index).map_or(0, |entry| entry.charged_in(index, span, plan.quota(), &self.history))
    }

    pub(super) fn entry(&self, index: u32) -> Option<&Entry> {
        self.entries.get(index)
    }

    /// The bucket of a subject for one method of a plan.
    pub(super) fn method_bucket(&self, subject: u128, plan: u32, method: u64) -> Bucket {
        self.methods.get(subject, plan, method)
    }

    /// Attached keys of a plan from an index on, with their ids.
    pub(super) fn attached(&self, plan: u32, start: u32) -> impl Iterator<Item = (u32, &str)> {
        let of_plan = self.entries.iter_from(start).filter(move |(_, entry)| entry.plan == plan);
        of_plan.filter_map(|(index, entry)| Some((index, self.names.get(entry.name)?)))
    }
}

/// Nothing would be different if the entry were made anew.
fn is_idle((index, entry): (u32, &Entry), history: &History, directory: &Directory, now: Timestamp) -> bool {
    let Some(plan) = directory.at(entry.plan) else { return true };
    let bucket = plan.past_of(None).settle(entry.bucket);
    let full = plan
        .plan
        .general_throttle()
        .is_none_or(|throttle| bucket.full_in(throttle, now.monotonic_nanos()) == Some(0));
    let is_unused = |quota| {
        let span = plan.span(now.unix_seconds());
        // An edit of the period may have put the days of another one into the present one.
        entry.period != span.window_day && entry.charged_in(index, &span, Some(quota), history) == 0
    };
    full && plan.quota().is_none_or(is_unused)
}

pub(super) fn limits(plan: &PlanState, in_force: &InForce<'_>, span: &Span, demand: &Demand<'_>) -> Limits {
    let unix = demand.now.unix_seconds();
    Limits {
        plan: in_force.throttle.map(|throttle| PlanThrottle {
            throttle,
            cause: in_force.cause,
            shadow: plan.plan.throttle_is_shadow(),
        }),
        stage: demand.stage.map(SharedThrottle::of),
        account: demand.account.map(SharedThrottle::of),
        quota: plan.quota().map(|quota| QuotaInForce {
            limit: quota.limit(),
            reset_seconds: (span.window_end - unix).max(0) as u64,
            shadow: plan.plan.quota_is_shadow(),
        }),
    }
}

impl SharedThrottle {
    pub(super) fn of(shared: &SharedBucket) -> Self {
        Self { throttle: shared.throttle, shadow: shared.shadow }
    }
}

/// Locks the shared buckets, always the stage's before the account's, and charges all or none.
pub(super) fn charge_shared(
    limits: &Limits,
    spent: &mut Spent,
    demand: &Demand<'_>,
) -> Result<admit::Shadowed, Refusal> {
    let mut stage = demand.stage.map(|stage| stage.slot.lock());
    let mut account = demand.account.map(|account| account.slot.lock());
    let read = |guard: &Option<MutexGuard<'_, Bucket>>, shared: Option<&SharedBucket>| match (guard, shared) {
        (Some(guard), Some(shared)) => demand.present(**guard, Some(shared.throttle), &shared.past),
        _ => Bucket::default(),
    };
    (spent.stage, spent.account) = (read(&stage, demand.stage), read(&account, demand.account));
    let shadowed = admit::charge(limits, spent, demand.now.monotonic_nanos(), demand.cost)?;
    for (guard, bucket) in [(&mut stage, spent.stage), (&mut account, spent.account)] {
        if let Some(guard) = guard {
            **guard = bucket;
        }
    }
    for (shared, was) in [(demand.stage, shadowed.stage), (demand.account, shadowed.account)] {
        shared.filter(|_| was).into_iter().for_each(|shared| shared.slot.count_shadowed());
    }
    Ok(shadowed)
}

impl Demand<'_> {
    /// A bucket as the last edit of its throttle found it. One that was not used in this process starts as it may have
    /// been left.
    pub(super) fn present(&self, bucket: Bucket, throttle: Option<Throttle>, past: &PastRates) -> Bucket {
        let started =
            self.resumed.zip(throttle).map(|(resumed, throttle)| resumed.bucket(bucket, throttle, past));
        past.settle(started.unwrap_or(bucket))
    }
}

/// Limits in shadow mode are not announced.
pub(super) fn announced(limits: &Limits, spent: &Spent, now: u64) -> Announced {
    let throttle = limits.plan.filter(|plan| !plan.shadow).map(|plan| plan.throttle);
    let quota = limits.quota.filter(|quota| !quota.shadow);
    let full_in = |throttle| spent.plan.full_in(throttle, now).map(admit::whole_seconds);
    Announced {
        throttle: throttle.map(|throttle| (spent.plan.available(throttle, now), full_in(throttle))),
        quota: quota.map(|quota| (admit::remaining(quota.limit, spent), quota.reset_seconds)),
    }
}

/// The difference between what was reserved and what it cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    GiveBack(u32),
    TakeMore(u32),
}

impl Change {
    pub(super) fn reverse(self) -> Self {
        match self {
            Self::GiveBack(amount) => Self::TakeMore(amount),
            Self::TakeMore(amount) => Self::GiveBack(amount),
        }
    }

    pub(super) fn signed(self) -> i64 {
        match self {
            Self::GiveBack(amount) => -i64::from(amount),
            Self::TakeMore(amount) => amount.into(),
        }
    }

    /// Gives back no more than was used.
    fn within(self, used: u64) -> Self {
        match self {
            Self::GiveBack(amount) => {
                Self::GiveBack(u32::try_from(used).map_or(amount, |used| amount.min(used)))
            }
            more @ Self::TakeMore(_) => more,
        }
    }

    pub(super) fn of(self, used: u64) -> u64 {
        match self {
            Self::GiveBack(amount) => used.saturating_sub(amount.into()),
            Self::TakeMore(amount) => used.saturating_add(amount.into()),
        }
    }

    pub(super) fn of_charged(self, charged: i64) -> i64 {
        match self {
            Self::GiveBack(amount) => charged.saturating_sub(amount.into()),
            Self::TakeMore(amount) => charged.saturating_add(amount.into()),
        }
    }

    pub(super) fn of_bucket(self, bucket: Bucket, throttle: Throttle, now: u64) -> Bucket {
        match self {
            Self::GiveBack(amount) => bucket.refund(amount),
            Self::TakeMore(amount) => bucket.overdraw(throttle, now, amount),
        }
    }
}
