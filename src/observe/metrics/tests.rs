//! Counts of many threads at once.

use super::PrometheusMetrics;
use crate::observe::{ObserveLayer, Samples};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use std::{
    convert::Infallible,
    future::ready,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
};
use tower::{Layer, Service, service_fn};

/// Lanes at the same time, threads one after the other in each, requests of each thread.
const LANES: u64 = 8;
const THREADS: u64 = 4;
const REQUESTS: u64 = 25_000;

/// Every fifth request is not found, every tenth answer is dropped unread.
fn ask(metrics: &PrometheusMetrics) {
    let mut service =
        ObserveLayer::new().observer(metrics.clone()).layer(service_fn(|request: Request<u64>| {
            let mut answer = Response::new(Full::<Bytes>::from("pets"));
            if request.body() % 5 == 1 {
                *answer.status_mut() = StatusCode::NOT_FOUND;
            }
            ready(Ok::<_, Infallible>(answer))
        }));
    for number in 0..REQUESTS {
        let answer = service.call(Request::new(number)).now_or_never().unwrap().unwrap();
        if number % 10 != 2 {
            answer.into_body().collect().now_or_never().unwrap().unwrap();
        }
    }
}

/// Looks at everything again and again: nothing ends that has not started, and nothing goes back.
fn read(metrics: &PrometheusMetrics, done: &AtomicBool) -> u64 {
    let (mut reads, mut before) = (0, [0; 4]);
    while !done.load(SeqCst) {
        let ended = metrics.0.ended();
        let started = metrics.0.started();
        assert!(ended.iter().sum::<u64>() <= started, "{ended:?} of {started}");
        assert!(before.iter().zip(&ended).all(|(before, now)| before <= now), "{before:?} {ended:?}");
        assert!(metrics.render().contains("http_server_active_requests "));
        (reads, before) = (reads + 1, ended);
    }
    reads
}

#[test]
fn nothing_is_lost_between_threads_nor_with_those_that_end() {
    let (metrics, done) = (PrometheusMetrics::new(), AtomicBool::new(false));
    let reads = thread::scope(|scope| {
        let reader = scope.spawn(|| read(&metrics, &done));
        let lane = || (0..THREADS).for_each(|_| thread::scope(|one| _ = one.spawn(|| ask(&metrics))));
        let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(lane)).collect();
        lanes.into_iter().for_each(|lane| lane.join().unwrap());
        done.store(true, SeqCst);
        reader.join().unwrap()
    });
    assert!(reads > 0);
    let all = LANES * THREADS * REQUESTS;
    let rows: Vec<_> =
        metrics.totals().into_iter().map(|one| (one.status, one.count, one.response_bytes)).collect();
    // What is dropped unread is among those that are found.
    let found = all / 5 * 4;
    assert_eq!(rows, [(200, found, (found - all / 10) * 4), (404, all / 5, all / 5 * 4)]);
    assert_eq!((metrics.0.ended(), metrics.in_flight()), ([all - all / 10, all / 10, 0, 0], 0));
    let page = metrics.render();
    let buckets = "http_server_request_duration_seconds_bucket{stage=\"other\",http_request_method=\"GET\"";
    let total = format!(
        "{buckets},http_route=\"other\",http_response_status_code=\"404\",le=\"+Inf\"}} {}\n",
        all / 5
    );
    assert!(page.contains(&total), "{page}");
}

#[test]
fn a_source_adds_no_family_of_ours_a_second_time() {
    let source = |samples: &mut Samples| {
        for name in
            ["tower_gateway_refusals_total", "http_server_request_duration_seconds", "shop_orders_total"]
        {
            samples.counter(name, "Somebody else's.", &[], 7);
        }
    };
    let page = PrometheusMetrics::builder().source(source).build().unwrap().render();
    let families: Vec<_> = page.lines().filter(|line| line.starts_with("# TYPE ")).collect();
    let mut once = families.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), families.len(), "{page}");
    assert!(page.contains("\nshop_orders_total 7\n"), "{page}");
    assert_eq!(page.matches(" 7\n").count(), 1, "{page}");
}

/// A request may begin on one thread and end on another.
#[test]
fn in_flight_is_exact_where_requests_change_threads() {
    let metrics = PrometheusMetrics::new();
    let mut service = ObserveLayer::new().observer(metrics.clone()).layer(service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("pets"))))
    }));
    let mut open = Vec::new();
    for number in 1..=100 {
        open.push(service.call(Request::new(())));
        assert_eq!(metrics.in_flight(), number);
    }
    for (ended, future) in (1..).zip(open) {
        thread::scope(|scope| _ = scope.spawn(|| drop(future)));
        assert_eq!(metrics.in_flight(), 100 - ended);
    }
    assert_eq!(metrics.0.ended(), [0, 100, 0, 0]);
}
