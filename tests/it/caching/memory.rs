//! What the cache holds: its capacity, and nothing of what went by. Measured by a counting allocator.

use super::*;
use crate::support::{get, run};
use allocation_counter::measure;
use futures_util::{FutureExt, StreamExt, future::FusedFuture, stream};
use http_body_util::StreamBody;
use tower_gateway::{
    cache::{CacheStore, MemoryCacheStore, NoCacheReason, StoreKey, StoreUsage, StoredKey, StoredValue},
    route::CacheKey,
};

const MIB: i64 = 1 << 20;

fn mixed(number: usize) -> usize {
    [200, 1_000, 5_000, 20_000, 300_000][number % 5]
}

/// Traffic of many times the capacity: what is held at its end and at its height stays within capacity + 10 %.
fn held_after(requests: usize, size: fn(usize) -> usize, capacity: i64) -> (i64, i64) {
    let mut held = 0;
    let whole = measure(|| {
        run(async {
            let origin = Origin::sync(move |request, _| {
                let number: usize = request.uri().path()[1..].parse().unwrap();
                with(answer(vec![7; size(number)]), "content-type", "application/octet-stream")
            });
            let mut kept = None;
            let inner = measure(|| {
                let (service, cache, _) = cached(&origin, |cache| cache.capacity(capacity as u64));
                for number in 0..requests {
                    let mut answer = Box::pin(ask(&service, get(&format!("/{number}"))));
                    // Readiness comes at the second poll.
                    assert!(answer.as_mut().now_or_never().is_none());
                    assert!(answer.now_or_never().is_some());
                }
                kept = Some((service, cache));
            });
            held = inner.bytes_current;
            drop(kept);
        });
    });
    (held, whole.bytes_max as i64)
}

#[test]
fn a_lot_of_traffic_stays_within_the_capacity() {
    let capacity = 16 * MIB;
    // 1,000 times 326 KB on average: 65 MB, and 100,000 small ones.
    for (requests, size) in [(1_000, mixed as fn(usize) -> usize), (50_000, |_| 50), (20_000, |_| 4_000)] {
        let (held, height) = held_after(requests, size, capacity);
        assert!(held <= capacity + capacity / 10, "{held} of {capacity} held");
        assert!(held >= capacity / 2, "{held} of {capacity} used");
        assert!(height <= capacity + capacity / 10 + 2 * MIB, "{height} at the height");
    }
}

/// 1 GiB of bodies through 64 MiB: some seconds without optimisation.
#[test]
fn a_gibibyte_through_64_mebibytes_stays_within_them() {
    let (capacity, traffic) = (64 * MIB, 1024 * MIB);
    let size = |number| [400, 2_000, 10_000, 40_000, 200_000][number % 5];
    let (mut requests, mut sent) = (0, 0);
    while sent < traffic {
        sent += size(requests) as i64;
        requests += 1;
    }
    let (held, height) = held_after(requests, size, capacity);
    assert!(held <= capacity + capacity / 10, "{held} of {capacity} held after {sent} in {requests} answers");
    assert!(held >= capacity / 2, "{held} of {capacity} used");
    assert!(height <= capacity + capacity / 10 + MIB / 2, "{height} at the height");
}

/// Each of them within the limit of an entry, and both together beyond it.
#[test]
fn large_answers_to_different_clients_lie_beside_each_other() {
    run(async {
        let origin = Origin::sync(|request, call| {
            let is_gzip = request.headers().contains_key("accept-encoding");
            let size = if is_gzip { 500_000 } else { 700_000 };
            with(answer(vec![call as u8; size]), "vary", "accept-encoding")
        });
        let (service, cache, _) = cached(&origin, |cache| cache);
        for _ in 0..3 {
            let plain = ask(&service, get("/")).await.into_body();
            let gzip = ask(&service, get_with("/", &[("accept-encoding", "gzip")])).await.into_body();
            assert_eq!((plain.len(), plain[0], gzip.len(), gzip[0]), (700_000, 1, 500_000, 2));
        }
        let usage = cache.usage();
        assert_eq!((origin.calls(), usage.keys), (2, 1));
        assert!(usage.bytes > usage.largest && usage.bytes <= usage.largest_together, "{usage:?}");
    });
}

#[test]
fn expired_entries_make_room_like_any_other() {
    run(async {
        let origin = Origin::sync(|_, _| answer(vec![7; 10_000]));
        let (service, cache, clock) = cached(&origin, |cache| cache.capacity(4 << 20).entry_limit(100_000));
        for number in 0..5_000 {
            text(&service, &format!("/{number}")).await;
            clock.advance(SECOND);
        }
        assert!(cache.usage().bytes <= cache.usage().capacity);
        assert!(cache.usage().keys < 420);
    });
}

