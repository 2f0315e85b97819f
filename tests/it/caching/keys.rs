//! Requests that the service would tell apart never share an entry.

use super::*;
use crate::support::{get, run};
use http::Method;
use proptest::prelude::*;
use tower_gateway::{
    cache::Purge,
    context::RequestContextLayer,
    route::{ApiMethod, CacheKey, Routes},
};

/// Answers with its target, so that an answer to another one shows.
fn echo() -> Origin {
    Origin::sync(|request, _| {
        let hosts: Vec<_> =
            request.headers().get_all("host").iter().map(|host| format!("{host:?}")).collect();
        let own: Vec<_> = request.headers().get_all("x-own").iter().map(|own| format!("{own:?}")).collect();
        answer(format!("{} {hosts:?} {own:?}", request.uri()))
    })
}

#[test]
fn encodings_order_and_case_are_told_apart() {
    let variants = [
        "/a",
        "/A",
        "/a/",
        "//a",
        "/%61",
        "/%41",
        "/a%2f",
        "/a%2F",
        "/a?",
        "/a?x",
        "/a?x=",
        "/a?x=1",
        "/a?X=1",
        "/a?x=%31",
        "/a?x=1&y=2",
        "/a?y=2&x=1",
        "/a?x=1&x=2",
        "/a?x=2&x=1",
        "/a?x=1;y=2",
        "/a?x=1&y=2&",
        "/a?x=+",
        "/a?x=%20",
        "http://one/a",
        "http://two/a",
    ];
    run(async {
        let origin = echo();
        let (service, cache, _) = cached(&origin, |cache| cache);
        for _ in 0..2 {
            for uri in variants {
                assert!(text(&service, uri).await.starts_with(&get(uri).uri().to_string()), "{uri}");
            }
        }
        assert_eq!(origin.calls(), variants.len());
        assert_eq!(cache.usage().keys, variants.len() as u64);
        for host in ["three", "three:80", "[::1]", ""] {
            assert!(
                said(ask(&service, get_with("/a", &[("host", host)])).await)
                    .contains(&format!("[\"\\\"{host}\\\"\"]"))
            );
        }
    });
}

#[test]
fn one_host_is_one_however_it_is_written() {
    run(async {
        let asked = |uri: &str, hosts: &[&str]| {
            let fields: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            get_with(uri, &fields)
        };
        let same: [(&str, &[&str]); 7] = [
            ("/a", &["x.test"]),
            ("/a", &["X.Test"]),
            ("/a", &["x.test", "x.test"]),
            ("http://x.test/a", &[]),
            ("http://X.TEST:80/a", &[]),
            ("https://x.test:443/a", &["x.test"]),
            ("http://x.test/a", &["x.test:80"]),
        ];
        let (origin, other) = (echo(), echo());
        let (service, _, _) = cached(&origin, |cache| cache);
        for (uri, hosts) in same {
            ask(&service, asked(uri, hosts)).await;
            assert_eq!(origin.calls(), 1, "{uri} {hosts:?}");
        }
        // Whoever says two things is told apart from everybody: the service may look at either.
        let different: [(&str, &[&str]); 10] = [
            ("/a", &["x.test"]),
            ("/a", &["x.test:80"]),
            ("/a", &["x.test:443"]),
            ("http://x.test:8080/a", &[]),
            ("http://x.test/a", &["evil.test"]),
            ("http://evil.test/a", &["x.test"]),
            ("/a", &["x.test", "evil.test"]),
            ("/a", &["evil.test", "x.test"]),
            ("/a", &["", "x.test", "evil.test"]),
            ("http://u@x.test/a", &[]),
        ];
        let (service, _, _) = cached(&other, |cache| cache);
        for (uri, hosts) in different.iter().chain(&different) {
            ask(&service, asked(uri, hosts)).await;
        }
        assert_eq!(other.calls(), different.len());
    });
}

