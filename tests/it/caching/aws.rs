//! AWS mode: what is stored, for how long, and who may invalidate it.

use super::*;
use crate::support::{assert_service, get, run};
use http::Method;
use tower_gateway::{
    cache::{CacheStatus, NoCacheReason},
    context::{Principal, PrincipalLayer, RequestContext, RequestContextLayer},
    response::{Cause, GatewayError},
    route::{ApiMethod, CacheKey, CacheSettings, MethodSettings, Routes, UnauthorizedCacheControl},
    stage::{Stage, StageRouter, Stages},
};

#[test]
fn a_get_is_answered_from_the_cache_for_300_seconds() {
    run(async {
        let origin = Origin::counting();
        let (service, cache, clock) = cached(&origin, |cache| cache);
        assert_service(&service);
        assert_eq!(text(&service, "/time").await, "call 1");
        clock.advance(SECOND * 299);
        assert_eq!(text(&service, "/time").await, "call 1");
        clock.advance(SECOND);
        assert_eq!(text(&service, "/time").await, "call 2");
        let stats = cache.stats();
        assert_eq!((stats.hits(), stats.misses(), stats.stored()), (1, 2, 2));
        assert_eq!(stats.missed(NoCacheReason::NotFound), 1);
        assert_eq!(stats.missed(NoCacheReason::Expired), 1);
        assert_eq!(cache.usage().keys, 1);
    });
}

#[test]
fn a_hit_is_the_answer_as_it_was_without_new_fields() {
    run(async {
        let origin = Origin::sync(|_, _| with(with(answer("x"), "etag", "\"1\""), "x-own", "yes"));
        let (service, _, clock) = cached(&origin, |cache| cache);
        let first = ask(&service, get("/")).await;
        clock.advance(SECOND * 9);
        let second = ask(&service, get("/")).await;
        assert_eq!(first.headers(), second.headers());
        assert_eq!(second.headers().len(), 2);
        assert_eq!((second.body(), origin.calls()), (first.body(), 1));
    });
}

#[test]
fn other_methods_are_never_replayed() {
    run(async {
        let origin = Origin::counting();
        let (service, cache, _) = cached(&origin, |cache| cache);
        for method in ["POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "PROPFIND"] {
            let before = origin.calls();
            ask(&service, get("/a")).await;
            ask(&service, request(method, "/a", &[])).await;
            ask(&service, request(method, "/a", &[])).await;
            let expected = before + 2 + usize::from(before == 0);
            assert_eq!(origin.calls(), expected, "{method}");
        }
        assert_eq!(cache.stats().missed(NoCacheReason::Method), 14);
    });
}

#[test]
fn a_head_and_a_get_never_serve_each_other() {
    run(async {
        let origin = Origin::sync(|request, _| answer(request.method().to_string()));
        let settings = MethodSettings::new().caching(CacheSettings::new());
        let routes = Routes::builder()
            .any("/a", ApiMethod::new())
            .settings("/a/HEAD", settings)
            .settings("/a/GET", settings)
            .build()
            .unwrap();
        let (_, cache, _) = cached(&origin, |cache| cache);
        let service = CacheLayer::new(cache).routes(&routes).layer(origin.clone());
        for _ in 0..2 {
            assert_eq!(said(ask(&service, request("HEAD", "/a", &[])).await), "HEAD");
            assert_eq!(said(ask(&service, get("/a")).await), "GET");
        }
        assert_eq!(origin.calls(), 2);
    });
}

#[test]
fn errors_are_stored_only_as_on_aws() {
    run(async {
        for (exact, calls) in [(false, 2), (true, 1)] {
            for code in [404, 429, 500, 503] {
                let origin = Origin::sync(move |_, _| status(answer("no"), code));
                let (service, cache, _) = cached(&origin, |cache| cache.aws_exact(exact));
                ask(&service, get("/")).await;
                assert_eq!(ask(&service, get("/")).await.status(), code);
                assert_eq!(origin.calls(), calls, "{code} {exact}");
                assert_eq!(cache.stats().not_stored(NoCacheReason::Status), 2 * u64::from(!exact));
            }
        }
    });
}

