//! The layer among others: stages, axum, hyper, keys and plans, gateway responses; and what it costs.

use super::{BROKEN, Calls, UNAUTHORIZED, answer, assert_refused, cause, token_authorizer, with_token};
use crate::support::{Strict, assert_service, get, run, through, vectors};
use axum::{Extension, Router, body::Body, routing::any};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use std::{convert::Infallible, sync::atomic::Ordering::SeqCst, time::Duration};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_gateway::{
    api_key::{ApiKey, ApiKeyLayer, ApiKeySource, ApiKeys},
    authorizer::{Authorizer, AuthorizerAnswer, AuthorizerEvent, AuthorizerLayer, authorizer_fn},
    context::{RequestContext, RequestContextLayer},
    response::{Cause, GatewayResponse, GatewayResponseLayer, GatewayResponses, ResponseType},
    route::{ApiMethod, Authorization, Routes},
    stage::{StageRouter, Stages},
    throttle::Throttle,
    usage_plan::{UsagePlan, UsagePlanLayer, UsagePlans},
};

const GOLD: &str = "gold-0123456789abcdefghij";
const BASIC: &str = "basic-0123456789abcdefghij";

fn pets_layer(calls: &Calls) -> AuthorizerLayer {
    AuthorizerLayer::new(token_authorizer(calls).build().unwrap())
}

fn pets_and_open() -> Routes {
    let custom = |name: &str| ApiMethod::new().authorization(Authorization::custom(name));
    Routes::builder()
        .method("/pets/{id}", Method::GET, custom("pets"))
        .method("/open", Method::GET, ApiMethod::new())
        .method("/typo", Method::GET, custom("pest"))
        .method("/jwt", Method::GET, ApiMethod::new().authorization(Authorization::jwt("pets")))
        .build()
        .unwrap()
}

#[test]
fn each_method_says_who_authorizes_it() {
    let calls = Calls::default();
    let alone = pets_layer(&calls).routes(&pets_and_open());
    let staged = ServiceBuilder::new()
        .layer(StageRouter::new(Stages::single("prod", pets_and_open()).unwrap()))
        .layer(pets_layer(&calls));
    let ask = |path: &str, token: &str| {
        let one = run(through(alone.clone(), with_token(path, token))).0;
        let other = run(through(staged.clone().into_inner(), with_token(&format!("/prod{path}"), token))).0;
        assert_eq!((one.status(), cause(&one)), (other.status(), cause(&other)), "{path} {token}");
        one
    };
    assert_eq!(ask("/pets/7", "ada").status(), 200);
    assert_eq!(ask("/pets/7", "bob").status(), 200);
    assert_refused(&ask("/pets/7", "unauthorized"), UNAUTHORIZED, Cause::AuthorizerUnauthorized);
    for path in ["/open", "/jwt"] {
        assert_eq!(ask(path, "unauthorized").status(), 200, "{path} is not this layer's business");
    }
    assert_refused(&ask("/typo", "ada"), BROKEN, Cause::AuthorizerUnknown);
    let (response, _) = run(through(alone, with_token("/forgotten", "unauthorized")));
    assert_refused(&response, UNAUTHORIZED, Cause::AuthorizerUnauthorized);
}

/// An outer layer has matched against a table that knows nothing of authorizers.
#[test]
fn a_foreign_table_opens_no_door() {
    let foreign = Routes::builder().any("/{proxy+}", ApiMethod::new()).build().unwrap();
    let timeout = tower_gateway::timeout::TimeoutLayer::default().routes(&foreign);
    let stack =
        tower::layer::util::Stack::new(pets_layer(&Calls::default()).routes(&pets_and_open()), timeout);
    for (path, status) in [("/pets/7", 401), ("/open", 200), ("/forgotten", 401)] {
        let (response, _) = run(through(stack.clone(), with_token(path, "unauthorized")));
        assert_eq!(response.status(), status, "{path}");
    }
    let (response, _) = run(through(stack, with_token("/pets/7", "ada")));
    assert_eq!(response.status(), 200);
}

async fn whose(Extension(context): Extension<RequestContext>) -> String {
    let plan = context.variable("authorizer.plan").unwrap_or_default().into_owned();
    format!("{} {plan}", context.principal().map(|principal| principal.id()).unwrap_or_default())
}

