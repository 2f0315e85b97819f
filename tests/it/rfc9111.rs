//! The RFC 9111 mode through the layer: who gets whose answer, and when the service is asked.
#![allow(unreachable_pub, reason = "modules of one test")]

mod bench;
mod changes;
mod waiting;

use crate::support::{get, run};
use bench::{Answer, Bench, Service, answer, method, status_of, with};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use std::time::Duration;
use tower::ServiceExt;
use tower_gateway::{
    GatewayBody,
    cache::rfc::{Rfc9111, SetCookie},
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

/// What a service has no longer is not asked about again: once more to the client that asked, and then the new one.
#[test]
fn a_304_with_another_entity_tag_ends_what_is_stored() {
    run(async {
        let bench = Bench::new(Rfc9111::new(), |call, request| {
            let known = request.headers().get("if-none-match");
            let fields =
                |etag| [("cache-control", "max-age=10"), ("vary", "accept-language"), ("etag", etag)];
            Ok(match known {
                Some(etag) if etag == "\"fr\"" => answer(304, &fields("\"fr\""), ""),
                Some(_) => answer(304, &fields("\"b\""), ""),
                None if call == 1 => answer(200, &fields("\"fr\""), "bonjour"),
                None => answer(200, &fields(if call == 2 { "\"a\"" } else { "\"b\"" }), &call.to_string()),
            })
        });
        bench.text("accept-language", "fr").await;
        assert_eq!(bench.text("accept-language", "de").await, "2");
        bench.wait(11);
        assert_eq!(bench.text("accept-language", "de").await, "2", "the call's answer has no body");
        assert_eq!(bench.text("accept-language", "de").await, "4");
        assert_eq!(bench.text("accept-language", "de").await, "4");
        assert_eq!(
            bench.text("accept-language", "fr").await,
            "bonjour",
            "another answer of the same resource"
        );
        assert_eq!((bench.calls(), bench.last_seen().1["if-none-match"].to_str().unwrap()), (5, "\"fr\""));
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

/// The refresh is the cache's own: one for all, and of what is stored.
#[test]
fn many_heads_on_a_stale_answer_refresh_it_once() {
    run(async {
        let bench =
            Bench::saying(Rfc9111::new(), &[("cache-control", "max-age=1, stale-while-revalidate=60")]);
        bench.plain().await;
        bench.wait(2);
        for _ in 0..10 {
            assert_eq!(status_of(&bench.send(method(Method::HEAD)).await), "tower-gateway; hit; ttl=-1");
        }
        tokio::task::yield_now().await;
        assert_eq!((bench.calls(), bench.last_seen().0), (2, Method::GET));
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
        bench.wait(11);
        let head = bench.send(method(Method::HEAD)).await;
        assert_eq!(status_of(&head), "tower-gateway; fwd=stale; fwd-status=304; ttl=10; stored");
        let bench = Bench::saying(Rfc9111::new(), fields);
        bench.plain().await;
        bench.wait(61);
        let head = bench.send(method(Method::HEAD)).await;
        assert_eq!(status_of(&head), "tower-gateway; fwd=stale; fwd-status=200; ttl=60; stored");
        // The store was not asked.
        let with_body = Request::get("/x").body(Full::from("which")).unwrap();
        assert_eq!(status_of(&bench.send(with_body).await), "tower-gateway; fwd=bypass; detail=request-body");
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
