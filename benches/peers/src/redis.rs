//! Throttle decisions on a redis-server of the benchmark's own, beside a bare `INCR` of the same server and what peers ask
//! of it: each a round trip over a connection of its own that is made the same way, one after the other in one run.
//!
//! Two lines for each: round trips one at a time, where the network's way counts with the server's work, and many at
//! once, where the server is never without work. The first is what a request waits for.
//!
//! Peers take a bucket of one caller and nothing else. `throttle-kit` counts whole milliseconds by the caller's clock,
//! and hashes its script for each call; `tower-rate-limiter` (feature `rate-limiter`, which asks for Rust 1.96) counts in floating point.

use crate::measure::{median, verdict};
use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;
use std::{
    future::Future,
    net::TcpListener,
    pin::Pin,
    process::{Child, Command, Stdio},
    rc::Rc,
    time::{Duration, Instant},
};
use throttle_kit::RateLimitBackend;
use tokio::runtime::Runtime;
use tower_gateway::{
    redis::{Redis, RedisUsage},
    throttle::Throttle,
    usage_plan::store::{BucketAsk, BucketId, Counter, ThrottleAsk, Tokens, UsageStore},
};

const CALLS: usize = 128;
const AT_ONCE: usize = 32;
const GOAL: f64 = 1.3;
const DEADLINE: Duration = Duration::from_secs(10);

type Call = Pin<Box<dyn Future<Output = ()>>>;
/// What is measured: makes the n-th call.
type Calls = Box<dyn Fn(usize) -> Call>;

