//! One call per key, however many ask, whoever goes away.

use super::*;
use crate::support::{get, run};
use futures_util::{FutureExt, future::join_all};
use std::sync::Mutex;
use tokio::sync::{oneshot, watch};
use tower_gateway::cache::{CacheStatus, NoCacheReason, Purge};

/// Waits for the gate, then answers by parts with pauses.
fn gated(open: &watch::Receiver<bool>) -> Origin {
    let open = open.clone();
    Origin::new(move |_, call| {
        let mut open = open.clone();
        async move {
            open.wait_for(|open| *open).await.unwrap();
            Ok(with(answer(""), "x-call", &call.to_string()).map(|_| Steps::slow(&["one ", "two ", "three"])))
        }
    })
}

#[test]
fn a_thousand_at_once_make_one_call() {
    run(async {
        let (gate, open) = watch::channel(false);
        let origin = gated(&open);
        let (service, cache, _) = cached(&origin, |cache| cache);
        let mut all = Box::pin(join_all((0..1_000).map(|_| ask(&service, get("/")))));
        assert!(settle(&mut all).await.is_pending());
        gate.send(true).unwrap();
        for answer in all.await {
            assert_eq!(
                (&answer.headers()["x-call"], answer.body()),
                (&"1".parse().unwrap(), &Bytes::from("one two three"))
            );
        }
        assert_eq!(origin.calls(), 1);
        let stats = cache.stats();
        assert_eq!((stats.count(CacheStatus::Miss), stats.count(CacheStatus::Collapsed)), (1, 999));
        assert_eq!((stats.hits(), stats.misses(), stats.stored()), (999, 1, 1));
    });
}

#[test]
fn a_thousand_on_four_threads_make_one_call() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        for round in 0..20 {
            let origin = Origin::new(move |_, call| async move {
                for _ in 0..round % 4 {
                    tokio::task::yield_now().await;
                }
                Ok(answer(format!("call {call}")).map(|_| Steps::slow(&["one ", "two ", "three"])))
            });
            let (service, _, _) = cached(&origin, |cache| cache);
            let asked: Vec<_> = (0..1_000)
                .map(|number| {
                    let service = service.clone();
                    let task = tokio::spawn(async move { ask(&service, get("/")).await });
                    if number % 5 == 1 {
                        task.abort();
                    }
                    task
                })
                .collect();
            for task in asked {
                match task.await {
                    Ok(answer) => assert_eq!(answer.body(), "one two three"),
                    Err(error) => assert!(error.is_cancelled()),
                }
            }
            assert_eq!(origin.calls(), 1, "round {round}");
        }
    });
}

/// The leader is polled so many times, future first and then body, and dropped. The follower, which came before or
/// after it was polled, gets the whole answer of the one call.
#[test]
fn the_leader_may_go_at_every_await_point() {
    let mut ended = false;
    for polls in 0..100 {
        for late in [false, true] {
            run(async {
                let origin = Origin::new(|_, call| async move {
                    pauses(3).await;
                    Ok(with(answer(""), "x-call", &call.to_string())
                        .map(|_| Steps::slow(&["one ", "two ", "three"])))
                });
                let (service, cache, _) = cached(&origin, |cache| cache);
                let mut leader = Box::pin(send(&service, get("/")));
                // Readiness comes first: the second poll makes the call.
                assert!(poll_once(&mut leader).await.is_pending());
                if late {
                    assert!(poll_once(&mut leader).await.is_pending());
                }
                let mut follower = Box::pin(ask(&service, get("/")));
                assert!(poll_once(&mut follower).await.is_pending());
                assert!(poll_once(&mut follower).await.is_pending());
                ended = poll_times(leader, polls).await;
                let answer = follower.await;
                assert_eq!(answer.body(), "one two three", "{polls}");
                assert_eq!(origin.calls(), 1, "{polls} {late}");
                assert_eq!(text(&service, "/").await, "one two three");
                assert_eq!((origin.calls(), cache.stats().stored()), (1, 1));
            });
        }
    }
    assert!(ended, "the loop has reached the end of the answer");
}