#[test]
fn under_axum_on_several_routes_two_callers_never_mix() {
    let calls = Calls::default();
    let layer = pets_layer(&calls);
    assert_service(&layer.layer(Strict::default()));
    let app = Router::new().route("/pets", any(whose)).route("/pets/{id}", any(whose)).layer(layer);
    run(async {
        for round in 0..20 {
            for (token, expected) in [("ada", "ada gold"), ("bob", "bob basic")] {
                let path = if round % 2 == 0 { "/pets" } else { "/pets/7" };
                let request = Request::get(path).header("authorization", token).body(Body::empty()).unwrap();
                let answer = app.clone().oneshot(request).await.unwrap();
                assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), expected);
            }
        }
        let nobody = app.clone().oneshot(Request::get("/pets").body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(nobody.status(), 401);
    });
    assert_eq!(calls.count(), 2);
}

#[test]
fn under_plain_hyper() {
    use hyper_util::{
        client::legacy::Client,
        rt::{TokioExecutor, TokioIo},
        service::TowerToHyperService,
    };
    run(async {
        let service = pets_layer(&Calls::default()).layer(service_fn(
            |request: Request<hyper::body::Incoming>| async move {
                let context = RequestContext::of(request.extensions()).unwrap();
                let id = context.principal().unwrap().id().to_owned();
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(id)))
            },
        ));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let service = TowerToHyperService::new(service.clone());
                let http = hyper::server::conn::http1::Builder::new();
                tokio::spawn(async move { http.serve_connection(TokioIo::new(stream), service).await });
            }
        });
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        for (token, status, body) in
            [("ada", 200, "ada"), ("bob", 200, "bob"), ("unauthorized", 401, r#"{"message":"Unauthorized"}"#)]
        {
            let request = Request::get(format!("http://{address}/pets")).header("authorization", token);
            let answer = client.request(request.body(Full::default()).unwrap()).await.unwrap();
            assert_eq!(answer.status(), status);
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), body);
        }
        server.abort();
    });
}

#[test]
fn errors_of_the_service_pass_through() {
    let failing =
        service_fn(|_: Request<Full<Bytes>>| async { Err::<Response<Full<Bytes>>, _>("the service's own") });
    let service = pets_layer(&Calls::default()).layer(failing);
    for _uncached_then_cached in 0..2 {
        let error = run(service.clone().oneshot(with_token("/pets", "ada"))).unwrap_err();
        assert_eq!(error, "the service's own");
    }
    assert_eq!(run(service.oneshot(with_token("/pets", "unauthorized"))).unwrap().status(), 401);
}

/// An authorizer that also says which API key a caller's plan is kept under.
fn keyed_authorizer() -> Authorizer {
    let function = authorizer_fn(|event: AuthorizerEvent| async move {
        let token = event.authorization_token().to_owned();
        let answer = answer(&token, &event)?;
        Ok::<_, &'static str>(match token.as_str() {
            "ada" => answer.usage_identifier_key(GOLD),
            "bob" => answer.usage_identifier_key(BASIC),
            "unknown" => {
                AuthorizerAnswer::allow("eve", ["*"]).usage_identifier_key("nobody-0123456789abcdefghij")
            }
            _ => AuthorizerAnswer::allow("eve", ["*"]),
        })
    });
    Authorizer::token("pets", function).build().unwrap()
}

#[test]
fn the_usage_identifier_key_reaches_the_api_key_layer() {
    let keys = ApiKeys::builder()
        .key(ApiKey::new("gold").value(GOLD))
        .key(ApiKey::new("basic").value(BASIC))
        .build()
        .unwrap();
    let service = ServiceBuilder::new()
        .layer(AuthorizerLayer::new(keyed_authorizer()))
        .layer(ApiKeyLayer::new(keys).source(ApiKeySource::Authorizer))
        .service(service_fn(|request: Request<Full<Bytes>>| async move {
            let context = RequestContext::of(request.extensions()).unwrap();
            let text = format!("{} {}", context.principal().unwrap().id(), context.api_key().unwrap().id());
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(text)))
        }));
    run(async {
        for _uncached_then_cached in 0..2 {
            for (token, status, expected) in [
                ("ada", 200, "ada gold"),
                ("bob", 200, "bob basic"),
                ("unknown", 403, r#"{"message":"Forbidden"}"#),
                ("keyless", 403, r#"{"message":"Forbidden"}"#),
            ] {
                let mut request = with_token("/pets", token);
                request.headers_mut().insert("x-api-key", HeaderValue::from_static(GOLD));
                let answer = service.clone().oneshot(request).await.unwrap();
                assert_eq!(answer.status(), status, "{token}: the header is ignored");
                assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), expected);
            }
        }
    });
}

