//! What is for one client alone, and what those get who waited for the same answer.

use super::*;
use futures_util::StreamExt;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};
use tower::Layer;
use tower_gateway::cache::{Cache, CacheLayer, NoCacheReason};

#[test]
fn what_is_private_reaches_the_client_that_caused_it_and_no_other() {
    run(async {
        let strip = || Rfc9111::new().set_cookie(SetCookie::Strip);
        for (rules, value, name) in [
            (Rfc9111::new(), r#"max-age=60, private="set-cookie, x-none""#, "set-cookie"),
            (Rfc9111::new(), r#"max-age=60, no-cache="set-cookie""#, "set-cookie"),
            (Rfc9111::new(), r#"max-age=60, private="x-a""#, "x-a"),
            (strip(), "max-age=60", "set-cookie"),
        ] {
            let fields =
                move |call: usize| vec![("cache-control", value), ("etag", "\"a\""), (name, mine(call))];
            let bench = Bench::new(rules, move |call, request| {
                let known = request.headers().contains_key("if-none-match");
                Ok(answer(if known { 304 } else { 200 }, &fields(call), "page"))
            });
            let all = |answer: &Response<Bytes>| {
                answer
                    .headers()
                    .get_all(name)
                    .iter()
                    .map(|value| value.to_str().unwrap().to_owned())
                    .collect::<Vec<_>>()
            };
            assert_eq!(all(&bench.plain().await), ["1"], "{value}");
            assert_eq!(all(&bench.plain().await), [""; 0], "{value}");
            // So it is with a confirmation.
            bench.wait(61);
            let confirmed = bench.plain().await;
            assert_eq!(
                (all(&confirmed), confirmed.body().as_ref()),
                (vec!["2".to_owned()], &b"page"[..]),
                "{value}"
            );
            assert_eq!((all(&bench.plain().await).len(), bench.calls()), (0, 2), "{value}");
        }
    });
}

/// Whoever shares a body reads the same trailers: what is private among them is for nobody.
#[test]
fn private_trailers_are_neither_stored_nor_shared() {
    run(async {
        let strip = || Rfc9111::new().set_cookie(SetCookie::Strip);
        for (rules, control, name) in [
            (Rfc9111::new(), r#"max-age=60, private="x-user""#, "x-user"),
            (Rfc9111::new(), r#"max-age=60, no-cache="x-user""#, "x-user"),
            (strip(), "max-age=60", "set-cookie"),
        ] {
            for pauses in [false, true] {
                let cache = Cache::builder().rfc9111(rules.clone()).build().unwrap();
                let service = tower::service_fn(move |_: Request<Full<Bytes>>| async move {
                    let trailers = [(name, "ada"), ("x-sum", "1")];
                    let trailers =
                        trailers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
                    let frames =
                        [Frame::data(Bytes::from("page")), Frame::trailers(trailers.into_iter().collect())];
                    let body = futures_util::stream::iter(frames).then(move |frame| async move {
                        if pauses {
                            tokio::task::yield_now().await;
                        }
                        Ok::<_, Infallible>(frame)
                    });
                    Ok::<_, Infallible>(
                        answer(200, &[("cache-control", control)], "")
                            .map(|_| StreamBody::new(Box::pin(body))),
                    )
                });
                let service = CacheLayer::new(cache.clone()).layer(service);
                for _ in 0..2 {
                    let answer = service.clone().oneshot(get("/")).await.unwrap();
                    let whole = answer.into_body().collect().await.unwrap();
                    let trailers = whole.trailers().unwrap();
                    assert_eq!((trailers.get(name), trailers.len()), (None, 1), "{control} {pauses}");
                }
                assert_eq!(cache.stats().stored(), 1, "{control} {pauses}");
            }
        }
    });
}

fn mine(call: usize) -> &'static str {
    ["0", "1", "2"][call]
}

/// A body on its way is shared with whoever waits; what is private in its head is not.
#[test]
fn who_waited_for_an_answer_gets_nothing_that_is_private_in_it() {
    run(async {
        for is_slow in [false, true] {
            let clock = tower_gateway::clock::ManualClock::at_unix_seconds(784_111_777);
            let cache = Cache::builder().rfc9111(Rfc9111::new()).clock(clock.clock()).build().unwrap();
            let service =
                CacheLayer::new(cache).layer(tower::service_fn(move |_: Request<Full<Bytes>>| async move {
                    tokio::task::yield_now().await;
                    let fields = &[
                        ("cache-control", "max-age=60, private=\"set-cookie\""),
                        ("set-cookie", "session=1"),
                    ];
                    let frames = [
                        Ok::<_, Infallible>(Frame::data(Bytes::from("a"))),
                        Ok(Frame::data(Bytes::from("b"))),
                    ];
                    let body = futures_util::stream::iter(frames).then(move |frame| async move {
                        if is_slow {
                            tokio::task::yield_now().await;
                        }
                        frame
                    });
                    Ok::<_, Infallible>(answer(200, fields, "").map(|_| StreamBody::new(Box::pin(body))))
                }));
            let ask = || service.clone().oneshot(get("/x"));
            let (first, second) = tokio::join!(ask(), ask());
            let (first, second) = (first.unwrap(), second.unwrap());
            assert_eq!(first.headers()["set-cookie"], "session=1");
            assert!(!second.headers().contains_key("set-cookie"), "{is_slow}");
            let bodies = tokio::join!(first.into_body().collect(), second.into_body().collect());
            assert_eq!(
                (bodies.0.unwrap().to_bytes(), bodies.1.unwrap().to_bytes()),
                ("ab".into(), "ab".into())
            );
        }
    });
}

/// Until everybody has come: each poll of a waiter drives the call a step.
async fn a_while() {
    for _ in 0..30 {
        tokio::task::yield_now().await;
    }
}

/// What must be validated at each use: who comes while a question is on its way must not have its answer, which may be
/// older than the request. They share the next question, and nobody asks for the whole.
#[test]
fn many_at_once_ask_twice_about_what_must_be_validated() {
    for (stored, asked) in [
        ("no-cache", ""),
        ("no-cache, max-age=60", ""),
        ("max-age=0", ""),
        ("max-age=60", "no-cache"),
        ("max-age=60", "max-age=0"),
    ] {
        run(async {
            let calls = Arc::new(Mutex::new(Vec::new()));
            let log = Arc::clone(&calls);
            let cache = Cache::builder().rfc9111(Rfc9111::new()).build().unwrap();
            let service = tower::service_fn(move |request: Request<Full<Bytes>>| {
                let etag = request.headers().get("if-none-match").cloned();
                log.lock().unwrap().push(etag.is_some());
                async move {
                    a_while().await;
                    let fields = &[("cache-control", stored), ("etag", "\"a\"")];
                    Ok::<_, Infallible>(answer(if etag.is_some() { 304 } else { 200 }, fields, "page"))
                }
            });
            let service = CacheLayer::new(cache.clone()).layer(service);
            let ask = || {
                let request =
                    if asked.is_empty() { get("/x") } else { with(get("/x"), "cache-control", asked) };
                service.clone().oneshot(request)
            };
            let all = async |count: usize| {
                let answers = futures_util::future::join_all((0..count).map(|_| ask())).await;
                let mut reasons = Vec::new();
                for answer in answers {
                    let (head, body) = answer.unwrap().into_parts();
                    reasons.push(head.headers["cache-status"].to_str().unwrap().to_owned());
                    assert_eq!(
                        (head.status, body.collect().await.unwrap().to_bytes()),
                        (StatusCode::OK, "page".into())
                    );
                }
                reasons
            };
            // The first answer may not be shared either, and so there are two calls.
            all(10).await;
            assert_eq!(calls.lock().unwrap().len(), 2, "{stored}; {asked}");
            calls.lock().unwrap().clear();
            let reasons = all(10).await;
            assert_eq!(*calls.lock().unwrap(), [true, true], "{stored}; {asked}");
            assert!(reasons.iter().all(|reason| reason.contains("fwd-status=304")), "{reasons:?}");
            assert_eq!(cache.stats().missed(NoCacheReason::Authorization), 0);
        });
    }
}

/// A confirmation that is for one client only is for nobody who waited, however long.
#[test]
fn who_waited_in_vain_twice_asks_alone_and_still_with_the_validators() {
    run(async {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&calls);
        let cache = Cache::builder().rfc9111(Rfc9111::new()).build().unwrap();
        let service =
            CacheLayer::new(cache).layer(tower::service_fn(move |request: Request<Full<Bytes>>| {
                let known = request.headers().contains_key("if-none-match");
                log.lock().unwrap().push(known);
                let call = log.lock().unwrap().len().to_string();
                async move {
                    a_while().await;
                    let mut fields = vec![("cache-control", "no-cache"), ("etag", "\"a\"")];
                    fields.extend(known.then_some(("set-cookie", call.as_str())));
                    Ok::<_, Infallible>(answer(if known { 304 } else { 200 }, &fields, "page"))
                }
            }));
        let ask = || service.clone().oneshot(get("/x"));
        ask().await.unwrap();
        let answers = futures_util::future::join_all((0..5).map(|_| ask())).await;
        let mut cookies: Vec<_> =
            answers.into_iter().map(|answer| answer.unwrap().headers()["set-cookie"].clone()).collect();
        cookies.sort_unstable();
        cookies.dedup();
        assert_eq!(cookies.len(), 5, "each has its own");
        assert_eq!(*calls.lock().unwrap(), [false, true, true, true, true, true]);
    });
}

/// A cache on a clock of its own, before a service that answers by the number of the call, after a while.
fn slow(
    script: impl Fn(usize, &Request<Full<Bytes>>) -> Response<Full<Bytes>> + Send + Sync + 'static,
) -> (Service, Cache, tower_gateway::clock::ManualClock, Arc<Mutex<usize>>) {
    let clock = tower_gateway::clock::ManualClock::at_unix_seconds(784_111_777);
    let cache = Cache::builder().rfc9111(Rfc9111::new()).clock(clock.clock()).build().unwrap();
    let calls = Arc::new(Mutex::new(0));
    let (count, script) = (Arc::clone(&calls), Arc::new(script));
    let inner = tower::service_fn(move |request: Request<Full<Bytes>>| {
        let mut call = count.lock().unwrap();
        *call += 1;
        let answer = script(*call, &request);
        async move {
            a_while().await;
            Ok::<_, tower::BoxError>(answer)
        }
    });
    let service = CacheLayer::new(cache.clone()).layer(inner);
    (tower::util::BoxCloneSyncService::new(service), cache, clock, calls)
}

/// All at once, with a field for each.
async fn bodies(service: &Service, fields: &[(&str, &str)]) -> Vec<Bytes> {
    let asked = fields.iter().map(|(name, value)| service.clone().oneshot(with(get("/x"), name, value)));
    let mut bodies = Vec::new();
    for answer in futures_util::future::join_all(asked).await {
        bodies.push(answer.unwrap().into_body().collect().await.unwrap().to_bytes());
    }
    bodies
}

const PLAIN: (&str, &str) = ("x-none", "");

/// One client's leave to be served something stale is nobody else's.
#[test]
fn a_stale_answer_stands_in_for_those_only_who_may_have_it() {
    run(async {
        for directive in ["max-age=1", "max-age=1, stale-if-error=60"] {
            let (service, _, clock, calls) = slow(move |call, _| match call {
                1 => answer(200, &[("cache-control", directive), ("etag", "\"a\"")], "good"),
                _ => answer(503, &[], "bad"),
            });
            bodies(&service, &[PLAIN]).await;
            clock.advance(Duration::from_secs(100));
            let lenient = ("cache-control", "stale-if-error=600");
            assert_eq!(bodies(&service, &[lenient, PLAIN]).await, ["good", "bad"], "{directive}");
            assert_eq!(*calls.lock().unwrap(), 3);
        }
    });
}

/// What must be validated at each use, but may stand in: a service that fails is asked once for all who wait.
#[test]
fn a_failing_service_is_asked_once_for_all_who_may_have_what_is_stale() {
    run(async {
        let (service, cache, _, calls) = slow(|call, _| match call {
            1 => answer(200, &[("cache-control", "max-age=0, stale-if-error=60"), ("etag", "\"a\"")], "good"),
            _ => answer(503, &[], "bad"),
        });
        bodies(&service, &[PLAIN]).await;
        assert_eq!(bodies(&service, &[PLAIN; 10]).await, ["good"; 10]);
        assert_eq!((*calls.lock().unwrap(), cache.stats().hits()), (2, 10));
    });
}

/// Its client gets what was stored once more; those who waited do not.
#[test]
fn a_304_with_another_entity_tag_is_for_nobody_who_waited() {
    run(async {
        let (service, _, clock, calls) =
            slow(|call, request| match (call, request.headers().contains_key("if-none-match")) {
                (1, _) => answer(200, &[("cache-control", "max-age=10"), ("etag", "\"a\"")], "old"),
                (_, true) => answer(304, &[("cache-control", "max-age=10"), ("etag", "\"b\"")], ""),
                (_, false) => answer(200, &[("cache-control", "max-age=10"), ("etag", "\"b\"")], "new"),
            });
        bodies(&service, &[PLAIN]).await;
        clock.advance(Duration::from_secs(11));
        assert_eq!(bodies(&service, &[PLAIN; 4]).await, ["old", "new", "new", "new"]);
        assert_eq!(*calls.lock().unwrap(), 3);
    });
}

/// A `HEAD` confirms what was stored when it was sent, and not what has been replaced since.
#[test]
fn a_confirmation_of_what_was_replaced_meanwhile_brings_nothing_back() {
    run(async {
        let (service, _, clock, calls) = slow(|call, request| {
            let confirms = request.method() == Method::HEAD;
            let (etag, body) = if call == 1 || confirms { ("\"a\"", "old") } else { ("\"b\"", "new") };
            answer(if confirms { 304 } else { 200 }, &[("cache-control", "max-age=60"), ("etag", etag)], body)
        });
        bodies(&service, &[PLAIN]).await;
        clock.advance(Duration::from_secs(61));
        let mut head = Box::pin(service.clone().oneshot(method(Method::HEAD)));
        assert!(futures_util::poll!(&mut head).is_pending());
        clock.advance(Duration::from_secs(1));
        assert_eq!(bodies(&service, &[PLAIN]).await, ["new"]);
        head.await.unwrap();
        assert_eq!(bodies(&service, &[PLAIN]).await, ["new"]);
        assert_eq!(*calls.lock().unwrap(), 3);
    });
}

/// Whose answer is for one client alone does not lead those whose answer is for all.
#[test]
fn one_with_credentials_or_no_store_keeps_nobody_from_sharing() {
    run(async {
        for is_stale in [false, true] {
            for private in [("cookie", "session=1"), ("authorization", "ada"), ("cache-control", "no-store")]
            {
                if !is_stale && private.1 == "no-store" {
                    // Where nothing is stored, it has always gone alone.
                    continue;
                }
                let (service, cache, clock, calls) = slow(|call, _| {
                    answer(200, &[("cache-control", "max-age=60"), ("etag", "\"a\"")], &call.to_string())
                });
                if is_stale {
                    bodies(&service, &[PLAIN]).await;
                    clock.advance(Duration::from_secs(61));
                }
                let before = *calls.lock().unwrap();
                let mut asked = vec![PLAIN; 11];
                asked[0] = private;
                let all = bodies(&service, &asked).await;
                assert_eq!(*calls.lock().unwrap() - before, 2, "{is_stale} {private:?}");
                assert!(all[1..].iter().all(|body| *body == all[1] && *body != all[0]), "{all:?}");
                bodies(&service, &[PLAIN; 2]).await;
                assert_eq!(*calls.lock().unwrap() - before, 2);
                assert_eq!(cache.stats().missed(NoCacheReason::HitForMiss), 0);
            }
        }
    });
}

/// Those with credentials do not wait for each other once it is known that each gets an answer of its own; the others
/// are not told by that.
#[test]
fn hit_for_miss_of_those_with_credentials_is_theirs() {
    run(async {
        let (service, cache, _, calls) =
            slow(|call, _| answer(200, &[("cache-control", "max-age=60")], &call.to_string()));
        let by = |name| ("authorization", name);
        bodies(&service, &[by("ada")]).await;
        let all = bodies(&service, &[by("ada"), by("bob"), PLAIN, PLAIN]).await;
        assert_eq!(*calls.lock().unwrap(), 4);
        assert!(all[0] != all[1] && all[1] != all[2] && all[2] == all[3], "{all:?}");
        assert_eq!(cache.stats().missed(NoCacheReason::HitForMiss), 2);
        assert_eq!(bodies(&service, &[PLAIN]).await[0], all[2]);
    });
}

/// A question that is asked for all is one miss, and the others were answered by it.
#[test]
fn who_shares_a_confirmation_is_a_hit() {
    run(async {
        let (service, cache, clock, _) = slow(|_, request| {
            let known = request.headers().contains_key("if-none-match");
            answer(
                if known { 304 } else { 200 },
                &[("cache-control", "max-age=10"), ("etag", "\"a\"")],
                "page",
            )
        });
        bodies(&service, &[PLAIN]).await;
        clock.advance(Duration::from_secs(11));
        let asked = futures_util::future::join_all((0..10).map(|_| service.clone().oneshot(get("/x")))).await;
        let told: Vec<_> =
            asked.iter().map(|answer| answer.as_ref().unwrap().headers()["cache-status"].clone()).collect();
        assert_eq!(told[0], "tower-gateway; fwd=stale; fwd-status=304; ttl=10; stored");
        assert_eq!(told[9], "tower-gateway; fwd=stale; fwd-status=304; ttl=10; stored; collapsed");
        let stats = cache.stats();
        assert_eq!((stats.misses(), stats.hits()), (2, 9));
    });
}
