//! The call of an authorizer's function in a data trace: what was sent and answered, without what identifies the caller.

use super::{Record, authorized, stages, whose, with_field};
use crate::{
    execution_logs::Events,
    jwt::clock,
    sigv4::support::api,
    support::{get, run},
};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::json;
use std::{convert::Infallible, time::Duration};
use tower::{Layer, ServiceExt, service_fn};
use tower_gateway::{
    authorizer::{
        Authorizer, AuthorizerAnswer, AuthorizerBuilder, AuthorizerEvent, AuthorizerLayer, LambdaInvoke,
        PayloadFormat, authorizer_fn,
    },
    observe::{ExecutionLog, ObserveLayer},
    route::{ApiMethod, Authorization, ExecutionLogging, LoggingLevel, Routes},
    stage::Stages,
};

const TOKEN: &str = "Bearer 0123456789abcdef-allow-me";
const MASKED: &str = "**************************low-me";

/// Everything that the execution log says of some requests.
fn whole_log(
    authorizer: AuthorizerBuilder,
    log: ExecutionLog,
    requests: impl IntoIterator<Item = Request<Full<Bytes>>>,
) -> Vec<String> {
    let authorizer = authorizer.clock(clock().1).build().unwrap();
    let gateway = authorized(&Record::default()).authorizer(AuthorizerLayer::new(authorizer).api(api()));
    let observe = ObserveLayer::new().execution_log(log);
    let service = gateway.stages(stages()).observe(observe).build().unwrap().layer(service_fn(whose));
    let events = Events::default();
    tracing::subscriber::with_default(events.clone(), || {
        run(async {
            for request in requests {
                service.clone().oneshot(request).await.unwrap().into_body().collect().await.unwrap();
            }
        });
    });
    events.lines()
}

/// What it says of the authorizer.
fn lines(
    authorizer: AuthorizerBuilder,
    log: ExecutionLog,
    requests: impl IntoIterator<Item = Request<Full<Bytes>>>,
) -> Vec<String> {
    let lines = whole_log(authorizer, log, requests);
    let of_method =
        |line: &String| line.contains("Verifying Usage Plan") || line.starts_with("I Method comp");
    let begin = |line: &String| line.contains("Starting authorizer");
    let mut shown = Vec::new();
    let mut on = false;
    for line in lines {
        on = (on || begin(&line)) && !of_method(&line);
        if on {
            shown.push(line);
        }
    }
    shown
}

fn traced(level: LoggingLevel) -> ExecutionLog {
    ExecutionLog::new().logging(ExecutionLogging::new(level).data_trace(true))
}

/// A Lambda endpoint that answers everybody alike.
fn lambda(answer: &'static str, thrown: bool) -> AuthorizerBuilder {
    let client = service_fn(move |_: Request<Full<Bytes>>| async move {
        let head = Response::builder().header("x-amzn-requestid", "lambda-1");
        let head = if thrown { head.header("x-amz-function-error", "Unhandled") } else { head };
        Ok::<_, Infallible>(head.body(Full::<Bytes>::from(answer)).unwrap())
    });
    let endpoint = "https://lambda.eu-west-1.amazonaws.com".parse().unwrap();
    Authorizer::token("custom", LambdaInvoke::new(client, &endpoint, "pets-auth").unwrap())
}

const ANSWER: &str = r#"{"principalId":"ada","policyDocument":{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"execute-api:Invoke","Resource":"*"}]},"context":{"plan":"gold","accessToken":"hidden","pin":4711,"echo":"Bearer 0123456789abcdef-allow-me"},"usageIdentifierKey":"gold-0123456789abcdefghij"}"#;

#[test]
fn the_call_of_a_lambda_function_is_shown_and_a_cached_answer_has_none() {
    let ask = || with_field(get("/prod/custom"), "authorization", TOKEN);
    let found = lines(lambda(ANSWER, false), traced(LoggingLevel::Info).redact(["pin"]), [ask(), ask()]);
    let start = "I Starting authorizer: custom for request: ID";
    let identity = &*format!("I Incoming identity: {MASKED}");
    let valid = "I Using valid authorizer policy for principal: ******";
    let done = "I Successfully completed authorizer execution";
    assert_eq!(
        found,
        [
            start,
            identity,
            "I Endpoint request URI: https://lambda.eu-west-1.amazonaws.com/2015-03-31/functions/pets-auth/invocations",
            "I Endpoint request headers: {content-type=application/json, x-amz-invocation-type=RequestResponse}",
            &format!(
                r#"I Endpoint request body after transformations: {{"authorizationToken":"{MASKED}","methodArn":"arn:aws:execute-api:us-east-1:111122223333:a1b2c3d4e5/prod/GET/custom","type":"TOKEN"}}"#
            ),
            &format!(
                r#"I Authorizer result body before parsing: {{"context":{{"accessToken":"******","echo":"{MASKED}","pin":"******","plan":"gold"}},"policyDocument":{{"Statement":[{{"Action":"execute-api:Invoke","Effect":"Allow","Resource":"*"}}],"Version":"2012-10-17"}},"principalId":"******","usageIdentifierKey":"*******************efghij"}}"#
            ),
            valid,
            done,
            start,
            identity,
            valid,
            done,
        ]
    );
}

