//! Stores that die, freeze, go deaf or lose a process, while traffic flows.

use super::{
    double::{Double, Link},
    process::{Dice, NOON, Process, pass, settle},
};
use crate::support::run;
use std::time::Duration;
use tower_gateway::{
    clock::ManualClock,
    response::Cause,
    store::{FailurePolicy, StoreOptions},
    throttle::Throttle,
    usage_plan::{Quota, QuotaPeriod, UsagePlan},
};

const LIMIT: u64 = 600;
const PROCESSES: usize = 3;
const DEADLINE: Duration = Duration::from_millis(20);

fn plan() -> UsagePlan {
    UsagePlan::new("p").quota(Quota::new(LIMIT, QuotaPeriod::Day).unwrap())
}

/// A cluster under a schedule of faults, and what was seen of it.
struct Storm {
    clock: ManualClock,
    links: Vec<Double>,
    cluster: Vec<Process>,
    policy: FailurePolicy,
    admitted: u64,
    /// By each life of a process.
    lives: u64,
    allowed_units: u64,
    failures: u64,
    /// At most so many units were in hand of processes that died.
    lost: u64,
}

impl Storm {
    fn new(policy: FailurePolicy) -> Self {
        let (clock, store) = (ManualClock::at_unix_seconds(NOON), Double::new(true));
        let links: Vec<_> = (0..PROCESSES).map(|_| store.process()).collect();
        let cluster = links.iter().map(|link| process(&clock, link, policy)).collect();
        let lives = PROCESSES as u64;
        Self { clock, links, cluster, policy, admitted: 0, lives, allowed_units: 0, failures: 0, lost: 0 }
    }

    async fn ask(&mut self, at: usize) {
        let answer = self.cluster[at].ask("ann", 1).await;
        assert!(answer.waited <= DEADLINE, "{answer:?}");
        match (answer.status, answer.cause) {
            (200, _) => self.admitted += 1,
            (429, Some(Cause::Quota)) => {}
            (503, Some(Cause::UsageStoreUnavailable)) if self.policy == FailurePolicy::Deny => {}
            other => panic!("{other:?}"),
        }
    }

    fn count(&mut self, at: usize) {
        let counts = self.cluster[at].plans.store_counts().unwrap();
        self.allowed_units += counts.allowed_units;
        self.failures += counts.errors + counts.timeouts;
    }

    /// A process dies with what it has in hand, and another takes its place.
    fn lose(&mut self, at: usize) {
        self.count(at);
        self.lives += 1;
        self.lost += LIMIT;
        self.cluster[at] = process(&self.clock, &self.links[at], self.policy);
    }

    fn fault(&mut self, dice: &mut Dice, loses: bool) {
        let at = dice.roll(PROCESSES as u64) as usize;
        let link = [Link::Up, Link::Refused, Link::Frozen, Link::Deaf][dice.roll(4) as usize];
        match dice.roll(8) {
            // The store itself.
            0 | 1 => self.links.iter().for_each(|each| each.set_link(link)),
            2 => self.links.iter().for_each(|each| each.set_link(Link::Up)),
            3 if loses => self.lose(at),
            // The way of one process.
            _ => self.links[at].set_link(link),
        }
    }

    async fn rage(&mut self, number: u64, loses: bool) {
        let mut dice = Dice(number);
        for turn in 0..900 {
            if turn % 30 == 0 {
                self.fault(&mut dice, loses);
            }
            self.ask(dice.roll(PROCESSES as u64) as usize).await;
            if dice.roll(10) == 0 {
                pass(&self.clock, Duration::from_millis(dice.roll(2_500))).await;
            }
        }
    }

    /// The store is back, everything is said, and every lease of the dead has ended.
    async fn calm(&mut self) -> (u64, Option<u64>, u64) {
        self.links.iter().for_each(|link| link.set_link(Link::Up));
        pass(&self.clock, Duration::from_secs(12)).await;
        for process in &self.cluster {
            process.plans.hand_back().await;
        }
        settle().await;
        (0..PROCESSES).for_each(|at| self.count(at));
        self.cluster[0].report("ann").await
    }
}

fn process(clock: &ManualClock, link: &Double, policy: FailurePolicy) -> Process {
    let options = StoreOptions::new().failure(policy).deadline(DEADLINE).processes(PROCESSES as u32);
    Process::with_store(clock, plan(), link.clone(), options)
}

const SCHEDULES: u64 = 50;

#[test]
fn under_deny_nothing_is_ever_above_the_limit() {
    for number in 0..SCHEDULES {
        run(async {
            let mut storm = Storm::new(FailurePolicy::Deny);
            storm.rage(number, true).await;
            let (used, _, unknown) = storm.calm().await;
            assert!(storm.admitted <= LIMIT, "schedule {number}: {}", storm.admitted);
            assert_eq!(unknown, 0, "schedule {number}");
            assert!((storm.admitted..=LIMIT).contains(&used), "schedule {number}: {used} {}", storm.admitted);
            if storm.lost == 0 {
                assert_eq!(used, storm.admitted, "schedule {number}");
            }
            assert!(storm.failures > 0, "schedule {number} had no fault");
        });
    }
}

