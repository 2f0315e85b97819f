//! The property suite: whatever happens, one process with a store decides as one with memory. For every store.
//!
//! [`same_decisions`] is generic over how a store is made; `tests/it` has a call of it for each.

use super::process::{Answer, Dice, KEYS, NOON, Process, settle};
use std::time::Duration;
use tower_gateway::{
    clock::ManualClock,
    response::Cause,
    store::{FailurePolicy, StoreOptions},
    throttle::Throttle,
    usage_plan::{
        Quota, QuotaPeriod, UsagePlan, UsagePlans,
        store::{Counter, DayUse, LeaseAsk, Period, UsageAsk, UsageStore},
    },
};

/// How a store is tested.
#[derive(Clone, Copy, Debug)]
pub struct Suite {
    pub schedules: u64,
    pub steps: u64,
    /// The first schedule: each has a number, and is the same in every run.
    pub first: u64,
    /// The store decides on tokens, and is asked in its own time: both are waited for after what is not awaited.
    pub pause: Option<Duration>,
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Ask {
        key: usize,
        cost: u32,
    },
    /// Reserve, then commit something else.
    Reserve {
        key: usize,
        cost: u32,
        actual: u32,
    },
    Pass(Duration),
    /// Everything is handed back first, as by the end of a process, and much time passes.
    Jump(Duration),
    Edit(UsagePlan),
    SetRemaining {
        key: usize,
        remaining: u64,
    },
}

fn throttle(dice: &mut Dice) -> Option<Throttle> {
    let rate = [0.0, 0.1, 0.333_333_333, 1.0, 7.7, 1_000.0][dice.roll(6) as usize];
    (dice.roll(3) > 0).then(|| Throttle::new(rate, 1 + dice.roll(12) as u32).unwrap())
}

fn plan(dice: &mut Dice) -> UsagePlan {
    let mut plan = UsagePlan::new("p");
    if let Some(throttle) = throttle(dice) {
        plan = plan.throttle(throttle).shadow_throttle(dice.roll(8) == 0);
    }
    if dice.roll(4) > 0 {
        plan = plan.quota(Quota::new(dice.roll(40), QuotaPeriod::Day).unwrap());
    }
    plan
}

fn step(dice: &mut Dice, plan_of: &UsagePlan) -> Step {
    let key = dice.roll(KEYS.len() as u64) as usize;
    let cost = [1, 1, 1, 2, 3, 0, 9][dice.roll(7) as usize];
    match dice.roll(24) {
        0..14 => Step::Ask { key, cost },
        14..16 => Step::Reserve { key, cost: cost.max(1), actual: dice.roll(6) as u32 },
        16..20 => Step::Pass(Duration::from_micros(dice.roll(3_000_000))),
        20 => Step::Jump(Duration::from_secs(60 + dice.roll(50_000))),
        21 | 22 => Step::Edit(edited(dice, plan_of)),
        _ => Step::SetRemaining { key, remaining: dice.roll(30) },
    }
}

/// Other numbers; a plan keeps having a quota, or having none.
fn edited(dice: &mut Dice, plan_of: &UsagePlan) -> UsagePlan {
    let mut next = UsagePlan::new("p");
    if let Some(throttle) = throttle(dice) {
        next = next.throttle(throttle);
    }
    match plan_of.general_quota() {
        Some(_) => next.quota(Quota::new(dice.roll(40), QuotaPeriod::Day).unwrap()),
        None => next,
    }
}

/// Two processes that must not differ.
struct Twins {
    memory: Process,
    stored: Process,
    shares_throttles: bool,
    pause: Option<Duration>,
}

/// Lets everything run that nobody waits for.
pub async fn quiet(pause: Option<Duration>) {
    settle().await;
    if let Some(pause) = pause {
        #[allow(clippy::disallowed_methods, reason = "a real store answers in real time")]
        tokio::time::sleep(pause).await;
        settle().await;
    }
}

impl Twins {
    async fn quiet(&self) {
        quiet(self.pause).await;
    }

