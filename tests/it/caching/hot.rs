//! What a hit and a miss cost: counted allocations, the same for every size of a hit.

use super::*;
use crate::support::{get, run};
use allocation_counter::measure;
use futures_util::FutureExt;
use tower_gateway::context::RequestContextLayer;

async fn warm(size: usize) -> (Cached, Origin) {
    let origin = Origin::sync(move |_, _| {
        let answer = with(answer(vec![7; size]), "content-type", "application/json");
        with(with(answer, "etag", "\"abc\""), "x-own", "1")
    });
    let (service, _, _) = cached(&origin, |cache| cache);
    ask(&service, get("/pets?x=1")).await;
    (service, origin)
}

#[test]
fn a_hit_of_any_size_allocates_for_the_fields_only() {
    run(async {
        for size in [1_000, 100_000, 1_000_000] {
            let (mut service, origin) = warm(size).await;
            service.ready().await.unwrap();
            // As browsers say.
            let request = get_with("/pets?x=1", &[("connection", "keep-alive")]);
            let mut body = None;
            let count = measure(|| {
                let answer = service.call(request).now_or_never().unwrap().unwrap();
                let mut hit = answer.into_body();
                body = hit.frame().now_or_never().unwrap().unwrap().unwrap().into_data().ok();
                assert!(hit.is_end_stream());
            });
            assert_eq!(body.unwrap().len(), size);
            // The table of the fields and its index.
            assert_eq!(count.count_total, 2, "{size}");
            assert_eq!(origin.calls(), 1);
        }
    });
}

#[test]
fn a_whole_hit_is_at_most_nine_allocations() {
    run(async {
        let (service, _) = warm(100_000).await;
        let mut whole = RequestContextLayer::new().layer(service);
        whole.ready().await.unwrap();
        let count = measure(|| {
            let request = get("/pets?x=1");
            let answer = whole.call(request).now_or_never().unwrap().unwrap();
            assert_eq!(
                answer.into_body().collect().now_or_never().unwrap().unwrap().to_bytes().len(),
                100_000
            );
        });
        assert!(
            count.count_total <= 9,
            "{} allocations with the request, its context and the read body",
            count.count_total
        );
    });
}

/// The allocations of one whole exchange, its body read.
async fn spent<S, R>(service: &mut S, request: Ask) -> u64
where
    S: Service<Ask, Response = Response<R>, Error: std::fmt::Debug>,
    R: Body,
{
    service.ready().await.unwrap();
    let count = measure(|| {
        let answer = service.call(request).now_or_never().unwrap().unwrap();
        drop(answer.into_body().collect().now_or_never().unwrap());
    });
    count.count_total
}

#[test]
fn a_miss_allocates_what_it_keeps_and_three_times_for_the_call() {
    run(async {
        let (mut service, mut origin) = warm(1_000).await;
        let alone = spent(&mut origin, get("/pets?x=2")).await;
        let mut misses = Vec::new();
        for number in 2..200 {
            misses.push(spent(&mut service, get(&format!("/pets?x={number}"))).await - alone);
        }
        assert_eq!(origin.calls(), 200);
        // Kept: the key, the entry, the table of its fields and the index, one block for texts and body and the count of
        // it, and the count of the name that is not a standard one. For the call: it, its future, and the request's
        // fields. The tables of the store and of the calls grow now and then.
        misses.sort_unstable();
        assert_eq!(misses[misses.len() / 2], 10, "{misses:?}");
    });
}

#[test]
fn the_future_is_not_much_larger_than_its_answer() {
    run(async {
        let (mut service, _) = warm(1).await;
        service.ready().await.unwrap();
        let future = service.call(get("/pets?x=1"));
        assert!(size_of_val(&future) <= 320, "{}", size_of_val(&future));
    });
}
