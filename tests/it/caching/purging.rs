//! Purges: by key, method, stage and tag, soft and hard, also while an answer is on its way; encryption at rest.

use super::*;
use crate::support::{get, run};
use http::Method;
use std::sync::{OnceLock, atomic::AtomicBool, mpsc};
use tower_gateway::{
    cache::{
        CacheStore, MemoryCacheStore, NoCacheReason, Purge, StoreKey, StoreUsage, StoredKey, StoredValue,
    },
    route::{ApiMethod, CacheKey, Routes},
};

fn tagged() -> Origin {
    Origin::sync(|request, call| {
        let path = request.uri().path().to_owned();
        let answer = with(answer(format!("call {call}")), "surrogate-key", &format!("all {path}"));
        with(answer, "cache-tag", "x, y z")
    })
}

#[test]
fn entries_go_by_path_query_method_and_tag() {
    run(async {
        let purges = [
            (Purge::all().path("/a"), 2),
            (Purge::all().path("/a").query(Some("q=1")), 1),
            (Purge::all().path("/a").query(None), 1),
            (Purge::all().method(&Method::GET), 3),
            (Purge::all().method(&Method::POST), 0),
            (Purge::all().stage("prod"), 0),
            (Purge::all().stage(""), 3),
            (Purge::all().tag("/b"), 1),
            (Purge::all().tag("all"), 3),
            (Purge::all().tag("y z").path("/b"), 1),
            (Purge::all().tag("y"), 0),
            (Purge::all(), 3),
        ];
        for (purge, count) in purges {
            let origin = tagged();
            let (service, cache, _) = cached(&origin, |cache| cache);
            for uri in ["/a", "/a?q=1", "/b"] {
                text(&service, uri).await;
            }
            assert_eq!(cache.purge(&purge), count, "{purge:?}");
            assert_eq!(cache.usage().keys, 3 - count);
            for uri in ["/a", "/a?q=1", "/b"] {
                text(&service, uri).await;
            }
            assert_eq!(origin.calls() as u64, 3 + count, "{purge:?}");
        }
    });
}

#[test]
fn entries_go_by_declared_parameter_and_resource() {
    run(async {
        let origin = tagged();
        let key = CacheKey::only_declared().query("zone");
        let routes = Routes::builder()
            .method("/t/{id}", Method::GET, ApiMethod::new().cache_key(key))
            .build()
            .unwrap();
        let (_, cache, _) = cached(&origin, |cache| cache);
        let service = CacheLayer::new(cache.clone()).routes(&routes).layer(origin.clone());
        for uri in ["/t/1?zone=a", "/t/1?zone=ab", "/t/2"] {
            text(&service, uri).await;
        }
        assert_eq!(cache.purge(&Purge::all().resource("/t/{id}").query_parameter("zone", "a")), 1);
        assert_eq!(cache.purge(&Purge::all().resource("/t")), 0);
        assert_eq!(cache.purge(&Purge::all().resource("/t/{id}")), 2);
    });
}

#[test]
fn one_entry_goes_by_whatever_its_key_has() {
    use tower_gateway::context::PrincipalLayer;
    let (language, cookie) = (http::header::ACCEPT_LANGUAGE, http::header::COOKIE);
    let value = http::HeaderValue::from_static;
    let keys = [
        (CacheKey::only_declared().path("id"), Purge::all().path_parameter("id", "7"), 1),
        (CacheKey::only_declared().path("id"), Purge::all().path_parameter("id", "77"), 0),
        (CacheKey::only_declared().path("id"), Purge::all().path_parameter("other", "7"), 0),
        (CacheKey::new(), Purge::all().host("A.test"), 1),
        (CacheKey::new(), Purge::all().host("a.tes"), 0),
        (CacheKey::new(), Purge::all().path("/pets/7").host("b.test"), 0),
        (CacheKey::only_declared().header(language.clone()), Purge::all().header(&language, &value("de")), 1),
        (CacheKey::only_declared().header(language.clone()), Purge::all().header(&language, &value("d")), 0),
        (CacheKey::new().header(cookie.clone()), Purge::all().header(&cookie, &value("c=1")), 1),
        (CacheKey::new().header(cookie.clone()), Purge::all().header(&cookie, &value("c=3")), 0),
        (CacheKey::new(), Purge::all().principal("ada"), 1),
        (CacheKey::new(), Purge::all().principal("ad"), 0),
        (CacheKey::new(), Purge::all().api_key("ada"), 0),
    ];
    run(async {
        for (key, purge, count) in keys {
            let origin = Origin::counting();
            let routes = Routes::builder()
                .method("/pets/{id}", Method::GET, ApiMethod::new().cache_key(key.clone()))
                .build()
                .unwrap();
            let (_, cache, _) = cached(&origin, |cache| cache);
            let layer = CacheLayer::new(cache.clone()).routes(&routes);
            let named =
                PrincipalLayer::new(|head| Some(head.headers.get("x-user")?.to_str().ok()?.to_owned()));
            let service = named.layer(layer.layer(origin.clone()));
            let has_cookie = key.clone() == CacheKey::new().header(cookie.clone());
            for (id, host, language, cookie, user) in
                [("7", "a.test", "de", "c=1", "ada"), ("8", "b.test", "en", "c=2", "bob")]
            {
                let uri = format!("/pets/{id}");
                let mut fields = vec![("host", host), ("accept-language", language), ("x-user", user)];
                fields.extend(has_cookie.then_some(("cookie", cookie)));
                drop(service.clone().oneshot(get_with(&uri, &fields)).await.unwrap());
            }
            assert_eq!(cache.usage().keys, 2, "{key:?}");
            assert_eq!(cache.purge(&purge), count, "{key:?} {purge:?}");
            assert_eq!(cache.usage().keys, 2 - count);
        }
    });
}

