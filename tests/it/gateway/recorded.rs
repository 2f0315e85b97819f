//! API keys and usage plans together, as recorded from AWS.

use super::*;
use crate::support::recorded;
use serde_json::Value;

#[test]
fn api_keys_as_recorded_from_aws() {
    run(async {
        for case in recorded("api-key", 2) {
            let gateway = gateway_of(&case["api"]).layer(Strict::default());
            let answer = gateway.oneshot(request_of(&case["request"])).await.unwrap();
            let expected = case["expect"]["status"].as_u64().unwrap();
            assert_eq!(u64::from(answer.status().as_u16()), expected, "{}", case["id"]);
        }
    });
}

fn gateway_of(api: &Value) -> Gateway {
    let (keys, plans) = keys_on_plan(api);
    Gateway::builder()
        .stages(Stages::single("dev", routes_of(api)).unwrap())
        .api_keys(keys)
        .usage_plans(plans)
        .build()
        .unwrap()
}

fn routes_of(api: &Value) -> Routes {
    let mut routes = Routes::builder();
    for (path, methods) in api["resources"].as_object().unwrap() {
        for (verb, method) in methods.as_object().unwrap() {
            let required = method["apiKeyRequired"].as_bool().unwrap_or(false);
            routes = routes.method(path, verb.parse().unwrap(), ApiMethod::new().api_key_required(required));
        }
    }
    routes.build().unwrap()
}

/// Every key of the case, on its one plan.
fn keys_on_plan(api: &Value) -> (ApiKeys, UsagePlans) {
    let (throttle, quota) = (&api["usagePlan"]["throttle"], &api["usagePlan"]["quota"]);
    let (rate, burst) = (throttle["rateLimit"].as_f64().unwrap(), throttle["burstLimit"].as_u64().unwrap());
    let throttle = Throttle::new(rate, burst.try_into().unwrap()).unwrap();
    let quota = Quota::new(quota["limit"].as_u64().unwrap(), QuotaPeriod::Day).unwrap();
    let mut keys = ApiKeys::builder();
    let mut plans = UsagePlans::builder().plan(UsagePlan::new("p").throttle(throttle).quota(quota));
    for (index, key) in api["apiKeys"].as_array().unwrap().iter().enumerate() {
        let (id, value) = (format!("k{index}"), key["value"].as_str().unwrap());
        let enabled = key["enabled"].as_bool().unwrap_or(false);
        keys = keys.key(ApiKey::new(&*id).value(value).enabled(enabled));
        plans = plans.attach("p", &id);
    }
    (keys.build().unwrap(), plans.build().unwrap())
}

fn request_of(recorded: &Value) -> Request<Full<Bytes>> {
    let path = recorded["path"].as_str().unwrap();
    let mut request =
        Request::builder().method(recorded["method"].as_str().unwrap()).uri(format!("/dev{path}"));
    for (name, value) in recorded["headers"].as_object().into_iter().flatten() {
        request = request.header(name, value.as_str().unwrap());
    }
    request.body(Full::default()).unwrap()
}