    async fn take(&self, step: &Step) {
        match *step {
            Step::Ask { key, cost } => {
                let expected = self.memory.ask(KEYS[key], cost).await;
                let mut answer = self.ask_stored(KEYS[key], cost).await;
                if cost == 0 {
                    // What is free asks nobody, and may not know what is left.
                    answer.announced.clone_from(&expected.announced);
                }
                self.compare(&expected, &answer);
            }
            Step::Reserve { key, cost, actual } => self.reserve(KEYS[key], cost, actual).await,
            Step::Pass(time) => self.pass(time).await,
            Step::Jump(time) => {
                self.quiet().await;
                self.stored.plans.hand_back().await;
                self.pass(time).await;
            }
            Step::Edit(ref plan) => {
                self.memory.plans.put_plan(plan.clone()).unwrap();
                self.stored.plans.put_plan(plan.clone()).unwrap();
            }
            Step::SetRemaining { key, remaining } => self.set_remaining(KEYS[key], remaining).await,
        }
    }

    /// A real store answers while virtual time stands still.
    async fn ask_stored(&self, key: &str, cost: u32) -> Answer {
        #[allow(clippy::disallowed_methods, reason = "a request that hangs is to be seen")]
        let limit = tokio::time::timeout(Duration::from_secs(20), self.stored.request(key, cost));
        Answer::of(&limit.await.unwrap())
    }

    async fn reserve(&self, key: &str, cost: u32, actual: u32) {
        let (expected, reserved) = self.memory.reserve(key, cost).await;
        let (answer, stored) = self.stored.reserve_in_real_time(key, cost).await;
        self.compare(&expected, &answer);
        for reservation in reserved.iter().chain(&stored) {
            assert!(reservation.commit(actual));
        }
        self.quiet().await;
    }

    async fn pass(&self, time: Duration) {
        self.memory.clock.advance(time);
        self.quiet().await;
    }

    async fn set_remaining(&self, key: &str, remaining: u64) {
        if self.memory.plans.plan("p").unwrap().general_quota().is_some() {
            self.memory.plans.update_remaining("p", key, remaining).unwrap();
            self.stored.plans.update_shared_remaining("p", key, remaining).await.unwrap();
        }
    }

    /// Where several limits refuse, a store that shares throttles looks at the quota first, which costs nothing.
    fn compare(&self, expected: &Answer, answer: &Answer) {
        assert_eq!(answer.status, expected.status, "{expected:?} {answer:?}");
        let quota_first = self.shares_throttles && answer.cause == Some(Cause::Quota);
        if !quota_first {
            assert_eq!((answer.cause, &answer.announced), (expected.cause, &expected.announced));
        }
    }
}

/// Runs schedules over a fresh store each, and compares every decision with memory's.
pub async fn same_decisions<S: UsageStore>(suite: Suite, mut make: impl FnMut(&ManualClock) -> S) {
    for number in suite.first..suite.first + suite.schedules {
        let clock = ManualClock::at_unix_seconds(NOON);
        let mut dice = Dice(number);
        let first = plan(&mut dice);
        let store = make(&clock);
        let shares_throttles = store.shares_throttles();
        let options = StoreOptions::new().failure(FailurePolicy::Deny);
        let account = throttle(&mut dice).filter(|_| number % 4 == 0);
        let builder = || account.into_iter().fold(UsagePlans::builder(), |it, all| it.account_throttle(all));
        let memory = Process::build(&clock, first.clone(), builder());
        let stored = builder().store(store).store_options(options);
        let stored = Process::build(&clock, first.clone(), stored);
        let twins = Twins { memory, stored, shares_throttles, pause: suite.pause };
        let steps: Vec<_> = (0..suite.steps).map(|_| step(&mut dice, &first)).collect();
        for (at, step) in steps.iter().enumerate() {
            let context = Context { number, at, steps: &steps };
            twins.take(step).await;
            std::mem::forget(context);
        }
        twins.stored.plans.hand_back().await;
        let counts = twins.stored.plans.store_counts().unwrap();
        assert_eq!((counts.denied, counts.errors), (0, 0), "the store failed");
        for key in KEYS {
            let local = twins.memory.plans.usage("p", Some(key), "2026-11-22", "2026-11-29").unwrap();
            let shared = twins.stored.plans.shared_usage("p", key, "2026-11-22", "2026-11-29").await.unwrap();
            let used = |report: &tower_gateway::usage_plan::UsageReport| {
                report.of(key).unwrap().iter().map(|day| day.used).collect::<Vec<_>>()
            };
            assert_eq!(used(&shared), used(&local), "schedule {number}, {key}");
            assert_eq!(shared.unknown(), 0, "schedule {number}, {key}");
        }
    }
}

