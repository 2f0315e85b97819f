//! Stages, deployments, canaries, custom domains.

mod recorded;
#[cfg(feature = "sigv4")]
mod signatures;

use crate::support::{Strict, assert_service, get, run, through};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_gateway::{
    context::{RequestContext, RequestContextLayer},
    route::{ApiMethod, MethodSettings, Routes},
    stage::{CanarySettings, CustomDomain, Deployment, NoRoute, Stage, StageRouter, Stages},
    throttle::Throttle,
};

type Answer = Response<Full<Bytes>>;
/// Templates by resource path and verb.
type Answers = HashMap<(String, String), String>;

/// Answers what the context says, one line.
fn tell() -> impl Service<Request<Full<Bytes>>, Response = Answer, Error = Infallible, Future: Send> + Clone {
    service_fn(|request: Request<Full<Bytes>>| async move {
        let context = RequestContext::of(request.extensions()).unwrap();
        let text = format!(
            "{} {} {} {}",
            context.stage().unwrap(),
            context.deployment_id().unwrap(),
            context.resource_path().unwrap(),
            request.uri(),
        );
        Ok(Response::new(Full::from(text)))
    })
}

fn pets() -> Routes {
    Routes::builder()
        .method("/pets", Method::GET, ApiMethod::new())
        .method("/pets/{id}", Method::GET, ApiMethod::new())
        .build()
        .unwrap()
}

async fn ask(stages: &Stages, request: Request<Full<Bytes>>) -> (u16, String) {
    let answer = StageRouter::new(stages.clone()).layer(tell()).oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    (status, String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

fn with_host(host: &str, path: &str) -> Request<Full<Bytes>> {
    Request::builder().uri(path).header("host", host).body(Full::default()).unwrap()
}

const FORBIDDEN: &str = r#"{"message":"Forbidden"}"#;
const NO_TOKEN: &str = r#"{"message":"Missing Authentication Token"}"#;
const BAD_REQUEST: &str = r#"{"message":"Bad Request"}"#;

#[test]
fn stages_are_named_in_the_path_and_the_default_stage_takes_the_rest() {
    run(async {
        let stages = Stages::builder()
            .deployment(Deployment::new("v1", pets()))
            .deployment(Deployment::catch_all("all"))
            .stage(Stage::new("prod", "v1"))
            .stage(Stage::new("$default", "all"))
            .build()
            .unwrap();
        for (path, line) in [
            ("/prod/pets/7?x=1", "prod v1 /pets/{id} /pets/7?x=1"),
            ("/prod/pets/", "prod v1 /pets /pets/"),
            ("//prod/pets", "prod v1 /pets /pets"),
            ("/prod//pets", "prod v1 /pets /pets"),
            ("/pr%6fd/pets", "prod v1 /pets /pets"),
            ("/products/x//y", "$default all /{proxy+} /products/x//y"),
            ("/$default/x", "$default all /{proxy+} /$default/x"),
            ("/$d%65fault/x", "$default all /{proxy+} /$d%65fault/x"),
            ("/", "$default all / /"),
        ] {
            assert_eq!(ask(&stages, get(path)).await, (200, line.to_owned()), "{path}");
        }
        assert_eq!(ask(&stages, get("/prod")).await, (403, NO_TOKEN.to_owned()));
    });
}

#[test]
fn refusals_are_the_documented_bytes_and_never_reach_the_service() {
    run(async {
        let stages = Stages::single("prod", pets()).unwrap();
        let post = Request::post("/prod/pets").body(Full::default()).unwrap();
        let two_hosts = |target: &str| {
            let request = Request::get(target).header("host", "a.example").header("host", "a.example");
            request.body(Full::default()).unwrap()
        };
        for (request, status, body) in [
            (get("/dev/pets"), 403, FORBIDDEN),
            (get("/prod/dogs"), 403, NO_TOKEN),
            (post, 403, NO_TOKEN),
            (get("/prod/../pets"), 400, BAD_REQUEST),
            (get("/prod/%2e%2E/pets"), 400, BAD_REQUEST),
            (get("/prod/pets/%zz"), 400, BAD_REQUEST),
            (get("/prod/pets/..%2fadmin"), 400, BAD_REQUEST),
            (two_hosts("/prod/pets"), 400, BAD_REQUEST),
            (two_hosts("https://a.example/prod/pets"), 400, BAD_REQUEST),
        ] {
            let (answer, calls) = through(StageRouter::new(stages.clone()), request).await;
            assert_eq!((answer.status().as_u16(), &answer.body()[..], calls), (status, body.as_bytes(), 0));
        }
        assert_eq!(through(StageRouter::new(stages), get("/prod/pets")).await.1, 1);
    });
}

#[test]
fn a_target_without_a_path_is_refused_and_nothing_panics() {
    run(async {
        let named = Stages::single("prod", pets()).unwrap();
        let at_root = Stages::single("$default", pets()).unwrap();
        let domain = CustomDomain::new("a.example").mapping("", "prod");
        named.set_domain(domain).unwrap();
        for (stages, uri, body) in [
            (&named, "b.example:443", FORBIDDEN),
            (&at_root, "b.example:443", NO_TOKEN),
            (&named, "a.example:443", NO_TOKEN),
            (&named, "*", FORBIDDEN),
            (&at_root, "*", NO_TOKEN),
        ] {
            let method = if uri == "*" { Method::OPTIONS } else { Method::CONNECT };
            let request = Request::builder().method(method).uri(uri).body(Full::default()).unwrap();
            assert_eq!(ask(stages, request).await, (403, body.to_owned()), "{uri}");
        }
    });
}

#[test]
fn the_domain_name_is_known_over_both_versions_of_http() {
    run(async {
        let name = service_fn(|request: Request<Full<Bytes>>| async move {
            let context = RequestContext::of(request.extensions()).unwrap();
            let name = context.variable("domainName").map(|name| name.into_owned()).unwrap_or_default();
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(name)))
        });
        let router = StageRouter::new(Stages::single("prod", pets()).unwrap()).layer(name);
        for (request, expected) in [
            (with_host("api.example:8080", "/prod/pets"), "api.example"),
            (with_host("api.example", "https://h2.example/prod/pets"), "h2.example"),
            (get("/prod/pets"), ""),
        ] {
            let answer = router.clone().oneshot(request).await.unwrap();
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), expected);
        }
    });
}

