//! What a holder has used and not yet let go of, by day.

use super::super::store::DayUse;
use std::ops::{Deref, DerefMut};

/// Days that are listed: the present one, and the one before until the store knows its last figure.
const LISTED: usize = 2;

/// In the order of days. What is listed stands for itself, so it may be told to the store any number of times.
#[derive(Debug, Default)]
pub(super) struct Uses {
    listed: Days,
    /// As the store last confirmed it.
    confirmed: Days,
}

/// A few days in place, so that adding to one looks nowhere else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Days {
    days: [DayUse; LISTED],
    count: usize,
}

impl Days {
    /// The last ones, where there are too many.
    fn of(days: impl Iterator<Item = DayUse>) -> Self {
        let mut kept = Self::default();
        days.for_each(|day| kept.push(day));
        kept
    }

    fn push(&mut self, day: DayUse) {
        if self.count == LISTED {
            self.days.rotate_left(1);
            self.count -= 1;
        }
        self.days[self.count] = day;
        self.count += 1;
    }

    fn insert(&mut self, day: DayUse) {
        self.push(day);
        self.sort_unstable_by_key(|kept| kept.day);
    }
}

impl Deref for Days {
    type Target = [DayUse];

    fn deref(&self) -> &[DayUse] {
        &self.days[..self.count]
    }
}

impl DerefMut for Days {
    fn deref_mut(&mut self) -> &mut [DayUse] {
        &mut self.days[..self.count]
    }
}

fn on(days: &[DayUse], day: i32) -> i64 {
    days.iter().find(|used| used.day == day).map_or(0, |used| used.units)
}

impl Uses {
    /// Adds to a day; a clock that was set back adds to the last one.
    pub(super) fn add(&mut self, day: i32, units: i64) {
        match self.listed.last_mut() {
            Some(last) if last.day >= day => last.units += units,
            _ => self.begin(DayUse { day, units }),
        }
    }

    fn begin(&mut self, new: DayUse) {
        if self.listed.len() == LISTED {
            // The store was away for a day: what it does not know of the oldest goes to the next.
            let oldest = self.listed[0];
            let unknown = oldest.units - on(&self.confirmed, oldest.day);
            self.listed[1..].iter_mut().for_each(|kept| kept.units += unknown);
        }
        self.listed.push(new);
    }

    /// Changes what was used on a day, final or not. One that is final is listed again: for that `heard`, that the store
    /// knows exactly what was confirmed, and a free line are needed. Otherwise the next day that is listed changes.
    pub(super) fn change(&mut self, day: i32, units: i64, heard: bool) {
        let next =
            self.listed.partition_point(|used| used.day < day).min(self.listed.len().saturating_sub(1));
        let may_be_listed = heard && self.listed.len() < LISTED;
        match self.listed.get_mut(next) {
            Some(listed) if listed.day == day || !may_be_listed => listed.units += units,
            _ => self.listed.insert(DayUse { day, units: on(&self.confirmed, day) + units }),
        }
    }

    /// What is to be told, the present day included.
    pub(super) fn statement(&mut self, today: i32) -> Vec<DayUse> {
        self.add(today, 0);
        self.listed.to_vec()
    }

    /// The store knows this. A day before the last that has not changed since is final.
    pub(super) fn confirm(&mut self, told: &[DayUse]) {
        self.confirmed = Days::of(told.iter().copied());
        let last = self.listed.last().map(|last| last.day);
        let open = |used: &DayUse| Some(used.day) == last || !told.contains(used);
        self.listed = Days::of(self.listed.iter().copied().filter(open));
    }

    pub(super) fn unconfirmed(&self) -> i64 {
        self.listed.iter().map(|used| used.units - on(&self.confirmed, used.day)).sum()
    }

    /// Whether the store knows all of it.
    pub(super) fn is_confirmed(&self) -> bool {
        self.listed.iter().all(|used| used.units == on(&self.confirmed, used.day))
    }

    /// Starts again for another record.
    pub(super) fn restart(&mut self, day: i32, units: i64) {
        let last = self.listed.last().map_or(day, |last| last.day.max(day));
        let listed = Days::of([DayUse { day: last, units }].into_iter());
        *self = Self { listed, confirmed: Days::default() };
    }

    #[cfg(test)]
    pub(super) fn total(&self) -> i64 {
        self.listed.iter().map(|used| used.units).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_listed_until_the_store_knows_its_last_figure() {
        let mut uses = Uses::default();
        uses.add(7, 3);
        let told = uses.statement(7);
        uses.add(7, 1);
        uses.add(8, 2);
        uses.confirm(&told);
        assert_eq!(*uses.listed, [DayUse { day: 7, units: 4 }, DayUse { day: 8, units: 2 }]);
        assert_eq!(uses.unconfirmed(), 3);
        let told = uses.statement(8);
        uses.confirm(&told);
        assert_eq!(*uses.listed, [DayUse { day: 8, units: 2 }]);
        assert!(uses.is_confirmed());
        uses.change(8, -1, true);
        assert!(!uses.is_confirmed());
    }

    #[test]
    fn a_day_that_was_final_is_listed_again() {
        let mut uses = Uses::default();
        uses.add(7, 3);
        let told = uses.statement(8);
        uses.confirm(&told);
        uses.change(7, 5, true);
        assert_eq!(
            *uses.listed,
            [DayUse { day: 7, units: 8 }, DayUse { day: 8, units: 0 }],
            "it is in the record"
        );
        assert_eq!(uses.unconfirmed(), 5);
        let told = uses.statement(8);
        uses.confirm(&told);
        let told = uses.statement(8);
        uses.confirm(&told);
        uses.change(7, -2, true);
        assert_eq!(
            *uses.listed,
            [DayUse { day: 7, units: -2 }, DayUse { day: 8, units: 0 }],
            "it is not any more"
        );
    }

    #[test]
    fn a_day_that_cannot_be_listed_again_changes_the_next_one() {
        let mut uses = Uses::default();
        uses.add(8, 1);
        uses.change(7, 5, false);
        assert_eq!(*uses.listed, [DayUse { day: 8, units: 6 }], "who knows what the store has");
        uses.add(9, 1);
        uses.change(7, -2, true);
        uses.change(10, 9, true);
        assert_eq!(
            *uses.listed,
            [DayUse { day: 8, units: 4 }, DayUse { day: 9, units: 10 }],
            "no line is free"
        );
    }

    #[test]
    fn a_store_that_is_away_for_days_loses_nothing() {
        let mut uses = Uses::default();
        uses.add(1, 5);
        let told = uses.statement(1);
        uses.confirm(&told);
        uses.add(1, 2);
        uses.add(2, 10);
        uses.add(3, 100);
        assert_eq!(*uses.listed, [DayUse { day: 2, units: 12 }, DayUse { day: 3, units: 100 }]);
        uses.add(2, 1);
        assert_eq!(uses.total(), 113, "a clock that is set back adds to the last day");
    }
}
