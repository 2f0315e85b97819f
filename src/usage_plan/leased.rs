//! Decisions of a shard where usage is shared: on what is in hand, or alone when the store has failed.

use super::{
    admit::{Limits, QuotaInForce, Refusal, Shadowed, SharedThrottle, Spent, TookShared},
    directory::{InForce, PlanState},
    lease::{Ends, Holding, Manner, Terms, Usable},
    lending::{Lending, period_of},
    quota::{Quota, Span},
    reservation::Charged,
    shard::{Change, Demand, Outcome, Shard, announced, charge_shared, limits},
    store::LeaseAsk,
};
use crate::{clock::Timestamp, response::Cause, store::FailurePolicy};

/// What a shard says of a request.
#[derive(Debug)]
pub(super) enum Leased {
    Decided(Outcome),
    /// There is not enough in hand. `ends`: how asks have ended before.
    Lacks {
        ends: Ends,
    },
    /// The quota has it, and promises it; the store decides on the throttles.
    Tokens(Promise),
}

/// What a quota has for a request that is not decided yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Promise {
    /// First second of the period in which it holds.
    pub(super) period: i64,
    /// Reserved in the holding. None where the quota did not bind then, whatever was edited since.
    pub(super) units: u64,
}

impl Promise {
    /// Units that the holding still has reserved.
    pub(super) fn units_in(self, holding: &Holding) -> u64 {
        if self.period == holding.period().start { self.units } else { 0 }
    }
}

/// The request, its plan, and the entry it is charged to.
#[derive(Clone, Copy)]
pub(super) struct Charge<'a> {
    pub(super) index: u32,
    pub(super) plan: &'a PlanState,
    pub(super) in_force: InForce<'a>,
    pub(super) demand: &'a Demand<'a>,
    pub(super) lending: &'a Lending,
}

impl Charge<'_> {
    /// Does the quota refuse what it has not?
    fn is_bound(&self) -> bool {
        self.plan.quota().is_some() && !self.plan.plan.quota_is_shadow() && self.demand.cost > 0
    }

    fn cost(&self) -> u64 {
        self.demand.cost.into()
    }

    fn now(&self) -> u64 {
        self.demand.now.monotonic_nanos()
    }

    fn span(&self) -> Span {
        self.plan.span(self.demand.now.unix_seconds())
    }

    fn terms(&self, span: &Span) -> Terms {
        Terms { entry: self.index, edition: self.plan.edition, day: span.day }
    }

    /// Counts what is used: of what was promised in this period, if it was. Whether that had been in hand.
    fn use_up(&self, holding: &mut Holding, promise: Option<Promise>, day: i32) -> bool {
        let promised = promise.map_or(0, |promise| promise.units_in(holding));
        match promised {
            0 => holding.count(day, self.cost()),
            promised => holding.consume(day, promised),
        }
        promised > 0
    }

    fn limit(&self) -> Option<u64> {
        self.plan.quota().map(Quota::limit)
    }
}

impl Outcome {
    fn took_from_hand(&mut self, from_hand: bool) {
        self.charged.iter_mut().for_each(|charged| charged.from_hand = from_hand);
    }
}

