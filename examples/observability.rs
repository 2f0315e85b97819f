//! The pet shop of `gateway.rs`, watched: `cargo run --example observability --features full`. Its JSON access log is the
//! only thing on stdout; hints go to stderr, and so does the execution log of what fails. `GET /prod/stock`, which needs no
//! key, asks a second service in the same trace. `/metrics` and `/admin/` stand outside of the stages, and are open
//! because this example listens on 127.0.0.1 alone: say whom `AdminService::allow` lets in anywhere else.

#[path = "gateway.rs"]
#[allow(dead_code, reason = "an example has a `main` of its own")]
mod gateway;

use axum::{Json, Router, http::HeaderMap, response::IntoResponse, routing::get};
use gateway::{BASIC_KEY, GOLD_KEY, process};
use http_body_util::{BodyExt, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::{Value, json};
use std::{error::Error, net::SocketAddr, time::Duration};
use tower::{Layer, ServiceBuilder};
use tower_gateway::{
    api_key::ApiKeys,
    context::RequestContextLayer,
    gateway::Gateway,
    observe::{
        AccessLog, AccessLogFormat, ApiInfo, ExecutionLog, IntegrationTimerLayer, LogWriter, ObserveLayer,
        PrometheusMetrics,
        admin::{AdminService, Explain},
        trace::TraceLayer,
    },
    route::{ApiMethod, ExecutionLogging, LoggingLevel},
    stage::Stages,
    usage_plan::UsagePlans,
};
use tracing_subscriber::{Layer as _, layer::SubscriberExt, util::SubscriberInitExt};

/// What the access log says of every request.
const FIELDS: [(&str, &str); 14] = [
    ("requestId", "requestId"),
    ("time", "requestTime"),
    ("ip", "identity.sourceIp"),
    ("method", "httpMethod"),
    ("path", "path"),
    ("resourcePath", "resourcePath"),
    ("stage", "stage"),
    ("status", "status"),
    ("outcome", "outcome"),
    ("responseLength", "responseLength"),
    ("latencyMs", "responseLatency"),
    ("integrationMs", "integrationLatency"),
    ("why", "error.cause"),
    ("trace", "xrayTraceId"),
];

/// The shop; `/stock` asks the second service, and passes the trace on.
fn pet_shop(stock: SocketAddr) -> Router {
    let ask = move |headers: HeaderMap| async move {
        ask_stock(stock, &headers).await.map_err(|error| error.to_string())
    };
    gateway::pet_shop().route("/stock", get(ask)).layer(IntegrationTimerLayer::new())
}

async fn ask_stock(
    stock: SocketAddr,
    headers: &HeaderMap,
) -> Result<impl IntoResponse + use<>, Box<dyn Error>> {
    let mut request =
        axum::http::Request::get(format!("http://{stock}/")).body(Empty::<bytes::Bytes>::new())?;
    for name in ["x-amzn-trace-id", "traceparent", "tracestate"] {
        if let Some(value) = headers.get(name) {
            request.headers_mut().insert(name, value.clone());
        }
    }
    let answer = Client::builder(TokioExecutor::new()).build_http().request(request).await?;
    let stock: Value = serde_json::from_slice(&answer.into_body().collect().await?.to_bytes())?;
    Ok(Json(json!({ "stock": stock })))
}

/// The second service: says which trace it is part of.
async fn stock_service() -> std::io::Result<SocketAddr> {
    let trace = |headers: HeaderMap| async move {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Json(
            json!({ "pets": 2, "traceparent": text("traceparent"), "x-amzn-trace-id": text("x-amzn-trace-id") }),
        )
    };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", get(trace))).await });
    Ok(address)
}

/// What `/admin/` reads beside the gateway.
struct Shop {
    stages: Stages,
    keys: ApiKeys,
    plans: UsagePlans,
}

fn shop() -> Result<Shop, Box<dyn Error>> {
    let stock = ApiMethod::new().timeout(Duration::from_secs(2));
    let routes = gateway::routes().method("/stock", axum::http::Method::GET, stock).build()?;
    Ok(Shop { stages: gateway::stages(routes)?, keys: gateway::keys()?, plans: gateway::plans()?.build()? })
}

fn guard(shop: &Shop) -> Result<Gateway, Box<dyn Error>> {
    let Shop { stages, keys, plans } = shop;
    Ok(gateway::builder(stages.clone(), keys.clone(), plans.clone())?.build()?)
}

/// Prints the messages of `tracing` events; a program of yours has `tracing_subscriber::fmt`.
struct ToStderr;

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for ToStderr {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            if field.name() == "message" {
                eprintln!("{} {value:?}", event.metadata().level());
            }
        });
    }
}

fn app(writer: LogWriter, stock: SocketAddr) -> Result<Router, Box<dyn Error>> {
    let metrics = PrometheusMetrics::builder().log_writer(writer.clone()).build()?;
    let (explain, shop) = (Explain::new(1_000), shop()?);
    let failures = ExecutionLogging::new(LoggingLevel::Error).data_trace(true);
    let observe = ObserveLayer::new()
        .api(ApiInfo::new("pets"))
        .execution_log(ExecutionLog::new().logging(failures))
        .observer(AccessLog::new(AccessLogFormat::json_object(FIELDS)?, writer))
        .observer(metrics.clone())
        .observer(explain.clone());
    let watched = ServiceBuilder::new()
        // The first of our layers makes the context: it must know where axum keeps the peer's address.
        .layer(RequestContextLayer::new().peer_addr(gateway::peer))
        .layer(observe)
        .layer(TraceLayer::new().active(true))
        .service(guard(&shop)?.layer(pet_shop(stock)));
    let admin = AdminService::<axum::body::Body>::new(explain, metrics.clone())
        .allow(|_| true)
        .stages(shop.stages)
        .api_keys(shop.keys)
        .usage_plans(shop.plans);
    Ok(Router::new()
        .route_service("/metrics", metrics.service::<axum::body::Body>())
        .nest_service("/admin", admin)
        .fallback_service(watched))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let of_executions =
        tracing_subscriber::filter::filter_fn(|event| event.target() == "tower_gateway::execution");
    tracing_subscriber::registry().with(ToStderr.with_filter(of_executions)).try_init()?;
    let listener = process::listener(3000).await?;
    let writer = LogWriter::new(std::io::stdout())?;
    let app = app(writer.clone(), stock_service().await?)?;
    print_curl_lines(listener.local_addr()?);
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    process::finish(axum::serve(listener, app).with_graceful_shutdown(process::asked_to_stop())).await?;
    // Requests are over, and their lines wait for the writer.
    let is_written = writer.shut_down(Duration::from_secs(5));
    if is_written { Ok(()) } else { Err("the access log is stuck".into()) }
}

fn print_curl_lines(address: SocketAddr) {
    let base = format!("http://{address}");
    eprintln!("The pet shop is at {base}. Try what examples/gateway.rs prints, and:");
    eprintln!("  curl -H 'x-api-key: {GOLD_KEY}' {base}/prod/pets");
    eprintln!("  curl -H 'x-api-key: {BASIC_KEY}' '{base}/prod/pets/1?[1-3]'   # the third: 429");
    eprintln!("  curl {base}/prod/pets       # 403; the log says why");
    eprintln!("  curl {base}/prod/stock      # the second service, in the same trace");
    eprintln!("  curl {base}/metrics");
    eprintln!("  curl {base}/admin/limits/gold-key");
    eprintln!("  curl {base}/admin/stages");
    eprintln!("  open {base}/admin/");
}
