//! What an authorizer says of a caller decides over key, plan and the words of a refusal.

use super::{Record, ask, authorized, keys, request, stages, whose, with_field};
use crate::{
    jwt::clock,
    support::{Strict, run},
};
use tower::{Layer, service_fn};
use tower_gateway::{
    api_key::{ApiKeyLayer, ApiKeySource},
    response::{Cause, GatewayResponse, GatewayResponses, ResponseType},
    throttle::Throttle,
    usage_plan::{UsagePlan, UsagePlanLayer, UsagePlans},
};

/// Two calls of the gold plan, one of the basic plan; nothing comes back in a test's time.
fn plans() -> UsagePlans {
    let plan = |id: &str, burst| UsagePlan::new(id).throttle(Throttle::new(0.1, burst).unwrap());
    UsagePlans::builder().clock(clock().1).plan(plan("gold", 2)).plan(plan("basic", 1)).build().unwrap()
}

#[test]
fn the_authorizers_key_and_not_the_clients_chooses_the_plan() {
    let plans = plans();
    for id in ["gold", "basic"] {
        plans.attach(id, id).unwrap();
    }
    let gateway = authorized(&Record::default())
        .stages(stages())
        .api_key(ApiKeyLayer::new(keys()).source(ApiKeySource::Authorizer))
        .usage_plans(plans);
    let service = gateway.build().unwrap().layer(service_fn(whose));
    run(async {
        for (who, status, cause, body) in [
            ("ada", 200, None, "ada gold"),
            ("bob", 200, None, "bob basic"),
            ("bob", 429, Some(Cause::PlanThrottle), r#"{"message":"Too Many Requests"}"#),
            ("ada", 200, None, "ada gold"),
            ("ada", 429, Some(Cause::PlanThrottle), r#"{"message":"Too Many Requests"}"#),
            ("keyless", 403, Some(Cause::ApiKeyMissing), r#"{"message":"Forbidden"}"#),
        ] {
            let request = with_field(request("custom", who, "/prod/keyed/custom"), "x-api-key", super::GOLD);
            let answer = ask(&service, request).await;
            assert_eq!((answer.status, answer.cause, answer.body.as_str()), (status, cause, body), "{who}");
        }
        // Other kinds of authorizers name no key, and a client cannot.
        for kind in ["signed", "jwt", "pool"] {
            let path = format!("/prod/keyed/{kind}");
            let answer =
                ask(&service, with_field(request(kind, "ada", &path), "x-api-key", super::GOLD)).await;
            assert_eq!(answer.cause, Some(Cause::ApiKeyMissing), "{kind}");
        }
    });
}

#[test]
fn a_plan_by_principal_charges_whoever_the_authorizer_named() {
    for kind in super::KINDS {
        let layer = UsagePlanLayer::new(plans()).plan_by_principal(|principal| {
            let is_ada = principal.id().ends_with("ada");
            Some(if is_ada { "gold" } else { "basic" }.to_owned())
        });
        let gateway = authorized(&Record::default()).stages(stages()).usage_plan(layer);
        let service = gateway.build().unwrap().layer(Strict::default());
        run(async {
            for (who, status) in [("ada", 200), ("bob", 200), ("bob", 429), ("ada", 200), ("ada", 429)] {
                let answer = ask(&service, request(kind, who, &format!("/prod/{kind}"))).await;
                assert_eq!(answer.status, status, "{kind} {who}: {answer:?}");
            }
        });
    }
}

#[test]
fn a_gateway_response_shows_what_the_authorizer_said() {
    let denied = GatewayResponse::new()
        .header("x-who", "context.authorizer.principalId")
        .template("application/json", r#"{"why":"$context.authorizer.reason"}"#);
    let unauthorized = GatewayResponse::new().status(418);
    let responses = GatewayResponses::new()
        .with(ResponseType::AccessDenied, &denied)
        .and_then(|responses| responses.with(ResponseType::Unauthorized, &unauthorized))
        .unwrap();
    let gateway = authorized(&Record::default()).stages(stages()).gateway_responses(responses);
    let service = gateway.build().unwrap().layer(Strict::default());
    run(async {
        for _uncached_then_cached in 0..2 {
            let answer = ask(&service, request("custom", "deny", "/prod/custom")).await;
            assert_eq!((answer.status, answer.body.as_str()), (403, r#"{"why":"not paid"}"#));
            assert_eq!(answer.headers["x-who"], "bob");
            let silent = ask(&service, request("custom", "silent", "/prod/custom")).await;
            assert_eq!(
                (silent.body.as_str(), &silent.headers["x-who"]),
                (r#"{"why":""}"#, &"ada".parse().unwrap())
            );
        }
        let rejected = ask(&service, request("custom", "nobody", "/prod/custom")).await;
        assert_eq!((rejected.status, rejected.cause), (418, Some(Cause::AuthorizerUnauthorized)));
    });
}
