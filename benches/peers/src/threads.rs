//! Hits of two threads at once, on keys of which few are asked for often (Zipf's law), against those of one thread: ours,
//! and axum-response-cache beside it.
//!
//! Requests are made before the clock starts, and it runs until the last thread is through. The figures are those of the
//! best tenth of the windows: whatever else a machine with few cores does takes the second core away first.

use crate::{
    cache::{self, Origin},
    measure::Subject,
    services::{empty, request},
};
use axum::body::Body;
use http::{Method, Request};
use std::{sync::Barrier, thread, time::Instant};

const KEYS: usize = 1_000;
/// For each thread in a window: so few that a window fits into a slice of the scheduler's.
const REQUESTS: usize = 2_000;
const GOAL: f64 = 1.6;

/// Prints the lines of the table; says whether the goal was met.
pub fn measure(windows: usize) -> bool {
    let origin = || Origin::answering(KEYS, 1 << 10).router();
    let (mut ours, mut peer) = (cache::ours(origin(), |builder| builder), cache::response_cache(origin()));
    warm(&mut ours);
    warm(&mut peer);
    let mut rates: [Vec<f64>; 4] = Default::default();
    for _ in 0..windows.max(1) {
        rates[0].push(rate(&ours, 1));
        rates[1].push(rate(&ours, 2));
        rates[2].push(rate(&peer, 1));
        rates[3].push(rate(&peer, 2));
    }
    let [one, two, peer_one, peer_two] = rates.map(best);
    let (gain, peer_gain) = (two / one, peer_two / peer_one);
    let met = gain >= GOAL;
    println!(
        "{:<28} ours {one:.2} and {two:.2} million/s, {gain:.2} times; peer {peer_one:.2} and {peer_two:.2}, \
         {peer_gain:.2} times (at least {GOAL}) {}",
        "cache-two-threads",
        if met { "PASS" } else { "FAIL" }
    );
    met
}

/// One request for each key; from then on the origin fails.
fn warm(service: &mut impl Subject) {
    for key in 0..KEYS {
        assert_eq!(service.ask(asking_for(key)).status(), 200);
    }
    assert_eq!(service.ask(asking_for(0)).status(), 200, "a hit");
}

fn asking_for(key: usize) -> Request<Body> {
    empty(request(Method::GET, "/").uri(format!("/pets?limit=10&after={key}")))
}

/// Million requests in a second of all threads together.
fn rate(service: &(impl Subject + Clone + Send + Sync), threads: usize) -> f64 {
    let barrier = &Barrier::new(threads);
    let spans: Vec<(Instant, Instant)> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|number| {
                let mut service = service.clone();
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
