//! What the keys of a shard hold, and which of it is due.

use super::{
    entry::NONE,
    lease::{Holding, Manner, Terms},
    store::{KEPT_AFTER_END, LeaseAsk, Period},
};
use hashbrown::HashTable;
use std::collections::VecDeque;

/// Empty where usage is not shared. What a request looks at comes first.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Leases {
    kept: Slots,
    /// Places in `kept`. A request that knows its place does not come by here.
    table: HashTable<u32>,
    due: Due,
    /// Last statements of periods that are over.
    farewells: Vec<LeaseAsk>,
}

/// The holding first: what a request looks at is the first line of it.
#[derive(Debug)]
#[repr(C)]
struct Kept {
    holding: Holding,
    subject: u128,
    /// `NONE` marks a free place.
    plan: u32,
}

impl Kept {
    fn free() -> Self {
        Self { holding: Holding::new(Period::default(), None, 0), subject: 0, plan: NONE }
    }

    fn is(&self, subject: u128, plan: u32) -> bool {
        (self.subject, self.plan) == (subject, plan)
    }

    fn rehash(&self) -> u64 {
        hash(self.subject, self.plan)
    }
}

const CHUNK: usize = 256;

/// Holdings by place; freed places are used again. In chunks, so that growing moves few of them.
#[derive(Debug, Default)]
#[repr(C)]
struct Slots {
    /// The first chunk is reached without a look at the list of the others.
    first: Vec<Kept>,
    others: Vec<Vec<Kept>>,
    free: Vec<u32>,
}

impl Slots {
    fn get(&self, place: u32) -> Option<&Kept> {
        let place = place as usize;
        match place.checked_sub(CHUNK) {
            None => self.first.get(place),
            Some(later) => self.others.get(later / CHUNK)?.get(later % CHUNK),
        }
    }

    fn get_mut(&mut self, place: u32) -> Option<&mut Kept> {
        let place = place as usize;
        match place.checked_sub(CHUNK) {
            None => self.first.get_mut(place),
            Some(later) => self.others.get_mut(later / CHUNK)?.get_mut(later % CHUNK),
        }
    }

    fn is(&self, place: u32, subject: u128, plan: u32) -> bool {
        self.get(place).is_some_and(|kept| kept.is(subject, plan))
    }

    fn rehash(&self, place: u32) -> u64 {
        self.get(place).map_or(0, Kept::rehash)
    }

    fn insert(&mut self, new: Kept) -> u32 {
        let place = self.free.pop().unwrap_or_else(|| self.grow());
        if let Some(kept) = self.get_mut(place) {
            *kept = new;
        }
        place
    }

    /// One free place more.
    fn grow(&mut self) -> u32 {
        if self.others.last().unwrap_or(&self.first).len() == CHUNK {
            self.others.push(Vec::new());
        }
        let full = self.others.len() * CHUNK;
        let last = self.others.last_mut().unwrap_or(&mut self.first);
        last.push(Kept::free());
        (full + last.len() - 1) as u32
    }

    fn remove(&mut self, place: u32) {
        if let Some(kept) = self.get_mut(place) {
            *kept = Kept::free();
            self.free.push(place);
        }
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Kept> {
        self.first.iter_mut().chain(self.others.iter_mut().flatten()).filter(|kept| kept.plan != NONE)
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
    /// What is put forward leaves its place among the idle behind.
    pub(super) fn soon(&mut self, holding: &mut Holding, subject: u128, plan: u32, at: u64) {
        if !holding.is_due_soon() {
            holding.set_due(at, true);
            self.soon.push_back(Place { at, subject, plan });
        }
    }

    /// Where a place was left behind there, it is that one again.
    fn idle(&mut self, holding: &mut Holding, subject: u128, plan: u32, at: u64) {
        if holding.set_idle(at) {
            self.idle.push_back(Place { at, subject, plan });
        }
    }

    fn pop(&mut self, now: u64) -> Option<Place> {
        let due = |queue: &&mut VecDeque<Place>| queue.front().is_some_and(|place| place.at <= now);
        [&mut self.soon, &mut self.idle].into_iter().find(due)?.pop_front()
    }
}

const IDLE: u64 = KEPT_AFTER_END.as_nanos() as u64 / 2;

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

    /// The holding of a key under the present terms, which `period` and `limit` follow from. `place` says where it was;
    /// afterwards it says where it is.
    pub(super) fn present(
        &mut self,
        place: &mut u32,
        (subject, plan): (u128, u32),
        terms: Terms,
        (period, limit): (Period, Option<u64>),
        manner: impl Fn() -> Manner,
    ) -> Option<(&mut Holding, &mut Due)> {
        // Only a key's own holding was ever put under terms with its entry.
        if !self.kept.get(*place).is_some_and(|kept| kept.holding.is_under(terms)) {
            let known = self.place(subject, plan);
            let make = || Holding::new(period, limit, manner().names.holder);
            *place = known.unwrap_or_else(|| self.insert(Kept { subject, plan, holding: make() }));
            self.bring_up(*place, terms, period, limit, manner);
        }
        let Self { kept, due, .. } = self;
        Some((&mut kept.get_mut(*place)?.holding, due))
    }

    fn bring_up(
        &mut self,
        place: u32,
        terms: Terms,
        period: Period,
        limit: Option<u64>,
        manner: impl Fn() -> Manner,
    ) {
        let Self { kept, farewells, .. } = self;
        let Some(Kept { holding, .. }) = kept.get_mut(place) else { return };
        if holding.period() != period {
            let manner = manner();
            let holder = manner.names.holder;
            farewells.extend((!holding.is_settled()).then(|| holding.hand_back(manner)));
            holding.turn(period, limit, holder);
        }
        holding.set_limit(limit);
        holding.put_under(terms);
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

    /// A cost of a period that is over became known, on the day of `manner`: it is stated by itself, by a holder that
    /// states nothing else.
    pub(super) fn settle_past(
        &mut self,
        manner: Manner,
        period: Period,
        limit: Option<u64>,
        difference: i64,
    ) {
        let mut holding = Holding::new(period, limit, manner.names.holder);
        holding.settle(manner.day, difference, false, manner.now);
        self.farewells.push(holding.hand_back(manner));
    }

    pub(super) fn take_farewells(&mut self) -> Vec<LeaseAsk> {
        std::mem::take(&mut self.farewells)
    }

    pub(super) fn put_farewell(&mut self, ask: LeaseAsk) {
        self.farewells.push(ask);
    }

    /// Looks at what is due: gives the asks that are to be made, with their plans, and lets go of what nobody uses and of
    /// plans that are gone: for them there is no manner. `again` is when to look again at what is in use.
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
            if !holding.fell_due(at) {
                continue;
            }
            if holding.is_asking() {
                due.soon(holding, subject, plan, again);
            } else if !holding.is_settled() {
                match manner(subject, plan) {
                    Some(manner) => {
                        due.soon(holding, subject, plan, again);
                        asks.push((plan, holding.report(manner)));
                    }
                    None => self.forget(subject, plan),
                }
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

#[cfg(test)]
mod tests;
