//! `Cache-Control` in every shape, and reuse by it.

use super::*;
use crate::cache::rfc::{
    Qualified, ResponseControl, parse_targeted,
    reuse::{Reuse, reuse, stands_in},
};
use http::header::{CACHE_CONTROL, SET_COOKIE};

fn answer(value: &str) -> ResponseControl {
    ResponseControl::of(&headers(&[("cache-control", value)]))
}

#[test]
fn a_duration_is_digits_and_nothing_else() {
    for (text, age) in [
        ("max-age=3600", Some(3600)),
        ("MaX-aGe=3600", Some(3600)),
        ("max-age=003600", Some(3600)),
        ("max-age=\"3600\"", Some(3600)),
        ("max-age=99999999999", Some(1 << 31)),
        ("max-age=2147483649", Some(1 << 31)),
        ("max-age=-3600", Some(0)),
        ("max-age='3600'", Some(0)),
        ("max-age=3600.0", Some(0)),
        ("max-age=3600a", Some(0)),
        ("max-age", Some(0)),
        ("max-age=", Some(0)),
        ("max-age =3600", Some(0)),
        ("max-age= 3600", Some(0)),
        ("max-age=3600 7200", Some(0)),
        ("max-age=1800, max-age=1", Some(1800)),
        ("max-age=1, max-age=1800", Some(1)),
        ("max-age=1, extension=\"max-age=3600\"", Some(1)),
        ("extension=\"max-age=3600\"", None),
        ("extension=\"a, max-age=3600\", public", None),
        ("xmax-age=3600", None),
        ("\"max-age=3600\"", None),
    ] {
        assert_eq!(answer(text).max_age, age, "{text}");
    }
}

#[test]
fn a_directive_counts_in_any_case_and_with_any_value() {
    for text in
        ["no-store", "NO-StOrE", "no-store=1", "a=b,,no-store ,", "no-store x", "x=\"\\\"\", no-store"]
    {
        assert!(answer(text).no_store, "{text}");
    }
    for text in ["no-stores", "x=no-store", "x=\"no-store\"", "x=\"a, no-store\""] {
        assert!(!answer(text).no_store, "{text}");
    }
}

#[test]
fn a_quoted_string_without_an_end_keeps_the_answer_out() {
    for text in ["max-age=60, x=\"no-store", "x=\"\\\"", "\"", "max-age=1 \", public"] {
        assert!(answer(text).malformed, "{text}");
    }
    assert_eq!(
        plan_of(&Rfc9111::new(), &[], 200, &[("cache-control", "max-age=60, x=\"no-store")]).unwrap_err(),
        NoCacheReason::NoStore
    );
}

#[test]
fn private_and_no_cache_may_name_fields() {
    assert_eq!(answer("private=\"Set-Cookie\"").private, Qualified::Fields(vec![SET_COOKIE]));
    assert_eq!(answer("no-cache=set-cookie").no_cache, Qualified::Fields(vec![SET_COOKIE]));
    assert_eq!(answer("private=\"a, b\", private=\"c\"").private.fields().len(), 3);
    for whole in
        ["private", "private=\"\"", "private=\"a b\"", "private=\"a\", private", "private, private=\"a\""]
    {
        assert_eq!(answer(whole).private, Qualified::Whole, "{whole}");
    }
}

#[test]
fn pragma_counts_only_without_cache_control() {
    assert!(RequestControl::of(&headers(&[("pragma", "No-Cache")])).no_cache);
    assert!(!RequestControl::of(&headers(&[("pragma", "no-cache"), ("cache-control", "x")])).no_cache);
    assert!(!RequestControl::of(&headers(&[("pragma", "foo")])).no_cache);
}

#[test]
fn a_request_directive_decides_about_a_fresh_answer() {
    let stored = meta(freshness_of(&[("cache-control", "max-age=100")]));
    let at_60 = |text: &str| reuse(&stored, &control(text), at(60));
    assert_eq!(at_60(""), Reuse::Fresh);
    assert_eq!(at_60("max-age=61"), Reuse::Fresh);
    assert_eq!(at_60("max-age=59"), Reuse::Validate);
    assert_eq!(at_60("max-age=oops"), Reuse::Validate);
    assert_eq!(at_60("min-fresh=40"), Reuse::Fresh);
    assert_eq!(at_60("min-fresh=41"), Reuse::Validate);
    assert_eq!(at_60("min-fresh=oops"), Reuse::Fresh);
    assert_eq!(at_60("no-cache"), Reuse::Validate);
    assert_eq!(reuse(&stored, &control("max-age=0"), at(0)), Reuse::Validate);
    assert_eq!(reuse(&stored, &control(""), at(100)), Reuse::Validate);
}

#[test]
fn a_stale_answer_is_used_only_by_leave() {
    let stale = |answer: &str, request: &str| {
        let stored = meta(freshness_of(&[("cache-control", answer), ("etag", "\"a\"")]));
        reuse(&stored, &control(request), at(110))
    };
    assert_eq!(stale("max-age=100", ""), Reuse::Validate);
    assert_eq!(stale("max-age=100", "max-stale"), Reuse::Stale);
    assert_eq!(stale("max-age=100", "max-stale=10"), Reuse::Stale);
    assert_eq!(stale("max-age=100", "max-stale=9"), Reuse::Validate);
    assert_eq!(stale("max-age=100", "max-stale, min-fresh=1"), Reuse::Validate);
    assert_eq!(stale("max-age=100, stale-while-revalidate=11", ""), Reuse::StaleWhileRevalidate);
    assert_eq!(stale("max-age=100, stale-while-revalidate=10", ""), Reuse::Validate);
    for forbidding in ["must-revalidate", "proxy-revalidate", "s-maxage=100", "no-cache"] {
        let answer = format!("max-age=100, stale-while-revalidate=60, {forbidding}");
        assert_eq!(stale(&answer, "max-stale"), Reuse::Validate, "{forbidding}");
    }
}