#[test]
fn an_endless_body_holds_nothing() {
    run(async {
        let endless = futures_util::stream::repeat_with(|| Ok(Frame::data(Bytes::from(vec![7; 10_000]))));
        let body = std::sync::Mutex::new(Some(http_body_util::StreamBody::new(endless).boxed_unsync()));
        let origin = Origin::sync(move |_, _| answer("").map(|_| body.lock().unwrap().take().unwrap()));
        let (service, cache, _) = cached(&origin, |cache| cache);
        let mut body = send(&service, get("/")).await.unwrap().into_body();
        let held = measure(|| {
            for _ in 0..10_000 {
                body.frame().now_or_never().unwrap().unwrap().unwrap();
            }
        });
        assert!(held.bytes_current <= 0, "{} bytes left by 100 MB", held.bytes_current);
        assert!(held.bytes_max < 2 * MIB as u64, "{} at the height", held.bytes_max);
        assert!(cache.usage().bytes < 1_000);
    });
}

/// Clients that stop reading just before the end, each of an answer of its own, which might be stored.
#[test]
fn readers_that_stand_still_hold_a_part_of_the_capacity_together() {
    run(async {
        let chunks = || (0..100).map(|_| Ok(Frame::data(Bytes::from(vec![7; 10_000]))));
        let origin = Origin::sync(move |_, _| {
            let body = http_body_util::StreamBody::new(futures_util::stream::iter(chunks())).boxed_unsync();
            with(answer("").map(|_| body), "content-length", "1000000")
        });
        let (service, cache, _) = cached(&origin, |cache| cache.capacity(16 << 20));
        let mut bodies = Vec::new();
        let held = measure(|| {
            for number in 0..60 {
                let mut asked = Box::pin(send(&service, get(&format!("/{number}"))));
                assert!(asked.as_mut().now_or_never().is_none(), "readiness comes at the second poll");
                let mut body = asked.now_or_never().unwrap().unwrap().into_body();
                for _ in 0..99 {
                    body.frame().now_or_never().unwrap().unwrap().unwrap();
                }
                bodies.push(body);
            }
        });
        // A quarter, and what of each was ready with its head or is to be read next.
        assert!(held.bytes_max < (4 * MIB + 60 * 100_000) as u64, "{} held for 60 MB", held.bytes_max);
        for body in bodies {
            assert_eq!(body.collect().await.unwrap().to_bytes().len(), 10_000);
        }
        let stats = cache.stats();
        assert_eq!((stats.stored(), stats.not_stored(NoCacheReason::OutOfRoom)), (4, 56));
        text(&service, "/later").await;
        assert_eq!(cache.stats().stored(), 5, "there is room again");
    });
}

/// One MiB in 16 pieces, of which two are ready with the head; but of `/small` three that come one after the other.
fn pieces(request: &Ask) -> Answer {
    if request.uri().path() == "/small" {
        return with(answer("").map(|_| Steps::slow(&["one", "two", "three"])), "content-length", "11");
    }
    let pieces = (0..16).map(|_| Ok(Frame::data(Bytes::from(vec![7; 1 << 16]))));
    answer("").map(|_| StreamBody::new(stream::iter(pieces)).boxed_unsync())
}

/// A client that reads so many pieces of an answer and stands still.
async fn stands_still(service: &Cached, uri: &str, pieces: usize) -> GatewayBody<TestBody> {
    let mut body = send(service, get(uri)).await.unwrap().into_body();
    for _ in 0..pieces {
        body.frame().now_or_never().unwrap().unwrap().unwrap();
    }
    body
}

/// With room for 4 MiB of bodies on their way, all of which is taken.
#[test]
fn clients_that_stand_still_take_nothing_from_the_others() {
    run(async {
        let origin = Origin::sync(|request, _| pieces(&request));
        let (service, cache, _) = cached(&origin, |cache| cache.capacity(16 << 20));
        let mut still = Vec::new();
        for number in 0..56 {
            let read = if number < 4 { 15 } else { 4 };
            still.push(stands_still(&service, &format!("/{number}"), read).await);
        }
        let (one, other) = tokio::join!(text(&service, "/small"), text(&service, "/small"));
        assert_eq!([one, other, text(&service, "/small").await], ["onetwothree"; 3]);
        assert_eq!((origin.calls(), cache.stats().stored()), (57, 1), "shared and stored");
        for (number, body) in still.into_iter().enumerate() {
            let rest = if number < 4 { 1 } else { 12 };
            assert_eq!(body.collect().await.unwrap().to_bytes().len(), rest << 16, "nobody lacks anything");
        }
    });
}

