//! Resource policies at the door: who passes from where, the exact refusals, and that nobody talks past them.

use crate::support::{Strict, assert_service, get, over_hyper, run, through};
use axum::{Router, body::Body, routing::any};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::Full;
use std::{net::SocketAddr, time::Duration};
use tower::{Layer, ServiceExt, service_fn};
use tower_gateway::{
    clock::ManualClock,
    context::{ApiKind, Ingress, IngressLayer, PeerAddr, RequestContextLayer, TrustedProxies},
    policy::{AccessDenial, ConditionFailure, ExecuteApi, PolicyProblem},
    resource_policy::{DenialWording, Phase, ResourcePolicy, ResourcePolicyLayer},
    response::{Cause, GatewayError, GatewayResponse, GatewayResponseLayer, GatewayResponses, ResponseType},
    route::{ApiMethod, Authorization, Routes},
};

const OFFICE: &str = "203.0.113.7";
const ELSEWHERE: &str = "198.51.100.1";
const ARN: &str = "arn:aws:execute-api:eu-west-1:********3333:a1b2c3d4e5";

fn api() -> ExecuteApi {
    ExecuteApi::new("eu-west-1", "111122223333", "a1b2c3d4e5").unwrap()
}

fn policy(statements: &str) -> ResourcePolicy {
    let document = format!(r#"{{"Version": "2012-10-17", "Statement": [{statements}]}}"#);
    ResourcePolicy::new(&api(), document).unwrap()
}

/// On the stage `v1`, where no `StageRouter` says another.
fn guard(policy: ResourcePolicy) -> ResourcePolicyLayer {
    ResourcePolicyLayer::new(policy).stage("v1")
}

fn statement(effect: &str, resource: &str, condition: &str) -> String {
    format!(
        r#"{{"Effect": "{effect}", "Principal": "*", "Action": "execute-api:Invoke",
            "Resource": "execute-api:/{resource}", "Condition": {{{condition}}}}}"#
    )
}

