//! The cache inside the gateway: who is kept apart, and what of a hit is the request's own.

use super::*;
use crate::support::{get, run};
use http::Method;
use tower::service_fn;
use tower_gateway::{
    api_key::{ApiKey, ApiKeys},
    cache::{CacheStatus, NoCacheReason, rfc::Rfc9111},
    context::PrincipalLayer,
    gateway::Gateway,
    route::{ApiMethod, CacheKey, CacheSettings, MethodSettings, Routes},
    stage::{CanarySettings, Deployment, Stage, StageRouter, Stages},
    throttle::Throttle,
    usage_plan::{Quota, QuotaPeriod, UsagePlan, UsagePlans},
};

const ADA: &str = "ada-0123456789abcdefghijk";
const BOB: &str = "bob-0123456789abcdefghijk";

fn stages(method: ApiMethod) -> Stages {
    let routes = Routes::builder().method("/time", Method::GET, method).build().unwrap();
    Stages::builder()
        .deployment(Deployment::new("v1", routes))
        .stage(Stage::new("prod", "v1").settings("*/*", MethodSettings::new().caching(CacheSettings::new())))
        .build()
        .unwrap()
}

fn keys() -> ApiKeys {
    ApiKeys::builder().key(ApiKey::new("ada").value(ADA)).key(ApiKey::new("bob").value(BOB)).build().unwrap()
}

/// Three requests a day for each key.
fn plans() -> UsagePlans {
    let plan = UsagePlan::new("three")
        .throttle(Throttle::new(1.0, 10).unwrap())
        .quota(Quota::new(3, QuotaPeriod::Day).unwrap());
    UsagePlans::builder().plan(plan).attach("three", "ada").attach("three", "bob").build().unwrap()
}

type Inner = GatewayBody<Full<Bytes>>;

/// Answers with the number of the call, and with fields that only gateways should set.
fn counting()
-> impl Service<Request<Inner>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send + 'static>
+ Clone {
    let calls = Arc::new(AtomicUsize::new(0));
    service_fn(move |_: Request<Inner>| {
        let call = calls.fetch_add(1, SeqCst) + 1;
        let answer = Response::builder().header("etag", format!("\"{call}\""));
        std::future::ready(Ok(answer.body(Full::from(format!("call {call}"))).unwrap()))
    })
}

