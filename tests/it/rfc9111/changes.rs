//! Unsafe methods: never answered from the store, and what they make invalid.

use super::*;
use tower_gateway::route::{ApiMethod, CacheKey, Routes};

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
