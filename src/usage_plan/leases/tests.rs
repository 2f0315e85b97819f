use super::*;
use crate::usage_plan::{
    lease::{Names, Usable},
    store::{Counter, DayUse, Lease},
};
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;
const DAY: Period = Period { start: 0, end: 86_400, first_day: 0, end_day: 1 };
const NEXT: Period = Period { start: 86_400, end: 172_800, first_day: 1, end_day: 2 };

fn manner() -> Manner {
    let counter = Counter { plan: "p".into(), subject: 7 };
    let names = Names { holder: 1, seq: 1 };
    Manner { counter, names, epoch: Duration::from_secs(9), day: 0, now: SECOND, virtual_now: None }
}

fn terms(entry: u32, edition: u32, day: i32) -> Terms {
    Terms { entry, edition, day }
}

/// A key's entry as the shard has it.
struct Key {
    subject: u128,
    entry: u32,
    place: u32,
}

impl Key {
    fn new(number: u32) -> Self {
        Self { subject: number.into(), entry: number, place: NONE }
    }

    fn holding<'a>(&mut self, leases: &'a mut Leases) -> &'a mut Holding {
        let terms = terms(self.entry, 1, 0);
        leases.present(&mut self.place, (self.subject, 0), terms, (DAY, Some(100)), manner).unwrap().0
    }

    /// Gets units from a store that has them.
    fn fetch(&mut self, leases: &mut Leases, granted: u64) {
        let holding = self.holding(leases);
        let ask = holding.ask_for_waiting(manner(), granted);
        let lease = Lease { granted, ..Lease::default() };
        holding.answered(&ask, &lease, SECOND, SECOND, 0, manner().names);
    }
}

#[test]
fn what_a_request_looks_at_is_the_first_line_of_a_place() {
    assert_eq!((std::mem::offset_of!(Kept, holding), align_of::<Kept>()), (0, 64));
}

#[test]
fn each_key_finds_its_own_among_many_that_come_and_go() {
    let mut leases = Leases::default();
    let mut keys: Vec<_> = (0..300).map(Key::new).collect();
    keys.iter_mut().for_each(|key| key.fetch(&mut leases, u64::from(key.entry)));
    for key in keys.iter().filter(|key| key.entry % 3 == 0) {
        leases.forget(key.subject, 0);
    }
    // Others take the places that are free now, and the keys of before come back.
    let mut others: Vec<_> = (300..420).map(Key::new).collect();
    others.iter_mut().for_each(|key| key.fetch(&mut leases, 1000));
    for key in &mut keys {
        let expected = if key.entry % 3 == 0 { 0 } else { u64::from(key.entry) };
        let holding = key.holding(&mut leases);
        assert_eq!(holding.usable(expected, SECOND), Usable::Enough, "{}", key.entry);
        assert_ne!(holding.usable(expected + 1, SECOND), Usable::Enough, "{}", key.entry);
    }
    assert_eq!(leases.kept.iter_mut().count(), 420);
    assert_eq!(leases.kept.first.len() + leases.kept.others[0].len(), 420, "free places were used again");
}

#[test]
fn an_entry_that_another_key_took_over_does_not_find_the_holding_of_the_first() {
    let mut leases = Leases::default();
    let mut first = Key::new(1);
    first.fetch(&mut leases, 50);
    let mut second = Key { subject: 2, ..Key::new(1) };
    assert_ne!(second.holding(&mut leases).usable(1, SECOND), Usable::Enough);
    let mut back = Key { entry: 9, ..Key::new(1) };
    assert_eq!(back.holding(&mut leases).usable(50, SECOND), Usable::Enough);
}

