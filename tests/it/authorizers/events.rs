//! Events as functions get them, member by member against samples from AWS's own projects; functions behind the
//! Lambda Invoke API.

use super::{Calls, ask, cause, with_token};
use crate::support::{get, left_out, run, through, vectors};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex, atomic::Ordering::SeqCst},
    time::Duration,
};
use tower::{ServiceBuilder, service_fn};
use tower_gateway::{
    authorizer::{
        Authorizer, AuthorizerAnswer, AuthorizerEvent, AuthorizerFn, AuthorizerLayer, LambdaInvoke,
        PayloadFormat, authorizer_fn,
    },
    context::PeerAddr,
    policy::ExecuteApi,
    response::Cause,
    route::{ApiMethod, Authorization, Routes},
    stage::{Deployment, Stage, StageRouter, Stages},
};

type Seen = Arc<Mutex<Option<AuthorizerEvent>>>;

/// Sends one request to `GET /request/{id}` of stage `test` and gives back the event that it led to.
fn event_of(build: impl FnOnce(Seen) -> Authorizer) -> AuthorizerEvent {
    let seen = Seen::default();
    let authorizer = build(Arc::clone(&seen));
    let method = ApiMethod::new().authorization(Authorization::custom(authorizer.name()));
    let routes = Routes::builder().method("/request/{id}", Method::GET, method).build().unwrap();
    let stages = Stages::builder()
        .deployment(Deployment::new("v1", routes))
        .stage(Stage::new("test", "v1").variable("StageVar1", "stageValue1"))
        .build()
        .unwrap();
    let layer = AuthorizerLayer::new(authorizer)
        .api(ExecuteApi::new("us-east-1", "123456789012", "abcdef123").unwrap());
    let stack = ServiceBuilder::new().layer(StageRouter::new(stages)).layer(layer);
    let request = Request::get("/test/request/a%2Fb?QueryString1=old&QueryString1=queryValue1&q=x%20y")
        .header("host", "abcdef123.execute-api.us-east-1.amazonaws.com:443")
        .header("headerauth1", "headerValue1")
        .header("authorization", "incoming-client-token")
        .header("user-agent", "curl/8")
        .header("accept", "text/html")
        .header("accept", "*/*")
        .header("cookie", "c1=a; c2=b")
        .extension(PeerAddr("192.0.2.7:4711".parse().unwrap()))
        .body(Full::<Bytes>::default())
        .unwrap();
    let (response, _) = run(through(stack.into_inner(), request));
    assert_eq!(response.status(), 200);
    seen.lock().unwrap().take().unwrap()
}

/// A function that keeps its event and lets everybody in.
fn keeping(
    seen: Seen,
) -> AuthorizerFn<
    impl FnMut(AuthorizerEvent) -> std::future::Ready<Result<AuthorizerAnswer, Infallible>> + Clone,
> {
    authorizer_fn(move |event: AuthorizerEvent| {
        *seen.lock().unwrap() = Some(event);
        std::future::ready(Ok(AuthorizerAnswer::allow("ada", ["*"])))
    })
}

const REST_SOURCES: [&str; 3] = [
    "method.request.header.HeaderAuth1",
    "method.request.querystring.QueryString1",
    "stageVariables.StageVar1",
];

const ARN: &str = "arn:aws:execute-api:us-east-1:123456789012:abcdef123/test/GET/request/a%2Fb";

fn read(event: &AuthorizerEvent) -> Value {
    serde_json::from_str(&event.to_json()).unwrap()
}

#[test]
fn a_token_event_has_three_members() {
    let event = event_of(|seen| Authorizer::token("pets", keeping(seen)).build().unwrap());
    let expected = json!({"type": "TOKEN", "authorizationToken": "incoming-client-token", "methodArn": ARN});
    assert_eq!(read(&event), expected);
    assert_eq!((event.event_type(), event.authorization_token()), ("TOKEN", "incoming-client-token"));
    assert_eq!((event.headers().len(), event.path(), event.query_parameter("q")), (0, "", None));
    assert!(!format!("{event:?}").contains("incoming"), "{event:?}");
    assert_same_members("sam--ApiGatewayAuthorizer", &read(&event));
}

