//! The resource policy and every kind of authorizer in the assembled gateway: who asks whom, and in which order.

mod closed;
mod conformance;
#[cfg(feature = "admin")]
mod explained;
mod keys;
#[cfg(feature = "tracing")]
mod logged;
mod order;
mod private;
#[cfg(feature = "tracing")]
mod traced;
#[cfg(feature = "tracing")]
mod variables;
mod waiting;

use crate::{
    jwt::{NOW, authorizer, claims, clock, signers, source, token, with_token},
    sigv4::support::{Signer, api, credentials},
    support::{get, run},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::json;
use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_gateway::{
    GatewayBody,
    api_key::{ApiKey, ApiKeys},
    authorizer::{Authorizer, AuthorizerAnswer, AuthorizerEvent, AuthorizerLayer, authorizer_fn},
    context::RequestContext,
    cors::{Cors, CorsLayer},
    gateway::{Gateway, GatewayBuilder},
    jwt::{CognitoAuthorizer, CognitoAuthorizerLayer, JwtAuthorizerLayer, UserPool},
    response::{Cause, GatewayError},
    route::{ApiMethod, Authorization, Routes},
    sigv4::{MemoryCredentialsStore, SigV4AuthBuilder, SigV4AuthLayer, SignatureRequirement},
    stage::Stages,
};

const POOL: &str = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Ab12Cd34E";
const KINDS: [&str; 4] = ["signed", "custom", "jwt", "pool"];
const GOLD: &str = "gold-0123456789abcdefghij";
const BASIC: &str = "basic-0123456789abcdefghij";

/// What was asked, in its order.
#[derive(Clone, Default)]
struct Record(Arc<Mutex<Vec<String>>>);

impl Record {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

fn authorization(kind: &str) -> Authorization {
    match kind {
        "signed" => Authorization::AwsIam,
        "custom" => Authorization::custom("custom"),
        "jwt" => Authorization::jwt("jwt"),
        "pool" => Authorization::cognito_user_pools("pool"),
        _ => Authorization::None,
    }
}

/// Of each kind two methods, the one below `/keyed` with an API key on top.
fn routes() -> Routes {
    let mut routes = Routes::builder();
    for kind in KINDS.into_iter().chain(["open"]) {
        let method = || ApiMethod::new().authorization(authorization(kind));
        let keyed = method().api_key_required(true);
        routes = routes
            .method(&format!("/{kind}"), Method::GET, method())
            .method(&format!("/{kind}"), Method::POST, method())
            .method(&format!("/keyed/{kind}"), Method::GET, keyed);
    }
    routes.build().unwrap()
}

fn stages() -> Stages {
    Stages::single("prod", routes()).unwrap()
}

fn signatures() -> SigV4AuthBuilder {
    let store = MemoryCredentialsStore::new([credentials("AKIDADA", "ada"), credentials("AKIDBOB", "bob")]);
    SigV4AuthLayer::builder(store, api()).require(SignatureRequirement::PerMethod).clock(clock().1)
}

/// Ada has the gold key, Bob the basic one; nobody else gets in.
fn judge(token: &str) -> Result<AuthorizerAnswer, &'static str> {
    Ok(match token {
        "ada" => AuthorizerAnswer::allow("ada", ["*"]).usage_identifier_key(GOLD),
        "bob" => AuthorizerAnswer::allow("bob", ["*"]).usage_identifier_key(BASIC),
        "keyless" => AuthorizerAnswer::allow("eve", ["*"]),
        "silent" => AuthorizerAnswer::allow("ada", ["arn:aws:execute-api:*:*:*/*/PUT/*"]),
        "deny" => AuthorizerAnswer::deny("bob", ["*"]).context("reason", "not paid"),
        _ => return Err("Unauthorized"),
    })
}

/// One that nobody listens to.
fn authorizer_named(name: &str) -> Authorizer {
    let function = authorizer_fn(|event: AuthorizerEvent| async move { judge(event.authorization_token()) });
    Authorizer::token(name, function).clock(clock().1).build().unwrap()
}

fn custom(record: &Record) -> AuthorizerLayer {
    let record = record.clone();
    let function = authorizer_fn(move |event: AuthorizerEvent| {
        record.note("authorizer");
        async move { judge(event.authorization_token()) }
    });
    AuthorizerLayer::new(Authorizer::token("custom", function).clock(clock().1).build().unwrap()).api(api())
}

fn jwt() -> JwtAuthorizerLayer {
    JwtAuthorizerLayer::new("jwt", authorizer(source(), clock().1).build().unwrap())
}

fn pool() -> CognitoAuthorizerLayer {
    let pool = UserPool::new("eu-west-1", "eu-west-1_Ab12Cd34E").unwrap();
    let authorizer = CognitoAuthorizer::builder().user_pool(pool, source()).clock(clock().1);
    CognitoAuthorizerLayer::new("pool", authorizer.build().unwrap())
}

fn cors() -> CorsLayer {
    Cors::new().allow_origins(["https://shop.example"]).allow_methods(["GET", "POST"]).build().unwrap()
}

fn keys() -> ApiKeys {
    let (gold, basic) = (ApiKey::new("gold").value(GOLD), ApiKey::new("basic").value(BASIC));
    ApiKeys::builder().key(gold).key(basic).build().unwrap()
}

/// All kinds of authorizers and two keys, but no plan, and no methods yet: [`stages`], or routes of a test's own.
fn authorized(record: &Record) -> GatewayBuilder {
    let builder = Gateway::builder().clock(clock().1).cors(cors());
    builder
        .sigv4(signatures().build().unwrap())
        .authorizer(custom(record))
        .jwt_authorizer(jwt())
        .cognito_authorizer(pool())
        .api_keys(keys())
}

/// A GET with the good credentials of `who` of one kind.
fn request(kind: &str, who: &str, path: &str) -> Request<Full<Bytes>> {
    match kind {
        "signed" => {
            let key = if who == "ada" { "AKIDADA" } else { "AKIDBOB" };
            Signer { key, time: NOW, ..Signer::default() }.sign("GET", path, "")
        }
        "custom" => with_field(get(path), "authorization", who),
        "jwt" => with_token(path, &token(&json!({"sub": who}))),
        "pool" => {
            let changes = json!({"sub": who, "iss": POOL, "token_use": "id"});
            with_token(path, &signers()[0].sign(&claims(&changes)))
        }
        _ => get(path),
    }
}

fn with_field(mut request: Request<Full<Bytes>>, name: &'static str, value: &str) -> Request<Full<Bytes>> {
    request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
    request
}

/// Answers who is calling, with which key.
async fn whose(request: Request<GatewayBody<Full<Bytes>>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let context = RequestContext::of(request.extensions()).unwrap();
    let principal = context.principal().map_or("-", |principal| principal.id());
    let key = context.api_key().map_or("-", |key| key.id());
    Ok(Response::new(Full::from(format!("{principal} {key}"))))
}

#[derive(Debug)]
struct Answer {
    status: u16,
    cause: Option<Cause>,
    body: String,
    headers: HeaderMap,
}

async fn ask<S>(service: &S, request: Request<Full<Bytes>>) -> Answer
where
    S: Service<Request<Full<Bytes>>, Response = Response<GatewayBody<Full<Bytes>>>, Error = Infallible>
        + Clone,
{
    let response = service.clone().oneshot(request).await.unwrap();
    let cause = response.extensions().get::<GatewayError>().map(GatewayError::cause);
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    Answer { status: parts.status.as_u16(), cause, body, headers: parts.headers }
}

#[test]
fn each_method_is_served_by_its_own_kind_for_two_callers() {
    let gateway = authorized(&Record::default()).stages(stages()).build().unwrap();
    let service = gateway.layer(service_fn(whose));
    run(async {
        for wanted in KINDS {
            let path = format!("/prod/{wanted}");
            for sent in KINDS {
                // The second round meets what the first has left in caches.
                for who in ["ada", "bob", "ada", "bob"] {
                    let answer = ask(&service, request(sent, who, &path)).await;
                    let expected = match sent {
                        "signed" => format!("arn:aws:iam::111122223333:user/{who} -"),
                        _ => format!("{who} -"),
                    };
                    if sent == wanted {
                        assert_eq!((answer.status, answer.body), (200, expected), "{wanted}");
                    } else {
                        let status = if wanted == "signed" { 403 } else { 401 };
                        assert_eq!(answer.status, status, "{sent} where {wanted} is asked: {answer:?}");
                        assert!(answer.cause.is_some());
                    }
                }
            }
        }
        for sent in KINDS.into_iter().chain(["nothing"]) {
            let answer = ask(&service, request(sent, "ada", "/prod/open")).await;
            assert_eq!((answer.status, answer.body.as_str()), (200, "- -"), "{sent}: nobody is asked");
        }
    });
}

#[test]
fn without_credentials_each_kind_refuses_in_its_own_words() {
    let service = authorized(&Record::default()).stages(stages()).build().unwrap().layer(service_fn(whose));
    let unauthorized = r#"{"message":"Unauthorized"}"#;
    run(async {
        for (kind, status, cause, body, challenge) in [
            ("signed", 403, Cause::SignatureMissing, r#"{"message":"Missing Authentication Token"}"#, None),
            ("custom", 401, Cause::IdentityMissing, unauthorized, None),
            ("jwt", 401, Cause::IdentityMissing, unauthorized, Some("Bearer")),
            ("pool", 401, Cause::IdentityMissing, unauthorized, None),
        ] {
            let answer = ask(&service, get(&format!("/prod/{kind}"))).await;
            assert_eq!((answer.status, answer.cause, answer.body.as_str()), (status, Some(cause), body));
            let sent = answer.headers.get("www-authenticate").map(|value| value.to_str().unwrap());
            assert_eq!(sent, challenge, "{kind}");
            assert_eq!(answer.headers["x-amzn-requestid"].len(), 36, "{kind}");
        }
    });
}

#[test]
fn a_preflight_needs_no_credentials_and_refusals_can_be_read_by_browsers() {
    let record = Record::default();
    let service = authorized(&record).stages(stages()).build().unwrap().layer(service_fn(whose));
    let from_shop = |request| with_field(request, "origin", "https://shop.example");
    run(async {
        for kind in KINDS {
            let path = format!("/prod/{kind}");
            let mut preflight = from_shop(with_field(get(&path), "access-control-request-method", "GET"));
            *preflight.method_mut() = Method::OPTIONS;
            let answer = ask(&service, preflight).await;
            assert_eq!((answer.status, answer.cause), (204, None), "{kind}");
            assert_eq!(answer.headers["access-control-allow-methods"], "GET,POST", "{kind}");
            // An OPTIONS that is no preflight passes nobody by.
            let mut options = from_shop(get(&path));
            *options.method_mut() = Method::OPTIONS;
            assert_eq!(ask(&service, options).await.cause, Some(Cause::NoRoute), "{kind}");
            for refused in [get(&path), with_field(get(&path), "authorization", "nonsense")] {
                let answer = ask(&service, from_shop(refused)).await;
                assert!(matches!(answer.status, 401 | 403), "{kind}: {answer:?}");
                assert_eq!(answer.headers["access-control-allow-origin"], "https://shop.example", "{kind}");
            }
        }
    });
    assert_eq!(record.take(), ["authorizer"], "only `nonsense` was worth a call");
}
