use super::{After, Holding, LeaseLedger, Manner, Names, Usable};
use crate::usage_plan::store::{Counter, Lease, LeaseAsk, Period, Standing};
use proptest::prelude::*;
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;
const EPOCH: Duration = Duration::from_secs(8);
const DAY: Period = Period { start: 0, end: 86_400, first_day: 0, end_day: 1 };

/// A holding, its store, and a time that both know.
struct Pair {
    holding: Holding,
    ledger: LeaseLedger,
    now: u64,
    seq: u64,
}

impl Pair {
    fn new(limit: u64) -> Self {
        let holding = Holding::new(DAY, Some(limit), 1);
        Self { holding, ledger: LeaseLedger::default(), now: SECOND, seq: 0 }
    }

    fn names(&mut self) -> Names {
        self.seq += 1;
        Names { holder: u128::from(self.seq) + 100, seq: self.seq }
    }

    fn manner(&mut self) -> Manner {
        let counter = Counter { plan: "p".into(), subject: 7 };
        Manner { counter, names: self.names(), epoch: EPOCH, day: 0, now: self.now, virtual_now: None }
    }

    fn send(&mut self, ask: &LeaseAsk) -> Lease {
        self.ledger.ask(ask, self.now / 1_000)
    }

    fn land(&mut self, ask: &LeaseAsk, lease: &Lease) -> After {
        let names = self.names();
        self.holding.answered(ask, lease, self.now, self.now, 0, names)
    }

    fn fetch(&mut self, cost: u64) {
        let manner = self.manner();
        let ask = self.holding.ask_for_waiting(manner, cost);
        let lease = self.send(&ask);
        assert_eq!(self.land(&ask, &lease), After::Done);
    }

    /// Does something with a ledger that others have too.
    fn with<T>(&mut self, ledger: &mut LeaseLedger, now: u64, act: impl FnOnce(&mut Self) -> T) -> T {
        self.now = now;
        std::mem::swap(&mut self.ledger, ledger);
        let done = act(self);
        std::mem::swap(&mut self.ledger, ledger);
        done
    }

    /// One step of a random history: the units that were spent.
    fn step(&mut self, what: u8, units: u64) -> u64 {
        match what {
            0..=3 if self.holding.usable(units, self.now) == Usable::Enough => {
                self.holding.spend(true, 0, units);
                return units;
            }
            0..=3 => self.say(|holding, manner| holding.ask_for_waiting(manner, units)),
            // The answer is lost; or the ask was.
            4 => self.lose(units),
            5 => self.say(Holding::report),
            _ => self.hand_back(),
        }
        0
    }

    fn say(&mut self, ask: impl FnOnce(&mut Holding, Manner) -> LeaseAsk) {
        let manner = self.manner();
        let ask = ask(&mut self.holding, manner);
        let lease = self.send(&ask);
        self.land(&ask, &lease);
    }

    fn lose(&mut self, units: u64) {
        let manner = self.manner();
        let ask = self.holding.ask_for_waiting(manner, units);
        if units.is_multiple_of(2) {
            self.send(&ask);
        }
        self.holding.unanswered(&ask, true);
    }

    fn hand_back(&mut self) {
        self.say(Holding::hand_back);
    }

    fn charged(&self) -> i64 {
        self.ledger.periods[&0].charged
    }
}

#[test]
fn what_is_in_hand_is_spent_until_the_lease_ends() {
    let mut pair = Pair::new(100);
    assert_eq!(pair.holding.usable(1, pair.now), Usable::Unknown);
    pair.fetch(1);
    assert_eq!(pair.holding.usable(32, pair.now), Usable::Enough);
    assert_eq!(pair.holding.usable(33, pair.now), Usable::Unknown);
    assert_eq!(pair.holding.usable(101, pair.now), Usable::Nowhere, "there is not so much anywhere");
    let end = pair.now + 7 * SECOND;
    assert_eq!(pair.holding.usable(1, end - 1), Usable::Enough);
    assert_eq!(pair.holding.usable(1, end), Usable::Unknown, "sooner than for the store");
}

