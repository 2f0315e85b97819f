//! Faults from one phase on: the outermost one answers, those behind it are not asked, and nothing is charged.

use super::{
    Answer, BASIC, GOLD, KINDS, Record, ask, authorized, custom, request, signatures, stages, with_field,
};
use crate::{
    jwt::clock,
    sigv4::support::api,
    support::{Strict, get, run},
};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use tower::Layer;
use tower_gateway::{
    authorizer::AuthorizerLayer,
    filter::{FilterLayer, Verdict},
    gateway::{BuildError, Gateway, GatewayBuilder},
    policy::ExecuteApi,
    resource_policy::{ResourcePolicy, ResourcePolicyLayer},
    response::Cause,
    route::{ApiMethod, Routes},
    throttle::Throttle,
    usage_plan::{Quota, QuotaPeriod, UsagePlan, UsagePlanLayer, UsagePlans},
};

/// Everybody but who calls himself `blocked`.
pub(super) fn policy() -> ResourcePolicy {
    let document = r#"{"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "execute-api:/*"},
        {"Effect": "Deny", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "execute-api:/*",
         "Condition": {"StringEquals": {"aws:UserAgent": "blocked"}}}]}"#;
    ResourcePolicy::new(&api(), document).unwrap()
}

/// The gold key may call often, the basic one not at all.
fn plans() -> UsagePlans {
    let quota = || Quota::new(1_000, QuotaPeriod::Day).unwrap();
    UsagePlans::builder()
        .clock(clock().1)
        .plan(UsagePlan::new("gold").throttle(Throttle::new(100.0, 100).unwrap()).quota(quota()))
        .plan(UsagePlan::new("basic").throttle(Throttle::new(1.0, 0).unwrap()).quota(quota()))
        .attach("gold", "gold")
        .attach("basic", "basic")
        .build()
        .unwrap()
}

/// What the gold key has used today.
fn used(plans: &UsagePlans) -> String {
    plans.usage("gold", Some("gold"), "2027-01-15", "2027-01-15").unwrap().to_json()
}

fn layers(record: &Record) -> (ResourcePolicyLayer, AuthorizerLayer) {
    (ResourcePolicyLayer::new(policy()), custom(record))
}

fn guarded(record: &Record, plans: &UsagePlans) -> GatewayBuilder {
    let (policy_layer, authorizer) = layers(record);
    let (filtering, charging) = (record.clone(), record.clone());
    let filter = FilterLayer::new(move |head, _| {
        filtering.note("filter");
        if head.headers.contains_key("x-block") { Verdict::Block } else { Verdict::Pass }
    });
    let plan = UsagePlanLayer::new(plans.clone()).cost(move |_, context| {
        let key = context.api_key().map_or("nobody", |key| key.id());
        let principal = context.principal().map_or("nobody", |principal| principal.id());
        charging.note(format!("plan of {key} for {principal}"));
        1
    });
    authorized(record)
        .stages(stages())
        .filter(filter)
        .resource_policy(policy_layer)
        .sigv4(signatures().build().unwrap())
        .authorizer(authorizer)
        .usage_plan(plan)
}

/// Table A: what the authorizer says nothing about is allowed by the policy, though only the gateway was given it.
#[test]
fn the_gateways_policy_and_the_authorizer_decide_together() {
    let allow = r#"{"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke",
        "Resource": "execute-api:/*/GET/*"}]}"#;
    let policy = ResourcePolicyLayer::new(ResourcePolicy::new(&api(), allow).unwrap());
    let authorizer = |layer: AuthorizerLayer| Gateway::builder().authorizer(layer);
    let routes = || {
        let method = ApiMethod::new().authorization(super::authorization("custom"));
        Routes::builder().any("/pets", method).build().unwrap()
    };
    let silent = |method: Method| {
        let mut request = with_field(get("/pets"), "authorization", "silent");
        *request.method_mut() = method;
        request
    };
    let nameless = AuthorizerLayer::new(super::authorizer_named("custom"));
    run(async {
        for layer in [custom(&Record::default()), nameless] {
            let gateway = authorizer(layer).routes(routes()).resource_policy(policy.clone());
            let service = gateway.build().unwrap().layer(Strict::default());
            assert_eq!(ask(&service, silent(Method::GET)).await.status, 200);
            let refused = ask(&service, silent(Method::POST)).await;
            assert_eq!((refused.status, refused.cause), (403, Some(Cause::AuthorizerImplicitDeny)));
        }
    });
    let other = ExecuteApi::new("us-east-1", "111122223333", "other").unwrap();
    let foreign = authorizer(custom(&Record::default()).api(other)).routes(routes()).resource_policy(policy);
    assert!(matches!(foreign.build(), Err(BuildError::Conflict { other: "authorizer", .. })));
}

