//! Whether edits are felt: the p99 of requests while a deployment is swapped and a plan is edited 50 times a second,
//! against the p99 without edits, in alternating windows of one run.

use crate::{
    measure::{Subject, median, verdict},
    ours::{self, Editable},
    peers::API_KEY,
    services::{empty, request},
};
use http::Method;
use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

const RESOURCES: usize = 5_000;
const KEYS: usize = 1_000;
const BETWEEN_EDITS: Duration = Duration::from_millis(20);
const WINDOW: Duration = Duration::from_millis(500);
const GOAL: f64 = 1.2;

/// Prints the line of the table; says whether the goal was met.
pub fn measure(pairs: usize) -> bool {
    let (mut service, editable) = ours::editable(RESOURCES, KEYS);
    let (on, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let mut ratios = Vec::new();
    thread::scope(|scope| {
        let (on, over) = (&on, &over);
        scope.spawn(move || edit(&editable, on, over));
        p99(&mut *service);
        for pair in 0..pairs {
            // Either kind of window is first in half of the pairs.
            let first_edited = pair % 2 == 0;
            let [first, second] = [first_edited, !first_edited].map(|edited| {
                on.store(edited, Relaxed);
                p99(&mut *service)
            });
            let (edited, quiet) = if first_edited { (first, second) } else { (second, first) };
            ratios.push(edited / quiet);
        }
        over.store(true, Relaxed);
    });
    let verdict = verdict(Some(median(ratios)), Some(GOAL));
    println!("{:<28} p99 with edits / p99 without: {verdict}", "edits");
    !verdict.ends_with("FAIL")
}

fn edit(editable: &Editable, on: &AtomicBool, over: &AtomicBool) {
    for count in 0.. {
        thread::sleep(BETWEEN_EDITS);
        if over.load(Relaxed) {
            return;
        }
        if on.load(Relaxed) {
            editable.swap_deployment(count);
            editable.edit_plan(count);
        }
    }
}

/// Nanoseconds that 99 of 100 requests of a window stay below.
fn p99(service: &mut dyn Subject) -> f64 {
    let end = Instant::now() + WINDOW;
    let mut taken = Vec::with_capacity(1 << 20);
    let mut count = 0_usize;
    while Instant::now() < end {
        let path = format!("/r{}/7", count.wrapping_mul(7_919) % RESOURCES);
        let builder = request(Method::GET, "/").uri(path).header(API_KEY, ours::key(count % KEYS));
        taken.push(service.run(vec![empty(builder)]).as_nanos() as u32);
        count += 1;
    }
    let at = taken.len() * 99 / 100;
    f64::from(*taken.select_nth_unstable(at).1)
}