#[test]
fn a_path_variable_that_is_a_secret_is_a_segment_of_stars_in_documents_too() {
    let routes = Routes::builder().method(
        "/reset/{token}",
        Method::GET,
        ApiMethod::new().authorization(Authorization::custom("custom")),
    );
    let stages = Stages::single("prod", routes.build().unwrap()).unwrap();
    let function = authorizer_fn(|event: AuthorizerEvent| async move {
        let arn = event.method_arn().to_owned();
        Ok::<_, &str>(AuthorizerAnswer::allow("ada", [arn.as_str(), "arn:aws:execute-api:*:*:*/*/PUT/*"]))
    });
    let request = Authorizer::request("custom", function);
    for builder in [
        request,
        Authorizer::http_request("custom", PayloadFormat::V1, function),
        Authorizer::http_request("custom", PayloadFormat::V2, function),
    ] {
        let builder = builder.identity_sources(["$request.header.x-who"]).ttl(Duration::ZERO);
        let authorizer = builder.clock(clock().1).build().unwrap();
        let gateway = authorized(&Record::default()).authorizer(AuthorizerLayer::new(authorizer).api(api()));
        let log = traced(LoggingLevel::Info).max_line_bytes(10_000);
        let observe = ObserveLayer::new().execution_log(log);
        let service =
            gateway.stages(stages.clone()).observe(observe).build().unwrap().layer(service_fn(whose));
        let events = Events::default();
        tracing::subscriber::with_default(events.clone(), || {
            let sent = get("/prod/reset/a%2Fb-0123456789abcdef");
            let answer = run(service.oneshot(with_field(sent, "x-who", "ada"))).unwrap();
            assert_eq!(answer.status(), 200);
            drop(run(answer.into_body().collect()).unwrap());
        });
        let lines = events.lines();
        let event = lines.iter().find(|line| line.contains("Endpoint request body after")).unwrap();
        assert!(event.contains("/prod/GET/reset/**") && event.contains("**abcdef\""), "{event}");
        let answer = lines.iter().find(|line| line.contains("result body before parsing")).unwrap();
        assert!(answer.contains("/prod/GET/reset/**") && answer.contains("*/*/PUT/*"), "{answer}");
        for secret in ["a%2Fb-", "a/b-", "0123456789"] {
            assert!(lines.iter().all(|line| !line.contains(secret)), "{secret} in {lines:#?}");
        }
    }
}

#[test]
fn without_a_data_trace_the_call_is_not_shown() {
    let info = ExecutionLog::new().logging(ExecutionLogging::new(LoggingLevel::Info));
    let found = lines(lambda(ANSWER, false), info, [with_field(get("/prod/custom"), "authorization", TOKEN)]);
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(
        found.iter().all(|line| !line.contains("Endpoint") && !line.contains("result body")),
        "{found:?}"
    );
}

