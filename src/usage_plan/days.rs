//! Use per day: today's stands in the entry, past days' here, for the keys that were used on several.

use super::{
    admit::Spent,
    entry::{Entry, NEVER},
    quota::{Quota, Span},
    shard::Change,
};
use std::collections::{HashMap, VecDeque};

/// Days that are kept, as on AWS.
pub(super) const KEPT_DAYS: i32 = 90;

/// A past day of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PastDay {
    pub(super) day: i32,
    pub(super) used: u64,
    /// What was left of the quota when the day was over; below zero where it was overdrawn.
    pub(super) left: Option<i64>,
}

/// Past days by index of the entry, oldest first.
#[derive(Debug, Default)]
pub(super) struct History(HashMap<u32, VecDeque<PastDay>>);

impl History {
    pub(super) fn of(&self, entry: u32) -> impl DoubleEndedIterator<Item = &PastDay> {
        self.0.get(&entry).into_iter().flatten()
    }

    pub(super) fn forget(&mut self, entry: u32) {
        self.0.remove(&entry);
    }

    fn push(&mut self, entry: u32, past: PastDay) {
        let days = self.0.entry(entry).or_default();
        let at = days.partition_point(|kept| kept.day < past.day);
        days.insert(at, past);
        while days.front().is_some_and(|first| first.day < past.day - KEPT_DAYS) {
            days.pop_front();
        }
    }

    /// A day leaves the history when the wall clock is set back to it.
    fn take(&mut self, entry: u32, day: i32) -> Option<PastDay> {
        let days = self.0.get_mut(&entry)?;
        let at = days.iter().position(|past| past.day == day)?;
        days.remove(at)
    }

    fn used_in_period(&self, entry: u32, span: &Span) -> u64 {
        let period = span.window_day..span.next_window_day;
        self.of(entry).filter(|past| period.contains(&past.day)).map(|past| past.used).sum()
    }

    pub(super) fn used_on(&self, entry: u32, day: i32) -> u64 {
        self.of(entry).find(|past| past.day == day).map_or(0, |past| past.used)
    }

    /// Changes a past day, for a cost that became known later, and what was left on it and on those after it until
    /// `period_end`. A day of which nothing is kept has cost nothing yet.
    pub(super) fn change(&mut self, entry: u32, day: i32, period_end: i32, change: Change) {
        let mut is_known = false;
        for past in self.0.get_mut(&entry).into_iter().flatten() {
            if past.day == day {
                past.used = change.of(past.used);
                is_known = true;
            }
            if (day..period_end).contains(&past.day) {
                past.left = past.left.map(|left| change.reverse().of_charged(left));
            }
        }
        if !is_known {
            self.push(entry, PastDay { day, used: change.of(0), left: None });
        }
    }
}

/// Nobody uses more than this in a period; a quota's limit is not above it either.
fn signed(used: u64) -> i64 {
    i64::try_from(used).unwrap_or(i64::MAX)
}

pub(super) fn left_of(quota: Option<&Quota>, charged: i64) -> Option<i64> {
    quota.map(|quota| signed(quota.limit()).saturating_sub(charged))
}

/// A plan without a quota has no periods.
fn period_of(span: &Span, quota: Option<&Quota>) -> i32 {
    if quota.is_some() { span.window_day } else { NEVER }
}

impl Entry {
    pub(super) fn spent(&self) -> Spent {
        Spent { plan: self.bucket, charged: self.charged, ..Spent::default() }
    }

    /// What is left; below zero where it was overdrawn: a cost may still be given back.
    fn left(&self, quota: Option<&Quota>) -> Option<i64> {
        left_of(quota, self.charged)
    }

    /// What counts against the quota in the period of this span. A period that the entry does not stand in yet starts
    /// with what its days have used: nothing where the calendar moved on, and what belongs to it where an edit changed
    /// the period or the wall clock was set.
    pub(super) fn charged_in(
        &self,
        index: u32,
        span: &Span,
        quota: Option<&Quota>,
        history: &History,
    ) -> i64 {
        if self.period == period_of(span, quota) {
            return self.charged;
        }
        let today = if self.is_within(span) { self.used_today } else { 0 };
        signed(today.saturating_add(history.used_in_period(index, span)))
    }

    /// Whether the day that the entry stands at belongs to the period.
    pub(super) fn is_within(&self, span: &Span) -> bool {
        (span.window_day..span.next_window_day).contains(&self.today)
    }

    /// Brings the entry to the present day and period.
    pub(super) fn roll(&mut self, index: u32, span: &Span, quota: Option<&Quota>, history: &mut History) {
        let period = period_of(span, quota);
        let is_present = self.period == period;
        if is_present && self.today == span.day {
            return;
        }
        let charged = self.charged_in(index, span, quota, history);
        if self.today != span.day {
            self.roll_day(index, span.day, quota, history);
        }
        (self.period, self.charged) = (period, charged);
    }

    fn roll_day(&mut self, index: u32, day: i32, quota: Option<&Quota>, history: &mut History) {
        // A grant alone is something to report too.
        let changed = self.used_today > 0 || self.charged != 0;
        if self.today != NEVER && changed {
            let left = self.left(quota);
            history.push(index, PastDay { day: self.today, used: self.used_today, left });
        }
        let again = history.take(index, day);
        self.used_today = again.map_or(0, |past| past.used);
        self.today = day;
    }

    pub(super) fn use_up(&mut self, cost: u64) {
        self.charged = self.charged.saturating_add_unsigned(cost);
        self.used_today = self.used_today.saturating_add(cost);
    }
}
