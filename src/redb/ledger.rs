//! What the file keeps of a counter: a [`LeaseLedger`], and units of which nobody knows any more whether they were used.
//!
//! Units are reserved in the file before they are spent, so that a crash cannot let anybody spend them twice. What was
//! reserved and not reported when a process died is *lost*: it stays charged to the quota until somebody reconciles it,
//! or its period ends. Pure: time comes as an argument.

use crate::{
    codec::{Reader, Writer},
    usage_plan::{
        HolderRecord, LeaseLedger, PeriodLedger,
        store::{DayUse, KEPT_AFTER_END, Lease, LeaseAsk, RemainingAsk, StoredUsage, UsageAsk},
    },
};
use std::collections::BTreeMap;

/// Of the record's form. A reader knows no other.
const VERSION: u8 = 1;

/// A counter as it stands in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeptLedger {
    /// The run of the process that wrote it: what others held is lost.
    run: u64,
    ledger: LeaseLedger,
    lost: Vec<Lost>,
}

/// Units that a dead process held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    /// The period that they are charged to, by its first second.
    pub(super) period: i64,
    /// The last day on which they can have been used, as far as is known.
    pub(super) day: i32,
    pub(super) units: u64,
}

impl KeptLedger {
    /// As the process of a run finds it: what other runs held is lost.
    pub(super) fn of_run(mut self, run: u64) -> Self {
        if self.run != run {
            self.run = run;
            for (start, period) in &mut self.ledger.periods {
                // A holder that held nothing has said all, and its record goes when its time comes.
                let holders = std::mem::take(&mut period.holders).into_iter();
                let (dead, rest) = holders.partition::<BTreeMap<_, _>, _>(|(_, record)| record.held > 0);
                period.holders = rest;
                self.lost.extend(dead.into_values().map(|record| Lost {
                    period: *start,
                    day: record.used.last().map_or_else(|| day_of(*start), |last| last.day),
                    units: record.held,
                }));
            }
        }
        self
    }

    pub(super) fn ask(&mut self, ask: &LeaseAsk, now: u64) -> Lease {
        self.end_periods(now);
        // A period that starts is charged with what its days have used: what may have been used on them belongs there.
        if !self.ledger.periods.contains_key(&ask.period.start) {
            self.count_as_used(|_| true);
        }
        self.ledger.ask(ask, now)
    }

    pub(super) fn usage(&mut self, ask: &UsageAsk, now: u64) -> StoredUsage {
        self.end_periods(now);
        let mut usage = self.ledger.usage(ask, now);
        usage.unknown += self.lost.iter().map(|lost| lost.units).sum::<u64>();
        usage
    }

    /// What is left is then known, whatever was lost.
    pub(super) fn set_remaining(&mut self, ask: &RemainingAsk, now: u64) {
        self.end_periods(now);
        self.count_as_used(|lost| lost.period == ask.period.start);
        self.ledger.set_remaining(ask, now);
    }

    pub(super) fn lost(&self) -> &[Lost] {
        &self.lost
    }

    /// Of lost units, `used` were used; the others come back. `false`: it was done before.
    pub(super) fn reconcile(&mut self, lost: &Lost, used: u64) -> bool {
        let Some(at) = self.lost.iter().position(|own| own == lost) else { return false };
        self.lost.remove(at);
        let used = used.min(lost.units);
        *self.ledger.days.entry(lost.day).or_default() += signed(used);
        if let Some(period) = self.ledger.periods.get_mut(&lost.period) {
            period.charged = period.charged.saturating_sub(signed(lost.units - used));
        }
        true
    }

    /// Whether there is nothing left to remember.
    pub(super) fn is_over(&mut self, now: u64) -> bool {
        self.end_periods(now);
        self.ledger.settle(now);
        self.lost.is_empty() && self.ledger == LeaseLedger::default()
    }

    /// What was lost of a period that nobody will charge any more is taken for used.
    fn end_periods(&mut self, now: u64) {
        let keep = KEPT_AFTER_END.as_micros() as u64;
        let periods = &self.ledger.periods;
        let is_over = |lost: &Lost| {
            periods.get(&lost.period).is_none_or(|period| period.ends.saturating_add(keep) <= now)
        };
        let over: Vec<_> = self.lost.iter().filter(|lost| is_over(lost)).copied().collect();
        self.count_as_used(|lost| over.contains(lost));
    }

    fn count_as_used(&mut self, which: impl Fn(&Lost) -> bool) {
        let Self { ledger, lost, .. } = self;
        lost.retain(|lost| {
            let counts = which(lost);
            if counts {
                *ledger.days.entry(lost.day).or_default() += signed(lost.units);
            }
            !counts
        });
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new(VERSION);
        writer.u64(self.run);
        writer.list(self.ledger.days.iter(), |writer, (day, units)| {
            writer.u32(*day as u32).i64(*units);
        });
        writer
            .list(self.ledger.periods.iter(), |writer, (start, period)| write_period(writer, *start, period));
        writer.list(self.lost.iter(), |writer, lost| {
            writer.i64(lost.period).u32(lost.day as u32).u64(lost.units);
        });
        writer.finish()
    }