#[test]
fn under_degrade_a_process_takes_its_part_at_most() {
    for number in 0..SCHEDULES {
        run(async {
            let mut storm = Storm::new(FailurePolicy::Degrade);
            storm.rage(number, false).await;
            let (used, _, unknown) = storm.calm().await;
            // Alone, each decides on a third; all the rest was lent, which never is more than the limit.
            let alone = storm.cluster.iter().map(|process| process.plans.store_counts().unwrap().degraded);
            assert!(alone.clone().all(|alone| alone <= LIMIT / PROCESSES as u64), "schedule {number}");
            assert!(storm.admitted - alone.sum::<u64>() <= LIMIT, "schedule {number}: {}", storm.admitted);
            assert_eq!((used, unknown), (storm.admitted, 0), "schedule {number}");
        });
    }
}

#[test]
fn under_allow_the_excess_is_counted_exactly() {
    let mut excesses = 0;
    for number in 0..SCHEDULES {
        run(async {
            let mut storm = Storm::new(FailurePolicy::Allow);
            storm.rage(number, false).await;
            let (used, _, unknown) = storm.calm().await;
            assert_eq!((used, unknown), (storm.admitted, 0), "schedule {number}");
            let excess = storm.admitted.saturating_sub(LIMIT);
            assert!(excess <= storm.allowed_units, "schedule {number}");
            excesses += excess;
        });
    }
    assert!(excesses > 0, "no schedule went above the limit");
}

#[test]
fn a_dead_store_costs_the_deadline_a_few_times_and_then_nothing() {
    run(async {
        let mut storm = Storm::new(FailurePolicy::Degrade);
        storm.links[0].set_link(Link::Frozen);
        let mut waits = Vec::new();
        for _ in 0..50 {
            waits.push(storm.cluster[0].ask("ann", 1).await.waited);
        }
        assert_eq!(waits.iter().filter(|wait| **wait == DEADLINE).count(), 5);
        assert!(waits[5..].iter().all(Duration::is_zero), "{waits:?}");
        let counts = storm.cluster[0].plans.store_counts().unwrap();
        assert_eq!((counts.timeouts, counts.opened, counts.degraded), (5, 1, 50));
        storm.links[0].set_link(Link::Up);
        pass(&storm.clock, Duration::from_secs(1)).await;
        storm.ask(0).await;
        assert!(storm.cluster[0].plans.store_counts().unwrap().calls > 5, "it is back");
    });
}

#[test]
fn alone_a_process_has_its_part_of_quota_and_throttle() {
    run(async {
        let (clock, store) = (ManualClock::at_unix_seconds(NOON), Double::new(true));
        store.set_link(Link::Refused);
        let throttled = |burst| plan().throttle(Throttle::new(3.0, burst).unwrap());
        let options = StoreOptions::new().processes(3);
        let process = Process::with_store(&clock, throttled(300), store.clone(), options.clone());
        let mut causes = Vec::new();
        for _ in 0..110 {
            causes.push(process.ask("ann", 1).await.cause);
        }
        assert_eq!(causes.iter().filter(|cause| cause.is_none()).count(), 100, "a third of the burst");
        assert_eq!(causes[100], Some(Cause::PlanThrottle));
        clock.advance(Duration::from_secs(1));
        assert_eq!(process.ask("ann", 1).await.cause, None, "a third of the rate");
        assert_eq!(process.ask("ann", 1).await.cause, Some(Cause::PlanThrottle));

        let process = Process::with_store(&clock, throttled(9_000), store, options);
        let mut admitted = 0;
        for _ in 0..300 {
            admitted += u64::from(process.ask("ann", 1).await.admitted());
        }
        assert_eq!(admitted, LIMIT / 3);
        let counts = process.plans.store_counts().unwrap();
        assert_eq!((counts.degraded, counts.degraded_refused), (LIMIT / 3, 100));
    });
}

/// The policy of a plan comes before that of the store.
#[test]
fn a_plan_may_say_otherwise() {
    run(async {
        let (clock, store) = (ManualClock::at_unix_seconds(NOON), Double::new(true));
        store.set_link(Link::Refused);
        let deny = StoreOptions::new().failure(FailurePolicy::Deny);
        let process = Process::with_store(&clock, plan(), store.clone(), deny.clone());
        assert_eq!(process.ask("ann", 1).await.status, 503);
        let plan = plan().store_failure(FailurePolicy::Allow);
        let process = Process::with_store(&clock, plan, store, deny);
        assert_eq!(process.ask("ann", 1).await.status, 200);
        assert_eq!(process.plans.store_counts().unwrap().allowed_units, 1);
    });
}

/// A store that comes back empty is told what the living have used before it lends again.
#[test]
fn a_store_that_lost_everything_learns_it_again() {
    run(async {
        let mut storm = Storm::new(FailurePolicy::Deny);
        for turn in 0..300 {
            storm.ask(turn % PROCESSES).await;
        }
        assert_eq!(storm.admitted, 300);
        storm.links[0].lose_everything();
        pass(&storm.clock, Duration::from_secs(9)).await;
        for turn in 0..900 {
            storm.ask(turn % PROCESSES).await;
        }
        assert_eq!(storm.admitted, LIMIT);
        assert_eq!(storm.calm().await, (LIMIT, Some(0), 0));
    });
}
