//! Deploy, canary, promote and roll back while a loop of requests runs; prints what each version served.
//!
//! `cargo run --example stages`

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    error::Error,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use tower::{Layer, ServiceExt, service_fn};
use tower_gateway::{
    context::RequestContext,
    route::{ApiMethod, Routes},
    stage::{CanarySettings, Deployment, Stage, StageRouter, Stages},
};

type Served = Arc<Mutex<BTreeMap<String, u32>>>;

/// One service for all versions: it sees which one in the context.
async fn version(request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let context = RequestContext::of(request.extensions());
    let version = context.and_then(RequestContext::deployment_id).unwrap_or("none");
    Ok(Response::new(Full::from(version.to_owned())))
}

async fn requests(
    stages: Stages,
    served: Served,
    stop: Arc<AtomicBool>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let service = StageRouter::new(stages).layer(service_fn(version));
    while !stop.load(Ordering::Relaxed) {
        let answer = service.clone().oneshot(Request::get("/prod/version").body(Full::default())?).await?;
        let mut by = answer.status().to_string();
        if answer.status().is_success() {
            by = String::from_utf8(answer.into_body().collect().await?.to_bytes().to_vec())?;
        }
        *served.lock().unwrap_or_else(PoisonError::into_inner).entry(by).or_default() += 1;
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Lets 1,000 requests pass, then prints who served them.
async fn report(what: &str, served: &Served) {
    served.lock().unwrap_or_else(PoisonError::into_inner).clear();
    loop {
        tokio::task::yield_now().await;
        let counts = served.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.values().sum::<u32>() >= 1_000 {
            println!("{what:<44} {counts:?}");
            return;
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let routes = Routes::builder().method("/version", Method::GET, ApiMethod::new()).build()?;
    let stages = Stages::builder()
        .deployment(Deployment::new("v1", routes.clone()).description("the first"))
        .stage(Stage::new("prod", "v1"))
        .build()?;
    let (served, stop) = (Served::default(), Arc::new(AtomicBool::new(false)));
    let traffic = tokio::spawn(requests(stages.clone(), Arc::clone(&served), Arc::clone(&stop)));

    report("v1 is deployed", &served).await;
    stages.create_deployment(Deployment::new("v2", routes).description("the second"))?;
    stages.set_canary("prod", CanarySettings::new("v2", 20.0))?;
    report("v2 is a canary with 20 percent", &served).await;
    stages.promote_canary("prod")?;
    stages.remove_canary("prod")?;
    report("v2 is promoted", &served).await;
    println!("rolled back to {}", stages.roll_back("prod")?);
    report("after the roll back", &served).await;
    stages.deploy("prod", "v2")?;
    report("v2 is deployed again", &served).await;

    stop.store(true, Ordering::Relaxed);
    traffic.await??;
    println!("history of prod: {:?}", stages.history("prod"));
    Ok(())
}
