//! A stage inside of another one judges by its own methods, and layers with tables of their own by theirs.

use super::{FREE, keys};
use crate::support::{get, run};
use axum::{Router, extract::Request as AxumRequest, routing};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use std::{
    convert::Infallible,
    future::{pending, ready},
    time::Duration,
};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_gateway::{
    GatewayBody,
    api_key::ApiKeyLayer,
    cache::{Cache, CacheLayer},
    clock::ManualClock,
    context::{Principal, PrincipalLayer, RequestContext, RequestContextLayer},
    gateway::{Gateway, GatewayBuilder},
    payload_limit::PayloadLimitLayer,
    response::{Cause, GatewayError},
    route::{ApiMethod, CacheKey, CacheSettings, MethodSettings, Routes},
    stage::{Deployment, Stage, StageRouter, Stages},
    throttle::Throttle,
    timeout::TimeoutLayer,
    usage_plan::{UsagePlan, UsagePlanLayer, UsagePlans},
};

fn once() -> Throttle {
    Throttle::new(0.0, 1).unwrap()
}

/// What the service finds in its context.
async fn tell(request: AxumRequest) -> String {
    let context = RequestContext::of(request.extensions()).unwrap();
    let key = context.api_key().map(|key| key.id().to_owned());
    let (stage, resource) = (context.stage().unwrap_or("-"), context.resource_path().unwrap_or("-"));
    format!("{} {stage} {resource} {:?} {key:?}", context.request_id(), context.path_parameter("id"))
}

fn api() -> Router {
    let routes = ["/admin", "/open", "/pets/{id}"];
    routes.iter().fold(Router::new(), |router, path| router.route(path, routing::get(tell)))
}

/// `/admin` is for keys.
fn partner_routes() -> Routes {
    Routes::builder()
        .method("/admin", Method::GET, ApiMethod::new().api_key_required(true))
        .method("/open", Method::GET, ApiMethod::new())
        .method("/pets/{id}", Method::GET, ApiMethod::new())
        .build()
        .unwrap()
}

fn partner() -> GatewayBuilder {
    Gateway::builder().routes(partner_routes()).api_keys(keys())
}

/// Status, the request id of the answer, and its body.
async fn ask<S, B>(service: &S, path: &str, key: Option<&str>) -> (u16, String, String)
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible> + Clone,
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug>,
{
    let mut request = get(path);
    if let Some(key) = key {
        request.headers_mut().insert("x-api-key", key.parse().unwrap());
    }
    let (head, body) = service.clone().oneshot(request).await.unwrap().into_parts();
    let id = head.headers.get("x-amzn-requestid").map_or("", |id| id.to_str().unwrap()).to_owned();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status.as_u16(), id, String::from_utf8(body.to_vec()).unwrap())
}

#[test]
fn a_gateway_inside_another_is_judged_by_its_own_methods() {
    let inner = partner().build().unwrap().layer(api());
    let outer = Gateway::builder().build().unwrap();
    let service = outer.layer(Router::new().nest_service("/v1", inner));
    run(async {
        assert_eq!(ask(&service, "/v1/admin", None).await.0, 403);
        let (status, id, told) = ask(&service, "/v1/admin", Some(FREE)).await;
        assert_eq!((status, told), (200, format!("{id} $default /admin None Some(\"free\")")));
        let (status, id, told) = ask(&service, "/v1/pets/7", None).await;
        assert_eq!((status, told), (200, format!("{id} $default /pets/{{id}} Some(\"7\") None")));
        assert_eq!(ask(&service, "/v1/none", Some(FREE)).await.0, 403, "the inner one has no such method");
    });
}

#[test]
fn stage_routers_and_gateways_go_into_each_other() {
    let open = Stages::single("prod", Routes::catch_all()).unwrap();
    let keyed = || Stages::single("v1", partner_routes()).unwrap();
    let by_hand = || StageRouter::new(keyed()).layer(ApiKeyLayer::new(keys()).layer(api()));
    let whole = || Gateway::builder().stages(keyed()).api_keys(keys()).build().unwrap().layer(api());
    let around_whole = StageRouter::new(open.clone()).layer(whole());
    let around_router = StageRouter::new(open.clone()).layer(by_hand());
    let in_gateway = Gateway::builder().stages(open).build().unwrap().layer(by_hand());
    macro_rules! check {
        ($service:expr) => {{
            assert_eq!(ask(&$service, "/prod/v1/admin", None).await.0, 403);
            assert_eq!(ask(&$service, "/prod/v1/open", None).await.0, 200);
            let (status, _, told) = ask(&$service, "/prod/v1/admin", Some(FREE)).await;
            assert_eq!(status, 200);
            assert!(told.ends_with("v1 /admin None Some(\"free\")"), "{told}");
        }};
    }
    run(async {
        check!(around_whole);
        check!(around_router);
        check!(in_gateway);
    });
}