#[test]
fn plans_are_charged_by_principal() {
    let one = UsagePlan::new("one").throttle(Throttle::new(0.1, 1).unwrap());
    let plans = UsagePlans::builder().plan(one).build().unwrap();
    let service = ServiceBuilder::new()
        .layer(pets_layer(&Calls::default()))
        .layer(UsagePlanLayer::new(plans).plan_by_principal(|_| Some("one".to_owned())))
        .service(Strict::default());
    for (token, status) in [("ada", 200), ("ada", 429), ("bob", 200), ("bob", 429), ("deny", 403)] {
        let answer = run(service.clone().oneshot(with_token("/pets", token))).unwrap();
        assert_eq!(answer.status(), status, "{token}");
    }
}

/// The trick of the developer guide: the authorizer explains its denial through a gateway response.
#[test]
fn a_gateway_response_can_show_what_the_authorizer_said() {
    let denied = GatewayResponse::new()
        .header("x-who", "context.authorizer.principalId")
        .template("application/json", r#"{"why":"$context.authorizer.reason"}"#);
    let responses = GatewayResponses::new().with(ResponseType::AccessDenied, &denied).unwrap();
    let stack = ServiceBuilder::new()
        .layer(RequestContextLayer::new())
        .layer(GatewayResponseLayer::new(responses))
        .layer(pets_layer(&Calls::default()));
    let (response, served) = run(through(stack.clone().into_inner(), with_token("/pets", "deny")));
    assert_eq!((response.status().as_u16(), served), (403, 0));
    assert_eq!(&response.body()[..], br#"{"why":"not paid"}"#);
    assert_eq!(response.headers()["x-who"], "bob");
    let (response, _) = run(through(stack.into_inner(), with_token("/pets", "silent")));
    assert_eq!(
        (&response.body()[..], &response.headers()["x-who"]),
        (&br#"{"why":""}"#[..], &HeaderValue::from_static("ada"))
    );
}

/// Recorded: `DEFAULT_5XX` customised to 599 changes AUTHORIZER_CONFIGURATION_ERROR, and AUTHORIZER_FAILURE, which got
/// a response of its own without a status, is back at 500.
#[test]
fn recorded_gateway_responses_of_authorizer_errors() {
    let Some(recorded) = vectors("apigateway-recorded/snapshots/test_apigateway_api.json") else { return };
    let items = find(&recorded, "get-gateway-responses").iter().find_map(|found| {
        let items = found["items"].as_array()?;
        items.iter().any(|item| item["statusCode"] == "599").then_some(items)
    });
    let items = items.unwrap();
    let item = |kind: &str| items.iter().find(|item| item["responseType"] == kind).unwrap();
    let families = GatewayResponse::new().status(599);
    let own = GatewayResponse::new().header("foo", "'bar'");
    let responses = GatewayResponses::new()
        .with(ResponseType::Default5xx, &families)
        .and_then(|responses| responses.with(ResponseType::AuthorizerFailure, &own))
        .unwrap();
    let clock = tower_gateway::clock::ManualClock::at_unix_seconds(0);
    let never = authorizer_fn(|event: AuthorizerEvent| async move {
        match event.authorization_token() {
            "ada" => std::future::pending::<Result<AuthorizerAnswer, &'static str>>().await,
            _ => Err("boom"),
        }
    });
    let authorizer = Authorizer::token("pets", never).clock(clock.clock()).build().unwrap();
    let stack = ServiceBuilder::new()
        .layer(RequestContextLayer::new())
        .layer(GatewayResponseLayer::new(responses))
        .layer(AuthorizerLayer::new(authorizer));
    let broken = run(through(stack.clone().into_inner(), with_token("/", "bob"))).0;
    let expected = &item("AUTHORIZER_CONFIGURATION_ERROR")["statusCode"];
    assert_eq!(expected.as_str(), Some(broken.status().as_str()));
    let asked = through(stack.into_inner(), with_token("/", "ada"));
    let ring = async {
        super::settle().await;
        clock.advance(Duration::from_secs(10));
    };
    let ((failed, _), ()) = run(futures_util::future::join(asked, ring));
    let expected = item("AUTHORIZER_FAILURE");
    assert_eq!(expected["statusCode"].as_str(), Some(failed.status().as_str()));
    assert_eq!(expected["responseParameters"]["gatewayresponse.header.foo"], "'bar'");
    assert_eq!(failed.headers()["foo"], "bar");
}

fn find<'a>(value: &'a serde_json::Value, name: &str) -> Vec<&'a serde_json::Value> {
    let mut found = Vec::new();
    match value {
        serde_json::Value::Object(members) => {
            found.extend(members.get(name));
            members.values().for_each(|member| found.extend(find(member, name)));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| found.extend(find(item, name))),
        _ => {}
    }
    found
}

#[test]
fn logs_see_the_call_and_its_error() {
    let seen = std::sync::Arc::new(std::sync::Mutex::new(None));
    let keep = std::sync::Arc::clone(&seen);
    let layer = pets_layer(&Calls::default());
    let outside = RequestContextLayer::new().layer(tower::util::MapRequest::new(
        layer.layer(Strict::default()),
        move |request: Request<Full<Bytes>>| {
            *keep.lock().unwrap() = RequestContext::of(request.extensions()).cloned();
            request
        },
    ));
    let variables = |token: &str, names: [&str; 4]| {
        run(outside.clone().oneshot(with_token("/", token))).unwrap();
        let context = seen.lock().unwrap().take().unwrap();
        names.map(|name| context.variable(name).map(std::borrow::Cow::into_owned))
    };
    let names =
        ["authorizer.status", "authorizer.error", "authorizer.integrationStatus", "authorizer.principalId"];
    let texts = |values: [&str; 4]| values.map(|value| (!value.is_empty()).then(|| value.to_owned()));
    assert_eq!(variables("ada", names), texts(["200", "", "200", "ada"]));
    assert_eq!(variables("ada", names), texts(["200", "", "", "ada"]), "from the cache");
    assert_eq!(variables("bob", names), texts(["200", "", "200", "bob"]));
    assert_eq!(variables("broken", names), texts(["500", "boom", "200", ""]));
    assert_eq!(variables("unauthorized", names), texts(["401", "Unauthorized", "200", ""]));
    assert_eq!(variables("deny", names), texts(["200", "", "200", "bob"]));
}

/// A service without any cost of its own.
#[derive(Clone, Debug)]
struct Nothing;

impl<B> Service<Request<B>> for Nothing {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        std::future::ready(Ok(Response::new(Full::default())))
    }
}

