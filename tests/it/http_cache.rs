//! The behaviour suite for HTTP caches (cache-tests.fyi), run through `examples/cache_proxy.rs`: its client and its
//! origin are made again here, its tests and the published results of other caches are read from outside.
#![allow(unreachable_pub, reason = "modules of one test")]

#[path = "../../examples/cache_proxy.rs"]
#[allow(dead_code, reason = "an example has a `main` of its own")]
mod cache_proxy;
mod case;
mod client;
mod origin;
mod proxy;
mod verdict;

use crate::support;
use case::{Case, Kind, cases};
use futures_util::future::join_all;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use verdict::{Failure, Results, Verdict};

const SUITE: &str = "http-cache/tests.json";
const KINDS: [Kind; 3] = [Kind::Required, Kind::Optimal, Kind::Check];

/// The caches that ours must be ahead of.
const RIVALS: [&str; 5] = ["nginx", "varnish", "squid", "apache", "caddy"];

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Where the suite's origin listens.
async fn origin() -> SocketAddr {
    let (listener, address) = listener().await;
    tokio::spawn(origin::serve(listener));
    address
}

async fn run_all(cases: &[Case], proxy: SocketAddr) -> Results {
    let runs = cases.iter().map(async |case| (case.id.clone(), client::run(case, proxy).await));
    Results::new(join_all(runs).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cache_does_what_the_suite_requires_and_more_of_it_than_its_rivals() {
    let Some(suites) = support::vectors(SUITE) else { return };
    let peers = support::vectors("http-cache/peer-results.json").unwrap();
    let cases = cases(&suites);
    let (listener, proxy) = listener().await;
    tokio::spawn(cache_proxy::serve(listener, origin().await.to_string().parse().unwrap()));
    let ours = run_all(&cases, proxy).await;
    let failed = report(&ours, &cases);
    print_row("tower-gateway", &ours, &cases);
    for (name, published) in peers.as_object().unwrap() {
        let theirs = Results::of_peer(published);
        print_row(name, &theirs, &cases);
        if RIVALS.contains(&name.as_str()) {
            let [ours, theirs] = [&ours, &theirs].map(|results| results.count(Kind::Required, &cases).passed);
            assert!(ours > theirs, "{name} passes {theirs} of the required tests, we pass {ours}");
        }
    }
    assert!(failed.is_empty(), "required tests failed: {failed:#?}");
    let optimal = ours.count(Kind::Optimal, &cases);
    assert!(optimal.passed >= OPTIMAL, "{optimal:?} of the optimal tests, there were {OPTIMAL} before");
}

/// How many of the optional tests must not be lost again.
const OPTIMAL: usize = 52;

/// Prints what did not pass; gives back the required ones among it.
fn report<'a>(ours: &Results, cases: &'a [Case]) -> Vec<(&'a str, Failure)> {
    let mut required = Vec::new();
    for case in cases {
        if let Err(failure) = ours.verdict(case, cases) {
            println!("{:?} {}: {failure:?}", case.kind, case.id);
            if case.kind == Kind::Required {
                required.push((case.id.as_str(), failure));
            }
        }
    }
    required
}

fn print_row(name: &str, results: &Results, cases: &[Case]) {
    let counts = KINDS.map(|kind| results.count(kind, cases));
    let cells = counts.map(|count| format!("{:>3} of {:>3}", count.passed, count.ran));
    println!("{name:<22} required {}  optimal {}  check {}", cells[0], cells[1], cells[2]);
}

/// The runner itself can see a cache that caches nothing, and one that keeps what it must not.
#[tokio::test]
async fn the_runner_tells_a_cache_from_none() {
    let Some(suites) = support::vectors(SUITE) else { return };
    let cases = cases(&suites);
    let straight = origin().await;
    let run = async |id: &str| -> Verdict {
        client::run(cases.iter().find(|case| case.id == id).unwrap(), straight).await
    };
    assert_eq!(run("cc-resp-no-store").await, Ok(()));
    assert!(matches!(run("other-authorization-smaxage").await, Err(Failure::Assertion(_))));
    assert!(matches!(run("partial-store-complete-reuse-partial").await, Err(Failure::Assertion(_))));
    assert!(matches!(run("ccreq-oic").await, Err(Failure::Assertion(_))));
    assert!(matches!(run("ccreq-no-cache-etag").await, Err(Failure::Assertion(_))));
}
