//! The RFC 9111 mode through the layer: who gets whose answer, and when the service is asked.
#![allow(unreachable_pub, reason = "modules of one test")]

mod bench;

use crate::support::{get, run};
use bench::{Answer, Bench, Service, answer, method, status_of, with};
use bytes::Bytes;
use futures_util::StreamExt;
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};
use tower::{Layer, ServiceExt};
use tower_gateway::{
    GatewayBody,
    cache::{
        Cache, CacheLayer, NoCacheReason,
        rfc::{Rfc9111, SetCookie},
    },
    route::{ApiMethod, CacheKey, Routes},
};

#[test]
fn two_principals_never_share_unless_the_answer_is_declared_to_be_shared() {
    run(async {
        for credential in ["authorization", "cookie", "x-api-key", "proxy-authorization"] {
            for private in [
                &[("cache-control", "max-age=60")][..],
                &[("cache-control", "max-age=60"), ("etag", "\"a\"")],
                &[("expires", "Sun, 06 Nov 1994 09:49:37 GMT")],
                &[("cdn-cache-control", "max-age=60")],
            ] {
                let bench = Bench::saying(Rfc9111::new(), private);
                assert_eq!(bench.text(credential, "alice").await, "1", "{credential} {private:?}");
                assert_eq!(bench.text(credential, "bob").await, "2", "{credential} {private:?}");
                assert_eq!(bench.plain().await.into_body(), "3", "{credential} {private:?}");
            }
            let public = Bench::saying(Rfc9111::new(), &[("cache-control", "public, max-age=60")]);
            assert_eq!(public.text(credential, "alice").await, "1");
            assert_eq!(public.text(credential, "bob").await, "1", "declared to be shared");
        }
    });
}

#[test]
fn what_one_client_is_given_as_a_cookie_no_other_gets() {
    run(async {
        let sets = &[("cache-control", "max-age=60"), ("set-cookie", "session=1")];
        let refusing = Bench::saying(Rfc9111::new(), sets);
        assert_eq!(refusing.plain().await.headers()["set-cookie"], "session=1");
        assert_eq!(refusing.plain().await.into_body(), "2");
        let stripping = Bench::saying(Rfc9111::new().set_cookie(SetCookie::Strip), sets);
        assert_eq!(stripping.plain().await.headers()["set-cookie"], "session=1");
        let second = stripping.plain().await;
        assert!(second.body() == "1" && !second.headers().contains_key("set-cookie"), "{second:?}");
    });
}

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

#[test]
fn other_methods_are_never_answered_from_the_store_and_invalidate_it() {
    run(async {
        for verb in ["POST", "PUT", "PATCH", "DELETE", "M-SEARCH"] {
            let bench = Bench::saying(Rfc9111::new(), &[("cache-control", "public, max-age=60")]);
            let unsafe_one = || method(Method::from_bytes(verb.as_bytes()).unwrap());
            assert_eq!(bench.plain().await.into_body(), "1");
            assert_eq!(bench.send(unsafe_one()).await.into_body(), "2", "{verb}");
            assert_eq!(bench.send(unsafe_one()).await.into_body(), "3", "{verb}");
            assert_eq!(bench.plain().await.into_body(), "4", "{verb}");
        }
        let options = Bench::saying(Rfc9111::new(), &[("cache-control", "public, max-age=60")]);
        options.plain().await;
        assert_eq!(options.send(method(Method::OPTIONS)).await.into_body(), "2");
        assert_eq!(options.plain().await.into_body(), "1", "OPTIONS changes nothing");
    });
}

#[test]
fn a_change_is_one_of_the_same_uri_however_it_is_written() {
    run(async {
        let forms: [(&str, &str); 6] = [
            ("/x", "a.test"),
            ("/x", "A.TEST"),
            ("/x", "a.test:80"),
            ("/x", "a.test:443"),
            ("http://a.test/x", ""),
            ("https://A.test:443/x", "a.test"),
        ];
        let form =
            |(uri, host): (&str, &str)| if host.is_empty() { get(uri) } else { with(get(uri), "host", host) };
        for stored in forms {
            for changed in forms {
                let bench = Bench::saying(Rfc9111::new(), &[("cache-control", "max-age=60")]);
                bench.send(form(stored)).await;
                let mut post = form(changed);
                *post.method_mut() = Method::POST;
                bench.send(post).await;
                assert_eq!(bench.send(form(stored)).await.into_body(), "3", "{stored:?} {changed:?}");
                bench.send(with(method(Method::POST), "host", "b.test")).await;
                assert_eq!(bench.send(form(stored)).await.into_body(), "3", "another host");
            }
        }
    });
}

