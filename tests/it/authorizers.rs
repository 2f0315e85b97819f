//! Lambda-style authorizers at the door: who passes, what the others are told, and what the service gets to know.

mod cache;
mod events;
mod flight;
mod hostile;
mod memo;
mod stack;

use crate::support::{get, run, through};
use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tower::{Layer, ServiceExt, service_fn};
use tower_gateway::{
    authorizer::{
        Authorizer, AuthorizerAnswer, AuthorizerBuilder, AuthorizerEvent, AuthorizerLayer, PayloadFormat,
        authorizer_fn,
    },
    context::{ApiKind, RequestContext, RequestContextLayer},
    policy::{AccessDenial, DenialWording, ExecuteApi},
    resource_policy::ResourcePolicy,
    response::{Cause, GatewayError, ResponseType},
};

/// How often a function was called.
#[derive(Clone, Default)]
struct Calls(Arc<AtomicUsize>);

impl Calls {
    fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

/// Two callers, `ada` and `bob`, with a plan each, and every other way to answer.
fn answer(token: &str, event: &AuthorizerEvent) -> Result<AuthorizerAnswer, &'static str> {
    Ok(match token {
        "ada" => {
            AuthorizerAnswer::allow("ada", ["arn:aws:execute-api:*:*:*/*/GET/*"]).context("plan", "gold")
        }
        "bob" => {
            AuthorizerAnswer::allow("bob", ["arn:aws:execute-api:*:*:*/*/GET/*"]).context("plan", "basic")
        }
        "here" => AuthorizerAnswer::allow("ada", [event.method_arn()]),
        "deny" => AuthorizerAnswer::deny("bob", ["*"]).context("reason", "not paid"),
        "silent" => AuthorizerAnswer::allow("ada", ["arn:aws:execute-api:*:*:*/*/PUT/*"]),
        "unauthorized" => return Err("Unauthorized"),
        "lower" => return Err("unauthorized"),
        "broken" => return Err("boom"),
        "nested" => AuthorizerAnswer::from_json(
            r#"{"principalId":"ada","policyDocument":{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
                "Action":"*","Resource":"*"}]},"context":{"a":{"b":1}}}"#,
        ),
        other => AuthorizerAnswer::from_json(format!("\"{other}\"")),
    })
}

fn token_authorizer(calls: &Calls) -> AuthorizerBuilder {
    let calls = calls.clone();
    Authorizer::token(
        "pets",
        authorizer_fn(move |event: AuthorizerEvent| {
            calls.0.fetch_add(1, SeqCst);
            async move { answer(event.authorization_token(), &event) }
        }),
    )
}

fn with_token(path: &str, token: &str) -> Request<Full<Bytes>> {
    let mut request = get(path);
    request.headers_mut().insert("authorization", HeaderValue::from_bytes(token.as_bytes()).unwrap());
    request
}

/// Lets the other futures and tasks of this runtime get as far as they can.
async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

fn cause(response: &Response<Bytes>) -> Option<Cause> {
    response.extensions().get::<GatewayError>().map(GatewayError::cause)
}

/// Answers who is calling.
async fn whoami(request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let context = RequestContext::of(request.extensions()).unwrap();
    let known = context.authorizer().unwrap();
    assert_eq!(context.principal().map(|principal| principal.id()), known.principal_id());
    let plan = known.value("plan").map(|plan| plan.as_str().to_owned());
    assert_eq!(context.variable("authorizer.plan").as_deref(), plan.as_deref());
    let text = format!("{} {}", known.principal_id().unwrap_or("-"), plan.unwrap_or_default());
    Ok(Response::new(Full::from(text)))
}

