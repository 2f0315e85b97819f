//! The store's side of leases: what is charged, who holds what, what was used on which day.

use super::super::{
    days::KEPT_DAYS,
    store::{DayUse, KEPT_AFTER_END, Lease, LeaseAsk, Period, RemainingAsk, Standing, StoredUsage, UsageAsk},
};
use std::{collections::BTreeMap, time::Duration};

/// All that a [`UsageStore`](crate::usage_plan::store::UsageStore) keeps of one counter, and what each ask does to it,
/// for stores that live in the process and as the model of one that does not. Time comes as an argument: microseconds
/// since 1970-01-01T00:00:00Z.
///
/// ```
/// use tower_gateway::usage_plan::{LeaseLedger, store::{Counter, LeaseAsk, Period}};
///
/// let mut ledger = LeaseLedger::default();
/// let mut ask = LeaseAsk::new(Counter::new("gold", 7), Period::new(0..86_400, 0..1), 1);
/// ask.limit = Some(100);
/// (ask.need, ask.least, ask.want) = (1, 1, 80);
/// let lease = ledger.ask(&ask, 0);
/// assert_eq!((lease.granted, lease.pool), (50, 50)); // one holder gets at most half ahead
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseLedger {
    pub(crate) days: BTreeMap<i32, i64>,
    /// By the first second of the period.
    pub(crate) periods: BTreeMap<i64, PeriodLedger>,
}

/// One period of a counter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PeriodLedger {
    /// When it may be forgotten.
    pub(crate) ends: u64,
    /// Used, less what was granted on top, plus all that is held.
    pub(crate) charged: i64,
    pub(crate) holders: BTreeMap<u128, HolderRecord>,
}

/// What one holder has stated, and what it was granted since.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HolderRecord {
    pub(crate) seq: u64,
    pub(crate) until: u64,
    pub(crate) held: u64,
    /// In the order of days.
    pub(crate) used: Vec<DayUse>,
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn signed(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX)
}

impl LeaseLedger {
    /// Executes an ask at `now`.
    pub fn ask(&mut self, ask: &LeaseAsk, now: u64) -> Lease {
        self.ask_if(ask, now, || true)
    }

    /// The same for a request that needs something else too, which `take` takes, or says that it is not there: then
    /// nothing is granted. It is not called where [`LeaseAsk::least`] is not there.
    pub fn ask_if(&mut self, ask: &LeaseAsk, now: u64, take: impl FnOnce() -> bool) -> Lease {
        self.settle(now);
        let standing = self.standing(ask);
        if standing == Standing::Current {
            self.replace(ask);
            return self.grant(ask, now, take);
        }
        Lease { standing, ..Lease::default() }
    }

    /// Turns what is held beyond its time into use, and forgets what is long over.
    pub fn settle(&mut self, now: u64) {
        for period in self.periods.values_mut() {
            for record in period.holders.values_mut().filter(|record| record.until <= now) {
                record.lapse(&mut self.days);
            }
            period.holders.retain(|_, record| record.until.saturating_add(micros(KEPT_AFTER_END)) > now);
        }
        self.periods.retain(|_, period| period.ends.saturating_add(micros(KEPT_AFTER_END)) > now);
        let today = (now / 86_400_000_000) as i32;
        self.days.retain(|day, _| *day >= today - KEPT_DAYS - 1);
    }

    fn standing(&self, ask: &LeaseAsk) -> Standing {
        let Some(period) = self.periods.get(&ask.period.start) else {
            return if ask.fresh { Standing::Current } else { Standing::Lost };
        };
        match period.holders.get(&ask.holder) {
            Some(record) if record.seq >= ask.seq => Standing::Stale,
            None if !ask.fresh => Standing::Settled,
            _ => Standing::Current,
        }
    }

