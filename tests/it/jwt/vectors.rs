//! What others say a verifier must take and refuse: Wycheproof, the RFC 7520 cookbook, a collection of attacks.

use crate::support::vectors;
use serde_json::Value;
use tower_gateway::{
    clock::Timestamp,
    jwt::{Algorithm, JwkSet, JwkSource, JwtAuthorizer, JwtAuthorizerLayer, JwtVerifier},
};

/// Every algorithm of the library, in the two groups that may be configured together.
const PUBLIC: [Algorithm; 10] = [
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::Es512,
    Algorithm::EdDsa,
];
const SECRET: [Algorithm; 3] = [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512];

#[derive(Default)]
struct Tally {
    accepted: usize,
    refused: usize,
    skipped: Vec<String>,
    wrong: Vec<String>,
}

impl Tally {
    fn note(&mut self, name: &str, is_valid: bool, passes: bool) {
        match (is_valid, passes) {
            (true, true) => self.accepted += 1,
            (false, false) => self.refused += 1,
            _ => self.wrong.push(format!("{name}: valid {is_valid}, passes {passes}")),
        }
    }

    fn report(&self, what: &str) {
        let (accepted, refused) = (self.accepted, self.refused);
        println!(
            "{what}: {} run, {accepted} accepted, {refused} refused",
            accepted + refused + self.wrong.len()
        );
        self.skipped.iter().for_each(|case| println!("  skipped {case}"));
        assert_eq!(self.wrong, Vec::<String>::new(), "{what}");
    }
}

/// A key as a set: an operator would configure a secret as one, and publish the public half of the others.
fn set_of(key: &Value) -> Option<(JwkSet, &'static [Algorithm])> {
    let document = if key.get("keys").is_some() { key.clone() } else { serde_json::json!({"keys": [key]}) };
    let text = document.to_string();
    let is_secret = document["keys"].as_array()?.iter().all(|key| key["kty"] == "oct");
    Some(if is_secret {
        (JwkSet::secrets_from_json(&text).ok()?, &SECRET)
    } else {
        (JwkSet::from_json(&text).ok()?, &PUBLIC)
    })
}

/// Why a case is not run: what is not ours, and where the collection contradicts itself.
fn why_skipped(group: &Value, test: &Value) -> Option<&'static str> {
    if test.get("jwe").is_some() {
        return Some("encryption is not a gateway's");
    }
    let is_valid = test["result"] == "valid";
    if test["comment"] == "InvalidCharacterInsertedInHeader" && is_valid {
        return Some("counted as valid there with `?` in the header; RFC 4648 section 3.3 has it refused");
    }
    if is_valid && group["comment"] == "rfc7520WithKeyOps" && group["public"]["alg"] == "PS256" {
        return Some("a PS384 token with a key for PS256; the group ps512 counts the like as invalid");
    }
    let mut others = group["tests"].as_array().into_iter().flatten();
    if !is_valid && others.any(|other| other["result"] == "valid" && other["jws"] == test["jws"]) {
        return Some("the very bytes of a valid case of the same group");
    }
    None
}

fn wycheproof(file: &str) -> Option<Tally> {
    let document = vectors(&format!("jwt/wycheproof/{file}"))?;
    let mut tally = Tally::default();
    for group in document["testGroups"].as_array().unwrap() {
        let key = group.get("public").or_else(|| group.get("private")).unwrap();
        for test in group["tests"].as_array().unwrap() {
            let name = format!("{} {} {}", test["tcId"], group["comment"], test["comment"]);
            if let Some(reason) = why_skipped(group, test) {
                tally.skipped.push(format!("{name} ({reason})"));
                continue;
            }
            let jws = test["jws"].as_str().map_or_else(|| test["jws"].to_string(), str::to_owned);
            let passes =
                set_of(key).is_some_and(|(set, algorithms)| set.verify(jws.as_bytes(), algorithms).is_ok());
            tally.note(&name, test["result"] != "invalid", passes);
        }
    }
    Some(tally)
}

#[test]
fn wycheproof_signatures() {
    if let Some(tally) = wycheproof("json_web_signature_test.json") {
        tally.report("Wycheproof, signatures");
        assert!(tally.accepted >= 20 && tally.refused >= 170);
    }
}

#[test]
fn wycheproof_keys() {
    if let Some(tally) = wycheproof("json_web_key_test.json") {
        tally.report("Wycheproof, keys");
        assert!(tally.accepted >= 3 && tally.refused >= 8);
    }
}

#[test]
fn wycheproof_crypto() {
    if let Some(tally) = wycheproof("json_web_crypto_test.json") {
        tally.report("Wycheproof, mixed");
        assert!(tally.accepted >= 1 && tally.refused >= 20);
    }
}