/// Prints the lines of the table; says whether the goal was met.
pub fn measure(rounds: usize) -> bool {
    let Some(server) = Server::start() else {
        println!("{:<28} not measured: no redis-server here", "redis");
        return true;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let subjects = runtime.block_on(subjects(&server));
    println!("{:<28} {:>10} {:>7} | {:>10} {:>7}", "redis", "us alone", "/INCR", "us of 32", "/INCR");
    let alone = times(&runtime, &subjects, rounds, 1);
    let many = times(&runtime, &subjects, rounds, AT_ONCE);
    let mut met = true;
    for (number, (name, goal, _)) in subjects.iter().enumerate() {
        let [(us, ratio), (us_of_many, ratio_of_many)] =
            [&alone, &many].map(|times| over_first(times, number));
        let verdict = verdict(Some(ratio), *goal);
        met &= !verdict.ends_with("FAIL");
        println!("{name:<28} {us:>10.1} {ratio:>7.2} | {us_of_many:>10.1} {ratio_of_many:>7.2} | {verdict}");
    }
    met
}

/// Calls one side of the table over and over, for a profiler of the server.
pub fn run_alone(side: &str, calls: usize) {
    let server = Server::start().expect("a redis-server");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let subjects = runtime.block_on(subjects(&server));
    let (_, _, subject) = subjects.iter().find(|(name, ..)| *name == side).expect("a side of that name");
    let start = Instant::now();
    runtime.block_on(run(subject, calls, 1));
    println!("{side}: {:.1} us each", start.elapsed().as_secs_f64() * 1e6 / calls as f64);
}

/// Microseconds of a call, and the median of its ratio to the first subject's in the same round.
fn over_first(times: &[Vec<f64>], number: usize) -> (f64, f64) {
    let ratios = times[number].iter().zip(&times[0]).map(|(own, first)| own / first).collect();
    (median(times[number].clone()), median(ratios))
}

type Subjects = Vec<(&'static str, Option<f64>, Calls)>;

fn times(runtime: &Runtime, subjects: &Subjects, rounds: usize, at_once: usize) -> Vec<Vec<f64>> {
    let mut times = vec![Vec::new(); subjects.len()];
    for round in 0..rounds {
        for turn in 0..subjects.len() {
            let number = (turn + round) % subjects.len();
            let start = Instant::now();
            runtime.block_on(run(&subjects[number].2, CALLS, at_once));
            times[number].push(start.elapsed().as_secs_f64() * 1e6 / CALLS as f64);
        }
    }
    times
}

async fn run(calls: &Calls, count: usize, at_once: usize) {
    join_all((0..at_once).map(|worker| async move {
        for number in (worker..count).step_by(at_once) {
            calls(number).await;
        }
    }))
    .await;
}

async fn subjects(server: &Server) -> Subjects {
    let mut subjects: Subjects = vec![("INCR", None, incr(server.connect().await))];
    subjects.push(("INCR in a script", None, scripted_incr(server.connect().await)));
    let usage = Rc::new(RedisUsage::new(Redis::new(&server.url()).expect("a URL")).deadline(DEADLINE));
    subjects.push(("ours, one limit", Some(GOAL), ours(Rc::clone(&usage), false)));
    subjects.push(("ours, three limits", None, ours(usage, true)));
    subjects.push(("throttle-kit", None, throttle_kit(&server.url()).await));
    #[cfg(feature = "rate-limiter")]
    subjects.push(("tower-rate-limiter", None, rate_limiter(server.connect().await)));
    subjects
}

fn incr(connection: MultiplexedConnection) -> Calls {
    Box::new(move |number| {
        let mut connection = connection.clone();
        Box::pin(async move {
            let key = format!("{{bench}}:incr:{number:032x}");
            let count: i64 =
                redis::cmd("INCR").arg(key).query_async(&mut connection).await.expect("an answer");
            assert!(count > 0);
        })
    })
}

/// The least that a script can do.
fn scripted_incr(connection: MultiplexedConnection) -> Calls {
    let script = Rc::new(redis::Script::new("return redis.call('INCR', KEYS[1])"));
    Box::new(move |number| {
        let (mut connection, script) = (connection.clone(), Rc::clone(&script));
        Box::pin(async move {
            let key = format!("{{bench}}:script:{number:032x}");
            let count: i64 = script.key(key).invoke_async(&mut connection).await.expect("an answer");
            assert!(count > 0);
        })
    })
}

/// A caller's bucket; and with `all` those of the stage's method and of the account.
fn ours(usage: Rc<RedisUsage>, all: bool) -> Calls {
    let throttle = Throttle::new(100_000.0, 1_000_000).expect("a valid throttle");
    let bucket = move |id| BucketAsk::new(id, throttle);
    Box::new(move |number| {
        let counter = Counter::new("gold", number as u128);
        let mut buckets = vec![bucket(BucketId::Key(counter))];
        if all {
            buckets.push(bucket(BucketId::Stage("prod".into(), 7)));
            buckets.push(bucket(BucketId::Account));
        }
        let answer = usage.throttle(ThrottleAsk::new(buckets, Tokens::Take(1)));
        Box::pin(async move {
            let levels = answer.await.expect("an answer");
            assert!(levels.iter().all(|level| !level.lacked && level.deficit > 0));
        })
    })
}

async fn throttle_kit(url: &str) -> Calls {
    let backend = Rc::new(throttle_kit::RedisBackend::connect(url).await.expect("a connection"));
    // The fastest that it counts: a token each millisecond.
    let quota = throttle_kit::Quota::from_parts(Duration::from_millis(1), 1_000_000);
    Box::new(move |number| {
        let backend = Rc::clone(&backend);
        Box::pin(async move {
            assert!(backend.check(&format!("{{bench}}:kit:{number:032x}"), &quota).await.allowed);
        })
    })
}

#[cfg(feature = "rate-limiter")]
fn rate_limiter(connection: MultiplexedConnection) -> Calls {
    use tower_rate_limiter::{GcraQuota, RateLimitPolicy, RedisGcra};
    let quota = GcraQuota::new(100_000, Duration::from_secs(1), 1_000_000).expect("a valid quota");
    let policy = RedisGcra::new(connection, quota).with_namespace("{bench}");
    Box::new(move |number| {
        let answer = policy.check(format!("{number:032x}"));
        Box::pin(async move {
            assert!(answer.await.is_ok_and(|decision| !decision.is_rate_limited()));
        })
    })
}

/// A server on a free port, without persistence; ended when it is dropped.
struct Server {
    port: u16,
    process: Child,
}

impl Server {
    /// `None` where there is no redis-server.
    fn start() -> Option<Self> {
        Command::new("redis-server").arg("--version").output().ok()?;
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", "/"];
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string()])
            .args(options)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server starts");
        Some(Self { port, process })
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// As `Redis` connects, and without timers.
    async fn connect(&self) -> MultiplexedConnection {
        let client = redis::Client::open(format!("{}?protocol=resp3", self.url())).expect("a URL");
        let config =
            redis::AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let deadline = Instant::now() + DEADLINE;
        loop {
            match client.get_multiplexed_async_connection_with_config(&config).await {
                Ok(connection) => return connection,
                Err(error) if Instant::now() > deadline => panic!("no connection: {error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.process.kill().and_then(|()| self.process.wait());
    }
}
