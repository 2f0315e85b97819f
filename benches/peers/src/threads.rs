//! Two threads at once against one: hits of a cache, on keys of which few are asked for often (Zipf's law), and requests
//! that are counted. Ours, a peer beside it, and ours with one of its kind for each thread, which share nothing: what the
//! machine can gain.
//!
//! Requests are made before the clock starts, and it runs until the last thread is through. The figures are those of the
//! best tenth of the windows: whatever else a machine with few cores does takes the second core away first.

use crate::{
    cache::{self, Origin},
    measure::Subject,
    observe,
    services::{empty, request},
};
use axum::body::Body;
use http::{Method, Request};
use std::{sync::Barrier, thread, time::Instant};

const KEYS: usize = 1_000;
/// For each thread in a window: so few that a window fits into a slice of the scheduler's.
const REQUESTS: usize = 2_000;
const GOAL: f64 = 1.6;

/// Prints the line of the cache; says whether the goal was met.
pub fn measure(windows: usize) -> bool {
    let origin = || Origin::answering(KEYS, 1 << 10).router();
    let own = || warm(cache::ours(origin(), |builder| builder));
    let gain = gains("cache-two-threads", windows, own, &warm(cache::response_cache(origin())));
    println!(" (at least {GOAL}) {}", if gain >= GOAL { "PASS" } else { "FAIL" });
    gain >= GOAL
}

/// Prints the line of the metrics, which have no goal.
pub fn measure_metrics(windows: usize) {
    gains("metrics-two-threads", windows, observe::counted, &observe::counted_by_peer());
    println!();
}

/// Prints the rates, and gives the gain of ours.
fn gains<S, P>(name: &str, windows: usize, own: impl Fn() -> S, peer: &P) -> f64
where
    S: Subject + Send + Clone,
    P: Subject + Send + Clone,
{
    let (ours, apart) = (own(), [own(), own()]);
    let mut gains = [Gain::default(), Gain::default(), Gain::default()];
    for _ in 0..windows.max(1) {
        gains[0].measure(|number| (ours.clone(), number));
        gains[1].measure(|number| (apart[number].clone(), number));
        gains[2].measure(|number| (peer.clone(), number));
    }
    let [ours, apart, peer] = gains.map(Gain::best);
    let cells = [("ours", ours), ("nothing shared", apart), ("peer", peer)]
        .map(|(name, (one, two, gain))| format!("{name} {one:.2} and {two:.2} million/s, {gain:.2} times"));
    print!("{name:<28} {}", cells.join("; "));
    ours.2
}

/// Rates of one thread and of two.
#[derive(Debug, Default)]
struct Gain {
    one: Vec<f64>,
    two: Vec<f64>,
}

impl Gain {
    fn measure<S: Subject + Send>(&mut self, of_thread: impl Fn(usize) -> (S, usize)) {
        self.one.push(rate(vec![of_thread(0)]));
        self.two.push(rate(vec![of_thread(0), of_thread(1)]));
    }

    /// Of one, of two, and how many times as much that is.
    fn best(self) -> (f64, f64, f64) {
        let (one, two) = (best(self.one), best(self.two));
        (one, two, two / one)
    }
}

/// One request for each key; from then on the origin fails.
fn warm<S: Subject>(mut service: S) -> S {
    for key in 0..KEYS {
        assert_eq!(service.ask(asking_for(key)).status(), 200);
    }
    assert_eq!(service.ask(asking_for(0)).status(), 200, "a hit");
    service
}

fn asking_for(key: usize) -> Request<Body> {
    empty(request(Method::GET, "/").uri(format!("/pets?limit=10&after={key}")))
}

/// Million requests in a second of all threads together, each with its service and the seed of its requests.
fn rate<S: Subject + Send>(services: Vec<(S, usize)>) -> f64 {
    let threads = services.len();
    let barrier = &Barrier::new(threads);
    let spans: Vec<(Instant, Instant)> = thread::scope(|scope| {
        let running: Vec<_> = services
            .into_iter()
            .map(|(mut service, number)| {
                scope.spawn(move || {
                    let requests = Zipf::new(number as u64 + 1).take(REQUESTS).map(asking_for).collect();
                    barrier.wait();
                    let start = Instant::now();
                    service.run(requests);
                    (start, Instant::now())
                })
            })
            .collect();
        running.into_iter().map(|thread| thread.join().expect("a thread that ends")).collect()
    });
    let start = spans.iter().map(|span| span.0).min().expect("a thread");
    let end = spans.iter().map(|span| span.1).max().expect("a thread");
    (threads * REQUESTS) as f64 / (end - start).as_secs_f64() / 1e6
}

/// What nine of ten windows stay below.
fn best(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() * 9 / 10]
}

/// Keys, the n-th of which is drawn in proportion to 1/n; the same ones for the same seed.
struct Zipf {
    state: u64,
    sums: Vec<f64>,
}

impl Zipf {
    fn new(seed: u64) -> Self {
        let sums = (1..=KEYS).scan(0.0, |sum, rank| {
            *sum += 1.0 / rank as f64;
            Some(*sum)
        });
        Self { state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15), sums: sums.collect() }
    }
}

impl Iterator for Zipf {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        // xorshift64
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let drawn = (self.state >> 11) as f64 / (1_u64 << 53) as f64 * self.sums[KEYS - 1];
        Some(self.sums.partition_point(|sum| *sum < drawn))
    }
}
