//! The store of shared usage as one process sees it: who it is, and the asks that are under way.

use super::{
    directory::{InForce, PlanState},
    lease::{After, Holding, Manner, Names},
    leased::Promise,
    plans::UsagePlans,
    quota::Span,
    shard::Demand,
    store::{
        BucketLevel, Counter, KEPT_AFTER_END, LeaseAsk, Period, Taken, ThrottleAsk, UsageListener, UsageStore,
    },
};
use crate::{
    clock::{Clock, Timestamp},
    store::{FailurePolicy, StoreFailure, StoreFuture, StoreGuard, StoreOptions},
};
use std::{
    fmt,
    future::Future,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{runtime::Handle, task::JoinSet};

/// A process's side of a store.
pub(super) struct Lending {
    pub(super) store: Arc<dyn UsageStore>,
    pub(super) guard: StoreGuard,
    pub(super) epoch: Duration,
    pub(super) shares_throttles: bool,
    clock: Clock,
    /// The upper half of every holder's name; random, so that no other process has it.
    process: u64,
    numbers: AtomicU64,
    runtime: OnceLock<Handle>,
    sweeping: AtomicBool,
    /// Who listens to the store; it goes with the process's handle.
    pub(super) listener: OnceLock<Arc<Listener>>,
}

impl fmt::Debug for Lending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lending").field("store", &self.store).finish_non_exhaustive()
    }
}

/// Asks that are made at the same time when many are due.
const AT_ONCE: usize = 64;
/// An ask whose answer was that it must be made again is made so often.
const TRIES: usize = 3;

impl Lending {
    pub(super) fn new(
        store: Arc<dyn UsageStore>,
        options: StoreOptions,
        epoch: Duration,
        clock: Clock,
    ) -> Self {
        Self {
            shares_throttles: store.shares_throttles(),
            guard: StoreGuard::new("usage", options, clock.clone()),
            store,
            epoch,
            clock,
            process: RandomState::new().hash_one("process"),
            numbers: AtomicU64::new(1),
            runtime: OnceLock::new(),
            sweeping: AtomicBool::new(false),
            listener: OnceLock::new(),
        }
    }

    pub(super) fn policy(&self, plan: Option<&PlanState>) -> FailurePolicy {
        let own = plan.and_then(|plan| plan.plan.failure_policy());
        own.unwrap_or_else(|| self.guard.options().failure_policy())
    }

    /// Of how many processes this one is, when the store has last counted `holders` of a key.
    pub(super) fn sharers(&self, holders: u64) -> u64 {
        self.guard.options().sharers(holders.max(self.store.processes()))
    }

    pub(super) fn names(&self) -> Names {
        let number = self.numbers.fetch_add(1, Relaxed);
        Names { holder: u128::from(self.process) << 64 | u128::from(number), seq: number }
    }

    pub(super) fn manner(&self, plan: &PlanState, subject: u128, now: Timestamp) -> Manner {
        self.manner_of(Counter::of(&plan.plan, subject), plan.span(now.unix_seconds()).day, now)
    }

    fn manner_of(&self, counter: Counter, day: i32, now: Timestamp) -> Manner {
        Manner {
            counter,
            names: self.names(),
            epoch: self.epoch,
            day,
            now: now.monotonic_nanos(),
            virtual_now: self.clock.virtual_unix_micros(),
        }
    }

    /// How often a holder is heard of: what was not used for so long is back before its lease ends.
    pub(super) fn interval(&self) -> u64 {
        u64::try_from(self.epoch.as_nanos() / 3).unwrap_or(u64::MAX)
    }

    /// Whole seconds of an epoch, rounded up: when units that others hold are back.
    pub(super) fn epoch_seconds(&self) -> u64 {
        self.epoch.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
    }

    /// Does the store decide on tokens of this request?
    pub(super) fn decides_tokens(&self, throttled: bool, demand: &Demand<'_>) -> bool {
        let any = throttled || demand.stage.is_some() || demand.account.is_some();
        self.shares_throttles && any && demand.cost > 0
    }

    pub(super) fn decides_tokens_of(&self, in_force: &InForce<'_>, demand: &Demand<'_>) -> bool {
        self.decides_tokens(in_force.throttle.is_some(), demand)
    }

    /// Asks for units, and where the store can for tokens with them.
    fn ask(&self, ask: LeaseAsk, tokens: Option<&ThrottleAsk>) -> StoreFuture<Taken> {
        if let Some(taken) = tokens.and_then(|tokens| self.store.take(&ask, tokens)) {
            return taken;
        }
        let asked = self.store.lease(ask);
        Box::pin(async { asked.await.map(|lease| Taken { lease, levels: None }) })
    }

    /// Where work in the background is done: the runtime that first asked for it.
    pub(super) fn runtime(&self) -> Option<&Handle> {
        if let Some(runtime) = self.runtime.get() {
            return Some(runtime);
        }
        let current = Handle::try_current().ok()?;
        Some(self.runtime.get_or_init(|| current))
    }
}

