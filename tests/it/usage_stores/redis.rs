//! Usage shared through a real Redis: the suite of every store, clusters in real time, and what is left in the server.

mod faults;
mod footprint;
mod node;
mod parts;

use super::{
    cluster::pick,
    late::late_costs,
    process::Dice,
    suite::{Suite, forgets_one_plan, same_decisions},
};
use crate::support::{is_long, redis_server::RedisServer, run};
use node::{Node, month};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};
use tower_gateway::{
    redis::{Redis, RedisUsage},
    response::Cause,
    store::{FailurePolicy, StoreOptions},
    throttle::Throttle,
    usage_plan::UsagePlan,
};

/// So long a test waits for Redis on a machine that is busy with other tests.
const LONG: Duration = Duration::from_secs(10);

#[test]
fn random_schedules_are_decided_as_by_memory() {
    let Some(server) = RedisServer::start() else { return };
    let threads = 4;
    let schedules = if is_long() { 10_000 } else { 400 } / threads;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let server = &server;
            scope.spawn(move || {
                let pause = Some(Duration::from_millis(10));
                let suite = Suite { schedules, steps: 30, first: thread * schedules, pause };
                let mut number = suite.first;
                run(same_decisions(suite, |_| {
                    number += 1;
                    let redis = Redis::new(&server.url()).unwrap().prefix(&format!("s{number}")).unwrap();
                    RedisUsage::new(redis).deadline(LONG)
                }));
            });
        }
    });
    server.assert_all_expire();
}

#[test]
fn costs_that_become_known_late_are_decided_as_by_memory() {
    let Some(server) = RedisServer::start() else { return };
    let schedules = if is_long() { 1_000 } else { 40 };
    let suite = Suite { schedules, steps: 40, first: 0, pause: Some(Duration::from_millis(5)) };
    let mut number = 0;
    run(late_costs(suite, |_| {
        number += 1;
        let redis = Redis::new(&server.url()).unwrap().prefix(&format!("l{number}")).unwrap();
        RedisUsage::new(redis).deadline(LONG)
    }));
    server.assert_all_expire();
}

#[test]
fn a_plan_is_forgotten_whole_and_no_other() {
    let Some(server) = RedisServer::start() else { return };
    let redis = |prefix| Redis::new(&server.url()).unwrap().prefix(prefix).unwrap();
    run(async {
        // More keys than one page of the scan, of another gateway whose prefix looks like a pattern.
        let other = RedisUsage::new(redis("*")).deadline(LONG);
        forgets_one_plan(&other).await;
        let mut many = ::redis::pipe();
        for number in 0..3_000 {
            many.cmd("SET").arg(format!("{{[p]}}:{number}")).arg("x").arg("PX").arg(100_000);
        }
        many.exec(&mut server.connection()).unwrap();
        let own = RedisUsage::new(redis("[p]")).deadline(LONG);
        forgets_one_plan(&own).await;
    });
    server.assert_all_expire();
}

const LIMIT: u64 = 100_000;

