//! What may be stored, for how long, and without which fields.

use super::*;
use crate::cache::rfc::{SetCookie, hop_by_hop_fields};
use http::header::SET_COOKIE;

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

fn refusal(request: &[(&str, &str)], status: u16, answer: &[(&str, &str)]) -> Option<NoCacheReason> {
    plan_of(&Rfc9111::new(), request, status, answer).err()
}

#[test]
fn what_says_that_it_must_not_be_stored_is_not() {
    let said = |value| refusal(&[], 200, &[("cache-control", value), ("etag", "\"a\"")]);
    assert_eq!(said("max-age=60"), None);
    assert_eq!(said("no-store, max-age=60"), Some(NoCacheReason::NoStore));
    assert_eq!(said("private, max-age=60"), Some(NoCacheReason::Private));
    assert_eq!(
        refusal(&[("cache-control", "no-store")], 200, &[FRESH]),
        Some(NoCacheReason::RequestDirective)
    );
    assert_eq!(refusal(&[], 200, &[FRESH, ("vary", "*")]), Some(NoCacheReason::VaryAny));
}

#[test]
fn must_understand_overrides_no_store_where_the_status_is_understood() {
    let status = |status| refusal(&[], status, &[("cache-control", "max-age=60, no-store, must-understand")]);
    assert_eq!(status(200), None);
    assert_eq!(status(404), None);
    assert_eq!(status(299), Some(NoCacheReason::NoStore));
    assert_eq!(
        refusal(&[], 299, &[("cache-control", "max-age=60, must-understand")]),
        Some(NoCacheReason::NoStore)
    );
}

#[test]
fn a_status_needs_an_explicit_lifetime_unless_it_is_heuristically_cacheable() {
    for status in [200, 203, 204, 299, 301, 302, 308, 400, 404, 410, 500, 502, 503, 504, 599, 999] {
        assert_eq!(refusal(&[], status, &[FRESH]), None, "{status}");
    }
    for status in [206, 304, 412, 416, 428, 429, 431, 511] {
        assert_eq!(refusal(&[], status, &[FRESH]), Some(NoCacheReason::Status), "{status}");
    }
    for status in [201, 202, 302, 403, 502, 504] {
        let modified = [("last-modified", "Sat, 05 Nov 1994 08:49:37 GMT"), ("date", DATE_NOW)];
        assert_eq!(refusal(&[], status, &modified), Some(NoCacheReason::Status), "{status}");
        assert_eq!(refusal(&[], 404, &modified), None);
    }
}

#[test]
fn heuristic_freshness_is_off_unless_set() {
    let modified = [("last-modified", "Sat, 05 Nov 1994 08:49:37 GMT"), ("date", DATE_NOW)];
    let lifetime = |config: &Rfc9111| plan_of(config, &[], 200, &modified).unwrap().freshness.lifetime;
    assert_eq!(lifetime(&Rfc9111::new()), Duration::ZERO);
    assert_eq!(lifetime(&Rfc9111::new().heuristic_freshness(10, seconds(86_400))), seconds(8640));
    assert_eq!(lifetime(&Rfc9111::new().heuristic_freshness(10, seconds(60))), seconds(60));
    assert_eq!(
        lifetime(&Rfc9111::new().heuristic_freshness(u32::MAX, Duration::MAX)),
        seconds(u32::MAX.into())
    );
}

#[test]
fn nothing_is_stored_that_could_never_be_used() {
    assert_eq!(refusal(&[], 200, &[]), Some(NoCacheReason::NoFreshness));
    assert_eq!(refusal(&[], 200, &[("cache-control", "max-age=0")]), Some(NoCacheReason::NoFreshness));
    assert_eq!(refusal(&[], 200, &[("cache-control", "no-cache")]), Some(NoCacheReason::NoCache));
    assert_eq!(
        refusal(&[], 200, &[("cache-control", "max-age=60"), ("age", "60")]),
        Some(NoCacheReason::NoFreshness)
    );
    assert_eq!(refusal(&[], 200, &[("cache-control", "no-cache"), ("etag", "\"a\"")]), None);
    assert_eq!(refusal(&[], 200, &[("cache-control", "max-age=0, stale-while-revalidate=5")]), None);
    // A grace that the configuration gives does not make an answer storable that says nothing.
    let config = Rfc9111::new().stale_if_error(seconds(60));
    assert_eq!(plan_of(&config, &[], 200, &[]).unwrap_err(), NoCacheReason::NoFreshness);
}

