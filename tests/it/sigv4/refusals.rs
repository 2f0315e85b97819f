//! Answers to the byte, duplicates and odd encodings, and what is never told.

use super::support::{HOST, SECRET, Signer, builder, credentials, get, layer, layer_of};
use crate::support::{Strict, run, through};
use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use tower::{Layer, ServiceExt};
use tower_gateway::{
    context::{ApiKind, RequestContextLayer},
    response::{Cause, GatewayError, GatewayResponse, GatewayResponseLayer, GatewayResponses, ResponseType},
    sigv4::{Payload, SigV4AuthBuilder, SigV4AuthLayer, SigV4Verifier},
};

fn answer(layer: SigV4AuthBuilder, request: Request<Full<Bytes>>) -> Response<Bytes> {
    let (response, calls) = run(through(layer.build().unwrap(), request));
    assert_eq!(calls, usize::from(response.status() == 200));
    response
}

fn cause<B>(response: &Response<B>) -> Option<Cause> {
    response.extensions().get::<GatewayError>().map(GatewayError::cause)
}

fn assert_bytes(response: &Response<Bytes>, error_type: &str, body: &str) {
    assert_eq!(response.status(), 403);
    assert_eq!(response.headers()["x-amzn-errortype"], error_type);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(&response.body()[..], body.as_bytes());
}

const MISMATCH: &str = r#"{"message":"The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}"#;

#[test]
fn the_bytes_of_the_frequent_refusals() {
    let unsigned = answer(layer(), crate::support::get("/pets"));
    assert_bytes(
        &unsigned,
        "MissingAuthenticationTokenException",
        r#"{"message":"Missing Authentication Token"}"#,
    );
    let wrong = Signer { secret: "wrong", ..Signer::default() }.sign("GET", "/pets", "");
    assert_bytes(&answer(layer(), wrong), "InvalidSignatureException", MISMATCH);
    let unknown = Signer { key: "AKIDNOBODY", ..Signer::default() }.sign("GET", "/pets", "");
    let text = r#"{"message":"The security token included in the request is invalid."}"#;
    assert_bytes(&answer(layer(), unknown), "UnrecognizedClientException", text);
    let expired = layer_of([builder("AKIDADA", "ada").session_token("t", 5).build().unwrap()]);
    let expired = answer(expired, Signer { token: Some("t"), ..Signer::default() }.sign("GET", "/pets", ""));
    let text = r#"{"message":"The security token included in the request is expired"}"#;
    assert_bytes(&expired, "ExpiredTokenException", text);
    let error = expired.extensions().get::<GatewayError>().unwrap();
    assert_eq!(error.response_type(), ResponseType::ExpiredToken);
}

