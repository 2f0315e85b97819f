//! What a client is told, to the byte, and what the handler sees.

use super::{NOW, authorizer, claims, clock, key_set, signers, source, token, with_token};
use crate::support::{Strict, assert_service, get, run, through};
use axum::{Extension, Router, body::Body, routing::any};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use std::{convert::Infallible, time::Duration};
use tower::{Layer, ServiceExt, service_fn};
use tower_gateway::{
    context::{ApiKind, RequestContext, RequestContextLayer},
    jwt::{
        CognitoAuthorizer, CognitoAuthorizerLayer, JwkSet, JwkSource, JwtAuthorizer, JwtAuthorizerLayer,
        JwtError, JwtVerifier, TokenRefusal, UserPool,
    },
    response::{Cause, GatewayError},
    route::{ApiMethod, Authorization, Routes},
};

const POOL: &str = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Ab12Cd34E";

fn jwt_layer() -> JwtAuthorizerLayer {
    let (_, clock) = clock();
    JwtAuthorizerLayer::new("accounts", authorizer(source(), clock).build().unwrap())
}

struct Answer {
    status: u16,
    challenge: Option<String>,
    body: String,
    cause: Option<Cause>,
    error: Option<JwtError>,
}

fn ask<L>(layer: L, request: Request<Full<Bytes>>) -> Answer
where
    L: Layer<Strict>,
    L::Service: tower::Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = Infallible>,
{
    let (response, calls) = run(through(layer, request));
    let status = response.status().as_u16();
    assert_eq!(calls, usize::from(status == 200));
    let challenge = response.headers().get("www-authenticate");
    Answer {
        status,
        challenge: challenge.map(|value| value.to_str().unwrap().to_owned()),
        cause: response.extensions().get::<GatewayError>().map(GatewayError::cause),
        error: response.extensions().get::<TokenRefusal>().and_then(TokenRefusal::error),
        body: String::from_utf8(response.into_body().to_vec()).unwrap(),
    }
}

