//! Answers as functions give them, well-formed and not.

use super::*;
use crate::policy::{AccessRequest, Decision, INVOKE};

const POLICY: AnswerForm = AnswerForm { event: EventForm::RestRequest, simple_responses: false };
const HTTP_1: AnswerForm = AnswerForm { event: EventForm::Http1, simple_responses: false };
const HTTP_2: AnswerForm = AnswerForm { event: EventForm::Http2, simple_responses: false };
const SIMPLE: AnswerForm = AnswerForm { event: EventForm::Http2, simple_responses: true };

const DOCUMENT: &str = r#"{"Version":"2012-10-17","Statement":[
    {"Action":"execute-api:Invoke","Effect":"Allow","Resource":"arn:aws:execute-api:*:*:a1/prod/GET/*"}]}"#;

fn json(rest: &str) -> AuthorizerAnswer {
    AuthorizerAnswer::from_json(format!(r#"{{"principalId":"ada","policyDocument":{DOCUMENT}{rest}}}"#))
}

fn decision(grant: &Grant, arn: &str) -> Decision {
    match &grant.rule {
        Rule::Policy(policy) => policy.evaluate(&AccessRequest::new(INVOKE, arn, &())),
        Rule::Simple(_) => panic!("a simple response"),
    }
}

fn malformed(answer: AuthorizerAnswer, form: AnswerForm) -> String {
    match read(answer, form) {
        Err(AuthorizerError::Malformed(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn made_by_hand_and_by_a_function_are_the_same() {
    let by_hand = AuthorizerAnswer::policy("ada", DOCUMENT)
        .context("plan", "gold")
        .context("seats", 7)
        .context("admin", true)
        .usage_identifier_key("0123456789abcdefghij");
    let function = json(
        r#","context":{"seats":7,"plan":"gold","admin":true},"usageIdentifierKey":"0123456789abcdefghij""#,
    );
    for answer in [by_hand, function] {
        let grant = read(answer, POLICY).unwrap();
        assert_eq!(grant.context.principal_id(), Some("ada"));
        let values: Vec<_> = grant.context.values().map(|(name, value)| (name, value.to_json())).collect();
        assert_eq!(values, [("admin", "true".into()), ("plan", "\"gold\"".into()), ("seats", "7".into())]);
        assert_eq!(decision(&grant, "arn:aws:execute-api:eu:1:a1/prod/GET/pets"), Decision::Allow);
        assert_eq!(decision(&grant, "arn:aws:execute-api:eu:1:a1/prod/POST/pets"), Decision::ImplicitDeny);
        assert!(grant.allows && !grant.single_method);
        #[cfg(feature = "api-key")]
        assert!(grant.usage_identifier_key.is_some());
    }
}

#[test]
fn what_is_no_answer_is_named() {
    let cases = [
        ("", "EOF"),
        ("null", "not a JSON object"),
        ("\"allow\"", "not a JSON object"),
        ("{}", "principalId is not a string"),
        (r#"{"principalId":7,"policyDocument":{}}"#, "principalId is not a string"),
        (r#"{"principalId":"ada"}"#, "no policyDocument"),
        (r#"{"principalId":"ada","policyDocument":null}"#, "policyDocument"),
        (r#"{"principalId":"ada","policyDocument":"{}"}"#, "policyDocument"),
        (r#"{"principalId":"ada","policyDocument":{"Statement":[]}}"#, "policyDocument"),
        (r#"{"principalId":"ada","policyDocument":{"Statement":{"Effect":"allow"}}}"#, "policyDocument"),
        (
            r#"{"principalId":"ada","principalId":"root","policyDocument":{}}"#,
            "repeated member `principalId`",
        ),
        (r#"{"isAuthorized":true}"#, "principalId is not a string"),
    ];
    for (text, why) in cases {
        let said = malformed(AuthorizerAnswer::from_json(text), POLICY);
        assert!(said.contains(why), "{text}: {said}");
    }
    let twice = r#"{"principalId":"ada","policyDocument":{"Statement":{"Effect":"Deny","Effect":"Allow",
        "Action":"*","Resource":"*"}}}"#;
    assert!(malformed(AuthorizerAnswer::from_json(twice), POLICY).contains("repeated member `Effect`"));
    let empty = AuthorizerAnswer::policy("", DOCUMENT);
    assert_eq!(malformed(empty, POLICY), "principalId is empty");
    let huge = format!(r#"{{"principalId":"{}"}}"#, "a".repeat(MAX_ANSWER));
    assert_eq!(malformed(AuthorizerAnswer::from_json(huge), POLICY), "longer than 65536 bytes");
}

#[test]
fn context_values_are_scalars_but_for_format_2() {
    for value in ["{\"b\":1}", "[1]", "null"] {
        let rest = format!(r#","context":{{"a":{value}}}"#);
        for form in [POLICY, HTTP_1] {
            let why = malformed(json(&rest), form);
            assert_eq!(why, "context.a is neither string, number nor boolean", "{value}");
        }
        let grant = read(json(&rest), HTTP_2).unwrap();
        assert_eq!(grant.context.value("a").unwrap().to_json(), value);
    }
    for (rest, why) in [
        (r#","context":[1]"#, "context is not an object"),
        (r#","context":{"a":1,"a":2}"#, "repeated member `a`"),
        (r#","usageIdentifierKey":7"#, "usageIdentifierKey is not a string"),
    ] {
        assert!(malformed(json(rest), POLICY).contains(why), "{rest}");
    }
    assert_eq!(malformed(json(r#","context":{"claims":"x"}"#), HTTP_1), "context.claims is reserved");
    assert_eq!(read(json(r#","context":null"#), POLICY).unwrap().context.values().count(), 0);
    let twice = json(r#","context":{"plan":"gold"}"#).context("plan", "basic");
    assert_eq!(malformed(twice, POLICY), "two values of context.plan");
    let keys = json(r#","usageIdentifierKey":"a""#).usage_identifier_key("b");
    assert_eq!(malformed(keys, POLICY), "two values of usageIdentifierKey");
}

#[test]
fn simple_responses_are_booleans_and_only_where_enabled() {
    for (text, allows) in
        [(r#"{"isAuthorized":true,"context":{"a":[1]}}"#, true), (r#"{"isAuthorized":false}"#, false)]
    {
        assert_eq!(read(AuthorizerAnswer::from_json(text), SIMPLE).unwrap().allows, allows);
    }
    for text in [r#"{}"#, r#"{"isAuthorized":"true"}"#, r#"{"isAuthorized":1}"#, r#"{"isAuthorized":null}"#] {
        assert_eq!(malformed(AuthorizerAnswer::from_json(text), SIMPLE), "isAuthorized is not a boolean");
    }
    let why = "a policy where simple responses are enabled";
    assert_eq!(malformed(json(""), SIMPLE), why);
    assert_eq!(malformed(json(r#","isAuthorized":true"#), SIMPLE), why);
    assert_eq!(malformed(AuthorizerAnswer::policy("ada", DOCUMENT), SIMPLE), why);
    assert!(malformed(AuthorizerAnswer::simple(true), HTTP_2).contains("not enabled"));
}

#[test]
fn a_single_method_is_noticed() {
    let single = |resources: &[&str]| {
        let answer = AuthorizerAnswer::allow("ada", resources.iter().copied());
        read(answer, POLICY).unwrap().single_method
    };
    let one = "arn:aws:execute-api:eu-west-1:111122223333:a1/prod/GET/pets";
    assert!(single(&[one]) && single(&[one, one]));
    assert!(!single(&[one, "arn:aws:execute-api:eu-west-1:111122223333:a1/prod/POST/pets"]));
    assert!(!single(&["arn:aws:execute-api:eu-west-1:111122223333:a1/prod/GET/*"]));
    assert!(!single(&["*"]));
    let deny = read(AuthorizerAnswer::deny("ada", [one]), POLICY).unwrap();
    assert!(!deny.single_method && !deny.allows);
}