#[test]
fn an_answer_that_is_lost_is_repaired_by_the_next_ask() {
    let mut pair = Pair::new(100);
    let manner = pair.manner();
    let lost = pair.holding.ask_for_waiting(manner, 1);
    assert!(pair.send(&lost).granted > 0);
    pair.holding.unanswered(&lost, true);
    assert!(!pair.holding.is_settled(), "the store may have lent something");
    pair.fetch(1);
    assert_eq!(pair.charged(), 32, "lent once");
    assert_eq!(
        pair.ledger.ask(&lost, pair.now / 1_000).standing,
        Standing::Stale,
        "and late it changes nothing"
    );
}

#[test]
fn a_refusal_or_hang_up_gives_back_what_was_reserved() {
    let mut pair = Pair::new(4);
    pair.fetch(4);
    pair.holding.reserve(4);
    assert_eq!(
        pair.holding.usable(1, pair.now),
        Usable::Unknown,
        "asked, and not refused, for another's promise"
    );
    pair.holding.release(4, pair.now);
    assert_eq!(pair.holding.usable(4, pair.now), Usable::Enough);
    pair.holding.reserve(4);
    pair.holding.consume(0, 4);
    let manner = pair.manner();
    let ask = pair.holding.hand_back(manner);
    assert_eq!((ask.hold, ask.used[0].units), (0, 4));
}

/// A holding with 3 units, of a counter whose other 5 somebody else has: one request has waited for 4 in vain.
fn held() -> Pair {
    let mut pair = Pair::new(8);
    let manner = pair.manner();
    let ask = pair.holding.ask_for_waiting(manner, 4);
    let lease = Lease { granted: 3, out: 5, ..Lease::default() };
    assert_eq!(pair.land(&ask, &lease), After::Done);
    assert_eq!(pair.holding.usable(4, pair.now), Usable::Unknown);
    pair.holding.waited_in_vain(pair.now, EPOCH);
    assert_eq!(pair.holding.usable(4, pair.now), Usable::Held);
    pair
}

#[test]
fn what_others_hold_is_waited_for_again_after_an_epoch() {
    let pair = held();
    let end = pair.now + 8 * SECOND;
    assert_eq!(pair.holding.usable(4, end - 1), Usable::Held);
    assert_eq!(pair.holding.usable(4, end), Usable::Unknown);
}

#[test]
fn what_this_process_has_promised_is_not_held_by_others() {
    let mut pair = Pair::new(3);
    pair.fetch(3);
    pair.holding.reserve(3);
    pair.holding.waited_in_vain(pair.now, EPOCH);
    assert_eq!(pair.holding.usable(1, pair.now), Usable::Unknown, "it may come back at any moment");
}

#[test]
fn an_ask_that_fails_leaves_nothing_known_of_what_others_hold() {
    for (failed, usable) in [(false, Usable::Held), (true, Usable::Unknown)] {
        let mut pair = held();
        let manner = pair.manner();
        let ask = pair.holding.ask_for_refused(manner, 4);
        pair.holding.unanswered(&ask, failed);
        assert_eq!(pair.holding.usable(4, pair.now), usable, "{failed}");
    }
}

#[test]
fn what_is_in_hand_is_spent_while_a_refusal_is_looked_at_again() {
    let mut pair = held();
    let manner = pair.manner();
    let ask = pair.holding.ask_for_refused(manner, 4);
    assert_eq!((ask.hold, ask.need, ask.least), (3, 1, 1));
    assert_eq!(pair.holding.usable(3, pair.now), Usable::Enough);
    pair.holding.spend(true, 0, 3);
    pair.land(&ask, &Lease { granted: 5, ..Lease::default() });
    assert_eq!(pair.holding.usable(5, pair.now), Usable::Enough);
    assert_eq!(pair.holding.usable(6, pair.now), Usable::Nowhere);
}