#[test]
fn a_rest_request_event() {
    let build =
        |seen| Authorizer::request("pets", keeping(seen)).identity_sources(REST_SOURCES).build().unwrap();
    let event = event_of(build);
    let read = read(&event);
    assert_eq!(read["type"], "REQUEST");
    assert_eq!(read["methodArn"], ARN);
    assert_eq!((&read["resource"], &read["path"]), (&json!("/request/{id}"), &json!("/request/a%2Fb")));
    assert_eq!(read["headers"]["Authorization"], "incoming-client-token");
    assert_eq!(read["headers"]["accept"], "*/*", "the last of two");
    assert_eq!(read["multiValueHeaders"]["accept"], json!(["text/html", "*/*"]));
    assert_eq!(read["queryStringParameters"], json!({"QueryString1": "queryValue1", "q": "x y"}));
    assert_eq!(read["multiValueQueryStringParameters"]["QueryString1"], json!(["old", "queryValue1"]));
    assert_eq!(read["pathParameters"], json!({"id": "a%2Fb"}));
    assert_eq!(read["stageVariables"], json!({"StageVar1": "stageValue1"}));
    let context = &read["requestContext"];
    assert_eq!((&context["stage"], &context["path"]), (&json!("test"), &json!("/test/request/a%2Fb")));
    assert_eq!((&context["apiId"], &context["accountId"]), (&json!("abcdef123"), &json!("123456789012")));
    assert_eq!(context["domainName"], "abcdef123.execute-api.us-east-1.amazonaws.com");
    assert_eq!(context["domainPrefix"], "abcdef123");
    assert_eq!(context["identity"], json!({"sourceIp": "192.0.2.7", "userAgent": "curl/8"}));
    assert_eq!(event.identity().collect::<Vec<_>>(), ["headerValue1", "queryValue1", "stageValue1"]);
    assert_eq!(
        (event.header("user-agent"), event.query_parameter("q").as_deref()),
        (Some("curl/8"), Some("x y"))
    );
    assert_same_members("sam--ApiGatewayRestRequestAuthorizer", &read);
}

#[test]
fn an_http_event_1_0() {
    let event = event_of(|seen| {
        let builder = Authorizer::http_request("pets", PayloadFormat::V1, keeping(seen));
        builder.identity_sources(["$request.header.HeaderAuth1, $stageVariables.StageVar1"]).build().unwrap()
    });
    let read = read(&event);
    assert_eq!(read["version"], "1.0");
    assert_eq!(read["identitySource"], "headerValue1,stageValue1");
    assert_eq!(read["authorizationToken"], "headerValue1,stageValue1");
    assert_eq!(read["requestContext"]["resourceId"], "GET /request/{id}");
    assert!(read.get("multiValueHeaders").is_none());
    for sample in
        ["go--apigw-v2-custom-authorizer-v1-request", "rust--example-apigw-v2-custom-authorizer-v1-request"]
    {
        assert_same_members(sample, &read);
    }
}

#[test]
fn an_http_event_2_0() {
    let event = event_of(|seen| {
        let builder = Authorizer::http_request("pets", PayloadFormat::V2, keeping(seen));
        let sources =
            ["$request.header.HeaderAuth1", "$request.querystring.QueryString1", "$context.routeKey"];
        builder.identity_sources(sources).build().unwrap()
    });
    let read = read(&event);
    assert_eq!((&read["version"], &read["routeArn"]), (&json!("2.0"), &json!(ARN)));
    assert_eq!(read["identitySource"], json!(["headerValue1", "old,queryValue1", "GET /request/{id}"]));
    assert_eq!(
        (&read["routeKey"], &read["rawPath"]),
        (&json!("GET /request/{id}"), &json!("/test/request/a/b"))
    );
    assert_eq!(read["rawQueryString"], "QueryString1=old&QueryString1=queryValue1&q=x%20y");
    assert_eq!(read["cookies"], json!(["c1=a", "c2=b"]));
    assert_eq!(read["headers"]["accept"], "text/html,*/*");
    assert!(read["headers"].get("cookie").is_none());
    assert_eq!(read["queryStringParameters"], json!({"QueryString1": "old,queryValue1", "q": "x y"}));
    assert_eq!(read["pathParameters"], json!({"id": "a/b"}));
    assert_eq!(read["requestContext"]["http"]["sourceIp"], "192.0.2.7");
    assert_eq!(read["requestContext"]["authentication"], Value::Null);
    for sample in [
        "java--apigw_auth_v2",
        "powertools--apiGatewayAuthorizerV2Event",
        "rust--example-apigw-v2-custom-authorizer-v2-request-without-cookies",
    ] {
        assert_same_members(sample, &read);
    }
}