/// Everybody from the office, whatever they want.
fn office_only() -> ResourcePolicy {
    policy(&statement("Allow", "*", r#""IpAddress": {"aws:SourceIp": "203.0.113.0/24"}"#))
}

/// Everybody, but `admin` only from the office.
fn office_admin(resource: &str) -> ResourcePolicy {
    let deny = statement("Deny", resource, r#""NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}"#);
    policy(&format!("{}, {deny}", statement("Allow", "*", "")))
}

fn from(peer: &str, uri: &str) -> Request<Full<Bytes>> {
    let mut request = get(uri);
    request.extensions_mut().insert(PeerAddr(SocketAddr::new(peer.parse().unwrap(), 4711)));
    request
}

fn ask(layer: &ResourcePolicyLayer, request: Request<Full<Bytes>>) -> (Response<Bytes>, usize) {
    run(through(layer.clone(), request))
}

/// 200 and one call, or the cause of the refusal and no call.
fn verdict(layer: &ResourcePolicyLayer, request: Request<Full<Bytes>>) -> Result<(), Cause> {
    let (response, calls) = ask(layer, request);
    let cause = response.extensions().get::<GatewayError>().map(GatewayError::cause);
    assert_eq!(calls, usize::from(cause.is_none()), "{response:?}");
    assert_eq!(response.status().as_u16() == 200, cause.is_none(), "{response:?}");
    cause.map_or(Ok(()), Err)
}

fn assert_refused(response: &Response<Bytes>, calls: usize, message: &str, cause: Cause) {
    assert_eq!((response.status().as_u16(), calls), (403, 0));
    assert_eq!(std::str::from_utf8(response.body()).unwrap(), format!(r#"{{"Message":"{message}"}}"#));
    let mut headers: Vec<_> =
        response.headers().iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
    headers.sort_unstable();
    assert_eq!(
        headers,
        [("content-type", "application/json"), ("x-amzn-errortype", "AccessDeniedException")]
    );
    let error = response.extensions().get::<GatewayError>().unwrap();
    assert_eq!((error.response_type(), error.cause()), (ResponseType::AccessDenied, cause));
}

#[test]
fn refusals_to_the_byte_in_both_wordings() {
    let user = "User: anonymous is not authorized to perform: execute-api:Invoke on resource: ";
    let silent = office_only();
    let denies = office_admin("v1/GET/admin");
    for (policy, wording, path, suffix, cause) in [
        (&silent, DenialWording::Classic, "/v1/GET/pets", "", Cause::ResourcePolicySilent),
        (
            &silent,
            DenialWording::Since2026,
            "/v1/GET/pets",
            " because no resource-based policy allows the execute-api:Invoke action",
            Cause::ResourcePolicySilent,
        ),
        (
            &denies,
            DenialWording::Classic,
            "/v1/GET/admin",
            " with an explicit deny",
            Cause::ResourcePolicyDenied,
        ),
        (
            &denies,
            DenialWording::Since2026,
            "/v1/GET/admin",
            " with an explicit deny in a resource-based policy",
            Cause::ResourcePolicyDenied,
        ),
    ] {
        let uri = path.strip_prefix("/v1/GET").unwrap();
        let layer = guard(policy.clone()).denial_wording(wording);
        let (response, calls) = ask(&layer, from(ELSEWHERE, uri));
        assert_refused(&response, calls, &format!("{user}{ARN}{path}{suffix}"), cause);
        assert_eq!(verdict(&layer, from(OFFICE, uri)), Ok(()));
    }
}

#[test]
fn the_operator_learns_what_the_client_does_not() {
    let layer = guard(office_only());
    let (response, _) = ask(&layer, from(ELSEWHERE, "/pets"));
    let denial = response.extensions().get::<AccessDenial>().unwrap();
    assert_eq!(denial.layer(), "ResourcePolicyLayer");
    assert_eq!(denial.resource(), "arn:aws:execute-api:eu-west-1:111122223333:a1b2c3d4e5/v1/GET/pets");
    let missed: Vec<_> = denial.evaluation().near_misses().collect();
    assert_eq!(missed.len(), 1);
    let failed = &missed[0].failed_conditions[0];
    assert_eq!((failed.key.as_str(), failed.failure), ("aws:SourceIp", ConditionFailure::Mismatch));
    assert_eq!(failed.values, ["203.0.113.0/24"]);
    let quiet = guard(office_only()).explain_denials(false);
    let (response, _) = ask(&quiet, from(ELSEWHERE, "/pets"));
    assert!(response.extensions().get::<AccessDenial>().is_none());
}

#[test]
fn a_forwarded_address_counts_only_from_a_trusted_proxy() {
    let spoofed = |peer: &str| {
        let mut request = from(peer, "/pets");
        request.headers_mut().append("x-forwarded-for", HeaderValue::from_static(OFFICE));
        request.headers_mut().append("forwarded", HeaderValue::from_static("for=203.0.113.7"));
        request.headers_mut().append("x-real-ip", HeaderValue::from_static(OFFICE));
        request
    };
    let layer = guard(office_only());
    assert_eq!(verdict(&layer, spoofed(ELSEWHERE)), Err(Cause::ResourcePolicySilent));
    let behind = |request| {
        let proxies = TrustedProxies::new(["10.0.0.0/8"]).unwrap();
        let stack = tower::ServiceBuilder::new()
            .layer(RequestContextLayer::new().trusted_proxies(proxies))
            .layer(layer.clone());
        run(through(stack, request)).0.status().as_u16()
    };
    assert_eq!(behind(spoofed("10.0.0.1")), 200);
    assert_eq!(behind(spoofed(ELSEWHERE)), 403);
    assert_eq!(verdict(&layer, get("/pets")), Err(Cause::ResourcePolicySilent), "no address at all");
    assert_eq!(verdict(&layer, from("::ffff:203.0.113.9", "/pets")), Ok(()), "IPv4 mapped into IPv6");
}

#[test]
fn a_path_is_denied_in_every_spelling() {
    let exact = guard(office_admin("v1/GET/admin"));
    for path in ["/admin", "/admin/", "//admin", "/%61dmin", "/%61dmin?x=/pets", "/admin?"] {
        assert_eq!(verdict(&exact, from(ELSEWHERE, path)), Err(Cause::ResourcePolicyDenied), "{path}");
        assert_eq!(verdict(&exact, from(OFFICE, path)), Ok(()), "{path}");
    }
    let below = guard(office_admin("*/admin/*"));
    for path in ["/admin/", "/admin/keys", "/admin%2Fkeys", "/%61dmin%2fkeys", "/x/admin/keys"] {
        assert_eq!(verdict(&below, from(ELSEWHERE, path)), Err(Cause::ResourcePolicyDenied), "{path}");
    }
    for path in ["/pets/../admin/keys", "/pets/%2e%2e/admin/keys", "/pets/..%2fadmin%2fkeys"] {
        assert_eq!(verdict(&below, from(ELSEWHERE, path)), Err(Cause::DotSegment), "{path}");
    }
    assert_eq!(verdict(&below, from(ELSEWHERE, "/100%")), Err(Cause::InvalidEscape));
    assert_eq!(verdict(&below, from(ELSEWHERE, "/pets")), Ok(()));
}

#[test]
fn colons_in_the_path_do_not_reach_into_the_arn() {
    let other = r#"{"Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke",
        "Resource": "arn:aws:execute-api:*:999900001111:b2/*"}"#;
    let layer = guard(policy(other));
    let forged = from(OFFICE, "/x:999900001111:b2/v1/GET/pets");
    assert_eq!(verdict(&layer, forged), Err(Cause::ResourcePolicySilent));
}

#[test]
fn a_principal_that_nobody_has_proved_is_nobody() {
    for principal in [r#"{"AWS": "111122223333"}"#, r#"{"AWS": "arn:aws:iam::111122223333:user/ada"}"#] {
        let statement = statement("Allow", "*", "").replace(r#""*""#, principal);
        let layer = guard(policy(&statement));
        assert_eq!(verdict(&layer, from(OFFICE, "/")), Err(Cause::ResourcePolicySilent), "{principal}");
    }
}

fn methods() -> Routes {
    Routes::builder()
        .method("/none", Method::GET, ApiMethod::new())
        .method("/custom", Method::GET, ApiMethod::new().authorization(Authorization::custom("a")))
        .method("/iam", Method::GET, ApiMethod::new().authorization(Authorization::AwsIam))
        .method("/pool", Method::GET, ApiMethod::new().authorization(Authorization::cognito_user_pools("p")))
        .method("/jwt", Method::GET, ApiMethod::new().authorization(Authorization::jwt("j")))
        .build()
        .unwrap()
}

#[test]
fn the_method_s_authorization_decides_what_is_final() {
    let silent = policy(&statement("Allow", "v1/GET/other", ""));
    let denies = policy(&statement("Deny", "*", ""));
    let allows = policy(&statement("Allow", "*", ""));
    let decide = |policy: &ResourcePolicy, path: &str| {
        verdict(&guard(policy.clone()).routes(&methods()), from(OFFICE, path))
    };
    let (said_nothing, denied) = (Err(Cause::ResourcePolicySilent), Err(Cause::ResourcePolicyDenied));
    for (path, on_silence, on_deny) in [
        ("/none", said_nothing, denied),
        ("/undeclared", said_nothing, denied),
        ("/pool", said_nothing, denied),
        ("/jwt", said_nothing, denied),
        ("/custom", Ok(()), denied),
        ("/iam", Ok(()), Ok(())),
    ] {
        assert_eq!(decide(&silent, path), on_silence, "{path}");
        assert_eq!(decide(&denies, path), on_deny, "{path}");
        assert_eq!(decide(&allows, path), Ok(()), "{path}");
    }
    let phase = |policy: &ResourcePolicy, phase| {
        let layer = guard(policy.clone()).routes(&methods()).phase(phase);
        (verdict(&layer, from(OFFICE, "/none")), verdict(&layer, from(OFFICE, "/iam")))
    };
    assert_eq!(phase(&silent, Phase::Final), (said_nothing, said_nothing));
    assert_eq!(phase(&silent, Phase::BeforeAuthorizer), (Ok(()), Ok(())));
    assert_eq!(phase(&denies, Phase::BeforeAuthorizer), (denied, denied));
}

#[test]
fn a_table_of_another_layer_does_not_hide_the_own_one() {
    let elsewhere = Routes::builder().any("/{proxy+}", ApiMethod::new()).build().unwrap();
    let open = guard(policy(&statement("Allow", "*", ""))).routes(&elsewhere);
    let silent = policy(&statement("Allow", "v1/GET/other", ""));
    let both = tower::ServiceBuilder::new().layer(open).layer(guard(silent).routes(&methods()));
    assert_eq!(run(through(both.clone(), from(OFFICE, "/custom"))).1, 1);
    assert_eq!(run(through(both, from(OFFICE, "/none"))).1, 0);
}

#[test]
fn private_calls_have_an_endpoint_and_no_public_address() {
    let deny = statement("Deny", "*", r#""StringNotEquals": {"aws:SourceVpce": "vpce-1"}"#);
    let endpoint = guard(policy(&format!("{}, {deny}", statement("Allow", "*", ""))));
    let through_endpoint = |ingress: Option<Ingress>| {
        let mut request = from(OFFICE, "/pets");
        request.headers_mut().append("x-amzn-vpce-id", HeaderValue::from_static("vpce-1"));
        request.extensions_mut().extend(ingress.map_or_else(http::Extensions::new, |ingress| {
            let mut extensions = http::Extensions::new();
            extensions.insert(ingress);
            extensions
        }));
        request
    };
    let vpce = |id: &str| Some(Ingress::private().vpc_endpoint(id));
    assert_eq!(verdict(&endpoint, through_endpoint(vpce("vpce-1"))), Ok(()));
    for other in [None, Some(Ingress::private()), Some(Ingress::public()), vpce("vpce-2")] {
        assert_eq!(verdict(&endpoint, through_endpoint(other)), Err(Cause::ResourcePolicyDenied));
    }
    let office = guard(office_only());
    assert_eq!(verdict(&office, through_endpoint(Some(Ingress::public()))), Ok(()));
    assert_eq!(verdict(&office, through_endpoint(vpce("vpce-1"))), Err(Cause::ResourcePolicySilent));
    let inside =
        r#""IpAddress": {"aws:VpcSourceIp": "10.1.0.0/16"}, "StringEquals": {"aws:SourceVpc": "vpc-1"}"#;
    let inside = guard(policy(&statement("Allow", "*", inside)));
    let at = |ip: &str| Some(Ingress::private().vpc("vpc-1").source_ip(ip.parse().unwrap()));
    assert_eq!(verdict(&inside, through_endpoint(at("10.1.2.3"))), Ok(()));
    assert_eq!(verdict(&inside, through_endpoint(at("10.2.2.3"))), Err(Cause::ResourcePolicySilent));
}

#[test]
fn a_trusted_proxy_names_endpoint_and_scheme_and_a_client_cannot() {
    let needs = r#""StringEquals": {"aws:SourceVpce": "vpce-1"}, "Bool": {"aws:SecureTransport": "true"}"#;
    let stack = tower::ServiceBuilder::new()
        .layer(
            IngressLayer::new(TrustedProxies::new(["10.0.0.0/8"]).unwrap())
                .vpc_endpoint_header(HeaderName::from_static("x-amzn-vpce-id"))
                .scheme_header(HeaderName::from_static("x-forwarded-proto")),
        )
        .layer(guard(policy(&statement("Allow", "*", needs))));
    let ask = |peer: &str, endpoints: &[&'static str]| {
        let mut request = from(peer, "/pets");
        request.headers_mut().append("x-forwarded-proto", HeaderValue::from_static("https"));
        for endpoint in endpoints {
            request.headers_mut().append("x-amzn-vpce-id", HeaderValue::from_static(endpoint));
        }
        run(through(stack.clone(), request)).0.status().as_u16()
    };
    assert_eq!(ask("10.0.0.1", &["vpce-1"]), 200);
    assert_eq!(ask("10.0.0.1", &["vpce-1", "vpce-1"]), 403, "repeated");
    assert_eq!(ask("10.0.0.1", &[]), 403);
    assert_eq!(ask(ELSEWHERE, &["vpce-1"]), 403, "a client's own header");
}

#[test]
fn secure_transport_is_what_the_listener_says() {
    let deny = statement("Deny", "*", r#""Bool": {"aws:SecureTransport": "false"}"#);
    let layer = guard(policy(&format!("{}, {deny}", statement("Allow", "*", ""))));
    let mut request = from(OFFICE, "https://api.example/pets");
    request.headers_mut().append("x-forwarded-proto", HeaderValue::from_static("https"));
    assert_eq!(verdict(&layer, request.clone()), Err(Cause::ResourcePolicyDenied));
    request.extensions_mut().insert(Ingress::public().secure(true));
    assert_eq!(verdict(&layer, request), Ok(()));
}

#[test]
fn a_header_that_cannot_be_told_is_held_against_the_request() {
    let condition = r#""StringLike": {"aws:UserAgent": "curl/*"}"#;
    let allow = guard(policy(&statement("Allow", "*", condition)));
    let deny = statement("Deny", "*", condition);
    let deny = guard(policy(&format!("{}, {deny}", statement("Allow", "*", ""))));
    let with = |agents: &[&[u8]]| {
        let mut request = from(OFFICE, "/pets");
        for agent in agents {
            request.headers_mut().append("user-agent", HeaderValue::from_bytes(agent).unwrap());
        }
        request
    };
    let both = |agents: &[&[u8]]| (verdict(&allow, with(agents)), verdict(&deny, with(agents)));
    let (silent, denied) = (Err(Cause::ResourcePolicySilent), Err(Cause::ResourcePolicyDenied));
    assert_eq!(both(&[b"curl/8"]), (Ok(()), denied));
    assert_eq!(both(&[b"other"]), (silent, Ok(())));
    assert_eq!(both(&[]), (silent, Ok(())));
    assert_eq!(both(&[b"other", b"curl/8"]), (silent, denied));
    assert_eq!(both(&[b"\xff\xfe"]), (silent, denied));
    assert_eq!(both(&["caf\u{e9}".as_bytes()]), (silent, Ok(())), "UTF-8 is text");
}

#[test]
fn times_come_from_the_clock() {
    let manual = ManualClock::at_unix_seconds(1_795_305_599);
    let until = r#""DateLessThan": {"aws:CurrentTime": "2026-11-22T00:00:00Z"}, "NumericLessThan": {"aws:EpochTime": 1795305600}"#;
    let layer = guard(policy(&statement("Allow", "*", until))).clock(manual.clock());
    assert_eq!(verdict(&layer, from(OFFICE, "/")), Ok(()));
    manual.advance(Duration::from_secs(1));
    assert_eq!(verdict(&layer, from(OFFICE, "/")), Err(Cause::ResourcePolicySilent));
}

#[test]
fn an_http_api_says_forbidden() {
    let stack = tower::ServiceBuilder::new()
        .layer(RequestContextLayer::new().api_kind(ApiKind::Http))
        .layer(guard(office_only()));
    let (response, calls) = run(through(stack, from(ELSEWHERE, "/")));
    assert_eq!((response.status().as_u16(), calls), (403, 0));
    assert_eq!(&response.body()[..], br#"{"message":"Forbidden"}"#);
    assert!(response.headers().get("x-amzn-errortype").is_none());
}

#[test]
fn a_custom_template_takes_the_message() {
    let template =
        GatewayResponse::new().template("application/json", r#"{"message":$context.error.messageString}"#);
    let responses = GatewayResponses::new().with(ResponseType::AccessDenied, &template).unwrap();
    let stack =
        tower::ServiceBuilder::new().layer(GatewayResponseLayer::new(responses)).layer(guard(office_only()));
    let (response, _) = run(through(stack, from(ELSEWHERE, "/pets")));
    let expected = format!(
        r#"{{"message":"User: anonymous is not authorized to perform: execute-api:Invoke on resource: {ARN}/v1/GET/pets"}}"#
    );
    assert_eq!(std::str::from_utf8(response.body()).unwrap(), expected);
}

#[test]
fn under_axum_on_several_routes_two_callers_never_mix() {
    let layer = guard(office_admin("v1/*/admin*"));
    let handler = || async { "inner" };
    let app = Router::new().route("/pets", any(handler)).route("/admin/{id}", any(handler)).layer(layer);
    run(async {
        for _ in 0..20 {
            for (peer, path, status) in [
                (OFFICE, "/admin/1", 200),
                (ELSEWHERE, "/admin/1", 403),
                (ELSEWHERE, "/pets", 200),
                (OFFICE, "/pets", 200),
            ] {
                let request = from(peer, path).map(Body::new);
                assert_eq!(app.clone().oneshot(request).await.unwrap().status(), status, "{peer} {path}");
            }
        }
    });
}

#[test]
fn the_service_fits_servers_and_errors_pass_through() {
    assert_service(&guard(office_only()).layer(Strict::default()));
    let failing = service_fn(|_: Request<Full<Bytes>>| async { Err::<Response<Full<Bytes>>, _>("broken") });
    let service = guard(office_only()).layer(failing);
    assert_eq!(run(service.oneshot(from(OFFICE, "/"))).unwrap_err(), "broken");
}

/// Sends raw bytes to the layer behind a plain hyper server, and gives back the raw answer.
async fn over_a_socket(layer: ResourcePolicyLayer, bytes: &[u8]) -> String {
    let service = layer.layer(service_fn(|_: Request<hyper::body::Incoming>| async {
        Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::from("inner")))
    }));
    let (answer, closed) = over_hyper(service, bytes).await;
    closed.unwrap();
    answer
}

#[test]
fn behind_plain_hyper_the_refusal_is_a_whole_answer() {
    let ask = |path: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n");
        let layer = guard(policy(&statement("Allow", "v1/GET/pets/*", "")));
        run(async move { over_a_socket(layer, head.as_bytes()).await })
    };
    let allowed = ask("/pets/1");
    assert!(allowed.starts_with("HTTP/1.1 200 OK\r\n") && allowed.ends_with("\r\n\r\ninner"), "{allowed}");
    let refused = ask("//x:y/%2e%2e%2e?a=b");
    let body = format!(
        r#"{{"Message":"User: anonymous is not authorized to perform: execute-api:Invoke on resource: {ARN}/v1/GET/x:y/..."}}"#
    );
    assert!(refused.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{refused}");
    assert!(refused.contains(&format!("content-length: {}\r\n", body.len())), "{refused}");
    assert!(refused.ends_with(&format!("\r\n\r\n{body}")), "{refused}");
    assert!(ask("/pets/../x").starts_with("HTTP/1.1 400 Bad Request\r\n"));
}

#[test]
fn a_policy_that_cannot_work_is_an_error_when_it_is_built() {
    let error = ResourcePolicy::new(
        &api(),
        r#"{"Statement": {"Effect": "Allow", "Action": "a:b", "Resource": "*"}}"#,
    );
    assert_eq!(error.unwrap_err().problem(), PolicyProblem::PrincipalMissing);
}

#[cfg(feature = "stage")]
mod behind_a_stage {
    use super::*;
    use tower_gateway::stage::{Deployment, Stage, StageRouter, Stages};

    fn stages() -> Stages {
        let deployment = || Deployment::new("d", methods());
        Stages::builder()
            .deployment(deployment())
            .stage(Stage::new("v1", "d"))
            .stage(Stage::new("v2", "d"))
            .build()
            .unwrap()
    }

    fn stack(policy: ResourcePolicy, request: Request<Full<Bytes>>) -> (Response<Bytes>, usize) {
        let layers = tower::ServiceBuilder::new().layer(StageRouter::new(stages())).layer(guard(policy));
        run(through(layers, request))
    }

    #[test]
    fn the_arn_has_the_stage_that_was_routed() {
        let only_v1 = || policy(&statement("Allow", "v1/GET/none", ""));
        assert_eq!(stack(only_v1(), from(OFFICE, "/v1/none")).1, 1);
        let (response, calls) = stack(only_v1(), from(OFFICE, "/v2/none?stage=v1"));
        let message = format!(
            "User: anonymous is not authorized to perform: execute-api:Invoke on resource: {ARN}/v2/GET/none"
        );
        assert_refused(&response, calls, &message, Cause::ResourcePolicySilent);
    }

    #[test]
    fn a_method_of_the_stage_says_what_is_final() {
        let silent = || policy(&statement("Allow", "v1/GET/other", ""));
        assert_eq!(stack(silent(), from(OFFICE, "/v1/custom")).1, 1);
        assert_eq!(stack(silent(), from(OFFICE, "/v1/none")).1, 0);
        let denies = policy(&statement("Deny", "v1/GET/custom", ""));
        let (response, calls) = stack(denies, from(OFFICE, "/v1/%63ustom/"));
        let message = format!(
            "User: anonymous is not authorized to perform: execute-api:Invoke on resource: {ARN}/v1/GET/custom with an explicit deny"
        );
        assert_refused(&response, calls, &message, Cause::ResourcePolicyDenied);
    }
}