#[test]
fn a_parameter_is_found_in_every_disguise() {
    // What some service may read as `zone`, so it is never taken for "no zone".
    let disguises = [
        "zone=a",
        "Zone=a",
        "ZONE=a",
        "%7Aone=a",
        "z%6Fne=a",
        "zone=a&zone=b",
        "zone=b&zone=a",
        "zone",
        "zone=",
        "x;zone=a",
        "zone=a;b",
        "zone=a;c",
        "zone=%61",
    ];
    run(async {
        let origin = echo();
        let (service, _, _) = cached(&origin, |cache| cache.key(CacheKey::new().query("zone")));
        for query in disguises.iter().chain(&["other=a"]) {
            let uri = format!("/?{query}");
            assert!(text(&service, &uri).await.starts_with(&uri), "{query}");
        }
        assert_eq!(origin.calls(), disguises.len() + 1);
        // What no service reads as `zone`.
        for same in ["", "?zon=e", "?zone1=a", "?a=zone", "?%5A%6Fn=e", "?%zone=a", "?zone%=a"] {
            text(&service, &format!("/{same}")).await;
        }
        assert_eq!(origin.calls(), disguises.len() + 1);
    });
}

#[test]
fn values_do_not_run_into_each_other() {
    run(async {
        let origin = echo();
        let name = http::HeaderName::from_static("x-own");
        let key = CacheKey::new().query("a").query("b").header(name);
        let (service, _, _) = cached(&origin, |cache| cache.key(key));
        let asked = [
            get("/?a=1&b="),
            get("/?a=&b=1"),
            get("/?a=1"),
            get("/?b=1"),
            get("/?a=1b"),
            get("/?a=b%3D1"),
            get_with("/", &[("x-own", "1"), ("x-own", "2")]),
            get_with("/", &[("x-own", "1, 2")]),
            get_with("/", &[("x-own", "12")]),
            get_with("/", &[("x-own", "")]),
            get("/"),
        ];
        let count = asked.len();
        for request in asked {
            ask(&service, request).await;
        }
        assert_eq!(origin.calls(), count);
    });
}

#[test]
fn only_declared_is_aws_s_key() {
    run(async {
        let origin = echo();
        let routes = Routes::builder()
            .method(
                "/pets/{id}",
                Method::GET,
                ApiMethod::new().cache_key(CacheKey::only_declared().path("id")),
            )
            .method("/all/{proxy+}", Method::GET, ApiMethod::new().cache_key(CacheKey::only_declared()))
            .build()
            .unwrap();
        let (_, cache, _) = cached(&origin, |cache| cache);
        let service = CacheLayer::new(cache).routes(&routes).layer(origin.clone());
        assert!(text(&service, "/pets/1?x=1").await.starts_with("/pets/1?x=1"));
        assert!(text(&service, "/pets/1?x=2").await.starts_with("/pets/1?x=1"));
        assert!(text(&service, "/pets/2").await.starts_with("/pets/2"));
        assert!(text(&service, "/all/a/b?x").await.starts_with("/all/a/b?x"));
        assert!(text(&service, "/all/c").await.starts_with("/all/a/b?x"));
        assert_eq!(origin.calls(), 3);
    });
}

#[test]
fn services_share_only_under_one_name() {
    run(async {
        let (one, other) = (Origin::sync(|_, _| answer("one")), Origin::sync(|_, _| answer("other")));
        let (service, cache, _) = cached(&one, |cache| cache);
        let layer = CacheLayer::new(cache);
        assert_eq!(text(&service, "/").await, "one");
        assert_eq!(text(&layer.layer(other.clone()), "/").await, "other");
        assert_eq!(text(&layer.clone().layer(one.clone()), "/").await, "other", "a clone is the same layer");
        let named = layer.namespace("n");
        assert_eq!(text(&named.layer(one.clone()), "/").await, "one");
        assert_eq!(text(&named.layer(other), "/").await, "one");
        assert_eq!(text(&service, "/").await, "one");
    });
}

