//! Gateway responses: resolution, templates, headers, ids.

use crate::support::{Strict, assert_service, run};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use std::convert::Infallible;
use tower::{Layer, Service, ServiceExt, layer::layer_fn};
use tower_gateway::{
    context::ApiKind,
    filter::{FilterLayer, Verdict},
    response::{GatewayError, GatewayResponse, GatewayResponseLayer, GatewayResponses, ResponseType},
};

/// Refuses everything as the filter does: `WAF_FILTERED`, 403.
fn blocked(
    layer: &GatewayResponseLayer,
) -> impl Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = Infallible> {
    layer.layer(FilterLayer::new(|_, _| Verdict::Block).layer(Strict::default()))
}

async fn ask(layer: GatewayResponseLayer, request: Request<Full<Bytes>>) -> (Response<()>, String) {
    let (parts, body) = blocked(&layer).oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (Response::from_parts(parts, ()), String::from_utf8(bytes.to_vec()).unwrap())
}

fn request() -> Request<Full<Bytes>> {
    Request::builder()
        .uri("/a/b?q=1&q=2%20x")
        .header("origin", "https://a.example")
        .header("accept", "text/xml;q=0.9, application/json")
        .body(Full::default())
        .unwrap()
}

fn with(entries: &[(ResponseType, GatewayResponse)]) -> GatewayResponseLayer {
    let add = |responses: GatewayResponses, (kind, entry): &(ResponseType, GatewayResponse)| {
        responses.with(*kind, entry).unwrap()
    };
    GatewayResponseLayer::new(entries.iter().fold(GatewayResponses::new(), add))
}

