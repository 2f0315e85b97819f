//! The seam for usage that many processes share, or that survives a restart: [`UsageStore`].
//!
//! # How to add a store
//!
//! Implement [`UsageStore`] and give it to `UsagePlans::builder().store(..)`. A store keeps two kinds of state, and
//! decides nothing else: no header, status, plan or failure policy ever reaches it. Deadlines, the breaker and what
//! happens when it fails are around it, the same for every store; a future that is dropped has simply not been awaited.
//!
//! **Counters** (quotas and use). One for each [`Counter`] (key and plan) and [`Period`], with one record for each
//! *holder*, which is a process that has units of it in hand:
//!
//! ```text
//! charged: i64                    // used, less what was granted on top, plus all that is held
//! holders: holder -> { seq, until, held, used: day -> units }
//! days:    day -> units           // of the key and plan, over all periods, 90 days
//! ```
//!
//! [`LeaseAsk`] is not a list of changes but a statement of what holds: "my use is *so much* on these days, I keep *so
//! much* in hand, and would like more". So it may be lost, be executed twice, be executed late or have its answer lost,
//! and the next one repairs everything. [`LeaseLedger`](super::LeaseLedger) is all of this arithmetic without I/O, for a
//! store in the process and as the model of one that is not. An ask is executed at one instant, in this order:
//!
//! 1. *Lapse*: each record whose `until` has come and that holds units: they are added to its use of the last day it
//!    listed, and to `days` (`charged` stays), and `held` becomes 0. They are never lent again, so nothing is ever
//!    admitted twice.
//! 2. *Find the record.* No counter: if the ask is `fresh`, make one, `charged` being what `days` says of the period's
//!    days; otherwise answer [`Standing::Lost`]. No record: if the ask is `fresh`, make one; otherwise
//!    [`Standing::Settled`]. A record with a `seq` that is not below the ask's: [`Standing::Stale`]. These three answers
//!    change nothing (but 1.).
//! 3. *Replace.* For each listed day, the difference to the record's use of that day (0 if it has none) is added to
//!    `charged` and to `days`; days of the record that are not listed leave it, and are final. A cost may become known
//!    later still: then the day is listed again, with what is to be added to it. `hold - held` is added to `charged`.
//! 4. *Grant.* `pool = limit - charged`; [`LeaseAsk::grant`] says how much of it, from the number of records with
//!    `until` after now (this one included). Add it to `held` and to `charged`, and let `until` be now + `epoch`.
//! 5. *Recall.* If `need` was not granted and other live records hold units: tell their processes
//!    ([`UsageListener::recalled`]).
//!
//! A record that holds nothing may be deleted after its `until` and [`KEPT_AFTER_END`] have passed; a counter after its
//! period and `KEPT_AFTER_END` have. Both have at most so much time to live.
//!
//! **Buckets** (throttles), if [`shares_throttles`](UsageStore::shares_throttles) says so. The arithmetic is that of
//! [`bucket`](crate::throttle::bucket), exactly: one token is 10^18 units, [`Throttle::nano_rate`] units are added each
//! nanosecond. [`ThrottleAsk`] names all buckets of a request, which are charged together or not at all. A
//! request that needs units and tokens is decided in one call by a store that implements [`UsageStore::take`].
//!
//! **Deletions.** A plan's deletion calls [`UsageStore::forget_plan`] in the background: no request waits for it, and it
//! is not called again. What it did not reach ends by itself when its time to live is over.
//!
//! A store in the process, of two sets of plans that could as well be two processes:
//!
//! ```
//! use std::{collections::HashMap, future::ready, sync::{Arc, Mutex}};
//! use tower_gateway::{store::StoreFuture, usage_plan::{LeaseLedger, Quota, QuotaPeriod, UsagePlan, UsagePlanLayer, UsagePlans, store::*}};
//! # use bytes::Bytes;
//! # use http::{Request, Response};
//! # use http_body_util::Full;
//! # use tower::{Layer, ServiceExt, ServiceBuilder, service_fn};
//! # use tower_gateway::context::PrincipalLayer;
//!
//! #[derive(Clone, Debug, Default)]
//! struct InProcess(Arc<Mutex<HashMap<Counter, LeaseLedger>>>);
//!
//! # fn now() -> u64 { 1_795_331_880_000_000 }
//! impl InProcess {
//!     fn at<T>(&self, counter: &Counter, act: impl FnOnce(&mut LeaseLedger) -> T) -> StoreFuture<T>
//!     where
//!         T: Send + 'static,
//!     {
//!         let done = act(self.0.lock().unwrap().entry(counter.clone()).or_default());
//!         Box::pin(ready(Ok(done)))
//!     }
//! }
//!
//! impl UsageStore for InProcess {
//!     fn shares_throttles(&self) -> bool {
//!         false
//!     }
//!     fn lease(&self, ask: LeaseAsk) -> StoreFuture<Lease> {
//!         self.at(&ask.counter, |ledger| ledger.ask(&ask, ask.now.unwrap_or_else(now)))
//!     }
//!     fn throttle(&self, _: ThrottleAsk) -> StoreFuture<Vec<BucketLevel>> {
//!         Box::pin(ready(Ok(Vec::new()))) // never asked
//!     }
//!     fn usage(&self, ask: UsageAsk) -> StoreFuture<StoredUsage> {
//!         self.at(&ask.counter, |ledger| ledger.usage(&ask, ask.now.unwrap_or_else(now)))
//!     }
//!     fn set_remaining(&self, ask: RemainingAsk) -> StoreFuture<()> {
//!         self.at(&ask.counter, |ledger| ledger.set_remaining(&ask, ask.now.unwrap_or_else(now)))
//!     }
//!     fn forget(&self, counter: Counter) -> StoreFuture<()> {
//!         self.at(&counter, |ledger| *ledger = LeaseLedger::default())
//!     }
//!     fn forget_plan(&self, plan: Arc<str>) -> StoreFuture<()> {
//!         self.0.lock().unwrap().retain(|counter, _| counter.plan != plan);
//!         Box::pin(ready(Ok(())))
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let store = InProcess::default();
//! let process = || {
//!     let plan = UsagePlan::new("three").quota(Quota::new(3, QuotaPeriod::Day).unwrap());
//!     let plans = UsagePlans::builder().plan(plan).store(store.clone()).build().unwrap();
//!     ServiceBuilder::new()
//!         .layer(PrincipalLayer::new(|_| Some("alice".to_owned())))
//!         .layer(UsagePlanLayer::new(plans).plan_by_principal(|_| Some("three".to_owned())))
//!         .service(service_fn(|_: Request<()>| async {
//!             Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::from("ok")))
//!         }))
//! };
//! let (one, two) = (process(), process());
//! let mut statuses = Vec::new();
//! for service in [&one, &two, &one, &two] {
//!     statuses.push(service.clone().oneshot(Request::new(())).await.unwrap().status().as_u16());
//! }
//! assert_eq!(statuses, [200, 200, 200, 429]);
//! # });
//! ```
//!
//! Both kinds of ask carry `now` where time is virtual (a `ManualClock`), so that a store can be tested against memory;
//! in production it is `None` and the store's own time counts, the same for all processes.