fn assert_unauthorized(answer: &Answer, challenge: &str, cause: Cause) {
    assert_eq!((answer.status, answer.challenge.as_deref()), (401, Some(challenge)));
    assert_eq!((answer.body.as_str(), answer.cause), (r#"{"message":"Unauthorized"}"#, Some(cause)));
}

/// J1 to J8 of the conformance list, but for the ones that `keys` has.
#[test]
fn http_apis_answer_as_recorded() {
    assert_unauthorized(&ask(jwt_layer(), get("/")), "Bearer", Cause::IdentityMissing);
    let expired = token(&json!({"exp": NOW}));
    let scoped = jwt_layer().scopes(["a", "b"]);
    let text = r#"Bearer scope="a b" error="invalid_token" error_description="the token has expired""#;
    assert_unauthorized(&ask(scoped.clone(), with_token("/", &expired)), text, Cause::TokenExpired);
    let unscoped = ask(scoped.clone(), with_token("/", &token(&json!({"scope": "c ab"}))));
    let text = r#"Bearer scope="a b" error="insufficient_scope" error_description="expected scopes: [a b]""#;
    assert_eq!((unscoped.status, unscoped.challenge.as_deref()), (403, Some(text)));
    assert_eq!(
        (unscoped.body.as_str(), unscoped.cause),
        (r#"{"message":"Forbidden"}"#, Some(Cause::TokenScope))
    );
    for (changes, status) in [
        (json!({"scope": "x b"}), 200),
        (json!({"scp": ["a"]}), 200),
        (json!({"aud": null, "client_id": "client-1", "scope": "a"}), 200),
        (json!({"aud": "other", "client_id": "client-1", "scope": "a"}), 401),
    ] {
        assert_eq!(ask(scoped.clone(), with_token("/", &token(&changes))).status, status, "{changes}");
    }
}

#[test]
fn every_refusal_says_what_was_wrong() {
    let es256 = "eyJhbGciOiJFUzI1NiIsImtpZCI6Im9uZSJ9.e30.AA";
    let other_key = signers()[1].clone().named("one").sign(&claims(&json!({})));
    let cases = [
        (token(&json!({"aud": "other"})), "the token does not have a valid audience", Cause::TokenAudience),
        (
            token(&json!({"iss": "https://issuer.example/"})),
            "the token does not have a valid issuer",
            Cause::TokenIssuer,
        ),
        (token(&json!({"nbf": NOW + 1})), "the token is not valid yet", Cause::TokenNotYetValid),
        (token(&json!({"iat": NOW + 1})), "token used before issued", Cause::TokenNotYetValid),
        ("abc".to_owned(), "token contains an invalid number of segments", Cause::TokenMalformed),
        (es256.to_owned(), "signing method ES256 is invalid", Cause::TokenAlgorithm),
        (
            signers()[1].sign(&claims(&json!({}))),
            "unable to find a signing key that matches 'kid'",
            Cause::TokenKeyUnknown,
        ),
        (other_key, "signature is invalid", Cause::TokenSignature),
        ("a.b.c".to_owned(), "token is malformed", Cause::TokenMalformed),
        ("a".repeat(20_000), "token is too long", Cause::TokenMalformed),
    ];
    for (token, description, cause) in cases {
        let text = format!(r#"Bearer scope="" error="invalid_token" error_description="{description}""#);
        let answer = ask(jwt_layer(), with_token("/", &token));
        assert_unauthorized(&answer, &text, cause);
        assert_eq!(answer.error.unwrap().description(), description);
    }
}

#[test]
fn tokens_come_bare_or_after_bearer_and_once() {
    let good = token(&json!({}));
    for value in [good.clone(), format!("Bearer {good}"), format!("bEARER {good}")] {
        let request = Request::builder().header("authorization", value).body(Full::default()).unwrap();
        assert_eq!(ask(jwt_layer(), request).status, 200);
    }
    let mut twice = with_token("/", &good);
    twice.headers_mut().append("authorization", good.parse().unwrap());
    let text = r#"Bearer scope="" error="invalid_token" error_description="more than one token""#;
    assert_unauthorized(&ask(jwt_layer(), twice), text, Cause::TokenRepeated);
    let (_, clock) = clock();
    let by_query =
        authorizer(source(), clock).identity_source("$request.querystring.access_token").build().unwrap();
    let layer = JwtAuthorizerLayer::new("accounts", by_query);
    assert_eq!(ask(layer.clone(), get(&format!("/?access_token={good}"))).status, 200);
    assert_eq!(
        ask(layer.clone(), get(&format!("/?access_token={good}&access%5Ftoken=x"))).cause,
        Some(Cause::TokenRepeated)
    );
    assert_eq!(ask(layer, with_token("/", &good)).cause, Some(Cause::IdentityMissing));
}

async fn variables(request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
    assert!(request.headers()["authorization"].is_sensitive());
    let context = RequestContext::of(request.extensions()).unwrap();
    let names =
        ["principalId", "claims.sub", "claims.aud", "claims.exp", "claims.groups", "claims.none", "claims"];
    let variable = |name| context.variable(&format!("authorizer.{name}")).map(|value| value.into_owned());
    let values: Vec<Option<String>> = names.into_iter().map(variable).collect();
    let scopes: Vec<&str> = context.authorizer().unwrap().scopes().collect();
    let text = json!({"values": values, "scopes": scopes, "principal": context.principal().unwrap().id()});
    Ok(Response::new(Full::from(text.to_string())))
}

fn seen<L>(layer: &L, token: &str) -> Value
where
    L: Layer<tower::util::ServiceFn<fn(Request<Full<Bytes>>) -> Handled>>,
    L::Service: tower::Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = Infallible>,
{
    let handler: fn(Request<Full<Bytes>>) -> Handled = |request| Box::pin(variables(request));
    let answer = run(layer.layer(service_fn(handler)).oneshot(with_token("/", token))).unwrap();
    assert_eq!(answer.status(), 200);
    serde_json::from_slice(&run(answer.into_body().collect()).unwrap().to_bytes()).unwrap()
}

type Handled = futures_util::future::BoxFuture<'static, Result<Response<Full<Bytes>>, Infallible>>;

/// Two callers in turn, and again from the cache: each sees their own.
#[test]
fn the_context_shows_each_caller_their_own_claims() {
    let layer = jwt_layer();
    for _ in 0..3 {
        for caller in ["ada", "bob"] {
            let token = token(
                &json!({"sub": caller, "aud": ["client-1", "x"], "groups": ["g", caller], "scope": format!("s {caller}")}),
            );
            let seen = seen(&layer, &token);
            let exp = (NOW + 3600).to_string();
            let groups = format!("[g {caller}]");
            assert_eq!(seen["values"], json!([caller, caller, "[client-1 x]", exp, groups, null, null]));
            assert_eq!((&seen["scopes"], &seen["principal"]), (&json!(["s", caller]), &json!(caller)));
        }
    }
}

#[test]
fn the_error_is_in_the_context_for_logs() {
    let outer = RequestContextLayer::new().api_kind(ApiKind::Http);
    let seen = std::sync::Arc::new(std::sync::Mutex::new(None));
    let keep = std::sync::Arc::clone(&seen);
    let service = outer.layer(tower::util::MapRequest::new(
        jwt_layer().layer(Strict::default()),
        move |request: Request<Full<Bytes>>| {
            *keep.lock().unwrap() = RequestContext::of(request.extensions()).cloned();
            request
        },
    ));
    run(service.oneshot(with_token("/", &token(&json!({"exp": 1}))))).unwrap();
    let context = seen.lock().unwrap().take().unwrap();
    assert_eq!(context.variable("authorizer.error").as_deref(), Some("the token has expired"));
    assert_eq!(context.variable("error.message").as_deref(), Some("Unauthorized"));
    assert!(context.authorizer().is_none() && context.principal().is_none());
}

#[test]
fn methods_say_which_authorizer_and_which_scopes() {
    let (_, clock) = clock();
    let accounts = authorizer(source(), clock.clone()).build().unwrap();
    let staff = JwtVerifier::builder("https://staff.example").audience("staff").build().unwrap();
    let staff = JwtAuthorizer::builder(staff, source()).clock(clock).build().unwrap();
    let jwt = |name: &str| ApiMethod::new().authorization(Authorization::jwt(name));
    let routes = Routes::builder()
        .method("/open", Method::GET, ApiMethod::new())
        .method("/lambda", Method::GET, ApiMethod::new().authorization(Authorization::custom("f")))
        .method("/me", Method::GET, jwt("accounts"))
        .method("/admin", Method::GET, jwt("accounts").authorization_scopes(["admin"]))
        .method("/staff", Method::GET, jwt("staff"))
        .method("/nobody", Method::GET, jwt("nobody"))
        .build()
        .unwrap();
    let layer = JwtAuthorizerLayer::new("accounts", accounts).authorizer("staff", staff.clone()).unwrap();
    let twice = layer.clone().authorizer("accounts", staff).unwrap_err();
    assert_eq!((twice.location(), twice.value()), ("authorizer name", "accounts"));
    let layer = layer.routes(&routes);
    let user = token(&json!({}));
    let admin = token(&json!({"scope": "admin"}));
    let member = token(&json!({"iss": "https://staff.example", "aud": "staff"}));
    for (path, token, status) in [
        ("/open", "", 200),
        ("/lambda", "", 200),
        ("/me", "", 401),
        ("/me", &user, 200),
        ("/me", &member, 401),
        ("/admin", &user, 403),
        ("/admin", &admin, 200),
        ("/staff", &user, 401),
        ("/staff", &member, 200),
        ("/nobody", &user, 500),
        ("/undeclared", "", 401),
        ("/undeclared", &user, 200),
    ] {
        let request = if token.is_empty() { get(path) } else { with_token(path, token) };
        assert_eq!(ask(layer.clone(), request).status, status, "{path} {token}");
    }
    let unknown = ask(layer, with_token("/nobody", &user));
    assert_eq!((unknown.cause, unknown.challenge), (Some(Cause::AuthorizerUnknown), None));
}

fn pool() -> CognitoAuthorizer {
    cognito().build().unwrap()
}

fn cognito() -> tower_gateway::jwt::CognitoAuthorizerBuilder {
    let (_, clock) = clock();
    let two = JwkSource::fixed(JwkSet::from_json(&key_set(&[&signers()[1]])).unwrap());
    CognitoAuthorizer::builder()
        .user_pool(UserPool::new("eu-west-1", "eu-west-1_Ab12Cd34E").unwrap(), source())
        .user_pool(UserPool::at("http://localhost:9229/local").unwrap(), two)
        .clock(clock)
}

fn cognito_claims(token_use: &str, changes: &Value) -> Value {
    let mut base = json!({"iss": POOL, "token_use": token_use});
    if token_use == "access" {
        base["aud"] = Value::Null;
        base["client_id"] = "client-1".into();
    }
    for (name, value) in changes.as_object().unwrap() {
        base[name] = value.clone();
    }
    claims(&base)
}

fn cognito_token(token_use: &str, changes: &Value) -> String {
    signers()[0].sign(&cognito_claims(token_use, changes))
}

/// C1 to C3 of the conformance list, and the rest of the table.
#[test]
fn rest_apis_answer_as_recorded() {
    let open = CognitoAuthorizerLayer::new("pool", pool());
    let scoped = open.clone().scopes(["pets/read", "pets/write"]);
    let unauthorized = r#"{"message":"Unauthorized"}"#;
    let read = json!({"scope": "openid pets/read"});
    for (layer, token, expected) in [
        (&open, cognito_token("id", &json!({})), None),
        (&open, cognito_token("access", &read), Some(Cause::TokenUse)),
        (&scoped, cognito_token("access", &read), None),
        (&scoped, cognito_token("access", &json!({"scope": "openid"})), Some(Cause::TokenScope)),
        (&scoped, cognito_token("id", &read), Some(Cause::TokenUse)),
        (&open, token(&json!({"token_use": "id"})), Some(Cause::TokenIssuer)),
        (&open, cognito_token("id", &json!({"token_use": null})), Some(Cause::TokenUse)),
        (&open, "a.b".to_owned(), Some(Cause::TokenMalformed)),
    ] {
        let answer = ask(layer.clone(), with_token("/", &token));
        assert_eq!((answer.cause, answer.challenge), (expected, None), "{token}");
        let status = if expected.is_some() { 401 } else { 200 };
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (status, if status == 200 { "inner" } else { unauthorized })
        );
    }
    let expired = ask(open.clone(), with_token("/", &cognito_token("id", &json!({"exp": NOW}))));
    assert_eq!(
        (expired.status, expired.body.as_str()),
        (401, r#"{"message":"The incoming token has expired"}"#)
    );
    let (response, _) = run(through(open.clone(), get("/")));
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-amzn-errortype"]),
        (401, &"UnauthorizedException".parse::<http::HeaderValue>().unwrap())
    );
    // "Expired" is told to holders of a genuine token alone.
    let forged = signers()[1].clone().named("one").sign(&cognito_claims("id", &json!({"exp": NOW})));
    assert_eq!(ask(open, with_token("/", &forged)).body, unauthorized);
}

#[test]
fn each_pool_vouches_with_its_own_keys() {
    let layer = CognitoAuthorizerLayer::new("pool", pool());
    let local = json!({"iss": "http://localhost:9229/local"});
    let by_two = signers()[1].sign(&cognito_claims("id", &local));
    assert_eq!(ask(layer.clone(), with_token("/", &by_two)).status, 200);
    let by_one = signers()[0].sign(&cognito_claims("id", &local));
    assert_eq!(ask(layer.clone(), with_token("/", &by_one)).cause, Some(Cause::TokenKeyUnknown));
    let renamed = signers()[0].clone().named("two").sign(&cognito_claims("id", &local));
    assert_eq!(ask(layer, with_token("/", &renamed)).cause, Some(Cause::TokenSignature));
}

#[test]
fn pools_can_be_narrowed_to_app_clients() {
    let by_expression = cognito().identity_validation_expression("client-[0-9]").build().unwrap();
    let by_id = cognito().client_id("client-1").client_id("client-2").build().unwrap();
    let asked = |authorizer: &CognitoAuthorizer, token_use: &str, changes: Value| {
        let layer = CognitoAuthorizerLayer::new("pool", authorizer.clone());
        let layer = if token_use == "id" { layer } else { layer.scopes(["s"]) };
        ask(layer, with_token("/", &cognito_token(token_use, &changes))).cause
    };
    for authorizer in [&by_expression, &by_id] {
        assert_eq!(asked(authorizer, "id", json!({})), None);
        for aud in ["client-x", "xclient-1", "client-11"] {
            assert_eq!(asked(authorizer, "id", json!({"aud": aud})), Some(Cause::TokenAudience), "{aud}");
        }
    }
    assert_eq!(
        asked(&by_expression, "access", json!({"scope": "s"})),
        Some(Cause::TokenAudience),
        "as on AWS"
    );
    assert_eq!(asked(&by_id, "access", json!({"scope": "s"})), None);
    assert_eq!(asked(&by_id, "access", json!({"scope": "s", "client_id": "x"})), Some(Cause::TokenAudience));
}

#[test]
fn rest_claims_are_texts_as_the_proxy_event_has_them() {
    let token = cognito_token("id", &json!({"groups": ["a", "b"]}));
    let seen = seen(&CognitoAuthorizerLayer::new("pool", pool()), &token);
    let exp = "Fri Jan 15 09:00:00 UTC 2027";
    assert_eq!(seen["values"], json!(["ada", "ada", "client-1", exp, "a,b", null, null]));
}

#[test]
fn settings_that_cannot_work_are_errors_with_their_value() {
    let (_, clock) = clock();
    let location =
        |error: tower_gateway::ConfigError| (error.location().to_owned(), error.value().to_owned());
    let build = |builder: tower_gateway::jwt::JwtVerifierBuilder| location(builder.build().unwrap_err()).0;
    assert_eq!(build(JwtVerifier::builder("")), "JWT issuer");
    assert_eq!(build(JwtVerifier::builder("i")), "JWT audience");
    assert_eq!(
        build((0..51).fold(JwtVerifier::builder("i"), |builder, n| builder.audience(n.to_string()))),
        "JWT audience"
    );
    let base = || JwtVerifier::builder("i").audience("a");
    use tower_gateway::jwt::Algorithm::{Hs256, Rs256};
    assert_eq!(build(base().algorithms([])), "JWT algorithms");
    assert_eq!(build(base().algorithms([Hs256, Rs256])), "JWT algorithms");
    assert_eq!(build(base().leeway(Duration::from_secs(301))), "JWT leeway");
    assert_eq!(build(base().max_token_bytes(65_536)), "JWT max_token_bytes");
    let source_error = authorizer(source(), clock).identity_source("$request.path.x").build().unwrap_err();
    assert_eq!(location(source_error), ("identity source".to_owned(), "$request.path.x".to_owned()));
    assert_eq!(location(CognitoAuthorizer::builder().build().unwrap_err()).0, "Cognito authorizer");
    let twice = cognito().user_pool(UserPool::at(POOL).unwrap(), source()).build().unwrap_err();
    assert_eq!(location(twice), ("user pool".to_owned(), POOL.to_owned()));
    assert!(cognito().identity_source("$request.querystring.x").build().is_err());
    assert!(cognito().identity_validation_expression("(").build().is_err());
    for (region, id) in [
        ("eu-west-1", "us-east-1_x"),
        ("eu-west-1", "eu-west-1_"),
        ("eu-west-1", "eu-west-1_a/b"),
        ("", "_x"),
    ] {
        assert!(UserPool::new(region, id).is_err(), "{region} {id}");
    }
    let arn = "arn:aws:cognito-idp:eu-west-1:111122223333:userpool/eu-west-1_Ab12Cd34E";
    assert_eq!(UserPool::from_arn(arn).unwrap().issuer(), POOL);
    for (arn, issuer) in [
        (
            "arn:aws-us-gov:cognito-idp:us-gov-west-1:1:userpool/us-gov-west-1_x",
            "https://cognito-idp.us-gov-west-1.amazonaws.com/us-gov-west-1_x",
        ),
        (
            "arn:aws-cn:cognito-idp:cn-north-1:1:userpool/cn-north-1_x",
            "https://cognito-idp.cn-north-1.amazonaws.com.cn/cn-north-1_x",
        ),
    ] {
        assert_eq!(UserPool::from_arn(arn).unwrap().issuer(), issuer);
    }
    for arn in [
        "arn:aws:cognito-idp:eu-west-1:1:other/x",
        "arn:aws:cognito-idp:cn-north-1:1:userpool/cn-north-1_x",
        "arn:aws-cn:cognito-idp:eu-west-1:1:userpool/eu-west-1_x",
        "arn:aws-x:cognito-idp:eu-west-1:1:userpool/eu-west-1_x",
    ] {
        assert!(UserPool::from_arn(arn).is_err(), "{arn}");
    }
}

async fn whose(Extension(context): Extension<RequestContext>) -> String {
    context.principal().map(|principal| principal.id().to_owned()).unwrap_or_default()
}

#[test]
fn under_axum_on_several_routes_two_callers_never_mix() {
    let app = Router::new().route("/pets", any(whose)).route("/pets/{id}", any(whose)).layer(jwt_layer());
    let tokens = [("ada", token(&json!({"sub": "ada"}))), ("bob", token(&json!({"sub": "bob"})))];
    run(async {
        for round in 0..20 {
            for (name, token) in &tokens {
                let path = if round % 2 == 0 { "/pets" } else { "/pets/7" };
                let request = Request::get(path).header("authorization", token).body(Body::empty()).unwrap();
                let answer = app.clone().oneshot(request).await.unwrap();
                assert_eq!(answer.status(), 200);
                assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), *name);
            }
            let anonymous = Request::get("/pets").body(Body::empty()).unwrap();
            assert_eq!(app.clone().oneshot(anonymous).await.unwrap().status(), 401);
        }
    });
    assert_service(&jwt_layer().layer(Strict::default()));
}
