//! What the keys of a shard hold, and which of it is due.

use super::{
    lease::{Holding, Manner},
    store::{KEEP, LeaseAsk, Period},
};
use hashbrown::HashTable;
use std::collections::VecDeque;

/// Empty where usage is not shared.
#[derive(Debug, Default)]
pub(super) struct Leases {
    table: HashTable<Kept>,
    due: Due,
    /// Last statements of periods that are over.
    farewells: Vec<LeaseAsk>,
}

#[derive(Debug)]
struct Kept {
    subject: u128,
    plan: u32,
    holding: Box<Holding>,
}

impl Kept {
    fn is(&self, subject: u128, plan: u32) -> bool {
        (self.subject, self.plan) == (subject, plan)
    }

    fn rehash(&self) -> u64 {
        hash(self.subject, self.plan)
    }
}

/// Subjects are digests, so they need no further hashing.
fn hash(subject: u128, plan: u32) -> u64 {
    subject as u64 ^ u64::from(plan).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// What is to be looked at again, each in the order of time.
#[derive(Debug, Default)]
pub(super) struct Due {
    soon: VecDeque<Place>,
    idle: VecDeque<Place>,
}

/// A key on a plan, and when it is due, in monotonic nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: u64,
    subject: u128,
    plan: u32,
}

impl Due {
    /// Each holding stands in one of the queues, once.
    pub(super) fn soon(&mut self, holding: &mut Holding, subject: u128, plan: u32, at: u64) {
        if holding.flight.due.is_none_or(|due| due > at) {
            holding.flight.due = Some(at);
            self.soon.push_back(Place { at, subject, plan });
        }
    }

    fn idle(&mut self, holding: &mut Holding, subject: u128, plan: u32, at: u64) {
        holding.flight.due = Some(at);
        self.idle.push_back(Place { at, subject, plan });
    }

    fn pop(&mut self, now: u64) -> Option<Place> {
        let due = |queue: &&mut VecDeque<Place>| queue.front().is_some_and(|place| place.at <= now);
        [&mut self.soon, &mut self.idle].into_iter().find(due)?.pop_front()
    }
}

const IDLE: u64 = KEEP.as_nanos() as u64 / 2;

impl Leases {
    pub(super) fn find(&mut self, subject: u128, plan: u32) -> Option<&mut Holding> {
        let found = self.table.find_mut(hash(subject, plan), |kept| kept.is(subject, plan));
        found.map(|kept| &mut *kept.holding)
    }

    /// The holding of a key in the present period and under the present limit.
    pub(super) fn present(
        &mut self,
        (subject, plan): (u128, u32),
        period: Period,
        limit: Option<u64>,
        manner: impl Fn() -> Manner,
    ) -> (&mut Holding, &mut Due) {
        let Self { table, due, farewells } = self;
        let kept = table.entry(hash(subject, plan), |kept| kept.is(subject, plan), Kept::rehash);
        let kept = kept.or_insert_with(|| {
            let holding = Box::new(Holding::new(period, limit, manner().names.holder));
            Kept { subject, plan, holding }
        });
        let holding = &mut *kept.into_mut().holding;
        if holding.period() != period {
            let manner = manner();
            let holder = manner.names.holder;
            farewells.extend((!holding.is_settled()).then(|| holding.hand_back(manner)));
            holding.turn(period, limit, holder);
        }
        holding.set_limit(limit);
        (holding, due)
    }

    pub(super) fn forget(&mut self, subject: u128, plan: u32) {
        self.table.retain(|kept| !kept.is(subject, plan));
    }

    pub(super) fn take_farewells(&mut self) -> Vec<LeaseAsk> {
        std::mem::take(&mut self.farewells)
    }

    pub(super) fn put_farewell(&mut self, ask: LeaseAsk) {
        self.farewells.push(ask);
    }

    /// Looks at what is due: gives the asks that are to be made, with their plans, and lets go of what nobody uses.
    /// `again` is when to look again at what is in use.
    pub(super) fn sweep(
        &mut self,
        now: u64,
        again: u64,
        manner: impl Fn(u128, u32) -> Option<Manner>,
    ) -> Vec<(u32, LeaseAsk)> {
        let mut asks = Vec::new();
        while let Some(Place { at, subject, plan }) = self.due.pop(now) {
            let Self { table, due, .. } = self;
            let Some(kept) = table.find_mut(hash(subject, plan), |kept| kept.is(subject, plan)) else {
                continue;
            };
            let holding = &mut *kept.holding;
            // It was put forward meanwhile.
            if holding.flight.due != Some(at) {
                continue;
            }
            if holding.is_asking() {
                due.soon(holding, subject, plan, again);
            } else if !holding.is_settled() {
                holding.flight.due = None;
                due.soon(holding, subject, plan, again);
                asks.extend(manner(subject, plan).map(|manner| (plan, holding.report(manner))));
            } else if holding.touched_since(now.saturating_sub(IDLE)) {
                due.idle(holding, subject, plan, now.saturating_add(IDLE));
            } else {
                self.forget(subject, plan);
            }
        }
        asks
    }

    /// Every holding that has something to say, for a process that ends.
    pub(super) fn all(&mut self, manner: impl Fn(u128, u32) -> Option<Manner>) -> Vec<(u32, LeaseAsk)> {
        let open = self.table.iter_mut().filter(|kept| !kept.holding.is_settled());
        open.filter_map(|kept| Some((kept.plan, kept.holding.hand_back(manner(kept.subject, kept.plan)?))))
            .collect()
    }
}
