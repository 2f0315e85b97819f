//! Tokens at the door: JWT and Cognito authorizers.

mod answers;
mod keys;
mod mutated;
mod tokens;
mod vectors;

use http::{Request, header::AUTHORIZATION};
use http_body_util::Full;
use jsonwebtoken::{EncodingKey, Header, jwk::Jwk};
use serde_json::{Value, json};
use std::sync::OnceLock;
use tower_gateway::{
    clock::{Clock, ManualClock},
    jwt::{JwkSet, JwkSource, JwtAuthorizer, JwtAuthorizerBuilder, JwtVerifier},
};

pub(crate) const NOW: i64 = 1_800_000_000;
pub(crate) const ISSUER: &str = "https://issuer.example";

/// A key pair of an issuer: signs with `jsonwebtoken`, so that another library than ours made the tokens.
pub(crate) struct Signer {
    key: EncodingKey,
    algorithm: jsonwebtoken::Algorithm,
    kid: &'static str,
}

impl Signer {
    fn rsa(kid: &'static str) -> Self {
        let pair =
            rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
        let key = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).unwrap();
        Self { key, algorithm: jsonwebtoken::Algorithm::RS256, kid }
    }

    pub(crate) fn named(self, kid: &'static str) -> Self {
        Self { kid, ..self }
    }

    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.kid.to_owned());
        serde_json::to_value(&jwk).unwrap()
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.kid.to_owned());
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }
}

impl Clone for Signer {
    fn clone(&self) -> Self {
        Self { key: self.key.clone(), ..*self }
    }
}

/// Two key pairs for all tests: making one takes a while.
pub(crate) fn signers() -> &'static [Signer; 2] {
    static SIGNERS: OnceLock<[Signer; 2]> = OnceLock::new();
    SIGNERS.get_or_init(|| [Signer::rsa("one"), Signer::rsa("two")])
}

pub(crate) fn key_set(signers: &[&Signer]) -> String {
    json!({"keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>()}).to_string()
}

pub(crate) fn source() -> JwkSource {
    JwkSource::fixed(JwkSet::from_json(&key_set(&[&signers()[0]])).unwrap())
}

/// Good claims, with `changes` on top; `null` takes a claim away.
pub(crate) fn claims(changes: &Value) -> Value {
    let mut claims = json!({"iss": ISSUER, "sub": "ada", "aud": "client-1", "iat": NOW, "exp": NOW + 3600});
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            other => claims.as_object_mut().unwrap().insert(name.clone(), other.clone()),
        };
    }
    claims
}

pub(crate) fn token(changes: &Value) -> String {
    signers()[0].sign(&claims(changes))
}

pub(crate) fn clock() -> (ManualClock, Clock) {
    let manual = ManualClock::at_unix_seconds(NOW);
    let clock = manual.clock();
    (manual, clock)
}

pub(crate) fn verifier() -> JwtVerifier {
    JwtVerifier::builder(ISSUER).audience("client-1").build().unwrap()
}

pub(crate) fn authorizer(keys: JwkSource, clock: Clock) -> JwtAuthorizerBuilder {
    JwtAuthorizer::builder(verifier(), keys).clock(clock)
}

pub(crate) fn with_token(uri: &str, token: &str) -> Request<Full<bytes::Bytes>> {
    Request::builder()
        .uri(uri)
        .header(AUTHORIZATION, format!("Bearer {token}"))
        .body(Full::default())
        .unwrap()
}