/// Every member of the sample is a member of ours, of the same JSON type. Left out are names that belong to a request
/// and not to the event, what only a client certificate or a required key brings, and what one sample has added by
/// hand to a 1.0 event.
fn assert_same_members(sample: &str, ours: &Value) {
    let Some(sample) = vectors(&format!("lambda-events/authorizer-request/{sample}.json")) else { return };
    compare("", &sample, ours);
}

fn compare(path: &str, sample: &Value, ours: &Value) {
    const OF_THE_REQUEST: [&str; 6] = [
        "headers",
        "queryStringParameters",
        "pathParameters",
        "stageVariables",
        "cookies",
        "multiValueHeaders",
    ];
    const OPTIONAL: [&str; 3] = ["clientCert", "apiKey", "authentication"];
    let Value::Object(members) = sample else {
        let kind = |value: &Value| std::mem::discriminant(value);
        assert_eq!(kind(sample), kind(ours), "{path}: {sample} {ours}");
        return;
    };
    let version_1 = ours.get("resourcePath").is_some();
    for (name, value) in members {
        let by_hand = version_1 && ["http", "routeKey", "time", "timeEpoch"].contains(&name.as_str());
        if OPTIONAL.contains(&name.as_str()) || by_hand {
            continue;
        }
        let path = format!("{path}.{name}");
        let own = ours.get(name).unwrap_or_else(|| panic!("{path} is missing"));
        if OF_THE_REQUEST.contains(&name.as_str()) {
            assert_eq!(value.is_array(), own.is_array(), "{path}");
        } else {
            compare(&path, value, own);
        }
    }
}

/// The answers of AWS's projects; two are hand-edited placeholders (`Allow|Deny`, `"aws:SourceIp": "xxx"`) and must
/// be refused as what they are.
#[test]
fn sample_answers_are_read() {
    let cases = [
        ("go--apigw-custom-auth-response", false),
        ("rust--example-apigw-custom-auth-response-with-condition", true),
        ("rust--example-apigw-custom-auth-response-with-single-value-action", true),
    ];
    for (sample, well_formed) in cases {
        let Some(answer) = vectors(&format!("lambda-events/response/{sample}.json")) else { return };
        let text = answer.to_string();
        let function = authorizer_fn(move |_| {
            let text = text.clone();
            async move { Ok::<_, Infallible>(AuthorizerAnswer::from_json(text)) }
        });
        let layer = AuthorizerLayer::new(Authorizer::token("pets", function).build().unwrap());
        let (response, _) = run(through(layer, with_token("/pets", "ada")));
        let expected = if well_formed { 403 } else { 500 };
        assert_eq!(response.status(), expected, "{sample}: {:?}", cause(&response));
    }
}

/// Authorizers as OpenAPI documents describe them: every Lambda-style one can be built as it stands.
#[test]
fn authorizers_of_openapi_documents_can_be_built() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors/openapi-aws");
    let Ok(files) = std::fs::read_dir(&folder) else {
        return left_out("no ../shared/vectors/openapi-aws here");
    };
    let mut built = 0;
    for file in files {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let document: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let mut found = Vec::new();
        collect(&document, &mut found);
        built += found.iter().filter(|authorizer| build(authorizer, &path)).count();
    }
    assert!(built >= 8, "{built}");
}

fn collect<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("x-amazon-apigateway-authorizer"));
            members.values().for_each(|member| collect(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        _ => {}
    }
}