#[test]
fn parts_and_conditional_answers_are_never_stored() {
    run(async {
        for code in [206, 304] {
            let origin = Origin::sync(move |_, _| status(answer(""), code));
            let (service, _, _) = cached(&origin, |cache| cache.aws_exact(true).statuses(|_| true));
            ask(&service, get("/")).await;
            ask(&service, get("/")).await;
            assert_eq!(origin.calls(), 2, "{code}");
        }
    });
}

#[test]
fn what_the_service_says_counts_unless_aws_exact() {
    let cases = [
        ("cache-control", "no-store", NoCacheReason::NoStore),
        ("cache-control", "max-age=60, NO-STORE", NoCacheReason::NoStore),
        ("cache-control", "private=\"x, y\"", NoCacheReason::Private),
        ("cache-control", "no-cache", NoCacheReason::NoCache),
        ("set-cookie", "a=b", NoCacheReason::SetCookie),
        ("vary", "accept, *", NoCacheReason::VaryAny),
        ("vary", "no field", NoCacheReason::VaryAny),
    ];
    run(async {
        for (name, value, reason) in cases {
            for exact in [false, true] {
                let origin = Origin::sync(move |_, call| with(answer(format!("call {call}")), name, value));
                let (service, cache, _) = cached(&origin, |cache| cache.aws_exact(exact));
                ask(&service, get("/")).await;
                assert_eq!(
                    text(&service, "/").await,
                    if exact { "call 1" } else { "call 2" },
                    "{name}: {value}"
                );
                assert_eq!(cache.stats().not_stored(reason) > 0, !exact, "{name}: {value}");
            }
        }
    });
}

#[test]
fn vary_never_crosses() {
    run(async {
        let origin = Origin::sync(|request, _| {
            let language =
                request.headers().get("accept-language").map_or("none", |value| value.to_str().unwrap());
            with(answer(language.to_owned()), "vary", "Accept-Language, accept")
        });
        let (service, cache, _) = cached(&origin, |cache| cache);
        let asked = [Some("de"), Some("en"), None, Some(""), Some("de, en")];
        for _ in 0..2 {
            for language in asked {
                let headers: Vec<_> = language.map(|value| ("accept-language", value)).into_iter().collect();
                assert_eq!(said(ask(&service, get_with("/", &headers)).await), language.unwrap_or("none"));
            }
        }
        assert_eq!(origin.calls(), asked.len());
        assert_eq!(cache.stats().missed(NoCacheReason::VaryMismatch), asked.len() as u64 - 1);
        assert_eq!(cache.usage().keys, 1);
    });
}

#[test]
fn ranges_and_conditions_do_not_reach_what_is_stored() {
    run(async {
        let origin = Origin::sync(|request, call| {
            let part = request.headers().contains_key("range");
            let conditional = request.headers().contains_key("if-none-match");
            status(
                answer(format!("call {call}")),
                if part {
                    206
                } else if conditional {
                    304
                } else {
                    200
                },
            )
        });
        let (service, cache, _) = cached(&origin, |cache| cache);
        assert_eq!(ask(&service, get_with("/", &[("range", "bytes=0-1")])).await.status(), 206);
        assert_eq!(cache.stats().missed(NoCacheReason::Range), 1);
        // The whole answer is fetched for everybody, whatever the first client has already.
        assert_eq!(ask(&service, get_with("/", &[("if-none-match", "*")])).await.status(), 200);
        assert_eq!(text(&service, "/").await, "call 2");
        assert_eq!(ask(&service, get_with("/", &[("range", "bytes=0-1")])).await.status(), 206);
    });
}

#[test]
fn a_ttl_of_zero_and_a_setting_switch_caching_off() {
    run(async {
        let origin = Origin::counting();
        for settings in [CacheSettings::new().ttl(Duration::ZERO), CacheSettings::new().enabled(false)] {
            let (service, cache, _) = cached(&origin, |cache| cache.settings(settings));
            let before = origin.calls();
            ask(&service, get("/")).await;
            ask(&service, get("/")).await;
            assert_eq!(origin.calls(), before + 2);
            assert_eq!(cache.stats().missed(NoCacheReason::Disabled), 2);
        }
        let (service, _, clock) = cached(&origin, |cache| cache.ttl(SECOND * 100_000));
        let first = text(&service, "/").await;
        clock.advance(SECOND * 99_999);
        assert_eq!(text(&service, "/").await, first);
    });
}