use super::plan::UsagePlan;
use crate::{
    store::StoreFuture,
    throttle::{PastRates, Throttle},
};
use std::{
    fmt,
    ops::Range,
    sync::{Arc, Weak},
    time::Duration,
};

/// How long what is over is remembered, for holders that come late.
pub const KEPT_AFTER_END: Duration = Duration::from_secs(600);

/// Where quotas, use and, with some stores, throttles are kept; see the [module docs](self).
pub trait UsageStore: fmt::Debug + Send + Sync + 'static {
    /// Whether [`throttle`](Self::throttle) decides on tokens. If not, buckets stay in the process's memory.
    fn shares_throttles(&self) -> bool;

    /// Executes an ask of a holder.
    fn lease(&self, ask: LeaseAsk) -> StoreFuture<Lease>;

    /// Changes all buckets of a request, or, where one refuses a [`Tokens::Take`], none. The answer has one level for
    /// each bucket, in the order of the ask.
    fn throttle(&self, ask: ThrottleAsk) -> StoreFuture<Vec<BucketLevel>>;

    /// Both at once, for a request that has no units in hand and needs tokens too: executes the ask, and takes the tokens
    /// if [`LeaseAsk::least`] was granted. Where a bucket refuses them no bucket is charged and nothing is granted; the
    /// rest of the ask stays executed. `None`: this store cannot, and is asked for one after the other.
    fn take(&self, ask: &LeaseAsk, tokens: &ThrottleAsk) -> Option<StoreFuture<Taken>> {
        let _cannot = (ask, tokens);
        None
    }

    /// What is known of a counter's use.
    fn usage(&self, ask: UsageAsk) -> StoreFuture<StoredUsage>;

    /// Sets what is left (AWS: `UpdateUsage`): `charged` becomes `limit - remaining + held`, with `held` over all live
    /// records. Makes the counter if there is none, and tells every process
    /// ([`UsageListener::changed`]).
    fn set_remaining(&self, ask: RemainingAsk) -> StoreFuture<()>;

    /// Forgets all counters, days and buckets of a key on a plan.
    fn forget(&self, counter: Counter) -> StoreFuture<()>;

    /// The same of all keys on a plan, which may take longer than a deadline: nobody waits for it.
    fn forget_plan(&self, plan: Arc<str>) -> StoreFuture<()>;

    /// Called once, before anything is asked: whom to tell of what other processes want. A store of one process has
    /// nothing to tell.
    fn listen(&self, listener: Weak<dyn UsageListener>) {
        drop(listener);
    }

    /// How many processes share this store, this one included, as far as it last knew; 0: it does not know. What a process
    /// may admit alone is its part of that ([`FailurePolicy::Degrade`](crate::store::FailurePolicy)).
    fn processes(&self) -> u64 {
        0
    }
}

