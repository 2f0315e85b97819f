//! Redis is killed, frozen and cut off, and a process dies with a lease in hand, while traffic flows.

use super::{
    super::process::Dice,
    LONG,
    node::{EPOCH, Node, month},
};
use crate::support::{
    is_long,
    redis_server::{Proxy, RedisServer, read_until},
};
use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use tower_gateway::{
    response::Cause,
    store::{FailurePolicy, StoreOptions},
};

const LIMIT: u64 = 600;
const INSTANCES: usize = 3;
/// What each may admit alone under `Degrade`.
const SHARE: u64 = LIMIT / INSTANCES as u64;
const DEADLINE: Duration = Duration::from_millis(20);
/// What a busy machine may add to a wait.
const SLACK: Duration = Duration::from_millis(750);

fn options(policy: FailurePolicy) -> StoreOptions {
    let pauses = (Duration::from_millis(20), Duration::from_millis(200));
    StoreOptions::new()
        .failure(policy)
        .deadline(DEADLINE)
        .processes(INSTANCES as u32)
        .pause(pauses.0, pauses.1)
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// The report, as soon as it is as it should be; what it was at last, if that takes too long.
async fn settled(
    nodes: &[Arc<Node>],
    wanted: impl Fn((u64, Option<u64>, u64)) -> bool,
) -> (u64, Option<u64>, u64) {
    let report = || async {
        for node in nodes {
            node.plans.hand_back().await;
        }
        nodes[0].report("ann").await
    };
    let report = read_until(report, |report| report.is_some_and(&wanted)).await;
    report.expect("the store answers again")
}

/// Three instances, each with a way of its own to one server.
struct Storm {
    server: RedisServer,
    ways: Vec<Proxy>,
    nodes: Vec<Arc<Node>>,
    policy: FailurePolicy,
    admitted: u64,
    by_instance: [u64; INSTANCES],
    waits: Vec<Duration>,
}

impl Storm {
    fn new(server: RedisServer, policy: FailurePolicy) -> Self {
        let ways: Vec<_> = (0..INSTANCES).map(|_| server.proxy()).collect();
        let node =
            |way: &Proxy| Node::with_deadline(&way.url(), month("p", LIMIT), options(policy), DEADLINE);
        let nodes = ways.iter().map(node).collect();
        let by_instance = [0; INSTANCES];
        Self { server, ways, nodes, policy, admitted: 0, by_instance, waits: Vec::new() }
    }

    async fn ask(&mut self, at: usize) -> u16 {
        let answer = self.nodes[at].ask("ann").await;
        self.waits.push(answer.waited);
        match (answer.status, answer.cause) {
            (200, _) => {
                self.admitted += 1;
                self.by_instance[at] += 1;
            }
            (429, Some(Cause::Quota)) => {}
            (503, Some(Cause::UsageStoreUnavailable)) if self.policy == FailurePolicy::Deny => {}
            other => panic!("{other:?}"),
        }
        answer.status
    }

    async fn ask_round(&mut self, times: usize) {
        for turn in 0..times {
            self.ask(turn % INSTANCES).await;
        }
    }

    fn counts<T: std::iter::Sum>(&self, of: impl Fn(tower_gateway::store::StoreCounts) -> T) -> T {
        self.nodes.iter().map(|node| of(node.plans.store_counts().unwrap())).sum()
    }

    /// The store works again, everything is said: nothing is unknown, and what was used is what was admitted.
    async fn calm(&self, context: &str) {
        self.calm_within(LIMIT, context).await;
    }

    /// The same, where Deny admits as many as `most`.
    async fn calm_within(&self, most: u64, context: &str) {
        self.server.thaw_or_restart();
        self.ways.iter().for_each(Proxy::heal);
        let admitted = self.admitted;
        let (used, _, unknown) =
            settled(&self.nodes, |(used, _, unknown)| (used, unknown) == (admitted, 0)).await;
        assert_eq!((used, unknown), (admitted, 0), "{context}");
        match self.policy {
            FailurePolicy::Deny => assert!(admitted <= most, "{context}: {admitted}"),
            FailurePolicy::Degrade => {
                // Alone each admits its share at most; all the rest was lent, which never is more than the limit.
                let alone = self.nodes.iter().map(|node| node.plans.store_counts().unwrap().degraded);
                assert!(alone.clone().all(|alone| alone <= SHARE), "{context}");
                assert!(admitted - alone.sum::<u64>() <= LIMIT, "{context}: {admitted}");
            }
            FailurePolicy::Allow => {
                let allowed = self.counts(|counts| counts.allowed_units);
                assert!(admitted.saturating_sub(LIMIT) <= allowed, "{context}: {admitted} {allowed}");
            }
            policy => panic!("{policy:?} is not tested"),
        }
        let longest = self.waits.iter().max().unwrap();
        assert!(*longest < DEADLINE + SLACK, "{context}: {longest:?}");
        self.server.assert_all_expire();
    }

    fn fault(&mut self, dice: &mut Dice) {
        let at = dice.roll(INSTANCES as u64) as usize;
        match dice.roll(8) {
            0 if self.server.is_running() => self.server.freeze(),
            1 => self.server.thaw_or_restart(),
            2 => self.server.kill(),
            3 => self.ways[at].silence(),
            4 => self.ways[at].cut(),
            _ => {
                self.server.thaw_or_restart();
                self.ways[at].heal();
            }
        }
    }
}

/// 50 schedules; a third of them under each policy.
#[test]
fn fifty_random_storms_leave_exact_counts() {
    let threads = 5;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                for number in (thread..50).step_by(threads as usize) {
                    let Some(server) = RedisServer::persistent() else { return };
                    let policies = [FailurePolicy::Deny, FailurePolicy::Degrade, FailurePolicy::Allow];
                    let mut storm = Storm::new(server, policies[(number % 3) as usize]);
                    let mut dice = Dice(number);
                    block_on(async {
                        storm.ask_round(60).await;
                        for _ in 0..12 {
                            storm.fault(&mut dice);
                            for _ in 0..60 {
                                storm.ask(dice.roll(INSTANCES as u64) as usize).await;
                            }
                        }
                        storm.calm(&format!("storm {number}")).await;
                    });
                }
            });
        }
    });
}

