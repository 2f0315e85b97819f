//! `/limits/{key}` and `/stages`, read from the handles of a gateway that is used.

use super::{NOW, VALUE, get};
use crate::support::run;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use serde_json::{Value, json};
use std::{convert::Infallible, time::Duration};
use tower::{Layer, ServiceExt, service_fn};
#[cfg(feature = "tracing")]
use tower_gateway::route::{ExecutionLogging, LoggingLevel};
use tower_gateway::{
    api_key::{ApiKey, ApiKeys},
    clock::ManualClock,
    gateway::Gateway,
    observe::{
        PrometheusMetrics,
        admin::{AdminService, Explain},
    },
    route::{ApiMethod, CacheSettings, MethodSettings, Routes},
    stage::{CanarySettings, Deployment, Stage, Stages},
    throttle::Throttle,
    usage_plan::{Quota, QuotaPeriod, UsagePlan, UsagePlans},
};

struct Shop {
    clock: ManualClock,
    keys: ApiKeys,
    plans: UsagePlans,
    stages: Stages,
}

impl Shop {
    fn open() -> Self {
        let clock = ManualClock::at_unix_seconds(NOW);
        let rate = |rate, burst| Throttle::new(rate, burst).unwrap();
        let gold = UsagePlan::new("gold")
            .name("Gold")
            .stage("prod")
            .throttle(rate(1.0, 10))
            .method_throttle("prod", "pets/POST", rate(0.5, 2))
            .quota(Quota::new(100, QuotaPeriod::Month).unwrap());
        let plans = UsagePlans::builder()
            .clock(clock.clock())
            .plan(gold)
            .plan(UsagePlan::new("free").stage("dev"))
            .attach("gold", "key/1\"x")
            .attach("free", "key/1\"x")
            .account_throttle(rate(1_000.0, 500));
        let key = ApiKey::new("key/1\"x").value(VALUE);
        let idle = ApiKey::new("idle").value("other-0123456789abcdef").enabled(false);
        let keyed = ApiMethod::new().api_key_required(true);
        let routes = Routes::builder()
            .method("/pets", Method::GET, keyed.clone())
            .method("/pets", Method::POST, keyed)
            .build()
            .unwrap();
        let settings = MethodSettings::new().throttle(rate(5.0, 7)).caching(CacheSettings::new());
        #[cfg(feature = "tracing")]
        let settings = settings.execution_logging(ExecutionLogging::new(LoggingLevel::Info).data_trace(true));
        #[cfg(feature = "emf")]
        let settings = settings.metrics_enabled(false);
        let prod = Stage::new("prod", "v1").variable("backend", "10.0.0.7:80").settings("pets/GET", settings);
        let stages = Stages::builder()
            .deployment(Deployment::new("v1", routes.clone()).description("the first"))
            .deployment(Deployment::new("v2", routes))
            .stage(prod)
            .stage(Stage::new("dev", "v1"));
        Self {
            keys: ApiKeys::builder().key(key).key(idle).clock(clock.clock()).build().unwrap(),
            plans: plans.build().unwrap(),
            stages: stages.build().unwrap(),
            clock,
        }
    }

    fn ask(&self, method: Method) {
        let gateway = Gateway::builder()
            .stages(self.stages.clone())
            .api_keys(self.keys.clone())
            .usage_plans(self.plans.clone())
            .clock(self.clock.clock());
        let service = gateway.build().unwrap().layer(service_fn(|_: Request<_>| async {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("pets")))
        }));
        let request = Request::builder().method(method).uri("/prod/pets").header("x-api-key", VALUE);
        let answer = run(service.oneshot(request.body(Full::<Bytes>::default()).unwrap())).unwrap();
        assert_eq!(answer.status(), 200);
    }

    fn admin(&self) -> AdminService<Full<Bytes>> {
        AdminService::new(Explain::new(10), PrometheusMetrics::new())
            .allow(|head| head.headers.contains_key("x-operator"))
            .api_keys(self.keys.clone())
            .usage_plans(self.plans.clone())
            .stages(self.stages.clone())
    }
}

