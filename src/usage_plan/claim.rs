//! A request that waits for the store: what it asks for, owned, and how it is decided in the end. Dropped, it gives back
//! what it was promised.

use super::{
    admit::{Limits, Refusal, Shadowed, SharedThrottle, Spent, TookShared, whole_seconds},
    directory::{InForce, PlanState},
    lease::Ends,
    leased::{Charge, Leased, Promise, alone, unavailable},
    lending::{Lending, Taking},
    plans::UsagePlans,
    shard::{Demand, Outcome, Shard, charge_shared},
    store::{BucketAsk, BucketId, BucketLevel, Counter, LeaseAsk, ThrottleAsk, Tokens},
};
use crate::{
    clock::Timestamp,
    context::Announced,
    response::Cause,
    store::{Decided, FailurePolicy, StoreFailure},
    throttle::{
        SharedBucket, Throttle,
        bucket::{Bucket, BucketVerdict},
    },
};
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};
use tokio::sync::oneshot;

/// A key or principal on a plan, and the throttle in force for this request.
#[derive(Debug)]
pub(super) struct Payer {
    pub(super) subject: u128,
    pub(super) slot: u32,
    pub(super) throttle: Option<Throttle>,
    pub(super) cause: Cause,
    pub(super) method: Option<u64>,
}

/// What a waiting request asks for.
pub(super) struct Claim {
    pub(super) plans: UsagePlans,
    /// `None`: only the throttles of stage and account apply.
    pub(super) payer: Option<Payer>,
    pub(super) stage: Option<SharedBucket>,
    pub(super) stage_name: Arc<str>,
    pub(super) account: Option<SharedBucket>,
    pub(super) cost: u32,
    pub(super) started: Timestamp,
    /// What the quota has for it.
    pub(super) promise: Option<Promise>,
    /// How asks for units had ended before this request came.
    pub(super) ends: Ends,
    pub(super) queued: bool,
    /// How often the store was asked for units.
    pub(super) asked: u32,
}

/// What became of a claim.
pub(super) struct Settled {
    /// `None`: the key has left the plan.
    pub(super) outcome: Option<Outcome>,
    /// The buckets that were charged, where they are the store's.
    pub(super) buckets: Option<Vec<BucketAsk>>,
}

/// What comes next.
enum Step {
    Done(Option<Outcome>),
    Ask(LeaseAsk),
    Follow(oneshot::Receiver<()>),
    Pause,
    /// The quota is settled: now the throttles.
    Tokens,
    Failed,
}

/// Between two asks for units that other processes have in hand.
const SHORTEST_PAUSE: Duration = Duration::from_micros(500);
const LONGEST_PAUSE: Duration = Duration::from_millis(4);

impl Claim {
    /// Waits, and decides.
    pub(super) async fn settle(mut self) -> Settled {
        let plans = self.plans.clone();
        let Some(lending) = plans.lending() else { return Settled { outcome: None, buckets: None } };
        lending.guard.count_wait();
        loop {
            match self.step(lending) {
                Step::Done(outcome) => return Settled { outcome, buckets: None },
                Step::Failed => return self.settle_alone(lending),
                Step::Tokens => return self.settle_tokens(lending).await,
                Step::Ask(ask) => {
                    self.asked += 1;
                    if let Some(settled) = self.ask(lending, ask).await {
                        return settled;
                    }
                }
                Step::Follow(done) => self.follow(lending, done).await,
                Step::Pause => self.pause(lending).await,
            }
        }
    }

    /// Asks for units, and for the tokens with them: then the store may have decided.
    async fn ask(&mut self, lending: &Lending, ask: LeaseAsk) -> Option<Settled> {
        let (plans, rest) = (self.plans.clone(), self.rest(lending));
        let payer = self.payer.as_ref()?;
        let (slot, cost) = (payer.slot, self.cost);
        if !lending.decides_tokens(payer.throttle.is_some(), &self.demand()) {
            plans.fly(lending, slot, ask, rest).await;
            return None;
        }
        let tokens = self.tokens();
        let mut levels = None;
        let (promise, levels_of) = (&mut self.promise, &mut levels);
        let taking = Taking { tokens: &tokens, cost, levels: levels_of, promise };
        plans.fly_taking(lending, slot, ask, Some(taking), rest).await;
        Some(self.settled(lending, tokens.buckets, &levels?))
    }

