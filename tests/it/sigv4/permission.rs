//! What an authenticated caller may do, on which ARN, and how a refusal reads.

use super::support::{ALLOW_ALL, NOW, SECRET, Signer, api, builder, get, layer_of, policy};
use crate::support::{Strict, run};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_gateway::{
    GatewayBody,
    clock::ManualClock,
    context::{Ingress, PeerAddr, RequestContext},
    payload_limit::PayloadLimitLayer,
    policy::{AccessDenial, DenialWording, combine::AccountGrant},
    resource_policy::ResourcePolicy,
    response::{Cause, GatewayError},
    route::{ApiMethod, Authorization, Routes},
    sigv4::{
        Credentials, MemoryCredentialsStore, SigV4AuthBuilder, SigV4AuthLayer, SigV4Verifier,
        SignatureRequirement,
    },
    stage::{StageRouter, Stages},
};

fn ada(statements: &str) -> Credentials {
    builder("AKIDADA", "ada").policy(policy(statements)).build().unwrap()
}

/// The layer under a stage `prod` with every route, as `Gateway` stands it.
fn staged(layer: SigV4AuthBuilder, request: Request<Full<Bytes>>) -> (u16, Option<Cause>, String) {
    let stages = Stages::single("prod", Routes::catch_all()).unwrap();
    let clock = ManualClock::at_unix_seconds(NOW).clock();
    let service =
        StageRouter::new(stages).clock(clock).layer(layer.build().unwrap().layer(Strict::default()));
    outcome(service, request)
}

fn outcome<S>(service: S, request: Request<Full<Bytes>>) -> (u16, Option<Cause>, String)
where
    S: Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = Infallible>,
{
    let response = run(service.oneshot(request)).unwrap();
    let cause = response.extensions().get::<GatewayError>().map(GatewayError::cause);
    let (parts, body) = response.into_parts();
    let body = run(body.collect()).unwrap().to_bytes();
    (parts.status.as_u16(), cause, String::from_utf8(body.to_vec()).unwrap())
}

