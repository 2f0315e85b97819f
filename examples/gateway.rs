//! A pet shop behind the whole gateway: `cargo run --example gateway`, then the curl lines it prints.
//!
//! `cluster.rs` and `observability.rs` have the same shop, and add to it.

pub(crate) mod process;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, Query, Request},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    error::Error,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tower::Layer;
use tower_gateway::{
    ConfigError,
    api_key::{ApiKey, ApiKeys},
    context::RequestContext,
    cors::{Cors, CorsLayer},
    gateway::{Gateway, GatewayBuilder},
    observe::{AccessLog, AccessLogFormat, AccessLogLayer, LogApi, LogPreset, LogWriter},
    route::{ApiMethod, Routes, RoutesBuilder},
    stage::{Deployment, Stage, Stages},
    throttle::Throttle,
    usage_plan::{Quota, QuotaPeriod, UsagePlan, UsagePlans, UsagePlansBuilder},
};

pub(crate) const GOLD_KEY: &str = "WBjHxNtoAb4WPKBC7cGm64CBibIb24b4jt8jJHo9";
pub(crate) const BASIC_KEY: &str = "basic-0123456789abcdefghij";

/// The service as it was before there was a gateway.
pub(crate) fn pet_shop() -> Router {
    Router::new()
        .route("/pets", get(list_pets).post(add_pet))
        .route("/pets/{id}", get(one_pet))
        .route("/slow", get(slow))
        // Bodies are limited by the gateway; axum's own 2 MB would answer first.
        .layer(DefaultBodyLimit::disable())
}

/// What the stage says goes into a header: the same code serves `prod` and `dev`.
async fn list_pets(request: Request) -> impl IntoResponse {
    let context = RequestContext::of(request.extensions());
    let greeting =
        context.and_then(|context| context.stage_variable("greeting")).unwrap_or_default().to_owned();
    let pets =
        json!([{ "id": 1, "type": "dog", "price": 249.99 }, { "id": 2, "type": "cat", "price": 124.99 }]);
    ([("x-greeting", greeting)], Json(pets))
}

async fn one_pet(Path(id): Path<u32>) -> Response {
    match id {
        1 => Json(json!({ "id": 1, "type": "dog", "price": 249.99 })).into_response(),
        2 => Json(json!({ "id": 2, "type": "cat", "price": 124.99 })).into_response(),
        _ => (StatusCode::NOT_FOUND, Json(json!({ "error": "no such pet" }))).into_response(),
    }
}

async fn add_pet(Json(pet): Json<Value>) -> (StatusCode, Json<Value>) {
    (StatusCode::CREATED, Json(json!({ "pet": pet, "message": "success" })))
}

/// Answers after the milliseconds in `?ms=`.
#[allow(clippy::disallowed_methods, reason = "the service's own slowness, not the gateway's timer")]
async fn slow(Query(query): Query<HashMap<String, u64>>) -> String {
    let ms = query.get("ms").copied().unwrap_or(0);
    tokio::time::sleep(Duration::from_millis(ms)).await;
    format!("answered after {ms} ms\n")
}

/// What there is, and what the gateway asks for each; anything else is refused.
pub(crate) fn routes() -> RoutesBuilder {
    let keyed = || ApiMethod::new().api_key_required(true);
    use axum::http::Method;
    Routes::builder()
        .method("/pets", Method::GET, keyed())
        .method("/pets", Method::POST, keyed())
        .method("/pets/{id}", Method::GET, keyed())
        .method("/slow", Method::GET, ApiMethod::new().timeout(Duration::from_millis(1000)))
}

pub(crate) fn stages(routes: Routes) -> Result<Stages, ConfigError> {
    Stages::builder()
        .deployment(Deployment::new("v1", routes))
        .stage(Stage::new("prod", "v1").variable("greeting", "hello"))
        .stage(Stage::new("dev", "v1").variable("greeting", "hello-from-dev"))
        .build()
}

pub(crate) fn keys() -> Result<ApiKeys, ConfigError> {
    ApiKeys::builder()
        .key(ApiKey::new("gold-key").value(GOLD_KEY))
        .key(ApiKey::new("basic-key").value(BASIC_KEY))
        .build()
}

