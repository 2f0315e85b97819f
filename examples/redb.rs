//! A pet shop whose keys and usage survive a restart and a `kill -9`: `cargo run --example redb --features redb`, then
//! the curl lines it prints. `$STATE` is the file.

mod process;

use axum::{
    Router,
    extract::{Path, State},
    http::{Method, StatusCode},
    routing::{get, post},
};
use std::{error::Error, net::SocketAddr, path::PathBuf, sync::Arc};
use tokio::sync::Notify;
use tower::Layer;
use tower_gateway::{
    api_key::{ApiKey, ApiKeys},
    cache::{Cache, CacheLayer},
    gateway::Gateway,
    redb::StateFile,
    route::{ApiMethod, CacheKey, Routes},
    stage::Stages,
    usage_plan::{Quota, QuotaPeriod, UsagePlan, UsagePlans},
};

const KEY: &str = "partner-0123456789abcdefghij";

/// What operators use.
#[derive(Clone)]
struct Shop {
    file: StateFile,
    keys: ApiKeys,
    plans: UsagePlans,
    stop: Arc<Notify>,
}

impl Shop {
    /// The same at every start: the file knows what was changed since.
    fn open(path: PathBuf) -> Result<Self, Box<dyn Error>> {
        let file = StateFile::open(path)?;
        let keys = ApiKeys::builder().key(ApiKey::new("partner").value(KEY)).build()?;
        file.keep_keys(&keys)?;
        let daily = UsagePlan::new("daily").quota(Quota::new(6, QuotaPeriod::Month)?);
        let plans = file.keep_usage(UsagePlans::builder().plan(daily).attach("daily", "partner")).build()?;
        file.keep_plans(&plans)?;
        Ok(Self { file, keys, plans, stop: Arc::default() })
    }

    fn gateway(&self) -> Result<Router, Box<dyn Error>> {
        let shop = Router::new().route("/pets", get(async || "cat, dog\n"));
        let routes = Routes::builder().method(
            "/pets",
            Method::GET,
            ApiMethod::new().api_key_required(true).cache_key(CacheKey::new().shared_between_callers()),
        );
        let cache = Cache::builder().store(self.file.cache_store(64 << 20, 2 << 20)?).build()?;
        let gateway = Gateway::builder()
            .stages(Stages::single("prod", routes.build()?)?)
            .api_keys(self.keys.clone())
            .usage_plans(self.plans.clone())
            .cache(CacheLayer::new(cache))
            .build()?;
        Ok(Router::new().fallback_service(gateway.layer(shop)))
    }

    /// For operators only: put an authorizer in front of such routes.
    fn admin(&self) -> Router {
        Router::new()
            .route("/admin/keys/{id}", post(add_key).delete(delete_key))
            .route("/admin/usage/{id}", get(usage))
            .route("/admin/reconcile", post(reconcile))
            .route("/admin/stop", post(stop))
            .with_state(self.clone())
    }
}

fn refused(error: impl std::fmt::Display) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, format!("{error}\n"))
}

/// On the disk when it is answered; the value is shown this once.
async fn add_key(State(shop): State<Shop>, Path(id): Path<String>) -> Result<String, (StatusCode, String)> {
    let key = shop.keys.add(ApiKey::new(&id)).map_err(refused)?;
    shop.plans.attach("daily", &id).map_err(refused)?;
    Ok(format!("{}\n", key.expose_value()))
}

async fn delete_key(
    State(shop): State<Shop>,
    Path(id): Path<String>,
) -> Result<String, (StatusCode, String)> {
    shop.keys.delete(&id).map_err(refused)?;
    Ok(format!("deleted {id}\n"))
}

async fn usage(State(shop): State<Shop>, Path(id): Path<String>) -> Result<String, (StatusCode, String)> {
    let (from, to) = ("2026-01-01", "2026-12-31");
    let report = shop.plans.shared_usage("daily", &id, from, to).await.map_err(refused)?;
    let used: u64 = report.of(&id).into_iter().flatten().map(|day| day.used).sum();
    let lost = shop.file.unknown_usage().map_err(refused)?;
    let own = lost.iter().filter(|unknown| unknown.key_id.as_deref() == Some(&*id));
    let lost: u64 = own.map(|unknown| unknown.units).sum();
    Ok(format!("used in 2026: {used}, unknown since a crash: {lost}\n"))
}

/// Nobody knows better here: all that is unknown is taken for used.
async fn reconcile(State(shop): State<Shop>) -> Result<String, (StatusCode, String)> {
    let back = shop.file.reconcile(|unknown| unknown.units).map_err(refused)?;
    Ok(format!("reconciled, {back} given back\n"))
}

async fn stop(State(shop): State<Shop>) -> &'static str {
    shop.stop.notify_one();
    "stopping\n"
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = process::listener(3000).await?;
    let path =
        std::env::var_os("STATE").map_or_else(|| std::env::temp_dir().join("pet-shop.state"), PathBuf::from);
    let shop = Shop::open(path)?;
    print_curl_lines(listener.local_addr()?, &shop);
    let app = shop.admin().fallback_service(shop.gateway()?);
    let stop = Arc::clone(&shop.stop);
    let stop = async move {
        tokio::select! {
            () = stop.notified() => {}
            () = process::asked_to_stop() => {}
        }
    };
    process::finish(axum::serve(listener, app).with_graceful_shutdown(stop)).await?;
    // What was used is written, what is in hand given back: nothing is unknown to the next process.
    shop.plans.hand_back().await;
    shop.file.close();
    Ok(())
}

fn print_curl_lines(address: SocketAddr, shop: &Shop) {
    let base = format!("http://{address}");
    println!("The pet shop is at {base}, its state in {}. Try:\n", shop.file.path().display());
    for (line, answer) in [
        (format!("curl -i -H 'x-api-key: {KEY}' {base}/prod/pets"), "200, six times in a month; then 429"),
        (format!("curl {base}/admin/usage/partner"), "used in 2026: 1, unknown since a crash: 0"),
        (
            format!("curl -X POST {base}/admin/keys/new"),
            "the value of a new key, on the disk before it is shown",
        ),
        (
            format!("curl -X DELETE {base}/admin/keys/partner"),
            "deleted partner; it does not come back with a restart",
        ),
        (
            format!("curl -X POST {base}/admin/stop"),
            "ends cleanly, as with Ctrl-C; start it again, and nothing is forgotten",
        ),
        ("kill -9 its process, start it again".to_owned(), "keys are there; unknown units count as used"),
        (format!("curl -X POST {base}/admin/reconcile"), "reconciled, 0 given back"),
    ] {
        println!("  {line}\n      -> {answer}\n");
    }
}
