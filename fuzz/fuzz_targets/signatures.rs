//! `Authorization` fields and presigned queries: nothing panics, and nothing that was not signed is let in.
#![no_main]

use http::{HeaderMap, HeaderValue, Method, Uri};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tower_gateway::{
    clock::Timestamp,
    sigv4::{Credentials, Payload, RequestHead, SigV4Verifier},
};

/// 2026-11-22T12:34:56Z
const NOW: i64 = 1_795_350_896;

static CREDENTIALS: LazyLock<Credentials> = LazyLock::new(|| {
    // Nobody knows this secret, so nothing that the fuzzer finds can be signed with it.
    let secret: String = std::iter::repeat_with(fastrand::alphanumeric).take(40).collect();
    let arn = "arn:aws:iam::111122223333:user/ada";
    Credentials::builder("AKIDEXAMPLE", secret, arn).build().expect("valid")
});

static VERIFIERS: LazyLock<[SigV4Verifier; 2]> = LazyLock::new(|| {
    let verifier = SigV4Verifier::new("us-east-1", "execute-api").expect("valid");
    let open = verifier.clone().lenient(true).allow_unsigned_payload(true).allow_unsigned_query_token(true);
    [verifier, open.normalize_path(false)]
});

// Lines: target, `Authorization`, `X-Amz-Date`, `X-Amz-Security-Token`, and anything for `X-Custom`.
fuzz_target!(|data: &[u8]| {
    let mut lines = data.split(|byte| *byte == b'\n');
    let Some(uri) = lines.next().and_then(|target| Uri::try_from(target).ok()) else { return };
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static("api.example"));
    for (name, line) in
        ["authorization", "x-amz-date", "x-amz-security-token", "x-custom"].into_iter().zip(lines)
    {
        if let (false, Ok(value)) = (line.is_empty(), HeaderValue::from_bytes(line)) {
            headers.append(name, value);
        }
    }
    for verifier in &*VERIFIERS {
        let head = RequestHead::new(&Method::GET, &uri, &headers);
        let outcome = verifier.verify(&head, Payload::EMPTY, Timestamp::new(0, NOW * 1_000_000_000), |_| {
            Some(CREDENTIALS.clone())
        });
        let error = outcome.expect_err("nobody has signed this");
        assert!(!error.message().is_empty() && error.error_type().ends_with("Exception"));
        if let Ok(texts) = verifier.canonical_texts(&head, Payload::EMPTY) {
            assert!(texts.string_to_sign().starts_with("AWS4-HMAC-SHA256\n"));
        }
    }
});
