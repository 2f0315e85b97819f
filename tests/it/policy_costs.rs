//! What a policy costs a request: no allocation, in the engine and in the layer.

use crate::support::run;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use std::{
    convert::Infallible,
    future::{poll_fn, ready},
    net::SocketAddr,
};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_gateway::{
    context::{PeerAddr, RequestContext, RequestContextLayer},
    policy::{AccessRequest, ConditionValue, Decision, ExecuteApi, INVOKE, Policy},
    resource_policy::{ResourcePolicy, ResourcePolicyLayer},
};

const OFFICE: &str = "203.0.113.7";

fn api() -> ExecuteApi {
    ExecuteApi::new("eu-west-1", "111122223333", "a1b2c3d4e5").unwrap()
}

fn statement(effect: &str, resource: &str, condition: &str) -> String {
    format!(
        r#"{{"Effect": "{effect}", "Principal": "*", "Action": "execute-api:Invoke",
            "Resource": "execute-api:/{resource}", "Condition": {{{condition}}}}}"#
    )
}

/// `count` statements, each for a resource of its own, and one for everything.
fn many(count: usize) -> Policy {
    let mut statements = vec![statement("Allow", "*", r#""IpAddress": {"aws:SourceIp": "203.0.113.0/24"}"#)];
    for index in 1..count {
        let effect = if index % 2 == 0 { "Allow" } else { "Deny" };
        let condition = r#""StringLike": {"aws:UserAgent": "bot*"}"#;
        statements.push(statement(effect, &format!("v1/GET/r{index}/*"), condition));
    }
    let document = format!(r#"{{"Version": "2012-10-17", "Statement": [{}]}}"#, statements.join(","));
    Policy::resource_of(&api(), document).unwrap()
}

#[test]
fn judging_allocates_nothing() {
    let keys = [
        ("aws:SourceIp", ConditionValue::Ip(OFFICE.parse().unwrap())),
        ("aws:UserAgent", ConditionValue::Text("curl")),
    ];
    for count in [2, 10, 100] {
        let policy = many(count);
        let arn = api().arn("v1", "GET", "/r1/x");
        let request = AccessRequest::new(INVOKE, arn.as_str(), &keys);
        let mut decision = Decision::ImplicitDeny;
        let counted = allocation_counter::measure(|| decision = policy.evaluate(&request));
        assert_eq!((counted.count_total, decision), (0, Decision::Allow), "{count} statements");
    }
}

#[test]
fn an_allowed_request_costs_no_allocation_of_this_layer() {
    let inner = service_fn(|request: Request<()>| {
        drop(request);
        ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
    });
    let deny = statement("Deny", "v1/*/admin*", r#""NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}"#);
    let document = format!(r#"{{"Statement": [{}, {deny}]}}"#, statement("Allow", "*", ""));
    let policy = ResourcePolicy::new(&api(), document).unwrap();
    let mut service = ResourcePolicyLayer::new(policy).stage("v1").layer(inner);
    let prepared = RequestContextLayer::new()
        .layer(service_fn(|request: Request<()>| async { Ok::<_, Infallible>(Response::new(request)) }));
    let mut request = Request::get("/pets").body(()).unwrap();
    request.extensions_mut().insert(PeerAddr(SocketAddr::new(OFFICE.parse().unwrap(), 1)));
    let request = run(prepared.oneshot(request)).unwrap().into_body();
    assert!(RequestContext::of(request.extensions()).is_some());
    run(async {
        poll_fn(|cx| Service::<Request<()>>::poll_ready(&mut service, cx)).await.unwrap();
        let mut future = None;
        let counted = allocation_counter::measure(|| future = Some(service.call(request)));
        assert_eq!(counted.count_total, 0);
        assert_eq!(future.unwrap().await.unwrap().status(), 200);
    });
}