async fn through<S>(service: &S, request: Ask) -> Response<Bytes>
where
    S: Service<Ask, Response = Response<GatewayBody<Inner>>, Error = Infallible> + Clone,
{
    let (parts, body) = service.clone().oneshot(request).await.unwrap().into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

fn keyed(key: &str) -> Ask {
    get_with("/prod/time", &[("x-api-key", key)])
}

#[test]
fn two_keys_share_nothing_and_a_hit_is_charged() {
    run(async {
        let cache = Cache::builder().build().unwrap();
        let gateway = Gateway::builder()
            .stages(stages(ApiMethod::new().api_key_required(true)))
            .api_keys(keys())
            .usage_plans(plans())
            .cache(CacheLayer::new(cache.clone()))
            .clock(ManualClock::at_unix_seconds(1_795_331_880).clock());
        let service = gateway.build().unwrap().layer(counting());
        let mut ids = std::collections::HashSet::new();
        for (round, left) in [(0, "r=2"), (1, "r=1"), (2, "r=0")] {
            for (key, body) in [(ADA, "call 1"), (BOB, "call 2")] {
                let answer = through(&service, keyed(key)).await;
                assert_eq!((answer.status().as_u16(), &answer.body()[..]), (200, body.as_bytes()), "{round}");
                let limits = answer.headers().get_all("ratelimit").iter();
                let limits: Vec<_> = limits.map(|limit| limit.to_str().unwrap()).collect();
                assert!(limits.concat().contains(left), "{round}: {limits:?}");
                for name in ["x-amzn-requestid", "x-amz-apigw-id"] {
                    let values: Vec<_> = answer.headers().get_all(name).iter().collect();
                    assert_eq!(values.len(), 1, "{name}");
                    assert!(ids.insert(values[0].clone()), "{name} of another answer");
                }
            }
        }
        assert_eq!((cache.stats().misses(), cache.stats().hits()), (2, 4));
        // The fourth is over the quota, although its answer lies there.
        assert_eq!(through(&service, keyed(ADA)).await.status(), 429);
        assert_eq!(through(&service, keyed("nobody-0123456789abcdefghij")).await.status(), 403);
    });
}

#[test]
fn keys_share_where_that_is_declared_and_each_is_charged() {
    run(async {
        let shared = CacheKey::new().shared_between_callers();
        let gateway = Gateway::builder()
            .stages(stages(ApiMethod::new().api_key_required(true).cache_key(shared)))
            .api_keys(keys())
            .usage_plans(plans())
            .cache(CacheLayer::new(Cache::builder().build().unwrap()));
        let service = gateway.build().unwrap().layer(counting());
        for key in [ADA, BOB] {
            for _ in 0..3 {
                assert_eq!(through(&service, keyed(key)).await.body(), "call 1");
            }
            assert_eq!(through(&service, keyed(key)).await.status(), 429, "{key}");
        }
    });
}

#[cfg(feature = "authorizer")]
#[test]
fn two_principals_of_an_authorizer_share_nothing() {
    use tower_gateway::{
        authorizer::{Authorizer, AuthorizerAnswer, AuthorizerEvent, AuthorizerLayer, authorizer_fn},
        route::Authorization,
    };
    run(async {
        let function = authorizer_fn(|event: AuthorizerEvent| async move {
            let token = event.authorization_token().to_owned();
            Ok::<_, Infallible>(AuthorizerAnswer::allow(token, ["arn:aws:execute-api:*:*:*/*/GET/*"]))
        });
        let layer = AuthorizerLayer::new(Authorizer::token("names", function).build().unwrap());
        let method = ApiMethod::new()
            .authorization(Authorization::custom("names"))
            .cache_key(CacheKey::new().principal());
        let cache = Cache::builder().build().unwrap();
        let gateway =
            Gateway::builder().stages(stages(method)).authorizer(layer).cache(CacheLayer::new(cache.clone()));
        let service = gateway.build().unwrap().layer(counting());
        let by = |token: &str| through(&service, get_with("/prod/time", &[("authorization", token)]));
        for _ in 0..2 {
            assert_eq!(by("ada").await.body(), "call 1");
            assert_eq!(by("bob").await.body(), "call 2");
        }
        assert_eq!((cache.stats().misses(), cache.stats().hits()), (2, 2));
    });
}

#[test]
fn a_get_with_a_body_is_not_cached_whatever_its_fields_say() {
    run(async {
        let origin = Origin::counting();
        let (service, cache, _) = cached(&origin, |cache| cache);
        // As HTTP/2 brings it: no field announces the body.
        let with_body = || Request::get("/").body(Full::<Bytes>::from("which")).unwrap();
        assert_eq!(text(&service, "/").await, "call 1");
        assert_eq!(said(ask(&service, with_body()).await), "call 2");
        assert_eq!(said(ask(&service, with_body()).await), "call 3");
        assert_eq!(said(ask(&service, get("/")).await), "call 1");
        assert_eq!(cache.stats().missed(tower_gateway::cache::NoCacheReason::RequestBody), 2);
        assert_eq!(cache.stats().count(CacheStatus::Bypass), 2);
    });
}

#[test]
fn the_id_of_a_hit_is_its_own() {
    run(async {
        let cache = Cache::builder().build().unwrap();
        let gateway = Gateway::builder().stages(stages(ApiMethod::new())).cache(CacheLayer::new(cache));
        let service = gateway.build().unwrap().layer(counting());
        let mut seen = Vec::new();
        for _ in 0..2 {
            let mut request = get("/prod/time");
            request.headers_mut().insert("x-amzn-requestid", "forged".parse().unwrap());
            let answer = through(&service, request).await;
            seen.push(answer.headers()["x-amzn-requestid"].clone());
        }
        assert_ne!(seen[0], seen[1]);
        assert!(!seen.iter().any(|id| id == "forged"));
    });
}

/// All requests go to a canary of the deployment that the stage has, too; then none.
fn with_canary(uses_stage_cache: bool, deployment: &str) -> Stages {
    let routes = || {
        let both = Routes::builder().method("/time", Method::GET, ApiMethod::new());
        both.method("/time", Method::POST, ApiMethod::new()).build().unwrap()
    };
    let settings = MethodSettings::new().caching(CacheSettings::new());
    let canary = CanarySettings::new(deployment, 100.0).use_stage_cache(uses_stage_cache);
    Stages::builder()
        .deployment(Deployment::new("v1", routes()))
        .deployment(Deployment::new("v2", routes()))
        .stage(Stage::new("prod", "v1").settings("*/*", settings).canary(canary))
        .build()
        .unwrap()
}

#[test]
fn a_canary_uses_the_stages_cache_only_if_it_is_told_to() {
    run(async {
        for (uses, deployment, bodies) in [
            (false, "v1", ["call 1", "call 2", "call 1"]),
            (true, "v1", ["call 1", "call 1", "call 1"]),
            // Answers of two deployments are never taken for each other.
            (true, "v2", ["call 1", "call 2", "call 1"]),
        ] {
            let stages = with_canary(uses, deployment);
            let cache = Cache::builder().build().unwrap();
            let gateway = Gateway::builder()
                .stages(stages.clone())
                .cache(CacheLayer::new(cache.clone()))
                .clock(ManualClock::at_unix_seconds(1_795_331_880).clock());
            let service = gateway.build().unwrap().layer(counting());
            let ask = async || through(&service, get("/prod/time")).await.into_body();
            assert_eq!(ask().await, bodies[0], "{uses} {deployment}: canary");
            let canary = |percent| CanarySettings::new(deployment, percent).use_stage_cache(uses);
            stages.set_canary("prod", canary(0.0)).unwrap();
            for _ in 0..2 {
                assert_eq!(ask().await, bodies[1], "{uses} {deployment}: stage");
            }
            stages.set_canary("prod", canary(100.0)).unwrap();
            assert_eq!(ask().await, bodies[2], "{uses} {deployment}: canary again");
            // The stage is flushed with its canary.
            let entries = cache.usage().keys;
            assert_eq!(cache.flush_stage("prod"), entries);
            assert_eq!(ask().await, if entries == 1 { "call 2" } else { "call 3" });
        }
    });
}

#[test]
fn a_stage_router_alone_keeps_a_canarys_answers_apart() {
    run(async {
        for (uses, calls) in [(false, 2), (true, 1)] {
            let stages = with_canary(uses, "v1");
            let origin = Origin::sync(|_, call| answer(format!("call {call}")));
            let cache = Cache::builder().build().unwrap();
            let router = StageRouter::new(stages.clone()).layer(CacheLayer::new(cache).layer(origin.clone()));
            let ask = async || {
                let answer = router.clone().oneshot(get("/prod/time")).await.unwrap();
                assert_eq!(answer.status(), 200);
            };
            ask().await;
            let canary = CanarySettings::new("v1", 0.0).use_stage_cache(uses);
            stages.set_canary("prod", canary).unwrap();
            ask().await;
            ask().await;
            assert_eq!(origin.calls(), calls, "{uses}");
        }
    });
}

/// The path that clients see is part of the key, and so is who is asking.
#[test]
fn an_unsafe_method_behind_a_stage_invalidates_whoever_asks() {
    run(async {
        let routes = Routes::builder()
            .method("/time", Method::GET, ApiMethod::new())
            .method("/time", Method::POST, ApiMethod::new())
            .method("/{proxy+}", Method::POST, ApiMethod::new())
            .build()
            .unwrap();
        let stages = Stages::builder()
            .deployment(Deployment::new("v1", routes))
            .stage(Stage::new("prod", "v1"))
            .build()
            .unwrap();
        for by_ada in [false, true] {
            for (changed, location) in
                [("/prod/time", "/"), ("/prod/a/b", "/time"), ("/prod/a/b", "/prod/time")]
            {
                let origin = Origin::sync(move |_, call| {
                    let answer = with(answer(format!("call {call}")), "cache-control", "max-age=60");
                    with(answer, "location", location)
                });
                let cache = Cache::builder().rfc9111(Rfc9111::new()).build().unwrap();
                let layer = CacheLayer::new(cache);
                let read = StageRouter::new(stages.clone()).layer(layer.layer(origin.clone()));
                let principal = PrincipalLayer::new(|_| Some("ada".to_owned()));
                let write =
                    StageRouter::new(stages.clone()).layer(principal.layer(layer.layer(origin.clone())));
                let get_it = async || {
                    let answer = read.clone().oneshot(get("/prod/time")).await.unwrap().into_body();
                    answer.collect().await.unwrap().to_bytes()
                };
                assert_eq!([get_it().await, get_it().await], ["call 1", "call 1"]);
                let post = request("POST", changed, &[]);
                match by_ada {
                    true => drop(write.clone().oneshot(post).await.unwrap()),
                    false => drop(read.clone().oneshot(post).await.unwrap()),
                }
                assert_eq!(get_it().await, "call 3", "{by_ada} {changed} {location}");
            }
        }
    });
}

/// Asks `/prod/time` behind a cache, of a service whose answers say which call they are of and may be kept for a minute.
fn through_releases(stages: &Stages) -> impl AsyncFn(&str) -> String {
    let origin = Origin::sync(|_, call| with(answer(format!("call {call}")), "cache-control", "max-age=60"));
    let cache = Cache::builder().rfc9111(Rfc9111::new()).build().unwrap();
    let router = StageRouter::new(stages.clone()).layer(CacheLayer::new(cache).layer(origin));
    async move |method: &str| {
        let answer = router.clone().oneshot(request(method, "/prod/time", &[])).await.unwrap().into_body();
        String::from_utf8(answer.collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }
}

/// Nobody chooses which release answers next.
#[test]
fn an_unsafe_method_through_one_release_invalidates_both() {
    run(async {
        let stages = with_canary(false, "v1");
        let ask = through_releases(&stages);
        let send = async |method: &str, percent: f64| {
            stages.set_canary("prod", CanarySettings::new("v1", percent)).unwrap();
            ask(method).await
        };
        for (method, percent, body) in [
            ("GET", 100.0, "call 1"),
            ("GET", 0.0, "call 2"),
            ("GET", 100.0, "call 1"),
            ("POST", 0.0, "call 3"),
            ("GET", 100.0, "call 4"),
            ("GET", 0.0, "call 5"),
            ("POST", 100.0, "call 6"),
            ("GET", 0.0, "call 7"),
        ] {
            assert_eq!(send(method, percent).await, body, "{method} {percent}");
        }
    });
}

#[test]
fn a_stage_that_asks_for_encryption_needs_a_cache_with_keys() {
    let encrypted = || MethodSettings::new().caching(CacheSettings::new().data_encrypted(true));
    let with_settings = |settings: MethodSettings| {
        let routes = Routes::builder().method("/time", Method::GET, ApiMethod::new()).build().unwrap();
        let stage = Stage::new("prod", "v1").settings("/time/GET", settings);
        Stages::builder().deployment(Deployment::new("v1", routes)).stage(stage).build().unwrap()
    };
    let build = |stages: Stages| {
        let cache = Cache::builder().build().unwrap();
        Gateway::builder()
            .stages(stages)
            .cache(CacheLayer::new(cache.clone()))
            .build()
            .map(|built| (built, cache))
    };
    let error = build(with_settings(encrypted())).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`data_encrypted` of `/time/GET` on stage `prod` and cache: the cache has no keys to encrypt with, and would store nothing"
    );
    let off = MethodSettings::new().caching(CacheSettings::new().data_encrypted(true).enabled(false));
    assert!(build(with_settings(off)).is_ok());
    #[cfg(feature = "cache-encryption")]
    {
        let keys = tower_gateway::cache::EncryptionKeys::new(&[3; 32]).unwrap();
        let layer = CacheLayer::new(Cache::builder().encryption(keys).build().unwrap());
        assert!(Gateway::builder().stages(with_settings(encrypted())).cache(layer).build().is_ok());
    }
    // What comes later is not cached, and the reason says so.
    run(async {
        let stages = with_settings(MethodSettings::new());
        let (gateway, cache) = build(stages.clone()).unwrap();
        let service = gateway.layer(counting());
        stages.set_settings("prod", "/time/GET", encrypted()).unwrap();
        for body in ["call 1", "call 2"] {
            assert_eq!(through(&service, get("/prod/time")).await.body(), body);
        }
        assert_eq!(cache.stats().missed(NoCacheReason::NotEncrypted), 2);
    });
}

/// What was stored before a deployment may be served again after it is rolled back.
#[test]
fn a_change_between_a_deployment_and_its_roll_back_is_seen_after_both() {
    run(async {
        let routes = || {
            let both = Routes::builder().method("/time", Method::GET, ApiMethod::new());
            both.method("/time", Method::POST, ApiMethod::new()).build().unwrap()
        };
        let stages = Stages::builder()
            .deployment(Deployment::new("v1", routes()))
            .deployment(Deployment::new("v2", routes()))
            .stage(Stage::new("prod", "v1"))
            .stage(Stage::new("other", "v2"))
            .build()
            .unwrap();
        let origin =
            Origin::sync(|_, call| with(answer(format!("call {call}")), "cache-control", "max-age=600"));
        let cache = Cache::builder().rfc9111(Rfc9111::new()).build().unwrap();
        let router = StageRouter::new(stages.clone()).layer(CacheLayer::new(cache).layer(origin.clone()));
        let send = async |method: &str, path: &str| {
            let answer = router.clone().oneshot(request(method, path, &[])).await.unwrap().into_body();
            String::from_utf8(answer.collect().await.unwrap().to_bytes().to_vec()).unwrap()
        };
        assert_eq!(send("GET", "/prod/time").await, "call 1");
        assert_eq!(send("GET", "/other/time").await, "call 2");
        // One deployment each: what another stage has is not concerned.
        assert_eq!(send("POST", "/prod/time").await, "call 3");
        assert_eq!([send("GET", "/prod/time").await, send("GET", "/other/time").await], ["call 4", "call 2"]);
        stages.deploy("prod", "v2").unwrap();
        assert_eq!([send("GET", "/prod/time").await, send("POST", "/prod/time").await], ["call 5", "call 6"]);
        stages.roll_back("prod").unwrap();
        assert_eq!(send("GET", "/prod/time").await, "call 7");
    });
}

/// A service that hangs has failed like any other.
#[test]
fn a_stale_answer_stands_in_for_a_service_that_the_gateway_gives_up() {
    run(async {
        let clock = ManualClock::at_unix_seconds(1_795_331_880);
        let cache = Cache::builder().clock(clock.clock()).rfc9111(Rfc9111::new()).build().unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let inner = service_fn(move |_: Request<Inner>| {
            let call = calls.fetch_add(1, SeqCst);
            async move {
                if call > 0 {
                    std::future::pending::<()>().await;
                }
                let answer = Response::builder().header("cache-control", "max-age=1, stale-if-error=3600");
                Ok::<_, Infallible>(answer.body(Full::<Bytes>::from("call 1")).unwrap())
            }
        });
        let builder = Gateway::builder().clock(clock.clock()).cache(CacheLayer::new(cache));
        let service = builder.build().unwrap().layer(inner);
        through(&service, get("/")).await;
        for (later, status) in [(2, 200), (3_600, 504)] {
            clock.advance(SECOND * later);
            let mut asked = Box::pin(through(&service, get("/")));
            assert!(poll_some(&mut asked).await.is_pending());
            clock.advance(SECOND * 29);
            let answer = asked.await;
            assert_eq!(answer.status(), status);
            if status == 200 {
                assert_eq!(answer.body(), "call 1");
                let told = answer.headers()["cache-status"].to_str().unwrap();
                assert!(told.starts_with("tower-gateway; fwd=stale; fwd-status=504"), "{told}");
            }
        }
    });
}

/// The next canary of the same deployment finds what the one before has stored.
#[test]
fn a_change_between_two_canaries_is_seen_by_the_second() {
    run(async {
        let stages = with_canary(false, "v1");
        let send = through_releases(&stages);
        assert_eq!([send("GET").await, send("GET").await], ["call 1", "call 1"]);
        stages.remove_canary("prod").unwrap();
        assert_eq!(send("POST").await, "call 2");
        stages.set_canary("prod", CanarySettings::new("v1", 100.0)).unwrap();
        assert_eq!(send("GET").await, "call 3");
    });
}