/// Polls an answer, then its body, that often. `true`: it has ended before.
async fn poll_times(
    answer: impl Future<Output = Result<Response<GatewayBody<TestBody>>, TestError>> + Unpin,
    polls: usize,
) -> bool {
    let whole = async { answer.await.unwrap().into_body().collect().await.unwrap() };
    let mut whole = Box::pin(whole);
    for _ in 0..polls {
        if poll_once(&mut whole).await.is_ready() {
            return true;
        }
    }
    false
}

/// The same with the follower going and the leader staying, and with both going.
#[test]
fn whoever_goes_takes_nothing_along() {
    for polls in 0..30 {
        run(async {
            let origin = Origin::new(|_, call| async move {
                pauses(2).await;
                Ok(answer(format!("{call}")).map(|_| Steps::slow(&["one ", "two"])))
            });
            let (service, cache, _) = cached(&origin, |cache| cache);
            let mut leader = Box::pin(ask(&service, get("/")));
            assert!(poll_once(&mut leader).await.is_pending());
            assert!(poll_once(&mut leader).await.is_pending());
            poll_times(Box::pin(send(&service, get("/"))), polls).await;
            assert_eq!(leader.await.body(), "one two");
            assert_eq!(origin.calls(), 1);

            cache.flush();
            for _ in 0..2 {
                poll_times(Box::pin(send(&service, get("/"))), polls).await;
            }
            let (calls, stored) = (origin.calls(), cache.stats().stored() == 2);
            assert_eq!(text(&service, "/").await, "one two");
            assert_eq!(origin.calls(), calls + usize::from(!stored), "{polls}");
        });
    }
}

#[test]
fn a_call_that_nobody_waits_for_ends_unless_it_is_to_be_finished() {
    for finish in [false, true] {
        for in_body in [false, true] {
            run(async {
                let origin = Origin::new(|_, _| async {
                    pauses(3).await;
                    Ok(answer("").map(|_| Steps::slow(&["one ", "two"])))
                });
                let (service, cache, _) = cached(&origin, |cache| cache.finish_abandoned(finish));
                if in_body {
                    drop(send(&service, get("/")).await.unwrap());
                } else {
                    let mut asked = Box::pin(send(&service, get("/")));
                    assert!(poll_once(&mut asked).await.is_pending());
                    assert!(poll_once(&mut asked).await.is_pending());
                }
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
                assert_eq!(cache.stats().stored(), u64::from(finish));
                assert_eq!(cache.stats().not_stored(NoCacheReason::Abandoned), u64::from(!finish));
                assert_eq!(text(&service, "/").await, "one two");
                assert_eq!(origin.calls(), if finish { 1 } else { 2 });
            });
        }
    }
}

#[test]
fn waiters_read_while_the_answer_is_still_arriving() {
    run(async {
        let (send_frame, frames) = tokio::sync::mpsc::unbounded_channel::<&'static str>();
        let frames = Arc::new(Mutex::new(Some(frames)));
        let origin = Origin::new(move |_, _| {
            let frames = frames.lock().unwrap().take().unwrap();
            async { Ok(answer("").map(|_| channel(frames))) }
        });
        let (service, _, clock) = cached(&origin, |cache| cache);
        let mut first = send(&service, get("/")).await.unwrap().into_body();
        send_frame.send("one").unwrap();
        assert_eq!(next(&mut first).await, "one");
        // Comes late, and gets all of it.
        let mut second = shared(&service, &clock).await;
        assert_eq!(next(&mut second).await, "one");
        assert!(second.frame().now_or_never().is_none());
        send_frame.send("two").unwrap();
        assert_eq!(next(&mut second).await, "two");
        drop(first);
        send_frame.send("three").unwrap();
        assert_eq!(next(&mut second).await, "three");
        drop(send_frame);
        assert!(second.frame().await.is_none());
        assert_eq!(text(&service, "/").await, "onetwothree");
        assert_eq!(origin.calls(), 1);
    });
}

fn channel(mut frames: tokio::sync::mpsc::UnboundedReceiver<&'static str>) -> TestBody {
    let stream = futures_util::stream::poll_fn(move |cx| {
        frames
            .poll_recv(cx)
            .map(|frame| frame.map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes())))))
    });
    http_body_util::StreamBody::new(stream).boxed_unsync()
}

