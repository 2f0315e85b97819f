//! The assembled gateway: order of the phases, senseless combinations, allocations, hostile input over a socket.

mod head;
mod hostile;
mod late_refusals;
mod nested;
mod recorded;
mod unread;
mod uploads;
#[cfg(all(feature = "mtls", feature = "policy", feature = "tracing"))]
mod wrapped;

use crate::support::{Strict, assert_service, over_hyper, run};
use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use std::{convert::Infallible, time::Duration};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_gateway::{
    GatewayBody,
    api_key::{ApiKey, ApiKeys},
    body::BoxError,
    clock::ManualClock,
    context::{ApiKind, PrincipalLayer, RequestContext},
    cors::{Cors, CorsLayer},
    filter::{FilterLayer, Verdict},
    gateway::{BuildError, Gateway, GatewayBuilder},
    payload_limit::PayloadLimitLayer,
    response::{Cause, GatewayError, GatewayResponse, GatewayResponses, ResponseType},
    route::{ApiMethod, MethodSettings, Routes},
    stage::{Deployment, Stage, Stages},
    throttle::Throttle,
    timeout::TimeoutLayer,
    usage_plan::{Quota, QuotaPeriod, UsagePlan, UsagePlans},
};

const FREE: &str = "free-0123456789abcdefghij";
const RATE: &str = "rate-0123456789abcdefghij";
const SPENT: &str = "spent-0123456789abcdefghij";

fn keys() -> ApiKeys {
    let key = |id: &str, value: &str| ApiKey::new(id).value(value);
    ApiKeys::builder().key(key("free", FREE)).key(key("rate", RATE)).key(key("spent", SPENT)).build().unwrap()
}

/// `free` admits, `rate` throttles all (and its quota is empty too), `spent` has an empty quota.
fn plans() -> UsagePlans {
    let none = || Quota::new(0, QuotaPeriod::Day).unwrap();
    let full = Throttle::new(1_000.0, 1_000).unwrap();
    UsagePlans::builder()
        .plan(UsagePlan::new("free").throttle(full).quota(Quota::new(1_000_000, QuotaPeriod::Month).unwrap()))
        .plan(UsagePlan::new("rate").throttle(Throttle::new(1.0, 0).unwrap()).quota(none()))
        .plan(UsagePlan::new("spent").throttle(full).quota(none()))
        .attach("free", "free")
        .attach("rate", "rate")
        .attach("spent", "spent")
        .build()
        .unwrap()
}

fn stages() -> Stages {
    let keyed = ApiMethod::new().api_key_required(true);
    let routes = Routes::builder()
        .method("/pets", Method::GET, keyed.clone())
        .method("/pets", Method::POST, keyed)
        .method("/open", Method::POST, ApiMethod::new())
        .method("/open", Method::GET, ApiMethod::new())
        .build()
        .unwrap();
    Stages::builder()
        .deployment(Deployment::new("v1", routes))
        .stage(Stage::new("prod", "v1"))
        .build()
        .unwrap()
}

fn cors() -> CorsLayer {
    cors_of(Cors::new())
}

fn cors_of(cors: Cors) -> CorsLayer {
    cors.allow_origins(["https://shop.example"]).allow_methods(["GET", "POST"]).build().unwrap()
}

fn full_gateway() -> GatewayBuilder {
    let filter = FilterLayer::new(|head, _| match head.headers.contains_key("x-block") {
        true => Verdict::Block,
        false => Verdict::Pass,
    });
    Gateway::builder().stages(stages()).api_keys(keys()).usage_plans(plans()).cors(cors()).filter(filter)
}

/// Faults of one request, outermost phase first: a request with all faults from one phase on is answered by it.
const PHASES: [(&str, u16, Option<Cause>); 9] = [
    ("filter", 403, Some(Cause::Filtered)),
    ("preflight", 204, None),
    ("stage", 403, Some(Cause::UnknownStage)),
    ("limits", 413, Some(Cause::ContentLengthTooLarge)),
    ("no key", 403, Some(Cause::ApiKeyMissing)),
    ("throttle", 429, Some(Cause::PlanThrottle)),
    ("quota", 429, Some(Cause::Quota)),
    ("timeout", 504, Some(Cause::IntegrationTimeout)),
    ("service", 200, None),
];