fn staged(settings: &[(&str, MethodSettings)]) -> (StageRouter, Stages) {
    let method = || ApiMethod::new().cache_key(CacheKey::new().query("zone"));
    let routes = Routes::builder()
        .method("/time", Method::GET, method())
        .method("/time", Method::POST, method())
        .any("/any", ApiMethod::new())
        .build()
        .unwrap();
    let stages = Stages::single("prod", routes).unwrap();
    settings.iter().for_each(|(key, settings)| stages.set_settings("prod", key, *settings).unwrap());
    (StageRouter::new(stages.clone()), stages)
}

async fn through<S>(service: &S, request: Ask) -> String
where
    S: Service<Ask, Response = Response<GatewayBody<TestBody>>, Error = TestError> + Clone,
{
    let body = service.clone().oneshot(request).await.unwrap().into_body();
    String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[test]
fn settings_of_all_hold_for_get_and_a_method_s_own_for_itself() {
    run(async {
        let on = MethodSettings::new().caching(CacheSettings::new().ttl(SECOND * 10));
        let off = MethodSettings::new().caching(CacheSettings::new().enabled(false));
        let silent = MethodSettings::new();
        for (settings, get_calls, post_calls, any_post_calls) in [
            (&[("*/*", on)][..], 1, 2, 2),
            (&[("*/*", on), ("time/POST", on)][..], 1, 1, 2),
            (&[("*/*", on), ("time/GET", off)][..], 2, 2, 2),
            (&[("any/POST", on)][..], 1, 2, 1),
            (&[("any/ANY", on)][..], 1, 2, 2),
            // An entry that says nothing of caching leaves it to that of all methods.
            (&[("*/*", off), ("time/GET", silent), ("any/POST", silent)][..], 2, 2, 2),
            (&[("*/*", on), ("time/POST", silent), ("any/POST", silent)][..], 1, 2, 2),
        ] {
            let origin = Origin::counting();
            let (cached, _, _) = cached(&origin, |cache| cache);
            let service = staged(settings).0.layer(cached);
            for (method, uri, calls) in [
                ("GET", "/prod/time", get_calls),
                ("POST", "/prod/time", post_calls),
                ("POST", "/prod/any", any_post_calls),
            ] {
                let before = origin.calls();
                through(&service, request(method, uri, &[])).await;
                through(&service, request(method, uri, &[])).await;
                assert_eq!(origin.calls() - before, calls, "{method} {uri} {settings:?}");
            }
        }
    });
}

#[test]
fn an_undeclared_parameter_shares_and_absent_differs_from_empty() {
    run(async {
        let origin = Origin::counting();
        let (cached, _, _) = cached(&origin, |cache| cache);
        let service = staged(&[]).0.layer(cached);
        let first = through(&service, get("/prod/time?zone=utc&b=1")).await;
        assert_eq!(through(&service, get("/prod/time?b=2&zone=utc")).await, first);
        let absent = through(&service, get("/prod/time")).await;
        let empty = through(&service, get("/prod/time?zone=")).await;
        let bare = through(&service, get("/prod/time?zone")).await;
        assert_eq!(origin.calls(), 4);
        assert_eq!(through(&service, get("/prod/time?b=3")).await, absent);
        assert_ne!(empty, bare);
    });
}

#[test]
fn stages_and_deployments_have_entries_of_their_own() {
    run(async {
        let origin = Origin::counting();
        let (cached, cache, _) = cached(&origin, |cache| cache);
        let (router, stages) = staged(&[]);
        stages.create_stage(Stage::new("beta", stages.deployments()[0].0.clone())).unwrap();
        let service = router.layer(cached);
        assert_eq!(through(&service, get("/prod/time")).await, "call 1");
        assert_eq!(through(&service, get("/beta/time")).await, "call 2");
        assert_eq!(cache.flush_stage("prod"), 1);
        assert_eq!(through(&service, get("/prod/time")).await, "call 3");
        assert_eq!(through(&service, get("/beta/time")).await, "call 2");
    });
}

const RELOAD: &[(&str, &str)] = &[("cache-control", "max-age=0")];

#[test]
fn who_may_not_invalidate_is_told_by_the_strategy() {
    run(async {
        for (strategy, code, warns) in [
            (UnauthorizedCacheControl::FailWith403, 403, false),
            (UnauthorizedCacheControl::SucceedWithResponseHeader, 200, true),
            (UnauthorizedCacheControl::SucceedWithoutResponseHeader, 200, false),
        ] {
            let origin = Origin::counting();
            let settings = CacheSettings::new().unauthorized_strategy(strategy);
            let (service, _, _) = cached(&origin, |cache| cache.settings(settings));
            text(&service, "/").await;
            for headers in [RELOAD, &[("cache-control", "no-transform, Max-Age = 0")]] {
                let answer = ask(&service, get_with("/", headers)).await;
                assert_eq!(answer.status(), code, "{strategy:?}");
                let warning =
                    answer.headers().get("warning").map(|value| value.to_str().unwrap().starts_with("199"));
                assert_eq!(warning, warns.then_some(true));
                if code == 403 {
                    assert_eq!(answer.headers()["x-amzn-errortype"], "AccessDeniedException");
                    let error = answer.extensions().get::<GatewayError>().unwrap();
                    assert_eq!(error.cause(), Cause::CacheControlUnauthorized);
                    assert_eq!(
                        answer.body(),
                        r#"{"Message":"User is not authorized to access this resource"}"#
                    );
                } else {
                    assert_eq!(answer.body(), "call 1");
                }
            }
            assert_eq!(origin.calls(), 1);
        }
    });
}

#[test]
fn the_warning_is_on_a_miss_too_and_is_not_stored() {
    run(async {
        let origin = Origin::counting();
        let (service, _, _) = cached(&origin, |cache| cache);
        assert!(ask(&service, get_with("/", RELOAD)).await.headers().contains_key("warning"));
        assert!(!ask(&service, get("/")).await.headers().contains_key("warning"));
    });
}

#[test]
fn who_may_invalidate_replaces_the_entry() {
    run(async {
        let origin = Origin::counting();
        let (cached, cache, _) = cached(&origin, |cache| {
            let of = |request: tower_gateway::cache::InvalidationRequest<'_>| {
                request.context.and_then(RequestContext::principal).map(Principal::id) == Some("root")
            };
            cache.key(CacheKey::new().shared_between_callers()).may_invalidate(of)
        });
        let named = PrincipalLayer::new(|head| Some(head.headers.get("x-user")?.to_str().ok()?.to_owned()));
        let service = named.layer(cached);
        let by = |user: &'static str, headers: &[(&str, &str)]| {
            through(&service, get_with("/", &[headers, &[("x-user", user)]].concat()))
        };
        assert_eq!(by("ada", &[]).await, "call 1");
        assert_eq!(by("ada", RELOAD).await, "call 1");
        assert_eq!(by("root", RELOAD).await, "call 2");
        assert_eq!(by("ada", &[]).await, "call 2");
        // Only `max-age=0` is documented to do so.
        for other in ["no-cache", "no-store", "max-age=1", "max-age=00", "s-maxage=0"] {
            assert_eq!(by("root", &[("cache-control", other)]).await, "call 2", "{other}");
        }
        assert_eq!(cache.stats().missed(NoCacheReason::Invalidated), 1);
    });
}

