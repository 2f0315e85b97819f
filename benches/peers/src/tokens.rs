//! Keys of three kinds, their JWK sets, and tokens signed with them.

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
        KeyPair, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::Utc;
use serde_json::{Value, json};

pub const ISSUER: &str = "https://issuer.example";
pub const AUDIENCE: &str = "client-1";
const KEY_ID: &str = "key-1";
const LIFETIME: i64 = 86_400;

/// A key that signs, made anew for each row.
pub enum SigningKey {
    Rs256(RsaKeyPair),
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

impl SigningKey {
    pub fn rs256() -> Self {
        Self::Rs256(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"))
    }

    pub fn es256() -> Self {
        Self::Es256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"))
    }

    pub fn ed_dsa() -> Self {
        Self::EdDsa(Ed25519KeyPair::generate().expect("a key"))
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rs256(_) => "RS256",
            Self::Es256(_) => "ES256",
            Self::EdDsa(_) => "EdDSA",
        }
    }

    /// What issuers publish.
    pub fn jwk_set(&self) -> String {
        let mut key = match self {
            Self::Rs256(pair) => json!({"kty": "RSA", "n": base64(modulus(pair)), "e": "AQAB"}),
            Self::Es256(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "x": base64(x), "y": base64(y)})
            }
            Self::EdDsa(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": base64(pair.public_key().as_ref())})
            }
        };
        key["kid"] = KEY_ID.into();
        key["use"] = "sig".into();
        key["alg"] = self.algorithm().into();
        json!({"keys": [key]}).to_string()
    }

    /// The key as the library that verifies wants it, parsed.
    pub fn verifying(&self) -> ParsedPublicKey {
        match self {
            Self::Rs256(pair) => ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key()),
            Self::Es256(pair) => ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key()),
            Self::EdDsa(pair) => ParsedPublicKey::new(&ED25519, pair.public_key()),
        }
        .expect("a key of that kind")
    }

    /// A token as identity providers issue them, of some 500 bytes; `number` tells it from others.
    pub fn token(&self, number: usize) -> String {
        let header = json!({"alg": self.algorithm(), "kid": KEY_ID, "typ": "JWT"});
        let signed = format!("{}.{}", base64(header.to_string()), base64(claims(number).to_string()));
        let signature = base64(self.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    fn sign(&self, signed: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, signed, &mut signature).expect("a signature");
                signature
            }
            Self::Es256(pair) => pair.sign(&random, signed).expect("a signature").as_ref().to_vec(),
            Self::EdDsa(pair) => pair.sign(signed).as_ref().to_vec(),
        }
    }
}

fn claims(number: usize) -> Value {
    let now = Utc::now().timestamp();
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": format!("user-{number:08}"), "iat": now, "exp": now + LIFETIME,
        "token_use": "access", "scope": "pets/read pets/write", "client_id": AUDIENCE, "jti": format!("{number:032x}"),
    })
}

/// Out of the DER of the public key: a sequence of two integers, the first one of 257 bytes with its leading zero, the
/// second one 65,537.
fn modulus(pair: &RsaKeyPair) -> &[u8] {
    const EXPONENT: [u8; 5] = [2, 3, 1, 0, 1];
    let der = pair.public_key().as_ref();
    let before = der.strip_suffix(&EXPONENT).expect("the usual exponent");
    &before[before.len() - pair.public_modulus_len()..]
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What is signed of a token, and its signature.
pub fn split(token: &str) -> (String, Vec<u8>) {
    let (signed, signature) = token.rsplit_once('.').expect("three segments");
    (signed.to_owned(), URL_SAFE_NO_PAD.decode(signature).expect("base64url"))
}