/// The period that a span stands in.
pub(super) fn period_of(span: &Span) -> Period {
    Period {
        start: span.window_start,
        end: span.window_end,
        first_day: span.window_day,
        end_day: span.next_window_day,
    }
}

/// An ask under way. Given up, it lets others ask.
struct Flight<'a> {
    plans: &'a UsagePlans,
    plan: u32,
    ask: Option<LeaseAsk>,
    taking: Option<Taking<'a>>,
}

/// A request that needs tokens with its units, and what it got.
pub(super) struct Taking<'a> {
    pub(super) tokens: &'a ThrottleAsk,
    pub(super) cost: u32,
    /// What the store said of the buckets.
    pub(super) levels: &'a mut Option<Vec<BucketLevel>>,
    /// What it was promised, if it was admitted.
    pub(super) promise: &'a mut Option<Promise>,
}

impl Taking<'_> {
    /// Under the lock that the units came under: nobody else may spend them, since the tokens are taken. Those of a
    /// period that is over did not come in hand, and the next one's are not promised for them.
    fn landed(&mut self, holding: &mut Holding, period: i64, levels: Option<Vec<BucketLevel>>) {
        let levels = levels.filter(|levels| levels.len() == self.tokens.buckets.len());
        if levels.as_ref().is_some_and(|levels| !self.tokens.is_refused(levels)) {
            let promise = Promise { period, units: self.cost.into() };
            holding.reserve(promise.units_in(holding));
            *self.promise = Some(promise);
        }
        *self.levels = levels;
    }
}

impl Flight<'_> {
    /// What comes next is given back: another ask, at once.
    fn landed(
        &mut self,
        lending: &Lending,
        answer: Result<Taken, StoreFailure>,
        sent: u64,
    ) -> Option<LeaseAsk> {
        let ask = self.ask.take()?;
        let (subject, now) = (ask.counter.subject, self.plans.now());
        let directory = self.plans.directory();
        let mut shard = self.plans.table().lock(subject);
        let own = shard.own_use(subject, self.plan, ask.period.first_day);
        let holding = shard.leases.find(subject, self.plan)?;
        let Taken { lease, levels } = match answer {
            Ok(taken) => taken,
            Err(failure) => {
                holding.unanswered(&ask, !matches!(failure, StoreFailure::Hurried));
                return None;
            }
        };
        let after = holding.answered(&ask, &lease, sent, now.monotonic_nanos(), own, lending.names());
        if let Some(mut taking) = self.taking.take_if(|_| levels.is_some()) {
            taking.landed(holding, ask.period.start, levels);
        }
        let manner = lending.manner(directory.at(self.plan)?, subject, now);
        match after {
            After::Done => None,
            After::Again => Some(holding.ask_again(manner, &ask)),
            After::HandBack => {
                let ask = holding.hand_back(manner);
                drop(shard);
                // Whoever waits for this flight has what it came for.
                self.plans.fly_ahead(lending, self.plan, ask);
                None
            }
        }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        if let Some(ask) = self.ask.take() {
            self.plans.give_up(self.plan, &ask);
        }
    }
}

/// Asking the store.
impl UsagePlans {
    /// Makes an ask, and what follows from it, within a time.
    pub(super) async fn fly(&self, lending: &Lending, plan: u32, ask: LeaseAsk, within: Duration) {
        self.fly_taking(lending, plan, ask, None, within).await;
    }

    /// The same for a request that needs tokens too, where the store can do both at once.
    pub(super) async fn fly_taking(
        &self,
        lending: &Lending,
        plan: u32,
        ask: LeaseAsk,
        taking: Option<Taking<'_>>,
        within: Duration,
    ) {
        let started = self.now();
        let mut flight = Flight { plans: self, plan, ask: Some(ask), taking };
        for _ in 0..TRIES {
            let Some(ask) = flight.ask.clone() else { return };
            let sent = self.now();
            let rest = within.saturating_sub(sent.since(started));
            let tokens = flight.taking.as_ref().map(|taking| taking.tokens);
            let answer = lending.guard.call(rest, || lending.ask(ask, tokens)).await;
            flight.ask = flight.landed(lending, answer, sent.monotonic_nanos());
        }
    }

    /// The same in the background.
    pub(super) fn fly_ahead(&self, lending: &Lending, plan: u32, ask: LeaseAsk) {
        let Some(runtime) = lending.runtime() else { return self.give_up(plan, &ask) };
        let (plans, deadline) = (self.clone(), lending.guard.deadline());
        runtime.spawn(async move {
            if let Some(lending) = plans.lending() {
                plans.fly(lending, plan, ask, deadline).await;
            }
        });
    }

    /// Nobody waits for the answer: others may ask.
    fn give_up(&self, plan: u32, ask: &LeaseAsk) {
        let mut shard = self.table().lock(ask.counter.subject);
        if let Some(holding) = shard.leases.find(ask.counter.subject, plan) {
            holding.unanswered(ask, false);
        }
    }