#[test]
fn what_is_declared_nowhere_belongs_to_its_stage_all_the_same() {
    let stage = Stage::new("prod", "v1").variable("color", "red").canary(CanarySettings::new("v1", 0.0));
    let stages = Stages::builder().deployment(Deployment::new("v1", pets())).stage(stage).build().unwrap();
    let known = |method: Method, path: &str| {
        let router = StageRouter::new(stages.clone()).layer(tell());
        let known = service_fn(move |request: Request<Full<Bytes>>| {
            let context = RequestContext::of(request.extensions()).unwrap().clone();
            let answer = router.clone().oneshot(request);
            async move {
                assert_ne!(answer.await?.status(), 200);
                let names = ["stage", "deploymentId", "isCanaryRequest", "resourcePath"];
                let values = names.map(|name| context.variable(name).unwrap_or("-".into()).into_owned());
                let color = context.stage_variable("color").unwrap_or("-");
                let text = format!("{} {color}", values.join(" "));
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(text)))
            }
        });
        let request = Request::builder().method(method).uri(path);
        let request = request.header("access-control-request-method", "GET").body(Full::default()).unwrap();
        let answer = run(RequestContextLayer::new().layer(known).oneshot(request)).unwrap();
        String::from_utf8(run(answer.into_body().collect()).unwrap().to_bytes().to_vec()).unwrap()
    };
    let of_stage = "prod v1 false - red";
    assert_eq!(known(Method::GET, "/prod/dogs"), of_stage);
    assert_eq!(known(Method::DELETE, "/prod/pets"), of_stage);
    // Two preflights, of a resource and of none.
    assert_eq!(known(Method::OPTIONS, "/prod/pets"), of_stage);
    assert_eq!(known(Method::OPTIONS, "/prod/dogs"), of_stage);
    for path in ["/nowhere/pets", "/prod/../pets"] {
        assert_eq!(known(Method::GET, path), "- - - - -");
    }
}

