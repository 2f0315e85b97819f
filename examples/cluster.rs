//! The pet shop of `gateway.rs` in several processes that are one: keys, plans, quotas, cached answers, what authorizers
//! said and what was revoked lie in Redis.
//!
//! `REDIS_URL=redis://127.0.0.1 PORT=3000 cargo run --example cluster --features redis,authorizer`, the same with
//! `PORT=3001` beside it, then the curl lines that they print. `GET /prod/pets/{id}` is cached; every answer of the
//! service says in `x-served-by` which process made it, and how many it has made.
//!
//! `PROCESSES=2` says how many there will be: while Redis is away each admits its part of the limits, and before it was
//! ever reached nobody else can know. `STORE_DEADLINE_MS=2000`: so long an answer of Redis is waited for. That suits a
//! laptop that compiles beside it; the library's default is 20 ms, beyond which a request goes by its process's part.
//!
//! What operators change while Redis is away (`/admin/keys/gold-key/disable`) holds at once in the process that was told,
//! which answers 503: the others are told when Redis is back. Until then they let the key in.

#[path = "gateway.rs"]
#[allow(dead_code, reason = "an example has a `main` of its own")]
mod gateway;

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use gateway::{BASIC_KEY, GOLD_KEY, process};
use serde_json::{Value, json};
use std::{
    error::Error,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tower::Layer;
use tower_gateway::{
    api_key::ApiKeys,
    authorizer::{Authorizer, AuthorizerAnswer, AuthorizerEvent, AuthorizerLayer, authorizer_fn},
    cache::{Cache, CacheLayer, Purge},
    context::RequestContext,
    redis::{Fleet, Redis, RedisUsage},
    route::{ApiMethod, Authorization, CacheKey, CacheSettings, MethodSettings},
    stage::Stages,
    store::{Acknowledgement, StoreError, StoreOptions},
    usage_plan::UsagePlans,
};

/// The same in all processes, and nobody else's: a real one comes from where secrets are kept.
const IDENTITY_SECRET: [u8; 16] = *b"not-for-real-use";
/// What the keys in Redis start with.
const PREFIX: &str = "pet-shop";
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
        let keys = gateway::keys()?;
        let plans = gateway::plans()?
            .store(RedisUsage::new(redis).deadline(deadline))
            .store_options(options.clone())
            .build()?;
        let cache = Cache::builder()
            // The host is part of a key that declares nothing, and two processes on one machine have two (ports).
            .key(CacheKey::only_declared().path("id"))
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
        let named = ApiMethod::new().authorization(Authorization::custom("who"));
        let stages = gateway::stages(gateway::routes().method("/me", Method::GET, named).build()?)?;
        cache_single_pets(&stages)?;
        let gateway = gateway::builder(stages, self.keys.clone(), self.plans.clone())?
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

/// And nothing else: the list greets in the words of its stage, and slow answers are slow on purpose.
fn cache_single_pets(stages: &Stages) -> Result<(), tower_gateway::ConfigError> {
    for stage in stages.stage_names() {
        for (methods, is_cached) in [("*/*", false), ("/pets/{id}/GET", true)] {
            let caching = CacheSettings::new().enabled(is_cached);
            stages.set_settings(&stage, methods, MethodSettings::new().caching(caching))?;
        }
    }
    Ok(())
}

/// Whoever says a name is that. Each call is printed: cached answers need none.
async fn who(event: AuthorizerEvent) -> Result<AuthorizerAnswer, &'static str> {
    println!("the authorizer is asked about {}", event.authorization_token());
    Ok(AuthorizerAnswer::allow(event.authorization_token(), ["arn:aws:execute-api:*:*:*/prod/*"]))
}

/// The service says which process has answered, and how often it has; a stored answer says it again.
fn pet_shop(port: u16) -> Router {
    let calls = Arc::new(AtomicU64::new(0));
    let signed = move |answer: Response| {
        let call = calls.fetch_add(1, Relaxed) + 1;
        async move { ([("x-served-by", format!("call {call} of port {port}"))], answer) }
    };
    gateway::pet_shop().route("/me", get(me)).layer(axum::middleware::map_response(signed))
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
    let is_enabled = match &*state {
        "enable" => true,
        "disable" => false,
        _ => return (StatusCode::NOT_FOUND, "a key can be told to enable or disable\n").into_response(),
    };
    match shop.keys.set_enabled(&id, is_enabled) {
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

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1".to_owned());
    let deadline =
        Duration::from_millis(process::setting("STORE_DEADLINE_MS", 2000, "a number of milliseconds")?);
    let processes = process::setting("PROCESSES", 2, "a number of processes")?;
    let listener = process::listener(3000).await?;
    let options = StoreOptions::new().deadline(deadline).processes(processes);
    let joined = Shop::join(Redis::new(&url)?.prefix(PREFIX)?, options, deadline).await;
    // A process begins with what Redis has of keys and plans.
    let shop = joined.map_err(|error| format!("Redis at {}: {error}", process::without_secrets(&url)))?;
    let (address, plans) = (listener.local_addr()?, shop.plans.clone());
    let app = shop.gateway(pet_shop(address.port()))?.merge(shop.operators());
    print_curl_lines(address);
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    process::finish(axum::serve(listener, app).with_graceful_shutdown(process::asked_to_stop())).await?;
    // What it has in hand of quotas is for the others.
    plans.hand_back().await;
    Ok(())
}

fn print_curl_lines(address: SocketAddr) {
    let base = format!("http://{address}");
    println!(
        "The pet shop is at {base}. With another one at $OTHER (http://127.0.0.1:3001), try the lines\nbelow, and what examples/gateway.rs prints (five requests a day with the basic key, in all):\n"
    );
    for (line, answer) in [
        (
            format!(
                "curl -si -H 'x-api-key: {GOLD_KEY}' {base}/prod/pets/1 $OTHER/prod/pets/1 | grep x-served-by"
            ),
            "twice the same call of the same port: the second one is the other process's, out of Redis",
        ),
        (
            format!(
                "for at in {base} {base} {base} $OTHER $OTHER $OTHER; do curl -s -H 'x-api-key: {BASIC_KEY}' $at/prod/pets/1; echo; sleep 1; done"
            ),
            r#"five pets, then {"message":"Limit Exceeded"}: five a day, from both together (two a second, therefore the sleep)"#,
        ),
        (
            format!("cargo run --features redis --example inspect_redis -- basic basic-key {PREFIX}"),
            "with the same REDIS_URL: what Redis counts for that key, and which process holds how much of it",
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