/// Whom the outer one knows, the inner one knows too: its plans charge the key.
#[test]
fn who_is_calling_is_known_inside() {
    let open = Stages::single("v1", Routes::catch_all()).unwrap();
    let plan = UsagePlan::new("p").throttle(once());
    let plans = UsagePlans::builder().plan(plan).attach("p", "free").build().unwrap();
    let inner = StageRouter::new(open).layer(UsagePlanLayer::new(plans).layer(api()));
    let routes = Routes::builder().any("/{proxy+}", ApiMethod::new().api_key_required(true)).build().unwrap();
    let service = Gateway::builder().routes(routes).api_keys(keys()).build().unwrap().layer(inner);
    run(async {
        let (status, _, told) = ask(&service, "/v1/open", Some(FREE)).await;
        assert!(status == 200 && told.ends_with("Some(\"free\")"), "{status} {told}");
        assert_eq!(ask(&service, "/v1/open", Some(FREE)).await.0, 429);
    });
}

#[test]
fn a_refusal_inside_is_known_outside() {
    let inner = partner().build().unwrap().layer(api());
    let between = service_fn(move |request: Request<GatewayBody<Full<Bytes>>>| {
        let context = RequestContext::of(request.extensions()).unwrap().clone();
        let answer = inner.clone().oneshot(request);
        async move {
            let answer = answer.await;
            assert_eq!(context.error().map(GatewayError::cause), Some(Cause::ApiKeyMissing));
            answer
        }
    });
    let service = StageRouter::new(Stages::single("prod", Routes::catch_all()).unwrap()).layer(
        tower::util::MapRequestLayer::new(|request: Request<Full<Bytes>>| request.map(GatewayBody::new))
            .layer(between),
    );
    run(async { assert_eq!(ask(&service, "/prod/admin", None).await.0, 403) });
}

/// A router outside has taken a prefix off after the context was made.
#[test]
fn path_variables_are_where_they_are_in_the_path_as_received() {
    let inner = StageRouter::new(Stages::single("prod", partner_routes()).unwrap()).layer(api());
    let service = RequestContextLayer::new().layer(Router::new().nest_service("/below", inner));
    run(async {
        let told = ask(&service, "/below/prod/pets/seven", None).await.2;
        assert!(told.ends_with("prod /pets/{id} Some(\"seven\") None"), "{told}");
    });
}

/// Everything, without a word on limits.
fn open_table() -> Routes {
    Routes::builder().any("/{proxy+}", ApiMethod::new()).build().unwrap()
}

#[test]
fn a_layer_with_a_table_around_a_gateway_takes_no_stage_from_it() {
    let routes = partner_routes();
    let stage = Stage::new("prod", "v1").settings("*/*", MethodSettings::new().throttle(once()));
    let deployment = Deployment::new("v1", routes);
    let stages = Stages::builder().deployment(deployment).stage(stage).build().unwrap();
    let plan = UsagePlan::new("p").stage("prod");
    let plans = UsagePlans::builder().plan(plan).attach("p", "free").build().unwrap();
    let gateway = Gateway::builder().stages(stages).api_keys(keys()).usage_plans(plans).build().unwrap();
    let timeout = TimeoutLayer::new(Duration::from_secs(60)).routes(&open_table());
    let service = RequestContextLayer::new().layer(timeout.layer(gateway.layer(api())));
    run(async {
        let (status, _, told) = ask(&service, "/prod/admin", Some(FREE)).await;
        assert_eq!(status, 200, "the key's plan is for the stage: {told}");
        assert!(told.ends_with("prod /admin None Some(\"free\")"), "{told}");
        assert_eq!(ask(&service, "/prod/admin", Some(FREE)).await.0, 429, "the stage's throttle");
        assert_eq!(ask(&service, "/prod/open", None).await.0, 200);
        assert_eq!(ask(&service, "/prod/open", None).await.0, 429);
    });
}

#[cfg(feature = "policy")]
#[test]
fn a_layer_with_a_table_around_a_gateway_hides_no_stage_from_its_policy() {
    use tower_gateway::{
        policy::ExecuteApi,
        resource_policy::{ResourcePolicy, ResourcePolicyLayer},
    };
    let document = r#"{"Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "execute-api:/*"},
        {"Effect": "Deny", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "execute-api:/prod/GET/open"}]}"#;
    let policy = ResourcePolicyLayer::new(ResourcePolicy::new(&ExecuteApi::default(), document).unwrap());
    let stages = Stages::single("prod", partner_routes()).unwrap();
    let gateway = Gateway::builder().stages(stages).api_keys(keys()).resource_policy(policy).build().unwrap();
    let service = PayloadLimitLayer::default().routes(&open_table()).layer(gateway.layer(api()));
    run(async {
        assert_eq!(ask(&service, "/prod/open", None).await.0, 403);
        assert_eq!(ask(&service, "/prod/pets/1", None).await.0, 200);
    });
}

