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
    /// Places in `kept`. A request that knows its place does not come by here.
    table: HashTable<u32>,
    kept: Slots,
    due: Due,
    /// Last statements of periods that are over.
    farewells: Vec<LeaseAsk>,
}

#[derive(Debug)]
struct Kept {
    subject: u128,
    plan: u32,
    holding: Holding,
}

impl Kept {
    fn is(&self, subject: u128, plan: u32) -> bool {
        (self.subject, self.plan) == (subject, plan)
    }

    fn rehash(&self) -> u64 {
        hash(self.subject, self.plan)
    }
}

/// Holdings by place; freed places are used again.
#[derive(Debug, Default)]
struct Slots {
    slots: Vec<Option<Box<Kept>>>,
    free: Vec<u32>,
}

impl Slots {
    fn get(&self, place: u32) -> Option<&Kept> {
        self.slots.get(place as usize)?.as_deref()
    }

    fn get_mut(&mut self, place: u32) -> Option<&mut Kept> {
        self.slots.get_mut(place as usize)?.as_deref_mut()
    }

    fn is(&self, place: u32, subject: u128, plan: u32) -> bool {
        self.get(place).is_some_and(|kept| kept.is(subject, plan))
    }

    fn rehash(&self, place: u32) -> u64 {
        self.get(place).map_or(0, Kept::rehash)
    }

    fn insert(&mut self, kept: Kept) -> u32 {
        let place = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as u32
        });
        self.slots[place as usize] = Some(Box::new(kept));
        place
    }

    fn remove(&mut self, place: u32) {
        self.slots[place as usize] = None;
        self.free.push(place);
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Kept> {
        self.slots.iter_mut().flatten().map(|kept| &mut **kept)
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
    fn place(&self, subject: u128, plan: u32) -> Option<u32> {
        let Self { table, kept, .. } = self;
        table.find(hash(subject, plan), |place| kept.is(*place, subject, plan)).copied()
    }

    pub(super) fn find(&mut self, subject: u128, plan: u32) -> Option<&mut Holding> {
        let place = self.place(subject, plan)?;
        self.at(place)
    }

    pub(super) fn at(&mut self, place: u32) -> Option<&mut Holding> {
        self.kept.get_mut(place).map(|kept| &mut kept.holding)
    }

    /// The holding of a key in the present period and under the present limit. `place` says where it was; afterwards
    /// it says where it is.
    pub(super) fn present(
        &mut self,
        place: &mut u32,
        (subject, plan): (u128, u32),
        period: Period,
        limit: Option<u64>,
        manner: impl Fn() -> Manner,
    ) -> Option<(&mut Holding, &mut Due)> {
        if !self.kept.is(*place, subject, plan) {
            let known = self.place(subject, plan);
            let make = || Holding::new(period, limit, manner().names.holder);
            *place = known.unwrap_or_else(|| self.insert(Kept { subject, plan, holding: make() }));
        }
        let Self { kept, due, farewells, .. } = self;
        let holding = &mut kept.get_mut(*place)?.holding;
        if holding.period() != period {
            let manner = manner();
            let holder = manner.names.holder;
            farewells.extend((!holding.is_settled()).then(|| holding.hand_back(manner)));
            holding.turn(period, limit, holder);
        }
        holding.set_limit(limit);
        Some((holding, due))
    }

    fn insert(&mut self, new: Kept) -> u32 {
        let Self { table, kept, .. } = self;
        let hash = new.rehash();
        let place = kept.insert(new);
        table.insert_unique(hash, place, |place| kept.rehash(*place));
        place
    }

    pub(super) fn forget(&mut self, subject: u128, plan: u32) {
        let Self { table, kept, .. } = self;
        let found = table.find_entry(hash(subject, plan), |place| kept.is(*place, subject, plan));
        if let Ok(found) = found {
            kept.remove(found.remove().0);
        }
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
            let found = self.place(subject, plan);
            let Self { kept, due, .. } = self;
            let Some(Kept { holding, .. }) = found.and_then(|place| kept.get_mut(place)) else { continue };
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
        let open = self.kept.iter_mut().filter(|kept| !kept.holding.is_settled());
        open.filter_map(|kept| Some((kept.plan, kept.holding.hand_back(manner(kept.subject, kept.plan)?))))
            .collect()
    }
}