#[test]
fn an_authorized_method_has_an_arn_of_at_most_1600_bytes() {
    let every = |kind: &str| {
        let method = ApiMethod::new().authorization(super::authorization(kind));
        Routes::builder().method("/{proxy+}", Method::GET, method).build().unwrap()
    };
    let record = Record::default();
    let (fits, long) = (format!("/{}", "x".repeat(1_500)), format!("/{}", "x".repeat(1_600)));
    run(async {
        for kind in KINDS.into_iter().chain(["open"]) {
            let service = authorized(&record).routes(every(kind)).build().unwrap().layer(Strict::default());
            assert_eq!(ask(&service, request(kind, "ada", &fits)).await.status, 200, "{kind}");
            record.take();
            let answer = ask(&service, request(kind, "ada", &long)).await;
            if kind == "open" {
                assert_eq!(answer.status, 200, "nobody is asked");
                continue;
            }
            assert_eq!((answer.status, answer.cause), (414, Some(Cause::ResourceArnTooLong)), "{kind}");
            assert_eq!(answer.body, r#"{"message":"Request URI too long"}"#, "{kind}");
            assert!(!answer.headers.contains_key("www-authenticate"), "{kind}");
            assert_eq!(record.take(), [""; 0], "{kind}");
        }
    });
}

/// Faults of one request, outermost phase first.
const PHASES: [(&str, u16, Option<Cause>); 9] = [
    ("filter", 403, Some(Cause::Filtered)),
    ("preflight", 204, None),
    ("route", 403, Some(Cause::NoRoute)),
    ("limits", 413, Some(Cause::ContentLengthTooLarge)),
    ("resource policy", 403, Some(Cause::ResourcePolicyDenied)),
    ("authorizer", 401, Some(Cause::AuthorizerUnauthorized)),
    ("no key", 403, Some(Cause::ApiKeyMissing)),
    ("plan", 429, Some(Cause::PlanThrottle)),
    ("service", 200, None),
];

/// A request with the faults of all phases from `first` on.
fn faulty(first: usize) -> Request<Full<Bytes>> {
    let from = |name: &str| PHASES.iter().position(|phase| phase.0 == name).unwrap() >= first;
    let path = if from("route") { "/prod/nothing" } else { "/prod/keyed/custom" };
    let token = if from("authorizer") { "nobody" } else { "ada" };
    let agent = if from("resource policy") { "blocked" } else { "browser" };
    let mut request = with_field(with_field(get(path), "authorization", token), "user-agent", agent);
    if from("preflight") {
        *request.method_mut() = Method::OPTIONS;
    }
    request = with_field(request, "origin", "https://shop.example");
    request = with_field(request, "access-control-request-method", "GET");
    if from("filter") {
        request = with_field(request, "x-block", "1");
    }
    if from("limits") {
        request = with_field(request, "content-length", "10485761");
    }
    if from("no key") {
        return request;
    }
    with_field(request, "x-api-key", if from("plan") { BASIC } else { GOLD })
}

fn assert_phase(index: usize, answer: &Answer) {
    let (name, status, cause) = PHASES[index];
    assert_eq!((answer.status, answer.cause), (status, cause), "{name}");
    // A blocked preflight shows nobody what is allowed.
    let origin = (name != "filter").then_some("https://shop.example");
    let shown = answer.headers.get("access-control-allow-origin").map(|origin| origin.to_str().unwrap());
    assert_eq!(shown, origin, "{name}");
}

#[test]
fn the_resource_policy_before_the_authorizer_and_the_authorizer_before_key_and_plan() {
    let (record, plans, strict) = (Record::default(), plans(), Strict::default());
    let service = guarded(&record, &plans).build().unwrap().layer(strict.clone());
    let stages_of_asking = ["filter", "authorizer", "plan of gold for ada"];
    run(async {
        for (index, (name, ..)) in PHASES.into_iter().enumerate() {
            assert_phase(index, &ask(&service, faulty(index)).await);
            // Of a function's answer only refusals like `Unauthorized` are not kept: each is asked again.
            let asked: &[&str] = match name {
                "filter" | "preflight" | "route" | "limits" | "resource policy" => &stages_of_asking[..1],
                "authorizer" | "no key" => &stages_of_asking[..2],
                "plan" => &["filter", "plan of basic for ada"],
                _ => &["filter", "plan of gold for ada"],
            };
            assert_eq!(record.take(), asked, "{name}");
        }
    });
    assert_eq!(strict.called(), 1);
}

#[test]
fn a_refusal_costs_nothing_of_the_quota() {
    let (record, plans, strict) = (Record::default(), plans(), Strict::default());
    let service = guarded(&record, &plans).build().unwrap().layer(strict.clone());
    let before = used(&plans);
    run(async {
        for (index, (name, ..)) in PHASES.into_iter().enumerate().take(7) {
            // With the key whose quota we look at, which does not save any of them.
            let mut refused = faulty(index);
            if name != "no key" {
                refused = with_field(refused, "x-api-key", GOLD);
            }
            assert_phase(index, &ask(&service, refused).await);
        }
        for kind in KINDS {
            let denied =
                with_field(request(kind, "ada", &format!("/prod/keyed/{kind}")), "user-agent", "blocked");
            let answer = ask(&service, with_field(denied, "x-api-key", GOLD)).await;
            assert_eq!((answer.status, answer.cause), (403, Some(Cause::ResourcePolicyDenied)), "{kind}");
            let anonymous = with_field(get(&format!("/prod/keyed/{kind}")), "x-api-key", GOLD);
            let answer = ask(&service, anonymous).await;
            assert!(matches!(answer.status, 401 | 403), "{kind}: {answer:?}");
        }
        assert_eq!(strict.called(), 0);
        assert_eq!(used(&plans), before);
        for kind in KINDS {
            let path = format!("/prod/keyed/{kind}");
            let answer = ask(&service, with_field(request(kind, "ada", &path), "x-api-key", GOLD)).await;
            assert_eq!(answer.status, 200, "{kind}: {answer:?}");
        }
        assert!(used(&plans).contains("[4,996]"), "{}", used(&plans));
    });
}

/// With IAM the signature comes before the policy, which judges whose it is.
#[test]
fn a_resource_policy_judges_a_signed_request_after_its_signature() {
    let service = guarded(&Record::default(), &plans()).build().unwrap().layer(Strict::default());
    let blocked = |request| with_field(request, "user-agent", "blocked");
    run(async {
        for (request, cause) in [
            (blocked(get("/prod/signed")), Some(Cause::SignatureMissing)),
            (blocked(request("signed", "ada", "/prod/signed")), Some(Cause::ResourcePolicyDenied)),
            (blocked(get("/prod/custom")), Some(Cause::ResourcePolicyDenied)),
            (blocked(get("/prod/jwt")), Some(Cause::ResourcePolicyDenied)),
            (blocked(get("/prod/pool")), Some(Cause::ResourcePolicyDenied)),
            (blocked(get("/prod/open")), Some(Cause::ResourcePolicyDenied)),
            (request("signed", "bob", "/prod/signed"), None),
            (get("/prod/open"), None),
        ] {
            assert_eq!(ask(&service, request).await.cause, cause);
        }
    });
}

/// The second phase: the authorizer's answer and the policy are one decision.
#[test]
fn what_the_authorizer_is_silent_about_the_resource_policy_may_allow() {
    let record = Record::default();
    let with_policy = guarded(&record, &plans()).build().unwrap().layer(Strict::default());
    let handed_down = guarded(&record, &plans()).authorizer(custom(&record)).build().unwrap();
    let handed_down = handed_down.layer(Strict::default());
    let alone = authorized(&record).stages(stages()).build().unwrap().layer(Strict::default());
    run(async {
        let silent = || request("custom", "silent", "/prod/custom");
        assert_eq!(ask(&with_policy, silent()).await.status, 200);
        assert_eq!(ask(&handed_down, silent()).await.status, 200);
        assert_eq!(ask(&alone, silent()).await.cause, Some(Cause::AuthorizerImplicitDeny));
        for service in [with_policy, handed_down, alone] {
            let denied = ask(&service, request("custom", "deny", "/prod/custom")).await;
            assert_eq!((denied.status, denied.cause), (403, Some(Cause::AuthorizerExplicitDeny)));
        }
    });
}