/// Answers at once, whatever the body is.
async fn answer<B>(_: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from("inner")))
}

fn statuses<S, B>(service: &S, requests: [(Method, &str); 2]) -> [u16; 2]
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible> + Clone,
{
    requests.map(|(method, path)| {
        let request = Request::builder().method(method).uri(path).body(Full::from("123456")).unwrap();
        let answer = service.clone().oneshot(request).now_or_never().unwrap();
        answer.unwrap().status().as_u16()
    })
}

#[test]
fn each_layer_goes_by_its_own_table() {
    let get = |path: &str, method: ApiMethod| Routes::builder().method(path, Method::GET, method);
    let other = get("/pets", ApiMethod::new()).build().unwrap();
    let around = || TimeoutLayer::default().routes(&other);
    let pets = || [(Method::GET, "/pets"), (Method::GET, "/pets")];

    let limits = get("/pets", ApiMethod::new().payload_limit(2)).build().unwrap();
    let layer = PayloadLimitLayer::default().routes(&limits);
    assert_eq!(statuses(&around().layer(layer.layer(service_fn(answer))), pets()), [413, 413]);

    let settings = MethodSettings::new().throttle(once());
    let throttles = get("/pets", ApiMethod::new()).settings("pets/GET", settings).build().unwrap();
    let plans = UsagePlans::builder().build().unwrap();
    let layer = UsagePlanLayer::new(plans).routes(&throttles);
    assert_eq!(statuses(&around().layer(layer.layer(service_fn(answer))), pets()), [200, 429]);

    let plan = UsagePlan::new("p").method_throttle("", "pets/GET", once());
    let plans = UsagePlans::builder().plan(plan).build().unwrap();
    let layer = UsagePlanLayer::new(plans).plan_by_principal(|_: &Principal| Some("p".to_owned()));
    let named = PrincipalLayer::new(|_| Some("alice".to_owned()));
    let service = around().layer(named.layer(layer.routes(&other).layer(service_fn(answer))));
    assert_eq!(statuses(&service, pets()), [200, 429]);

    let clock = ManualClock::at_unix_seconds(0);
    let second = get("/pets", ApiMethod::new().timeout(Duration::from_secs(1))).build().unwrap();
    let timeout = TimeoutLayer::default().clock(clock.clock()).routes(&second);
    let never = service_fn(|_| pending::<Result<Response<GatewayBody<Full<Bytes>>>, Infallible>>());
    let service = PayloadLimitLayer::default().routes(&other).layer(timeout.layer(never));
    let mut waits = Box::pin(service.oneshot(crate::support::get("/pets")));
    assert!(waits.as_mut().now_or_never().is_none());
    clock.advance(Duration::from_secs(1));
    assert_eq!(waits.now_or_never().unwrap().unwrap().status(), 504);
}

#[test]
fn a_cache_goes_by_the_keys_of_its_own_table() {
    let other = Routes::builder().any("/report", ApiMethod::new()).build().unwrap();
    let key = ApiMethod::new().cache_key(CacheKey::new().header(http::HeaderName::from_static("x-tenant")));
    let caching = MethodSettings::new().caching(CacheSettings::new());
    let cached = Routes::builder().method("/report", Method::GET, key).settings("report/GET", caching);
    let cache = CacheLayer::new(Cache::builder().build().unwrap()).routes(&cached.build().unwrap());
    let origin = service_fn(|request: Request<Full<Bytes>>| {
        let tenant = request.headers()["x-tenant"].as_bytes().to_vec();
        ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(tenant))))
    });
    let service = TimeoutLayer::default().routes(&other).layer(cache.layer(origin));
    run(async {
        for tenant in ["a", "b", "a"] {
            let request = Request::builder().uri("/report").header("x-tenant", tenant);
            let answer = service.clone().oneshot(request.body(Full::default()).unwrap()).await.unwrap();
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), tenant);
        }
    });
}

