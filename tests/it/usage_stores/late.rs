//! Costs that become known long after their requests: in another day or period, or when nothing is kept of the lease.

use super::{
    double::{Double, Link},
    process::{Answer, Dice, NOON, Process, TODAY, TOMORROW, pass},
    suite::{Suite, quiet, schedules},
};
use crate::support::run;
use std::time::Duration;
use tower_gateway::{
    clock::ManualClock,
    store::{FailurePolicy, StoreOptions},
    throttle::Throttle,
    usage_plan::{Quota, QuotaPeriod, UsagePlan, UsageReport, UsageReservation, store::UsageStore},
};

/// Three seconds before midnight.
const EVENING: i64 = NOON + 12 * 3_600 - 3;

fn plan(limit: u64, period: QuotaPeriod) -> UsagePlan {
    UsagePlan::new("p").quota(Quota::new(limit, period).unwrap())
}

fn shared(clock: &ManualClock, plan: UsagePlan) -> Process {
    Process::with_store(clock, plan, Double::new(false), StoreOptions::new())
}

async fn reserve(process: &Process, cost: u32) -> UsageReservation {
    process.reserve("ann", cost).await.1.unwrap()
}

/// Used on a day, by all.
async fn used_on(process: &Process, day: &str) -> u64 {
    process.plans.shared_usage("p", "ann", day, day).await.unwrap().of("ann").unwrap()[0].used
}

#[test]
fn a_cost_reaches_the_quota_however_long_the_key_was_idle() {
    for (idle, period) in [60, 290, 1_500]
        .into_iter()
        .flat_map(|idle| [QuotaPeriod::Day, QuotaPeriod::Month].map(|period| (idle, period)))
    {
        run(async {
            let clock = ManualClock::at_unix_seconds(NOON);
            let process = shared(&clock, plan(10, period));
            let reserved = reserve(&process, 1).await;
            pass(&clock, Duration::from_secs(idle)).await;
            assert!(reserved.commit(100));
            assert_eq!(process.ask("ann", 1).await.status, 429, "{idle} s, {period:?}");
            assert_eq!(process.report("ann").await, (100, Some(0), 0), "{idle} s, {period:?}");
        });
    }
}

#[test]
fn what_nobody_asks_about_is_reported_within_seconds() {
    run(async {
        let (clock, store) = (ManualClock::at_unix_seconds(NOON), Double::new(false));
        let process =
            |link| Process::with_store(&clock, plan(10, QuotaPeriod::Day), link, StoreOptions::new());
        let [one, other] = [process(store.process()), process(store.process())];
        for idle in [60, 1_500] {
            let reserved = reserve(&one, 1).await;
            pass(&clock, Duration::from_secs(idle)).await;
            reserved.commit(3);
            pass(&clock, Duration::from_secs(6)).await;
        }
        assert_eq!(other.report("ann").await, (6, Some(4), 0));
    });
}

#[test]
fn a_month_goes_on_after_the_midnight_of_a_request() {
    for (actual, statuses) in [(100, [429, 429]), (1, [200, 200]), (9, [200, 429])] {
        run(async {
            let clock = ManualClock::at_unix_seconds(EVENING);
            let process = shared(&clock, plan(10, QuotaPeriod::Month));
            let reserved = reserve(&process, 5).await;
            pass(&clock, Duration::from_secs(5)).await;
            process.ask("ann", 0).await;
            // The old day has been told.
            pass(&clock, Duration::from_secs(10)).await;
            reserved.commit(actual);
            pass(&clock, Duration::from_secs(20)).await;
            for status in statuses {
                assert_eq!(process.ask("ann", 1).await.status, status, "{actual}");
            }
            assert_eq!(used_on(&process, TODAY).await, u64::from(actual));
        });
    }
}

#[test]
fn a_cost_of_a_day_that_is_over_belongs_to_that_day() {
    for idle in [5, 2_000] {
        run(async {
            let clock = ManualClock::at_unix_seconds(EVENING);
            let process = shared(&clock, plan(10, QuotaPeriod::Day));
            let (more, less) = (reserve(&process, 1).await, reserve(&process, 4).await);
            pass(&clock, Duration::from_secs(idle)).await;
            more.commit(100);
            less.refund_all();
            assert_eq!(process.ask("ann", 10).await.status, 200);
            assert_eq!(process.ask("ann", 1).await.status, 429);
            process.plans.hand_back().await;
            assert_eq!((used_on(&process, TODAY).await, used_on(&process, TOMORROW).await), (100, 10));
        });
    }
}