#[test]
fn answers_that_are_none_show_no_secret_and_a_function_that_throws_has_none() {
    let ask = || [with_field(get("/prod/custom"), "authorization", TOKEN)];
    // At ERROR a data trace shows everything of what went wrong.
    let found = lines(lambda("hunter2, not JSON", false), traced(LoggingLevel::Error), ask());
    assert_eq!(found[5], "I Authorizer result body before parsing: [Not JSON]", "{found:?}");
    assert!(
        found[6].starts_with("E Execution failed due to configuration error: malformed answer"),
        "{found:?}"
    );
    assert!(found.iter().all(|line| !line.contains("hunter2")), "{found:?}");
    let thrown = lines(lambda(r#"{"errorMessage":"Unauthorized"}"#, true), traced(LoggingLevel::Info), ask());
    assert_eq!(thrown[5], "E Unauthorized request: ID", "{thrown:?}");
    assert_eq!(lines(lambda(ANSWER, false), traced(LoggingLevel::Error), ask()), [""; 0]);
}

#[test]
fn whole_events_are_shown_without_credentials_and_within_a_line() {
    let function = authorizer_fn(|_: AuthorizerEvent| async {
        let answer = AuthorizerAnswer::allow("ada-with-a-name-of-some-length", ["*"]).context("seats", 7);
        Ok::<_, &str>(answer.usage_identifier_key(super::GOLD))
    });
    let sources = ["method.request.header.x-who", "method.request.querystring.me"];
    let request = || {
        let request = get("/prod/custom?me=somebody&api_token=queried&page=2");
        let request = with_field(request, "x-who", "the header's own credential");
        let request = with_field(request, "x-api-key", "sent-0123456789abcdefghij");
        with_field(with_field(request, "cookie", "session=cookied"), "x-plain", "plain")
    };
    let long = traced(LoggingLevel::Info).max_line_bytes(10_000);
    let builder = || Authorizer::request("custom", function).identity_sources(sources);
    let found = lines(builder(), long, [request()]);
    assert_eq!(found[1], "I Incoming identity: *********************ential,********");
    let event = found[2].strip_prefix("I Endpoint request body after transformations: ").unwrap();
    let event: serde_json::Value = serde_json::from_str(event).unwrap();
    assert_eq!(event["headers"]["x-plain"], "plain");
    assert_eq!(event["headers"]["x-api-key"], "*******************efghij");
    assert_eq!(
        event["queryStringParameters"],
        json!({"me": "********", "api_token": "*******", "page": "2"})
    );
    assert_eq!(event["multiValueQueryStringParameters"]["api_token"], json!(["*******"]));
    for secret in ["somebody", "queried", "own cred", "cookied", "sent-"] {
        assert!(found.iter().all(|line| !line.contains(secret)), "{secret} in {found:#?}");
    }
    assert!(found[3].contains(r#""context":{"seats":7}"#), "{}", found[3]);
    assert!(found[3].contains(r#""principalId":"************************length""#), "{}", found[3]);

    let short = lines(builder(), traced(LoggingLevel::Info).max_line_bytes(300), [request()]);
    assert!(short[2].ends_with(" [TRUNCATED]") && short[2].len() == 2 + 300 + 12, "{}", short[2]);
}

#[test]
fn what_identifies_a_caller_is_masked_in_every_line_whatever_its_name() {
    let function =
        authorizer_fn(|_: AuthorizerEvent| async { Ok::<_, &str>(AuthorizerAnswer::allow("ada", ["*"])) });
    let request = || {
        let request = get("/prod/custom?%6de=some%20body&page=2");
        with_field(with_field(request, "x-who", "hidden one"), "x-who", "hidden two")
    };
    let log = || traced(LoggingLevel::Info).max_line_bytes(10_000);
    let rest = Authorizer::request("custom", function)
        .identity_sources(["method.request.header.x-who", "method.request.querystring.me"]);
    let http = Authorizer::http_request("custom", PayloadFormat::V2, function)
        .identity_sources(["$request.header.x-who", "$request.querystring.me"]);
    for builder in [rest, http] {
        let found = whole_log(builder, log(), [request()]);
        for line in ["Method request query string: ", "Method request headers: ", "Endpoint request URI: "] {
            assert!(found.iter().any(|found| found[2..].starts_with(line)), "{line} {found:#?}");
        }
        assert!(found.iter().any(|line| line.contains("page=2")), "{found:#?}");
        for secret in ["some%20body", "some body", "hidden"] {
            assert!(found.iter().all(|line| !line.contains(secret)), "{secret} in {found:#?}");
        }
    }
    let keyed = crate::jwt::token(&json!({}));
    let jwt = tower_gateway::jwt::JwtAuthorizerLayer::new(
        "jwt",
        crate::jwt::authorizer(crate::jwt::source(), clock().1)
            .identity_source("$request.querystring.door")
            .build()
            .unwrap(),
    );
    let observe = ObserveLayer::new().execution_log(log());
    let gateway = authorized(&Record::default()).jwt_authorizer(jwt).stages(stages()).observe(observe);
    let service = gateway.build().unwrap().layer(service_fn(whose));
    let events = Events::default();
    tracing::subscriber::with_default(events.clone(), || {
        let asked = service.oneshot(get(&format!("/prod/jwt?door={keyed}")));
        let answer = run(asked).unwrap();
        assert_eq!(answer.status(), 200);
        run(answer.into_body().collect()).unwrap();
    });
    let lines = events.lines();
    assert!(lines.iter().any(|line| line.starts_with("I Endpoint request URI: /jwt?door=***")), "{lines:#?}");
    assert!(lines.iter().all(|line| !line.contains(&keyed)), "{lines:#?}");
}