fn faulty(first: usize, upgrade: bool) -> Request<Full<Bytes>> {
    let from =
        |name: &str| PHASES.iter().position(|phase| phase.0 == name).is_some_and(|index| index >= first);
    let method = if from("preflight") { Method::OPTIONS } else { Method::GET };
    let stage = if from("stage") { "nowhere" } else { "prod" };
    let slow = if from("timeout") { "slow" } else { "quick" };
    let mut request = Request::builder().method(method).uri(format!("/{stage}/pets?{slow}"));
    request = request.header("origin", "https://shop.example").header("access-control-request-method", "GET");
    if from("filter") {
        request = request.header("x-block", "1");
    }
    if from("limits") {
        request = request.header("content-length", "10485761");
    }
    if !from("no key") {
        let key = if from("throttle") {
            RATE
        } else if from("quota") {
            SPENT
        } else {
            FREE
        };
        request = request.header("x-api-key", key);
    }
    if upgrade {
        request = request.header("connection", "upgrade").header("upgrade", "websocket");
    }
    request.body(Full::default()).unwrap()
}

#[test]
fn the_order_of_the_phases_for_http_and_for_websocket_upgrades() {
    run(async {
        for upgrade in [false, true] {
            for (index, (name, status, cause)) in PHASES.into_iter().enumerate() {
                let time = ManualClock::at_unix_seconds(0);
                let slow = time.clone();
                let service = service_fn(move |request: Request<GatewayBody<Full<Bytes>>>| {
                    let slow = slow.clone();
                    async move {
                        if request.uri().query() == Some("slow") {
                            slow.advance(Duration::from_secs(30));
                            std::future::pending::<()>().await;
                        }
                        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("inner")))
                    }
                });
                let gateway = full_gateway().clock(time.clock()).build().unwrap().layer(service);
                let flight = gateway.oneshot(faulty(index, upgrade));
                let answer = tokio::select! {
                    biased;
                    answer = flight => answer.unwrap(),
                    () = async { loop { tokio::task::yield_now().await; time.advance(Duration::from_secs(30)); } } => unreachable!(),
                };
                assert_eq!(answer.status().as_u16(), status, "{name}");
                assert_eq!(
                    answer.extensions().get::<GatewayError>().map(GatewayError::cause),
                    cause,
                    "{name}"
                );
                // A blocked preflight shows nobody what is allowed.
                let origin = (name != "filter").then_some("https://shop.example");
                let shown = answer.headers().get("access-control-allow-origin");
                assert_eq!(shown.map(|value| value.to_str().unwrap()), origin, "{name}");
                assert_eq!(answer.headers()["x-amzn-requestid"].len(), 36, "{name}");
            }
        }
    });
}

#[test]
fn a_preflight_whose_path_two_readers_take_for_two_is_refused() {
    run(async {
        let service = full_gateway().build().unwrap().layer(Strict::default());
        for (path, status, cause) in [
            ("/prod/%2e%2e/pets", 400, Some(Cause::DotSegment)),
            ("/prod/pets%00", 400, Some(Cause::InvalidEscape)),
            ("/nowhere/pets", 204, None),
            ("/prod/dogs", 204, None),
        ] {
            let mut request = faulty(PHASES.len(), false);
            *request.uri_mut() = path.parse().unwrap();
            *request.method_mut() = Method::OPTIONS;
            let answer = service.clone().oneshot(request).await.unwrap();
            assert_eq!(answer.status().as_u16(), status, "{path}");
            assert_eq!(answer.extensions().get::<GatewayError>().map(GatewayError::cause), cause, "{path}");
            let shown = answer.headers().contains_key("access-control-allow-origin");
            assert_eq!(shown, status == 204, "{path}");
        }
    });
}