#[test]
fn another_day_or_edition_of_the_plan_is_compared_once() {
    let mut leases = Leases::default();
    let mut key = Key::new(1);
    key.fetch(&mut leases, 50);
    key.holding(&mut leases).spend(true, 0, 3);
    let mut look = |terms, period, limit| {
        let found = leases.present(&mut key.place, (1, 0), terms, (period, Some(limit)), manner).unwrap();
        found.0.usable(47, SECOND)
    };
    assert_eq!(look(terms(1, 2, 0), DAY, 100), Usable::Enough, "an edit of something else");
    assert_eq!(look(terms(1, 2, 1), DAY, 100), Usable::Enough, "the next day of the period");
    assert_eq!(look(terms(1, 3, 1), DAY, 99), Usable::Unknown, "another limit");
    assert_eq!(look(terms(1, 3, 1), NEXT, 99), Usable::Unknown, "not compared again under the same terms");
    assert_eq!(leases.take_farewells().len(), 0);
    let mut look = |terms, period| {
        let _found = leases.present(&mut key.place, (1, 0), terms, (period, Some(99)), manner);
        leases.take_farewells()
    };
    let farewells = look(terms(1, 3, 2), NEXT);
    assert_eq!(farewells[0].used, [DayUse { day: 0, units: 3 }], "the last statement of the period before");
}

#[test]
fn a_holding_that_was_asking_when_it_was_due_is_looked_at_again() {
    let mut leases = Leases::default();
    let mut key = Key::new(1);
    let interval = 3 * SECOND;
    let asks_at = |now, leases: &mut Leases| {
        leases.sweep(now, now + interval, |_, _| Some(manner())).into_iter().map(|(_, ask)| ask).next()
    };
    key.fetch(&mut leases, 50);
    let (holding, due) =
        leases.present(&mut key.place, (1, 0), terms(1, 1, 0), (DAY, Some(100)), manner).unwrap();
    due.soon(holding, 1, 0, SECOND + interval);
    let under_way = holding.ask_ahead(manner());
    assert_eq!(asks_at(SECOND + interval, &mut leases), None, "one ask at a time");
    key.holding(&mut leases).unanswered(&under_way, true);
    assert_eq!(asks_at(SECOND + 2 * interval - 1, &mut leases), None);
    assert!(asks_at(SECOND + 2 * interval, &mut leases).is_some_and(|ask| ask.hold == 0), "it goes back");
}

#[test]
fn what_nobody_uses_is_let_go_of() {
    let mut leases = Leases::default();
    let mut key = Key::new(1);
    key.fetch(&mut leases, 0);
    let (holding, due) =
        leases.present(&mut key.place, (1, 0), terms(1, 1, 0), (DAY, Some(100)), manner).unwrap();
    due.soon(holding, 1, 0, SECOND);
    assert_eq!(leases.sweep(SECOND, 2 * SECOND, |_, _| Some(manner())).len(), 0);
    assert_eq!(leases.kept.iter_mut().count(), 1, "idle for a while first");
    assert_eq!(leases.sweep(SECOND + 2 * IDLE, SECOND, |_, _| Some(manner())).len(), 0);
    assert_eq!(leases.kept.iter_mut().count(), 0);
    assert_eq!(leases.place(1, 0), None);
}

#[test]
fn a_key_that_is_used_now_and_then_has_one_place_among_the_idle() {
    let mut leases = Leases::default();
    let mut key = Key::new(1);
    key.fetch(&mut leases, 0);
    for turn in 1..100 {
        let (holding, due) =
            leases.present(&mut key.place, (1, 0), terms(1, 1, 0), (DAY, Some(100)), manner).unwrap();
        due.soon(holding, 1, 0, turn * SECOND);
        assert_eq!(leases.sweep(turn * SECOND, SECOND, |_, _| Some(manner())).len(), 0);
        assert_eq!((leases.due.soon.len(), leases.due.idle.len()), (0, 1), "{turn}");
    }
    assert_eq!(leases.sweep(SECOND + IDLE, SECOND, |_, _| Some(manner())).len(), 0);
    assert_eq!(leases.kept.iter_mut().count(), 0, "nothing was heard of it since the first turn");
}

#[test]
fn what_is_left_of_a_plan_that_is_gone_is_let_go_of() {
    let mut leases = Leases::default();
    let mut key = Key::new(1);
    key.fetch(&mut leases, 50);
    let (holding, due) =
        leases.present(&mut key.place, (1, 0), terms(1, 1, 0), (DAY, Some(100)), manner).unwrap();
    holding.spend(true, 0, 3);
    due.soon(holding, 1, 0, SECOND);
    assert_eq!(leases.sweep(SECOND, 2 * SECOND, |_, _| None).len(), 0);
    assert_eq!((leases.kept.iter_mut().count(), leases.due.soon.len()), (0, 0));
}