    fn rest(&self, lending: &Lending) -> Duration {
        lending.guard.deadline().saturating_sub(self.plans.now().since(self.started))
    }

    /// Waits for somebody else's ask, which ends no later than this one's deadline: it began before.
    async fn follow(&self, lending: &Lending, mut done: oneshot::Receiver<()>) {
        let mut timer = None;
        poll_fn(|cx| {
            if Pin::new(&mut done).poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let timer = timer.get_or_insert_with(|| self.plans.clock().sleep(self.rest(lending)));
            Pin::new(timer).poll(cx)
        })
        .await;
    }

    /// Others are asked to hand back what they have: that takes them a moment.
    async fn pause(&mut self, lending: &Lending) {
        self.asked += 1;
        if self.asked < 4 {
            return tokio::task::yield_now().await;
        }
        let longest = SHORTEST_PAUSE.saturating_mul(self.asked).min(LONGEST_PAUSE);
        let pause = longest.mul_f64(0.5 + fastrand::f64() / 2.0).min(self.rest(lending));
        self.plans.clock().sleep(pause).await;
    }

    fn demand(&self) -> Demand<'_> {
        let (stage, account) = (self.stage.as_ref(), self.account.as_ref());
        let (now, resumed) = (self.plans.now(), self.plans.resumed());
        Demand { stage, account, now, cost: self.cost, reserved: true, resumed }
    }

    /// Calls with the entry of the payer under its lock.
    fn with<T>(
        &self,
        lending: &Lending,
        call: impl FnOnce(&mut Shard, &Charge<'_>) -> Option<T>,
    ) -> Option<T> {
        let payer = self.payer.as_ref()?;
        let directory = self.plans.directory();
        let plan = directory.at(payer.slot)?;
        let demand = self.demand();
        let mut shard = self.plans.table().lock(payer.subject);
        let index = shard.find(payer.subject, |slot| slot == payer.slot)?;
        let Payer { throttle, cause, method, .. } = *payer;
        let in_force = InForce { throttle, past: plan.past_of(method), cause, method, policy: None };
        call(&mut shard, &Charge { index, plan, in_force, demand: &demand, lending })
    }

    fn step(&mut self, lending: &Lending) -> Step {
        if self.payer.is_none() || self.promise.is_some() {
            return Step::Tokens;
        }
        let late = self.rest(lending).is_zero();
        let (before, queued, asked) = (self.ends, self.queued, self.asked);
        // A store that has not said a word in all the time has failed too, whoever asked it.
        let has_failed =
            |ends: Ends| ends.failed != before.failed || (late && ends.answered == before.answered);
        let mut ahead = None;
        let stepped = self.with(lending, |shard, charge| {
            let (leased, ask) = shard.charge_leased(charge)?;
            ahead = ask.map(|ask| (charge.plan.slot, ask));
            Some(match leased {
                Leased::Decided(outcome) => (Step::Done(Some(outcome)), None),
                Leased::Tokens(promise) => (Step::Tokens, Some(promise)),
                Leased::Lacks { ends } if has_failed(ends) => (Step::Failed, None),
                Leased::Lacks { .. } if late => (Step::Done(Some(shard.waited_in_vain(charge)?)), None),
                Leased::Lacks { .. } => (shard.wait(charge, queued, asked)?, None),
            })
        });
        if let Some((slot, ask)) = ahead {
            self.plans.fly_ahead(lending, slot, ask);
        }
        let Some((step, promise)) = stepped else { return Step::Done(None) };
        self.promise = promise;
        self.queued |= matches!(step, Step::Ask(_) | Step::Follow(_) | Step::Pause);
        step
    }

    /// The buckets in the order in which a refusal is reported.
    fn buckets(&self) -> Vec<BucketAsk> {
        let directory = self.plans.directory();
        let payer = self.payer.as_ref().and_then(|payer| {
            let plan = directory.at(payer.slot)?;
            let counter = Counter::of(&plan.plan, payer.subject);
            let id = match payer.method {
                Some(method) => BucketId::Method(counter, method),
                None => BucketId::Key(counter),
            };
            let past = plan.past_of(payer.method).clone();
            Some(BucketAsk { id, throttle: payer.throttle?, past, shadow: plan.plan.throttle_is_shadow() })
        });
        let shared = |id: BucketId, bucket: &SharedBucket| BucketAsk {
            id,
            throttle: bucket.throttle,
            past: bucket.past.clone(),
            shadow: bucket.shadow,
        };
        let stage =
            |bucket: &SharedBucket| shared(BucketId::Stage(Arc::clone(&self.stage_name), bucket.id), bucket);
        let account = |bucket: &SharedBucket| shared(BucketId::Account, bucket);
        let others = self.stage.as_ref().map(stage).into_iter().chain(self.account.as_ref().map(account));
        payer.into_iter().chain(others).collect()
    }

    fn tokens(&self) -> ThrottleAsk {
        let now = self.plans.clock().virtual_unix_micros();
        ThrottleAsk { buckets: self.buckets(), tokens: Tokens::Take(self.cost), now }
    }

    async fn settle_tokens(mut self, lending: &Lending) -> Settled {
        let ask = self.tokens();
        let buckets = ask.buckets.clone();
        let answer: Result<Vec<BucketLevel>, StoreFailure> =
            lending.guard.call(self.rest(lending), || lending.store.throttle(ask)).await;
        match answer {
            Ok(levels) if levels.len() == buckets.len() => self.settled(lending, buckets, &levels),
            _ => self.settle_alone(lending),
        }
    }

    fn settled(&mut self, lending: &Lending, buckets: Vec<BucketAsk>, levels: &[BucketLevel]) -> Settled {
        let outcome = self.answered(lending, &buckets, levels);
        Settled { outcome, buckets: Some(charged(buckets, levels)) }
    }

    /// The store has decided on the throttles.
    fn answered(
        &mut self,
        lending: &Lending,
        buckets: &[BucketAsk],
        levels: &[BucketLevel],
    ) -> Option<Outcome> {
        let refusal = buckets.iter().zip(levels).find_map(|(bucket, level)| self.refusal(bucket, *level));
        let throttle = self.announced(buckets, levels);
        if let Some(refusal) = refusal {
            self.release();
            let mut outcome = Outcome::refused(refusal);
            outcome.announced.quota = self.with(lending, |shard, charge| shard.announced_quota(charge));
            outcome.announced.throttle = throttle;
            return Some(outcome);
        }
        let shadowed = self.shadowed(buckets, levels);
        let Some(promise) = self.promise.take() else { return Some(Outcome::admitted()) };
        let mut outcome = self.with(lending, |shard, charge| shard.consume(charge, promise, shadowed))?;
        outcome.announced.throttle = throttle;
        outcome.charged.iter_mut().for_each(|charged| charged.elsewhere = true);
        Some(outcome)
    }

    fn refusal(&self, bucket: &BucketAsk, level: BucketLevel) -> Option<Refusal> {
        if !level.lacked || bucket.shadow {
            return None;
        }
        let cause = match bucket.id {
            BucketId::Key(_) | BucketId::Method(..) => self.payer.as_ref()?.cause,
            BucketId::Stage(..) => Cause::StageMethodThrottle,
            BucketId::Account => Cause::AccountThrottle,
        };
        let kept = Bucket::with_deficit(level.deficit, 0);
        let retry_after = match kept.check(bucket.throttle, 0, self.cost) {
            BucketVerdict::Refuse { retry_after_nanos } => retry_after_nanos.map(whole_seconds),
            BucketVerdict::Admit(_) => Some(1),
        };
        Some(Refusal { cause, retry_after })
    }

    fn shadowed(&self, buckets: &[BucketAsk], levels: &[BucketLevel]) -> Shadowed {
        let mut shadowed = Shadowed::default();
        for (bucket, _) in buckets.iter().zip(levels).filter(|(_, level)| level.lacked) {
            match bucket.id {
                BucketId::Key(_) | BucketId::Method(..) => shadowed.throttle = true,
                BucketId::Stage(..) => self.stage.iter().for_each(|stage| stage.slot.count_shadowed()),
                BucketId::Account => self.account.iter().for_each(|account| account.slot.count_shadowed()),
            }
        }
        shadowed
    }

    /// Of the plan's throttle, unless it is in shadow mode.
    fn announced(&self, buckets: &[BucketAsk], levels: &[BucketLevel]) -> Option<(u32, Option<u64>)> {
        let (bucket, level) = buckets.iter().zip(levels).next()?;
        if bucket.shadow || self.payer.as_ref().is_none_or(|payer| payer.throttle.is_none()) {
            return None;
        }
        let kept = Bucket::with_deficit(level.deficit, 0);
        Some((kept.available(bucket.throttle, 0), kept.full_in(bucket.throttle, 0).map(whole_seconds)))
    }

    /// The store has failed.
    fn settle_alone(mut self, lending: &Lending) -> Settled {
        let directory = self.plans.directory();
        let plan = self.payer.as_ref().and_then(|payer| directory.at(payer.slot));
        let policy = lending.policy(plan);
        let promise = self.promise;
        let outcome = match self.payer {
            Some(_) => self.with(lending, |shard, charge| shard.charge_alone(charge, policy, promise)),
            None => Some(self.charge_nobody_alone(lending, policy)),
        };
        let admitted = outcome.as_ref().is_some_and(|outcome| outcome.refusal.is_none());
        if admitted {
            self.promise = None;
        }
        let decided = if admitted { Decided::Admitted } else { Decided::Refused };
        lending.guard.count(policy, decided, self.cost.into());
        Settled { outcome, buckets: None }
    }

    fn charge_nobody_alone(&self, lending: &Lending, policy: FailurePolicy) -> Outcome {
        if policy == FailurePolicy::Deny {
            return Outcome::refused(unavailable());
        }
        let demand = self.demand();
        let mut limits = Limits {
            stage: self.stage.as_ref().map(SharedThrottle::of),
            account: self.account.as_ref().map(SharedThrottle::of),
            ..Limits::default()
        };
        alone(&mut limits, lending, policy, 0);
        let verdict = charge_shared(&limits, &mut Spent::default(), &demand);
        let shared = TookShared::of(&limits, verdict);
        Outcome { refusal: verdict.err(), shared, ..Outcome::admitted() }
    }
}