pub(crate) fn plans() -> Result<UsagePlansBuilder, ConfigError> {
    let gold = UsagePlan::new("gold")
        .throttle(Throttle::new(10.0, 20)?)
        .quota(Quota::new(1000, QuotaPeriod::Month)?);
    let basic =
        UsagePlan::new("basic").throttle(Throttle::new(2.0, 2)?).quota(Quota::new(5, QuotaPeriod::Day)?);
    let plans = UsagePlans::builder().plan(gold).plan(basic);
    Ok(plans.attach("gold", "gold-key").attach("basic", "basic-key"))
}

fn cors() -> Result<CorsLayer, ConfigError> {
    Cors::new()
        .allow_origins(["https://shop.example"])
        .allow_methods(["GET", "POST"])
        .allow_headers(["content-type", "x-api-key"])
        .build()
}

/// Where axum keeps the client's address, which the gateway cannot know by itself.
pub(crate) fn peer(extensions: &axum::http::Extensions) -> Option<IpAddr> {
    extensions.get::<axum::extract::ConnectInfo<SocketAddr>>().map(|info| info.0.ip())
}

/// The parts in any order; the gateway stacks them in the right one. The payload limit of 10 MB is on by default.
pub(crate) fn builder(
    stages: Stages,
    keys: ApiKeys,
    plans: UsagePlans,
) -> Result<GatewayBuilder, ConfigError> {
    Ok(Gateway::builder().stages(stages).api_keys(keys).usage_plans(plans).cors(cors()?).peer_addr(peer))
}

fn gateway(writer: LogWriter) -> Result<Gateway, Box<dyn Error>> {
    // One line a request, refusals too.
    let format = AccessLogFormat::preset(LogApi::Rest, LogPreset::Json);
    let log = AccessLogLayer::new(AccessLog::new(format, writer));
    let builder = builder(stages(routes().build()?)?, keys()?, plans()?.build()?)?;
    Ok(builder.observe(log).build()?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = process::listener(3000).await?;
    let writer = LogWriter::new(std::io::stderr())?;
    // The gateway wraps the whole router; the outer, empty router is only what `axum::serve` likes to serve.
    let app = Router::new().fallback_service(gateway(writer.clone())?.layer(pet_shop()));
    print_curl_lines(listener.local_addr()?);
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    process::finish(axum::serve(listener, app).with_graceful_shutdown(process::asked_to_stop())).await?;
    // Requests are over, and their lines wait for the writer.
    let is_written = writer.shut_down(Duration::from_secs(5));
    if is_written { Ok(()) } else { Err("the access log is stuck".into()) }
}

fn print_curl_lines(address: SocketAddr) {
    let base = format!("http://{address}");
    println!("The pet shop is at {base}. Try:\n");
    for (line, answer) in [
        (format!("curl -i -H 'x-api-key: {GOLD_KEY}' {base}/prod/pets"), "200, the pets, RateLimit fields"),
        (format!("curl -i {base}/prod/pets"), r#"403 {"message":"Forbidden"}: no key"#),
        (format!("curl -i {base}/test/pets"), r#"403 {"message":"Forbidden"}: no such stage"#),
        (
            format!("curl -i {base}/prod/dogs"),
            r#"403 {"message":"Missing Authentication Token"}: no such resource"#,
        ),
        (
            format!("for i in 1 2 3; do curl -s -H 'x-api-key: {BASIC_KEY}' {base}/prod/pets/1; echo; done"),
            r#"two pets, then {"message":"Too Many Requests"}; after five in a day {"message":"Limit Exceeded"}"#,
        ),
        (
            format!(
                "curl -i -X OPTIONS -H 'Origin: https://shop.example' -H 'Access-Control-Request-Method: POST' {base}/prod/pets"
            ),
            "204, the CORS headers",
        ),
        (format!("curl -i '{base}/prod/slow?ms=1500'"), r#"504 {"message": "Endpoint request timed out"}"#),
        (
            format!("head -c 10485761 /dev/zero | curl -i -H 'Expect:' --data-binary @- {base}/prod/pets"),
            "413 HTTP content length exceeded 10485760 bytes.",
        ),
        (
            format!("curl -si -H 'x-api-key: {GOLD_KEY}' {base}/dev/pets | grep x-greeting"),
            "x-greeting: hello-from-dev, the variable of stage dev",
        ),
    ] {
        println!("  {line}\n      -> {answer}\n");
    }
}