/// The store hears of it when it is back, and once.
#[test]
fn a_cost_of_a_day_that_is_over_waits_for_the_store() {
    run(async {
        let (clock, store) = (ManualClock::at_unix_seconds(EVENING), Double::new(false));
        let process =
            Process::with_store(&clock, plan(10, QuotaPeriod::Day), store.clone(), StoreOptions::new());
        let reserved = reserve(&process, 1).await;
        pass(&clock, Duration::from_secs(5)).await;
        store.set_link(Link::Deaf);
        reserved.commit(7);
        pass(&clock, Duration::from_secs(30)).await;
        store.set_link(Link::Up);
        pass(&clock, Duration::from_secs(30)).await;
        process.plans.hand_back().await;
        assert_eq!(used_on(&process, TODAY).await, 7);
    });
}

/// Seventeen of ten are used.
#[test]
fn what_is_given_back_pays_what_is_owed_first() {
    let throttled = || plan(10, QuotaPeriod::Day).throttle(Throttle::new(1_000.0, 1_000).unwrap());
    for (name, plan, throttles) in
        [("plain", plan(10, QuotaPeriod::Day), false), ("throttled", throttled(), true)]
    {
        run(async {
            let clock = ManualClock::at_unix_seconds(NOON);
            let process = Process::with_store(&clock, plan, Double::new(throttles), StoreOptions::new());
            let (first, second) = (reserve(&process, 5).await, reserve(&process, 5).await);
            first.commit(15);
            second.commit(2);
            assert_eq!(process.ask("ann", 1).await.status, 429, "{name}");
            assert_eq!(process.report("ann").await, (17, Some(0), 0), "{name}");
        });
    }
}

/// Two processes that must not differ, and what each has not yet committed.
struct Twins {
    memory: Process,
    stored: Process,
    open: Vec<[UsageReservation; 2]>,
    pause: Option<Duration>,
    /// Of the schedule.
    number: u64,
}

impl Twins {
    async fn take(&mut self, dice: &mut Dice) {
        match dice.roll(8) {
            0..3 => self.reserve(1 + dice.roll(4) as u32).await,
            3..6 if !self.open.is_empty() => {
                let at = dice.roll(self.open.len() as u64) as usize;
                let actual = dice.roll(12) as u32;
                assert!(self.open.swap_remove(at).iter().all(|reserved| reserved.commit(actual)));
            }
            6 => self.jump(Duration::from_secs(dice.roll(100_000))).await,
            _ => self.memory.clock.advance(Duration::from_millis(dice.roll(2_000))),
        }
        quiet(self.pause).await;
    }

    async fn reserve(&mut self, cost: u32) {
        let (expected, kept) = self.memory.reserve("ann", cost).await;
        let (answer, stored) = self.stored.reserve_in_real_time("ann", cost).await;
        let decided = |answer: &Answer| (answer.status, answer.cause, answer.announced.clone());
        assert_eq!(decided(&answer), decided(&expected), "schedule {}", self.number);
        self.open.extend(kept.zip(stored).map(|(kept, stored)| [kept, stored]));
    }

    /// What is in hand goes back first: after such a time it would count as used.
    async fn jump(&self, time: Duration) {
        self.stored.plans.hand_back().await;
        self.memory.clock.advance(time);
        quiet(self.pause).await;
    }
}

/// Runs schedules over a fresh store each, in which costs are committed at any time later.
pub async fn late_costs<S: UsageStore>(suite: Suite, mut make: impl FnMut(&ManualClock) -> S) {
    for number in suite.first..suite.first + suite.schedules {
        let (clock, mut dice) = (ManualClock::at_unix_seconds(NOON), Dice(number));
        let period = [QuotaPeriod::Day, QuotaPeriod::Week, QuotaPeriod::Month][dice.roll(3) as usize];
        let plan = plan(dice.roll(60), period);
        let options = StoreOptions::new().failure(FailurePolicy::Deny);
        let memory = Process::new(&clock, plan.clone());
        let stored = Process::with_store(&clock, plan, make(&clock), options);
        let mut twins = Twins { memory, stored, open: Vec::new(), pause: suite.pause, number };
        for _ in 0..suite.steps {
            twins.take(&mut dice).await;
        }
        twins.reserve(1).await;
        twins.stored.plans.hand_back().await;
        let local = twins.memory.plans.usage("p", Some("ann"), TODAY, "2027-02-20").unwrap();
        let shared = twins.stored.plans.shared_usage("p", "ann", TODAY, "2027-02-20").await.unwrap();
        let used =
            |report: &UsageReport| report.of("ann").unwrap().iter().map(|day| day.used).collect::<Vec<_>>();
        // Of a longer period one statement lists two days, and what belongs to others goes to those.
        if period == QuotaPeriod::Day {
            assert_eq!(used(&shared), used(&local), "schedule {number}");
        }
        assert_eq!(shared.unknown(), 0, "schedule {number}");
    }
}

#[test]
fn costs_that_become_known_late_are_decided_as_by_memory() {
    let suite = Suite { schedules: schedules(), steps: 40, first: 0, pause: None };
    run(late_costs(suite, |_| Double::new(false)));
}
