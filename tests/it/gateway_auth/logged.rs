//! Every outcome of an authorizer leaves one access log entry, and its lines in the execution log.

use super::{Record, authorized, request, signatures, stages, whose, with_field};
use crate::{
    execution_logs::Events,
    jwt::{NOW, clock, token, with_token},
    sigv4::support::{Signer, api},
    support::{get, run},
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use serde_json::json;
use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};
use tower::{Layer, ServiceExt, service_fn};
use tower_gateway::{
    authorizer::{Authorizer, AuthorizerAnswer, AuthorizerEvent, AuthorizerLayer, authorizer_fn},
    gateway::GatewayBuilder,
    observe::{AccessLog, AccessLogFormat, ApiInfo, ExecutionLog, LogApi, ObserveLayer, RequestEvent},
    payload_limit::PayloadLimitLayer,
    route::{ExecutionLogging, LoggingLevel},
};

const FORMAT: &str = "$context.requestId $context.status $context.error.responseType $context.error.layer $context.error.cause $context.authorizer.principalId $context.authorizer.status $context.authorizer.error $context.identity.user";

/// Access log entries and execution log of some requests, one after the other.
fn logged(
    gateway: GatewayBuilder,
    requests: impl IntoIterator<Item = Request<Full<Bytes>>>,
) -> (Vec<String>, Vec<String>) {
    let entries = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&entries);
    let sink = move |line: &str, _: &RequestEvent<'_>| {
        let (_id, line) = line.split_once(' ').unwrap();
        kept.lock().unwrap().push(line.to_owned());
    };
    let log = AccessLog::new(AccessLogFormat::new(LogApi::Rest, FORMAT).unwrap(), sink);
    let info = ExecutionLog::new().logging(ExecutionLogging::new(LoggingLevel::Info));
    let observe = ObserveLayer::new().api(ApiInfo::new("pets")).observer(log).execution_log(info);
    let service = gateway.stages(stages()).observe(observe).build().unwrap().layer(service_fn(whose));
    let events = Events::default();
    tracing::subscriber::with_default(events.clone(), || {
        run(async {
            for request in requests {
                service.clone().oneshot(request).await.unwrap().into_body().collect().await.unwrap();
            }
        });
    });
    let entries = entries.lock().unwrap().clone();
    (entries, events.lines())
}

/// A body that arrives in pieces, whose length nobody announces.
fn streamed(request: Request<Full<Bytes>>, body: &'static str) -> Request<UnsyncBoxBody<Bytes, Infallible>> {
    let pieces = body.as_bytes().chunks(1).map(|byte| Ok(Frame::data(Bytes::copy_from_slice(byte))));
    request.map(|_| StreamBody::new(futures_util::stream::iter(pieces)).boxed_unsync())
}

#[test]
fn a_body_that_is_refused_while_a_signature_is_verified_has_reached_nothing_else() {
    let signed = || Signer { time: NOW, ..Signer::default() }.sign("POST", "/prod/signed", "12345");
    // By the gateway's limit, and by that of what is read to verify it.
    for (gateway_limit, own_limit, layer) in [(4, 100, "PayloadLimitLayer"), (100, 4, "SigV4AuthLayer")] {
        let observe = ObserveLayer::new()
            .execution_log(ExecutionLog::new().logging(ExecutionLogging::new(LoggingLevel::Info)));
        let service = authorized(&Record::default())
            .sigv4(signatures().body_limit(own_limit).build().unwrap())
            .payload_limit(PayloadLimitLayer::new(gateway_limit))
            .stages(stages())
            .observe(observe)
            .build()
            .unwrap()
            .layer(service_fn(|_: Request<_>| async {
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
            }));
        let events = Events::default();
        tracing::subscriber::with_default(events.clone(), || {
            let answer = run(service.oneshot(streamed(signed(), "12345"))).unwrap();
            assert_eq!(answer.status(), 413);
            drop(run(answer.into_body().collect()).unwrap());
        });
        let lines = events.lines();
        assert!(lines[0].starts_with("I Extended Request Id: "), "{lines:#?}");
        assert_eq!(
            lines[1..],
            [
                format!("E Execution failed: {layer} refused with BodyTooLarge"),
                "I Method completed with status: 413".to_owned(),
            ]
        );
    }
}

fn authorizer_lines(lines: &[String]) -> Vec<&str> {
    let from =
        ["Starting auth", "Incoming", "Using valid", "Successfully completed auth", "Unauth", "The client"];
    let failed = |line: &&str| line[2..].starts_with("Execution failed");
    let wanted = |line: &&str| failed(line) || from.iter().any(|start| line[2..].starts_with(start));
    lines.iter().map(String::as_str).filter(wanted).collect()
}