impl<T: UsageStore + ?Sized> UsageStore for Arc<T> {
    fn shares_throttles(&self) -> bool {
        (**self).shares_throttles()
    }

    fn lease(&self, ask: LeaseAsk) -> StoreFuture<Lease> {
        (**self).lease(ask)
    }

    fn throttle(&self, ask: ThrottleAsk) -> StoreFuture<Vec<BucketLevel>> {
        (**self).throttle(ask)
    }

    fn take(&self, ask: &LeaseAsk, tokens: &ThrottleAsk) -> Option<StoreFuture<Taken>> {
        (**self).take(ask, tokens)
    }

    fn usage(&self, ask: UsageAsk) -> StoreFuture<StoredUsage> {
        (**self).usage(ask)
    }

    fn set_remaining(&self, ask: RemainingAsk) -> StoreFuture<()> {
        (**self).set_remaining(ask)
    }

    fn forget(&self, counter: Counter) -> StoreFuture<()> {
        (**self).forget(counter)
    }

    fn forget_plan(&self, plan: Arc<str>) -> StoreFuture<()> {
        (**self).forget_plan(plan)
    }

    fn listen(&self, listener: Weak<dyn UsageListener>) {
        (**self).listen(listener);
    }

    fn processes(&self) -> u64 {
        (**self).processes()
    }
}

/// Who is told what other processes did. Nothing depends on it but time: what is not told is found out at the end of a
/// lease.
pub trait UsageListener: Send + Sync {
    /// Another process waits for units of this counter: hand back what is in hand.
    fn recalled(&self, counter: &Counter);

    /// What is left of this counter was set.
    fn changed(&self, counter: &Counter);
}

/// Who has used what: a key (or principal) on a plan. Never the key's value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Counter {
    /// [`UsagePlan::id`].
    pub plan: Arc<str>,
    /// The first 128 bits of a SHA-256 digest of the key's or principal's id.
    pub subject: u128,
}

/// A period of a quota, or, on a plan without one, a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Period {
    /// First second, since 1970-01-01T00:00:00Z; it names the period.
    pub start: i64,
    /// The second after the last.
    pub end: i64,
    /// Its first day, counted from 1970-01-01.
    pub first_day: i32,
    /// The day after its last.
    pub end_day: i32,
}

/// Use of one day by one holder, or by all. Below zero where more was given back than used, as far as is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DayUse {
    /// Counted from 1970-01-01, in the quota's time zone.
    pub day: i32,
    /// Units.
    pub units: i64,
}

/// What a holder states and asks; see the [module docs](self).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseAsk {
    /// Of which key and plan.
    pub counter: Counter,
    /// In which period.
    pub period: Period,
    /// The quota. `None`: the plan has none, and use is only counted.
    pub limit: Option<u64>,
    /// Random; a process takes another one when it starts anew with a counter.
    pub holder: u128,
    /// Grows with each ask of a holder.
    pub seq: u64,
    /// Nothing that this holder has asked of this counter was answered yet.
    pub fresh: bool,
    /// All that this holder has used in the period, of each day that is not final: at least of the present one (of a
    /// period that is over, of a day for which a cost became known late), in order, and at most two. What it says of a
    /// day takes the place of what it said of that day in the ask before, and of a day that was not listed there it is a
    /// change, below zero where units were given back.
    pub used: Vec<DayUse>,
    /// Units that the holder keeps in hand; the rest of what it was granted is used or comes back.
    pub hold: u64,
    /// Units that requests are waiting for, and the fewest with which one of them could go on.
    pub need: u64,
    /// See `need`.
    pub least: u64,
    /// Units for the time until the holder next asks.
    pub want: u64,
    /// How long units may be held.
    pub epoch: Duration,
    /// Microseconds since 1970-01-01T00:00:00Z where time is virtual.
    pub now: Option<u64>,
}

