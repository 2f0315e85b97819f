//! A pet shop in several processes that are one: keys, plans, quotas, cached answers, what authorizers said and what was
//! revoked lie in Redis.
//!
//! `REDIS_URL=redis://127.0.0.1 PORT=3000 cargo run --example cluster --features redis,authorizer`, the same with
//! `PORT=3001` beside it, then the curl lines that they print.
//!
//! `PROCESSES=2` says how many there will be: while Redis is away each admits its part of the limits, and before it was
//! ever reached nobody else can know. `STORE_DEADLINE_MS` (20): so long an answer of Redis is waited for.

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use std::{
    error::Error,
    net::SocketAddr,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tower::Layer;
use tower_gateway::{
    api_key::{ApiKey, ApiKeys},
    authorizer::{Authorizer, AuthorizerAnswer, AuthorizerEvent, AuthorizerLayer, authorizer_fn},
    cache::{Cache, CacheLayer, Purge},
    context::RequestContext,
    gateway::Gateway,
    redis::{Fleet, Redis, RedisUsage},
    route::{ApiMethod, Authorization, CacheKey, Routes},
    stage::Stages,
    store::{Acknowledgement, StoreError, StoreOptions},
    throttle::Throttle,
    usage_plan::{Quota, QuotaPeriod, UsagePlan, UsagePlans},
};

const GOLD_KEY: &str = "WBjHxNtoAb4WPKBC7cGm64CBibIb24b4jt8jJHo9";
const BASIC_KEY: &str = "basic-0123456789abcdefghij";
/// The same in all processes, and nobody else's: a real one comes from where secrets are kept.
const IDENTITY_SECRET: [u8; 16] = *b"not-for-real-use";
/// How long an operator waits for the other processes.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the operator's side needs.
#[derive(Clone)]
struct Shop {
    fleet: Fleet,
    keys: ApiKeys,
    plans: UsagePlans,
    cache: Cache,
    authorizer: Authorizer,
}

impl Shop {
    async fn join(redis: Redis, options: StoreOptions, deadline: Duration) -> Result<Self, Box<dyn Error>> {
        let fleet = Fleet::join(&redis)?;
        let keys = ApiKeys::builder()
            .key(ApiKey::new("gold-key").value(GOLD_KEY))
            .key(ApiKey::new("basic-key").value(BASIC_KEY))
            .build()?;
        let plans = UsagePlans::builder()
            .plan(UsagePlan::new("gold").throttle(Throttle::new(100.0, 200)?))
            .plan(UsagePlan::new("basic").quota(Quota::new(5, QuotaPeriod::Day)?))
            .attach("gold", "gold-key")
            .attach("basic", "basic-key")
            .store(RedisUsage::new(redis).deadline(deadline))
            .store_options(options.clone())
            .build()?;
        let cache = Cache::builder()
            .second_tier(fleet.cache("answers").deadline(deadline))
            .tier_options(options.clone())
            .build()?;
        let authorizer = Authorizer::token("who", authorizer_fn(who))
            .shared_secret(IDENTITY_SECRET)
            .store_options(options)
            .build()?;
        fleet.share_keys(&keys).await?;
        fleet.share_plans(&plans).await?;
        fleet.share_authorizer(&authorizer).await?;
        Ok(Self { fleet, keys, plans, cache, authorizer })
    }

    fn gateway(&self, pets: Router) -> Result<Router, Box<dyn Error>> {
        // The host is part of a key that declares nothing, and two processes on one machine have two (ports).
        let by_id = CacheKey::only_declared().path("id");
        let keyed = ApiMethod::new().api_key_required(true).cache_key(by_id);
        let named = ApiMethod::new().authorization(Authorization::custom("who"));
        let routes = Routes::builder()
            .method("/pets/{id}", Method::GET, keyed)
            .method("/me", Method::GET, named)
            .build()?;
        let gateway = Gateway::builder()
            .stages(Stages::single("prod", routes)?)
            .api_keys(self.keys.clone())
            .usage_plans(self.plans.clone())
            .authorizer(AuthorizerLayer::new(self.authorizer.clone()))
            .cache(CacheLayer::new(self.cache.clone()))
            .build()?;
        Ok(Router::new().fallback_service(gateway.layer(pets)))
    }

    /// Not behind the gateway: bind it to where only operators come.
    fn operators(self) -> Router {
        Router::new()
            .route("/admin/keys/{id}/{state}", post(set_key))
            .route("/admin/flush", post(flush))
            .route("/admin/revoke/{who}", post(revoke))
            .with_state(self)
    }
}

/// Whoever says a name is that. Each call is printed: cached answers need none.
async fn who(event: AuthorizerEvent) -> Result<AuthorizerAnswer, &'static str> {
    println!("the authorizer is asked about {}", event.authorization_token());
    Ok(AuthorizerAnswer::allow(event.authorization_token(), ["arn:aws:execute-api:*:*:*/prod/*"]))
}