#[test]
fn a_reload_of_an_immutable_answer_is_not_forwarded_while_it_is_fresh() {
    let stored = meta(freshness_of(&[("cache-control", "max-age=100, immutable")]));
    assert_eq!(reuse(&stored, &control("max-age=0"), at(1)), Reuse::Fresh);
    assert_eq!(reuse(&stored, &control("no-cache"), at(1)), Reuse::Validate);
    assert_eq!(reuse(&stored, &control("max-age=0"), at(100)), Reuse::Validate);
}

#[test]
fn a_stale_answer_stands_in_for_a_failing_service_by_leave_only() {
    let config = Rfc9111::new().stale_if_error(seconds(60));
    let stands = |config: &Rfc9111, answer: &str, request: &str| {
        let plan = plan_of(config, &[], 200, &[("cache-control", answer), ("etag", "\"a\"")]).unwrap();
        stands_in(&meta(plan.freshness), &control(request), at(120))
    };
    assert!(stands(&config, "max-age=100", ""));
    assert!(!stands(&Rfc9111::new(), "max-age=100", ""));
    assert!(stands(&Rfc9111::new(), "max-age=100, stale-if-error=21", ""));
    assert!(!stands(&config, "max-age=100, stale-if-error=20", ""));
    assert!(stands(&Rfc9111::new(), "max-age=100", "stale-if-error=21"));
    assert!(!stands(&config, "max-age=100", "no-cache"));
    for forbidding in ["must-revalidate", "proxy-revalidate", "s-maxage=100", "no-cache"] {
        assert!(
            !stands(&config, &format!("max-age=100, {forbidding}"), "stale-if-error=600"),
            "{forbidding}"
        );
    }
}

#[test]
fn a_targeted_field_counts_alone_or_not_at_all() {
    let lifetime = |fields: &[(&str, &str)]| freshness_of(fields).lifetime;
    assert_eq!(lifetime(&[("cdn-cache-control", "max-age=9"), ("cache-control", "max-age=1")]), seconds(9));
    assert_eq!(lifetime(&[("cdn-cache-control", "max-age=9"), ("expires", "0")]), seconds(9));
    assert_eq!(lifetime(&[("cdn-cache-control", ""), ("cache-control", "max-age=1")]), seconds(1));
    assert_eq!(lifetime(&[("cdn-cache-control", "a, &"), ("cache-control", "max-age=1")]), seconds(1));
    let refused = |fields: &[(&str, &str)]| plan_of(&Rfc9111::new(), &[], 200, fields).unwrap_err();
    let no_store = [("cdn-cache-control", "no-store"), ("cache-control", "max-age=1")];
    assert_eq!(refused(&no_store), NoCacheReason::NoStore);
    // With a targeted field that gives no lifetime, nothing else gives one either.
    assert_eq!(
        refused(&[("cdn-cache-control", "foo"), ("cache-control", "max-age=1")]),
        NoCacheReason::NoFreshness
    );
    let unaimed = Rfc9111::new().targets([]);
    let plan =
        plan_of(&unaimed, &[], 200, &[("cdn-cache-control", "no-store"), ("cache-control", "max-age=1")]);
    assert_eq!(plan.unwrap().freshness.lifetime, seconds(1));
}

#[test]
fn a_targeted_field_is_a_dictionary_of_structured_fields() {
    for valid in [
        "max-age=1",
        " max-age=1 ",
        "a;b=1;c, max-age=1;x",
        "max-age=5, max-age=1",
        "x=(1 2 \"a\";b);c, max-age=1",
        "b=:aGk=:, d=1.5, t=tok/x, q=?0, i=-7, w=@12, *z, max-age=1",
        "s=\"a\\\"b, c\",\tmax-age=1",
    ] {
        assert_eq!(parse_targeted(valid.as_bytes()).and_then(|control| control.max_age), Some(1), "{valid}");
    }
    for invalid in [
        "",
        " ",
        "max-age=1,",
        "max-age=1 a",
        "MAX-age=1",
        "max-age= 1",
        "max-age=1.0",
        "max-age=\"1\"",
        "max-age=",
        "max-age",
        "a=(1",
        "a=(1\"b\")",
        "a=\"b",
        "a=\"\u{e9}\"",
        "a=?2",
        "a=1.2345",
        "a=1234567890123456",
        "a=-",
        "a=:x",
        "max-age=1,,b",
        "a=@1.5",
        "a;B",
        "a=&",
    ] {
        assert_eq!(parse_targeted(invalid.as_bytes()), None, "{invalid}");
    }
    assert!(!parse_targeted(b"no-store=?0").unwrap().no_store);
    assert!(parse_targeted(b"no-store=1").unwrap().no_store);
    assert_eq!(
        parse_targeted(b"private=\"set-cookie\"").unwrap().private,
        Qualified::Fields(vec![SET_COOKIE])
    );
    assert_eq!(parse_targeted(b"max-age=-1").unwrap().max_age, Some(0));
}

#[test]
fn every_line_of_a_field_counts() {
    let mut two = headers(&[("cache-control", "public")]);
    two.append(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let control = ResponseControl::of(&two);
    assert!(control.public && control.no_store);
}