impl LeaseAsk {
    /// The first ask of a holder, by the store's own time, on a plan without a quota: it holds, needs and wants nothing,
    /// for 10 s. What else there is to say is set in the fields.
    pub fn new(counter: Counter, period: Period, holder: u128) -> Self {
        Self {
            counter,
            period,
            limit: None,
            holder,
            seq: 1,
            fresh: true,
            used: Vec::new(),
            hold: 0,
            need: 0,
            least: 0,
            want: 0,
            epoch: Duration::from_secs(10),
            now: None,
        }
    }

    /// Units to grant from `pool`, when `holders` hold units or ask for them, the one that asks included.
    ///
    /// What is needed, if it is there; if only a part is, that part, unless nobody could go on with it. What is wanted
    /// beyond that, but at most the pool's part for each holder, halved: so no unit is far away when the pool ends.
    pub fn grant(&self, pool: i64, holders: u64) -> u64 {
        let pool = u64::try_from(pool).unwrap_or(0);
        let ahead = self.want.min(pool / holders.max(1).saturating_mul(2));
        let granted = self.need.max(ahead).min(pool);
        if granted < self.least { 0 } else { granted }
    }
}

impl Period {
    /// From the first second, since 1970-01-01T00:00:00Z, up to the one after the last, with the days from its first to
    /// the one after its last.
    pub fn new(seconds: Range<i64>, days: Range<i32>) -> Self {
        Self { start: seconds.start, end: seconds.end, first_day: days.start, end_day: days.end }
    }
}

impl DayUse {
    /// Units on a day.
    pub fn new(day: i32, units: i64) -> Self {
        Self { day, units }
    }
}

/// What became of an ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// It was executed.
    #[default]
    Current,
    /// A later one of the same holder was executed before.
    Stale,
    /// The holder's record is gone; what it held when it lapsed counts as used.
    Settled,
    /// The counter is gone. The holder states all of its use in the period again, as a fresh one.
    Lost,
}

/// The answer to a [`LeaseAsk`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lease {
    /// Whether it was executed; if not, the rest may be zero.
    pub standing: Standing,
    /// Units in hand beyond those of [`LeaseAsk::hold`].
    pub granted: u64,
    /// What the pool has left.
    pub pool: u64,
    /// What other live records hold.
    pub out: u64,
    /// How many records live, this one included.
    pub holders: u64,
}

/// One of the buckets that a store decides on. One that a store does not know it answers with an error.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum BucketId {
    /// A key's on a plan, for all methods.
    Key(Counter),
    /// A key's on a plan, for one method of a stage.
    Method(Counter, u64),
    /// All callers' of a method of a stage: the stage's name, and the method.
    Stage(Arc<str>, u64),
    /// All callers'.
    Account,
}

/// A bucket and its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BucketAsk {
    /// Which.
    pub id: BucketId,
    /// Rate and burst in force.
    pub throttle: Throttle,
    /// The rates of before. A bucket that was last changed before an edit is settled edit by edit (`Bucket::refilled`)
    /// before it is asked.
    pub past: PastRates,
    /// It refuses nothing: where it has not the tokens, it stays as it is and the others are charged.
    pub shadow: bool,
}

impl BucketAsk {
    /// A bucket whose numbers were always these, and that refuses what it has not the tokens for.
    pub fn new(id: BucketId, throttle: Throttle) -> Self {
        Self { id, throttle, past: PastRates::default(), shadow: false }
    }
}

/// What is to become of a request's buckets. What a store does not know it answers with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tokens {
    /// Taken from all, if all have them (`Bucket::check`). 0 are always there.
    Take(u32),
    /// Given back (`Bucket::refund`).
    GiveBack(u32),
    /// Taken whether they are there or not (`Bucket::overdraw`).
    Overdraw(u32),
}

/// All buckets of a request, in the order in which a refusal is reported.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThrottleAsk {
    /// Each at most once.
    pub buckets: Vec<BucketAsk>,
    /// What to do to each.
    pub tokens: Tokens,
    /// Microseconds since 1970-01-01T00:00:00Z where time is virtual.
    pub now: Option<u64>,
}

/// A bucket after a [`ThrottleAsk`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BucketLevel {
    /// Units (10^-18 tokens) missing from a full bucket, now.
    pub deficit: u128,
    /// It had not the tokens.
    pub lacked: bool,
}