#[test]
fn what_was_asked_with_credentials_is_shared_only_where_the_answer_says_so() {
    for credential in [("authorization", "Bearer a"), ("cookie", "session=1"), ("x-api-key", "k")] {
        assert_eq!(refusal(&[credential], 200, &[FRESH]), Some(NoCacheReason::Authorization));
        for shared in ["public", "s-maxage=60", "must-revalidate"] {
            let value = format!("max-age=60, {shared}");
            assert_eq!(refusal(&[credential], 200, &[("cache-control", &value)]), None, "{shared}");
        }
    }
    let no_cookies = Rfc9111::new().cookies_are_credentials(false);
    assert!(plan_of(&no_cookies, &[("cookie", "a=b")], 200, &[FRESH]).is_ok());
    assert!(plan_of(&no_cookies, &[("authorization", "a")], 200, &[FRESH]).is_err());
}

#[test]
fn a_cookie_made_for_one_client_reaches_no_other_by_default() {
    let sets = [FRESH, ("set-cookie", "session=1")];
    assert_eq!(refusal(&[], 200, &sets), Some(NoCacheReason::SetCookie));
    let with = |rule| plan_of(&Rfc9111::new().set_cookie(rule), &[], 200, &sets).unwrap().private;
    assert_eq!(with(SetCookie::Strip), [SET_COOKIE]);
    assert!(with(SetCookie::Store).is_empty());
    for named in ["max-age=60, private=\"set-cookie\"", "max-age=60, no-cache=\"Set-Cookie\""] {
        let plan = plan_of(&Rfc9111::new(), &[], 200, &[("cache-control", named), ("set-cookie", "a=b")]);
        assert_eq!(plan.unwrap().private, [SET_COOKIE], "{named}");
    }
}

#[test]
fn fields_of_the_connection_are_known_by_name_and_by_being_listed() {
    let fields =
        [("connection", "a, B"), ("a", "1"), ("b", "2"), ("c", "3"), ("keep-alive", "x"), ("te", "y")];
    let found = hop_by_hop_fields(&headers(&fields));
    let names: Vec<&str> = found.iter().map(HeaderName::as_str).collect();
    assert_eq!(names, ["a", "b", "connection", "keep-alive", "te"]);
}

#[test]
fn the_lifetime_is_the_first_of_s_maxage_max_age_and_expires() {
    let lifetime = |fields: &[(&str, &str)]| {
        let mut all = vec![("date", DATE_NOW), ("etag", "\"a\"")];
        all.extend_from_slice(fields);
        freshness_of(&all).lifetime.as_secs()
    };
    let in_a_minute = "Sun, 06 Nov 1994 08:50:37 GMT";
    assert_eq!(lifetime(&[("expires", in_a_minute)]), 60);
    assert_eq!(lifetime(&[("expires", in_a_minute), ("cache-control", "max-age=5")]), 5);
    assert_eq!(lifetime(&[("cache-control", "max-age=5, s-maxage=7"), ("expires", "0")]), 7);
    assert_eq!(lifetime(&[("cache-control", "max-age=5, s-maxage=x")]), 0);
    for past in ["0", "-1", "", DATE_NOW, "Sun, 06 Nov 1994 08:50:37 UTC", "Sun, 06 Nov 1994 8:50:37 GMT"] {
        assert_eq!(lifetime(&[("expires", past)]), 0, "{past}");
    }
}

#[test]
fn the_age_is_the_larger_of_what_was_said_and_what_the_date_shows() {
    let age = |fields: &[(&str, &str)], requested: u64, responded: u64| {
        let mut all = vec![("cache-control", "max-age=60"), ("etag", "\"a\"")];
        all.extend_from_slice(fields);
        let all = headers(&all);
        let view = ResponseView { requested: at(requested), responded: at(responded), ..response(&all) };
        let asked = storage::Asked::of(&HeaderMap::new(), false);
        storage::plan(&Rfc9111::new(), asked, view).unwrap().freshness.initial_age.as_secs()
    };
    assert_eq!(age(&[], 0, 0), 0);
    assert_eq!(age(&[], 0, 7), 7);
    assert_eq!(age(&[("age", "30")], 0, 7), 37);
    assert_eq!(age(&[("date", DATE_NOW)], 40, 42), 42);
    assert_eq!(age(&[("date", DATE_NOW), ("age", "50")], 40, 42), 52);
    // A date of the future says nothing about the age.
    assert_eq!(age(&[("date", "Sun, 06 Nov 1995 08:49:37 GMT")], 0, 0), 0);
    for (value, seconds) in
        [("abc", 0), ("7200.0", 0), ("-1", 0), ("", 0), ("7200;foo=bar", 0), ("7200, 0", 7200)]
    {
        assert_eq!(age(&[("age", value)], 0, 0), seconds, "{value}");
    }
    assert_eq!(age(&[("age", "0, 7200")], 0, 0), 0);
    assert_eq!(age(&[("age", "99999999999999999999")], 0, 9), 1 << 31);
    assert_eq!(age(&[("age", "0"), ("age", "5")], 0, 0), 0);
}