#[test]
fn refused_requests_cost_nothing_and_never_reach_the_service() {
    run(async {
        let plans = plans();
        let strict = Strict::default();
        let gateway = full_gateway().usage_plans(plans.clone()).build().unwrap().layer(strict.clone());
        for index in 0..7 {
            gateway.clone().oneshot(faulty(index, false)).await.unwrap();
        }
        assert_eq!(strict.called(), 0);
        let used = plans.usage("free", Some("free"), "1970-01-01", "1970-01-01").unwrap().to_json();
        assert!(!used.contains("[1,"), "{used}");
        gateway.oneshot(faulty(8, false)).await.unwrap();
        assert_eq!(strict.called(), 1);
    });
}

#[test]
fn senseless_stacks_name_both_parts() {
    let conflict = |builder: GatewayBuilder| match builder.build() {
        Err(BuildError::Conflict { part, other, .. }) => (part, other),
        other => panic!("{other:?}"),
    };
    let keyed = Routes::builder().any("/a", ApiMethod::new().api_key_required(true)).build().unwrap();
    let open = Routes::catch_all();
    assert_eq!(conflict(Gateway::builder().routes(keyed)), ("method `ANY /a`".to_owned(), "api_keys"));
    assert_eq!(conflict(Gateway::builder().routes(open).stages(stages()).api_keys(keys())).1, "stages");
    let somebody = PrincipalLayer::new(|_| Some("ada".to_owned()));
    let unasked = conflict(Gateway::builder().usage_plans(plans()).principal(somebody));
    assert_eq!(unasked, ("usage plan `free`".to_owned(), "api_keys or plan_by_principal"));
    let plan = conflict(Gateway::builder().usage_plans(plans()));
    assert_eq!(plan, ("usage plan `free`".to_owned(), "api_keys or plan_by_principal"));
    // Nobody would ever be asked for the keys of these plans.
    let open = || Gateway::builder().routes(Routes::catch_all()).api_keys(keys());
    let unasked = conflict(open().usage_plans(plans()));
    assert_eq!(unasked, ("usage plan `free`".to_owned(), "routes or stages"));
    let keyless = UsagePlans::builder().plan(UsagePlan::new("free")).build().unwrap();
    assert!(open().usage_plans(keyless).build().is_ok(), "stage and account throttles");
    let always = tower_gateway::api_key::ApiKeyLayer::new(keys())
        .require(tower_gateway::api_key::KeyRequirement::Always);
    assert!(open().api_key(always).usage_plans(plans()).build().is_ok());
    let elsewhere = UsagePlan::new("gold").stage("prod").stage("porduction");
    let elsewhere = UsagePlans::builder().plan(elsewhere).build().unwrap();
    let named = conflict(Gateway::builder().stages(stages()).api_keys(keys()).usage_plans(elsewhere));
    assert_eq!(named, ("stage `porduction` of usage plan `gold`".to_owned(), "stages"));
    assert!(Gateway::builder().build().is_ok());
}

#[test]
fn keys_from_an_authorizer_need_one() {
    let layer = tower_gateway::api_key::ApiKeyLayer::new(keys());
    let builder = |layer| Gateway::builder().routes(Routes::catch_all()).api_key(layer);
    let source = tower_gateway::api_key::ApiKeySource::Authorizer;
    match builder(layer.clone().source(source)).build() {
        Err(BuildError::Conflict { part, other, .. }) => {
            assert_eq!((part.as_str(), other), ("api_key with ApiKeySource::Authorizer", "authorizer"));
        }
        other => panic!("{other:?}"),
    }
    assert!(builder(layer).build().is_ok());
}

