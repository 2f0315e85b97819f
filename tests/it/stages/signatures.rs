//! What an unknown route reads of `Authorization`.

use super::*;
use base64::prelude::*;
use sha2::{Digest, Sha256};
use tower_gateway::context::{ApiKind, RequestContextLayer};

/// To a REST API an unknown route is an `AWS_IAM` method of nothing, so `Authorization` is read as a signature.
#[test]
fn an_unknown_route_reads_the_authorization_field_as_on_aws() {
    let routes = Routes::builder().method("/pets", Method::GET, ApiMethod::new()).build().unwrap();
    let stages = Stages::single("prod", routes).unwrap();
    let with_field = |path: &str, field: &str| {
        Request::builder().uri(path).header("authorization", field).body(Full::<Bytes>::default()).unwrap()
    };
    let hash = |field: &str| BASE64_STANDARD.encode(Sha256::digest(field));
    let no_equal_sign = |field: &str| {
        format!(
            "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with \
             Base64): '{}'.",
            hash(field)
        )
    };
    let basic = "Basic dXNlcjpwYXNz=";
    let lacks_all = format!(
        "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. \
         Authorization header requires 'SignedHeaders' parameter. Authorization header requires existence of either a \
         'X-Amz-Date' or a 'Date' header. (Hashed with SHA-256 and encoded with Base64) Authorization={}",
        hash(basic)
    );
    let signed = "AWS4-HMAC-SHA256 Credential=a/20261122/us-east-1/execute-api/aws4_request, SignedHeaders=host, Signature=0";
    let mut complete = with_field("/prod/nothing", signed);
    complete.headers_mut().insert("x-amz-date", "20261122T123456Z".parse().unwrap());
    let incomplete = "IncompleteSignatureException";
    for (request, error_type, message) in [
        (with_field("/prod/nothing", "Bearer abc"), incomplete, no_equal_sign("Bearer abc")),
        (with_field("/prod/nothing", "abc"), incomplete, no_equal_sign("abc")),
        (with_field("/prod/nothing", basic), incomplete, lacks_all),
        (
            get("/prod/nothing"),
            "MissingAuthenticationTokenException",
            "Missing Authentication Token".to_owned(),
        ),
        (complete, "MissingAuthenticationTokenException", "Missing Authentication Token".to_owned()),
    ] {
        let (answer, calls) = run(through(StageRouter::new(stages.clone()), request));
        assert_eq!((answer.status(), calls), (StatusCode::FORBIDDEN, 0), "{message}");
        assert_eq!(answer.headers()["x-amzn-errortype"], error_type);
        assert_eq!(answer.body(), &format!("{{\"message\":\"{message}\"}}"));
    }
    let (known, _) = run(through(StageRouter::new(stages.clone()), with_field("/prod/pets", "Bearer abc")));
    assert_eq!(known.status(), StatusCode::OK);
    let http_api = tower::layer::util::Stack::new(
        StageRouter::new(stages),
        RequestContextLayer::new().api_kind(ApiKind::Http),
    );
    let (answer, _) = run(through(http_api, with_field("/prod/nothing", "Bearer abc")));
    assert_eq!(
        (answer.status(), &answer.body()[..]),
        (StatusCode::NOT_FOUND, &b"{\"message\":\"Not Found\"}"[..])
    );
}