fn build(authorizer: &Value, path: &std::path::Path) -> bool {
    let function = authorizer_fn(|_| async { Err::<AuthorizerAnswer, _>("never called") });
    let text = |name: &str| authorizer[name].as_str();
    let format = &authorizer["authorizerPayloadFormatVersion"];
    let builder = match (text("type"), format) {
        (Some("token"), _) => Authorizer::token("a", function),
        (Some("request"), Value::Null) => Authorizer::request("a", function),
        (Some("request"), version) if version == "2.0" => {
            Authorizer::http_request("a", PayloadFormat::V2, function)
        }
        (Some("request"), _) => Authorizer::http_request("a", PayloadFormat::V1, function),
        _ => return false,
    };
    let builder = match &authorizer["identitySource"] {
        Value::String(sources) => builder.identity_sources([sources]),
        Value::Array(sources) => builder.identity_sources(sources.iter().filter_map(Value::as_str)),
        _ => builder,
    };
    let expression = text("identityValidationExpression").filter(|text| !text.contains("${"));
    let builder = match expression {
        Some(expression) => builder.identity_validation_expression(expression),
        None => builder,
    };
    let builder = match authorizer["authorizerResultTtlInSeconds"].as_u64() {
        Some(seconds) => builder.ttl(Duration::from_secs(seconds)),
        None if authorizer["identitySource"].is_null() && text("type") == Some("request") => {
            builder.ttl(Duration::ZERO)
        }
        None => builder,
    };
    builder.build().unwrap_or_else(|error| panic!("{}: {error} {authorizer}", path.display()));
    true
}