    /// A period that is not known yet starts with what its days have used.
    fn period(&mut self, period: &Period) -> &mut PeriodLedger {
        let Self { days, periods } = self;
        let ends = u64::try_from(period.end).unwrap_or(0).saturating_mul(1_000_000);
        let kept = periods.entry(period.start).or_insert_with(|| PeriodLedger {
            ends,
            charged: days.range(period.first_day..period.end_day).map(|(_, units)| units).sum(),
            holders: BTreeMap::new(),
        });
        // An edit of the plan may have made a period longer that has begun on the same day.
        kept.ends = kept.ends.max(ends);
        kept
    }

    fn replace(&mut self, ask: &LeaseAsk) {
        self.period(&ask.period);
        let Self { days, periods } = self;
        let Some(period) = periods.get_mut(&ask.period.start) else { return };
        let record = period.holders.entry(ask.holder).or_default();
        for listed in &ask.used {
            let difference = listed.units - record.used_on(listed.day);
            *days.entry(listed.day).or_default() += difference;
            period.charged = period.charged.saturating_add(difference);
        }
        let kept = signed(ask.hold).saturating_sub(signed(record.held));
        period.charged = period.charged.saturating_add(kept);
        (record.seq, record.held) = (ask.seq, ask.hold);
        record.used.clone_from(&ask.used);
    }

    fn grant(&mut self, ask: &LeaseAsk, now: u64, take: impl FnOnce() -> bool) -> Lease {
        let period = self.period(&ask.period);
        let record = period.holders.entry(ask.holder).or_default();
        record.until = now.saturating_add(micros(ask.epoch));
        let (held, holders) = period.live(now);
        let pool = ask.limit.map_or(0, |limit| signed(limit).saturating_sub(period.charged));
        let granted = ask.grant(pool, holders);
        let granted = if granted >= ask.least.max(1) && !take() { 0 } else { granted };
        let record = period.holders.entry(ask.holder).or_default();
        record.held += granted;
        let out = held - ask.hold;
        period.charged = period.charged.saturating_add(signed(granted));
        let pool = u64::try_from(pool).unwrap_or(0) - granted;
        Lease { standing: Standing::Current, granted, pool, out, holders }
    }

    /// What is known at `now`.
    pub fn usage(&mut self, ask: &UsageAsk, now: u64) -> StoredUsage {
        self.settle(now);
        let days = self.days.range(ask.first_day..=ask.last_day);
        let days =
            days.filter(|(_, units)| **units != 0).map(|(day, units)| DayUse { day: *day, units: *units });
        let unknown = self.periods.values().map(|period| period.live(now).0).sum();
        let period = self.periods.get(&ask.period.start);
        let remaining = ask.limit.zip(period).map(|(limit, period)| {
            let pool =
                signed(limit).saturating_sub(period.charged).saturating_add(signed(period.live(now).0));
            u64::try_from(pool).unwrap_or(0)
        });
        StoredUsage { days: days.collect(), remaining, unknown }
    }

    /// Sets what is left at `now`.
    pub fn set_remaining(&mut self, ask: &RemainingAsk, now: u64) {
        self.settle(now);
        let period = self.period(&ask.period);
        let held = period.live(now).0;
        period.charged = signed(ask.limit).saturating_sub(signed(ask.remaining)).saturating_add(signed(held));
    }
}

impl PeriodLedger {
    /// Units that live records hold, and how many records live.
    fn live(&self, now: u64) -> (u64, u64) {
        let live = self.holders.values().filter(|record| record.until > now);
        live.fold((0, 0), |(held, count), record| (held + record.held, count + 1))
    }
}

impl HolderRecord {
    fn used_on(&self, day: i32) -> i64 {
        self.used.iter().find(|used| used.day == day).map_or(0, |used| used.units)
    }

    /// What was held counts as used on the last day that the holder knew.
    fn lapse(&mut self, days: &mut BTreeMap<i32, i64>) {
        let held = signed(std::mem::take(&mut self.held));
        if let Some(last) = self.used.last_mut().filter(|_| held > 0) {
            last.units += held;
            *days.entry(last.day).or_default() += held;
        }
    }
}
