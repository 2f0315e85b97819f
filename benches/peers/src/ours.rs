//! Our side of each row.

use crate::{
    lease::InProcess,
    measure::Subject,
    rows::{Side, side},
    services::{anything, bare, with_context},
};
use axum::body::Body;
use http::{Method, Request, Response};
use std::{convert::Infallible, time::Duration};
use tokio::runtime::Runtime;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_gateway::{
    api_key::{ApiKey, ApiKeyLayer, ApiKeys},
    cors::{Cors, CorsLayer},
    gateway::{Gateway, GatewayBuilder},
    payload_limit::PayloadLimitLayer,
    redb::StateFile,
    route::{ApiMethod, MethodSettings, Routes},
    stage::{DEFAULT_STAGE, Deployment, Stage, StageRouter, Stages},
    store::{FailurePolicy, StoreOptions},
    throttle::Throttle,
    timeout::TimeoutLayer,
    usage_plan::{Quota, QuotaPeriod, UsagePlan, UsagePlanLayer, UsagePlans, UsagePlansBuilder},
};

const PLAN: &str = "gold";

/// The text of the n-th key, and its id; both sides of a row get the same.
pub fn key(number: usize) -> String {
    format!("bench-key-{number:012}")
}

pub fn cors() -> Side {
    side(with_context(cors_layer().layer(bare())))
}

/// Without the context, which CORS itself does not need.
pub fn cors_alone() -> Side {
    side(cors_layer().layer(bare()))
}

fn cors_layer() -> CorsLayer {
    let cors = Cors::new()
        .allow_origins(["https://shop.example", "https://admin.example"])
        .allow_methods(["GET", "POST"])
        .allow_headers(["content-type", "x-api-key"])
        .expose_headers(["etag"])
        .max_age(600);
    cors.build().expect("a valid configuration")
}

/// With its limits on header fields and URL and its minimum rate, which the peer has not.
pub fn payload_limit() -> Side {
    side(with_context(PayloadLimitLayer::default().layer(bare())))
}

/// The peer's job alone.
pub fn payload_limit_of_bytes() -> Side {
    let layer = PayloadLimitLayer::default().no_header_limit().no_url_limit().no_minimum_rate();
    side(with_context(layer.same_body(Body::new).layer(bare())))
}

/// A gateway without any phase that can be left out, and the same with the payload limit.
pub fn gateway_with_payload_limit(limited: bool) -> impl Subject {
    let limit = limited.then(PayloadLimitLayer::default);
    let builder = Gateway::builder().timeout(None).payload_limit(limit);
    builder.build().expect("a valid gateway").layer(bare())
}

pub fn timeout() -> Side {
    side(with_context(TimeoutLayer::default().layer(bare())))
}

/// The stage is `$default`.
pub fn stage_router() -> Side {
    side(with_context(StageRouter::new(stages(routes(false))).layer(bare())))
}

/// Four resources, each method with a throttle of the stage.
fn routes(keyed: bool) -> Routes {
    let method = || ApiMethod::new().api_key_required(keyed);
    let builder = Routes::builder()
        .method("/pets", Method::GET, method())
        .method("/pets", Method::POST, method())
        .method("/pets/{id}", Method::GET, method())
        .any("/files/{path+}", method());
    builder.settings("*/*", stage_settings()).build().expect("a valid table")
}

fn stages(routes: Routes) -> Stages {
    Stages::single(DEFAULT_STAGE, routes).expect("a valid stage")
}

fn stage_settings() -> MethodSettings {
    MethodSettings::new().throttle(generous())
}

fn generous() -> Throttle {
    Throttle::new(100_000_000.0, 100_000_000).expect("a valid throttle")
}

pub fn api_keys(keys: usize) -> ApiKeys {
    let builder = (0..keys)
        .fold(ApiKeys::builder(), |builder, number| builder.key(ApiKey::new(key(number)).value(key(number))));
    builder.build().expect("valid keys")
}

/// One plan with throttle and quota, and the keys on it.
pub fn usage_plans(plan: UsagePlan, keys: usize) -> UsagePlans {
    plans_builder(plan, keys).build().expect("valid plans")
}

fn plans_builder(plan: UsagePlan, keys: usize) -> UsagePlansBuilder {
    let builder = UsagePlans::builder().plan(plan);
    (0..keys).fold(builder, |builder, number| builder.attach(PLAN, &key(number)))
}

pub fn plan(throttle: Throttle) -> UsagePlan {
    let quota = Quota::new(1_000_000_000_000, QuotaPeriod::Month).expect("a valid quota");
    UsagePlan::new(PLAN).throttle(throttle).quota(quota)
}

pub fn generous_plan() -> UsagePlan {
    plan(generous())
}

/// Key, plan, quota and stage throttle, on a table of their own.
pub fn limits(keys: usize) -> Side {
    side(with_context(limited(generous_plan(), keys)))
}