#[test]
fn each_outcome_of_a_lambda_authorizer_is_one_entry() {
    let ask = |token: &str| with_field(get("/prod/custom"), "authorization", token);
    // The second of Ada's is known already.
    let requests =
        ["ada", "ada", "silent", "deny", "stranger"].map(ask).into_iter().chain([get("/prod/custom")]);
    let (entries, lines) = logged(authorized(&Record::default()), requests);
    assert_eq!(
        entries,
        [
            "200 - - - ada 200 - -",
            "200 - - - ada 200 - -",
            "403 ACCESS_DENIED AuthorizerLayer AuthorizerImplicitDeny ada 200 - -",
            "403 ACCESS_DENIED AuthorizerLayer AuthorizerExplicitDeny bob 200 - -",
            "401 UNAUTHORIZED AuthorizerLayer AuthorizerUnauthorized - 401 Unauthorized -",
            "401 UNAUTHORIZED AuthorizerLayer IdentityMissing - - - -",
        ]
    );
    let start = "I Starting authorizer: custom for request: ID";
    let (identity, denied) =
        ("I Incoming identity: ******", "E The client is not authorized to perform this operation.");
    let (allowed, done) = (
        "I Using valid authorizer policy for principal: ******",
        "I Successfully completed authorizer execution",
    );
    let (long, refused) = ("I Incoming identity: ********", "E Unauthorized request: ID");
    assert_eq!(
        authorizer_lines(&lines),
        [
            start, identity, allowed, done, start, identity, allowed, done, start, identity, denied, start,
            identity, denied, start, long, refused, start, refused
        ]
    );
}

#[test]
fn an_authorizer_that_fails_is_named_by_its_error() {
    let function =
        authorizer_fn(|_: AuthorizerEvent| async { Err::<AuthorizerAnswer, _>("no database\r\nforged") });
    let broken = Authorizer::token("custom", function).clock(clock().1).build().unwrap();
    let gateway = authorized(&Record::default()).authorizer(AuthorizerLayer::new(broken).api(api()));
    let (entries, lines) = logged(gateway, [with_field(get("/prod/custom"), "authorization", "ada")]);
    assert_eq!(entries.len(), 1);
    assert!(
        entries[0].starts_with(
            "500 AUTHORIZER_CONFIGURATION_ERROR AuthorizerLayer AuthorizerFailed - 500 no database"
        ),
        "{entries:?}"
    );
    let failed = authorizer_lines(&lines);
    assert!(failed[2].starts_with("E Execution failed due to configuration error: "), "{failed:?}");
    assert!(failed[2].contains("no database\\u000d\\u000aforged"), "{failed:?}");
}

#[test]
fn each_outcome_of_the_other_kinds_is_one_entry() {
    let mut altered = request("signed", "ada", "/prod/signed");
    *altered.uri_mut() = "/prod/signed?more=1".parse().unwrap();
    let expired = with_token("/prod/jwt", &token(&json!({"exp": 1_000})));
    let (entries, _) = logged(
        authorized(&Record::default()),
        [
            request("signed", "ada", "/prod/signed"),
            get("/prod/signed"),
            altered,
            request("jwt", "bob", "/prod/jwt"),
            get("/prod/jwt"),
            expired,
            with_field(get("/prod/jwt"), "authorization", "Bearer nothing"),
            request("pool", "bob", "/prod/pool"),
            request("jwt", "bob", "/prod/pool"),
        ],
    );
    let starts = [
        "200 - - - ",
        "403 MISSING_AUTHENTICATION_TOKEN SigV4AuthLayer SignatureMissing ",
        "403 INVALID_SIGNATURE SigV4AuthLayer SignatureMismatch ",
        "200 - - - bob ",
        "401 UNAUTHORIZED JwtAuthorizerLayer IdentityMissing ",
        "401 UNAUTHORIZED JwtAuthorizerLayer TokenExpired ",
        "401 UNAUTHORIZED JwtAuthorizerLayer TokenMalformed ",
        "200 - - - bob ",
        "401 UNAUTHORIZED CognitoAuthorizerLayer TokenIssuer ",
    ];
    assert_eq!(entries.len(), starts.len());
    for (entry, start) in entries.iter().zip(starts) {
        assert!(entry.starts_with(start), "{entry}, not {start}");
    }
    assert!(entries[0].ends_with("ada"), "{}", entries[0]);
}
