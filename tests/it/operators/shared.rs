//! `/limits/{key}` and the page's quotas where processes share usage: the store's figures, and what is said without it.

use super::{NOW, VALUE};
use crate::{
    support::run,
    usage_stores::double::{Double, Link},
};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use std::{convert::Infallible, time::Duration};
use tower::{Layer, ServiceExt, service_fn};
use tower_gateway::{
    api_key::{ApiKey, ApiKeys},
    clock::ManualClock,
    gateway::Gateway,
    observe::{
        ObserveLayer, PrometheusMetrics,
        admin::{AdminService, Explain},
    },
    route::{ApiMethod, MethodSettings, Routes},
    stage::{Deployment, Stage, Stages},
    store::{FailurePolicy, StoreOptions},
    throttle::Throttle,
    usage_plan::{Quota, QuotaPeriod, UsagePlan, UsagePlans},
};

/// One process: its link to the store, and what serves and shows.
struct Process {
    store: Double,
    plans: UsagePlans,
    stages: Stages,
    explain: Explain,
    clock: ManualClock,
}

impl Process {
    fn start(clock: &ManualClock, store: Double) -> Self {
        Self::with_options(clock, store, StoreOptions::new())
    }

    fn with_options(clock: &ManualClock, store: Double, options: StoreOptions) -> Self {
        let still = |burst| Throttle::new(0.0, burst).unwrap();
        let gold = UsagePlan::new("gold")
            .throttle(still(10))
            .method_throttle("prod", "pets/POST", still(4))
            .quota(Quota::new(100, QuotaPeriod::Day).unwrap());
        let plans = UsagePlans::builder()
            .clock(clock.clock())
            .plan(gold)
            .attach("gold", "k")
            .account_throttle(still(50))
            .store(store.clone())
            .store_options(options);
        let keyed = || ApiMethod::new().api_key_required(true);
        let routes =
            Routes::builder().method("/pets", Method::GET, keyed()).method("/pets", Method::POST, keyed());
        let stage = Stage::new("prod", "v1").settings("pets/GET", MethodSettings::new().throttle(still(30)));
        let stages =
            Stages::builder().deployment(Deployment::new("v1", routes.build().unwrap())).stage(stage);
        let (plans, stages) = (plans.build().unwrap(), stages.build().unwrap());
        Self { store, plans, stages, explain: Explain::new(10), clock: clock.clone() }
    }

    async fn ask(&self, method: Method, times: usize) {
        for _ in 0..times {
            assert_eq!(self.status(method.clone()).await, 200);
        }
    }

    async fn status(&self, method: Method) -> u16 {
        let gateway = Gateway::builder()
            .stages(self.stages.clone())
            .api_keys(ApiKeys::builder().key(ApiKey::new("k").value(VALUE)).build().unwrap())
            .usage_plans(self.plans.clone())
            .observe(ObserveLayer::new().observer(self.explain.clone()))
            .clock(self.clock.clock());
        let service = gateway.build().unwrap().layer(service_fn(|_: Request<_>| async {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("pets")))
        }));
        let request = Request::builder().method(method).uri("/prod/pets").header("x-api-key", VALUE);
        let answer = service.oneshot(request.body(Full::<Bytes>::default()).unwrap()).await.unwrap();
        let status = answer.status().as_u16();
        answer.into_body().collect().await.unwrap();
        status
    }

    /// What is shown at a path, once the time of a store that does not answer is over.
    async fn shows(&self, path: &str) -> Value {
        let admin = AdminService::<Full<Bytes>>::new(self.explain.clone(), PrometheusMetrics::new())
            .allow(|_| true)
            .usage_plans(self.plans.clone())
            .stages(self.stages.clone());
        let mut asked = std::pin::pin!(admin.oneshot(Request::get(path).body(()).unwrap()));
        let answer = match futures_util::poll!(asked.as_mut()) {
            std::task::Poll::Ready(answer) => answer,
            std::task::Poll::Pending => {
                self.clock.advance(Duration::from_millis(20));
                let now = futures_util::FutureExt::now_or_never(asked);
                now.expect("no longer than the store's deadline")
            }
        };
        let body = answer.unwrap().into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&body).unwrap()
    }
}

fn throttle(burst: u32, left: Option<u32>, scope: &str) -> Value {
    let mut throttle = json!({ "rateLimit": 0, "burstLimit": burst, "shadow": false, "scope": scope });
    if let Some(left) = left {
        throttle["tokensLeft"] = left.into();
    }
    throttle
}