#[test]
fn what_comes_with_the_head_counts_too() {
    run(async {
        let origin = Origin::sync(|request, _| pieces(&request));
        let (service, cache, _) = cached(&origin, |cache| cache.capacity(16 << 20));
        let mut still = Vec::new();
        for number in 0..60 {
            still.push(stands_still(&service, &format!("/{number}"), 0).await);
        }
        // 32 fit. The 33rd makes room for five, the 38th again, and so on.
        assert_eq!(cache.stats().not_stored(NoCacheReason::OutOfRoom), 30);
    });
}

/// Who waited for an answer that is not kept any more goes alone, for that reason, and leaves no mark.
#[test]
fn who_waits_for_an_answer_that_makes_room_goes_alone() {
    run(async {
        let origin = Origin::sync(|request, call| match call {
            1 => {
                let begun = (0..15).map(|_| Ok(Frame::data(Bytes::from(vec![7; 1 << 16]))));
                let never_ends = stream::iter(begun).chain(stream::pending());
                answer("").map(|_| StreamBody::new(never_ends).boxed_unsync())
            }
            _ => pieces(&request),
        });
        let (service, cache, _) = cached(&origin, |cache| cache.capacity(16 << 20));
        let first = stands_still(&service, "/0", 15).await;
        let mut waits = Box::pin(send(&service, get("/0")));
        assert!(poll_some(&mut waits).await.is_pending(), "it might be too large");
        let mut still = Vec::new();
        for number in 1..5 {
            still.push(stands_still(&service, &format!("/{number}"), 15).await);
        }
        assert_eq!(waits.await.unwrap().into_body().collect().await.unwrap().to_bytes().len(), 1 << 20);
        let stats = cache.stats();
        let missed = [NoCacheReason::OutOfRoom, NoCacheReason::HitForMiss].map(|why| stats.missed(why));
        assert_eq!((missed, origin.calls()), ([1, 0], 6));
        drop(first);
        ask(&service, get("/0")).await;
        ask(&service, get("/0")).await;
        assert_eq!(origin.calls(), 7, "stored");
    });
}

/// A store of one's own that only says how much it has.
#[derive(Debug)]
struct Terse {
    memory: MemoryCacheStore,
}

impl CacheStore for Terse {
    as_memory!(get, insert, remove, retain);

    fn usage(&self) -> StoreUsage {
        StoreUsage::default()
    }
}

#[test]
fn a_store_that_does_not_say_its_capacity_gets_what_streams() {
    run(async {
        let origin = Origin::sync(|request, _| pieces(&request));
        let store = Terse { memory: MemoryCacheStore::new(16 << 20, 2 << 20).unwrap() };
        let (service, cache, _) = cached(&origin, |cache| cache.store(store));
        for uri in ["/small", "/large", "/small", "/large"] {
            ask(&service, get(uri)).await;
        }
        assert_eq!((origin.calls(), cache.stats().stored()), (2, 2));
    });
}

#[test]
fn readers_that_go_away_leave_nothing_behind() {
    run(async {
        let origin = Origin::new(|_, _| async {
            pauses(2).await;
            Ok(answer("").map(|_| Steps::slow(&["one", "two", "three"])))
        });
        let (service, cache, clock) = cached(&origin, |cache| cache.key(CacheKey::new()));
        let round = || {
            for polls in 0..12 {
                let mut readers: Vec<_> = (0..3)
                    .map(|_| {
                        let answer = send(&service, get("/"));
                        Box::pin(async { answer.await.unwrap().into_body().collect().await }).fuse()
                    })
                    .collect();
                for _ in 0..polls {
                    readers.iter_mut().for_each(poll_now);
                }
                drop(readers);
                cache.flush();
                // The clock of the test keeps the wakers of its timers until it moves.
                clock.advance(Duration::ZERO);
            }
        };
        round();
        let held = measure(|| (0..50).for_each(|_| round()));
        assert!(held.bytes_current <= 0, "{} bytes left", held.bytes_current);
    });
}

fn poll_now<F: FusedFuture + Unpin>(future: &mut F) {
    if !future.is_terminated() {
        drop(future.now_or_never());
    }
}