/// Allocations of one call, after one that has filled the cache.
fn allocations<L>(layer: &L, token: &str) -> u64
where
    L: Layer<Nothing>,
    L::Service: Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = Infallible>,
{
    let request = || {
        let mut request = get("/pets/7");
        // A field as a server makes it: a part of a shared buffer.
        let value = HeaderValue::from_maybe_shared(Bytes::from(token.to_owned())).unwrap();
        let _shared = value.clone();
        request.headers_mut().insert("authorization", value);
        request
    };
    let mut service = layer.layer(Nothing);
    let (warm, counted) = (request(), request());
    run(service.call(warm)).unwrap();
    let count = allocation_counter::measure(|| {
        let answer = futures_util::FutureExt::now_or_never(service.call(counted)).unwrap().unwrap();
        assert_eq!(answer.status(), 200);
    });
    count.count_total
}

#[test]
fn a_cached_answer_allocates_nothing() {
    let calls = Calls::default();
    let floor = allocations(&RequestContextLayer::new(), "ada");
    for token in ["ada", "bob"] {
        assert_eq!(allocations(&pets_layer(&calls), token), floor, "{token}");
    }
    let validated = token_authorizer(&calls).identity_validation_expression("[a-z]+").build().unwrap();
    assert_eq!(allocations(&AuthorizerLayer::new(validated), "ada"), floor);
    let called = calls.count();
    assert_eq!(called, 3, "the second request of each was a hit");
    let keyed = AuthorizerLayer::new(keyed_authorizer());
    assert_eq!(allocations(&keyed, "ada"), floor + 1, "the key's place in the extensions");
    assert_eq!(calls.0.load(SeqCst), called);
}

/// A layer between the context and the authorizer may change the method: what is called is what is judged.
#[test]
fn the_method_that_reaches_the_service_is_judged() {
    let calls = Calls::default();
    let deleting = |mut request: Request<Full<Bytes>>| {
        *request.method_mut() = Method::DELETE;
        request
    };
    let stack = ServiceBuilder::new()
        .layer(RequestContextLayer::new())
        .map_request(deleting)
        .layer(pets_layer(&calls))
        .service(service_fn(|_: Request<Full<Bytes>>| async {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("deleted")))
        }));
    for _ in 0..2 {
        let refused = run(stack.clone().oneshot(with_token("/pets/7", "ada"))).unwrap();
        assert_eq!(refused.status(), 403, "ada may GET only");
    }
}