/// The service: it says which process has answered, and how often it has.
fn pet_shop(port: u16) -> Router {
    let calls = Arc::new(AtomicU64::new(0));
    let one_pet = move |Path(id): Path<u32>| {
        let call = calls.fetch_add(1, Relaxed) + 1;
        async move { Json(json!({ "id": id, "type": "dog", "call": call, "port": port })) }
    };
    Router::new().route("/pets/{id}", get(one_pet)).route("/me", get(me))
}

async fn me(request: Request) -> String {
    let context = RequestContext::of(request.extensions());
    let principal = context.and_then(|context| context.principal());
    format!("hello {}\n", principal.map_or("nobody", |principal| principal.id()))
}

/// Who has taken note: what an operator wants to know of a revocation.
fn told(told: Result<Acknowledgement, StoreError>) -> Response {
    match told {
        Ok(told) => {
            let body: Value = json!({
                "acknowledged": told.acknowledged, "silent": told.silent, "cut off": told.cut_off,
            });
            Json(body).into_response()
        }
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

async fn set_key(State(shop): State<Shop>, Path((id, state)): Path<(String, String)>) -> Response {
    match shop.keys.set_enabled(&id, state == "enable") {
        Ok(()) => told(shop.fleet.settled(PATIENCE).await),
        Err(error) => (StatusCode::NOT_FOUND, format!("{error}\n")).into_response(),
    }
}

async fn flush(State(shop): State<Shop>) -> Response {
    told(shop.cache.purge_everywhere(&Purge::all(), PATIENCE).await)
}

async fn revoke(State(shop): State<Shop>, Path(who): Path<String>) -> Response {
    shop.authorizer.revoke_principal(&who);
    told(shop.fleet.settled(PATIENCE).await)
}

/// From the environment.
fn number<T: FromStr>(name: &str, default: T) -> Result<T, T::Err> {
    std::env::var(name).map_or(Ok(default), |number| number.parse())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1".to_owned());
    let port: u16 = number("PORT", 3000)?;
    let deadline = Duration::from_millis(number("STORE_DEADLINE_MS", 20)?);
    let options = StoreOptions::new().deadline(deadline).processes(number("PROCESSES", 1)?);
    let joined = Shop::join(Redis::new(&url)?.prefix("pet-shop")?, options, deadline).await;
    if joined.is_err() {
        eprintln!("a process begins with what Redis has of keys and plans: it must be there at that moment");
    }
    let shop = joined?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let address = listener.local_addr()?;
    print_curl_lines(address);
    let app = shop.gateway(pet_shop(address.port()))?.merge(shop.operators());
    axum::serve(listener, app).await?;
    Ok(())
}

fn print_curl_lines(address: SocketAddr) {
    let base = format!("http://{address}");
    println!("The pet shop is at {base}. With another one at $OTHER (http://127.0.0.1:3001), try:\n");
    for (line, answer) in [
        (
            format!("curl -s -H 'x-api-key: {GOLD_KEY}' {base}/prod/pets/1 $OTHER/prod/pets/1"),
            "twice the same call of the same port: the second one is the other process's, out of Redis",
        ),
        (
            format!("curl -s -H 'x-api-key: {BASIC_KEY}' '{base}/prod/pets/[1-3]' '$OTHER/prod/pets/[4-7]'"),
            r#"five pets, then {"message":"Limit Exceeded"}: five a day, from both together"#,
        ),
        (
            format!("curl -s -X POST {base}/admin/keys/gold-key/disable"),
            r#"{"acknowledged":2,...}: from now on no process lets the key in (/enable: again)"#,
        ),
        (format!("curl -si -H 'x-api-key: {GOLD_KEY}' $OTHER/prod/pets/1"), r#"403 {"message":"Forbidden"}"#),
        (format!("curl -s -X POST {base}/admin/flush"), "the cached answers of all processes are gone"),
        (
            format!("curl -s -H 'Authorization: ada' {base}/prod/me $OTHER/prod/me"),
            "hello ada, twice; the authorizer is asked once, by the process that came first",
        ),
        (
            format!("curl -s -X POST {base}/admin/revoke/ada"),
            "from now on it is asked again: ada's answer is gone everywhere",
        ),
    ] {
        println!("  {line}\n      -> {answer}\n");
    }
}