#[test]
fn a_soft_purge_keeps_what_is_not_served() {
    run(async {
        let origin = tagged();
        let (service, cache, _) = cached(&origin, |cache| cache);
        text(&service, "/a").await;
        assert_eq!(cache.purge(&Purge::all().softly()), 1);
        assert_eq!(cache.usage().keys, 1);
        assert_eq!(text(&service, "/a").await, "call 2");
        assert_eq!(text(&service, "/a").await, "call 2");
        assert_eq!(cache.stats().missed(NoCacheReason::Expired), 1);
    });
}

#[test]
fn tags_are_stripped_by_setting_from_every_answer() {
    run(async {
        for strip in [false, true] {
            let origin = tagged();
            let (service, cache, _) = cached(&origin, |cache| cache.strip_tags(strip));
            for request in [get("/"), get("/"), request("POST", "/", &[]), get_with("/", &[("cookie", "c")])]
            {
                let answer = ask(&service, request).await;
                assert_eq!(answer.headers().len(), if strip { 0 } else { 2 });
            }
            assert_eq!(cache.purge(&Purge::all().tag("x")), 1);
        }
    });
}

/// Confirms what it said before, with the fields of now.
fn confirming(fields: fn(usize) -> &'static [(&'static str, &'static str)]) -> Origin {
    Origin::sync(move |request, call| {
        let known = request.headers().contains_key("if-none-match");
        let answer =
            with(status(answer(format!("call {call}")), if known { 304 } else { 200 }), "etag", "\"a\"");
        let answer = with(answer, "cache-control", "max-age=10");
        fields(call).iter().fold(answer, |answer, (name, value)| with(answer, name, value))
    })
}

#[test]
fn no_tag_is_too_many_or_too_odd_to_be_purged_by() {
    run(async {
        let origin = Origin::sync(|_, call| {
            let many: Vec<String> = (0..300).map(|number| format!("p{number}")).collect();
            let mut answer = with(answer(format!("call {call}")), "surrogate-key", &many.join(" "));
            let odd = http::HeaderValue::from_bytes(b"caf\xc3\xa9, pet-7").unwrap();
            answer.headers_mut().insert("cache-tag", odd);
            answer
        });
        let (service, cache, _) = cached(&origin, |cache| cache);
        for tag in ["p0", "p255", "p256", "p299", "caf\u{e9}", "pet-7"] {
            text(&service, "/").await;
            assert_eq!(cache.purge(&Purge::all().tag(tag)), 1, "{tag}");
        }
        assert_eq!(origin.calls(), 6);
    });
}