    /// Starts the task that reports what is used and hands back what is not, once.
    pub(super) fn keep_sweeping(&self, lending: &Lending) {
        if lending.sweeping.load(Relaxed) {
            return;
        }
        let Some(runtime) = lending.runtime() else { return };
        if !lending.sweeping.swap(true, Relaxed) {
            runtime.spawn(sweep(self.downgrade(), self.clock().clone(), lending.epoch));
        }
    }

    /// Makes all asks that are due.
    async fn sweep_once(&self, lending: &Lending) {
        let now = self.now();
        let again = now.monotonic_nanos().saturating_add(lending.interval());
        let (mut asks, mut farewells) = (Vec::new(), Vec::new());
        for mut shard in self.table().iter() {
            // Read under the lock: a plan that is not in it is gone, and not yet to come.
            let directory = self.directory();
            let manner = |subject, plan| Some(lending.manner(directory.at(plan)?, subject, now));
            asks.extend(shard.leases.sweep(now.monotonic_nanos(), again, manner));
            farewells.append(&mut shard.leases.take_farewells());
        }
        self.make_all(asks).await;
        self.say_farewells(farewells, now.unix_seconds()).await;
    }

    async fn make_all(&self, asks: Vec<(u32, LeaseAsk)>) {
        self.some_at_once(asks, |plans, (plan, ask)| async move {
            if let Some(lending) = plans.lending() {
                plans.fly(lending, plan, ask, lending.guard.deadline()).await;
            }
        })
        .await;
    }

    /// The last statement of a period is made until the store has heard it, or has forgotten the period.
    async fn say_farewells(&self, farewells: Vec<LeaseAsk>, unix: i64) {
        self.some_at_once(farewells, |plans, ask| async move {
            let Some(lending) = plans.lending() else { return };
            let said =
                lending.guard.call(lending.guard.deadline(), || lending.store.lease(ask.clone())).await;
            let forgotten = unix > ask.period.end.saturating_add(KEPT_AFTER_END.as_secs() as i64);
            if said.is_err() && !forgotten {
                plans.table().lock(ask.counter.subject).leases.put_farewell(ask);
            }
        })
        .await;
    }

    async fn some_at_once<T, F>(&self, all: Vec<T>, act: impl Fn(Self, T) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut under_way = JoinSet::new();
        for one in all {
            if under_way.len() >= AT_ONCE {
                under_way.join_next().await;
            }
            under_way.spawn(act(self.clone(), one));
        }
        while under_way.join_next().await.is_some() {}
    }

    /// Reports all that was used and hands back all that is in hand, before the process ends. What is not handed back is
    /// taken for used when its lease ends. Nothing to do without a store.
    pub async fn hand_back(&self) {
        let Some(lending) = self.lending() else { return };
        let now = self.now();
        let (mut asks, mut farewells) = (Vec::new(), Vec::new());
        for mut shard in self.table().iter() {
            let directory = self.directory();
            farewells.append(&mut shard.leases.take_farewells());
            asks.extend(
                shard.leases.all(|subject, plan| Some(lending.manner(directory.at(plan)?, subject, now))),
            );
        }
        self.make_all(asks).await;
        self.say_farewells(farewells, now.unix_seconds()).await;
    }
}

/// Sleeps, for a random time so that processes do not come together, and makes what is due, for as long as anybody has
/// the handle.
async fn sweep(plans: super::plans::WeakPlans, clock: Clock, epoch: Duration) {
    loop {
        clock.sleep(epoch.mul_f64(0.09 + 0.07 * fastrand::f64())).await;
        let Some(plans) = plans.upgrade() else { return };
        let Some(lending) = plans.lending() else { return };
        plans.sweep_once(lending).await;
    }
}

/// Told of what other processes did.
pub(super) struct Listener(pub(super) super::plans::WeakPlans);

impl UsageListener for Listener {
    fn recalled(&self, counter: &Counter) {
        let Some(plans) = self.0.upgrade() else { return };
        let Some(lending) = plans.lending() else { return };
        let directory = plans.directory();
        let Some(plan) = directory.named(&counter.plan) else { return };
        let mut shard = plans.table().lock(counter.subject);
        let Some(holding) = shard.leases.find(counter.subject, plan.slot) else { return };
        if holding.recall() {
            let ask = holding.hand_back(lending.manner(plan, counter.subject, plans.now()));
            drop(shard);
            plans.fly_ahead(lending, plan.slot, ask);
        }
    }

    fn changed(&self, counter: &Counter) {
        let Some(plans) = self.0.upgrade() else { return };
        let directory = plans.directory();
        let Some(plan) = directory.named(&counter.plan) else { return };
        if let Some(holding) = plans.table().lock(counter.subject).leases.find(counter.subject, plan.slot) {
            holding.changed();
        }
    }
}