proptest! {
    /// Whatever two requests look like, the second is never answered with the first's answer, unless they are equal.
    #[test]
    fn no_two_targets_share(
        one in ("/[a%2-3/]{0,6}", proptest::option::of("[zone=&;+%41a-b]{0,12}"), "[a-b]{0,2}"),
        other in ("/[a%2-3/]{0,6}", proptest::option::of("[zone=&;+%41a-b]{0,12}"), "[a-b]{0,2}"),
    ) {
        run(async {
            let origin = echo();
            let (service, _, _) = cached(&origin, |cache| cache);
            for (path, query, own) in [&one, &other, &one] {
                let uri = query.as_ref().map_or(path.clone(), |query| format!("{path}?{query}"));
                let Ok(uri) = uri.parse::<http::Uri>() else { continue };
                let said = said(ask(&service, get_with(&uri.to_string(), &[("host", own)])).await);
                assert_eq!(said, format!("{uri} [\"\\\"{own}\\\"\"] []"));
            }
        });
    }
}

/// A key of nothing but a path variable, behind something that has taken a slash off, where the path as received has no
/// end in common with the one that was routed; where no route was matched; and where the key is another method's.
#[test]
fn a_path_variable_without_a_value_is_not_left_out_of_the_key() {
    let routes = |path: &str| {
        let key = CacheKey::only_declared().path("id");
        Routes::builder().method(path, Method::GET, ApiMethod::new().cache_key(key)).build()
    };
    let trimmed = |mut request: Ask| {
        let path = request.uri().path().trim_end_matches('/').to_owned();
        *request.uri_mut() = path.parse().unwrap();
        request
    };
    run(async {
        let origin = echo();
        let cache = Cache::builder().key(CacheKey::only_declared().path("id")).build().unwrap();
        let layer = CacheLayer::new(cache.clone()).routes(&routes("/pets/{id}").unwrap());
        let service = RequestContextLayer::new()
            .layer(tower::util::MapRequestLayer::new(trimmed).layer(layer.layer(origin.clone())));
        let told = |path: &str| {
            let answer = service.clone().oneshot(get(path));
            async { answer.await.unwrap().into_body().collect().await.unwrap().to_bytes() }
        };
        for (path, calls) in [
            ("/pets/1/", 1),
            ("/pets/2/", 2),
            ("/pets/1/", 2),
            // The path as received and the one of the route agree: one and the same pet.
            ("/pets/1", 2),
            ("/dogs/1", 3),
            ("/dogs/2", 4),
            ("/dogs/1", 4),
            ("/dogs/1/", 5),
        ] {
            assert!(told(path).await.starts_with(path.trim_end_matches('/').as_bytes()), "{path}");
            assert_eq!(origin.calls(), calls, "{path}");
        }
        assert_eq!(cache.purge(&Purge::all().path_parameter("id", "1")), 1);
    });
    let unknown = routes("/pets/{pet}").unwrap_err();
    assert_eq!((unknown.location(), unknown.value()), ("cache key path variable", "id"));
}

/// RFC 9110 section 7.6.1: a proxy inside takes off what `Connection` lists.
#[test]
fn a_field_that_the_service_may_not_see_stores_nothing_for_those_that_it_sees() {
    use tower_gateway::cache::{
        NoCacheReason,
        rfc::{Rfc9111, hop_by_hop_fields},
    };
    run(async {
        for declares in [true, false] {
            let origin = Origin::sync(|mut request, call| {
                for name in hop_by_hop_fields(request.headers()) {
                    request.headers_mut().remove(name);
                }
                let language = request.headers().get("accept-language");
                let language = language.map_or("none", |value| value.to_str().unwrap());
                let answer = with(answer(format!("{language} {call}")), "cache-control", "max-age=60");
                with(answer, "vary", "accept-language")
            });
            let (service, cache, _) = cached(&origin, |cache| match declares {
                true => cache.key(CacheKey::new().header(http::header::ACCEPT_LANGUAGE)),
                false => cache.rfc9111(Rfc9111::new()),
            });
            let asked = async |connection: &str| {
                let fields = [("accept-language", "fr"), ("connection", connection)];
                said(ask(&service, get_with("/", &fields)).await)
            };
            assert_eq!(asked("close, Accept-Language").await, "none 1");
            assert_eq!(asked("keep-alive").await, "fr 2");
            assert_eq!(asked("close, Accept-Language").await, "none 3", "nor is it answered from the cache");
            assert_eq!(asked("te, trailer").await, "fr 2");
            assert_eq!(cache.stats().missed(NoCacheReason::RequestDirective), 2);
        }
    });
}