/// A frozen server costs each instance its deadline a few times, and then nothing until it thaws.
#[allow(
    clippy::disallowed_methods,
    reason = "a real freeze takes real time, and clients ask at a pace of their own"
)]
fn freezes(policy: FailurePolicy) {
    let Some(server) = RedisServer::start() else { return };
    let mut storm = Storm::new(server, policy);
    block_on(async {
        storm.ask_round(30).await;
        storm.server.freeze();
        let frozen = Instant::now();
        let length = Duration::from_secs(if is_long() { 60 } else { 3 });
        storm.waits.clear();
        let mut rounds = 0;
        // A busy machine asks more seldom, and each is to come to the end of its share.
        while frozen.elapsed() < length || rounds < SHARE {
            rounds += 1;
            storm.ask_round(INSTANCES).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let waited: Duration = storm.waits.iter().sum();
        let failures = storm.counts(|counts| counts.errors + counts.timeouts);
        assert!(failures > 0, "the freeze was noticed");
        assert!(waited < DEADLINE * failures as u32 + length / 2, "{waited:?} in all, {failures} failures");
        let mean = waited / storm.waits.len() as u32;
        println!(
            "{policy:?}: {} requests waited {mean:?} on average, {failures} calls failed",
            storm.waits.len()
        );
        storm.server.thaw();
        storm.calm("after the freeze").await;
        if policy == FailurePolicy::Degrade {
            assert!(storm.counts(|counts| counts.degraded) > 0);
            // Each has used less than its share before: together they come to the limit, and not above it.
            assert_eq!(storm.by_instance, [SHARE; INSTANCES]);
        }
    });
}

#[test]
fn a_freeze_under_deny_admits_nothing_above_the_limit() {
    freezes(FailurePolicy::Deny);
}

#[test]
fn a_freeze_under_degrade_admits_the_shares() {
    freezes(FailurePolicy::Degrade);
}

#[test]
fn a_freeze_under_allow_is_counted() {
    freezes(FailurePolicy::Allow);
}

/// Redis without persistence comes back empty, and learns from the instances what they have used.
#[test]
fn a_server_that_forgets_everything_is_told_again() {
    let Some(server) = RedisServer::start() else { return };
    let mut storm = Storm::new(server, FailurePolicy::Deny);
    block_on(async {
        storm.ask_round(300).await;
        let before = storm.admitted;
        assert!(before > 0);
        storm.server.restart();
        while storm.ask(0).await == 503 {}
        for _ in 0..4 {
            storm.ask_round(300).await;
        }
        assert!(storm.admitted > before, "it works again");
        // What the last had used was not yet known when the first was lent again; it is known in the end.
        storm.calm_within(LIMIT + before, "after the loss").await;
    });
}

/// One instance is cut off: it decides alone, the others go on as if nothing had happened.
#[test]
fn a_partition_of_one_does_not_disturb_the_others() {
    let Some(server) = RedisServer::start() else { return };
    let mut storm = Storm::new(server, FailurePolicy::Deny);
    block_on(async {
        storm.ask_round(30).await;
        storm.ways[0].silence();
        let alone = async {
            while storm.ask(0).await != 503 {}
            storm
        };
        let mut storm = alone.await;
        for at in [1, 2] {
            let status = storm.ask(at).await;
            assert_ne!(status, 503, "instance {at} has its own way");
        }
        storm.calm("after the partition").await;
    });
}

/// Where this is set, the test below is the other process, and this is the Redis that it asks.
const OTHER_PROCESS: &str = "OTHER_PROCESS_REDIS";

/// Says a line for each request, until it is killed.
fn be_the_other_process(url: &str) {
    block_on(async {
        let node = Node::new(url, month("p", LIMIT), options(FailurePolicy::Deny).deadline(LONG));
        let mut out = std::io::stdout();
        loop {
            let admitted = node.ask("ann").await.admitted();
            writeln!(out, "{}", if admitted { "admitted" } else { "refused" }).unwrap();
            out.flush().unwrap();
        }
    });
}

/// This binary once more, with one test.
fn start_other(url: &str) -> Child {
    let name = module_path!().split_once("::").unwrap().1;
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", &format!("{name}::the_lease_of_a_killed_process_is_settled")])
        .env(OTHER_PROCESS, url)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// `kill -9` of a process with a lease in hand: what it held is unknown for a moment and then counts as used.
#[test]
fn the_lease_of_a_killed_process_is_settled() {
    if let Ok(url) = std::env::var(OTHER_PROCESS) {
        return be_the_other_process(&url);
    }
    let Some(server) = RedisServer::start() else { return };
    let mut other = start_other(&server.url());
    let mut lines = BufReader::new(other.stdout.take().unwrap()).lines().map_while(Result::ok);
    let enough = lines.by_ref().filter(|line| line == "admitted").take(150).count();
    assert_eq!(enough, 150);
    other.kill().unwrap();
    other.wait().unwrap();
    // What it said before it died, up to the last whole line.
    let by_the_dead = 150 + lines.filter(|line| line == "admitted").count() as u64;
    block_on(async {
        let node = Node::new(&server.url(), month("p", LIMIT), options(FailurePolicy::Deny).deadline(LONG));
        let (used, remaining, unknown) = node.report("ann").await.unwrap();
        assert!(used + unknown >= by_the_dead, "{used} {unknown} {by_the_dead}");
        assert!(unknown <= LIMIT - used && remaining.unwrap() >= unknown);
        println!("killed after {by_the_dead}: {used} known, {unknown} unknown");
        let nodes = [node];
        let (used, remaining, unknown) = settled(&nodes, |(_, _, unknown)| unknown == 0).await;
        assert_eq!(unknown, 0, "settled after {EPOCH:?}");
        assert!(used >= by_the_dead);
        let mut admitted = 0;
        while nodes[0].ask("ann").await.admitted() {
            admitted += 1;
        }
        assert_eq!(Some(admitted), remaining, "what was left, and no unit more");
        assert!(by_the_dead + admitted <= LIMIT);
        assert_eq!(settled(&nodes, |(used, _, _)| used == LIMIT).await, (LIMIT, Some(0), 0));
    });
    server.assert_all_expire();
}