fn read(admin: &AdminService<Full<Bytes>>, path: &str) -> Value {
    let (status, text) = get(admin, path);
    assert_eq!(status, 200, "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn every_limit_of_a_key_by_its_id() {
    let shop = Shop::open();
    shop.ask(Method::GET);
    shop.ask(Method::GET);
    shop.ask(Method::POST);
    let admin = shop.admin();
    let limits = read(&admin, "/limits/key%2F1%22x");
    let throttle = |rate: f64, burst, left| json!({ "rateLimit": rate as u64, "burstLimit": burst, "tokensLeft": left, "shadow": false });
    let gold = json!({
        "planId": "gold",
        "name": "Gold",
        "stages": ["prod"],
        "throttle": throttle(1.0, 10, 8),
        "methodThrottles": [{
            "stage": "prod", "resourcePath": "/pets", "method": "POST",
            "rateLimit": 0.5, "burstLimit": 2, "tokensLeft": 1, "shadow": false,
        }],
        "quota": {
            "period": "MONTH", "limit": 100, "used": 3, "remaining": 97,
            "periodStart": 1_793_491_200, "periodEnd": 1_796_083_200, "resetSeconds": 1_796_083_200 - NOW,
            "shadow": false,
        },
    });
    let free = json!({ "planId": "free", "stages": ["dev"], "methodThrottles": [] });
    let stage = json!({
        "stage": "prod", "resourcePath": "/pets", "method": "GET",
        "rateLimit": 5, "burstLimit": 7, "tokensLeft": 5, "shadow": false,
    });
    let wanted = json!({
        "keyId": "key/1\"x",
        "enabled": true,
        "plans": [gold, free],
        "stageThrottles": [stage],
        "account": throttle(1_000.0, 500, 497),
    });
    assert_eq!(limits, wanted);
}

#[test]
fn looking_changes_nothing_and_time_is_seen() {
    let shop = Shop::open();
    shop.ask(Method::GET);
    let admin = shop.admin();
    let left = || {
        let plan = read(&admin, "/limits/key%2F1%22x")["plans"][0].clone();
        (
            plan["throttle"]["tokensLeft"].clone(),
            plan["quota"]["used"].clone(),
            plan["quota"]["remaining"].clone(),
        )
    };
    let all = |tokens: u64, used: u64, remaining: u64| (json!(tokens), json!(used), json!(remaining));
    assert_eq!((left(), left()), (all(9, 1, 99), all(9, 1, 99)));
    shop.plans.update_remaining("gold", "key/1\"x", 500).unwrap();
    shop.clock.advance(Duration::from_secs(5));
    assert_eq!(left(), all(10, 1, 500), "a grant is no use");
    shop.clock.advance(Duration::from_secs(10 * 86_400));
    assert_eq!(left(), all(10, 0, 100), "another month");
    shop.ask(Method::GET);
    assert_eq!(left(), all(9, 1, 99));
}

#[test]
fn unknown_keys_and_values_of_keys_are_not_found() {
    let shop = Shop::open();
    let admin = shop.admin();
    for path in ["/limits/nobody", "/limits/", "/limits", "/limits/%FF", &format!("/limits/{VALUE}")] {
        assert_eq!(get(&admin, path), (404, r#"{"message":"Not Found"}"#.into()), "{path}");
    }
    let idle = read(&admin, "/limits/idle");
    assert_eq!((&idle["enabled"], &idle["plans"]), (&json!(false), &json!([])));
    assert_eq!(idle["stageThrottles"], json!([]), "no plan, no stage");
    let without_keys = AdminService::new(Explain::new(1), PrometheusMetrics::new())
        .allow(|_| true)
        .usage_plans(shop.plans.clone());
    assert_eq!(get(&without_keys, "/limits/idle").0, 404);
    assert_eq!(read(&without_keys, "/limits/key%2F1%22x").get("enabled"), None);
    let closed = AdminService::new(Explain::new(1), PrometheusMetrics::new()).usage_plans(shop.plans.clone());
    assert_eq!(get(&closed, "/limits/key%2F1%22x").0, 403);
    assert_eq!(
        get(&AdminService::new(Explain::new(1), PrometheusMetrics::new()).allow(|_| true), "/limits/idle").0,
        404
    );
}

#[test]
fn stages_with_their_history_and_only_the_names_of_variables() {
    let shop = Shop::open();
    shop.stages.deploy("prod", "v2").unwrap();
    let canary = CanarySettings::new("v1", 12.5).override_variable("backend", "10.0.0.8:80");
    shop.stages.set_canary("prod", canary).unwrap();
    let admin = shop.admin();
    let all = read(&admin, "/stages");
    #[allow(unused_mut, reason = "settings of features")]
    let mut prod = json!({
        "name": "prod",
        "deploymentId": "v2",
        "history": ["v1", "v2"],
        "variables": ["backend"],
        "settings": { "pets/GET": {
            "throttle": { "rateLimit": 5, "burstLimit": 7, "shadow": false },
            "caching": { "enabled": true, "ttlSeconds": 300, "dataEncrypted": false, "requireAuthorization": true },
        } },
        "canary": { "deploymentId": "v1", "percentTraffic": 12.5, "stageVariableOverrides": ["backend"] },
    });
    #[cfg(feature = "tracing")]
    {
        prod["settings"]["pets/GET"]["logging"] = json!({ "level": "INFO", "dataTrace": true });
    }
    #[cfg(feature = "emf")]
    {
        prod["settings"]["pets/GET"]["metricsEnabled"] = false.into();
    }
    let dev =
        json!({ "name": "dev", "deploymentId": "v1", "history": ["v1"], "variables": [], "settings": {} });
    assert_eq!(all["stages"], json!([dev, prod]));
    let deployments = json!([{ "id": "v1", "description": "the first" }, { "id": "v2", "description": "" }]);
    assert_eq!(all["deployments"], deployments);
    assert_eq!(read(&admin, "/stages/prod"), prod);
    assert!(!all.to_string().contains("10.0.0"), "values stay inside");
    assert_eq!(get(&admin, "/stages/test").0, 404);

    let shown = read(&admin.show_variable_values(true), "/stages/prod");
    assert_eq!(shown["variables"], json!({ "backend": "10.0.0.7:80" }));
    assert_eq!(shown["canary"]["stageVariableOverrides"], json!({ "backend": "10.0.0.8:80" }));
}