#[test]
fn without_required_authorization_anybody_may_invalidate() {
    run(async {
        let origin = Origin::counting();
        let settings = CacheSettings::new().require_authorization(false);
        let (service, _, _) = cached(&origin, |cache| cache.settings(settings));
        text(&service, "/").await;
        assert_eq!(said(ask(&service, get_with("/", RELOAD)).await), "call 2");
        assert_eq!(text(&service, "/").await, "call 2");
    });
}

#[test]
fn the_context_knows_what_the_cache_did() {
    run(async {
        let kept: Arc<std::sync::Mutex<Vec<RequestContext>>> = Arc::default();
        let keep = Arc::clone(&kept);
        let watch = PrincipalLayer::new(move |head| {
            keep.lock().unwrap().push(RequestContext::of(head.extensions).unwrap().clone());
            None
        });
        let origin = Origin::counting();
        let (cached, _, clock) = cached(&origin, |cache| cache);
        let service = RequestContextLayer::new().layer(watch.layer(cached));
        through(&service, get("/")).await;
        clock.advance(SECOND * 7);
        through(&service, get("/")).await;
        through(&service, request("POST", "/", &[])).await;
        let contexts = kept.lock().unwrap();
        let rows: Vec<_> = contexts
            .iter()
            .map(|context| ["cache.status", "cache.reason", "cache.age"].map(|name| context.variable(name)))
            .map(|row| row.map(|value| value.map_or("-".to_owned(), |value| value.into_owned())).join(" "))
            .collect();
        assert_eq!(rows, ["miss not-found -", "hit - 7", "bypass method -"]);
        assert_eq!(contexts[1].cache_status(), Some(CacheStatus::Hit));
    });
}