#[test]
fn a_change_is_one_for_every_value_of_a_declared_field_and_for_every_caller() {
    run(async {
        let by = |key: CacheKey| {
            let key = key.header(http::header::ACCEPT_LANGUAGE);
            let get = ApiMethod::new().cache_key(key);
            Routes::builder()
                .method("/x", Method::GET, get)
                .method("/x", Method::POST, ApiMethod::new())
                .method("/y", Method::GET, ApiMethod::new())
                .build()
                .unwrap()
        };
        for key in [CacheKey::new(), CacheKey::only_declared()] {
            let bench = Bench::routed(&by(key), &[("cache-control", "max-age=60")]);
            let ask = async |verb: Method, language: &str| {
                bench.send(with(method(verb), "accept-language", language)).await.into_body()
            };
            bench.send(get("/y")).await;
            assert_eq!([ask(Method::GET, "de").await, ask(Method::GET, "en").await], ["2", "3"]);
            assert_eq!([ask(Method::GET, "de").await, ask(Method::GET, "en").await], ["2", "3"]);
            ask(Method::POST, "de").await;
            assert_eq!([ask(Method::GET, "de").await, ask(Method::GET, "en").await], ["5", "6"]);
            assert_eq!(bench.send(get("/y")).await.into_body(), "1", "another path");
        }
    });
}

#[test]
fn a_failed_change_and_a_foreign_location_invalidate_nothing() {
    run(async {
        let bench = Bench::new(Rfc9111::new(), |call, request| {
            let fields = &[("cache-control", "max-age=60"), ("location", "http://evil.example/y")];
            let status = if request.method() == Method::PUT { 500 } else { 200 };
            Ok(answer(status, fields, &call.to_string()))
        });
        let there = |path: &str| with(get(path), "host", "api.example");
        bench.send(there("/x")).await;
        bench.send(there("/y")).await;
        bench.send(with(method(Method::PUT), "host", "api.example")).await;
        assert_eq!(bench.send(there("/x")).await.into_body(), "1");
        let mut delete = there("/z");
        *delete.method_mut() = Method::DELETE;
        bench.send(delete).await;
        assert_eq!(bench.send(there("/y")).await.into_body(), "2");
    });
}

#[test]
fn location_and_content_location_are_invalid_too_also_where_the_uri_has_the_host() {
    run(async {
        for base in ["", "http://api.example"] {
            let bench = Bench::new(Rfc9111::new(), |call, _| {
                let fields =
                    &[("cache-control", "max-age=60"), ("location", "y"), ("content-location", "/z")];
                Ok(answer(200, fields, &call.to_string()))
            });
            for path in ["/y", "/z"] {
                bench.send(get(&format!("{base}{path}"))).await;
            }
            let mut post = get(&format!("{base}/x"));
            *post.method_mut() = Method::POST;
            bench.send(post).await;
            assert_eq!(bench.send(get(&format!("{base}/y"))).await.into_body(), "4", "{base}");
            assert_eq!(bench.send(get(&format!("{base}/z"))).await.into_body(), "5", "{base}");
        }
    });
}

#[test]
fn head_is_answered_from_a_get_and_never_the_other_way_round() {
    run(async {
        let bench = Bench::saying(Rfc9111::new(), &[("cache-control", "max-age=60")]);
        bench.send(method(Method::HEAD)).await;
        assert_eq!(bench.plain().await.into_body(), "2", "what HEAD brought is not kept");
        let head = bench.send(method(Method::HEAD)).await;
        assert!(head.body().is_empty() && head.headers().contains_key("age"), "{head:?}");
        assert_eq!(bench.calls(), 2);
    });
}

#[test]
fn a_head_brings_a_stored_get_up_to_date_or_leaves_it_alone() {
    run(async {
        let bench = Bench::new(Rfc9111::new(), |call, _| {
            let etag = if call == 3 { "\"b\"" } else { "\"a\"" };
            let fields =
                [("cache-control", "max-age=60"), ("etag", etag), ("x", if call == 1 { "1" } else { "2" })];
            Ok(answer(200, &fields, "body"))
        });
        bench.plain().await;
        bench.wait(61);
        assert_eq!(bench.send(method(Method::HEAD)).await.headers()["x"], "2");
        assert_eq!(bench.last_seen().0, Method::HEAD);
        let stored = bench.plain().await;
        assert_eq!((stored.headers()["x"].to_str().unwrap(), bench.calls()), ("2", 2));
        bench.wait(61);
        bench.send(method(Method::HEAD)).await;
        bench.plain().await;
        assert_eq!(bench.calls(), 4, "a HEAD that shows another answer confirms nothing");
    });
}