#[test]
fn an_http_api_only_says_forbidden() {
    for request in [
        crate::support::get("/pets"),
        Signer { secret: "wrong", ..Signer::default() }.sign("GET", "/pets", ""),
        Signer { key: "AKIDNOBODY", ..Signer::default() }.sign("GET", "/pets", ""),
    ] {
        let http = RequestContextLayer::new().api_kind(ApiKind::Http);
        let service = http.layer(layer().build().unwrap().layer(Strict::default()));
        let response = run(service.oneshot(request)).unwrap();
        assert_eq!(response.status(), 403);
        assert!(!response.headers().contains_key("x-amzn-errortype"));
        let body = run(http_body_util::BodyExt::collect(response.into_body())).unwrap().to_bytes();
        assert_eq!(body, r#"{"message":"Forbidden"}"#);
    }
}

#[test]
fn refusals_are_configurable_as_invalid_signature() {
    let own = GatewayResponse::new()
        .status(401)
        .template("application/json", r#"{"no":$context.error.messageString}"#);
    let responses = GatewayResponses::new().with(ResponseType::InvalidSignature, &own).unwrap();
    let stack = tower::ServiceBuilder::new()
        .layer(GatewayResponseLayer::new(responses))
        .layer(layer().build().unwrap())
        .service(Strict::default());
    let wrong = Signer { secret: "wrong", ..Signer::default() }.sign("GET", "/pets", "");
    assert_eq!(run(stack.oneshot(wrong)).unwrap().status(), 401);
}

#[test]
fn two_of_what_may_stand_once() {
    let twice = |name: &'static str| {
        let mut request =
            Signer { headers: &[("x-custom", "1")], ..Signer::default() }.sign("GET", "/pets", "");
        let value = request.headers()[name].clone();
        request.headers_mut().append(name, value);
        cause(&answer(layer(), request))
    };
    assert_eq!(twice("authorization"), Some(Cause::SignatureAmbiguous));
    assert_eq!(twice("x-amz-date"), Some(Cause::SignatureDateMalformed));
    assert_eq!(twice("host"), Some(Cause::SignatureMismatch));
    assert_eq!(twice("x-custom"), Some(Cause::SignatureMismatch));

    let presigned = Signer { presign: true, ..Signer::default() }.sign("GET", "/pets?a=1", "");
    let target = presigned.uri().to_string();
    let with_target = |target: String| {
        let mut request = Signer { presign: true, ..Signer::default() }.sign("GET", "/pets?a=1", "");
        *request.uri_mut() = target.parse().unwrap();
        request
    };
    assert_eq!(cause(&answer(layer(), with_target(target.clone()))), None);
    for name in
        ["X-Amz-Signature", "X-Amz-Date", "X-Amz-Expires", "X-Amz-Credential", "X-Amz-SignedHeaders", "a"]
    {
        let start = target.find(&format!("{name}=")).unwrap();
        let pair = target[start..].split('&').next().unwrap();
        let appended = with_target(format!("{target}&{pair}"));
        assert_eq!(cause(&answer(layer(), appended)), Some(Cause::SignatureMismatch), "{name} appended");
    }
    let mut both = with_target(target);
    both.headers_mut().insert("authorization", get("/pets").headers()["authorization"].clone());
    assert_eq!(cause(&answer(layer(), both)), Some(Cause::SignatureAmbiguous));
}

#[test]
fn other_spellings_of_the_authorization_field() {
    let with = |change: &dyn Fn(&str) -> Vec<u8>| {
        let mut request = get("/pets");
        let changed = change(request.headers()["authorization"].to_str().unwrap());
        request.headers_mut().insert("authorization", HeaderValue::from_bytes(&changed).unwrap());
        cause(&answer(layer(), request))
    };
    assert_eq!(with(&|text| text.replace(", ", ",").into()), None, "as some clients write it");
    assert_eq!(with(&|text| text.replace(", ", "   ,  ").into()), None);
    assert_eq!(
        with(&|text| text.replace("Credential=", "Credential=x, Credential=").into()),
        None,
        "the last counts"
    );
    assert_eq!(with(&|text| text.replace("AWS4", "aws4").into()), Some(Cause::SignatureIncomplete));
    assert_eq!(
        with(&|text| text.replace("Credential", "credential").into()),
        Some(Cause::SignatureIncomplete)
    );
    assert_eq!(
        with(&|text| text.replace("aws4_request", "AWS4_REQUEST").into()),
        Some(Cause::SignatureScope)
    );
    assert_eq!(with(&|text| text.replace("us-east-1", "US-EAST-1").into()), Some(Cause::SignatureScope));
    assert_eq!(with(&|text| text.replace("host;", "Host;").into()), Some(Cause::SignatureHostUnsigned));
    assert_eq!(
        with(&|text| text.replace("Signature=", "Signature=0x").into()),
        Some(Cause::SignatureMismatch)
    );
    assert_eq!(with(&|text| [text.as_bytes(), b"\xff"].concat()), Some(Cause::SignatureIncomplete));
    assert_eq!(with(&|_| Vec::new()), Some(Cause::SignatureIncomplete));
    assert_eq!(with(&|_| b"AWS4-HMAC-SHA256".to_vec()), Some(Cause::SignatureIncomplete));
}

#[test]
fn a_body_is_not_excused_by_a_header_that_says_so() {
    let signer = Signer { headers: &[("x-amz-content-sha256", "UNSIGNED-PAYLOAD")], ..Signer::default() };
    let altered = || signer.sign("POST", "/pets", "signed").map(|_| Full::from("altered"));
    assert_eq!(cause(&answer(layer(), altered())), Some(Cause::SignatureMismatch), "S10");
    assert_eq!(
        cause(&answer(layer(), signer.sign("POST", "/pets", "signed"))),
        None,
        "one more signed field"
    );
}

#[test]
fn unsigned_payloads_pass_by_setting_only() {
    // Signed over the text `UNSIGNED-PAYLOAD` in place of a hash.
    let verifier = SigV4Verifier::new("us-east-1", "execute-api").unwrap();
    let request = |body: &'static str| {
        let mut request =
            Signer { headers: &[("x-amz-content-sha256", "UNSIGNED-PAYLOAD")], ..Signer::default() }
                .sign("POST", "/pets", "");
        let head = tower_gateway::sigv4::RequestHead::new(request.method(), request.uri(), request.headers());
        let texts = verifier.canonical_texts(&head, Payload::Unsigned).unwrap();
        let signature = sign(texts.string_to_sign());
        let text = request.headers()["authorization"].to_str().unwrap();
        let start = text.split("Signature=").next().unwrap();
        let text = format!("{start}Signature={signature}");
        request.headers_mut().insert("authorization", text.parse().unwrap());
        request.map(|_| Full::from(body))
    };
    assert_eq!(cause(&answer(layer(), request("any"))), Some(Cause::SignatureMismatch));
    let allowing = verifier.clone().allow_unsigned_payload(true);
    assert_eq!(cause(&answer(layer().verifier(allowing.clone()), request("any"))), None);
    assert_eq!(
        cause(&answer(layer().verifier(allowing.clone()), get("/pets"))),
        None,
        "others are as before"
    );
    let altered = get("/pets").map(|_| Full::from("body"));
    assert_eq!(cause(&answer(layer().verifier(allowing), altered)), Some(Cause::SignatureMismatch));
}

