//! Lines of the conformance list that need the whole gateway: configured gateway responses, managed CORS.

use super::{Answer, Record, ask, authorized, get, run, stages, with_field};
use crate::support::Strict;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use std::sync::{Arc, Mutex};
use tower::Layer;
use tower_gateway::{
    authorizer::{Authorizer, AuthorizerAnswer, AuthorizerEvent, AuthorizerLayer, authorizer_fn},
    context::ApiKind,
    gateway::GatewayBuilder,
    observe::{ObserveLayer, RequestEvent},
    response::{GatewayResponse, GatewayResponses, ResponseType},
};

fn one(builder: GatewayBuilder, request: Request<Full<Bytes>>) -> Answer {
    let service = builder.stages(stages()).build().unwrap().layer(Strict::default());
    run(ask(&service, request))
}

fn with(entries: &[(ResponseType, GatewayResponse)]) -> GatewayBuilder {
    let add = |responses: GatewayResponses, (kind, entry): &(ResponseType, GatewayResponse)| {
        responses.with(*kind, entry).unwrap()
    };
    authorized(&Record::default()).gateway_responses(entries.iter().fold(GatewayResponses::new(), add))
}

fn field<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.get(name).map(|value| value.to_str().unwrap())
}

fn any_origin() -> (ResponseType, GatewayResponse) {
    let header = "gatewayresponse.header.Access-Control-Allow-Origin";
    (ResponseType::Default4xx, GatewayResponse::new().header(header, "'*'"))
}

const NO_TOKEN: &str = r#"{"message":"Missing Authentication Token"}"#;

#[test]
fn a1_a2_a13_unknown_paths_and_verbs() {
    let mut verb = get("/prod/custom");
    *verb.method_mut() = Method::DELETE;
    for (request, name) in [(get("/prod/none"), "A1"), (verb, "A2")] {
        for (builder, origin) in [(with(&[]), None), (with(&[any_origin()]), Some("*"))] {
            let answer = one(builder, request.clone());
            assert_eq!((answer.status, answer.body.as_str()), (403, NO_TOKEN), "{name}");
            assert_eq!(
                field(&answer, "x-amzn-errortype"),
                Some("MissingAuthenticationTokenException"),
                "{name}"
            );
            assert_eq!(field(&answer, "access-control-allow-origin"), origin, "{name}");
        }
    }
    for (path, status) in [("/test/none", 403), ("/prod/open", 200)] {
        let answer = one(with(&[any_origin()]), get(path));
        assert_eq!((answer.status, field(&answer, "access-control-allow-origin")), (status, None), "{path}");
    }
}

#[test]
fn a14_an_entry_of_its_own_loses_the_familys_headers() {
    let own = (ResponseType::Unauthorized, GatewayResponse::new());
    for (builder, origin) in [(with(&[any_origin()]), Some("*")), (with(&[any_origin(), own]), None)] {
        let answer = one(builder, get("/prod/custom"));
        assert_eq!((answer.status, field(&answer, "access-control-allow-origin")), (401, origin));
    }
}

#[test]
fn a15_the_default_template_has_a_small_m() {
    let denied = || with_field(get("/prod/custom"), "authorization", "deny");
    let text = "User is not authorized to access this resource with an explicit deny";
    let own = (ResponseType::AccessDenied, GatewayResponse::new());
    assert_eq!(one(with(&[]), denied()).body, format!(r#"{{"Message":"{text}"}}"#));
    let answer = one(with(&[own]), denied());
    assert_eq!((answer.status, answer.body), (403, format!(r#"{{"message":"{text}"}}"#)));
}

#[test]
fn a16_a17_a_broken_authorizer_and_the_family_of_5xx() {
    let broken = |entries: &[(ResponseType, GatewayResponse)]| {
        let function = authorizer_fn(|_: AuthorizerEvent| async { Err::<AuthorizerAnswer, _>("boom") });
        let layer = AuthorizerLayer::new(Authorizer::token("custom", function).build().unwrap());
        one(with(entries).authorizer(layer), with_field(get("/prod/custom"), "authorization", "ada"))
    };
    let family = || (ResponseType::Default5xx, GatewayResponse::new().status(599));
    let template = GatewayResponse::new().template("application/json", "[$context.error.messageString]");
    let own = (ResponseType::AuthorizerConfigurationError, template);
    let answer = broken(&[family()]);
    assert_eq!((answer.status, answer.body.as_str()), (599, r#"{"message":null}"#), "A16");
    let answer = broken(&[family(), own]);
    assert_eq!((answer.status, answer.body.as_str()), (500, "[null]"), "A17");
}

#[test]
fn a_gateway_response_may_challenge_under_the_fields_own_name() {
    let header = "gatewayresponse.header.WWW-Authenticate";
    let basic = GatewayResponse::new().header(header, r#"'Basic realm="api"'"#);
    let answer = one(with(&[(ResponseType::Unauthorized, basic)]), get("/prod/custom"));
    assert_eq!((answer.status, field(&answer, "www-authenticate")), (401, Some(r#"Basic realm="api""#)));
    assert_eq!(field(&answer, "x-amzn-remapped-www-authenticate"), None);
}

#[test]
fn an_unsigned_request_to_an_http_api_is_explained_in_the_log() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&told);
    let observe = ObserveLayer::new().observer(move |event: &RequestEvent<'_>| {
        let error = event.context().variable("authorizer.error").map(std::borrow::Cow::into_owned);
        kept.lock().unwrap().push(error);
    });
    let builder = |kind| authorized(&Record::default()).api_kind(kind).observe(observe.clone());
    let answer = one(builder(ApiKind::Http), get("/prod/signed"));
    assert_eq!((answer.status, answer.body.as_str()), (403, r#"{"message":"Forbidden"}"#));
    assert_eq!(one(builder(ApiKind::Rest), get("/prod/signed")).status, 403);
    assert_eq!(one(builder(ApiKind::Http), get("/prod/open")).status, 200);
    let text = "The request for the IAM Authorizer doesn't match the format that API Gateway expects.";
    assert_eq!(*told.lock().unwrap(), [Some(text.to_owned()), None, None]);
}

#[test]
fn o2_o3_managed_cors_of_an_http_api_with_a_token_on_every_route() {
    let options = |preflight: bool| {
        let mut request = with_field(get("/prod/jwt"), "origin", "https://shop.example");
        *request.method_mut() = Method::OPTIONS;
        match preflight {
            true => with_field(request, "access-control-request-method", "GET"),
            false => request,
        }
    };
    let http = || authorized(&Record::default()).api_kind(ApiKind::Http);
    let answer = one(http(), options(true));
    assert_eq!((answer.status, answer.body.as_str()), (204, ""), "O2");
    assert_eq!(field(&answer, "access-control-allow-origin"), Some("https://shop.example"), "O2");
    let answer = one(http(), options(false));
    assert_eq!((answer.status, answer.body.as_str()), (404, r#"{"message":"Not Found"}"#), "O3");
}