#[test]
fn a_head_that_shows_another_answer_makes_the_stored_one_stale() {
    run(async {
        for (name, stored, shown, contradicts) in [
            ("etag", "\"a\"", "\"b\"", true),
            ("last-modified", "Sun, 06 Nov 1994 08:00:00 GMT", "Sun, 06 Nov 1994 08:01:00 GMT", true),
            ("content-length", "4", "5", true),
            ("etag", "\"a\"", "\"a\"", false),
            ("x-other", "1", "2", false),
        ] {
            for status in [200, 404] {
                let bench = Bench::new(Rfc9111::new(), move |_, request| {
                    let is_head = request.method() == Method::HEAD;
                    let value = if is_head { shown } else { stored };
                    let status = if is_head { status } else { 200 };
                    Ok(answer(status, &[("cache-control", "max-age=60"), (name, value)], "body"))
                });
                bench.plain().await;
                bench.send(with(method(Method::HEAD), "cache-control", "no-cache")).await;
                assert_eq!(bench.calls(), 2);
                let after = bench.plain().await;
                let calls = if contradicts && status == 200 { 3 } else { 2 };
                assert_eq!(
                    (bench.calls(), after.status()),
                    (calls, StatusCode::OK),
                    "{name} {shown} {status}"
                );
            }
        }
    });
}

/// 304 to whoever sends the one entity tag there is.
fn validating(call: usize, request: &Request<Full<Bytes>>, extra: &[(&str, &str)]) -> Answer {
    let mut fields = vec![("cache-control", "max-age=10"), ("etag", "\"a\"")];
    let known = request.headers().get("if-none-match").is_some_and(|etag| etag == "\"a\"");
    if known {
        fields.extend_from_slice(extra);
    }
    let (status, body) = if known { (304, String::new()) } else { (200, call.to_string()) };
    Ok(answer(status, &fields, &body))
}