#[test]
fn an_honest_404_is_one_setting_away() {
    run(async {
        let stages = Stages::builder()
            .deployment(Deployment::new("v1", pets()))
            .stage(Stage::new("prod", "v1"))
            .no_route(NoRoute::NotFound)
            .build()
            .unwrap();
        assert_eq!(
            ask(&stages, get("/prod/dogs")).await,
            (404, r#"{"message":"Resource not found"}"#.to_owned())
        );
    });
}

#[test]
fn deploy_roll_back_history_and_deletion() {
    run(async {
        let stages = Stages::single("prod", pets()).unwrap();
        stages.create_deployment(Deployment::catch_all("v2").description("everything")).unwrap();
        assert!(stages.create_deployment(Deployment::catch_all("v2")).is_err());
        assert_eq!(ask(&stages, get("/prod/dogs")).await.0, 403);
        stages.deploy("prod", "v2").unwrap();
        assert_eq!(ask(&stages, get("/prod/dogs")).await.1, "prod v2 /{proxy+} /dogs");
        let error = stages.delete_deployment("v2").unwrap_err();
        assert_eq!(error.problem(), "Active stages pointing to this deployment must be moved or deleted");
        assert_eq!(stages.history("prod"), ["initial", "v2"]);
        assert_eq!(stages.roll_back("prod").unwrap(), "initial");
        assert_eq!(ask(&stages, get("/prod/pets")).await.1, "prod initial /pets /pets");
        stages.delete_deployment("v2").unwrap();
        assert_eq!(stages.deploy("prod", "v2").unwrap_err().problem(), "Deployment id does not exist");
        assert!(stages.roll_back("prod").is_err());
        assert_eq!(ask(&stages, get("/prod/pets")).await.0, 200, "a failed change changes nothing");
        stages.create_stage(Stage::new("dev", "initial")).unwrap();
        assert_eq!(ask(&stages, get("/dev/pets")).await.0, 200);
        stages.delete_stage("dev").unwrap();
        assert_eq!(ask(&stages, get("/dev/pets")).await, (403, FORBIDDEN.to_owned()));
    });
}

/// Settings belong to the stage: those of a method that a deployment lacks wait, and hold no deployment up.
#[test]
fn settings_of_a_method_that_another_deployment_has_hold_nothing_up() {
    run(async {
        let throttle = |burst| MethodSettings::new().throttle(Throttle::new(0.0, burst).unwrap());
        let both = Routes::builder().method("/pets", Method::GET, ApiMethod::new()).method(
            "/pets",
            Method::POST,
            ApiMethod::new(),
        );
        let stages = Stages::builder()
            .deployment(Deployment::new("v1", pets()))
            .deployment(Deployment::new("v2", both.build().unwrap()))
            .stage(Stage::new("prod", "v1").settings("pets/{id}/GET", throttle(7)))
            .build()
            .unwrap();
        stages.set_settings("prod", "pets/POST", throttle(5)).unwrap();
        let waits = |key: &str| vec![("prod".to_owned(), key.to_owned())];
        assert_eq!(stages.unused_settings(), waits("pets/POST"));
        stages.set_canary("prod", CanarySettings::new("v2", 1.0)).unwrap();
        assert_eq!(stages.unused_settings(), [], "the canary has it");
        stages.remove_canary("prod").unwrap();
        stages.deploy("prod", "v2").unwrap();
        assert_eq!(stages.unused_settings(), waits("pets/{id}/GET"));
        let limited = |stages: &Stages| {
            let throttles = stages.throttles("prod", &tower_gateway::clock::Clock::default());
            throttles.iter().map(|of| (of.method.clone(), of.throttle.burst_limit())).collect::<Vec<_>>()
        };
        assert_eq!(limited(&stages), [("POST".to_owned(), 5)]);
        assert_eq!(stages.roll_back("prod").unwrap(), "v1");
        assert_eq!(limited(&stages), [("GET".to_owned(), 7)]);
        assert_eq!(ask(&stages, get("/prod/pets")).await.1, "prod v1 /pets /pets");
        for nonsense in ["dogs/GET", "pets/PUT", "pets/*"] {
            let error = stages.set_settings("prod", nonsense, throttle(1)).unwrap_err();
            assert_eq!((error.value(), error.problem()), (nonsense, "names no declared method"));
        }
        assert_eq!(stages.unused_settings(), waits("pets/POST"), "a failed change changes nothing");
    });
}

#[test]
fn a_deployment_that_is_deleted_leaves_the_history() {
    let deployments = ["v1", "v2", "v3"].map(|id| Deployment::new(id, pets()));
    let builder =
        deployments.into_iter().fold(Stages::builder(), tower_gateway::stage::StagesBuilder::deployment);
    let stages = builder.stage(Stage::new("prod", "v1")).build().unwrap();
    for id in ["v2", "v1", "v3"] {
        stages.deploy("prod", id).unwrap();
    }
    stages.delete_deployment("v2").unwrap();
    assert_eq!(stages.history("prod"), ["v1", "v3"]);
    assert_eq!(stages.roll_back("prod").unwrap(), "v1");
}

#[test]
fn history_is_bounded_and_keeps_what_roll_backs_need() {
    let builder = |limit| {
        let deployments = (0..10).map(|number| Deployment::new(format!("v{number}"), pets()));
        let builder = deployments.fold(Stages::builder(), tower_gateway::stage::StagesBuilder::deployment);
        builder.stage(Stage::new("prod", "v0")).history_limit(limit).build()
    };
    let stages = builder(3).unwrap();
    for round in 0..1_000 {
        stages.deploy("prod", &format!("v{}", round % 9)).unwrap();
    }
    // 999 % 9 is 0.
    assert_eq!(stages.history("prod"), ["v7", "v8", "v0"]);
    stages.set_canary("prod", CanarySettings::new("v4", 1.0)).unwrap();
    assert_eq!(stages.prune_deployments(), ["v1", "v2", "v3", "v5", "v6", "v9"]);
    stages.remove_canary("prod").unwrap();
    assert_eq!([(); 2].map(|()| stages.roll_back("prod").unwrap()), ["v8", "v7"]);
    assert!(stages.roll_back("prod").unwrap_err().problem().contains("no earlier deployment"));
    assert_eq!(stages.stage("prod").unwrap().deployment_id(), "v7");

    let single = builder(1).unwrap();
    single.deploy("prod", "v1").unwrap();
    assert_eq!(single.history("prod"), ["v1"], "the one that runs");
    assert!(single.roll_back("prod").is_err());
    assert_eq!(builder(0).unwrap_err().value(), "0");
}

#[test]
fn canary_takes_its_share_promotes_and_ends() {
    run(async {
        let stages = Stages::builder()
            .deployment(Deployment::new("v1", pets()))
            .deployment(Deployment::new("v2", pets()))
            .stage(Stage::new("prod", "v1").variable("back", "one").variable("kept", "yes"))
            .build()
            .unwrap();
        let share = |percent| {
            let stages = stages.clone();
            async move {
                let canary = CanarySettings::new("v2", percent).override_variable("back", "two");
                stages.set_canary("prod", canary).unwrap();
                let mut count = 0;
                for _ in 0..2_000 {
                    count += usize::from(ask(&stages, get("/prod/pets")).await.1.starts_with("prod v2"));
                }
                count
            }
        };
        assert_eq!(share(0.0).await, 0);
        assert_eq!(share(100.0).await, 2_000);
        let quarter = share(25.0).await;
        assert!(
            (400..=600).contains(&quarter),
            "{quarter} of 2000 at 25 % is beyond five standard deviations"
        );
        assert!(stages.deploy("prod", "v1").unwrap_err().problem().contains("canary"));
        assert!(stages.roll_back("prod").is_err());
        stages.promote_canary("prod").unwrap();
        assert!(ask(&stages, get("/prod/pets")).await.1.starts_with("prod v2"));
        stages.remove_canary("prod").unwrap();
        let error = stages.promote_canary("prod").unwrap_err();
        assert_eq!(error.problem(), "Promotion not available. Canary does not exist.");
        let variables =
            StageRouter::new(stages.clone()).layer(service_fn(|request: Request<Full<Bytes>>| async move {
                let context = RequestContext::of(request.extensions()).unwrap();
                assert_eq!(
                    (context.stage_variable("back"), context.stage_variable("kept")),
                    (Some("two"), Some("yes"))
                );
                assert_eq!(context.is_canary_request(), None);
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
            }));
        variables.oneshot(get("/prod/pets")).await.unwrap();
        stages.deploy("prod", "v2").unwrap();
        assert_eq!(stages.history("prod"), ["v1", "v2"], "the same deployment again is no new step");
        assert_eq!(stages.roll_back("prod").unwrap(), "v1");
        stages.remove_variable("prod", "back").unwrap();
        assert_eq!(stages.remove_variable("prod", "back").unwrap_err().value(), "back");
        assert!(stages.set_canary("prod", CanarySettings::new("v2", 101.0)).is_err());
        assert!(stages.set_canary("prod", CanarySettings::new("nope", 1.0)).is_err());
    });
}

#[test]
fn custom_domains_map_base_paths_and_hide_the_default_endpoint() {
    run(async {
        let stages = Stages::builder()
            .deployment(Deployment::new("v1", pets()))
            .stage(Stage::new("prod", "v1"))
            .stage(Stage::new("shop", "v1"))
            .domain(CustomDomain::new("api.example.com").mapping("store/v1", "shop").mapping("", "prod"))
            .domain(CustomDomain::new("*.example.com").mapping("only", "shop"))
            .disable_default_endpoint(true)
            .build()
            .unwrap();
        for (host, path, expected) in [
            ("api.example.com", "/store/v1/pets?q", (200, "shop v1 /pets /pets?q")),
            ("API.example.com:8443", "/pets/9", (200, "prod v1 /pets/{id} /pets/9")),
            ("api.example.com.", "/store/v1X/pets", (403, NO_TOKEN)),
            ("other.example.com", "/only/pets", (200, "shop v1 /pets /pets")),
            ("other.example.com", "/pets", (403, FORBIDDEN)),
            ("localhost", "/prod/pets", (403, FORBIDDEN)),
        ] {
            let answer = ask(&stages, with_host(host, path)).await;
            assert_eq!((answer.0, answer.1.as_str()), expected, "{host} {path}");
        }
        let mut twice = with_host("api.example.com", "/pets");
        twice.headers_mut().append("host", "localhost".parse().unwrap());
        assert_eq!(ask(&stages, twice).await, (400, BAD_REQUEST.to_owned()));
        assert_eq!(ask(&stages, get("/prod/pets")).await.0, 403);
        let listed = stages.domains();
        let api: Vec<_> = listed[1].mappings().collect();
        assert_eq!(
            listed.iter().map(CustomDomain::name).collect::<Vec<_>>(),
            ["*.example.com", "api.example.com"]
        );
        assert_eq!(api, [("store/v1", "shop"), ("", "prod")]);
        stages.remove_domain("API.example.com").unwrap();
        assert_eq!(stages.domains().len(), 1);
        let wildcard = ask(&stages, with_host("api.example.com", "/only/pets")).await;
        assert_eq!(wildcard, (200, "shop v1 /pets /pets".to_owned()));
        let gone = stages.remove_domain("api.example.com").unwrap_err();
        assert_eq!((gone.value(), gone.problem()), ("api.example.com", "does not exist"));
    });
}

#[test]
fn faults_of_configuration_are_named() {
    let v1 = || Stages::builder().deployment(Deployment::new("v1", pets()));
    let table = Routes::builder().any("/pets", ApiMethod::new()).build().unwrap();
    let any = || Stages::builder().deployment(Deployment::new("any", table.clone()));
    let throttle = MethodSettings::new().throttle(Throttle::new(1.0, 1).unwrap());
    for (builder, value) in [
        (v1(), ""),
        (v1().stage(Stage::new("no stage", "v1")), "no stage"),
        (v1().stage(Stage::new("s", "v9")), "v9"),
        (v1().stage(Stage::new("s", "v1")).stage(Stage::new("s", "v1")), "s"),
        (v1().stage(Stage::new("s", "v1").variable("a-b", "x")), "a-b"),
        (
            v1().stage(Stage::new("s", "v1"))
                .domain(CustomDomain::new("a.example").mapping("", "s"))
                .domain(CustomDomain::new("A.example").mapping("x", "s")),
            "a.example",
        ),
        (v1().stage(Stage::new("s", "v1").variable("a", "x y")), "x y"),
        (v1().stage(Stage::new("s", "v1").settings("dogs/GET", throttle)), "dogs/GET"),
        (any().stage(Stage::new("s", "any").settings("pets/*", throttle)), "pets/*"),
        (any().stage(Stage::new("s", "any").settings("pets/get", throttle)), "pets/get"),
        (any().stage(Stage::new("s", "any").settings("pets/", throttle)), "pets/"),
        (any().stage(Stage::new("s", "any").settings("pets/PROPFIND", throttle)), "pets/PROPFIND"),
        (v1().stage(Stage::new("s", "v1")).domain(CustomDomain::new("a.example").mapping("", "t")), "t"),
    ] {
        assert_eq!(builder.build().unwrap_err().value(), value);
    }
    let verbs = Stage::new("s", "any").settings("pets/ANY", throttle).settings("pets/PATCH", throttle);
    assert!(any().stage(verbs).build().is_ok());
    let stages = v1().stage(Stage::new("s", "v1").settings("*/*", throttle)).build().unwrap();
    stages.remove_settings("s", "*/*").unwrap();
    let error = stages.remove_settings("s", "*/*").unwrap_err();
    let text = "Cannot remove method setting */* because there is no method setting for this method ";
    assert_eq!(error.problem(), text);
    stages.set_settings("s", "~1pets/GET", throttle).unwrap();
    assert!(stages.set_settings("s", "pets/PUT", throttle).is_err());
}

/// 4 threads ask while deployments swap: nobody is refused, and what a request says of itself never mixes.
#[test]
fn swaps_under_traffic_lose_and_misroute_nothing() {
    let marked = |id: &str| {
        let path = format!("/{id}/{{x}}");
        Deployment::new(
            id,
            Routes::builder().any(&path, ApiMethod::new()).any("/both", ApiMethod::new()).build().unwrap(),
        )
    };
    let stages = Stages::builder()
        .deployment(marked("a"))
        .deployment(marked("b"))
        .stage(Stage::new("prod", "a"))
        .build()
        .unwrap();
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                run(async {
                    while !stop.load(Ordering::Relaxed) {
                        let (status, line) = ask(&stages, get("/prod/both")).await;
                        assert_eq!(status, 200);
                        assert!(line == "prod a /both /both" || line == "prod b /both /both", "{line}");
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                });
            });
        }
        for round in 0..500 {
            if round % 3 == 2 {
                stages.roll_back("prod").unwrap();
            } else {
                stages.deploy("prod", if round % 2 == 0 { "b" } else { "a" }).unwrap();
            }
        }
        while served.load(Ordering::Relaxed) < 1_000 {
            std::thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_request_in_flight_stays_on_its_deployment() {
    run(async {
        let stages = Stages::single("prod", pets()).unwrap();
        let (entered, wait) = (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
        let (inside, release) = (Arc::clone(&entered), Arc::clone(&wait));
        let slow = service_fn(move |request: Request<Full<Bytes>>| {
            let (inside, release) = (Arc::clone(&inside), Arc::clone(&release));
            async move {
                inside.notify_one();
                release.notified().await;
                let context = RequestContext::of(request.extensions()).unwrap();
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(
                    context.deployment_id().unwrap().to_owned(),
                )))
            }
        });
        let service = StageRouter::new(stages.clone()).layer(slow);
        let flight = tokio::spawn(service.oneshot(get("/prod/pets")));
        entered.notified().await;
        stages.create_deployment(Deployment::catch_all("v2")).unwrap();
        stages.deploy("prod", "v2").unwrap();
        stages.delete_deployment("initial").unwrap();
        wait.notify_one();
        let body = flight.await.unwrap().unwrap().into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "initial");
    });
}

#[test]
fn it_is_a_service_for_servers_and_wraps_axum_from_outside() {
    let stages = Stages::single("prod", pets()).unwrap();
    assert_service(&StageRouter::new(stages.clone()).layer(Strict::default()));
    run(async {
        let router = axum::Router::new().route("/pets/{id}", axum::routing::get(|| async { "axum" }));
        let service = StageRouter::new(stages).layer(router);
        let answer = service.oneshot(get("/prod/pets/1")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    });
}