/// Says which schedule it was, when a comparison fails.
struct Context<'a> {
    number: u64,
    at: usize,
    steps: &'a [Step],
}

impl Drop for Context<'_> {
    fn drop(&mut self) {
        eprintln!("schedule {}, step {}: {:#?}", self.number, self.at, &self.steps[..=self.at]);
    }
}

/// How many schedules a suite runs: `$SCHEDULES`, which `./test.sh` sets to 10,000 where all features are on.
pub fn schedules() -> u64 {
    std::env::var("SCHEDULES").map_or(500, |number| number.parse().unwrap())
}

/// A store forgets all keys of one plan, however like its id those of others are.
pub async fn forgets_one_plan(store: &impl UsageStore) {
    let day = i32::try_from(NOON / 86_400).unwrap();
    let start = i64::from(day) * 86_400;
    let period = Period::new(start..start + 86_400, day..day + 1);
    let now = Some(u64::try_from(NOON).unwrap() * 1_000_000);
    let plans = ["p", "p*", "pq", "p:q", "[p]", "p\\*", "p*:0"];
    let counters = plans.iter().flat_map(|plan| [1, 2].map(|subject| Counter::new(*plan, subject)));
    for counter in counters.clone() {
        let holder = counter.subject;
        let mut ask = LeaseAsk::new(counter, period, holder);
        (ask.limit, ask.used, ask.now) = (Some(10), vec![DayUse::new(day, 3)], now);
        assert_eq!(store.lease(ask).await.unwrap().pool, 7);
    }
    let usage = async |counter: Counter| {
        let mut ask = UsageAsk::new(counter, period);
        (ask.limit, ask.now) = (Some(10), now);
        let usage = store.usage(ask).await.unwrap();
        (usage.days.iter().map(|day| day.units).sum::<i64>(), usage.remaining)
    };
    store.forget_plan("p*".into()).await.unwrap();
    for counter in counters {
        let wanted = if &*counter.plan == "p*" { (0, None) } else { (3, Some(7)) };
        assert_eq!(usage(counter.clone()).await, wanted, "{counter:?}");
    }
}

mod double {
    use super::*;
    use crate::{support::run, usage_stores::double::Double};

    #[test]
    fn a_plan_is_forgotten_whole_and_no_other() {
        run(forgets_one_plan(&Double::new(true)));
    }

    /// What a plan of the same id that comes later begins with.
    #[test]
    fn a_deleted_plan_leaves_nothing_in_the_store() {
        run(async {
            let clock = ManualClock::at_unix_seconds(NOON);
            let plan = || UsagePlan::new("p").quota(Quota::new(5, QuotaPeriod::Day).unwrap());
            let store = Double::new(true);
            let process = Process::with_store(&clock, plan(), store, StoreOptions::new());
            for key in KEYS {
                assert!(process.ask(key, 2).await.admitted());
            }
            process.plans.hand_back().await;
            assert_eq!(process.report("ann").await, (2, Some(3), 0));
            process.plans.delete_plan("p").unwrap();
            settle().await;
            process.plans.put_plan(plan()).unwrap();
            process.plans.attach_all("p", KEYS).unwrap();
            for key in KEYS {
                assert_eq!(process.report(key).await, (0, Some(5), 0));
                assert!(process.ask(key, 5).await.admitted());
            }
        });
    }

    /// So many schedules for a store that decides on tokens, and as many for one that does not.
    #[test]
    fn random_schedules_are_decided_as_by_memory() {
        std::thread::scope(|scope| {
            for throttles in [true, false] {
                scope.spawn(move || {
                    let suite = Suite {
                        schedules: schedules(),
                        steps: 24,
                        first: std::env::var("FIRST").map_or(0, |it| it.parse().unwrap()),
                        pause: None,
                    };
                    run(same_decisions(suite, |_| Double::new(throttles)));
                });
            }
        });
    }
}