    /// `None`: not such a record.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::of_version(bytes, VERSION)?;
        let run = reader.u64()?;
        let days = reader.list(|reader| Some((reader.u32()? as i32, reader.i64()?)))?.into_iter().collect();
        let periods =
            reader.list(|reader| Some((reader.i64()?, read_period(reader)?)))?.into_iter().collect();
        let lost = reader.list(|reader| {
            Some(Lost { period: reader.i64()?, day: reader.u32()? as i32, units: reader.u64()? })
        })?;
        reader.end()?;
        Some(Self { run, ledger: LeaseLedger { days, periods }, lost })
    }
}

fn signed(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX)
}

/// In UTC: of a holder that never listed a day.
fn day_of(unix_seconds: i64) -> i32 {
    unix_seconds.div_euclid(86_400) as i32
}

fn write_period(writer: &mut Writer, start: i64, period: &PeriodLedger) {
    writer.i64(start).u64(period.ends).i64(period.charged);
    writer.list(period.holders.iter(), |writer, (holder, record)| {
        writer.raw(&holder.to_le_bytes()).u64(record.seq).u64(record.until).u64(record.held);
        writer.list(record.used.iter(), |writer, used| {
            writer.u32(used.day as u32).i64(used.units);
        });
    });
}

fn read_period(reader: &mut Reader<'_>) -> Option<PeriodLedger> {
    let (ends, charged) = (reader.u64()?, reader.i64()?);
    let holders = reader.list(read_holder)?.into_iter().collect();
    Some(PeriodLedger { ends, charged, holders })
}