const NO_ADMIN: &str = r#"
    {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": ["execute-api:/prod/GET/*", "execute-api:/prod/POST/*"]},
    {"Effect": "Deny", "Action": "execute-api:Invoke", "Resource": "execute-api:/prod/*/admin/*"}"#;

#[test]
fn identity_policies_judge_the_routed_path() {
    let send = |method: &str, target: &str| {
        let (status, cause, _) =
            staged(layer_of([ada(NO_ADMIN)]), Signer::default().sign(method, target, ""));
        (status, cause)
    };
    assert_eq!(send("GET", "/prod/pets"), (200, None));
    assert_eq!(send("POST", "/prod"), (200, None));
    assert_eq!(send("PUT", "/prod/pets"), (403, Some(Cause::IdentityPolicySilent)));
    for target in [
        "/prod/admin/keys",
        "/prod//admin/keys",
        "//prod/admin/keys",
        "/prod/admin//keys",
        "/prod/%61dmin/keys",
        "/prod/%61%64%6D%69%6e/keys",
        "/prod/admin/",
        "/prod/admin/keys?x=/prod/pets",
    ] {
        assert_eq!(send("GET", target), (403, Some(Cause::IdentityPolicyDenied)), "{target}");
    }
    for target in ["/prod/./admin/keys", "/prod/pets/../admin/keys", "/prod/pets/%2e%2e/admin/keys"] {
        assert_eq!(send("GET", target), (400, Some(Cause::DotSegment)), "{target}");
    }
}

#[test]
fn what_is_denied_without_a_slash_is_denied_with_one() {
    let deny = format!(
        r#"{ALLOW_ALL}, {{"Effect": "Deny", "Action": "execute-api:*", "Resource": "execute-api:/prod/GET/admin"}}"#
    );
    for target in ["/prod/admin", "/prod/admin/", "/prod/%61dmin/"] {
        let (status, cause, _) = staged(layer_of([ada(&deny)]), get(target));
        assert_eq!((status, cause), (403, Some(Cause::IdentityPolicyDenied)), "{target}");
    }
    // They are routed alike: what is allowed as the one is allowed as the other.
    let allow = r#"{"Effect": "Allow", "Action": "execute-api:*", "Resource": "execute-api:/prod/GET/pets"}"#;
    assert_eq!(staged(layer_of([ada(allow)]), get("/prod/pets")).0, 200);
    assert_eq!(staged(layer_of([ada(allow)]), get("/prod/pets/")).0, 200);
}

const USER: &str = "User: arn:aws:iam::111122223333:user/ada is not authorized to perform: execute-api:Invoke on resource: \
    arn:aws:execute-api:us-east-1:********3333:a1b2c3d4e5/prod/GET/admin/keys";

#[test]
fn the_words_of_a_denial() {
    let (status, _, body) = staged(layer_of([ada(NO_ADMIN)]), get("/prod/admin/keys"));
    assert_eq!((status, body), (403, format!(r#"{{"Message":"{USER} with an explicit deny"}}"#)));
    let newer = || layer_of([ada(NO_ADMIN)]).denial_wording(DenialWording::Since2026);
    let (_, _, body) = staged(newer(), get("/prod/admin/keys"));
    assert_eq!(body, format!(r#"{{"Message":"{USER} with an explicit deny in an identity-based policy"}}"#));
    let nobody = || layer_of([builder("AKIDADA", "ada").build().unwrap()]);
    let (_, cause, body) = staged(nobody(), get("/prod/admin/keys"));
    assert_eq!((cause, body), (Some(Cause::IdentityPolicySilent), format!(r#"{{"Message":"{USER}"}}"#)));
    let (_, _, body) = staged(nobody().denial_wording(DenialWording::Since2026), get("/prod/admin/keys"));
    let suffix = "because no identity-based policy allows the execute-api:Invoke action";
    assert_eq!(body, format!(r#"{{"Message":"{USER} {suffix}"}}"#));
}

fn resource(effect: &str, principal: &str) -> ResourcePolicy {
    let text = format!(
        r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "{effect}", "Principal": {principal},
            "Action": "execute-api:Invoke", "Resource": "execute-api:/prod/*"}}}}"#
    );
    ResourcePolicy::new(&api(), text).unwrap()
}

fn other_account(statements: &str) -> Credentials {
    let arn = "arn:aws:sts::999900001111:assumed-role/reader/s1";
    let builder = Credentials::builder("AKIDADA", SECRET, arn);
    if statements.is_empty() { builder } else { builder.policy(policy(statements)) }.build().unwrap()
}

#[test]
fn a_resource_policy_decides_with_the_identity_policies() {
    let send = |credentials: Credentials, policy: ResourcePolicy| {
        let (status, cause, _) = staged(layer_of([credentials]).resource_policy(&policy), get("/prod/pets"));
        (status, cause)
    };
    let silent = || builder("AKIDADA", "ada").build().unwrap();
    let own = r#"{"AWS": "arn:aws:iam::111122223333:user/ada"}"#;
    let role = r#"{"AWS": "arn:aws:iam::999900001111:role/reader"}"#;
    assert_eq!(send(silent(), resource("Allow", own)), (200, None), "P4");
    assert_eq!(send(ada(ALLOW_ALL), resource("Deny", own)), (403, Some(Cause::ResourcePolicyDenied)));
    assert_eq!(send(ada(ALLOW_ALL), resource("Allow", role)), (200, None), "silent about ada");
    assert_eq!(send(other_account(ALLOW_ALL), resource("Allow", role)), (200, None));
    assert_eq!(send(other_account(""), resource("Allow", role)), (403, Some(Cause::IdentityPolicySilent)));
    let refused = (403, Some(Cause::ResourcePolicySilent));
    assert_eq!(send(other_account(ALLOW_ALL), resource("Allow", own)), refused, "P5");
    let (status, cause, _) = staged(layer_of([other_account(ALLOW_ALL)]), get("/prod/pets"));
    assert_eq!((status, cause), refused, "no resource policy at all");
    let account = r#"{"AWS": "111122223333"}"#;
    let granting = |grant| {
        let layer = layer_of([silent()]).resource_policy(&resource("Allow", account)).account_grant(grant);
        staged(layer, get("/prod/pets")).0
    };
    assert_eq!((granting(AccountGrant::Delegates), granting(AccountGrant::Allows)), (403, 200), "P4b");
    for principal in [r#"{"AWS": "arn:aws:iam::111122223333:root"}"#, account] {
        let layer = layer_of([silent()]).resource_policy(&resource("Allow", principal));
        assert_eq!(staged(layer, get("/prod/pets")).0, 200, "P4b by default: {principal}");
    }
}

#[test]
fn conditions_see_the_caller_and_the_request() {
    let when = |condition: &str| {
        let statement = format!(
            r#"{{"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*", "Condition": {{{condition}}}}}"#
        );
        let ada = builder("AKIDADA", "ada")
            .user_id("AIDAEXAMPLE")
            .org_id("o-1")
            .org_path("o-1/r-1/ou-1/")
            .tag("team", "pets")
            .policy(policy(&statement))
            .build()
            .unwrap();
        let mut request =
            Signer { headers: &[("user-agent", "tests")], ..Signer::default() }.sign("GET", "/prod/a", "");
        request.extensions_mut().insert(PeerAddr("203.0.113.7:5".parse().unwrap()));
        request.extensions_mut().insert(Ingress::public().secure(true));
        staged(layer_of([ada]), request).0
    };
    for condition in [
        r#""StringEquals": {"aws:username": "ada", "aws:userid": "AIDAEXAMPLE", "aws:PrincipalType": "User"}"#,
        r#""StringEquals": {"aws:PrincipalAccount": "111122223333", "aws:PrincipalOrgID": "o-1"}"#,
        r#""ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::*:user/ada"}"#,
        r#""ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": "o-1/*"}"#,
        r#""StringEquals": {"aws:PrincipalTag/team": "pets", "aws:UserAgent": "tests"}"#,
        r#""IpAddress": {"aws:SourceIp": "203.0.113.0/24"}"#,
        r#""Bool": {"aws:SecureTransport": "true"}"#,
        r#""DateGreaterThan": {"aws:CurrentTime": "2026-11-22T12:34:55Z"}"#,
        r#""NumericLessThan": {"aws:EpochTime": "1795350897"}"#,
        r#""Null": {"aws:TokenIssueTime": "true", "aws:MultiFactorAuthPresent": "true"}"#,
    ] {
        assert_eq!(when(condition), 200, "{condition}");
    }
    for condition in [
        r#""StringEquals": {"aws:username": "bob"}"#,
        r#""StringEquals": {"aws:PrincipalTag/team": "cars"}"#,
        r#""IpAddress": {"aws:SourceIp": "198.51.100.0/24"}"#,
        r#""Bool": {"aws:SecureTransport": "false"}"#,
        r#""StringEquals": {"aws:Referer": "x"}"#,
    ] {
        assert_eq!(when(condition), 403, "{condition}");
    }
}

#[test]
fn sessions_have_their_own_keys() {
    let when = |condition: &str| {
        let statement =
            format!(r#"{{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {{{condition}}}}}"#);
        let arn = "arn:aws:sts::111122223333:assumed-role/reader/s1";
        let session = Credentials::builder("ASIAEXAMPLE", SECRET, arn)
            .session_token("t0ken", NOW + 10)
            .issued_at(NOW - 60, Some(NOW - 90))
            .policy(policy(&statement))
            .build()
            .unwrap();
        let signer = Signer { key: "ASIAEXAMPLE", token: Some("t0ken"), ..Signer::default() };
        staged(layer_of([session]), signer.sign("GET", "/prod/a", "")).0
    };
    for condition in [
        r#""Bool": {"aws:MultiFactorAuthPresent": "true"}"#,
        r#""NumericEquals": {"aws:MultiFactorAuthAge": "90"}"#,
        r#""DateEquals": {"aws:TokenIssueTime": "2026-11-22T12:33:56Z"}"#,
        r#""StringEquals": {"aws:PrincipalType": "AssumedRole"}, "Null": {"aws:username": "true"}"#,
        r#""ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::111122223333:role/reader"}"#,
    ] {
        assert_eq!(when(condition), 200, "{condition}");
    }
}

#[test]
fn the_context_names_the_caller() {
    let seen = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&seen);
    let service = service_fn(move |request: Request<GatewayBody<Full<Bytes>>>| {
        *keep.lock().unwrap() = RequestContext::of(request.extensions()).cloned();
        async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())) }
    });
    let ada = builder("AKIDADA", "ada")
        .user_id("AIDAEXAMPLE")
        .org_id("o-1")
        .cognito_identity("id", "pool")
        .cognito_authentication("authenticated", "provider")
        .policy(policy(ALLOW_ALL))
        .build()
        .unwrap();
    let answer = run(layer_of([ada]).build().unwrap().layer(service).oneshot(get("/pets"))).unwrap();
    assert_eq!(answer.status(), 200);
    let context = seen.lock().unwrap().take().unwrap();
    for (name, value) in [
        ("accessKey", Some("AKIDADA")),
        ("accountId", Some("111122223333")),
        ("caller", Some("AIDAEXAMPLE")),
        ("user", Some("AIDAEXAMPLE")),
        ("userArn", Some("arn:aws:iam::111122223333:user/ada")),
        ("principalOrgId", Some("o-1")),
        ("cognitoIdentityId", Some("id")),
        ("cognitoIdentityPoolId", Some("pool")),
        ("cognitoAuthenticationType", Some("authenticated")),
        ("cognitoAuthenticationProvider", Some("provider")),
        ("secretKey", None),
    ] {
        assert_eq!(context.variable(&format!("identity.{name}")).as_deref(), value, "{name}");
    }
    assert_eq!(context.caller().unwrap().user_name(), Some("ada"));
}

#[test]
fn nobody_is_named_in_the_context_of_a_refused_signature() {
    let contexts = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&contexts);
    let inner = layer_of([ada(ALLOW_ALL)]).build().unwrap().layer(Strict::default());
    let service = tower_gateway::context::RequestContextLayer::new().layer(tower::util::MapRequest::new(
        inner,
        move |request: Request<Full<Bytes>>| {
            *keep.lock().unwrap() = RequestContext::of(request.extensions()).cloned();
            request
        },
    ));
    let wrong = Signer { secret: "wrong", ..Signer::default() }.sign("GET", "/pets", "");
    assert_eq!(run(service.oneshot(wrong)).unwrap().status(), 403);
    let context = contexts.lock().unwrap().take().unwrap();
    assert!(context.caller().is_none() && context.principal().is_none());
    assert_eq!(context.error().unwrap().cause(), Cause::SignatureMismatch);
}

#[test]
fn the_layer_alone_matches_its_own_table_and_has_a_stage() {
    let routes = Routes::builder().any("/pets", ApiMethod::new()).build().unwrap();
    let only =
        r#"{"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "execute-api:/test/GET/pets"}"#;
    let layer = |stage: &str| layer_of([ada(only)]).routes(&routes).stage(stage).build().unwrap();
    assert_eq!(outcome(layer("test").layer(Strict::default()), get("/pets")).0, 200);
    assert_eq!(outcome(layer("prod").layer(Strict::default()), get("/pets")).0, 403);
    let long = format!("/{}", "x".repeat(1600));
    let (status, cause, _) = outcome(layer("test").layer(Strict::default()), get(&long));
    assert_eq!((status, cause), (414, Some(Cause::ResourceArnTooLong)));
}

#[test]
fn authentication_alone_asks_no_policy() {
    let store = MemoryCredentialsStore::new([builder("AKIDADA", "ada").build().unwrap()]);
    let verifier = SigV4Verifier::new("us-east-1", "execute-api").unwrap();
    let layer =
        SigV4AuthLayer::authenticate_only(store, verifier).clock(ManualClock::at_unix_seconds(NOW).clock());
    assert_eq!(outcome(layer.build().unwrap().layer(Strict::default()), get("/admin")).0, 200);
}

#[test]
fn another_service_and_dot_segments_by_setting() {
    let store = MemoryCredentialsStore::new([builder("AKIDADA", "ada").build().unwrap()]);
    let verifier = SigV4Verifier::new("us-east-1", "service").unwrap();
    let layer = SigV4AuthLayer::authenticate_only(store, verifier)
        .allow_dot_segments(true)
        .clock(ManualClock::at_unix_seconds(NOW).clock())
        .build()
        .unwrap();
    let (status, cause, _) = outcome(layer.layer(Strict::default()), get("/a/../b"));
    assert_eq!((status, cause), (403, Some(Cause::SignatureScope)));
    let (status, cause, _) = outcome(layer.layer(Strict::default()), get("/.."));
    assert_eq!((status, cause), (403, Some(Cause::SignatureScope)));
}

#[test]
fn operators_learn_which_statement_decided() {
    let denial = |credentials: Credentials, layer: &dyn Fn(SigV4AuthBuilder) -> SigV4AuthBuilder| {
        let service = layer(layer_of([credentials])).stage("prod").build().unwrap().layer(Strict::default());
        let response = run(service.oneshot(get("/admin/keys"))).unwrap();
        assert_eq!(response.status(), 403);
        response.extensions().get::<AccessDenial>().cloned()
    };
    let explicit = denial(ada(NO_ADMIN), &|layer| layer).unwrap();
    assert_eq!(explicit.layer(), "SigV4AuthLayer");
    assert_eq!(
        explicit.resource(),
        "arn:aws:execute-api:us-east-1:111122223333:a1b2c3d4e5/prod/GET/admin/keys"
    );
    assert_eq!(explicit.evaluation().deciding().count(), 1);
    let role = r#"{"AWS": "arn:aws:iam::999900001111:role/reader"}"#;
    let by_resource =
        denial(other_account(ALLOW_ALL), &|layer| layer.resource_policy(&resource("Deny", role))).unwrap();
    assert_eq!(by_resource.evaluation().deciding().count(), 1);
    assert!(denial(ada(NO_ADMIN), &|layer| layer.explain_denials(false)).is_none());
    assert!(
        denial(builder("AKIDADA", "ada").build().unwrap(), &|layer| layer).is_none(),
        "no policy to explain"
    );
}

#[test]
fn per_method_only_aws_iam_needs_a_signature() {
    let routes = Routes::builder()
        .any("/signed", ApiMethod::new().authorization(Authorization::AwsIam))
        .any("/open", ApiMethod::new())
        .any("/custom", ApiMethod::new().authorization(Authorization::custom("pets")))
        .build()
        .unwrap();
    let layer = layer_of([ada(ALLOW_ALL)]).require(SignatureRequirement::PerMethod);
    let layer = layer.routes(&routes).build().unwrap();
    let status = |request| outcome(layer.layer(Strict::default()), request).0;
    let unsigned = crate::support::get;
    assert_eq!((status(unsigned("/open")), status(unsigned("/custom"))), (200, 200));
    assert_eq!((status(unsigned("/signed")), status(get("/signed"))), (403, 200));
    assert_eq!(status(unsigned("/forgotten")), 403);
    assert_eq!(status(get("/open")), 200, "what is signed without need is not looked at");
    let always = layer_of([ada(ALLOW_ALL)]).routes(&routes).build().unwrap();
    assert_eq!(outcome(always.layer(Strict::default()), unsigned("/open")).0, 403);
}

/// A layer outside, whose table only has limits, matches first; its methods say nothing of authorization.
#[test]
fn per_method_does_not_believe_the_table_of_another_layer() {
    let limits = ApiMethod::new().payload_limit(100).stream_signed_payload(true);
    let limits = Routes::builder().any("/signed", limits.clone()).any("/open", limits).build().unwrap();
    let outer = PayloadLimitLayer::default().routes(&limits);
    let own = Routes::builder()
        .any("/signed", ApiMethod::new().authorization(Authorization::AwsIam).payload_limit(4))
        .any("/open", ApiMethod::new())
        .build()
        .unwrap();
    let layer = || layer_of([ada(ALLOW_ALL)]).require(SignatureRequirement::PerMethod);
    let send =
        |layer: &SigV4AuthLayer, request| outcome(outer.layer(layer.layer(Strict::default())), request).0;
    let unsigned = crate::support::get;

    let with_table = layer().routes(&own).build().unwrap();
    assert_eq!((send(&with_table, unsigned("/signed")), send(&with_table, unsigned("/open"))), (403, 200));
    let long = |target| {
        let hash =
            [("x-amz-content-sha256", "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824")];
        Signer { headers: &hash, ..Signer::default() }.sign("POST", target, "hello")
    };
    assert_eq!(send(&with_table, long("/signed")), 413, "five bytes: neither the other limit nor streamed");

    let without = layer().build().unwrap();
    assert_eq!((send(&without, unsigned("/signed")), send(&without, unsigned("/open"))), (403, 403));
    assert_eq!(send(&without, get("/open")), 200);
}

#[test]
fn a_resource_policy_of_another_api_is_a_configuration_error() {
    let other = tower_gateway::policy::ExecuteApi::new("us-east-1", "111122223333", "other").unwrap();
    let document = r#"{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}}"#;
    let policy = ResourcePolicy::new(&other, document).unwrap();
    let error = layer_of([]).resource_policy(&policy).build().unwrap_err();
    assert_eq!((error.location(), error.value()), ("resource policy", "other"));
}

#[test]
fn a_layer_that_only_authenticates_takes_no_settings_of_permission() {
    let layer = || {
        let verifier = SigV4Verifier::new("us-east-1", "execute-api").unwrap();
        SigV4AuthLayer::authenticate_only(MemoryCredentialsStore::new([]), verifier)
    };
    assert!(layer().build().is_ok());
    for (builder, setting) in [
        (layer().resource_policy(&resource("Deny", r#""*""#)), "resource_policy"),
        (layer().account_grant(AccountGrant::Delegates), "account_grant"),
        (layer().denial_wording(DenialWording::Since2026), "denial_wording"),
        (layer().stage("prod"), "stage"),
        (layer().explain_denials(false), "explain_denials"),
    ] {
        let error = builder.build().unwrap_err();
        assert_eq!((error.location(), error.value()), ("signature setting", setting));
    }
}
