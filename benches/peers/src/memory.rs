//! What an idle key costs: bytes of usage state, key records apart.

use crate::{
    allocator,
    measure::{Subject, verdict},
    ours,
    peers::{self, API_KEY},
    services::{bare, empty, request},
};
use http::Method;
use tower::Layer;

const KEYS: usize = 1_000_000;
const GOAL: f64 = 120.0;

/// Prints the line of the table; says whether the goal was met.
pub fn measure() -> bool {
    let ours = ours_per_key();
    let peer = peer_per_key();
    let verdict = verdict(Some(ours), Some(GOAL));
    println!("{:<28} ours {ours:.0} B, peer {peer:.0} B for each of {KEYS} keys: {verdict}", "memory");
    !verdict.ends_with("FAIL")
}

/// Attaching the keys to a plan, and one request with each.
fn ours_per_key() -> f64 {
    let (plans, attached) = allocator::measure(|| ours::usage_plans(ours::generous_plan(), KEYS));
    let mut service = ours::limited_by(plans, KEYS);
    let used = after_one_request_each(&mut service);
    (attached.bytes_held as f64 + used) / KEYS as f64
}

fn peer_per_key() -> f64 {
    after_one_request_each(&mut peers::generous().layer(bare())) / KEYS as f64
}

fn after_one_request_each(service: &mut dyn Subject) -> f64 {
    let (_, allocated) = allocator::measure(|| {
        for number in 0..KEYS {
            let answer = service.ask(empty(request(Method::GET, "/pets").header(API_KEY, ours::key(number))));
            assert_eq!(answer.status(), 200);
        }
    });
    allocated.bytes_held as f64
}