async fn next(body: &mut GatewayBody<TestBody>) -> Bytes {
    body.frame().await.unwrap().unwrap().into_data().unwrap()
}

#[test]
fn an_answer_that_is_not_storable_lets_everybody_go_at_once() {
    run(async {
        let (gate, open) = watch::channel(false);
        let (gate_of_others, others) = watch::channel(false);
        let origin = Origin::new(move |_, call| {
            let (mut open, mut others) = (open.clone(), others.clone());
            async move {
                if call == 1 {
                    open.wait_for(|open| *open).await.unwrap();
                } else if call <= 100 {
                    others.wait_for(|open| *open).await.unwrap();
                } else {
                    pauses(5).await;
                }
                Ok(with(answer(format!("call {call}")), "cache-control", "private"))
            }
        });
        let (service, cache, clock) = cached(&origin, |cache| cache);
        let mut all = Box::pin(join_all((0..100).map(|_| ask(&service, get("/")))));
        assert!(settle(&mut all).await.is_pending());
        assert_eq!(origin.calls(), 1);
        gate.send(true).unwrap();
        assert!(settle(&mut all).await.is_pending());
        assert_eq!(origin.calls(), 100, "all of them at once, and none waits for another");
        gate_of_others.send(true).unwrap();
        let mut said: Vec<_> = all.await.into_iter().map(said).collect();
        said.sort();
        said.dedup();
        assert_eq!(said.len(), 100, "everybody has an answer of their own");
        assert_eq!(cache.stats().missed(NoCacheReason::HitForMiss), 99);

        // It is remembered: nobody waits for anybody.
        let (mut one, mut other) = (Box::pin(ask(&service, get("/"))), Box::pin(ask(&service, get("/"))));
        for _ in 0..2 {
            assert!(poll_once(&mut one).await.is_pending() && poll_once(&mut other).await.is_pending());
        }
        assert_eq!(origin.calls(), 102);
        drop((one, other));
        // ... for 120 seconds.
        clock.advance(SECOND * 120);
        let (mut one, mut other) = (Box::pin(ask(&service, get("/"))), Box::pin(ask(&service, get("/"))));
        for _ in 0..2 {
            assert!(poll_once(&mut one).await.is_pending() && poll_once(&mut other).await.is_pending());
        }
        assert_eq!(origin.calls(), 103);
    });
}

#[test]
fn a_storable_answer_ends_hit_for_miss() {
    run(async {
        let origin = Origin::sync(|_, call| {
            let answer = answer(format!("call {call}"));
            if call == 1 { with(answer, "set-cookie", "a=b") } else { answer }
        });
        let (service, cache, _) = cached(&origin, |cache| cache);
        for expected in ["call 1", "call 2", "call 2"] {
            assert_eq!(text(&service, "/").await, expected);
        }
        assert_eq!(cache.stats().missed(NoCacheReason::HitForMiss), 1);
    });
}

#[test]
fn what_varies_is_fetched_for_each_of_them_at_once() {
    run(async {
        let (gate, open) = watch::channel(false);
        let origin = Origin::new(move |request, _| {
            let mut open = open.clone();
            async move {
                open.wait_for(|open| *open).await.unwrap();
                let language = request.headers()["accept-language"].to_str().unwrap().to_owned();
                Ok(with(answer(language), "vary", "accept-language"))
            }
        });
        let (service, _, _) = cached(&origin, |cache| cache);
        let languages = || (0..90).map(|number| ["de", "en", "fr"][number % 3]);
        let asked =
            || languages().map(|language| ask(&service, get_with("/", &[("accept-language", language)])));
        let mut all = Box::pin(join_all(asked()));
        assert!(settle(&mut all).await.is_pending());
        assert_eq!(origin.calls(), 1, "nobody knows yet that answers vary");
        gate.send(true).unwrap();
        for answers in [all.await, join_all(asked()).await] {
            for (language, answer) in languages().zip(answers) {
                assert_eq!(answer.body(), language);
            }
        }
        assert_eq!(origin.calls(), 3);
    });
}