#[test]
fn a_method_throttle_that_would_never_apply_is_no_gateway() {
    let one = Throttle::new(1.0, 1).unwrap();
    let plans = |stage: &str, key: &str| {
        let plan = UsagePlan::new("gold").method_throttle(stage, key, one);
        UsagePlans::builder().plan(plan).build().unwrap()
    };
    let table = |path: &str, verb| Routes::builder().method(path, verb, ApiMethod::new()).build().unwrap();
    let stages = Stages::builder()
        .deployment(Deployment::new("v1", table("/pets", Method::GET)))
        .deployment(Deployment::new(
            "v2",
            Routes::builder().any("/dogs/{id}", ApiMethod::new()).build().unwrap(),
        ))
        .stage(Stage::new("prod", "v1"))
        .build()
        .unwrap();
    let build = |plans: UsagePlans| {
        Gateway::builder().stages(stages.clone()).api_keys(keys()).usage_plans(plans).build()
    };
    for (stage, key, named) in [
        ("prod", "pets/POST", "method throttle `/pets POST` on stage `prod` of usage plan `gold`"),
        ("test", "pets/GET", "method throttle `/pets GET` on stage `test` of usage plan `gold`"),
        ("", "~1pets/GET", "method throttle `/pets GET` on stage `` of usage plan `gold`"),
    ] {
        match build(plans(stage, key)) {
            Err(BuildError::Conflict { part, other, .. }) => {
                assert_eq!((part.as_str(), other), (named, "stages"));
            }
            other => panic!("{stage} {key}: {other:?}"),
        }
    }
    assert_eq!(build(plans("prod", "~1pets/GET")).unwrap().unused_method_throttles(), [""; 0]);
    // A deployment that is there and does not run yet.
    let gateway = build(plans("prod", "dogs/{id}/PUT")).unwrap();
    let unused = ["method throttle `/dogs/{id} PUT` on stage `prod` of usage plan `gold`"];
    assert_eq!(gateway.unused_method_throttles(), unused);
    stages.set_canary("prod", tower_gateway::stage::CanarySettings::new("v2", 1.0)).unwrap();
    assert_eq!(gateway.unused_method_throttles(), [""; 0]);
    stages.remove_canary("prod").unwrap();
    assert_eq!(gateway.unused_method_throttles(), unused);
}

#[test]
fn a_method_that_needs_a_key_stays_closed_where_no_keys_were_ever_given() {
    run(async {
        let open = Routes::builder().method("/pets", Method::GET, ApiMethod::new()).build().unwrap();
        let stages = Stages::single("prod", open).unwrap();
        let strict = Strict::default();
        let gateway = Gateway::builder().stages(stages.clone()).build().unwrap().layer(strict.clone());
        assert_eq!(gateway.clone().oneshot(allowed()).await.unwrap().status(), 200);
        let keyed = ApiMethod::new().api_key_required(true);
        let closed = Routes::builder().method("/pets", Method::GET, keyed).build().unwrap();
        stages.create_deployment(Deployment::new("closed", closed)).unwrap();
        stages.deploy("prod", "closed").unwrap();
        let refused = gateway.oneshot(allowed()).await.unwrap();
        let cause = refused.extensions().get::<GatewayError>().map(GatewayError::cause);
        assert_eq!((refused.status().as_u16(), cause), (403, Some(Cause::ApiKeyMissing)));
        assert_eq!(strict.called(), 1);
    });
}

#[test]
fn a_stage_throttle_can_be_watched_before_it_is_in_force() {
    run(async {
        let stages = stages();
        let none = MethodSettings::new().throttle(Throttle::new(1.0, 0).unwrap());
        stages.set_settings("prod", "*/*", none.shadow_throttle(true)).unwrap();
        let gateway = full_gateway().stages(stages.clone()).build().unwrap().layer(Strict::default());
        assert_eq!(gateway.clone().oneshot(allowed()).await.unwrap().status(), 200);
        assert_eq!(stages.shadow_count("prod", "pets/GET").unwrap(), 1);
        assert_eq!(stages.shadow_count("prod", "pets/POST").unwrap(), 0);
        stages.set_settings("prod", "*/*", none).unwrap();
        assert_eq!(gateway.oneshot(allowed()).await.unwrap().status(), 429);
        assert_eq!(stages.shadow_count("prod", "*/*").unwrap(), 1);
        assert_eq!(stages.shadow_count("dev", "*/*").unwrap_err().value(), "dev");
    });
}