#[test]
fn a_refusal_inside_the_cache_is_not_stored() {
    run(async {
        let origin = Origin::counting();
        let clock = ManualClock::at_unix_seconds(0);
        let limit = tower_gateway::payload_limit::PayloadLimitLayer::new(0).url_limit(3);
        let cache = Cache::builder().clock(clock.clock()).aws_exact(true).build().unwrap();
        let inner = limit.layer(tower::util::MapRequest::new(
            tower_gateway::body::BodyLayer.layer(origin.clone()),
            |request: Request<GatewayBody<Full<Bytes>>>| request.map(|_| Full::default()),
        ));
        let service = CacheLayer::new(cache.clone()).layer(inner);
        for _ in 0..2 {
            let answer = service.clone().oneshot(get("/too-long")).await.unwrap();
            assert_eq!(answer.status(), 414);
            assert!(answer.extensions().get::<GatewayError>().is_some());
        }
        assert_eq!(cache.stats().not_stored(NoCacheReason::GatewayRefusal), 2);
        assert_eq!(cache.usage().keys, 0);
    });
}

#[test]
fn errors_of_the_service_pass_untouched() {
    run(async {
        let origin = Origin::new(|_, call| async move { Err(format!("own error {call}").into()) });
        let (service, cache, _) = cached(&origin, |cache| cache);
        for call in 1..3 {
            let error = send(&service, get("/")).await.unwrap_err();
            assert_eq!(error.to_string(), format!("own error {call}"));
        }
        assert_eq!(cache.stats().not_stored(NoCacheReason::ServiceError), 2);
        assert_eq!(cache.usage().keys, 0);
    });
}

#[test]
fn an_upgrade_passes_with_its_extensions() {
    #[derive(Clone, Debug, PartialEq)]
    struct OnUpgrade;
    run(async {
        let origin = Origin::sync(|_, _| {
            let mut answer = status(answer(""), 101);
            answer.extensions_mut().insert(OnUpgrade);
            answer
        });
        let (service, cache, _) = cached(&origin, |cache| cache.aws_exact(true));
        for headers in [&[("connection", "upgrade"), ("upgrade", "websocket")][..], &[]] {
            let answer = ask(&service, get_with("/", headers)).await;
            assert_eq!((answer.status().as_u16(), answer.extensions().get()), (101, Some(&OnUpgrade)));
        }
        assert_eq!(cache.stats().missed(NoCacheReason::Upgrade), 1);
        assert_eq!(cache.stats().not_stored(NoCacheReason::Status), 1);
    });
}

#[test]
fn a_configuration_that_cannot_work_is_an_error() {
    let error = Cache::builder().capacity(1 << 20).build().unwrap_err();
    assert_eq!((error.location(), error.value()), ("cache capacity", "1048576"));
    assert!(Cache::builder().capacity(1 << 20).entry_limit(1 << 10).build().is_ok());
    let boundless = Cache::builder().entry_limit(usize::MAX).build().unwrap_err();
    assert_eq!(boundless.location(), "cache capacity");
    let encrypted = CacheSettings::new().data_encrypted(true);
    assert_eq!(Cache::builder().settings(encrypted).build().unwrap_err().location(), "cache settings");
}