/// Runs one request through `layer` to [`whoami`].
async fn ask(layer: &AuthorizerLayer, request: Request<Full<Bytes>>) -> (u16, String) {
    let answer = layer.layer(service_fn(whoami)).oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    (status, String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

/// Status, error type and body of a REST API's refusal, to the byte, and nothing else in its headers.
fn assert_refused(response: &Response<Bytes>, expected: (u16, &str, &str), cause_of_it: Cause) {
    let (status, error_type, body) = expected;
    assert_eq!(response.status().as_u16(), status, "{cause_of_it:?}");
    assert_eq!(&response.body()[..], body.as_bytes(), "{cause_of_it:?}");
    let headers: Vec<_> = response.headers().iter().map(|(name, value)| (name.as_str(), value)).collect();
    assert_eq!(headers.len(), 2, "{headers:?}");
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["x-amzn-errortype"], error_type);
    assert_eq!(cause(response), Some(cause_of_it));
}

const UNAUTHORIZED: (u16, &str, &str) = (401, "UnauthorizedException", r#"{"message":"Unauthorized"}"#);
const BROKEN: (u16, &str, &str) = (500, "AuthorizerConfigurationException", r#"{"message":null}"#);
const EXPLICIT: (u16, &str, &str) = (
    403,
    "AccessDeniedException",
    r#"{"Message":"User is not authorized to access this resource with an explicit deny"}"#,
);
const IMPLICIT: (u16, &str, &str) =
    (403, "AccessDeniedException", r#"{"Message":"User is not authorized to access this resource"}"#);

#[test]
fn two_callers_pass_as_themselves() {
    let calls = Calls::default();
    let layer = AuthorizerLayer::new(token_authorizer(&calls).build().unwrap());
    run(async {
        for _ in 0..3 {
            assert_eq!(ask(&layer, with_token("/pets", "ada")).await, (200, "ada gold".to_owned()));
            assert_eq!(ask(&layer, with_token("/pets", "bob")).await, (200, "bob basic".to_owned()));
        }
    });
    assert_eq!(calls.count(), 2, "one call for each");
}

#[test]
fn refusals_of_a_rest_api_to_the_byte() {
    let cases = [
        ("unauthorized", UNAUTHORIZED, Cause::AuthorizerUnauthorized),
        ("lower", BROKEN, Cause::AuthorizerFailed),
        ("broken", BROKEN, Cause::AuthorizerFailed),
        ("nested", BROKEN, Cause::AuthorizerMalformed),
        ("anything else", BROKEN, Cause::AuthorizerMalformed),
        ("deny", EXPLICIT, Cause::AuthorizerExplicitDeny),
        ("silent", IMPLICIT, Cause::AuthorizerImplicitDeny),
    ];
    for (token, expected, cause) in cases {
        let calls = Calls::default();
        let layer = AuthorizerLayer::new(token_authorizer(&calls).build().unwrap());
        for asked in 1..=2 {
            let (response, served) = run(through(layer.clone(), with_token("/pets", token)));
            assert_refused(&response, expected, cause);
            let cached = matches!(token, "deny" | "silent");
            assert_eq!((served, calls.count()), (0, if cached { 1 } else { asked }), "{token}");
        }
        let (response, served) = run(through(layer, with_token("/pets", "ada")));
        assert_eq!((response.status().as_u16(), served), (200, 1), "nobody else is affected by {token}");
    }
    assert_eq!(EXPLICIT.2.len(), 82, "as captured");
}

#[test]
fn a_missing_identity_is_401_without_a_call() {
    let calls = Calls::default();
    let layer = AuthorizerLayer::new(token_authorizer(&calls).build().unwrap());
    for request in [get("/pets"), with_token("/pets", ""), with_token("/pets", " ")] {
        let (response, served) = run(through(layer.clone(), request));
        assert_refused(&response, UNAUTHORIZED, Cause::IdentityMissing);
        assert_eq!((served, calls.count()), (0, 0));
    }
}

#[test]
fn the_validation_expression_is_about_the_whole_token() {
    let calls = Calls::default();
    let authorizer =
        token_authorizer(&calls).identity_validation_expression("^x-[a-z]+|ada").build().unwrap();
    let layer = AuthorizerLayer::new(authorizer);
    for token in ["x-abc1", "x-", "ada ", "adaada", "bob", "x-a\nx"] {
        let request = match HeaderValue::from_bytes(token.as_bytes()) {
            Ok(_) => with_token("/pets", token),
            Err(_) => continue,
        };
        let (response, _) = run(through(layer.clone(), request));
        assert_refused(&response, UNAUTHORIZED, Cause::IdentityMalformed);
    }
    assert_eq!(calls.count(), 0);
    let (response, _) = run(through(layer.clone(), with_token("/pets", "ada")));
    assert_eq!((response.status().as_u16(), calls.count()), (200, 1));
    let (response, _) = run(through(layer, with_token("/pets", "x-abc")));
    assert_eq!((cause(&response), calls.count()), (Some(Cause::AuthorizerMalformed), 2));
}

#[test]
fn a_cached_policy_is_judged_anew_for_every_method_and_path() {
    for (ttl, count) in [(300, 1), (0, 2)] {
        let calls = Calls::default();
        let ttl = Duration::from_secs(ttl);
        let layer = AuthorizerLayer::new(token_authorizer(&calls).ttl(ttl).build().unwrap());
        let (response, _) = run(through(layer.clone(), with_token("/a", "here")));
        assert_eq!(response.status(), 200);
        let (response, _) = run(through(layer.clone(), with_token("/b", "here")));
        match count {
            1 => assert_refused(&response, IMPLICIT, Cause::AuthorizerImplicitDeny),
            _ => assert_eq!(response.status(), 200),
        }
        assert_eq!(calls.count(), count);
    }
    let layer = AuthorizerLayer::new(token_authorizer(&Calls::default()).build().unwrap());
    let mut post = with_token("/pets", "ada");
    *post.method_mut() = http::Method::POST;
    assert_eq!(run(through(layer.clone(), with_token("/pets", "ada"))).0.status(), 200);
    assert_refused(&run(through(layer, post)).0, IMPLICIT, Cause::AuthorizerImplicitDeny);
}

#[test]
fn refusals_by_policy_are_explained_to_operators() {
    let layer = AuthorizerLayer::new(token_authorizer(&Calls::default()).build().unwrap());
    for (token, deciding, near_misses) in [("deny", 1, 0), ("silent", 0, 1)] {
        for path in ["/pets", "/toys"] {
            let (response, _) = run(through(layer.clone(), with_token(path, token)));
            let denial = response.extensions().get::<AccessDenial>().unwrap();
            assert_eq!(denial.layer(), "AuthorizerLayer");
            assert!(denial.resource().ends_with(&format!("/GET{path}")), "{}", denial.resource());
            let evaluation = denial.evaluation();
            assert_eq!(evaluation.deciding().count(), deciding, "{token}");
            assert_eq!(evaluation.near_misses().count(), near_misses, "{token}");
        }
    }
    let (response, _) = run(through(layer, with_token("/pets", "unauthorized")));
    assert!(response.extensions().get::<AccessDenial>().is_none(), "no policy has refused");
}

#[test]
fn refusals_since_2026_say_which_policy() {
    let layer = AuthorizerLayer::new(token_authorizer(&Calls::default()).build().unwrap())
        .denial_wording(DenialWording::Since2026);
    for (token, suffix) in [
        ("deny", " with an explicit deny in an identity-based policy"),
        ("silent", " because no identity-based policy allows the execute-api:Invoke action"),
    ] {
        let (response, _) = run(through(layer.clone(), with_token("/pets", token)));
        let body = format!("{{\"Message\":\"User is not authorized to access this resource{suffix}\"}}");
        assert_eq!(&response.body()[..], body.as_bytes());
    }
}

/// The case of the documentation that surprises: a resource policy allows what the authorizer is silent about. Its denials
/// are of the API that it is attached to, whatever the layer was told.
#[test]
fn a_resource_policy_decides_together_with_the_authorizer() {
    let api = ExecuteApi::new("eu-west-1", "111122223333", "a1b2c3d4e5").unwrap();
    let policy = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/*/GET/pets"},
        {"Effect":"Deny","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/*/*/admin*"}]}"#;
    let calls = Calls::default();
    let layer = AuthorizerLayer::new(token_authorizer(&calls).build().unwrap())
        .resource_policy(&ResourcePolicy::new(&api, policy).unwrap());
    let ask = |path: &str, token: &str| run(through(layer.clone(), with_token(path, token))).0;
    for path in ["/admin", "/admin/", "//admin", "/%61dmin", "/%61%64min/x"] {
        let response = ask(path, "ada");
        assert_eq!(
            (response.status().as_u16(), cause(&response)),
            (403, Some(Cause::AuthorizerExplicitDeny))
        );
        assert_eq!(calls.count(), 0, "{path}: the function is not called");
        let body = String::from_utf8(response.body().to_vec()).unwrap();
        assert!(body.starts_with("{\"Message\":\"User: anonymous is not authorized to perform: execute-api:Invoke on resource: arn:aws:execute-api:eu-west-1:********3333:a1b2c3d4e5/$default/GET/admin"), "{body}");
        assert!(body.ends_with(" with an explicit deny\"}"), "{body}");
    }
    assert_eq!(ask("/pets", "silent").status(), 200, "allowed by the resource policy alone");
    assert_eq!(ask("/toys", "ada").status(), 200, "allowed by the authorizer alone");
    assert_refused(&ask("/toys", "silent"), IMPLICIT, Cause::AuthorizerImplicitDeny);
    assert_refused(&ask("/pets", "deny"), EXPLICIT, Cause::AuthorizerExplicitDeny);
    assert_refused(&ask("/pets", "unauthorized"), UNAUTHORIZED, Cause::AuthorizerUnauthorized);
}

fn http_authorizer(calls: &Calls, format: PayloadFormat, simple: bool) -> AuthorizerBuilder {
    let calls = calls.clone();
    let function = authorizer_fn(move |event: AuthorizerEvent| {
        calls.0.fetch_add(1, SeqCst);
        async move {
            let token = event.identity().next().unwrap_or_default().to_owned();
            match (simple, token.as_str()) {
                (true, "ada") => Ok(AuthorizerAnswer::simple(true).context("plan", "gold")),
                (true, "bob") => Ok(AuthorizerAnswer::simple(false)),
                (true, "{}") => Ok(AuthorizerAnswer::from_json("{}")),
                _ => answer(&token, &event),
            }
        }
    });
    let builder = Authorizer::http_request("pets", format, function);
    builder.identity_sources(["$request.header.Authorization"]).simple_responses(simple)
}

fn on_http_api(layer: &AuthorizerLayer, request: Request<Full<Bytes>>) -> (u16, String, Option<Cause>) {
    let stack =
        tower::layer::util::Stack::new(layer.clone(), RequestContextLayer::new().api_kind(ApiKind::Http));
    let (response, _) = run(through(stack, request));
    let foreign = response.headers().keys().filter(|name| *name != "content-type").count();
    assert_eq!(foreign, 0, "{:?}", response.headers());
    let body = String::from_utf8(response.body().to_vec()).unwrap();
    (response.status().as_u16(), body, cause(&response))
}

#[test]
fn refusals_of_an_http_api_to_the_byte() {
    let forbidden = (403, r#"{"message":"Forbidden"}"#);
    let broken = (500, r#"{"message":"Internal Server Error"}"#);
    let unauthorized = (401, r#"{"message":"Unauthorized"}"#);
    for format in [PayloadFormat::V1, PayloadFormat::V2] {
        let layer = AuthorizerLayer::new(http_authorizer(&Calls::default(), format, false).build().unwrap());
        for (token, expected) in [
            ("ada", (200, "inner")),
            ("bob", (200, "inner")),
            ("deny", forbidden),
            ("silent", forbidden),
            ("unauthorized", unauthorized),
            ("broken", broken),
            ("malformed", broken),
            ("nested", if format == PayloadFormat::V1 { broken } else { (200, "inner") }),
        ] {
            let (status, body, _) = on_http_api(&layer, with_token("/pets", token));
            assert_eq!((status, body.as_str()), expected, "{format:?} {token}");
        }
        let (status, body, cause) = on_http_api(&layer, get("/pets"));
        assert_eq!((status, body.as_str()), unauthorized);
        assert_eq!(cause, Some(Cause::IdentityMissing));
    }
}

#[test]
fn alone_the_layer_answers_as_the_api_that_its_authorizer_is_made_for() {
    for (simple, token, expected) in [
        (true, "bob", (403, r#"{"message":"Forbidden"}"#)),
        // `isAuthorized` is not there.
        (true, "{}", (500, r#"{"message":"Internal Server Error"}"#)),
        (false, "silent", (403, r#"{"message":"Forbidden"}"#)),
        (false, "unauthorized", (401, r#"{"message":"Unauthorized"}"#)),
    ] {
        let authorizer = http_authorizer(&Calls::default(), PayloadFormat::V2, simple).build().unwrap();
        let (response, calls) = run(through(AuthorizerLayer::new(authorizer), with_token("/pets", token)));
        let body = std::str::from_utf8(response.body()).unwrap();
        assert_eq!(((response.status().as_u16(), body), calls), (expected, 0), "{token}");
        let names: Vec<_> = response.headers().keys().map(http::HeaderName::as_str).collect();
        assert_eq!(names, ["content-type"], "{token}");
    }
}

#[test]
fn a_simple_answer_counts_for_every_route_while_it_is_cached() {
    let calls = Calls::default();
    let ttl = Duration::from_secs(60);
    let authorizer = http_authorizer(&calls, PayloadFormat::V2, true).ttl(ttl).build().unwrap();
    let layer = AuthorizerLayer::new(authorizer);
    for path in ["/a", "/b"] {
        assert_eq!(on_http_api(&layer, with_token(path, "ada")).0, 200);
        let (status, body, _) = on_http_api(&layer, with_token(path, "bob"));
        assert_eq!((status, body.as_str()), (403, r#"{"message":"Forbidden"}"#));
    }
    assert_eq!(calls.count(), 2);
    let (status, _, cause) = on_http_api(&layer, with_token("/a", "deny"));
    assert_eq!((status, cause), (500, Some(Cause::AuthorizerMalformed)), "a policy where yes or no is due");
}

#[test]
fn http_apis_do_not_cache_by_default_and_an_empty_header_is_an_identity() {
    let calls = Calls::default();
    let layer = AuthorizerLayer::new(http_authorizer(&calls, PayloadFormat::V2, false).build().unwrap());
    for asked in 1..=3 {
        assert_eq!(on_http_api(&layer, with_token("/pets", "ada")).0, 200);
        assert_eq!(calls.count(), asked);
    }
    assert_eq!(on_http_api(&layer, with_token("/pets", "")).2, Some(Cause::AuthorizerMalformed));
    assert_eq!(calls.count(), 4);
}

#[test]
fn a_timeout_is_an_authorizer_failure() {
    let clock = tower_gateway::clock::ManualClock::at_unix_seconds(1_700_000_000);
    let never = authorizer_fn(|_| std::future::pending::<Result<AuthorizerAnswer, Infallible>>());
    let authorizer = Authorizer::token("pets", never).clock(clock.clock()).build().unwrap();
    let layer = AuthorizerLayer::new(authorizer.clone());
    for token in ["ada", "bob"] {
        let asked = through(layer.clone(), with_token("/pets", token));
        let advance = async {
            settle().await;
            clock.advance(Duration::from_secs(10));
        };
        let ((response, served), ()) = run(futures_util::future::join(asked, advance));
        let failure = (500, "AuthorizerFailureException", r#"{"message":"Internal server error"}"#);
        assert_refused(&response, failure, Cause::AuthorizerTimeout);
        let error = response.extensions().get::<GatewayError>().unwrap();
        assert_eq!((error.response_type(), served), (ResponseType::AuthorizerFailure, 0));
    }
    assert_eq!((authorizer.calls(), authorizer.cached()), (2, 0));
}

#[test]
fn settings_that_cannot_work_are_named() {
    let token = || token_authorizer(&Calls::default());
    let second = Duration::from_secs(1);
    let function = || authorizer_fn(|_| async { Err::<AuthorizerAnswer, _>("boom") });
    let request = || Authorizer::request("pets", function());
    let http_2 = || http_authorizer(&Calls::default(), PayloadFormat::V2, false);
    let cases = [
        (Authorizer::token("", function()), "authorizer name", ""),
        (
            token().identity_sources(["method.request.querystring.t"]),
            "identity sources",
            "method.request.querystring.t",
        ),
        (token().identity_sources::<&str>([]), "identity sources", ""),
        (token().identity_sources(["Authorization"]), "identity source", "Authorization"),
        (token().identity_validation_expression("("), "identity validation expression", "("),
        (token().identity_validation_expression("a)|(b"), "identity validation expression", "a)|(b"),
        (
            request().ttl(Duration::ZERO).identity_validation_expression("a"),
            "identity validation expression",
            "a",
        ),
        (request(), "authorizer TTL", "300s"),
        (token().ttl(second * 3601), "authorizer TTL", "3601s"),
        (token().negative_ttl(second * 3601), "authorizer TTL", "3601s"),
        (token().ttl(Duration::ZERO).stale_while_revalidate(second), "stale-while-revalidate", "1s"),
        (token().ttl(Duration::ZERO).negative_ttl(second), "negative TTL", "1s"),
        (http_2().negative_ttl(second), "negative TTL", "1s"),
        (token().timeout(Duration::ZERO), "authorizer timeout", "0ns"),
        (token().capacity(0), "authorizer cache capacity", "0"),
        (token().simple_responses(true), "simple responses", "true"),
        (http_2().identity_sources(["$request.path.id"]), "identity source", "$request.path.id"),
    ];
    for (builder, location, value) in cases {
        let error = builder.build().unwrap_err();
        assert_eq!((error.location(), error.value()), (location, value));
    }
    assert!(request().ttl(Duration::ZERO).build().is_ok() && token().ttl(second * 3600).build().is_ok());
    let twice = [token().build().unwrap(), token().build().unwrap()];
    assert_eq!(AuthorizerLayer::of(twice).unwrap_err().value(), "pets");
    assert!(AuthorizerLayer::of([]).is_err());
}
