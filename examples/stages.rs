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
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tower::{Layer, ServiceExt, service_fn};
use tower_gateway::{
    context::RequestContext,
    route::{ApiMethod, Routes},
    stage::{CanarySettings, Deployment, Stage, StageRouter, Stages},
};

/// What each version served, by the phase in which its requests started.
#[derive(Debug, Default)]
struct Traffic {
    phase: AtomicUsize,
    served: Mutex<BTreeMap<(usize, String), u32>>,
    stop: AtomicBool,
}

/// One service for all versions: it sees which one in the context.
async fn version(request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let context = RequestContext::of(request.extensions());
    let version = context.and_then(RequestContext::deployment_id).unwrap_or("none");
    Ok(Response::new(Full::from(version.to_owned())))
}

async fn requests(stages: Stages, traffic: Arc<Traffic>) -> Result<(), Box<dyn Error + Send + Sync>> {
    let service = StageRouter::new(stages).layer(service_fn(version));
    while !traffic.stop.load(Ordering::Acquire) {
        let phase = traffic.phase.load(Ordering::Acquire);
        let answer = service.clone().oneshot(Request::get("/prod/version").body(Full::default())?).await?;
        let mut by = answer.status().to_string();
        if answer.status().is_success() {
            by = String::from_utf8(answer.into_body().collect().await?.to_bytes().to_vec())?;
        }
        *traffic.served().entry((phase, by)).or_default() += 1;
        tokio::task::yield_now().await;
    }
    Ok(())
}

impl Traffic {
    fn served(&self) -> MutexGuard<'_, BTreeMap<(usize, String), u32>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets 1,000 requests pass that start from here on, then prints who served them.
    async fn report(&self, what: &str) {
        let phase = self.phase.fetch_add(1, Ordering::AcqRel) + 1;
        loop {
            tokio::task::yield_now().await;
            let served = self.served();
            let of_phase = served.iter().filter(|((started, _), _)| *started == phase);
            let counts: BTreeMap<_, _> = of_phase.map(|((_, version), count)| (version, count)).collect();
            if counts.values().copied().sum::<u32>() >= 1_000 {
                println!("{what:<44} {counts:?}");
                return;
            }
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
    let traffic = Arc::new(Traffic::default());
    let loop_of_requests = tokio::spawn(requests(stages.clone(), Arc::clone(&traffic)));

    traffic.report("v1 is deployed").await;
    stages.create_deployment(Deployment::new("v2", routes).description("the second"))?;
    stages.set_canary("prod", CanarySettings::new("v2", 20.0))?;
    traffic.report("v2 is a canary with 20 percent").await;
    stages.promote_canary("prod")?;
    stages.remove_canary("prod")?;
    traffic.report("v2 is promoted").await;
    println!("rolled back to {}", stages.roll_back("prod")?);
    traffic.report("after the roll back").await;
    stages.deploy("prod", "v2")?;
    traffic.report("v2 is deployed again").await;

    traffic.stop.store(true, Ordering::Release);
    loop_of_requests.await??;
    println!("roll backs lead through, the present one last: {:?}", stages.history("prod"));
    Ok(())
}