#[test]
fn a_step_of_aws_mode_is_an_error_beside_the_other_mode() {
    type Step = fn(CacheBuilder) -> CacheBuilder;
    let steps: [(&str, Step); 3] = [
        ("aws_exact", |cache| cache.aws_exact(true)),
        ("statuses", |cache| cache.statuses(|_| true)),
        ("may_invalidate", |cache| cache.may_invalidate(|_| true)),
    ];
    let rules = tower_gateway::cache::rfc::Rfc9111::new;
    for (name, step) in steps {
        for cache in [step(Cache::builder()).rfc9111(rules()), step(Cache::builder().rfc9111(rules()))] {
            let error = cache.build().unwrap_err();
            assert_eq!((error.location(), error.value()), ("cache rules", name));
        }
        assert!(step(Cache::builder()).build().is_ok());
    }
    assert!(Cache::builder().rfc9111(rules()).aws_exact(false).build().is_ok());
}

#[test]
fn a_ttl_holds_in_whatever_order_it_is_set() {
    run(async {
        let settings = CacheSettings::new().ttl(9 * SECOND);
        type Steps = fn(CacheBuilder, CacheSettings) -> CacheBuilder;
        let orders: [(Steps, u64); 3] = [
            (|cache, settings| cache.ttl(20 * SECOND).settings(settings), 20),
            (|cache, settings| cache.settings(settings).ttl(20 * SECOND), 20),
            (|cache, settings| cache.settings(settings), 9),
        ];
        for (set, ttl) in orders {
            let origin = Origin::counting();
            let (service, _, clock) = cached(&origin, |cache| set(cache, settings));
            text(&service, "/").await;
            clock.advance((ttl - 1) as u32 * SECOND);
            assert_eq!(text(&service, "/").await, "call 1");
            clock.advance(SECOND);
            assert_eq!(text(&service, "/").await, "call 2");
        }
    });
}

/// What one client made the service say by its own condition or range is nobody else's answer.
#[test]
fn no_client_can_have_its_failed_condition_stored() {
    run(async {
        for (name, value, code) in [
            ("if-match", "\"zz\"", 412),
            ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT", 412),
            ("x-odd", "1", 412),
            ("x-odd", "1", 416),
        ] {
            for exact in [false, true] {
                let origin = Origin::sync(move |request, call| {
                    let odd = request.headers().contains_key(name);
                    status(answer(format!("call {call}")), if odd { code } else { 200 })
                });
                let (service, _, _) = cached(&origin, |cache| cache.statuses(|_| true).aws_exact(exact));
                let asked = async || ask(&service, get_with("/", &[(name, value)])).await.status().as_u16();
                assert_eq!(asked().await, code, "{name} {exact}");
                assert_eq!(text(&service, "/").await, "call 2", "{name} {exact}");
                if name != "x-odd" {
                    assert_eq!(asked().await, code, "the service judges it, whatever is stored");
                }
                assert_eq!(text(&service, "/").await, "call 2", "{name} {exact}");
            }
        }
    });
}

/// The strategies are the method's, not the entry's: a credential or a range is no way around them.
#[test]
fn the_strategies_hold_for_requests_that_pass_by() {
    run(async {
        let wish = ("cache-control", "max-age=0");
        for (strategy, code, warns) in [
            (UnauthorizedCacheControl::FailWith403, 403, false),
            (UnauthorizedCacheControl::SucceedWithResponseHeader, 200, true),
            (UnauthorizedCacheControl::SucceedWithoutResponseHeader, 200, false),
        ] {
            for beside in [
                ("authorization", "ada"),
                ("range", "bytes=0-1"),
                ("content-length", "1"),
                ("if-match", "*"),
                ("x-uncacheable", "1"),
            ] {
                let origin = Origin::sync(|request, _| {
                    let odd = request.headers().contains_key("x-uncacheable");
                    status(answer("it"), if odd { 404 } else { 200 })
                });
                let settings = CacheSettings::new().unauthorized_strategy(strategy);
                let (service, _, _) = cached(&origin, |cache| cache.settings(settings));
                for _ in 0..2 {
                    let told = ask(&service, get_with("/", &[wish, beside])).await;
                    let code = if beside.0 == "x-uncacheable" && code == 200 { 404 } else { code };
                    assert_eq!(told.status().as_u16(), code, "{strategy:?} {beside:?}");
                    assert_eq!(
                        told.headers().get_all("warning").iter().count(),
                        usize::from(warns),
                        "{beside:?}"
                    );
                }
                let plain = ask(&service, get_with("/", &[beside])).await;
                assert!(!plain.headers().contains_key("warning"), "{strategy:?} {beside:?}");
            }
        }
    });
}

