//! Where usage is shared: requests that are decided on what is in hand, and those that wait for the store.

use super::{
    claim::{Claim, Payer as ClaimPayer, Settled},
    directory::{Directory, InForce},
    future::Verdict,
    layer::{Config, Payer, Place, charge_nobody},
    lease::Ends,
    leased::{Charge, Leased},
    lending::Lending,
    numbers::Numbers,
    plans::UsagePlans,
    reservation::UsageReservation,
    shard::{Demand, Outcome},
    store::BucketAsk,
    verdict::{Admitted, Halt, Refused},
};
use crate::{
    context::{KeptCharge, RateLimit, RequestContext},
    throttle::SharedBucket,
};
use http::HeaderValue;
use std::sync::Arc;

impl Config {
    /// On what is in hand if that is enough; otherwise the store is to be asked.
    pub(super) fn decide_leased(
        &self,
        lending: &Lending,
        directory: &Directory,
        payer: &Payer<'_>,
        place: &Place<'_>,
        demand: &Demand<'_>,
        reserve: bool,
    ) -> Result<Admitted, Halt> {
        let Some((mut shard, index, plan)) = self.entry_of(directory, payer, place, demand)? else {
            return self.decide_nobody(lending, place, demand, reserve);
        };
        self.plans.keep_sweeping(lending);
        let in_force = plan.in_force(place);
        let charge = Charge { index, plan, in_force, demand, lending };
        let (leased, ask) = shard.charge_leased(&charge).ok_or_else(Refused::not_in_plan)?;
        drop(shard);
        if let Some(ask) = ask {
            self.plans.fly_ahead(lending, plan.slot, ask);
        }
        let numbers = || Numbers::new(Some(plan), in_force.throttle, demand);
        let mut claim = match leased {
            Leased::Decided(outcome) => {
                note_headroom(place.context, numbers, &outcome);
                return Ok(self.decided(in_force.policy, &outcome, place, demand, reserve, numbers)?);
            }
            waits => Claim::new(&self.plans, place, demand, &waits),
        };
        claim.payer = Some(claim_payer(payer, plan.slot, &in_force));
        let seen = Seen { context: place.context.clone(), numbers: numbers() };
        Err(Halt::Wait(wait(claim, in_force.policy.filter(|_| self.headers).cloned(), reserve, seen)))
    }

    fn decided(
        &self,
        policy: Option<&HeaderValue>,
        outcome: &Outcome,
        place: &Place<'_>,
        demand: &Demand<'_>,
        reserve: bool,
        numbers: impl FnOnce() -> Numbers,
    ) -> Result<Admitted, Refused> {
        let rate_limit = self.rate_limit(policy, outcome.announced);
        if let Some(refusal) = outcome.refusal {
            return Err(Refused::new(refusal, rate_limit, place.context, numbers));
        }
        let reservation = self.keep(place.context, demand, outcome.charged, outcome.shared, reserve);
        Ok(Admitted { rate_limit, reservation })
    }

    fn decide_nobody(
        &self,
        lending: &Lending,
        place: &Place<'_>,
        demand: &Demand<'_>,
        reserve: bool,
    ) -> Result<Admitted, Halt> {
        if lending.decides_tokens(false, demand) {
            let claim = Claim::new(&self.plans, place, demand, &Leased::Lacks { ends: Ends::default() });
            let seen = Seen { context: place.context.clone(), numbers: Numbers::new(None, None, demand) };
            return Err(Halt::Wait(wait(claim, None, reserve, seen)));
        }
        let shared = charge_nobody(place.context, demand)?;
        Ok(Admitted {
            rate_limit: None,
            reservation: self.keep(place.context, demand, None, shared, reserve),
        })
    }
}

fn claim_payer(payer: &Payer<'_>, slot: u32, in_force: &InForce<'_>) -> ClaimPayer {
    let subject = match payer {
        Payer::Key(subject) | Payer::Principal(subject, _) => *subject,
        Payer::Nobody => 0,
    };
    let InForce { throttle, cause, method, .. } = *in_force;
    ClaimPayer { subject, slot, throttle, cause, method }
}

impl Claim {
    /// Of nobody, until a payer is named.
    fn new(plans: &UsagePlans, place: &Place<'_>, demand: &Demand<'_>, leased: &Leased) -> Self {
        let (ends, promise) = match *leased {
            Leased::Lacks { ends } => (ends, None),
            Leased::Tokens(promise) => (Ends::default(), Some(promise)),
            Leased::Decided(_) => (Ends::default(), None),
        };
        let stage_name = place.method.and_then(|method| method.stage());
        Self {
            plans: plans.clone(),
            payer: None,
            stage: demand.stage.cloned(),
            stage_name: stage_name.map_or_else(|| "".into(), |stage| Arc::clone(&stage.name)),
            account: demand.account.cloned(),
            cost: demand.cost,
            started: plans.now(),
            promise,
            ends,
            queued: false,
            asked: 0,
        }
    }
}

/// What a reservation needs to know of a claim.
struct Kept {
    plans: UsagePlans,
    cost: u32,
    stage: Option<SharedBucket>,
    account: Option<SharedBucket>,
}

impl Kept {
    fn of(claim: &Claim) -> Self {
        let Claim { plans, cost, stage, account, .. } = claim;
        Self { plans: plans.clone(), cost: *cost, stage: stage.clone(), account: account.clone() }
    }

    fn reservation(self, outcome: &Outcome, buckets: Option<Vec<BucketAsk>>) -> UsageReservation {
        let (stage, account) = outcome.shared.only(self.stage.as_ref(), self.account.as_ref());
        UsageReservation::new(self.plans.clone(), self.cost, outcome.charged, stage, account, buckets)
    }
}

/// For whoever looks into a request: where to note what its limits are.
struct Seen {
    context: RequestContext,
    numbers: Numbers,
}

#[cfg(feature = "access-log")]
pub(super) fn note_headroom(context: &RequestContext, numbers: impl FnOnce() -> Numbers, outcome: &Outcome) {
    context.note_headroom(|| numbers().headroom(outcome.announced));
}

#[cfg(not(feature = "access-log"))]
pub(super) fn note_headroom(_: &RequestContext, _: impl FnOnce() -> Numbers, _: &Outcome) {}

fn wait(claim: Claim, policy: Option<HeaderValue>, reserve: bool, seen: Seen) -> Verdict {
    Box::pin(async move {
        let may_be_refused = seen.context.may_be_refused_late();
        let kept = (reserve || may_be_refused).then(|| Kept::of(&claim));
        let Settled { outcome, buckets } = claim.settle().await;
        let outcome = outcome.ok_or_else(Refused::not_in_plan)?;
        let Seen { context, numbers } = seen;
        note_headroom(&context, || numbers.clone(), &outcome);
        let rate_limit = policy.map(|policy| RateLimit { policy, announced: outcome.announced });
        match outcome.refusal {
            Some(refusal) => Err(Refused::new(refusal, rate_limit, &context, || numbers)),
            None => {
                let reservation = kept.map(|kept| kept.reservation(&outcome, buckets));
                if let Some(reservation) = reservation.as_ref().filter(|_| may_be_refused) {
                    context.set_charge(KeptCharge::Handle(reservation.handle()));
                }
                Ok(Admitted { rate_limit, reservation: reservation.filter(|_| reserve) })
            }
        }
    })
}