fn of_method(mut state: Value, method: &str) -> Value {
    (state["stage"], state["resourcePath"], state["method"]) = ("prod".into(), "/pets".into(), method.into());
    state
}

/// Two processes that were asked: one five times, the other three times, one of these by `POST`.
async fn asked(throttles: bool) -> (Process, Process) {
    let clock = ManualClock::at_unix_seconds(NOW);
    let one = Process::start(&clock, Double::new(throttles));
    let two = Process::start(&clock, one.store.process());
    one.ask(Method::GET, 5).await;
    two.ask(Method::GET, 2).await;
    two.ask(Method::POST, 1).await;
    // What is in hand elsewhere is reported.
    two.plans.hand_back().await;
    (one, two)
}

#[test]
fn a_store_tells_what_all_processes_used() {
    run(async {
        let (one, two) = asked(true).await;
        for process in [&one, &two] {
            let shown = process.shows("/limits/k").await;
            assert_eq!(shown["store"], json!({ "answered": true }));
            let plan = &shown["plans"][0];
            assert_eq!(plan["throttle"], throttle(10, Some(3), "shared"));
            assert_eq!(plan["methodThrottles"][0], of_method(throttle(4, Some(3), "shared"), "POST"));
            assert_eq!(shown["stageThrottles"][0], of_method(throttle(30, Some(23), "shared"), "GET"));
            assert_eq!(shown["account"], throttle(50, Some(42), "shared"));
            let quota = &plan["quota"];
            assert_eq!((&quota["used"], &quota["remaining"]), (&8.into(), &92.into()), "{quota}");
            assert_eq!(quota["scope"], "shared");
            assert!(quota["inHand"].as_u64().unwrap() < 92);
        }
        let quota = one.shows("/summary").await["quotas"][0].clone();
        assert_eq!((&quota["used"], &quota["scope"]), (&8.into(), &"shared".into()));
    });
}

#[test]
fn without_the_store_each_figure_says_whose_it_is() {
    run(async {
        for (link, failure) in
            [(Link::Refused, "the link is down"), (Link::Frozen, "the store did not answer in time")]
        {
            let (one, _two) = asked(true).await;
            one.store.set_link(link);
            let shown = one.shows("/limits/k").await;
            assert_eq!(shown["store"], json!({ "answered": false, "failure": failure }));
            let plan = &shown["plans"][0];
            assert_eq!(plan["throttle"], throttle(10, None, "unknown"));
            assert_eq!(plan["methodThrottles"][0], of_method(throttle(4, None, "unknown"), "POST"));
            assert_eq!(shown["stageThrottles"][0], of_method(throttle(30, None, "unknown"), "GET"));
            assert_eq!(shown["account"], throttle(50, None, "unknown"));
            let quota = &plan["quota"];
            assert_eq!((&quota["used"], &quota["remaining"]), (&5.into(), &95.into()), "{quota}");
            assert_eq!((&quota["scope"], quota.get("inHand")), (&"process".into(), None));
            let quota = one.shows("/summary").await["quotas"][0].clone();
            assert_eq!((&quota["used"], &quota["scope"]), (&5.into(), &"process".into()));
        }
    });
}

#[test]
fn a_request_that_is_denied_because_the_store_is_away_is_one_entry() {
    run(async {
        let options = StoreOptions::new().failure(FailurePolicy::Deny);
        let clock = ManualClock::at_unix_seconds(NOW);
        let process = Process::with_options(&clock, Double::new(true), options);
        process.store.set_link(Link::Refused);
        assert_eq!(process.status(Method::GET).await, 503);
        let entry = process.explain.recent();
        assert_eq!(entry.len(), 1);
        let shown = process.shows(&format!("/requests/{}", entry[0].request_id)).await;
        assert_eq!((&shown["status"], &shown["cause"]), (&"503".into(), &"UsageStoreUnavailable".into()));
        assert_eq!(shown["explanation"]["layer"], "UsagePlanLayer");
    });
}

#[test]
fn throttles_of_a_store_that_keeps_none_are_those_of_the_process() {
    run(async {
        let (one, two) = asked(false).await;
        let shown = one.shows("/limits/k").await;
        assert_eq!(shown["plans"][0]["throttle"], throttle(10, Some(5), "process"));
        assert_eq!(shown["stageThrottles"][0], of_method(throttle(30, Some(25), "process"), "GET"));
        assert_eq!(shown["plans"][0]["quota"]["used"], 8);
        let shown = two.shows("/limits/k").await;
        assert_eq!(
            shown["plans"][0]["methodThrottles"][0],
            of_method(throttle(4, Some(3), "process"), "POST")
        );
    });
}