#[test]
fn a_stale_answer_is_confirmed_and_then_fresh_again() {
    run(async {
        let bench = Bench::new(Rfc9111::new(), |call, request| validating(call, request, &[("x", "new")]));
        bench.plain().await;
        bench.wait(11);
        let confirmed = bench.plain().await;
        assert_eq!((confirmed.status(), confirmed.body().as_ref()), (StatusCode::OK, &b"1"[..]));
        assert_eq!(confirmed.headers()["x"], "new");
        assert_eq!(status_of(&confirmed), "tower-gateway; fwd=stale; fwd-status=304; ttl=10; stored");
        assert_eq!(bench.last_seen().1["if-none-match"], "\"a\"");
        bench.wait(9);
        let hit = bench.plain().await;
        assert_eq!(
            (status_of(&hit), hit.headers()["age"].to_str().unwrap()),
            ("tower-gateway; hit; ttl=1", "9")
        );
        assert_eq!(bench.calls(), 2);
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

#[test]
fn a_client_is_told_what_it_has_whoever_confirmed_it() {
    run(async {
        let bench = Bench::new(Rfc9111::new(), |call, request| validating(call, request, &[]));
        // On a miss, the whole is fetched for everybody, and the condition answered from it.
        let first = bench.send(with(get("/x"), "if-none-match", "\"a\"")).await;
        assert_eq!(
            (first.status(), bench.last_seen().1.get("if-none-match")),
            (StatusCode::NOT_MODIFIED, None)
        );
        let other = bench.send(with(get("/x"), "if-none-match", "\"b\"")).await;
        assert_eq!((other.status(), other.body().as_ref()), (StatusCode::OK, &b"1"[..]));
        bench.wait(11);
        let after = bench.send(with(get("/x"), "if-none-match", "\"a\", \"b\"")).await;
        assert_eq!((after.status(), bench.calls()), (StatusCode::NOT_MODIFIED, 2));

        let forwarding = Rfc9111::new().forward_conditions(true);
        let bench = Bench::new(forwarding, |call, request| validating(call, request, &[]));
        let first = bench.send(with(get("/x"), "if-none-match", "\"a\"")).await;
        assert_eq!(first.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(bench.last_seen().1["if-none-match"], "\"a\"");
        assert_eq!(bench.plain().await.into_body(), "2", "nothing was stored of it");
        assert_eq!(bench.plain().await.into_body(), "2");
    });
}

#[test]
fn a_confirmation_that_may_not_be_kept_is_for_the_client_that_asked() {
    run(async {
        let bench = Bench::new(Rfc9111::new(), |call, request| {
            validating(call, request, &[("set-cookie", "for=alice")])
        });
        bench.plain().await;
        bench.wait(11);
        let alice = bench.plain().await;
        assert_eq!(
            (alice.status(), alice.headers()["set-cookie"].to_str().unwrap()),
            (StatusCode::OK, "for=alice")
        );
        bench.wait(1);
        let bob = bench.plain().await;
        assert_eq!((bob.body().as_ref(), bench.calls()), (&b"1"[..], 3), "still stale, asked about again");

        // Once the service says no-store, what was stored is gone.
        let bench = Bench::new(Rfc9111::new(), |call, request| {
            validating(call, request, &[("cache-control", "no-store")])
        });
        bench.plain().await;
        bench.wait(11);
        assert_eq!(bench.plain().await.into_body(), "1");
        assert_eq!(bench.plain().await.into_body(), "3");
    });
}

#[test]
fn a_service_that_fails_is_covered_only_by_leave() {
    run(async {
        let failing = |rules: Rfc9111, value: &'static str, status: Option<u16>| {
            Bench::new(rules, move |call, _| match (call, status) {
                (1, _) => Ok(answer(200, &[("cache-control", value)], "good")),
                (_, Some(status)) => Ok(answer(status, &[], "bad")),
                (_, None) => Err("connection refused".into()),
            })
        };
        let grace = || Rfc9111::new().stale_if_error(Duration::from_secs(60));
        for status in [Some(500), Some(503), None] {
            for (rules, value) in [(grace(), "max-age=1"), (Rfc9111::new(), "max-age=1, stale-if-error=60")] {
                let bench = failing(rules, value, status);
                bench.plain().await;
                bench.wait(2);
                let stale = bench.plain().await;
                assert_eq!((stale.body().as_ref(), bench.calls()), (&b"good"[..], 2), "{status:?} {value}");
                assert_eq!(stale.headers()["age"], "2");
                assert!(status_of(&stale).starts_with("tower-gateway; fwd=stale"), "{}", status_of(&stale));
            }
        }
        for (rules, value) in
            [(Rfc9111::new(), "max-age=1"), (grace(), "max-age=1, must-revalidate"), (grace(), "s-maxage=1")]
        {
            let bench = failing(rules.clone(), value, None);
            bench.plain().await;
            bench.wait(2);
            assert_eq!(
                bench.try_send(get("/x")).await.unwrap_err().to_string(),
                "connection refused",
                "{value}"
            );
            let bench = failing(rules, value, Some(503));
            bench.plain().await;
            bench.wait(2);
            assert_eq!(bench.plain().await.into_body(), "bad", "{value}");
        }
    });
}

#[test]
fn a_stale_answer_is_served_while_one_call_refreshes_it() {
    run(async {
        let bench =
            Bench::saying(Rfc9111::new(), &[("cache-control", "max-age=1, stale-while-revalidate=60")]);
        bench.plain().await;
        bench.wait(2);
        let stale = bench.plain().await;
        assert_eq!((stale.body().as_ref(), status_of(&stale)), (&b"1"[..], "tower-gateway; hit; ttl=-1"));
        tokio::task::yield_now().await;
        assert_eq!((bench.plain().await.into_body(), bench.calls()), (Bytes::from("2"), 2));
    });
}

#[test]
fn the_clients_words_count_and_only_if_cached_is_never_forwarded() {
    run(async {
        let bench = Bench::saying(Rfc9111::new(), &[("cache-control", "max-age=60")]);
        let says = async |value: &str| bench.send(with(get("/x"), "cache-control", value)).await;
        let nothing = says("only-if-cached").await;
        assert_eq!((nothing.status(), bench.calls()), (StatusCode::GATEWAY_TIMEOUT, 0));
        assert_eq!(says("no-store").await.into_body(), "1");
        assert_eq!(says("max-stale").await.into_body(), "2", "no-store kept it out");
        assert_eq!(says("only-if-cached").await.into_body(), "2");
        assert_eq!(says("no-cache").await.into_body(), "3");
        assert_eq!(says("max-age=0").await.into_body(), "4");
        assert_eq!(says("min-fresh=61").await.into_body(), "5");
        assert_eq!(bench.plain().await.into_body(), "5", "what they fetched is for all");
        let deaf =
            Bench::saying(Rfc9111::new().honor_request_directives(false), &[("cache-control", "max-age=60")]);
        deaf.plain().await;
        assert_eq!(deaf.text("cache-control", "no-cache").await, "1");
    });
}

#[test]
fn what_one_client_asks_for_drives_out_nothing_of_the_others() {
    run(async {
        let bench = Bench::new(Rfc9111::new(), |call, request| {
            let failing = request.headers().contains_key("fail");
            let status = if failing { 503 } else { 200 };
            let fields: &[(&str, &str)] = if failing { &[] } else { &[("cache-control", "max-age=60")] };
            Ok(answer(status, fields, &call.to_string()))
        });
        bench.plain().await;
        for name in ["authorization", "cookie", "fail"] {
            let reload = with(with(get("/x"), name, "x"), "cache-control", "no-cache");
            assert_ne!(bench.send(reload).await.into_body(), "1", "{name}");
            assert_eq!(bench.plain().await.into_body(), "1", "{name}");
        }
    });
}

#[test]
fn a_get_with_a_body_neither_fills_the_cache_nor_is_answered_from_it() {
    run(async {
        for (name, value) in [("content-length", "3"), ("transfer-encoding", "chunked")] {
            let bench = Bench::saying(Rfc9111::new(), &[("cache-control", "max-age=60")]);
            assert_eq!(bench.text(name, value).await, "1");
            assert_eq!(bench.text("content-length", "0").await, "2", "{name}");
            assert_eq!(bench.text(name, value).await, "3");
            assert_eq!(bench.plain().await.into_body(), "2", "{name}");
        }
    });
}

#[test]
fn a_range_is_cut_from_what_is_stored_and_passes_by_otherwise() {
    run(async {
        let bench = Bench::new(Rfc9111::new(), |_, request| {
            let part = request.headers().contains_key("range");
            let (status, body) = if part { (206, "from the service") } else { (200, "0123456789") };
            Ok(answer(status, &[("cache-control", "max-age=60")], body))
        });
        let range = async |value: &str| bench.send(with(get("/x"), "range", value)).await;
        assert_eq!(range("bytes=0-1").await.into_body(), "from the service");
        assert_eq!(bench.plain().await.into_body(), "0123456789", "a part is never taken for the whole");
        let part = range("bytes=-3").await;
        assert_eq!((part.status(), part.body().as_ref()), (StatusCode::PARTIAL_CONTENT, &b"789"[..]));
        assert_eq!(part.headers()["content-range"], "bytes 7-9/10");
        assert_eq!(range("bytes=10-").await.status(), StatusCode::RANGE_NOT_SATISFIABLE);
        assert_eq!(range("bytes=0-1,4-5").await.into_body(), "0123456789");
        assert_eq!(bench.calls(), 2);
    });
}

#[test]
fn vary_never_crosses() {
    run(async {
        let bench = Bench::saying(
            Rfc9111::new(),
            &[("cache-control", "max-age=60"), ("vary", "Accept-Language, Foo")],
        );
        let ask = async |language: &str, foo: &str| {
            bench.send(with(with(get("/x"), "accept-language", language), "foo", foo)).await.into_body()
        };
        assert_eq!(ask("en, de", "1").await, "1");
        assert_eq!(ask("en,de", "1").await, "1");
        assert_eq!(ask("de, en", "1").await, "2");
        assert_eq!(ask("en, de", "2").await, "3");
        assert_eq!(ask("en, de", "1").await, "1", "the others did not drive it out");
        assert_eq!(bench.text("accept-language", "en, de").await, "4");
        let any = Bench::saying(Rfc9111::new(), &[("cache-control", "max-age=60"), ("vary", "foo, *")]);
        any.plain().await;
        assert_eq!(any.plain().await.into_body(), "2");
    });
}

#[test]
fn every_answer_says_what_the_cache_did() {
    run(async {
        let bench = Bench::new(Rfc9111::new(), |_, request| {
            let value = if request.uri().path() == "/private" { "private" } else { "max-age=60" };
            Ok(answer(200, &[("cache-control", value), ("cache-status", "inner; hit")], ""))
        });
        let status = async |request| {
            let answer = bench.send(request).await;
            let all = answer.headers().get_all("cache-status").iter();
            all.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(status(get("/x")).await, ["inner; hit", "tower-gateway; fwd=uri-miss; ttl=60; stored"]);
        assert_eq!(status(get("/x")).await, ["inner; hit", "tower-gateway; hit; ttl=60"]);
        assert_eq!(status(get("/private")).await[1], "tower-gateway; fwd=uri-miss; detail=private");
        assert_eq!(status(method(Method::POST)).await[1], "tower-gateway; fwd=method");
        let silent = Bench::saying(Rfc9111::new().cache_status(false), &[("cache-control", "max-age=60")]);
        assert!(!silent.plain().await.headers().contains_key("cache-status"));
    });
}

#[test]
fn why_the_service_was_asked_is_told_as_rfc_9211_means_it() {
    run(async {
        let says = async |bench: &Bench, name: &str, value: &str| {
            status_of(&bench.send(with(get("/x"), name, value)).await).to_owned()
        };
        let fields = &[("cache-control", "max-age=60"), ("etag", "\"a\"")];
        for validators in [&fields[..1], &fields[..]] {
            let bench = Bench::saying(Rfc9111::new(), validators);
            assert_eq!(
                says(&bench, "cache-control", "only-if-cached").await,
                "tower-gateway; detail=only-if-cached"
            );
            assert_eq!(says(&bench, "range", "bytes=0-1").await, "tower-gateway; fwd=uri-miss; detail=range");
            bench.plain().await;
            bench.wait(1);
            for (name, value) in [
                ("cache-control", "no-cache"),
                ("cache-control", "max-age=0"),
                ("cache-control", "min-fresh=100"),
                ("pragma", "no-cache"),
            ] {
                assert_eq!(
                    says(&bench, name, value).await,
                    "tower-gateway; fwd=request; ttl=60; stored",
                    "{value}"
                );
            }
            bench.wait(61);
            assert_eq!(
                says(&bench, "cache-control", "no-cache").await,
                "tower-gateway; fwd=stale; ttl=60; stored"
            );
            bench.wait(61);
            let range = says(&bench, "range", "bytes=0-1").await;
            assert!(range.starts_with("tower-gateway; fwd=stale"), "{range}");
        }
        // A confirmation is no sign that what was stored had been stale.
        let bench = Bench::new(Rfc9111::new(), |call, request| validating(call, request, &[]));
        bench.plain().await;
        let told = says(&bench, "cache-control", "no-cache").await;
        assert_eq!(told, "tower-gateway; fwd=request; fwd-status=304; ttl=10; stored");
        let silent = Bench::saying(Rfc9111::new().cache_status(false), fields);
        let refused = silent.send(with(get("/x"), "cache-control", "only-if-cached")).await;
        assert!(!refused.headers().contains_key("cache-status"));
    });
}

#[test]
fn a_stored_answer_has_a_date() {
    run(async {
        let bench = Bench::saying(Rfc9111::new(), &[("cache-control", "max-age=60")]);
        bench.plain().await;
        bench.wait(5);
        let hit = bench.plain().await;
        assert_eq!(hit.headers()["date"], "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(hit.headers()["age"], "5");
    });
}

/// What a hit costs in all, with `Age` and `Cache-Status`, over one of the same service in AWS mode.
#[test]
fn a_hit_allocates_no_more_than_its_two_fields() {
    run(async {
        let fields = &[("cache-control", "max-age=60"), ("etag", "\"a\""), ("content-type", "text/plain")];
        let bench = Bench::saying(Rfc9111::new(), fields);
        bench.plain().await;
        let mut service = bench.service.clone();
        let mut count = 0;
        for _ in 0..3 {
            let request = get("/x");
            let future =
                async { std::hint::black_box(service.ready().await.unwrap().call_ready(request).await) };
            let mut future = std::pin::pin!(future);
            let used = allocation_counter::measure(|| {
                let waker = std::task::Waker::noop();
                assert!(future.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_ready());
            });
            count = used.count_total;
        }
        println!("allocations of a hit: {count}");
        assert!(count <= 9, "{count}");
    });
}

trait CallReady {
    async fn call_ready(&mut self, request: Request<Full<Bytes>>) -> Response<GatewayBody<Full<Bytes>>>;
}

impl CallReady for Service {
    async fn call_ready(&mut self, request: Request<Full<Bytes>>) -> Response<GatewayBody<Full<Bytes>>> {
        tower::Service::call(self, request).await.unwrap()
    }
}