#[test]
fn cookbook() {
    let mut tally = Tally::default();
    for file in [
        "curve25519/jws.json",
        "jws/4_4.hmac-sha2_integrity_protection.json",
        "jws/4_6.protecting_specific_header_fields.json",
        "jws/4_7.protecting_content_only.json",
        "jws/4_8.multiple_signatures.json",
        "rfc7797/4.2.hmac-sha2_b64_false.json",
    ] {
        let Some(example) = vectors(&format!("jwt/cookbook/{file}")) else { return };
        let Some(compact) = example["output"]["compact"].as_str() else {
            tally.skipped.push(format!("{file} (has no compact form)"));
            // And what it has instead is refused.
            let (set, algorithms) = set_of(&example["input"]["key"]).unwrap_or_else(|| {
                let keys = serde_json::json!({"keys": example["input"]["key"]});
                set_of(&keys).unwrap()
            });
            assert!(set.verify(example["output"]["json"].to_string().as_bytes(), algorithms).is_err());
            continue;
        };
        let mut key = example["input"]["key"].clone();
        key.as_object_mut().unwrap().remove("d");
        let (set, algorithms) = set_of(&key).unwrap();
        let payload = set.verify(compact.as_bytes(), algorithms);
        tally.note(
            file,
            true,
            payload.as_deref().ok() == example["input"]["payload"].as_str().map(str::as_bytes),
        );
    }
    for (file, usable) in
        [("3_3.rsa_public_key", 1), ("3_4.rsa_private_key", 0), ("3_5.symmetric_key_mac_computation", 1)]
    {
        let Some(key) = vectors(&format!("jwt/cookbook/jwk/{file}.json")) else { return };
        tally.note(file, usable == 1, !set_of(&key).unwrap().0.is_empty());
    }
    tally.report("RFC 7520 and 7797 examples");
}

fn list(config: &Value, name: &str) -> Vec<String> {
    let items = config[name].as_array().into_iter().flatten();
    items.map(|item| item.as_str().unwrap().to_owned()).collect()
}

fn verifier_of(config: &Value) -> JwtVerifier {
    let algorithms = list(config, "algorithms").into_iter().map(|name| name.parse().unwrap());
    let mut builder = JwtVerifier::builder(config["issuer"].as_str().unwrap()).algorithms(algorithms);
    for audience in list(config, "audience") {
        builder = builder.audience(audience);
    }
    let leeway = config["leeway_seconds"].as_u64().unwrap_or(0);
    builder.leeway(std::time::Duration::from_secs(leeway)).build().unwrap()
}

/// Each case through the pure verifier, and through the whole layer, which also judges scopes.
#[test]
fn every_attack_is_refused() {
    let Some(document) = vectors("jwt/attacks.json") else { return };
    let now = document["now"].as_i64().unwrap();
    let keys = JwkSet::from_json(&document["jwks"].to_string()).unwrap();
    let mut tally = Tally::default();
    for case in document["cases"].as_array().unwrap() {
        let mut config = document["default_config"].clone();
        for (name, value) in case["config"].as_object().into_iter().flatten() {
            config[name] = value.clone();
        }
        let (name, token) = (case["id"].as_str().unwrap(), case["token"].as_str().unwrap());
        let verifier = verifier_of(&config);
        let scopes = list(&config, "required_scopes_any_of");
        let claims = verifier.verify(token.as_bytes(), &keys, Timestamp::new(0, now * 1_000_000_000));
        let has_scope = |claims: tower_gateway::jwt::Claims| {
            scopes.is_empty() || claims.scopes().iter().any(|scope| scopes.contains(scope))
        };
        let passes = claims.map(has_scope).unwrap_or(false);
        assert_eq!(
            passes_layer(&verifier, &keys, now, token, &scopes),
            passes,
            "{name}: layer and verifier agree"
        );
        match case["expect"].as_str().unwrap() {
            "either" => tally.skipped.push(format!("{name} (either is right; passes {passes})")),
            expect => tally.note(name, expect == "accept", passes),
        }
    }
    tally.report("attacks");
    assert!(tally.accepted >= 10 && tally.refused >= 50);
}

fn passes_layer(verifier: &JwtVerifier, keys: &JwkSet, now: i64, token: &str, scopes: &[String]) -> bool {
    use crate::support::{get, run, through};
    let clock = tower_gateway::clock::ManualClock::at_unix_seconds(now).clock();
    let authorizer = JwtAuthorizer::builder(verifier.clone(), JwkSource::fixed(keys.clone())).clock(clock);
    let layer = JwtAuthorizerLayer::new("attacked", authorizer.build().unwrap()).scopes(scopes.to_vec());
    let mut request = get("/");
    // A text that no header can carry does not arrive.
    let Ok(value) = http::HeaderValue::from_str(token) else { return false };
    request.headers_mut().insert("authorization", value);
    let (first, _) = run(through(layer.clone(), request));
    let again = {
        let mut request = get("/");
        request.headers_mut().insert("authorization", http::HeaderValue::from_str(token).unwrap());
        run(through(layer, request)).0
    };
    assert_eq!(first.status(), again.status(), "remembered or not: {token}");
    assert!(matches!(first.status().as_u16(), 200 | 401 | 403));
    first.status() == 200
}
