//! Every refusal has an explanation for operators, found by the id that its answer names where that is wanted.

use super::{Answer, Record, ask, authorized, request, signatures, stages, whose, with_field};
use crate::{
    jwt::{token, with_token},
    sigv4::support::api,
    support::{get, run},
};
use bytes::Bytes;
use http::{HeaderName, Request};
use http_body_util::Full;
use serde_json::json;
use tower::{Layer, service_fn};
use tower_gateway::{
    gateway::GatewayBuilder,
    observe::{
        ObserveLayer,
        admin::{Explain, RequestRecord},
    },
    resource_policy::{ResourcePolicy, ResourcePolicyLayer},
};

const ID: HeaderName = HeaderName::from_static("x-explanation-id");

/// Everybody but who calls himself `blocked`; of `/custom` it leaves the allowing to the authorizer.
fn policy() -> ResourcePolicy {
    let document = r#"{"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke",
         "NotResource": "execute-api:/prod/GET/custom"},
        {"Effect": "Deny", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "execute-api:/*",
         "Condition": {"StringEquals": {"aws:UserAgent": "blocked"}}}]}"#;
    ResourcePolicy::new(&api(), document).unwrap()
}

fn guarded(explain: &Explain) -> GatewayBuilder {
    authorized(&Record::default())
        .stages(stages())
        .resource_policy(ResourcePolicyLayer::new(policy()))
        .sigv4(signatures().build().unwrap())
        .observe(ObserveLayer::new().observer(explain.clone()))
}

fn blocked(request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    with_field(request, "user-agent", "blocked")
}

/// What is sent, which layer refuses, what decides, and what would have been allowed.
type Case = (&'static str, fn() -> Request<Full<Bytes>>, &'static str, &'static str, &'static [&'static str]);

const DENIED: &str = "Deny statement 1";

fn cases() -> [Case; 9] {
    [
        (
            "unsigned",
            || get("/prod/signed"),
            "SigV4AuthLayer",
            "SignatureMissing",
            &["one complete signature of the request as received"],
        ),
        (
            "signed by who is denied",
            || blocked(request("signed", "ada", "/prod/signed")),
            "SigV4AuthLayer",
            DENIED,
            &[],
        ),
        (
            "silent authorizer",
            || request("custom", "silent", "/prod/custom"),
            "AuthorizerLayer",
            "no statement of 1",
            &["Allow statement 0: arn:aws:execute-api:*:*:*/*/PUT/*"],
        ),
        (
            "denying authorizer",
            || request("custom", "deny", "/prod/custom"),
            "AuthorizerLayer",
            "Deny statement 0",
            &[],
        ),
        (
            "rejecting authorizer",
            || request("custom", "eve", "/prod/custom"),
            "AuthorizerLayer",
            "AuthorizerUnauthorized",
            &["a credential that the authorizer's function accepts"],
        ),
        (
            "another audience",
            || with_token("/prod/jwt", &token(&json!({"aud": "other"}))),
            "JwtAuthorizerLayer",
            "aud",
            &["client-1"],
        ),
        (
            "another pool",
            || with_token("/prod/pool", &token(&json!({}))),
            "CognitoAuthorizerLayer",
            "iss",
            &[super::POOL],
        ),
        ("resource policy", || blocked(get("/prod/open")), "ResourcePolicyLayer", DENIED, &[]),
        ("no key", || get("/prod/keyed/open"), "ApiKeyLayer", "ApiKeyMissing", &["one known API key"]),
    ]
}

fn said(answer: &Answer) -> String {
    let fields = answer.headers.iter().filter(|(name, _)| **name != ID && !name.as_str().contains("id"));
    let fields: Vec<_> = fields.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    format!("{} {} {fields:?}", answer.status, answer.body)
}

#[test]
fn the_id_of_a_refusal_leads_to_its_explanation_and_the_client_is_told_no_more() {
    let (explain, silent) = (Explain::new(100), Explain::new(100));
    let named = guarded(&explain).explanation_id(ID).build().unwrap().layer(service_fn(whose));
    let plain = guarded(&silent).build().unwrap().layer(service_fn(whose));
    run(async {
        for (name, request, layer, decided_by, would_allow) in cases() {
            let answer = ask(&named, request()).await;
            let id = answer.headers.get(ID).unwrap_or_else(|| panic!("{name}: {answer:?}")).to_str().unwrap();
            let record = explain.request(id).unwrap();
            let explanation = record.explanation.clone().unwrap();
            assert_eq!((explanation.layer, explanation.decided_by.as_str()), (layer, decided_by), "{name}");
            if !would_allow.is_empty() {
                assert_eq!(explanation.would_allow, would_allow, "{name}");
            }
            assert!(!explanation.would_allow.is_empty(), "{name}");
            assert_in_json(&record);
            let told = said(&answer);
            for secret in explanation.would_allow.iter().chain([&explanation.decided_by]) {
                assert!(
                    secret == "aud" || secret == "iss" || !told.contains(secret.as_str()),
                    "{name}: {told}"
                );
            }
            let same = ask(&plain, request()).await;
            assert!(!same.headers.contains_key(ID), "{name}");
            assert_eq!(said(&same), told, "{name}: the setting changes one field only");
        }
        let allowed = ask(&named, request("jwt", "ada", "/prod/jwt")).await;
        assert_eq!((allowed.status, allowed.headers.contains_key(ID)), (200, false));
        assert_eq!(explain.recent()[0].explanation, None);
    });
}

fn assert_in_json(record: &RequestRecord) {
    let json: serde_json::Value = serde_json::from_str(&record.to_json()).unwrap();
    let explanation = record.explanation.as_ref().unwrap();
    let wanted = json!({
        "layer": explanation.layer,
        "decidedBy": explanation.decided_by,
        "wouldAllow": explanation.would_allow,
    });
    assert_eq!(json["explanation"], wanted);
}