fn read_holder(reader: &mut Reader<'_>) -> Option<(u128, HolderRecord)> {
    let holder = u128::from_le_bytes(reader.array()?);
    let (seq, until, held) = (reader.u64()?, reader.u64()?, reader.u64()?);
    let used = reader.list(|reader| Some(DayUse { day: reader.u32()? as i32, units: reader.i64()? }))?;
    Some((holder, HolderRecord { seq, until, held, used }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage_plan::store::{Counter, Period};
    use proptest::prelude::*;
    use std::time::Duration;

    const DAY: Period = Period { start: 0, end: 86_400, first_day: 0, end_day: 1 };
    const HOUR: u64 = 3_600_000_000;

    fn ask(holder: u128, seq: u64, used: i64, hold: u64, need: u64) -> LeaseAsk {
        LeaseAsk {
            counter: Counter { plan: "gold".into(), subject: 1 },
            period: DAY,
            limit: Some(100),
            holder,
            seq,
            fresh: seq == 1,
            used: vec![DayUse { day: 0, units: used }],
            hold,
            need,
            least: 1.min(need),
            want: 0,
            epoch: Duration::from_secs(10),
            now: None,
        }
    }

    fn usage(kept: &mut KeptLedger, now: u64) -> (i64, u64, u64) {
        let ask = UsageAsk {
            counter: Counter { plan: "gold".into(), subject: 1 },
            period: DAY,
            limit: Some(100),
            first_day: 0,
            last_day: 9,
            now: None,
        };
        let usage = kept.usage(&ask, now);
        (usage.days.iter().map(|day| day.units).sum(), usage.remaining.unwrap(), usage.unknown)
    }

    /// Forty held, of which ten were reported as used, when the process dies.
    fn crashed() -> KeptLedger {
        let mut kept = KeptLedger::default().of_run(1);
        assert_eq!(kept.ask(&ask(1, 1, 0, 0, 40), 0).granted, 40);
        assert_eq!(kept.ask(&ask(1, 2, 10, 30, 0), 1).granted, 0);
        assert_eq!(usage(&mut kept, 1), (10, 90, 30));
        KeptLedger::from_bytes(&kept.to_bytes()).unwrap().of_run(2)
    }

    #[test]
    fn what_a_dead_process_held_stays_charged_and_unknown_past_its_lease() {
        let mut kept = crashed();
        assert_eq!(usage(&mut kept, HOUR), (10, 60, 30));
        assert_eq!(kept.ask(&ask(2, 1, 0, 0, 100), HOUR).granted, 60);
        assert_eq!(usage(&mut kept, HOUR), (10, 60, 90), "what is held now is unknown too");
    }

    #[test]
    fn reconciling_gives_back_what_was_not_used_once() {
        let mut kept = crashed();
        let lost = kept.lost()[0];
        assert_eq!((lost.day, lost.units), (0, 30));
        assert!(kept.reconcile(&lost, 25));
        assert!(!kept.reconcile(&lost, 25));
        assert_eq!(usage(&mut kept, HOUR), (35, 65, 0));
    }

    #[test]
    fn the_end_of_the_period_settles_it_as_used() {
        let mut kept = crashed();
        assert_eq!(usage(&mut kept, 23 * HOUR).2, 30);
        let mut of_next_day = ask(2, 1, 0, 0, 1);
        of_next_day.period = Period { start: 86_400, end: 172_800, first_day: 1, end_day: 2 };
        assert_eq!(kept.ask(&of_next_day, 25 * HOUR).pool, 99);
        assert!(kept.lost().is_empty());
        assert_eq!(kept.ledger.days[&0], 40);
    }

    #[test]
    fn setting_what_is_left_is_the_last_word() {
        let mut kept = crashed();
        let counter = Counter { plan: "gold".into(), subject: 1 };
        let ask = RemainingAsk { counter, period: DAY, limit: 100, remaining: 7, now: None };
        kept.set_remaining(&ask, HOUR);
        assert_eq!(usage(&mut kept, HOUR), (40, 7, 0));
    }

    #[test]
    fn after_ninety_days_there_is_nothing_to_remember() {
        let mut kept = crashed();
        assert!(!kept.is_over(80 * 24 * HOUR));
        assert_eq!(kept.ledger.days[&0], 40, "what was lost is taken for used");
        assert!(kept.is_over(93 * 24 * HOUR));
    }

    #[test]
    fn a_clean_end_leaves_nothing_unknown() {
        let mut kept = KeptLedger::default().of_run(1);
        kept.ask(&ask(1, 1, 0, 0, 40), 0);
        kept.ask(&ask(1, 2, 12, 0, 0), 1);
        let mut kept = kept.of_run(2);
        assert_eq!(usage(&mut kept, 2), (12, 88, 0));
    }

    proptest! {
        #[test]
        fn it_comes_back_whole(
            days: Vec<(i32, i64)>, holders: Vec<(u128, u64, u64, i64)>, lost: Vec<(i64, i32, u64)>,
        ) {
            let record = |(holder, seq, held, units)| {
                (holder, HolderRecord { seq, until: seq / 2, held, used: vec![DayUse { day: 3, units }] })
            };
            let period = PeriodLedger { ends: 9, charged: -4, holders: holders.into_iter().map(record).collect() };
            let ledger = LeaseLedger { days: days.into_iter().collect(), periods: [(-7, period)].into() };
            let lost = lost.into_iter().map(|(period, day, units)| Lost { period, day, units }).collect();
            let kept = KeptLedger { run: 3, ledger, lost };
            let bytes = kept.to_bytes();
            prop_assert_eq!(KeptLedger::from_bytes(&bytes), Some(kept));
            prop_assert!((0..bytes.len()).step_by(7).all(|cut| KeptLedger::from_bytes(&bytes[..cut]).is_none()));
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _whatever = KeptLedger::from_bytes(&bytes);
        }

        /// Whatever happens, processes that die at any moment included: never more is admitted than the limit.
        #[test]
        fn never_more_than_the_limit(steps in proptest::collection::vec((0_u8..6, 0_u64..40), 0..60)) {
            let mut kept = KeptLedger::default().of_run(1);
            let (mut run, mut holder, mut seq) = (1_u64, 1_u128, 0_u64);
            let (mut held, mut used, mut admitted, mut now) = (0_u64, 0_i64, 0_u64, 0_u64);
            for (step, units) in steps {
                match step {
                    0 | 1 => {
                        seq += 1;
                        held += kept.ask(&ask(holder, seq, used, held, units), now).granted;
                    }
                    2 | 3 => {
                        let spent = units.min(held);
                        (held, used, admitted) = (held - spent, used + spent as i64, admitted + spent);
                    }
                    4 => now += units * 1_000_000,
                    _ => {
                        let outstanding = held + used as u64;
                        run += 1;
                        kept = KeptLedger::from_bytes(&kept.to_bytes()).unwrap().of_run(run);
                        (holder, seq, held, used) = (holder + 1, 0, 0, 0);
                        // What was reported is known, so the unknown of this death is within what it had.
                        let last = kept.lost().last().map_or(0, |lost| lost.units);
                        prop_assert!(last <= outstanding.max(last.min(40 * 60)));
                    }
                }
                // A holder whose time is over has stopped spending: it asks anew, as another one.
                if kept.ledger.periods.get(&0).and_then(|period| period.holders.get(&holder)).is_some_and(|record| record.until <= now) {
                    kept = kept.of_run(run);
                    (holder, seq, held, used) = (holder + 1, 0, 0, 0);
                }
                prop_assert!(admitted <= 100, "{admitted}");
            }
        }
    }
}
