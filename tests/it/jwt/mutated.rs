//! A million damaged tokens: none passes, none makes anything panic. `fuzz/fuzz_targets/tokens.rs` looks further.

use super::{NOW, key_set, signers, token, verifier};
use serde_json::json;
use tower_gateway::{clock::Timestamp, jwt::JwkSet};

const TOKENS: u64 = 1_000_000;

/// A small generator with a fixed seed (xorshift64): the same tokens every time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// Bytes that mean something somewhere in a token.
const BYTES: &[u8] = b".-_=+/ \"\\{}[]:,0AZaz\0\x7f\xff";

fn damage(token: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(token.len());
    match random.below(6) {
        0 => token[at] ^= 1 << random.below(8),
        1 => token[at] = BYTES[random.below(BYTES.len())],
        2 => token.truncate(at),
        3 => token.insert(at, BYTES[random.below(BYTES.len())]),
        4 => drop(token.remove(at)),
        _ => {
            let other = random.below(token.len());
            token.swap(at, other);
        }
    }
    if token.is_empty() {
        token.push(b'.');
    }
}

/// Headers and payloads damaged before they are encoded reach deeper than damaged encodings.
fn reencoded(json: &str, random: &mut Random) -> String {
    let mut bytes = json.as_bytes().to_vec();
    for _ in 0..=random.below(3) {
        damage(&mut bytes, random);
    }
    base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, bytes)
}

#[test]
fn a_million_damaged_tokens_are_refused() {
    let keys = JwkSet::from_json(&key_set(&[&signers()[0]])).unwrap();
    let now = Timestamp::new(0, NOW * 1_000_000_000);
    let good = token(&json!({"scope": "a b", "groups": ["x"], "nbf": NOW}));
    let verifier = verifier();
    assert!(verifier.verify(good.as_bytes(), &keys, now).is_ok());
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let rest = good.split_once('.').unwrap().1;
    for count in 0..TOKENS {
        let mut bytes = match count % 3 {
            0 => format!("{}.{rest}", reencoded(r#"{"alg":"RS256","kid":"one","crit":null}"#, &mut random))
                .into_bytes(),
            _ => good.clone().into_bytes(),
        };
        for _ in 0..=random.below(3) {
            damage(&mut bytes, &mut random);
        }
        if bytes == good.as_bytes() {
            continue;
        }
        assert!(verifier.verify(&bytes, &keys, now).is_err(), "{:?}", String::from_utf8_lossy(&bytes));
    }
}

/// Claims that were signed, whatever they are, do not make anything panic either.
#[test]
fn signed_nonsense_is_judged_without_a_panic() {
    let secret = json!({"keys": [{"kty": "oct", "kid": "s", "alg": "HS256", "k": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]});
    let keys = JwkSet::secrets_from_json(&secret.to_string()).unwrap();
    let verifier = tower_gateway::jwt::JwtVerifier::builder(super::ISSUER).audience("client-1");
    let verifier = verifier.algorithms([tower_gateway::jwt::Algorithm::Hs256]).build().unwrap();
    let now = Timestamp::new(0, NOW * 1_000_000_000);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let payload = super::claims(&json!({"scope": "a b", "scp": ["a"], "nbf": NOW})).to_string();
    let header = base64::Engine::encode(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD,
        r#"{"alg":"HS256","kid":"s"}"#,
    );
    let key = jsonwebtoken::EncodingKey::from_secret(&[0; 32]);
    let mut passed = 0;
    for _ in 0..20_000 {
        let signed = format!("{header}.{}", reencoded(&payload, &mut random));
        let signature =
            jsonwebtoken::crypto::sign(signed.as_bytes(), &key, jsonwebtoken::Algorithm::HS256).unwrap();
        if let Ok(claims) = verifier.verify(format!("{signed}.{signature}").as_bytes(), &keys, now) {
            passed += 1;
            let _ = (claims.scopes(), claims.iter().count());
            for (name, _) in claims.iter() {
                let _ = claims.text(&name, tower_gateway::jwt::ClaimStyle::Rest);
            }
        }
    }
    assert!(passed > 0, "some damage hits what is not looked at");
}