/// Each instance has a connection of its own and shares nothing with the others but the server. Clients send each request
/// to another one: all the same, or the k-th 1/k as often as the first.
fn spends_exactly_the_limit(instances: usize, zipf: bool) {
    let Some(server) = RedisServer::start() else { return };
    let options = StoreOptions::new().failure(FailurePolicy::Deny).deadline(LONG);
    let clients = instances as u64;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let nodes = (0..instances).map(|_| Node::new(&server.url(), month("p", LIMIT), options.clone()));
        let nodes: Arc<[_]> = nodes.collect();
        let admitted: Arc<[AtomicU64]> = (0..instances).map(|_| AtomicU64::new(0)).collect();
        let clients_at_work = (0..clients).map(|client| {
            let (nodes, admitted) = (Arc::clone(&nodes), Arc::clone(&admitted));
            tokio::spawn(async move {
                let mut dice = Dice(client);
                loop {
                    let at = pick(&mut dice, instances, zipf);
                    match nodes[at].ask("ann").await {
                        answer if answer.admitted() => drop(admitted[at].fetch_add(1, SeqCst)),
                        answer => {
                            assert_eq!((answer.status, answer.cause), (429, Some(Cause::Quota)));
                            return sum(&admitted);
                        }
                    }
                    tokio::task::yield_now().await;
                }
            })
        });
        for client in clients_at_work.collect::<Vec<_>>() {
            let before = client.await.unwrap();
            // What others have been granted at that moment is under way, one request of each.
            assert!(before + clients > LIMIT, "an early refusal, after {before}");
        }
        assert_eq!(sum(&admitted), LIMIT, "{instances} instances, zipf {zipf}");
        let waited: u64 = nodes.iter().map(|node| node.plans.store_counts().unwrap().waited).sum();
        println!("{instances} instances, zipf {zipf}: {waited} of {LIMIT} waited, by instance {admitted:?}");
        assert!(waited <= LIMIT / 100 + clients, "{waited} waited");
        for node in &*nodes {
            node.plans.hand_back().await;
        }
        assert_eq!(nodes[0].report("ann").await.unwrap(), (LIMIT, Some(0), 0));
        assert_eq!(nodes[0].report("bob").await.unwrap(), (0, Some(LIMIT), 0));
    });
    server.assert_all_expire();
}

fn sum(counts: &[AtomicU64]) -> u64 {
    counts.iter().map(|count| count.load(SeqCst)).sum()
}

#[test]
fn three_instances_admit_exactly_the_limit() {
    spends_exactly_the_limit(3, false);
    spends_exactly_the_limit(3, true);
}

#[test]
fn ten_instances_admit_exactly_the_limit() {
    spends_exactly_the_limit(10, false);
    spends_exactly_the_limit(10, true);
}

/// A burst of tokens is there once, for all instances together.
#[test]
fn a_throttle_is_one_for_all_instances() {
    let Some(server) = RedisServer::start() else { return };
    run(async {
        let options = StoreOptions::new().failure(FailurePolicy::Deny).deadline(LONG);
        let plan = UsagePlan::new("p").throttle(Throttle::new(0.001, 50).unwrap());
        let nodes: Vec<_> = (0..5).map(|_| Node::new(&server.url(), plan.clone(), options.clone())).collect();
        let mut admitted = 0;
        for turn in 0..100 {
            let answer = nodes[turn % 5].ask("ann").await;
            admitted += u64::from(answer.admitted());
            assert!(answer.admitted() || answer.cause == Some(Cause::PlanThrottle), "{answer:?}");
        }
        assert_eq!(admitted, 50);
        assert!(nodes[0].ask("bob").await.admitted(), "another key has its own");
    });
    server.assert_all_expire();
}

/// Every name of a gateway lies on one slot, or a cluster would refuse the scripts.
#[test]
fn a_cluster_takes_the_scripts() {
    let Some(server) = RedisServer::with(&["--save", "", "--cluster-enabled", "yes"]) else { return };
    server.command::<()>(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    let state = || server.command::<String>(&["CLUSTER", "INFO"]);
    crate::support::redis_server::eventually("the cluster is up", || state().contains("cluster_state:ok"));
    run(async {
        let options = StoreOptions::new().failure(FailurePolicy::Deny).deadline(LONG);
        let plan = month("p", 5).throttle(Throttle::new(1.0, 50).unwrap());
        let node = Node::new(&server.url(), plan, options);
        for _ in 0..5 {
            let answer = node.ask("ann").await;
            assert!(answer.admitted(), "{answer:?}");
        }
        assert_eq!(node.ask("ann").await.cause, Some(Cause::Quota));
        node.plans.hand_back().await;
        assert_eq!(node.report("ann").await.unwrap(), (5, Some(0), 0));
    });
    server.assert_all_expire();
}