/// The signature of a string to sign of 2026-11-22, by the four steps.
fn sign(string_to_sign: &str) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let mac = |key: &[u8], text: &str| {
        let mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
        mac.chain_update(text.as_bytes()).finalize().into_bytes().to_vec()
    };
    let start = format!("AWS4{SECRET}").into_bytes();
    let key = ["20261122", "us-east-1", "execute-api", "aws4_request"]
        .iter()
        .fold(start, |key, part| mac(&key, part));
    mac(&key, string_to_sign).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn replays_are_refused_where_that_is_asked_for() {
    let guarded = layer().refuse_replays(100).build().unwrap();
    let send = |request| cause(&run(through(guarded.clone(), request)).0);
    assert_eq!(send(get("/pets")), None);
    assert_eq!(send(get("/pets")), Some(Cause::SignatureReplayed));
    assert_eq!(send(get("/pets/2")), None);
    let mut forged = get("/pets/3");
    *forged.method_mut() = http::Method::PUT;
    assert_eq!(send(forged), Some(Cause::SignatureMismatch));
    assert_eq!(send(get("/pets/3")), None, "a forgery does not use the signature up");
    let presigned = || Signer { presign: true, ..Signer::default() }.sign("GET", "/pets", "");
    assert_eq!((send(presigned()), send(presigned())), (None, None));
}

#[test]
fn the_long_form_of_a_mismatch_is_for_development() {
    let wrong = || Signer { secret: "wrong", ..Signer::default() }.sign("GET", "/pets?b=1&a=2", "");
    let response = answer(layer().explain_mismatch(true), wrong());
    let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
    let text = body["message"].as_str().unwrap();
    let expected = format!(
        "for details.\n\nThe Canonical String for this request should have been\n'GET\n/pets\na=2&b=1\nhost:{HOST}\n\
         x-amz-date:20261122T123456Z\n\nhost;x-amz-date\n\
         e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'\n\n\
         The String-to-Sign should have been\n'AWS4-HMAC-SHA256\n20261122T123456Z\n\
         20261122/us-east-1/execute-api/aws4_request\n"
    );
    assert!(text.contains(&expected), "{text}");
    assert!(text.ends_with("'\n"), "{text}");
    assert!(!String::from_utf8_lossy(answer(layer(), wrong()).body()).contains("Canonical"));
}

#[test]
fn nothing_secret_shows() {
    let ada = credentials("AKIDADA", "ada");
    let layer = layer().build().unwrap();
    let service = layer.layer(Strict::default());
    let store = tower_gateway::sigv4::MemoryCredentialsStore::new([ada.clone()]);
    let temporary = builder("AKIDBOB", "bob").session_token("t0ken", 5).build().unwrap();
    let shown =
        format!("{ada:?} {ada:#?} {layer:?} {service:?} {store:?} {temporary:?} {:?}", builder("A", "b"));
    assert!(shown.contains("AKIDADA"));
    for secret in [SECRET, "t0ken", "wJalr"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn configurations_that_cannot_work() {
    let store = || tower_gateway::sigv4::MemoryCredentialsStore::default();
    let error = SigV4AuthLayer::builder(store(), super::support::api()).stage("a/b").build().unwrap_err();
    assert_eq!((error.location(), error.value()), ("stage", "a/b"));
    let no_arn = tower_gateway::sigv4::Credentials::builder("AKID", "s", "bob").build().unwrap_err();
    assert_eq!(no_arn.value(), "bob");
    let no_secret =
        tower_gateway::sigv4::Credentials::builder("AKID", "", "arn:aws:iam::111122223333:root").build();
    assert!(no_secret.unwrap_err().to_string().contains("empty secret"));
    let no_id =
        tower_gateway::sigv4::Credentials::builder("AK/ID", "s", "arn:aws:iam::111122223333:root").build();
    assert_eq!(no_id.unwrap_err().value(), "AK/ID");
}