#[test]
fn a_failed_call_is_tried_again_by_the_next() {
    run(async {
        let origin = Origin::new(|_, call| async move {
            pauses(3).await;
            if call < 3 { Err(format!("down {call}").into()) } else { Ok(answer("up")) }
        });
        let (service, _, _) = cached(&origin, |cache| cache);
        let all = join_all((0..5).map(|_| send(&service, get("/")))).await;
        let errors: Vec<_> =
            all.iter().filter_map(|answer| answer.as_ref().err()).map(ToString::to_string).collect();
        assert_eq!(errors.len(), 2);
        assert_eq!(origin.calls(), 3);
    });
}

#[test]
fn the_wait_is_bounded_and_a_late_call_is_not_joined() {
    run(async {
        let (gate, open) = watch::channel(false);
        let origin = Origin::new(move |_, call| {
            let mut open = open.clone();
            async move {
                if call == 1 {
                    open.wait_for(|open| *open).await.unwrap();
                }
                Ok(answer(format!("call {call}")))
            }
        });
        let (service, cache, clock) = cached(&origin, |cache| cache);
        let mut leader = Box::pin(ask(&service, get("/")));
        let mut waiter = Box::pin(ask(&service, get("/")));
        for _ in 0..2 {
            assert!(poll_once(&mut leader).await.is_pending() && poll_once(&mut waiter).await.is_pending());
        }
        clock.advance(SECOND * 5 - Duration::from_nanos(1));
        assert!(poll_once(&mut waiter).await.is_pending());
        clock.advance(Duration::from_nanos(2));
        assert_eq!(said(waiter.await), "call 2");
        assert_eq!((cache.stats().stored(), cache.stats().missed(NoCacheReason::WaitTimeout)), (0, 1));
        // A newcomer makes a new call, and its answer is the one that stays.
        assert_eq!(text(&service, "/").await, "call 3");
        gate.send(true).unwrap();
        assert_eq!(said(leader.await), "call 1");
        assert_eq!(text(&service, "/").await, "call 3");
    });
}

#[test]
fn after_a_panic_the_answer_to_a_head_has_no_body() {
    run(async {
        for (method, has_body) in [("GET", true), ("HEAD", false)] {
            let origin = Origin::new(|_, call| async move {
                assert!(call == 1, "the service's own");
                Ok(with(with(answer("stored"), "cache-control", "max-age=60"), "etag", "\"a\""))
            });
            let (service, _, clock) = cached(&origin, |cache| in_mode(cache, true));
            assert_eq!(text(&service, "/").await, "stored");
            clock.advance(SECOND * 61);
            let mut asked = Box::pin(service.oneshot(request(method, "/", &[])));
            let panics = std::panic::AssertUnwindSafe(poll_some(&mut asked)).catch_unwind().await;
            assert!(panics.is_err());
            let answer = asked.await.unwrap();
            assert_eq!(answer.status(), 500);
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(!body.is_empty(), has_body, "{method}");
        }
    });
}

#[test]
fn a_panic_in_the_service_lets_the_waiters_go() {
    run(async {
        let (start, started) = oneshot::channel::<()>();
        let started = Mutex::new(Some(started));
        let origin = Origin::new(move |_, call| {
            let started = started.lock().unwrap().take();
            async move {
                if let Some(started) = started {
                    started.await.unwrap();
                    panic!("the service's own");
                }
                Ok(answer(format!("call {call}")))
            }
        });
        let (service, _, _) = cached(&origin, |cache| cache);
        let spawn = |service: &Cached| {
            let service = service.clone();
            tokio::spawn(async move { ask(&service, get("/")).await })
        };
        let (leader, waiter) = (spawn(&service), spawn(&service));
        for _ in 0..5 {
            tokio::task::yield_now().await;
        }
        start.send(()).unwrap();
        // Whoever polls the call meets the panic; the other does not hang.
        let ends = [
            leader.await.map(|answer| answer.status().as_u16()),
            waiter.await.map(|answer| answer.status().as_u16()),
        ];
        assert_eq!(
            ends.iter().filter(|end| end.as_ref().is_err_and(tokio::task::JoinError::is_panic)).count(),
            1
        );
        assert_eq!(text(&service, "/").await, "call 2");
    });
}

