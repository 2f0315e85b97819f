//! State in a file: what a restart and a `kill -9` leave of it.

mod cached;
mod costs;
mod kill;
mod suite;
mod usage;

use http::{Request, Response};
use http_body_util::Full;
use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    time::Duration,
};
use tower::{ServiceBuilder, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_gateway::{
    api_key::{ApiKey, ApiKeyLayer, ApiKeys},
    redb::StateFile,
    store::{FailurePolicy, StoreOptions},
    usage_plan::{Quota, QuotaPeriod, UsagePlan, UsagePlanLayer, UsagePlans},
};

const VALUE: &str = "0123456789abcdefghij";

/// A path of its own, gone when the test is over.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        Self::at(&std::env::temp_dir(), name)
    }

    fn at(directory: &Path, name: &str) -> Self {
        let path = directory.join(format!("tower-gateway-it-{}-{name}.state", std::process::id()));
        let _none_there = std::fs::remove_file(&path);
        Self(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.0);
    }
}

type Service = BoxCloneSyncService<Request<Full<bytes::Bytes>>, Response<Full<bytes::Bytes>>, Infallible>;

/// A process's view: key `alice` on plan `gold`, kept in a file.
struct Process {
    file: StateFile,
    keys: ApiKeys,
    plans: UsagePlans,
    service: Service,
}

impl Process {
    fn start(path: &Path, limit: u64) -> Self {
        let file = StateFile::open(path).unwrap();
        let keys = ApiKeys::builder().key(ApiKey::new("alice").value(VALUE)).build().unwrap();
        file.keep_keys(&keys).unwrap();
        let gold = UsagePlan::new("gold").quota(Quota::new(limit, QuotaPeriod::Month).unwrap());
        let plans = UsagePlans::builder().plan(gold).attach("gold", "alice");
        // Who tests beside others on a slow disk waits for it.
        let patient = StoreOptions::new().failure(FailurePolicy::Deny).deadline(Duration::from_secs(60));
        let plans = file.keep_usage(plans).store_options(patient).build().unwrap();
        file.keep_plans(&plans).unwrap();
        let stack = ServiceBuilder::new()
            .layer(ApiKeyLayer::new(keys.clone()))
            .layer(UsagePlanLayer::new(plans.clone()))
            .service(service_fn(|_| async { Ok::<_, Infallible>(Response::new(Full::default())) }));
        Self { file, keys, plans, service: BoxCloneSyncService::new(stack) }
    }

    /// The status of one request of alice's.
    async fn ask(&self) -> u16 {
        let request = Request::builder().header("x-api-key", VALUE).body(Full::default()).unwrap();
        self.service.clone().oneshot(request).await.unwrap().status().as_u16()
    }

    /// What the report says was used on all days, and how much is unknown.
    async fn reported(&self) -> (u64, u64) {
        let days = [("2026-01-01", "2026-12-31"), ("2027-01-01", "2027-12-31"), ("2028-01-01", "2028-12-31")];
        let (mut used, mut unknown) = (0, 0);
        for (first, last) in days {
            let report = self.plans.shared_usage("gold", "alice", first, last).await.unwrap();
            used += report.of("alice").unwrap().iter().map(|day| day.used).sum::<u64>();
            unknown = report.unknown();
        }
        (used, unknown)
    }
}

/// How many of so many requests of alice's a layer admits.
async fn admitted(layer: UsagePlanLayer, count: usize) -> usize {
    let keys = ApiKeys::builder().key(ApiKey::new("alice").value(VALUE)).build().unwrap();
    let stack = ServiceBuilder::new().layer(ApiKeyLayer::new(keys)).layer(layer);
    let service = stack.service(service_fn(|_| async {
        Ok::<_, Infallible>(Response::new(Full::<bytes::Bytes>::default()))
    }));
    let mut admitted = 0;
    for _ in 0..count {
        let request = Request::builder().header("x-api-key", VALUE).body(()).unwrap();
        admitted += usize::from(service.clone().oneshot(request).await.unwrap().status().is_success());
    }
    admitted
}

/// Stages have no store: those of an earlier run are made again after the gateway is built.
#[test]
fn plans_that_come_back_are_not_held_against_stages() {
    use tower_gateway::{
        gateway::{BuildError, Gateway},
        route::Routes,
        stage::Stages,
    };
    let place = Place::new("stages");
    let gateway = |plans: UsagePlans| {
        let stages = Stages::single("prod", Routes::catch_all()).unwrap();
        let keys = ApiKeys::builder().key(ApiKey::new("alice").value(VALUE)).build().unwrap();
        Gateway::builder().stages(stages).api_keys(keys).usage_plans(plans).build().map(drop)
    };
    let plan = || UsagePlan::new("beta").stage("beta");
    for _ in 0..2 {
        let file = StateFile::open(&place.0).unwrap();
        let plans = UsagePlans::builder().build().unwrap();
        file.keep_plans(&plans).unwrap();
        gateway(plans.clone()).unwrap();
        plans.put_plan(plan()).unwrap();
        plans.attach("beta", "alice").unwrap();
        file.close();
    }
    let given = gateway(UsagePlans::builder().plan(plan()).build().unwrap());
    assert!(matches!(given, Err(BuildError::Conflict { other: "stages", .. })), "{given:?}");
}