/// RFC 9111 section 3.2: the fields of a confirmation take the place of the stored ones.
#[test]
fn the_tags_of_a_confirmation_count() {
    run(async {
        for (method, strip) in [("GET", false), ("GET", true), ("HEAD", false), ("HEAD", true)] {
            for (tag, count) in [("new", 1), ("old", 0), ("kept", 1)] {
                let origin = confirming(|call| match call {
                    1 => &[("surrogate-key", "old"), ("cache-tag", "kept")],
                    _ => &[("surrogate-key", "new")],
                });
                let rules = tower_gateway::cache::rfc::Rfc9111::new();
                let (service, cache, clock) = cached(&origin, |cache| cache.rfc9111(rules).strip_tags(strip));
                text(&service, "/").await;
                clock.advance(11 * SECOND);
                ask(&service, request(method, "/", &[])).await;
                assert_eq!(text(&service, "/").await, "call 1");
                assert_eq!(
                    (origin.calls(), cache.purge(&Purge::all().tag(tag))),
                    (2, count),
                    "{method} {tag}"
                );
            }
        }
    });
}

/// A service's middleware writes them to every answer, confirmations included.
#[test]
fn a_confirmation_brings_nobody_the_tags_or_the_trace_of_another() {
    run(async {
        for method in ["GET", "HEAD"] {
            let origin = confirming(|_| {
                &[
                    ("surrogate-key", "a"),
                    ("cache-tag", "b"),
                    ("x-amzn-trace-id", "Root=1-67891233-abcdef012345678912345678"),
                ]
            });
            let rules = tower_gateway::cache::rfc::Rfc9111::new();
            let (service, cache, clock) = cached(&origin, |cache| cache.rfc9111(rules).strip_tags(true));
            for method in ["GET", "GET", method, "GET"] {
                let answer = ask(&service, request(method, "/", &[])).await;
                for name in ["surrogate-key", "cache-tag"] {
                    assert!(!answer.headers().contains_key(name), "{method} {name}");
                }
                clock.advance(6 * SECOND);
            }
            assert_eq!(origin.calls(), 2);
            let confirmed = ask(&service, get("/")).await;
            assert!(!confirmed.headers().contains_key("x-amzn-trace-id"), "the trace of who asked before");
            assert_eq!(cache.purge(&Purge::all().tag("b")), 1);
        }
    });
}

/// The answer is on its way while something is purged: before its head (pause 1) or within its body.
#[test]
fn what_is_on_its_way_when_a_purge_comes_is_not_stored() {
    for during_body in [false, true] {
        for (purge, hits) in
            [(Purge::all().path("/a"), true), (Purge::all().tag("t"), true), (Purge::all().path("/b"), false)]
        {
            run(async {
                let origin = Origin::new(|_, call| async move {
                    pauses(9).await;
                    let head = with(answer(""), "surrogate-key", "t");
                    let body = if call == 1 { Steps::slow(&["old"]) } else { Steps::slow(&["new"]) };
                    Ok(head.map(|_| body))
                });
                let (service, cache, _) = cached(&origin, |cache| cache);
                let mut leader = Box::pin(send(&service, get("/a")));
                assert!(poll_some(&mut leader).await.is_pending());
                if !during_body {
                    cache.purge(&purge);
                }
                let answer = leader.await.unwrap();
                if during_body {
                    cache.purge(&purge);
                }
                assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "old");
                assert_eq!(
                    text(&service, "/a").await,
                    if hits { "new" } else { "old" },
                    "{purge:?} {during_body}"
                );
                assert_eq!(cache.stats().not_stored(NoCacheReason::Superseded), u64::from(hits));
            });
        }
    }
}

#[test]
fn an_invalidation_overtakes_the_call_before_it() {
    run(async {
        let origin = Origin::new(|_, call| async move {
            pauses(if call == 1 { 50 } else { 0 }).await;
            Ok(answer(format!("call {call}")))
        });
        let settings = tower_gateway::route::CacheSettings::new().require_authorization(false);
        let (service, cache, _) = cached(&origin, |cache| cache.settings(settings));
        let mut slow = Box::pin(ask(&service, get("/")));
        assert!(poll_some(&mut slow).await.is_pending());
        assert_eq!(said(ask(&service, get_with("/", &[("cache-control", "max-age=0")])).await), "call 2");
        assert_eq!(said(slow.await), "call 1");
        assert_eq!(text(&service, "/").await, "call 2");
        assert_eq!(cache.stats().not_stored(NoCacheReason::Superseded), 1);
    });
}

