//! The definitions that AWS was recorded with, replayed.

use super::{
    Cause, GatewayError, GatewayResponse, GatewayResponses, ResponseType, config::DEFAULT_TEMPLATE,
    render::Rendered, template::RequestHead,
};
use crate::context::{ApiKind, ContextConfig, RequestContext};
use http::{HeaderMap, Request, header::ACCEPT};
use serde_json::Value;
use std::io::Write as _;

const FILE: &str = "../shared/vectors/apigateway-recorded/snapshots/test_apigateway_api.json";
const TESTS: &str = "tests/aws/services/apigateway/test_apigateway_api.py::TestApiGatewayGatewayResponse::test_gateway_response";

/// What one recorded test saw; `None` (and one line) where the recordings are not there, as in a user's clone.
fn recorded(test: &str) -> Option<Value> {
    let path = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let Ok(bytes) = std::fs::read(path) else {
        // Past the capture of test output.
        let _nobody_reads = writeln!(std::io::stderr(), "left out: no {FILE} here");
        return None;
    };
    let mut tests: Value = serde_json::from_slice(&bytes).unwrap();
    Some(tests[format!("{TESTS}_{test}")]["recorded-content"].take())
}

fn text<'a>(value: &'a Value, member: &str) -> Option<&'a str> {
    value.get(member)?.as_str()
}

/// A `PUT`, without the members that the recorded call left out and AWS filled in.
fn put(responses: GatewayResponses, answer: &Value, given: &[&str]) -> GatewayResponses {
    let mut own = GatewayResponse::new();
    if given.contains(&"statusCode") {
        own = own.status(text(answer, "statusCode").unwrap().parse().unwrap());
    }
    if given.contains(&"responseParameters") {
        let parameters = answer["responseParameters"].as_object().unwrap();
        own = parameters.iter().fold(own, |own, (name, source)| own.header(name, source.as_str().unwrap()));
    }
    if given.contains(&"responseTemplates") {
        let templates = answer["responseTemplates"].as_object().unwrap();
        own = templates.iter().fold(own, |own, (kind, body)| own.template(kind, body.as_str().unwrap()));
    }
    responses.with(text(answer, "responseType").unwrap().parse().unwrap(), &own).unwrap()
}

/// A template of the recording with its references filled in by hand; nothing is known of a route here.
fn filled(template: &str, error: &GatewayError) -> String {
    let filled = template
        .replace("$context.error.messageString", &error.message_string())
        .replace("$context.error.responseType", error.response_type().as_str());
    ["$context.stage", "$context.resourcePath", "$stageVariables.a"]
        .iter()
        .fold(filled, |text, name| text.replace(name, ""))
}

/// One type of the recorded list against what we make of it.
fn check(item: &Value, responses: &GatewayResponses, context: &RequestContext, head: &RequestHead) {
    let kind: ResponseType = text(item, "responseType").unwrap().parse().unwrap();
    let error = GatewayError::new(kind, Cause::NoRoute);
    context.set_error(error.clone());
    let template = text(&item["responseTemplates"], "application/json").unwrap();
    let Some(configured) = responses.render(&error, context, Some(head)) else {
        assert!(item["defaultResponse"].as_bool().unwrap(), "{kind}");
        assert_eq!(template, DEFAULT_TEMPLATE, "{kind}");
        let status = kind.default_status().map(|status| status.as_str().to_owned());
        assert_eq!(status.as_deref(), text(item, "statusCode"), "{kind}");
        let built_in: Value =
            serde_json::from_slice(&Rendered::built_in(&error, ApiKind::Rest).body).unwrap();
        let key = if kind == ResponseType::AccessDenied { "Message" } else { "message" };
        assert_eq!(built_in[key].as_str(), error.message(), "{kind}");
        return;
    };
    assert_eq!(Some(configured.rendered.status.as_str()), text(item, "statusCode"), "{kind}");
    assert_eq!(configured.rendered.body, filled(template, &error), "{kind}");
    let headers: Vec<_> =
        configured.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let expected: Vec<_> = item["responseParameters"].as_object().unwrap().iter().collect();
    assert_eq!(headers.len(), expected.len(), "{kind}");
    for (name, source) in expected {
        let name = name.strip_prefix("gatewayresponse.header.").unwrap();
        let value = match source.as_str().unwrap() {
            "method.request.header.Accept" => "application/json",
            literal => literal.trim_matches('\''),
        };
        assert!(headers.contains(&(name, value.as_bytes())), "{kind}: {name}: {value}");
    }
}

#[test]
fn all_21_types_before_and_after_puts_as_recorded_from_aws() {
    let Some(recorded) = recorded("put") else { return };
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, "application/json".parse().unwrap());
    let head = RequestHead { headers, query: String::new() };
    let own = put(GatewayResponses::new(), &recorded["put-gateway-response-all-value"], &["statusCode"]);
    let own = put(own, &recorded["put-gateway-response-response-templates-only"], &["responseTemplates"]);
    let all = ["statusCode", "responseParameters", "responseTemplates"];
    let own = put(own, &recorded["put-gateway-response-default-5xx"], &all);
    let own = put(own, &recorded["put-gateway-response-default-ignored"], &["responseParameters"]);
    let items = recorded["get-gateway-responses"]["items"].as_array().unwrap();
    assert_eq!(items.len(), ResponseType::ALL.len());
    for item in items {
        let context = ContextConfig::default().find_or_create(&mut Request::new(()));
        check(item, &own, &context, &head);
    }
}

#[test]
fn what_each_put_leaves_out_is_built_in_as_recorded_from_aws() {
    let Some(recorded) = recorded("put") else { return };
    for (call, given) in [
        ("status-only", "statusCode"),
        ("response-parameters-only", "responseParameters"),
        ("response-templates-only", "responseTemplates"),
    ] {
        let answer = &recorded[format!("put-gateway-response-{call}")];
        let own = put(GatewayResponses::new(), answer, &[given]);
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, "application/json".parse().unwrap());
        let context = ContextConfig::default().find_or_create(&mut Request::new(()));
        check(answer, &own, &context, &RequestHead { headers, query: String::new() });
    }
}

#[test]
fn an_unknown_type_is_refused_in_aws_s_words_and_order() {
    let Some(recorded) = recorded("validation") else { return };
    let words = recorded["put-gateway-response-wrong-response-type"]["Error"]["Message"].as_str().unwrap();
    let ours = "FAKE_RESPONSE_TYPE".parse::<ResponseType>().unwrap_err().to_string();
    assert_eq!(words, format!("1 validation error detected: {ours}"));
}
