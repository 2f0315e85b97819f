//! What clients are told has the shape of the drafts, judged by a reader that agrees with the outside vectors.

use super::*;

#[test]
fn the_reader_agrees_with_the_outside_vectors() {
    let Some(file) = vectors("ratelimit-fields/structured-fields.json") else { return };
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 54);
    for case in cases {
        let lines: Vec<_> =
            case["raw"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
        let parsed = fields::parse(case["header_type"].as_str().unwrap(), &lines);
        if case["must_fail"] == true {
            assert!(parsed.is_err(), "{case}");
        } else if case["can_fail"] != true || parsed.is_ok() {
            let is_binary = case["expected"][0]["__type"] == "binary";
            let parsed = parsed.unwrap_or_else(|error| panic!("{error}: {case}"));
            let same =
                if is_binary { parsed[0]["__type"] == "binary" } else { same(&parsed, &case["expected"]) };
            assert!(same, "{parsed} {case}");
        }
    }
}

/// Equal, a whole decimal being equal to the integer.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        _ => one == other,
    }
}

/// Strings with integer parameters, each known to the draft.
fn has_the_shape_of_the_draft(name: &str, field: &Value) -> bool {
    let known = if name.eq_ignore_ascii_case("ratelimit") { ["r", "t"] } else { ["q", "w"] };
    let needed = known[0];
    let items = field.as_array().unwrap();
    !items.is_empty()
        && items.iter().all(|item| {
            let parameters = item[1].as_array().unwrap();
            let number = |parameter: &Value| parameter[1].as_u64().is_some();
            item[0].is_string()
                && parameters.iter().any(|parameter| parameter[0] == needed)
                && parameters
                    .iter()
                    .all(|parameter| known.iter().any(|known| parameter[0] == *known) && number(parameter))
        })
}

#[test]
fn what_we_send_has_the_shape_of_the_drafts_examples() {
    let Some(file) = vectors("ratelimit-fields/draft-examples.json") else { return };
    let mut like_ours = 0;
    let examples = file["examples"].as_array().unwrap();
    assert_eq!(examples.len(), 15);
    for example in examples {
        for field in example["fields"].as_array().unwrap() {
            let (name, value) = (field[0].as_str().unwrap(), field[1].as_str().unwrap());
            let parsed = fields::parse("list", &[value]).unwrap();
            like_ours += usize::from(has_the_shape_of_the_draft(name, &parsed));
        }
    }
    assert!(like_ours >= 10, "the draft's own examples are judged by the same rule: {like_ours}");
    let full = |limit| UsagePlan::new("p").throttle(throttle(10.0, 20)).quota(limit);
    for plan in [
        full(quota(1_000)),
        full(quota(u64::MAX >> 1)),
        UsagePlan::new("p").throttle(throttle(0.0, 0)),
        UsagePlan::new("p").throttle(throttle(0.000_000_001, u32::MAX)),
        UsagePlan::new("p").quota(quota(0)),
    ] {
        let service = named(on_p(&one_plan(&clock(), plan))).layer(inner());
        for _ in 0..30 {
            let answer = send(&service, user("a", "/"));
            for name in ["ratelimit", "ratelimit-policy"] {
                let value = text(answer.headers(), name);
                assert!(
                    has_the_shape_of_the_draft(name, &fields::parse("list", &[value]).unwrap()),
                    "{value}"
                );
            }
        }
    }
}