#[cfg(feature = "cache-encryption")]
#[test]
fn encrypted_entries_are_served_until_their_key_is_retired() {
    use tower_gateway::{cache::EncryptionKeys, route::CacheSettings};
    run(async {
        let origin = Origin::sync(|_, call| {
            let mut answer = with(answer(format!("call {call}")), "x-own", "1");
            *answer.body_mut() = Steps(
                [
                    Ok(Frame::data(Bytes::from(format!("call {call}")))),
                    Ok(Frame::trailers(answer.headers().clone())),
                ]
                .into_iter()
                .map(Some)
                .collect(),
            )
            .boxed_unsync();
            answer
        });
        let keys = EncryptionKeys::new(&[3; 32]).unwrap();
        let settings = CacheSettings::new().data_encrypted(true);
        let (service, cache, _) = cached(&origin, |cache| cache.settings(settings).encryption(keys.clone()));
        text(&service, "/").await;
        keys.rotate(&[4; 32]).unwrap();
        let answer = send(&service, get("/")).await.unwrap();
        assert_eq!(answer.headers()["x-own"], "1");
        let body = answer.into_body().collect().await.unwrap();
        assert_eq!(
            (body.trailers().map(http::HeaderMap::len), body.to_bytes()),
            (Some(1), Bytes::from("call 1"))
        );
        keys.retire_old();
        assert_eq!(text(&service, "/").await, "call 2");
        assert_eq!(text(&service, "/").await, "call 2");
        assert_eq!(cache.stats().missed(NoCacheReason::Sealed), 1);
        assert_eq!(cache.stats().count(tower_gateway::cache::CacheStatus::Hit), 2);
    });
}

/// Has everything purged by another thread just before something is put in, and waits for that for a while.
#[derive(Debug)]
struct Purged {
    memory: MemoryCacheStore,
    cache: Arc<OnceLock<Cache>>,
    came_too_late: Arc<AtomicBool>,
}

impl CacheStore for Purged {
    as_memory!(get, remove, retain, usage);

    fn insert(&self, key: &StoredKey, value: StoredValue) -> bool {
        if let Some(cache) = self.cache.get().cloned() {
            let (done, purged) = mpsc::channel();
            std::thread::spawn(move || {
                cache.purge(&Purge::all());
                let _nobody_waits = done.send(());
            });
            // It either waits until this is over, or is over before.
            let is_over = purged.recv_timeout(Duration::from_millis(300)).is_ok();
            self.came_too_late.fetch_or(is_over, SeqCst);
        }
        self.memory.insert(key, value)
    }
}

#[test]
fn nothing_is_put_in_after_its_purge_is_over() {
    run(async {
        let handle = Arc::<OnceLock<Cache>>::default();
        let came_too_late = Arc::<AtomicBool>::default();
        let memory = MemoryCacheStore::new(1 << 22, 1 << 20).unwrap();
        let store = Purged { memory, cache: Arc::clone(&handle), came_too_late: Arc::clone(&came_too_late) };
        let (service, cache, _) = cached(&Origin::counting(), |cache| cache.store(store));
        handle.set(cache).unwrap();
        assert_eq!(text(&service, "/").await, "call 1");
        assert!(!came_too_late.load(SeqCst), "a reader would have got it after the purge");
    });
}

/// The end of one query looks like none at all.
#[test]
fn entries_without_a_query_go_and_no_others() {
    run(async {
        let (service, cache, _) = cached(&Origin::counting(), |cache| cache);
        for path in ["/x", "/x?a=Q", "/x?Q"] {
            text(&service, path).await;
        }
        assert_eq!(cache.purge(&Purge::all().query(None)), 1);
        assert_eq!(cache.purge(&Purge::all().query(Some("a=Q"))), 1);
        assert_eq!(cache.usage().keys, 1);
    });
}

/// What is purged softly has become stale at that moment, however long it would have been fresh.
#[test]
fn what_is_purged_softly_is_served_no_longer_than_what_has_expired() {
    run(async {
        let directives = "max-age=86400, stale-while-revalidate=60, stale-if-error=120";
        let origin = Origin::new(move |_, call| async move {
            match call {
                1 => Ok(with(answer("call 1"), "cache-control", directives)),
                _ => Err(TestError::from("down")),
            }
        });
        let (service, cache, clock) =
            cached(&origin, |cache| cache.rfc9111(tower_gateway::cache::rfc::Rfc9111::new()));
        text(&service, "/").await;
        clock.advance(SECOND * 3_600);
        assert_eq!(cache.purge(&Purge::all().softly()), 1);
        for _ in 0..2 {
            assert_eq!(text(&service, "/").await, "call 1");
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            clock.advance(SECOND * 59);
        }
        assert_eq!(origin.calls(), 3, "refreshed behind the first, and asked for the second");
        clock.advance(SECOND * 3);
        assert!(send(&service, get("/")).await.is_err());
    });
}