#[test]
fn a_head_goes_by_what_is_declared_of_get() {
    let settings = MethodSettings::new().throttle(once());
    let small = ApiMethod::new().payload_limit(2).timeout(Duration::from_secs(1));
    let routes = Routes::builder()
        .method("/pets", Method::GET, small)
        .any("/any", ApiMethod::new())
        .any("/own", ApiMethod::new())
        .settings("pets/GET", settings)
        .settings("any/GET", settings)
        .settings("own/GET", settings)
        .settings("own/HEAD", settings)
        .build()
        .unwrap();
    let plans = || UsagePlans::builder().build().unwrap();
    for (path, second) in [("/pets", 429), ("/any", 429), ("/own", 200)] {
        let service = UsagePlanLayer::new(plans()).routes(&routes).layer(service_fn(answer));
        assert_eq!(statuses(&service, [(Method::HEAD, path), (Method::GET, path)]), [200, second], "{path}");
        let twice = statuses(&service, [(Method::HEAD, path), (Method::HEAD, path)]);
        assert_eq!(twice, [429, 429], "{path}");
    }
    let plan = UsagePlan::new("p").method_throttle("", "any/GET", once());
    let plans = UsagePlans::builder().plan(plan).build().unwrap();
    let layer = UsagePlanLayer::new(plans).plan_by_principal(|_: &Principal| Some("p".to_owned()));
    let table = Routes::builder().any("/any", ApiMethod::new()).build().unwrap();
    let named = PrincipalLayer::new(|_| Some("alice".to_owned()));
    let service = named.layer(layer.routes(&table).layer(service_fn(answer)));
    assert_eq!(statuses(&service, [(Method::HEAD, "/any"), (Method::GET, "/any")]), [200, 429]);

    let service = PayloadLimitLayer::default().routes(&routes).layer(service_fn(answer));
    assert_eq!(statuses(&service, [(Method::HEAD, "/pets"), (Method::HEAD, "/any")]), [413, 200]);

    let clock = ManualClock::at_unix_seconds(0);
    let timeout = TimeoutLayer::default().clock(clock.clock()).routes(&routes);
    let never = service_fn(|_| pending::<Result<Response<GatewayBody<Full<Bytes>>>, Infallible>>());
    let request = Request::head("/pets").body(Full::<Bytes>::default()).unwrap();
    let mut waits = Box::pin(timeout.layer(never).oneshot(request));
    assert!(waits.as_mut().now_or_never().is_none());
    clock.advance(Duration::from_secs(1));
    assert_eq!(waits.now_or_never().unwrap().unwrap().status(), 504);
}

/// Keys that are looked at inside of the plans, or nowhere, are looked at too late.
#[test]
fn plans_with_keys_are_closed_where_no_layer_has_looked_at_keys() {
    let plans = |plan: UsagePlan| UsagePlans::builder().plan(plan).attach("p", "free").build().unwrap();
    let all = plans(UsagePlan::new("p"));
    let layer = || UsagePlanLayer::new(all.clone());
    let wrong = layer().layer(ApiKeyLayer::new(keys()).layer(api()));
    let alone = layer().layer(api());
    let right = ApiKeyLayer::new(keys()).layer(layer().layer(api()));
    let table = Routes::builder().any("/{proxy+}", ApiMethod::new()).build().unwrap();
    let open = ApiKeyLayer::new(keys()).routes(&table).layer(layer().layer(api()));
    let principals = layer().plan_by_principal(|_: &Principal| None).layer(api());
    let elsewhere = UsagePlanLayer::new(plans(UsagePlan::new("p").stage("prod"))).layer(api());
    run(async {
        assert_eq!(ask(&wrong, "/open", Some(FREE)).await.0, 403);
        let refused = alone.clone().oneshot(get("/open")).await.unwrap();
        let cause = refused.extensions().get::<GatewayError>().map(GatewayError::cause);
        assert_eq!((refused.status().as_u16(), cause), (403, Some(Cause::ApiKeyMissing)));
        assert_eq!(ask(&right, "/open", Some(FREE)).await.0, 200);
        assert_eq!(ask(&open, "/open", None).await.0, 200, "a method that needs no key");
        assert_eq!(ask(&principals, "/open", None).await.0, 200, "plans are chosen by principal");
        assert_eq!(ask(&elsewhere, "/open", None).await.0, 200, "the plan is not for such requests");
        all.detach("p", "free").unwrap();
        assert_eq!(ask(&alone, "/open", None).await.0, 200, "no key is in the plan");
    });
}

/// What a layer in between makes of a stage's bare root is no tail of the path that was matched.
#[test]
fn a_stages_bare_root_opens_no_other_path() {
    let routes = Routes::builder()
        .method("/", Method::GET, ApiMethod::new())
        .method("/admin", Method::GET, ApiMethod::new().api_key_required(true))
        .build()
        .unwrap();
    let to_admin = tower::util::MapRequestLayer::new(|mut request: Request<Full<Bytes>>| {
        if request.uri().query().is_some() {
            *request.uri_mut() = "/admin".parse().unwrap();
        }
        request
    });
    let router = Router::new().route("/", routing::get(tell)).merge(api());
    let stages = StageRouter::new(Stages::single("prod", routes).unwrap());
    let service = stages.layer(to_admin.layer(ApiKeyLayer::new(keys()).layer(router)));
    run(async {
        assert_eq!(ask(&service, "/prod", None).await.0, 200);
        assert_eq!(ask(&service, "/prod?to=/admin", None).await.0, 403);
        assert_eq!(ask(&service, "/prod/?to=/admin", None).await.0, 403);
    });
}