type InvokeAnswer = Result<(u16, Option<&'static str>, Bytes), &'static str>;

/// A function behind the Invoke API, served by a client that answers by token.
fn invoked(answer: fn(&str) -> InvokeAnswer) -> (AuthorizerLayer, Calls) {
    let calls = Calls::default();
    let counted = calls.clone();
    let client = service_fn(move |request: Request<Full<Bytes>>| {
        counted.0.fetch_add(1, SeqCst);
        async move {
            assert_eq!(request.method(), Method::POST);
            let arn = "arn:aws:lambda:eu-west-1:111122223333:function:pets:live";
            let uri = format!("http://127.0.0.1:9001/base/2015-03-31/functions/{arn}/invocations");
            assert_eq!(request.uri().to_string(), uri);
            assert_eq!(request.headers()["x-amz-invocation-type"], "RequestResponse");
            assert_eq!(request.headers()["content-type"], "application/json");
            let event = request.into_body().collect().await.unwrap().to_bytes();
            let event: Value = serde_json::from_slice(&event).unwrap();
            let (status, error, body) = answer(event["authorizationToken"].as_str().unwrap())?;
            let mut response = Response::new(Full::<Bytes>::from(body));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            if let Some(error) = error {
                response.headers_mut().insert("x-amz-function-error", error.parse().unwrap());
            }
            Ok::<_, &'static str>(response)
        }
    });
    let arn = "arn:aws:lambda:eu-west-1:111122223333:function:pets:live";
    let function = LambdaInvoke::new(client, &"http://127.0.0.1:9001/base/".parse().unwrap(), arn).unwrap();
    (AuthorizerLayer::new(Authorizer::token("pets", function).build().unwrap()), calls)
}

fn allowing(principal: &str) -> Bytes {
    json!({
        "principalId": principal,
        "policyDocument": {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"}]},
        "context": {"plan": "gold"},
    })
    .to_string()
    .into()
}

#[test]
fn functions_behind_the_invoke_api() {
    let (layer, calls) = invoked(|token| match token {
        "ada" => Ok((200, None, allowing("ada"))),
        "bob" => Ok((200, None, allowing("bob"))),
        "unauthorized" => {
            Ok((200, Some("Unhandled"), br#"{"errorMessage":"Unauthorized","errorType":"Error"}"#[..].into()))
        }
        "handled" => Ok((200, Some("Handled"), br#"{"errorMessage":"Unauthorized"}"#[..].into())),
        "thrown" => Ok((200, Some("Unhandled"), br#"{"errorMessage":"boom"}"#[..].into())),
        "textless" => Ok((200, Some("Unhandled"), b"oops"[..].into())),
        // The header alone makes it an error, whatever the body looks like.
        "disguised" => Ok((200, Some("Unhandled"), allowing("eve"))),
        "forbidden" => Ok((403, None, allowing("eve"))),
        "huge" => Ok((200, None, vec![b' '; 1 << 20].into())),
        "gone" => Err("connection refused"),
        _ => Ok((200, None, b"null"[..].into())),
    });
    run(async {
        assert_eq!(ask(&layer, with_token("/", "ada")).await, (200, "ada gold".to_owned()));
        assert_eq!(ask(&layer, with_token("/", "bob")).await, (200, "bob gold".to_owned()));
        for (token, status, expected) in [
            ("unauthorized", 401, Cause::AuthorizerUnauthorized),
            ("handled", 401, Cause::AuthorizerUnauthorized),
            ("thrown", 500, Cause::AuthorizerFailed),
            ("textless", 500, Cause::AuthorizerFailed),
            ("disguised", 500, Cause::AuthorizerFailed),
            ("forbidden", 500, Cause::AuthorizerFailed),
            ("gone", 500, Cause::AuthorizerFailed),
            ("huge", 500, Cause::AuthorizerMalformed),
            ("anything", 500, Cause::AuthorizerMalformed),
        ] {
            let (response, served) = through(layer.clone(), with_token("/", token)).await;
            assert_eq!(
                (response.status().as_u16(), cause(&response), served),
                (status, Some(expected), 0),
                "{token}"
            );
        }
        assert_eq!(ask(&layer, with_token("/", "ada")).await.1, "ada gold");
    });
    assert_eq!(calls.count(), 11);
}

#[test]
fn what_is_no_function_is_named() {
    let client = || {
        service_fn(|_: Request<Full<Bytes>>| async {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        })
    };
    for (endpoint, function, location) in [
        ("http://127.0.0.1:9001", "", "Lambda function"),
        ("http://127.0.0.1:9001", "a/../b", "Lambda function"),
        ("http://127.0.0.1:9001", "a?x", "Lambda function"),
        ("/relative", "pets", "Lambda endpoint"),
        ("http://127.0.0.1:9001/?x=1", "pets", "Lambda endpoint"),
    ] {
        let error =
            LambdaInvoke::<_, Full<Bytes>>::new(client(), &endpoint.parse().unwrap(), function).unwrap_err();
        assert_eq!(error.location(), location, "{endpoint} {function}");
    }
}

/// Over a real connection, with hyper's client.
#[test]
fn a_function_on_the_network() {
    use axum::{Json, Router, extract::Path, response::IntoResponse, routing::post};
    use hyper_util::{client::legacy::Client, rt::TokioExecutor};
    async fn invoke(Path(name): Path<String>, Json(event): Json<Value>) -> axum::response::Response {
        assert_eq!(name, "pets");
        match event["authorizationToken"].as_str() {
            Some(token @ ("ada" | "bob")) => allowing(token).into_response(),
            _ => {
                let thrown = json!({"errorMessage": "Unauthorized"});
                ([("X-Amz-Function-Error", "Unhandled")], Json(thrown)).into_response()
            }
        }
    }
    run(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let lambda = Router::new().route("/2015-03-31/functions/{name}/invocations", post(invoke));
        let server = tokio::spawn(async move { axum::serve(listener, lambda).await });
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let function = LambdaInvoke::new(client, &endpoint.parse().unwrap(), "pets").unwrap();
        let layer = AuthorizerLayer::new(Authorizer::token("pets", function).build().unwrap());
        assert_eq!(ask(&layer, with_token("/", "ada")).await, (200, "ada gold".to_owned()));
        assert_eq!(ask(&layer, with_token("/", "bob")).await, (200, "bob gold".to_owned()));
        assert_eq!(through(layer.clone(), with_token("/", "eve")).await.0.status(), 401);
        server.abort();
        let _stopped = server.await;
        assert_eq!(through(layer.clone(), with_token("/", "eve")).await.0.status(), 500);
        assert_eq!(ask(&layer, with_token("/", "ada")).await.1, "ada gold", "known callers go on");
    });
}

#[test]
fn a_tower_service_is_a_function_too() {
    let service = service_fn(|event: AuthorizerEvent| async move {
        match event.authorization_token() {
            "ada" => Ok(AuthorizerAnswer::allow("ada", ["*"])),
            _ => Err::<_, tower::BoxError>("Unauthorized".into()),
        }
    });
    let mapped = ServiceBuilder::new().map_err(tower::BoxError::from).service(service);
    let layer = AuthorizerLayer::new(Authorizer::token("pets", mapped).build().unwrap());
    assert_eq!(run(ask(&layer, with_token("/", "ada"))).1, "ada ");
    assert_eq!(run(through(layer.clone(), with_token("/", "bob"))).0.status(), 401);
    assert_eq!(run(through(layer, get("/"))).0.status(), 401);
}
