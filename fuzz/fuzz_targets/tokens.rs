//! Tokens and key sets: nothing makes them panic, and nothing passes that was not signed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tower_gateway::{
    clock::Timestamp,
    jwt::{Algorithm, JwkSet, JwtVerifier},
};

/// A secret of 32 bytes that no input is made with.
const KEYS: &str = r#"{"keys":[{"kty":"oct","kid":"k","k":"c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3JldCBzZWNyZXQgIQ"}]}"#;

static SET: LazyLock<JwkSet> =
    LazyLock::new(|| JwkSet::secrets_from_json(KEYS).expect("a set of one secret"));
static VERIFIER: LazyLock<JwtVerifier> = LazyLock::new(|| {
    let verifier = JwtVerifier::builder("https://issuer.example").audience("client-1");
    let secret = [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512];
    verifier.algorithms(secret).build().expect("valid settings")
});

fuzz_target!(|data: &[u8]| {
    assert!(VERIFIER.verify(data, &SET, Timestamp::new(0, 0)).is_err());
    let _no_panic = SET.verify(data, &Algorithm::ALL);
    if let Ok(text) = std::str::from_utf8(data) {
        let _no_panic = (JwkSet::from_json(text), JwkSet::secrets_from_json(text));
    }
});