#[test]
fn without_stages_it_serves_at_the_root() {
    run(async {
        let gateway = Gateway::builder().build().unwrap().layer(Strict::default());
        let answer =
            gateway.clone().oneshot(Request::get("/any/thing").body(Full::default()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        let dots =
            gateway.oneshot(Request::get("/any/../thing").body(Full::default()).unwrap()).await.unwrap();
        assert_eq!(dots.status(), 400);
    });
}

#[test]
fn http_apis_answer_as_http_apis() {
    run(async {
        let gateway = full_gateway().api_kind(ApiKind::Http).build().unwrap().layer(Strict::default());
        let ask = async |path: &str| {
            let request = Request::get(path).body(Full::<Bytes>::default()).unwrap();
            let answer = gateway.clone().oneshot(request).await.unwrap();
            assert!(answer.headers().contains_key("apigw-requestid"));
            (answer.status().as_u16(), answer.into_body().collect().await.unwrap().to_bytes())
        };
        // The one id that its client is told is the one that is logged.
        let tells = service_fn(|request: Request<GatewayBody<Full<Bytes>>>| async move {
            let context = RequestContext::of(request.extensions()).unwrap();
            assert_eq!(context.request_id(), context.variable("requestId").unwrap());
            assert_eq!(context.request_id(), context.extended_request_id());
            Ok::<_, Infallible>(Response::new(Full::from(context.request_id().to_owned())))
        });
        let told = Gateway::builder().api_kind(ApiKind::Http).build().unwrap().layer(tells);
        let told = told.oneshot(Request::get("/").body(Full::<Bytes>::default()).unwrap()).await.unwrap();
        let id = told.headers()["apigw-requestid"].as_bytes().to_owned();
        assert_eq!(told.into_body().collect().await.unwrap().to_bytes(), id);
        assert_eq!(ask("/nowhere").await, (404, Bytes::from(r#"{"message":"Not Found"}"#)));
        assert_eq!(ask("/prod/nothing").await, (404, Bytes::from(r#"{"message":"Not Found"}"#)));
        assert_eq!(ask("/prod/pets").await, (403, Bytes::from(r#"{"message":"Forbidden"}"#)));
        let two_hosts = Request::get("/prod/pets").header("host", "a").header("host", "b");
        let answer = gateway.oneshot(two_hosts.body(Full::default()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 400);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, r#"{"message":"Bad Request"}"#);
    });
}

#[test]
fn aws_exact_leaves_out_what_aws_does_not_send() {
    run(async {
        for exact in [false, true] {
            let gateway = full_gateway().aws_exact(exact).build().unwrap().layer(Strict::default());
            let throttled = gateway.clone().oneshot(faulty(5, false)).await.unwrap();
            assert_eq!(throttled.headers().contains_key("ratelimit-policy"), !exact);
            let long = gateway.oneshot(faulty(3, false)).await.unwrap();
            assert_eq!(
                (long.status(), long.headers().contains_key("x-amzn-requestid")),
                (StatusCode::PAYLOAD_TOO_LARGE, !exact)
            );
        }
        // It is the plain text that has none: neither an HTTP API's 413 is, nor a configured one.
        let own =
            GatewayResponses::new().with(ResponseType::RequestTooLarge, &GatewayResponse::new()).unwrap();
        let configured = full_gateway().gateway_responses(own);
        for (builder, id) in
            [(full_gateway().api_kind(ApiKind::Http), "apigw-requestid"), (configured, "x-amzn-requestid")]
        {
            let gateway = builder.aws_exact(true).build().unwrap().layer(Strict::default());
            let long = gateway.oneshot(faulty(3, false)).await.unwrap();
            assert_eq!((long.status().as_u16(), long.headers().contains_key(id)), (413, true));
        }
    });
}

/// What templates of AWS bring along for the lack of anything else.
#[test]
fn gateway_responses_leave_the_fields_of_cors_alone() {
    let own = GatewayResponse::new()
        .header("Access-Control-Allow-Origin", "'*'")
        .header("Access-Control-Allow-Headers", "'*'")
        .header("vary", "'Accept'");
    let responses = || GatewayResponses::new().with(ResponseType::Default4xx, &own).unwrap();
    let cors = cors_of(Cors::new().allow_credentials(true));
    let gateway = full_gateway().cors(cors).gateway_responses(responses()).build().unwrap();
    let refused = async |origin: &'static str| {
        let mut request = faulty(4, false);
        request.headers_mut().insert("origin", origin.parse().unwrap());
        let answer = gateway.clone().layer(Strict::default()).oneshot(request).await.unwrap();
        let texts = |name: &str| {
            let values = answer.headers().get_all(name).iter();
            values.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>().join(",")
        };
        ["access-control-allow-origin", "access-control-allow-credentials", "vary"].map(texts)
    };
    run(async {
        let shop = refused("https://shop.example").await;
        assert_eq!(shop, ["https://shop.example", "true", "Origin,Accept"]);
        assert_eq!(
            refused("https://other.example").await,
            ["*", "", "Origin,Accept"],
            "CORS has said nothing"
        );
    });
}

fn axum_router() -> axum::Router {
    axum::Router::new()
        .route("/pets", axum::routing::get(|| async { "pets" }).post(|pet: Bytes| async { pet }))
}

fn allowed() -> Request<Full<Bytes>> {
    let request =
        Request::get("/prod/pets").header("x-api-key", FREE).header("origin", "https://shop.example");
    request.body(Full::default()).unwrap()
}

/// Allocations of one warm call; the request is made outside, and its URI shares its bytes as a server's does.
fn allocations<S, B>(service: &S, request: impl Fn() -> Request<B>) -> u64
where
    S: Service<Request<B>, Error = Infallible> + Clone,
{
    let call = |measured: Request<B>| {
        let mut service = service.clone();
        let mut answer = None;
        let info = allocation_counter::measure(|| {
            let ready =
                futures_util::FutureExt::now_or_never(std::future::poll_fn(|cx| service.poll_ready(cx)));
            ready.unwrap().unwrap();
            answer = futures_util::FutureExt::now_or_never(service.call(measured));
        });
        assert!(answer.is_some());
        info.count_total
    };
    call(request());
    let one = request();
    // A second handle makes URI and header bytes shared, as those cut from a connection's buffer are.
    let _shared = (one.uri().clone(), one.headers().clone());
    call(one)
}

/// By how many allocations the whole stack exceeds bare axum.
fn allocations_over_bare<B>(method: &Method, body: impl Fn() -> B) -> u64
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let sent = |path: &str| {
        let body = body();
        let request = Request::builder().method(method).uri(path);
        let mut request = request.header("x-api-key", FREE).header("origin", "https://shop.example");
        if let Some(length @ 1..) = body.size_hint().exact() {
            request = request.header("content-length", length);
        }
        request.body(body).unwrap()
    };
    let gateway = full_gateway().build().unwrap().layer(axum_router());
    let floor = allocations(&axum_router(), || sent("/pets"));
    let ours = allocations(&gateway, || sent("/prod/pets"));
    println!("{method}: bare axum {floor}, the whole stack {ours}");
    ours - floor
}

/// A body is watched, and what the request was charged is kept meanwhile, whether its length is known or not.
#[test]
fn the_whole_stack_allocates_at_most_seven_times_more_than_bare_axum() {
    let chunks = || StreamBody::new(stream::iter(["c", "at"].map(|text| Ok::<_, Infallible>(frame(text)))));
    assert!(allocations_over_bare(&Method::GET, Full::<Bytes>::default) <= 7);
    assert!(allocations_over_bare(&Method::POST, || Full::<Bytes>::from("cat")) <= 7);
    assert!(allocations_over_bare(&Method::POST, chunks) <= 7);
    // Which bare axum, other than bodies of servers, does not box.
    assert!(allocations_over_bare(&Method::POST, || axum::body::Body::from("cat")) <= 7 + 1);
}

fn frame(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

#[test]
fn it_is_a_service_for_servers() {
    assert_service(&full_gateway().build().unwrap().layer(Strict::default()));
    assert_service(&full_gateway().build().unwrap().layer(axum_router()));
}
