//! Several processes, one quota: exactly the limit is admitted, and hardly anybody waits.

use super::{
    double::Double,
    process::{Dice, NOON, Process, settle},
};
use crate::support::run;
use std::time::Duration;
use tower_gateway::{
    clock::ManualClock,
    response::Cause,
    store::StoreOptions,
    throttle::Throttle,
    usage_plan::{Quota, QuotaPeriod, UsagePlan},
};

const LIMIT: u64 = 100_000;

fn plan(limit: u64) -> UsagePlan {
    UsagePlan::new("p").quota(Quota::new(limit, QuotaPeriod::Day).unwrap())
}

fn cluster(clock: &ManualClock, processes: usize) -> Vec<Process> {
    let store = Double::new(true);
    let process = |_| Process::with_store(clock, plan(LIMIT), store.process(), StoreOptions::new());
    (0..processes).map(process).collect()
}

/// Which process the next request goes to: all the same, or the k-th 1/k as often as the first.
pub fn pick(dice: &mut Dice, processes: usize, zipf: bool) -> usize {
    if !zipf {
        return dice.roll(processes as u64) as usize;
    }
    let weight = |at: usize| 1_000_000 / (at as u64 + 1);
    let mut left = dice.roll((0..processes).map(weight).sum());
    (0..processes)
        .find(|at| {
            let here = left < weight(*at);
            left = left.saturating_sub(weight(*at));
            here
        })
        .unwrap()
}

fn spends_exactly_the_limit(processes: usize, zipf: bool, pace: Duration) {
    run(async {
        let clock = ManualClock::at_unix_seconds(NOON);
        let cluster = cluster(&clock, processes);
        let (mut dice, mut admitted, mut early, mut late) = (Dice(7), 0_u64, 0_u64, 0_u64);
        while late < 500 {
            let answer = cluster[pick(&mut dice, processes, zipf)].ask("ann", 1).await;
            match (answer.status, answer.cause) {
                (200, None) => admitted += 1,
                (429, Some(Cause::Quota)) if admitted < LIMIT => early += 1,
                (429, Some(Cause::Quota)) => late += 1,
                other => panic!("{other:?}"),
            }
            clock.advance(pace);
            tokio::task::yield_now().await;
        }
        assert_eq!((admitted, early), (LIMIT, 0), "{processes} processes");
        let waited: u64 = cluster.iter().map(|process| process.plans.store_counts().unwrap().waited).sum();
        println!("{processes} processes, zipf {zipf}: {waited} of {LIMIT} waited");
        assert!(waited <= LIMIT / 100, "{waited} requests waited");
        for process in &cluster {
            process.plans.hand_back().await;
        }
        settle().await;
        assert_eq!(cluster[0].report("ann").await, (LIMIT, Some(0), 0));
        assert_eq!(cluster[0].report("bob").await, (0, Some(LIMIT), 0));
    });
}

#[test]
fn three_processes_admit_the_limit_and_one_in_a_hundred_waits() {
    spends_exactly_the_limit(3, false, Duration::from_micros(100));
    spends_exactly_the_limit(3, true, Duration::from_micros(100));
}

#[test]
fn ten_processes_admit_the_limit_and_one_in_a_hundred_waits() {
    spends_exactly_the_limit(10, false, Duration::from_micros(100));
    spends_exactly_the_limit(10, true, Duration::from_micros(100));
}

#[test]
fn a_slow_pace_lets_leases_end_and_still_nothing_is_lost() {
    spends_exactly_the_limit(3, true, Duration::from_millis(3));
}

#[test]
fn edits_under_load_leave_the_counters_alone() {
    run(async {
        let clock = ManualClock::at_unix_seconds(NOON);
        let store = Double::new(false);
        let process = |_| Process::with_store(&clock, plan(3_000), store.process(), StoreOptions::new());
        let cluster: Vec<_> = (0..3).map(process).collect();
        let (mut dice, mut admitted) = (Dice(3), 0);
        for round in 0..6_000_u64 {
            // Deploy a version in one process after the other, and roll it back.
            if round % 100 < 3 {
                let version = plan(3_000 + 500 * (round / 100 % 3)).name("edited");
                let throttle = Throttle::new(1e6 + round as f64, 1_000_000).unwrap();
                cluster[(round % 100) as usize].plans.put_plan(version.throttle(throttle)).unwrap();
            }
            if round == 5_900 {
                cluster.iter().for_each(|process| process.plans.put_plan(plan(3_000)).unwrap());
            }
            let answer = cluster[dice.roll(3) as usize].ask("ann", 1).await;
            admitted += u64::from(answer.admitted());
            clock.advance(Duration::from_micros(300));
        }
        for process in &cluster {
            process.plans.hand_back().await;
        }
        let (used, _, unknown) = cluster[0].report("ann").await;
        assert_eq!((used, unknown), (admitted, 0));
        assert_eq!(admitted, 4_000, "the greatest limit that was in force, and not a request more");
    });
}

#[test]
fn what_is_left_can_be_set_for_all() {
    run(async {
        let clock = ManualClock::at_unix_seconds(NOON);
        let store = Double::new(true);
        let process = |_| Process::with_store(&clock, plan(10), store.process(), StoreOptions::new());
        let cluster: Vec<_> = (0..2).map(process).collect();
        for turn in 0..10 {
            assert!(cluster[turn % 2].ask("ann", 1).await.admitted());
        }
        for process in &cluster {
            assert_eq!(process.ask("ann", 1).await.cause, Some(Cause::Quota));
        }
        cluster[0].plans.update_shared_remaining("p", "ann", 3).await.unwrap();
        settle().await;
        let mut admitted = 0;
        for turn in 0..8 {
            admitted += u64::from(cluster[turn % 2].ask("ann", 1).await.admitted());
        }
        assert_eq!(admitted, 3);
        assert_eq!(cluster[1].report("ann").await.0, 13);
        let local = cluster[0].plans.update_remaining("p", "ann", 3).unwrap_err();
        assert_eq!(local.value(), "p");
    });
}

#[test]
fn an_exhausted_key_is_refused_without_a_word_to_the_store() {
    run(async {
        let clock = ManualClock::at_unix_seconds(NOON);
        let store = Double::new(true);
        let process = Process::with_store(&clock, plan(5), store.process(), StoreOptions::new());
        for _ in 0..5 {
            assert!(process.ask("ann", 1).await.admitted());
        }
        process.ask("ann", 1).await;
        settle().await;
        let before = store.calls();
        for _ in 0..1_000 {
            let refused = process.ask("ann", 1).await;
            assert_eq!((refused.cause, refused.waited), (Some(Cause::Quota), Duration::ZERO));
        }
        assert_eq!(store.calls(), before);
    });
}