pub fn limits_without_fields(keys: usize) -> Side {
    let plans = plans_builder(generous_plan(), keys).rate_limit_headers(false).build().expect("valid plans");
    side(with_context(limited_by(plans, keys)))
}

/// The same, the quota shared through a store and spent from leases. Each key's pace is made known first, on a runtime
/// that then does what is done in the background; no lease ends while it is measured.
pub fn limits_leased(keys: usize, request: impl Fn(usize) -> Request<Body>) -> Side {
    shared(plans_builder(generous_plan(), keys).store(InProcess::default()), keys, request)
}

/// The same in a file of its own, which is deleted while it is open.
pub fn limits_in_file(keys: usize, request: impl Fn(usize) -> Request<Body>) -> Side {
    let path = std::env::temp_dir().join(format!("tower-gateway-peers-{}-{keys}.state", std::process::id()));
    let file = StateFile::open(&path).expect("a new file");
    std::fs::remove_file(&path).expect("it is there");
    shared(file.keep_usage(plans_builder(generous_plan(), keys)), keys, request)
}

fn shared(builder: UsagePlansBuilder, keys: usize, request: impl Fn(usize) -> Request<Body>) -> Side {
    // No call is given up because the machine is busy: a key without a lease would be measured as one that has it.
    let patient = StoreOptions::new().failure(FailurePolicy::Deny).deadline(Duration::from_secs(60));
    let builder = builder.store_options(patient).lease_epoch(Duration::from_secs(300));
    let plans = builder.build().expect("valid plans");
    let service = with_context(limited_by(plans, keys));
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        for index in 0..keys * 100 {
            let answer = service.clone().oneshot(request(index)).await;
            assert!(answer.is_ok_and(|answer| answer.status() == 200));
        }
    });
    // It must live as long as the process does.
    std::mem::forget(runtime);
    side(service)
}

pub fn api_key(keys: usize) -> Side {
    side(with_context(ApiKeyLayer::new(api_keys(keys)).layer(bare())))
}

/// A plan that admits one request, then refuses by its throttle.
pub fn refusing() -> Side {
    side(limited(plan(Throttle::new(0.000_001, 1).expect("a valid throttle")), 1))
}

fn limited(
    plan: UsagePlan,
    keys: usize,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone {
    limited_by(usage_plans(plan, keys), keys)
}

pub fn limited_by(
    plans: UsagePlans,
    keys: usize,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone {
    let routes = routes(true);
    ServiceBuilder::new()
        .layer(ApiKeyLayer::new(api_keys(keys)).routes(&routes))
        .layer(UsagePlanLayer::new(plans).routes(&routes))
        .service(bare())
}

/// Every layer with its defaults: stage, CORS, payload limit, key, plan, quota, timeout, response ids.
pub fn stack(keys: usize) -> Side {
    let gateway = full(stages(routes(true)), usage_plans(generous_plan(), keys), keys);
    side(gateway.build().expect("a valid gateway").layer(bare()))
}

fn full(stages: Stages, plans: UsagePlans, keys: usize) -> GatewayBuilder {
    Gateway::builder().stages(stages).api_keys(api_keys(keys)).usage_plans(plans).cors(cors_layer())
}

/// The handles of a gateway that is edited while it serves.
pub struct Editable {
    stages: Stages,
    plans: UsagePlans,
}

/// A gateway with many resources, two deployments and one plan.
pub fn editable(resources: usize, keys: usize) -> (Box<dyn Subject>, Editable) {
    let stages = Stages::builder()
        .deployment(Deployment::new("blue", many_routes(resources)))
        .deployment(Deployment::new("green", many_routes(resources)))
        .stage(Stage::new(DEFAULT_STAGE, "blue").settings("*/*", stage_settings()))
        .build()
        .expect("valid stages");
    let plans = usage_plans(generous_plan(), keys);
    let gateway = full(stages.clone(), plans.clone(), keys).build().expect("a valid gateway");
    (Box::new(gateway.layer(anything())), Editable { stages, plans })
}

fn many_routes(resources: usize) -> Routes {
    let builder = (0..resources).fold(Routes::builder(), |builder, number| {
        builder.method(&format!("/r{number}/{{id}}"), Method::GET, ApiMethod::new().api_key_required(true))
    });
    builder.build().expect("a valid table")
}

impl Editable {
    pub fn swap_deployment(&self, count: usize) {
        let deployment = ["blue", "green"][count % 2];
        self.stages.deploy(DEFAULT_STAGE, deployment).expect("a deployment of that name");
    }

    pub fn edit_plan(&self, count: usize) {
        let throttle =
            Throttle::new(100_000_000.0 + (count % 2) as f64, 100_000_000).expect("a valid throttle");
        self.plans.put_plan(plan(throttle)).expect("a valid plan");
    }
}
