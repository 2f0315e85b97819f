//! The pet shop, watched: `cargo run --example observability --features full`. Its JSON access log is the only thing on
//! stdout; hints go to stderr, and so does the execution log of what fails. `/metrics` and `/admin/` stand outside of the stages, and are open because this example
//! listens on 127.0.0.1 alone: give `AdminService` an authorizer of your own anywhere else.

use axum::{Json, Router, extract::Path, http::HeaderMap, response::IntoResponse, routing::get};
use http_body_util::{BodyExt, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::{Value, json};
use std::{error::Error, net::SocketAddr, time::Duration};
use tower::{Layer, ServiceBuilder};
use tower_gateway::{
    api_key::{ApiKey, ApiKeys},
    context::RequestContextLayer,
    gateway::Gateway,
    observe::{
        AccessLog, AccessLogFormat, ApiInfo, ExecutionLog, IntegrationTimerLayer, LogWriter, Metrics,
        ObserveLayer,
        admin::{AdminService, Explain},
        trace::TraceLayer,
    },
    route::{ApiMethod, ExecutionLogging, LoggingLevel, Routes},
    stage::Stages,
    throttle::Throttle,
    usage_plan::{Quota, QuotaPeriod, UsagePlan, UsagePlans},
};
use tracing_subscriber::{Layer as _, layer::SubscriberExt, util::SubscriberInitExt};

const KEY: &str = "WBjHxNtoAb4WPKBC7cGm64CBibIb24b4jt8jJHo9";

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
    Router::new()
        .route(
            "/pets",
            get(|| async { Json(json!([{ "id": 1, "type": "dog" }, { "id": 2, "type": "cat" }])) }),
        )
        .route("/pets/{id}", get(|Path(id): Path<u32>| async move { Json(json!({ "id": id })) }))
        .route("/stock", get(ask))
        .layer(IntegrationTimerLayer::new())
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
    use axum::http::Method;
    let routes = Routes::builder()
        .method("/pets", Method::GET, ApiMethod::new().api_key_required(true))
        .method("/pets/{id}", Method::GET, ApiMethod::new().api_key_required(true))
        .method("/stock", Method::GET, ApiMethod::new().timeout(Duration::from_secs(2)))
        .build()?;
    let gold = UsagePlan::new("gold")
        .throttle(Throttle::new(10.0, 20)?)
        .quota(Quota::new(1000, QuotaPeriod::Month)?);
    let plans = UsagePlans::builder().plan(gold).attach("gold", "gold-key").build()?;
    let keys = ApiKeys::builder().key(ApiKey::new("gold-key").value(KEY)).build()?;
    Ok(Shop { stages: Stages::single("prod", routes)?, keys, plans })
}

fn gateway(shop: &Shop) -> Result<Gateway, Box<dyn Error>> {
    let Shop { stages, keys, plans } = shop;
    let builder = Gateway::builder().stages(stages.clone()).api_keys(keys.clone());
    Ok(builder.usage_plans(plans.clone()).build()?)
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
    let metrics = Metrics::builder().log_writer(writer.clone()).build()?;
    let (explain, shop) = (Explain::new(1_000), shop()?);
    let failures = ExecutionLogging::new(LoggingLevel::Error).data_trace(true);
    let observe = ObserveLayer::new()
        .api(ApiInfo::new("pets"))
        .execution_log(ExecutionLog::new().logging(failures))
        .observer(AccessLog::new(AccessLogFormat::json_object(FIELDS)?, writer))
        .observer(metrics.clone())
        .observer(explain.clone());
    let peer = |extensions: &axum::http::Extensions| {
        extensions.get::<axum::extract::ConnectInfo<SocketAddr>>().map(|info| info.0.ip())
    };
    let watched = ServiceBuilder::new()
        // The first of our layers makes the context: it must know where axum keeps the peer's address.
        .layer(RequestContextLayer::new().peer_addr(peer))
        .layer(observe)
        .layer(TraceLayer::new().active(true))
        .service(gateway(&shop)?.layer(pet_shop(stock)));
    let admin = AdminService::<axum::body::Body>::new(explain, metrics.clone())
        .authorizer(|_| true)
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
    let port = std::env::var("PORT").map_or(Ok(3000), |port| port.parse::<u16>())?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let base = format!("http://{}", listener.local_addr()?);
    eprintln!("The pet shop is at {base}. Try:");
    eprintln!("  curl -H 'x-api-key: {KEY}' {base}/prod/pets");
    eprintln!("  curl {base}/prod/pets       # 403; the log says why");
    eprintln!("  curl {base}/prod/stock      # the second service, in the same trace");
    eprintln!("  curl {base}/metrics");
    eprintln!("  curl {base}/admin/limits/gold-key");
    eprintln!("  curl {base}/admin/stages");
    eprintln!("  open {base}/admin/");
    let writer = LogWriter::new(std::io::stdout())?;
    let app = app(writer.clone(), stock_service().await?)?;
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).with_graceful_shutdown(asked_to_stop()).await?;
    // Requests are over, and their lines wait for the writer.
    let is_written = writer.shut_down(Duration::from_secs(5));
    if is_written { Ok(()) } else { Err("the access log is stuck".into()) }
}

/// Ctrl-C, or what service managers and container runtimes send.
async fn asked_to_stop() {
    let terminated = async {
        #[cfg(unix)]
        if let Ok(mut signal) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            signal.recv().await;
            return;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}