/// The buckets that a cost known later changes too: those that had the tokens, as in memory.
fn charged(buckets: Vec<BucketAsk>, levels: &[BucketLevel]) -> Vec<BucketAsk> {
    let charged = buckets.into_iter().zip(levels);
    charged.filter(|(_, level)| !level.lacked).map(|(bucket, _)| bucket).collect()
}

impl Outcome {
    fn admitted() -> Self {
        Self { refusal: None, announced: Announced::default(), charged: None, shared: TookShared::default() }
    }

    pub(super) fn refused(refusal: Refusal) -> Self {
        Self { refusal: Some(refusal), ..Self::admitted() }
    }
}

/// Waiting, under the lock.
impl Shard {
    /// Asks, or waits for the ask that is under way, or pauses where the last one has not helped.
    fn wait(&mut self, charge: &Charge<'_>, queued: bool, asked: u32) -> Option<Step> {
        let (subject, cost) = (self.entries.get(charge.index)?.subject(), charge.demand.cost.into());
        let manner = |plan: &PlanState| charge.lending.manner(plan, subject, charge.demand.now);
        let holding = self.leases.find(subject, charge.plan.slot)?;
        if !queued {
            holding.queue_up(cost);
        }
        if holding.is_asking() {
            return Some(Step::Follow(holding.follow()));
        }
        // An even number of steps lies behind: asked, paused, asked, ...
        if asked % 2 == 1 {
            return Some(Step::Pause);
        }
        Some(Step::Ask(holding.ask_for_waiting(manner(charge.plan), cost)))
    }
}

impl Claim {
    /// Gives back what was promised, and stops to wait.
    fn release(&mut self) {
        let (promise, queued) = (self.promise.take(), std::mem::take(&mut self.queued));
        let Some(payer) = self.payer.as_ref().filter(|_| queued || promise.is_some()) else { return };
        let mut shard = self.plans.table().lock(payer.subject);
        let Some(holding) = shard.leases.find(payer.subject, payer.slot) else { return };
        if queued {
            holding.leave_queue(self.cost.into());
        }
        let units = promise.map_or(0, |promise| promise.units_in(holding));
        if units > 0 {
            holding.release(units, self.plans.now().monotonic_nanos());
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.release();
    }
}