#[test]
fn built_in_answers_carry_ids_and_the_error_as_data() {
    run(async {
        let (head, body) = ask(with(&[]), request()).await;
        assert_eq!((head.status().as_u16(), body.as_str()), (403, r#"{"message":"Forbidden"}"#));
        assert_eq!(head.headers()["content-type"], "application/json");
        assert_eq!(head.headers()["x-amzn-errortype"], "ForbiddenException");
        assert_eq!(head.headers()["x-amzn-requestid"].len(), 36);
        assert_eq!(head.headers()["x-amz-apigw-id"].len(), 16);
        let error = head.extensions().get::<GatewayError>().unwrap();
        assert_eq!(error.response_type(), ResponseType::WafFiltered);
    });
}

#[test]
fn http_apis_have_one_id_and_no_error_type() {
    run(async {
        let own = GatewayResponse::new().status(418);
        let layer = with(&[(ResponseType::WafFiltered, own)]).api_kind(ApiKind::Http);
        let (head, body) = ask(layer, request()).await;
        assert_eq!((head.status().as_u16(), body.as_str()), (403, r#"{"message":"Forbidden"}"#));
        assert!(head.headers().contains_key("apigw-requestid"));
        assert!(
            !head.headers().contains_key("x-amzn-requestid")
                && !head.headers().contains_key("x-amzn-errortype")
        );
    });
}

#[test]
fn families_apply_only_where_a_type_has_no_entry_and_never_merge() {
    run(async {
        let family =
            || (ResponseType::Default4xx, GatewayResponse::new().status(499).header("x-family", "'yes'"));
        let (head, body) = ask(with(&[family()]), request()).await;
        assert_eq!((head.status().as_u16(), body.as_str()), (499, r#"{"message":"Forbidden"}"#));
        assert_eq!(head.headers()["x-family"], "yes");
        let own =
            (ResponseType::WafFiltered, GatewayResponse::new().header("x-own", "context.error.responseType"));
        let (head, _) = ask(with(&[family(), own]), request()).await;
        assert_eq!(head.status(), 403, "the type's built-in status, not the family's");
        assert_eq!(head.headers()["x-own"], "WAF_FILTERED");
        assert!(!head.headers().contains_key("x-family"));
        let other = (ResponseType::Default5xx, GatewayResponse::new().status(599));
        assert_eq!(ask(with(&[other]), request()).await.0.status(), 403);
    });
}

#[test]
fn templates_and_parameters_see_context_and_request() {
    run(async {
        let own = GatewayResponse::new()
            .header("gatewayresponse.header.Access-Control-Allow-Origin", "method.request.header.Origin")
            .header("x-query", "method.request.querystring.q")
            .header("x-nothing", "method.request.header.Absent")
            .template("application/json", "json")
            .template("text/xml", "<e id='$context.requestId'>$context.error.messageString $stageVariables.x$context.httpMethod</e>");
        let (head, body) = ask(with(&[(ResponseType::WafFiltered, own)]), request()).await;
        let id = head.headers()["x-amzn-requestid"].to_str().unwrap();
        assert_eq!(body, format!("<e id='{id}'>\"Forbidden\" GET</e>"));
        assert_eq!(head.headers()["content-type"], "text/xml");
        assert_eq!(head.headers()["access-control-allow-origin"], "https://a.example");
        assert_eq!(head.headers()["x-query"], "2 x");
        assert!(!head.headers().contains_key("x-nothing"));
    });
}

#[test]
fn the_names_of_the_api_are_said_or_nothing() {
    run(async {
        let own = GatewayResponse::new()
            .header("x-account", "context.accountId")
            .template("application/json", "[$context.apiId|$context.accountId|$context.resourceId]");
        let unnamed = GatewayResponses::new().with(ResponseType::WafFiltered, &own).unwrap();
        let named = unnamed.clone().api_id("a1b2c3").account_id("123456789012");
        let (head, body) = ask(GatewayResponseLayer::new(named), request()).await;
        assert_eq!(body, "[a1b2c3|123456789012|]");
        assert_eq!(head.headers()["x-account"], "123456789012");
        let (head, body) = ask(GatewayResponseLayer::new(unnamed), request()).await;
        assert_eq!((&*body, head.headers().get("x-account")), ("[||]", None));
    });
}

#[test]
fn a_request_value_cannot_split_a_header() {
    run(async {
        let own = GatewayResponse::new().header("x-query", "method.request.querystring.q");
        let hostile = Request::builder().uri("/?q=a%0d%0aset-cookie:x").body(Full::default()).unwrap();
        let (head, _) = ask(with(&[(ResponseType::WafFiltered, own)]), hostile).await;
        assert!(!head.headers().contains_key("x-query") && !head.headers().contains_key("set-cookie"));
    });
}

#[test]
fn faults_are_named() {
    for (own, value) in [
        (GatewayResponse::new().status(99), "99"),
        (GatewayResponse::new().status(101), "101"),
        (GatewayResponse::new().header("a b", "'x'"), "a b"),
        (GatewayResponse::new().header("a", "'x\n'"), "x\n"),
        (GatewayResponse::new().header("a", "nothing"), "nothing"),
        (GatewayResponse::new().header("gatewayresponse.path.a", "'x'"), "gatewayresponse.path.a"),
        (GatewayResponse::new().header("gatewayresponse.header.Content-Length", "'1'"), "Content-Length"),
        (GatewayResponse::new().header("transfer-encoding", "'chunked'"), "transfer-encoding"),
        (GatewayResponse::new().template("json", "x"), "json"),
    ] {
        assert_eq!(GatewayResponses::new().with(ResponseType::Throttled, &own).unwrap_err().value(), value);
    }
}

#[test]
fn answers_of_the_service_pass_with_ids_only() {
    run(async {
        let layer = with(&[(ResponseType::Default5xx, GatewayResponse::new().status(599))]);
        let failing = layer_fn(|_: Strict| {
            tower::service_fn(|_: Request<Full<Bytes>>| async {
                let answer =
                    Response::builder().status(500).header("x-own", "1").body(Full::<Bytes>::from("mine"));
                Ok::<_, Infallible>(answer.unwrap())
            })
        });
        let service = layer.layer(failing.layer(Strict::default()));
        let answer = service.oneshot(request()).await.unwrap();
        assert_eq!(answer.status(), 500);
        assert_eq!(answer.headers()["x-own"], "1");
        assert!(answer.headers().contains_key("x-amzn-requestid"));
    });
    assert_service(&with(&[]).layer(Strict::default()));
}
