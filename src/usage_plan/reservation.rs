//! A cost that is known only afterwards: reserve, then commit.

use super::{
    directory::{InForce, PlanState},
    entry::Entry,
    plans::UsagePlans,
    quota::Span,
    shard::Change,
    store::BucketAsk,
};
use crate::{
    context::{GiveBack, PlanCharge},
    throttle::SharedBucket,
};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// What was taken from the state of a key, and where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Charged {
    pub(super) subject: u128,
    pub(super) plan: u32,
    pub(super) period: i32,
    pub(super) day: i32,
    pub(super) took_tokens: bool,
    /// Where usage is shared: the units of the quota had been lent.
    pub(super) from_hand: bool,
    pub(super) method: Option<u64>,
    /// The tokens are the store's.
    pub(super) elsewhere: bool,
}

impl Charged {
    pub(super) fn new(entry: &Entry, in_force: &InForce<'_>, span: &Span, took_tokens: bool) -> Self {
        Self {
            subject: entry.subject(),
            plan: entry.plan,
            period: entry.period,
            day: span.day,
            took_tokens: in_force.throttle.is_some() && took_tokens,
            from_hand: false,
            method: in_force.method,
            elsewhere: false,
        }
    }

    /// Whether this period has it: the one in which it was charged, or one that has its day since an edit.
    pub(super) fn counts_in(&self, period: i32, plan: Option<&PlanState>) -> bool {
        let has_its_day = |plan: &PlanState| plan.calendar().span_of_day(self.day).window_day == period;
        period == self.period || plan.is_some_and(has_its_day)
    }

    /// What was kept of a charge in memory, and whose it was.
    #[cfg(feature = "gateway")]
    pub(super) fn of_kept(subject: u128, kept: PlanCharge) -> Self {
        let PlanCharge { method, plan, period, day, took_tokens, from_hand } = kept;
        Self { subject, plan, period, day, took_tokens, from_hand, method, elsewhere: false }
    }

    pub(super) fn keep(&self) -> PlanCharge {
        let Self { plan, period, day, took_tokens, from_hand, method, .. } = *self;
        PlanCharge { method, plan, period, day, took_tokens, from_hand }
    }
}

/// The handle of a reserved cost, in the extensions of the request. Whoever learns the real cost commits it, once;
/// clones are the same reservation.
///
/// The reserved cost is charged when the request is admitted. Dropped without a commit (the client hung up, the
/// handler failed) it stays charged: work may have been done. Where the gateway refuses the request in the handler's place
/// (413 or 408 for a body that was read after the charge) what is not committed is given back. Nothing else is kept, so
/// nothing can leak.
///
/// ```
/// # use http::Request;
/// use tower_gateway::usage_plan::UsageReservation;
///
/// # fn handler(request: Request<()>) {
/// let reservation = request.extensions().get::<UsageReservation>().cloned();
/// let tokens_spent = 37; // known when the work is done
/// if let Some(reservation) = reservation {
///     reservation.commit(tokens_spent);
/// }
/// # }
/// # handler(Request::new(()));
/// ```
#[derive(Clone)]
pub struct UsageReservation(Arc<Reserved>);

struct Reserved {
    plans: UsagePlans,
    amount: u32,
    charged: Option<Charged>,
    stage: Option<SharedBucket>,
    account: Option<SharedBucket>,
    /// The buckets, where they are the store's.
    tokens: Option<Vec<BucketAsk>>,
    settled: AtomicBool,
}

impl UsageReservation {
    pub(super) fn new(
        plans: UsagePlans,
        amount: u32,
        charged: Option<Charged>,
        stage: Option<&SharedBucket>,
        account: Option<&SharedBucket>,
        tokens: Option<Vec<BucketAsk>>,
    ) -> Self {
        let settled = AtomicBool::new(false);
        Self(Arc::new(Reserved {
            plans,
            amount,
            charged,
            stage: stage.cloned(),
            account: account.cloned(),
            tokens,
            settled,
        }))
    }

    /// What was reserved.
    pub fn amount(&self) -> u32 {
        self.0.amount
    }

    /// Charges `actual` in place of what was reserved: the difference is given back, or taken even where the limits
    /// no longer have it (the next request then waits longer). `false` if it was settled before.
    pub fn commit(&self, actual: u32) -> bool {
        let is_first = !self.0.settled.swap(true, Ordering::Relaxed);
        if is_first {
            self.0.settle(actual);
        }
        is_first
    }

    /// For whoever refuses the request after all: a cost that was committed stays, since work was done.
    pub(super) fn handle(&self) -> Arc<dyn GiveBack> {
        Arc::clone(&self.0) as Arc<dyn GiveBack>
    }

    /// Gives all of it back. `false` if it was settled before.
    ///
    /// The quota is then as if the request had not come. A throttle gets the tokens back on top of those that time has
    /// brought since, up to its burst: so as many requests more than the burst may come at once as are given back then.
    /// Never more come through in the end than what time and the burst have brought.
    pub fn refund_all(&self) -> bool {
        self.commit(0)
    }
}

impl Reserved {
    fn settle(&self, actual: u32) {
        let change = match actual.checked_sub(self.amount) {
            Some(0) => return,
            Some(more) => Change::TakeMore(more),
            None => Change::GiveBack(self.amount - actual),
        };
        let shared = self.stage.iter().chain(&self.account);
        self.plans.settle(self.charged.as_ref(), shared, self.tokens.as_deref(), change);
    }
}

impl GiveBack for Reserved {
    fn give_back(&self) {
        if !self.settled.swap(true, Ordering::Relaxed) {
            self.settle(0);
        }
    }
}

impl UsagePlans {
    /// Changes what was charged: the state of the key, and the shared buckets in the order in which they were locked when
    /// it was (stage, account), or those of the store.
    pub(super) fn settle<'a>(
        &self,
        charged: Option<&Charged>,
        shared: impl Iterator<Item = &'a SharedBucket>,
        tokens: Option<&[BucketAsk]>,
        change: Change,
    ) {
        let (at, directory) = (self.now(), self.directory());
        let now = at.monotonic_nanos();
        let mut shard = charged.map(|charged| self.table().lock(charged.subject));
        if let (Some(shard), Some(charged)) = (&mut shard, charged) {
            let plan = directory.at(charged.plan);
            let changed = shard.settle(charged, plan, change, now);
            if let (Some(changed), Some(plan), Some(lending)) = (changed, plan, self.lending()) {
                shard.settle_leased(charged, plan, changed, lending, at);
            }
        }
        if let Some(tokens) = tokens {
            drop(shard);
            return self.change_tokens(tokens, change);
        }
        for shared in shared {
            let shared = directory.present(shared);
            let mut bucket = shared.slot.lock();
            *bucket = change.of_bucket(shared.settled(*bucket), shared.throttle, now);
        }
    }
}

impl fmt::Debug for Reserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reserved").field("amount", &self.amount).finish_non_exhaustive()
    }
}

impl fmt::Debug for UsageReservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsageReservation").field("amount", &self.0.amount).finish_non_exhaustive()
    }
}
