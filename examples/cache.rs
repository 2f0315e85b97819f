//! A clock behind a gateway with a cache: `cargo run --example cache`, then the curl lines it prints.

mod process;

use axum::{
    Router,
    extract::{Query, State},
    http::{HeaderMap, header::AUTHORIZATION},
    routing::{get, post},
};
use http::Method;
use std::{
    collections::HashMap,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tower::Layer;
use tower_gateway::{
    cache::{Cache, CacheLayer},
    clock::Clock,
    gateway::Gateway,
    route::{ApiMethod, CacheKey, CacheSettings, MethodSettings, Routes},
    stage::{Deployment, Stage, Stages},
};

/// What the handlers share: a counter of their calls, and the cache they may flush.
#[derive(Clone)]
struct App {
    calls: Arc<AtomicU64>,
    cache: Cache,
}

impl App {
    fn count(&self) -> u64 {
        self.calls.fetch_add(1, Relaxed) + 1
    }
}

/// The service: every call is counted, and the number is in the answer.
fn clock(app: App) -> Router {
    Router::new()
        .route("/time", get(time).post(time))
        .route("/me", get(me))
        .route("/flush", post(flush))
        .with_state(app)
}

async fn time(State(app): State<App>, Query(query): Query<HashMap<String, String>>) -> String {
    let zone = query.get("zone").map_or("utc", String::as_str);
    let seconds = Clock::system().now().unix_seconds();
    format!("call {} at {seconds} in {zone}\n", app.count())
}

/// An answer for one caller only.
async fn me(State(app): State<App>, headers: HeaderMap) -> String {
    let who = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or("nobody");
    format!("call {} by {who}\n", app.count())
}

async fn flush(State(app): State<App>) -> String {
    let flushed = app.cache.flush_stage("prod");
    let stats = app.cache.stats();
    format!("flushed {flushed}; {} hits, {} misses\n", stats.hits(), stats.misses())
}

fn service(cache: &Cache) -> Result<Router, Box<dyn Error>> {
    let routes = Routes::builder()
        .method("/time", Method::GET, ApiMethod::new().cache_key(CacheKey::new().query("zone")))
        .method("/time", Method::POST, ApiMethod::new())
        .method("/me", Method::GET, ApiMethod::new().cache_key(CacheKey::new().header(AUTHORIZATION)))
        .method("/flush", Method::POST, ApiMethod::new())
        .build()?;
    let settings = MethodSettings::new().caching(CacheSettings::new().ttl(Duration::from_secs(60)));
    let stages = Stages::builder()
        .deployment(Deployment::new("v1", routes))
        .stage(Stage::new("prod", "v1").settings("*/*", settings))
        .build()?;
    let app = App { calls: Arc::default(), cache: cache.clone() };
    let gateway = Gateway::builder().stages(stages).cache(CacheLayer::new(cache.clone())).build()?;
    Ok(Router::new().fallback_service(gateway.layer(clock(app))))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let service = service(&Cache::builder().build()?)?;
    let listener = process::listener(3000).await?;
    let base = format!("http://{}/prod", listener.local_addr()?);
    println!("curl '{base}/time?zone=utc'                     # again: the same call, for 60 seconds");
    println!("curl '{base}/time?zone=utc&x=1'                 # the same: only zone is in the key");
    println!("curl -X POST '{base}/time'                      # never from the cache");
    println!("curl -H 'Authorization: ada' {base}/me          # one entry for each caller");
    println!("curl -H 'Cache-Control: max-age=0' -i {base}/time  # who may not invalidate gets a Warning");
    println!("curl -X POST {base}/flush                       # and the counts");
    axum::serve(listener, service).await?;
    Ok(())
}