#[test]
fn what_was_never_in_hand_does_not_come_back_to_it() {
    for (from_hand, left) in [(true, 32), (false, 28)] {
        let mut pair = Pair::new(100);
        pair.fetch(1);
        match from_hand {
            true => pair.holding.spend(true, 0, 4),
            // The store had failed, and the policy let the request pass.
            false => pair.holding.count(0, 4),
        }
        pair.holding.spend(true, 0, if from_hand { 0 } else { 4 });
        pair.holding.settle(0, -4, from_hand, pair.now);
        assert_eq!(pair.holding.usable(left, pair.now), Usable::Enough);
        assert_eq!(pair.holding.usable(left + 1, pair.now), Usable::Unknown, "{from_hand}");
        pair.hand_back();
        assert_eq!(pair.charged(), if from_hand { 0 } else { 4 });
    }
}

#[test]
fn what_comes_back_while_more_is_used_than_there_was_is_not_spent_again() {
    let mut pair = Pair::new(10);
    pair.fetch(10);
    pair.holding.spend(true, 0, 8);
    pair.holding.reserve(2);
    pair.holding.settle(0, 5, true, pair.now);
    pair.fetch(1);
    assert_eq!((pair.charged(), pair.holding.remaining()), (15, Some(0)), "and the store was told");
    pair.holding.settle(0, -3, true, pair.now);
    pair.holding.release(2, pair.now);
    assert_eq!(pair.holding.usable(1, pair.now), Usable::Unknown, "it pays a debt");
    pair.fetch(1);
    assert_eq!((pair.charged(), pair.holding.usable(1, pair.now)), (10, Usable::Nowhere));
    pair.holding.settle(0, -4, true, pair.now);
    pair.fetch(1);
    assert_eq!((pair.charged(), pair.holding.remaining()), (8, Some(4)));
    pair.holding.settle(0, -1, true, pair.now);
    assert_eq!(pair.holding.usable(3, pair.now), Usable::Enough, "the debt is paid");
}

#[test]
fn another_limit_sends_everything_back() {
    let mut pair = Pair::new(100);
    pair.fetch(1);
    pair.holding.set_limit(Some(50));
    assert_eq!(pair.holding.usable(1, pair.now), Usable::Unknown);
    pair.fetch(1);
    assert_eq!(pair.charged(), 25);
}

#[test]
fn a_record_that_is_gone_too_soon_was_lost() {
    let mut pair = Pair::new(100);
    pair.fetch(1);
    pair.holding.spend(true, 0, 9);
    pair.ledger = LeaseLedger::default();
    let manner = pair.manner();
    let ask = pair.holding.report(manner);
    let settled = Lease { standing: Standing::Settled, ..Lease::default() };
    let names = pair.names();
    let after = pair.holding.answered(&ask, &settled, pair.now, pair.now, 9, names);
    assert_eq!(after, After::Again);
    pair.fetch(1);
    assert_eq!(pair.ledger.days[&0], 9, "its own use is known again");
    assert_eq!(pair.charged(), 9 + 45, "and half of the rest is lent");
}

proptest! {
    /// Whatever is lost on the way, no more is spent than the limit, and in the end everything is accounted for.
    #[test]
    fn holders_and_store_never_disagree(
        limit in 0_u64..200,
        steps in proptest::collection::vec((0_usize..3, 0_u8..8, 1_u64..5), 1..150),
    ) {
        let mut ledger = LeaseLedger::default();
        let mut pairs: Vec<_> = (0..3).map(|number| {
            let mut pair = Pair::new(limit);
            (pair.seq, pair.holding) = (number * 1_000_000, Holding::new(DAY, Some(limit), number.into()));
            pair
        }).collect();
        let (mut now, mut spent) = (SECOND, 0);
        for (at, what, units) in steps {
            if what == 7 {
                now += units * SECOND;
                continue;
            }
            spent += pairs[at].with(&mut ledger, now, |pair| pair.step(what, units));
            prop_assert!(spent <= limit);
            if let Some(period) = ledger.periods.get(&0) {
                prop_assert!(period.charged <= limit as i64);
            }
        }
        for pair in &mut pairs {
            pair.with(&mut ledger, now, Pair::hand_back);
        }
        prop_assert_eq!(ledger.periods[&0].charged, spent as i64);
        prop_assert_eq!(ledger.days.values().sum::<i64>(), spent as i64);
    }
}