#[test]
fn a_status_filter_counts_before_and_after_aws_exact() {
    run(async {
        for exact in [false, true] {
            for last in [false, true] {
                let origin = Origin::sync(|request, call| {
                    let code = request.uri().path()[1..].parse().unwrap();
                    status(answer(format!("call {call}")), code)
                });
                let (service, _, _) = cached(&origin, |cache| match last {
                    true => cache.aws_exact(exact).statuses(|status| status == 404),
                    false => cache.statuses(|status| status == 404).aws_exact(exact),
                });
                for (path, is_stored) in [("/404", true), ("/200", false), ("/500", false)] {
                    let [first, second] = [text(&service, path).await, text(&service, path).await];
                    assert_eq!(first == second, is_stored, "{path} {exact} {last}");
                }
            }
        }
    });
}

#[test]
fn who_may_invalidate_has_the_entry_go_whatever_comes_of_the_call() {
    run(async {
        for fails in [false, true] {
            let origin = Origin::new(move |_, call| async move {
                let refused = || status(answer("away"), 503);
                match call {
                    2 if fails => Err("broken".into()),
                    2 => Ok(refused()),
                    _ => Ok(answer(format!("call {call}"))),
                }
            });
            let (service, cache, _) = cached(&origin, |cache| cache.may_invalidate(|_| true));
            assert_eq!(text(&service, "/").await, "call 1");
            let answer = send(&service, get_with("/", &[("cache-control", "max-age=0")])).await;
            assert!(answer.is_ok_and(|answer| answer.status() == 503) || fails);
            assert_eq!(text(&service, "/").await, "call 3");
            assert_eq!((text(&service, "/").await, cache.usage().keys), ("call 3".to_owned(), 1));
        }
    });
}

/// The cache's own refusals are answers like any other, to whoever counts.
#[test]
fn what_the_cache_itself_refuses_is_counted() {
    run(async {
        let counted = |cache: &Cache| -> Vec<_> {
            let reasons = cache.stats();
            reasons.reasons().map(|(reason, missed, _)| (reason.as_str(), missed)).collect()
        };
        let origin = Origin::counting();
        let settings = CacheSettings::new().unauthorized_strategy(UnauthorizedCacheControl::FailWith403);
        let (service, cache, _) = cached(&origin, |cache| cache.settings(settings));
        let answer = ask(&service, get_with("/", &[("cache-control", "max-age=0")])).await;
        assert_eq!((answer.status().as_u16(), cache.stats().count(CacheStatus::Bypass)), (403, 1));
        assert_eq!(counted(&cache), [("unauthorized", 1)]);

        let kept: Arc<std::sync::Mutex<Vec<RequestContext>>> = Arc::default();
        let keep = Arc::clone(&kept);
        let watch = PrincipalLayer::new(move |head| {
            keep.lock().unwrap().push(RequestContext::of(head.extensions).unwrap().clone());
            None
        });
        let (cached, cache, _) =
            cached(&origin, |cache| cache.rfc9111(tower_gateway::cache::rfc::Rfc9111::new()));
        let service = RequestContextLayer::new().layer(watch.layer(cached));
        let asked = get_with("/", &[("cache-control", "only-if-cached")]);
        assert_eq!(service.oneshot(asked).await.unwrap().status(), 504);
        assert_eq!(origin.calls(), 0);
        assert_eq!(cache.stats().count(CacheStatus::Bypass), 1);
        assert_eq!(counted(&cache), [("request-directive", 1)]);
        let reason = kept.lock().unwrap()[0].variable("cache.reason").map(|reason| reason.into_owned());
        assert_eq!(reason.as_deref(), Some("request-directive"));
    });
}