#[test]
fn without_coalescing_everybody_calls() {
    run(async {
        let origin = Origin::new(|_, call| async move {
            pauses(2).await;
            Ok(answer(format!("call {call}")))
        });
        let (service, _, _) = cached(&origin, |cache| cache.coalesce(false));
        join_all((0..10).map(|_| ask(&service, get("/")))).await;
        assert_eq!(origin.calls(), 10);
        text(&service, "/").await;
        assert_eq!(origin.calls(), 10);
    });
}

#[test]
fn ten_thousand_zipf_keys_make_at_most_one_call_each() {
    run(async {
        let calls: Arc<Mutex<std::collections::HashMap<String, u32>>> = Arc::default();
        let counted = Arc::clone(&calls);
        let origin = Origin::new(move |request, _| {
            *counted.lock().unwrap().entry(request.uri().to_string()).or_default() += 1;
            async {
                pauses(3).await;
                Ok(answer("x"))
            }
        });
        let (service, cache, clock) = cached(&origin, |cache| cache);
        let mut seed = 7_u64;
        let mut zipf = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // With s = 1, ranks are the exponential of a uniform number.
            10_000_f64.powf((seed >> 11) as f64 / (1_u64 << 53) as f64) as u32
        };
        for period in 1..3 {
            for _ in 0..100 {
                let keys: Vec<_> = (0..500).map(|_| format!("/{}", zipf())).collect();
                join_all(keys.iter().map(|key| text(&service, key))).await;
            }
            assert!(calls.lock().unwrap().values().all(|calls| *calls <= period));
            clock.advance(SECOND * 300);
        }
        assert_eq!(cache.stats().hits() + cache.stats().misses(), 100_000);
        assert_eq!(cache.stats().misses(), origin.calls() as u64);
        assert!(cache.stats().misses() < 20_000);
    });
}

/// Answers each call when told to.
fn told(calls: usize) -> (Vec<oneshot::Sender<()>>, Origin) {
    told_saying(calls, |_| "max-age=300")
}

/// With a `Cache-Control` for each.
fn told_saying(
    calls: usize,
    control: impl Fn(usize) -> &'static str + Send + Sync + 'static,
) -> (Vec<oneshot::Sender<()>>, Origin) {
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..calls).map(|_| oneshot::channel()).unzip();
    let receivers: Mutex<Vec<_>> = Mutex::new(receivers.into_iter().map(Some).collect());
    let origin = Origin::new(move |_, call| {
        let told: oneshot::Receiver<()> = receivers.lock().unwrap()[call - 1].take().unwrap();
        let control = control(call);
        async move {
            told.await.map_err(|_| TestError::from("not told"))?;
            let answer = with(answer(format!("call {call}")), "surrogate-key", "all");
            Ok(with(answer, "cache-control", control))
        }
    });
    (senders, origin)
}

/// A request comes every 6 s, a call takes 8 s, and nobody waits longer than 5 s.
#[test]
fn what_a_slow_service_answers_is_stored_though_newcomers_did_not_wait() {
    run(async {
        let (mut tell, origin) = told(3);
        let (service, cache, clock) = cached(&origin, |cache| cache);
        let mut first = Box::pin(ask(&service, get("/")));
        assert!(poll_some(&mut first).await.is_pending());
        clock.advance(SECOND * 6);
        let mut second = Box::pin(ask(&service, get("/")));
        assert!(poll_some(&mut second).await.is_pending());
        assert_eq!(origin.calls(), 2, "the first one is late");
        tell.remove(0).send(()).unwrap();
        assert_eq!(said(first.await), "call 1");
        assert_eq!((text(&service, "/").await, cache.stats().stored()), ("call 1".to_owned(), 1));
        tell.remove(0).send(()).unwrap();
        assert_eq!(said(second.await), "call 2");
        assert_eq!((text(&service, "/").await, origin.calls()), ("call 2".to_owned(), 2));
    });
}

