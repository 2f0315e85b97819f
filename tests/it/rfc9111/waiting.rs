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