/// What `charged` is where so much is left.
fn as_charged(limit: u64, remaining: u64) -> i64 {
    let charged = i128::from(limit) - i128::from(remaining);
    charged.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

impl Shard {
    /// Decides on what is in hand, if it can. The ask, if any, is to be made in the background.
    pub(super) fn charge_leased(&mut self, charge: &Charge<'_>) -> Option<(Leased, Option<LeaseAsk>)> {
        let (span, cost, now) = (charge.span(), charge.cost(), charge.now());
        let Self { entries, history, leases, .. } = self;
        let entry = entries.get_mut(charge.index)?;
        entry.roll(charge.index, &span, charge.plan.quota(), history);
        let (subject, slot) = (entry.subject(), charge.plan.slot);
        let manner = || charge.lending.manner(charge.plan, subject, charge.demand.now);
        let (place, terms, period) = (&mut entry.holding, charge.terms(&span), period_of(&span));
        let (holding, due) =
            leases.present(place, (subject, slot), terms, (period, charge.limit()), manner)?;
        let place = *place;
        due.soon(holding, subject, slot, now.saturating_add(charge.lending.interval()));
        let usable = if charge.is_bound() { holding.usable(cost, now) } else { Usable::Enough };
        if usable == Usable::Unknown {
            return Some((Leased::Lacks { ends: holding.ends() }, None));
        }
        if usable == Usable::Held {
            let ask = holding.wants_ask(now, usable).then(|| holding.ask_for_refused(manner(), cost));
            return Some((Leased::Decided(self.refuse_held(charge)?), ask));
        }
        let tokens = charge.lending.decides_tokens_of(&charge.in_force, charge.demand);
        if tokens && usable == Usable::Enough {
            let units = if charge.is_bound() { cost } else { 0 };
            holding.reserve(units);
            return Some((Leased::Tokens(Promise { period: period.start, units }), None));
        }
        let charged = holding.remaining().zip(charge.limit()).map(|(left, limit)| as_charged(limit, left));
        let mut decided = self.decide(charge, &span, charged, tokens)?;
        let holding = self.leases.at(place)?;
        if decided.refusal.is_none() {
            holding.spend(charge.is_bound(), span.day, cost);
            decided.took_from_hand(charge.is_bound());
        }
        let ask = holding.wants_ask(now, usable).then(|| holding.ask_ahead(manner()));
        Some((Leased::Decided(decided), ask))
    }

    /// All limits by what memory has, and a quota of which so much is charged: if nobody knows, what this process has
    /// used. `tokens`: the throttles are not looked at.
    fn decide(
        &mut self,
        charge: &Charge<'_>,
        span: &Span,
        charged: Option<i64>,
        tokens: bool,
    ) -> Option<Outcome> {
        let mut limits = limits(charge.plan, &charge.in_force, span, charge.demand);
        if tokens {
            limits = Limits { quota: limits.quota, ..Limits::default() };
        }
        self.charge_locally(charge, span, &limits, charged)
    }

    /// Charges limits that may not be the plan's own, without a word to the lease.
    fn charge_locally(
        &mut self,
        charge: &Charge<'_>,
        span: &Span,
        limits: &Limits,
        charged: Option<i64>,
    ) -> Option<Outcome> {
        let now = charge.now();
        let Self { entries, methods, .. } = self;
        let entry = entries.get_mut(charge.index)?;
        let place = charge.in_force.method.map(|method| (entry.subject(), entry.plan, method));
        let mut spent = entry.spent();
        if let Some((subject, plan, method)) = place {
            spent.plan = methods.get(subject, plan, method);
        }
        spent.plan = charge.demand.present(spent.plan, charge.in_force.throttle, charge.in_force.past);
        spent.charged = charged.unwrap_or(spent.charged);
        let verdict = charge_shared(limits, &mut spent, charge.demand);
        let mut took_tokens = false;
        if let Ok(shadowed) = verdict {
            took_tokens = limits.plan.is_some() && !shadowed.throttle;
            charge.plan.shadow.count(shadowed);
            entry.use_up(charge.cost());
            match (place, limits.plan) {
                (Some(place), Some(plan)) if took_tokens => {
                    methods.put(place, spent.plan, plan.throttle, now);
                }
                (Some(_), _) => {}
                (None, _) => entry.bucket = spent.plan,
            }
        }
        let charged = Charged::new(entry, &charge.in_force, span, took_tokens);
        let announced = announced(limits, &spent, now);
        let shared = TookShared::of(limits, verdict);
        Some(Outcome { refusal: verdict.err(), announced, charged: Some(charged), shared })
    }

    /// Decides without the store. `promise`: what the quota had before it failed.
    pub(super) fn charge_alone(
        &mut self,
        charge: &Charge<'_>,
        policy: FailurePolicy,
        promise: Option<Promise>,
    ) -> Option<Outcome> {
        let span = charge.span();
        let subject = {
            let Self { entries, history, .. } = &mut *self;
            let entry = entries.get_mut(charge.index)?;
            entry.roll(charge.index, &span, charge.plan.quota(), history);
            entry.subject()
        };
        let holders = self.leases.find(subject, charge.plan.slot).map_or(0, |holding| holding.holders());
        let mut limits = limits(charge.plan, &charge.in_force, &span, charge.demand);
        alone(&mut limits, charge.lending, policy, holders);
        limits.quota = limits.quota.filter(|_| promise.is_none() && policy != FailurePolicy::Allow);
        let mut outcome = match policy {
            FailurePolicy::Deny => self.refused(charge, &span, unavailable())?,
            _ => self.charge_locally(charge, &span, &limits, None)?,
        };
        if outcome.refusal.is_none()
            && let Some(holding) = self.leases.find(subject, charge.plan.slot)
        {
            outcome.took_from_hand(charge.use_up(holding, promise, span.day));
        }
        Some(outcome)
    }

    fn refused(&mut self, charge: &Charge<'_>, span: &Span, refusal: Refusal) -> Option<Outcome> {
        let entry = self.entries.get_mut(charge.index)?;
        let charged = Charged::new(entry, &charge.in_force, span, false);
        let announced = announced(&Limits::default(), &Spent::default(), charge.now());
        Some(Outcome {
            refusal: Some(refusal),
            announced,
            charged: Some(charged),
            shared: TookShared::default(),
        })
    }

    /// Others hold what is left, which may be back when their leases end.
    fn refuse_held(&mut self, charge: &Charge<'_>) -> Option<Outcome> {
        let span = charge.span();
        let subject = self.entries.get(charge.index)?.subject();
        let left = self.leases.find(subject, charge.plan.slot)?.remaining().unwrap_or(0);
        let mut quota = limits(charge.plan, &charge.in_force, &span, charge.demand).quota?;
        quota.reset_seconds = quota.reset_seconds.min(charge.lending.epoch_seconds());
        let spent = Spent { charged: as_charged(quota.limit, left), ..Spent::default() };
        let mut outcome = self.refused(charge, &span, quota.refusal(charge.demand.cost))?;
        let limits = Limits { quota: Some(quota), ..Limits::default() };
        outcome.announced = announced(&limits, &spent, charge.now());
        Some(outcome)
    }

    /// A request has waited for units until its time was over, while the store answered.
    pub(super) fn waited_in_vain(&mut self, charge: &Charge<'_>) -> Option<Outcome> {
        let subject = self.entries.get(charge.index)?.subject();
        let holding = self.leases.find(subject, charge.plan.slot)?;
        holding.waited_in_vain(charge.now(), charge.lending.epoch);
        self.refuse_held(charge)
    }

    /// The store has admitted the request: what was promised is used.
    pub(super) fn consume(
        &mut self,
        charge: &Charge<'_>,
        promise: Promise,
        shadowed: Shadowed,
    ) -> Option<Outcome> {
        let (span, cost, now) = (charge.span(), charge.cost(), charge.now());
        let Self { entries, history, leases, .. } = self;
        let entry = entries.get_mut(charge.index)?;
        entry.roll(charge.index, &span, charge.plan.quota(), history);
        entry.use_up(cost);
        charge.plan.shadow.count(shadowed);
        let (mut spent, mut from_hand) = (Spent::default(), false);
        if let Some(holding) = leases.find(entry.subject(), charge.plan.slot) {
            from_hand = charge.use_up(holding, Some(promise), span.day);
            spent.charged =
                charge.limit().map_or(0, |limit| as_charged(limit, holding.remaining().unwrap_or(0)));
        }
        let quota = limits(charge.plan, &charge.in_force, &span, charge.demand).quota;
        let announced = announced(&Limits { quota, ..Limits::default() }, &spent, now);
        let took_tokens = charge.in_force.throttle.is_some() && !shadowed.throttle;
        let charged = Charged { from_hand, ..Charged::new(entry, &charge.in_force, &span, took_tokens) };
        Some(Outcome { refusal: None, announced, charged: Some(charged), shared: TookShared::default() })
    }

    /// A cost became known, and the store is to hear of it. What belongs to the present period is known to the next
    /// request, too; where the key has no holding any more, it gets one.
    pub(super) fn settle_leased(
        &mut self,
        charged: &Charged,
        plan: &PlanState,
        change: Change,
        lending: &Lending,
        now: Timestamp,
    ) -> Option<()> {
        let Charged { subject, day, from_hand, .. } = *charged;
        let index = self.find(subject, |slot| slot == plan.slot).filter(|_| change.signed() != 0)?;
        let (span, limit) = (plan.span(now.unix_seconds()), plan.quota().map(Quota::limit));
        let manner = || lending.manner(plan, subject, now);
        if !(span.window_day..span.next_window_day).contains(&day) {
            let period = period_of(&plan.calendar().span_of_day(day));
            self.leases.settle_past(Manner { day, ..manner() }, period, limit, change.signed());
            return None;
        }
        let Self { entries, leases, .. } = self;
        let place = &mut entries.get_mut(index)?.holding;
        let terms = Terms { entry: index, edition: plan.edition, day: span.day };
        let (holding, due) =
            leases.present(place, (subject, plan.slot), terms, (period_of(&span), limit), manner)?;
        let now = now.monotonic_nanos();
        due.soon(holding, subject, plan.slot, now.saturating_add(lending.interval()));
        holding.settle(day, change.signed(), from_hand, now);
        Some(())
    }

    /// What is left of the quota, for an answer.
    pub(super) fn announced_quota(&mut self, charge: &Charge<'_>) -> Option<(u64, u64)> {
        let (span, now) = (charge.span(), charge.now());
        let subject = self.entries.get(charge.index)?.subject();
        let left = self.leases.find(subject, charge.plan.slot)?.remaining()?;
        let limits = limits(charge.plan, &charge.in_force, &span, charge.demand);
        let spent = Spent { charged: as_charged(limits.quota?.limit, left), ..Spent::default() };
        announced(&limits, &spent, now).quota
    }

    /// What this process has used in a period, to tell a store that has lost it.
    pub(super) fn own_use(&self, subject: u128, plan: u32, first_day: i32) -> i64 {
        let entry = self.find(subject, |slot| slot == plan).and_then(|index| self.entries.get(index));
        entry.filter(|entry| entry.period == first_day).map_or(0, |entry| entry.charged)
    }
}

/// The limits that a process applies alone. `holders`: as many have units of the same key, if anybody knows.
pub(super) fn alone(limits: &mut Limits, lending: &Lending, policy: FailurePolicy, holders: u64) {
    let sharers = lending.sharers(holders);
    if let Some(quota) = &mut limits.quota {
        // The store may be back after an epoch, and its quota with it.
        let reset_seconds = quota.reset_seconds.min(lending.epoch_seconds());
        *quota = QuotaInForce { limit: quota.limit / sharers, reset_seconds, ..*quota };
    }
    if !lending.shares_throttles {
        return;
    }
    if policy == FailurePolicy::Allow {
        (limits.plan, limits.stage, limits.account) = (None, None, None);
    }
    if let Some(plan) = &mut limits.plan {
        plan.throttle = plan.throttle.share(sharers);
    }
    let share =
        |shared: SharedThrottle| SharedThrottle { throttle: shared.throttle.share(sharers), ..shared };
    (limits.stage, limits.account) = (limits.stage.map(share), limits.account.map(share));
}

/// A store that is away is tried again within seconds.
pub(super) fn unavailable() -> Refusal {
    Refusal { cause: Cause::UsageStoreUnavailable, retry_after: Some(1) }
}