#[test]
fn what_was_overtaken_replaces_nothing_newer_and_nothing_purged() {
    for purge in [None, Some(Purge::all()), Some(Purge::all().tag("all")), Some(Purge::all().path("/"))] {
        run(async {
            let (mut tell, origin) = told(3);
            let (service, cache, clock) = cached(&origin, |cache| cache);
            let mut first = Box::pin(ask(&service, get("/")));
            assert!(poll_some(&mut first).await.is_pending());
            clock.advance(SECOND * 6);
            let mut second = Box::pin(ask(&service, get("/")));
            assert!(poll_some(&mut second).await.is_pending());
            let newer = tell.remove(1);
            match &purge {
                Some(purge) => drop(cache.purge(purge)),
                None => {
                    newer.send(()).unwrap();
                    assert_eq!(said(second.await), "call 2");
                }
            }
            tell.remove(0).send(()).unwrap();
            assert_eq!(said(first.await), "call 1");
            let stats = cache.stats();
            assert_eq!(
                (stats.stored(), stats.not_stored(NoCacheReason::Superseded)),
                (u64::from(purge.is_none()), 1)
            );
            if purge.is_none() {
                assert_eq!(text(&service, "/").await, "call 2");
            }
        });
    }
}

/// Nobody waits for anybody while a key is hit-for-miss, or where calls are not shared: the newest answer stays all the
/// same, whether the older one could be stored or forbids it.
#[test]
fn an_older_call_that_went_alone_replaces_nothing_newer() {
    for ((shares, is_rfc), older) in [(true, false), (false, false), (true, true), (false, true)]
        .into_iter()
        .flat_map(|case| ["max-age=300", "no-store"].map(|older| (case, older)))
    {
        run(async {
            let control = move |call| ["no-store", older, "max-age=300"][call - 1];
            let (tell, origin) = told_saying(3, control);
            let (service, cache, clock) = cached(&origin, |cache| in_mode(cache, is_rfc).coalesce(shares));
            let [first, before_it, newer]: [_; 3] = tell.try_into().unwrap();
            first.send(()).unwrap();
            assert_eq!(text(&service, "/").await, "call 1");
            let mut before = Box::pin(ask(&service, get("/")));
            assert!(poll_some(&mut before).await.is_pending());
            clock.advance(SECOND);
            let mut after = Box::pin(ask(&service, get("/")));
            assert!(poll_some(&mut after).await.is_pending());
            newer.send(()).unwrap();
            assert_eq!(said(after.await), "call 3");
            before_it.send(()).unwrap();
            assert_eq!(said(before.await), "call 2");
            let (next, calls) = (text(&service, "/").await, origin.calls());
            assert_eq!((&*next, calls), ("call 3", 3), "{shares} {is_rfc} {older}");
            let superseded = u64::from(older != "no-store");
            assert_eq!(cache.stats().not_stored(NoCacheReason::Superseded), superseded);
        });
    }
}

/// What is purged elsewhere does not concern it, though it is no longer the call that newcomers find.
#[test]
fn what_was_overtaken_is_voided_by_its_own_purges_only() {
    for (purge, stored) in [
        (Purge::all().path("/other"), 1),
        (Purge::all().path("/other").softly(), 1),
        (Purge::all().path("/").query(Some("a")), 1),
        (Purge::all().path("/"), 0),
        (Purge::all().tag("all"), 0),
    ] {
        for is_rfc in [false, true] {
            run(async {
                let (tell, origin) = told(2);
                let [older, _newer]: [_; 2] = tell.try_into().unwrap();
                let (service, cache, clock) = cached(&origin, |cache| in_mode(cache, is_rfc));
                let mut first = Box::pin(ask(&service, get("/")));
                assert!(poll_some(&mut first).await.is_pending());
                clock.advance(SECOND * 6);
                let mut second = Box::pin(ask(&service, get("/")));
                assert!(poll_some(&mut second).await.is_pending());
                cache.purge(&purge);
                older.send(()).unwrap();
                assert_eq!(said(first.await), "call 1");
                assert_eq!(cache.stats().stored(), stored, "{purge:?}");
            });
        }
    }
}
