//! Requests that real clients signed.

use super::{Raw, credentials, vectors};
use crate::sigv4::{SigV4Verifier, date::SignedTime};
use serde_json::Value;
use std::{collections::BTreeMap, fs};

fn raw(case: &Value) -> Raw {
    let bytes: Vec<u8> = case["head"].as_str().unwrap().chars().map(|character| character as u8).collect();
    let mut raw = Raw::parse(&bytes);
    use base64::prelude::*;
    raw.body = BASE64_STANDARD.decode(case["body_base64"].as_str().unwrap()).unwrap();
    raw
}

fn signed_at(raw: &Raw) -> i64 {
    let in_query = || {
        let target = String::from_utf8_lossy(&raw.target).into_owned();
        let start = target.find("X-Amz-Date=").unwrap() + "X-Amz-Date=".len();
        target[start..start + 16].to_owned()
    };
    let text = raw.header("x-amz-date").unwrap_or_else(in_query);
    SignedTime::parse_basic(text.as_bytes()).unwrap().unix_seconds
}

fn accepts(verifier: &SigV4Verifier, case: &Value, raw: &Raw) -> bool {
    let verifier = if case["unsigned_payload"] == true {
        verifier.clone().allow_unsigned_payload(true)
    } else {
        verifier.clone()
    };
    let credentials = credentials(case["session_token"].as_str());
    raw.verify(&verifier, signed_at(raw), &credentials).is_some_and(|outcome| outcome.is_ok())
}

/// Whether a reading that the lenient setting adds was found to fit.
fn is_lenient(case: &Value) -> bool {
    let readings = case["verifies_with"].as_array().unwrap();
    let fits = ["double", "double+plus-is-space", "double+normalised+plus-is-space"];
    readings.iter().any(|reading| fits.contains(&reading.as_str().unwrap()))
}

#[test]
fn clients_are_accepted_as_the_documented_rule_says() {
    let Some(path) = vectors("sigv4-clients/requests.json") else { return };
    let file: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let verifier =
        SigV4Verifier::new(file["region"].as_str().unwrap(), file["service"].as_str().unwrap()).unwrap();
    let lenient = verifier.clone().lenient(true);
    let mut counts = BTreeMap::<String, [usize; 3]>::new();
    for case in file["cases"].as_array().unwrap() {
        let (raw, expect) = (raw(case), case["expect"].as_str().unwrap());
        let (strict, with_lenient) = (accepts(&verifier, case, &raw), accepts(&lenient, case, &raw));
        assert_eq!(strict, expect == "accept", "{}", case["id"]);
        assert_eq!(with_lenient, expect == "accept" || is_lenient(case), "lenient: {}", case["id"]);
        let count = counts.entry(expect.to_owned()).or_default();
        *count = [count[0] + 1, count[1] + usize::from(strict), count[2] + usize::from(with_lenient)];
    }
    println!("by expectation, [cases, accepted, accepted by the lenient setting]: {counts:?}");
    assert!(counts["accept"][0] > 100);
}