impl BucketLevel {
    /// Units missing from a full bucket, and whether it had not the tokens.
    pub fn new(deficit: u128, lacked: bool) -> Self {
        Self { deficit, lacked }
    }
}

/// The answer to [`UsageStore::take`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Taken {
    /// Of the units.
    pub lease: Lease,
    /// Of the buckets; `None` where the units are not there, so that nobody looked at them.
    pub levels: Option<Vec<BucketLevel>>,
}

impl Taken {
    /// The answer about the units, and the one about the buckets where they were looked at.
    pub fn new(lease: Lease, levels: Option<Vec<BucketLevel>>) -> Self {
        Self { lease, levels }
    }
}

/// What a report wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UsageAsk {
    /// Of which key and plan.
    pub counter: Counter,
    /// The period whose counter says what is left.
    pub period: Period,
    /// The quota in force; `None`: there is none.
    pub limit: Option<u64>,
    /// First day, counted from 1970-01-01.
    pub first_day: i32,
    /// Last day, included.
    pub last_day: i32,
    /// Microseconds since 1970-01-01T00:00:00Z where time is virtual.
    pub now: Option<u64>,
}

impl UsageAsk {
    /// About the days of a period, on a plan without a quota, by the store's own time.
    pub fn new(counter: Counter, period: Period) -> Self {
        let (first_day, last_day) = (period.first_day, period.end_day - 1);
        Self { counter, period, limit: None, first_day, last_day, now: None }
    }
}

/// What is known of use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredUsage {
    /// Days on which something was used, in order.
    pub days: Vec<DayUse>,
    /// What is left of the period: the pool and all that live records hold. `None` without a quota or counter.
    pub remaining: Option<u64>,
    /// What live records hold: some of it may be used already.
    pub unknown: u64,
}

/// What is to be left of a period.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemainingAsk {
    /// Of which key and plan.
    pub counter: Counter,
    /// In which period, and in no other.
    pub period: Period,
    /// The quota in force.
    pub limit: u64,
    /// What is to be left.
    pub remaining: u64,
    /// Microseconds since 1970-01-01T00:00:00Z where time is virtual.
    pub now: Option<u64>,
}

impl RemainingAsk {
    /// By the store's own time.
    pub fn new(counter: Counter, period: Period, limit: u64, remaining: u64) -> Self {
        Self { counter, period, limit, remaining, now: None }
    }
}

impl ThrottleAsk {
    /// By the store's own time.
    pub fn new(buckets: Vec<BucketAsk>, tokens: Tokens) -> Self {
        Self { buckets, tokens, now: None }
    }

    /// Whether a bucket that is not in shadow mode lacks the tokens, by the levels of all buckets in their order: then a
    /// store charges no bucket, and [`UsageStore::take`] grants nothing.
    pub fn is_refused(&self, levels: &[BucketLevel]) -> bool {
        self.buckets.iter().zip(levels).any(|(bucket, level)| level.lacked && !bucket.shadow)
    }
}

impl Counter {
    /// Of a subject on a plan.
    pub fn new(plan: impl Into<Arc<str>>, subject: u128) -> Self {
        Self { plan: plan.into(), subject }
    }

    pub(super) fn of(plan: &UsagePlan, subject: u128) -> Self {
        Self::new(plan.shared_id(), subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(need: u64, least: u64, want: u64) -> LeaseAsk {
        LeaseAsk {
            limit: Some(100),
            need,
            least,
            want,
            ..LeaseAsk::new(Counter::new("gold", 1), Period::default(), 1)
        }
    }

    #[test]
    fn what_is_needed_comes_first_and_what_is_wanted_is_halved() {
        assert_eq!(ask(1, 1, 1000).grant(100, 1), 50);
        assert_eq!(ask(1, 1, 1000).grant(100, 3), 16);
        assert_eq!(ask(1, 1, 7).grant(100, 3), 7);
        assert_eq!(ask(60, 1, 60).grant(100, 3), 60);
        assert_eq!(ask(0, 0, 60).grant(1, 1), 0);
    }

    #[test]
    fn a_part_is_granted_only_if_somebody_can_use_it() {
        assert_eq!(ask(10, 2, 0).grant(3, 4), 3);
        assert_eq!(ask(10, 4, 0).grant(3, 4), 0);
        assert_eq!(ask(1, 1, 9).grant(0, 1), 0);
        assert_eq!(ask(1, 1, 9).grant(-5, 1), 0);
        assert_eq!(ask(1, 1, u64::MAX).grant(i64::MAX, u64::MAX), 1);
    }
}
