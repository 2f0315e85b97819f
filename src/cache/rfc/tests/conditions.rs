//! Conditions, freshening, ranges, invalidation, `Vary`, as the rules answer them.

use super::*;
use crate::{
    cache::{
        CacheStatus,
        rfc::{condition, invalidation, vary},
        rules::{BodyPart, Decision, Head, Lookup, Provenance, Rules, Verdict},
        selection::Selection,
    },
    route::CacheSettings,
};
use http::header::{
    AGE, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, VARY,
};
use std::sync::Arc;

const EARLIER: &str = "Sun, 06 Nov 1994 08:00:00 GMT";

fn not_modified(request: &[(&str, &str)], stored: &[(&str, &str)]) -> bool {
    condition::is_not_modified(&headers(request), &headers(stored), NOW)
}

#[test]
fn an_entity_tag_is_compared_weakly() {
    let holds = |sent, stored| not_modified(&[("if-none-match", sent)], &[("etag", stored)]);
    for (sent, stored) in [
        ("\"a\"", "\"a\""),
        ("W/\"a\"", "\"a\""),
        ("\"a\"", "W/\"a\""),
        ("\"1\", \"a\" , \"2\"", "\"a\""),
        ("\"x,y\", \"a\"", "\"a\""),
        ("\"x,y\"", "\"x,y\""),
        ("*", "\"a\""),
        ("a", "a"),
    ] {
        assert!(holds(sent, stored), "{sent} {stored}");
    }
    for (sent, stored) in [
        ("\"b\"", "\"a\""),
        ("a", "\"a\""),
        ("\"a\"", "a"),
        ("\"x,a\"", "\"a\""),
        ("w/\"a\"", "\"a\""),
        ("", "\"a\""),
    ] {
        assert!(!holds(sent, stored), "{sent} {stored}");
    }
    assert!(!not_modified(&[("if-none-match", "\"a\"")], &[]));
    // If-None-Match decides alone.
    let both = [("if-none-match", "\"b\""), ("if-modified-since", DATE_NOW)];
    assert!(!not_modified(&both, &[("etag", "\"a\""), ("last-modified", EARLIER)]));
}

#[test]
fn a_date_is_compared_with_last_modified_or_else_with_date() {
    let since = |value| [("if-modified-since", value)];
    assert!(not_modified(&since(EARLIER), &[("last-modified", EARLIER)]));
    assert!(not_modified(&since(DATE_NOW), &[("last-modified", EARLIER)]));
    assert!(!not_modified(&since(EARLIER), &[("last-modified", DATE_NOW)]));
    assert!(not_modified(&since(DATE_NOW), &[("date", DATE_NOW)]));
    assert!(!not_modified(&since("yesterday"), &[("last-modified", EARLIER)]));
    assert!(!not_modified(&since(DATE_NOW), &[("last-modified", "0"), ("date", DATE_NOW)]));
    assert!(!not_modified(&since(DATE_NOW), &[]));
}

#[test]
fn a_304_must_speak_of_what_is_stored() {
    let confirms = |update, stored| condition::confirms(&headers(update), &headers(stored));
    assert!(confirms(&[("etag", "\"a\"")], &[("etag", "\"a\"")]));
    assert!(confirms(&[("etag", "W/\"a\"")], &[("etag", "\"a\"")]));
    assert!(confirms(&[], &[("etag", "\"a\"")]));
    assert!(confirms(&[("last-modified", EARLIER)], &[("last-modified", EARLIER)]));
    assert!(!confirms(&[("etag", "\"b\"")], &[("etag", "\"a\"")]));
    assert!(!confirms(&[("etag", "\"a\"")], &[("etag", "W/\"a\"")]));
    assert!(!confirms(&[("etag", "\"a\"")], &[("last-modified", EARLIER)]));
    assert!(!confirms(&[("last-modified", DATE_NOW)], &[("last-modified", EARLIER)]));
}

#[test]
fn a_304_replaces_fields_but_not_those_that_describe_the_stored_bytes() {
    let stored = headers(&[("a", "1"), ("a", "2"), ("b", "1"), ("content-length", "5"), ("age", "9")]);
    let update =
        headers(&[("a", "3"), ("c", "1"), ("content-length", "0"), ("content-encoding", "br"), ("te", "x")]);
    let fresh = condition::freshened(&stored, &update, &[http::header::TE]);
    assert_eq!(fresh, headers(&[("a", "3"), ("b", "1"), ("c", "1"), ("content-length", "5")]));
}

#[test]
fn a_validation_carries_the_stored_validators_and_none_of_the_clients() {
    let mut request =
        headers(&[("if-none-match", "\"x\""), ("range", "bytes=0-1"), ("if-range", "\"x\""), ("abc", "1")]);
    condition::ask_for_all(&mut request);
    condition::validate(&mut request, &headers(&[("etag", "W/\"a\""), ("last-modified", EARLIER)]));
    assert_eq!(
        request,
        headers(&[("abc", "1"), ("if-none-match", "W/\"a\""), ("if-modified-since", EARLIER)])
    );
}

fn entry(fields: &[(&str, &str)]) -> Arc<Entry> {
    let headers = headers(fields);
    let freshness = freshness_of(fields);
    let content = Content { headers, body: Bytes::from("0123456789A"), trailers: None };
    Arc::new(Entry::new(meta(freshness), content))
}

fn presented(method: &Method, request: &[(&str, &str)], stored: &[(&str, &str)]) -> (Head, BodyPart) {
    let (entry, request, uri) = (entry(stored), headers(request), Uri::from_static("/x"));
    let mut head = Head { status: StatusCode::OK, headers: entry.content.headers.clone() };
    let provenance = Provenance {
        status: CacheStatus::Hit,
        reason: None,
        forward_status: None,
        stored: true,
        not_stored: None,
        now: at(12),
    };
    let request = view(method, &uri, &request);
    let part = Rfc9111::new().present(request, &entry.meta, &mut head, Some(&entry.content.body), provenance);
    (head, part)
}

#[test]
fn a_hit_carries_its_age_and_says_so() {
    let (head, part) = presented(&Method::GET, &[], &[("cache-control", "max-age=60"), ("age", "30")]);
    assert_eq!((head.status, part), (StatusCode::OK, BodyPart::Whole));
    assert_eq!(head.headers[AGE], "42");
    assert_eq!(head.headers["cache-status"], "tower-gateway; hit; ttl=18");
    let (_, part) = presented(&Method::HEAD, &[], &[("cache-control", "max-age=60")]);
    assert_eq!(part, BodyPart::Nothing);
}

#[test]
fn a_client_that_has_it_gets_a_304() {
    let stored = [
        ("cache-control", "max-age=60"),
        ("etag", "\"a\""),
        ("content-type", "text/plain"),
        ("last-modified", EARLIER),
    ];
    let (head, part) = presented(&Method::GET, &[("if-none-match", "\"a\"")], &stored);
    assert_eq!((head.status, part), (StatusCode::NOT_MODIFIED, BodyPart::Nothing));
    assert!(head.headers.contains_key(ETAG) && head.headers.contains_key("cache-control"));
    assert!(!head.headers.contains_key(CONTENT_TYPE) && !head.headers.contains_key(LAST_MODIFIED));
    let (head, part) = presented(&Method::GET, &[("if-none-match", "\"b\"")], &stored);
    assert_eq!((head.status, part), (StatusCode::OK, BodyPart::Whole));
}

#[test]
fn a_range_is_taken_from_the_whole() {
    let stored =
        [("cache-control", "max-age=60"), ("etag", "\"a\""), ("date", DATE_NOW), ("last-modified", EARLIER)];
    let part = |request: &[(&str, &str)]| presented(&Method::GET, request, &stored);
    let (head, body) = part(&[("range", "bytes=0-1")]);
    assert_eq!((head.status, body), (StatusCode::PARTIAL_CONTENT, BodyPart::Slice(0..2)));
    assert_eq!(head.headers[CONTENT_RANGE], "bytes 0-1/11");
    assert_eq!(head.headers["content-length"], "2");
    let (head, body) = part(&[("range", "bytes=11-")]);
    assert_eq!((head.status, body), (StatusCode::RANGE_NOT_SATISFIABLE, BodyPart::Nothing));
    assert_eq!(head.headers[CONTENT_RANGE], "bytes */11");
    for whole in ["\"b\"", "W/\"a\"", DATE_NOW, "x"] {
        assert_eq!(part(&[("range", "bytes=0-1"), ("if-range", whole)]).1, BodyPart::Whole, "{whole}");
    }
    for applies in ["\"a\"", EARLIER] {
        assert_eq!(
            part(&[("range", "bytes=0-1"), ("if-range", applies)]).1,
            BodyPart::Slice(0..2),
            "{applies}"
        );
    }
}

fn lookup(method: &Method, request: &[(&str, &str)], stored: Option<&[(&str, &str)]>, now: u64) -> Decision {
    let (request, uri) = (headers(request), Uri::from_static("/x"));
    let found: Option<Arc<Entry>> = stored.map(entry);
    let has_credentials = asked(&Rfc9111::new(), &request).has_credentials;
    Rfc9111::new().on_lookup(
        view(method, &uri, &request),
        Lookup { has_credentials, ..Lookup::default() },
        found.as_deref(),
        false,
        at(now),
    )
}

#[test]
fn a_lookup_ends_in_one_of_these() {
    let fresh: Option<&[(&str, &str)]> = Some(&[("cache-control", "max-age=60"), ("etag", "\"a\"")]);
    let bare: Option<&[(&str, &str)]> = Some(&[("cache-control", "max-age=60")]);
    let get = |request: &[(&str, &str)], stored, now| lookup(&Method::GET, request, stored, now);
    assert!(matches!(get(&[], fresh, 0), Decision::Hit));
    assert!(matches!(get(&[], fresh, 60), Decision::Revalidate(NoCacheReason::Expired)));
    assert!(matches!(get(&[], bare, 60), Decision::Miss(NoCacheReason::Expired)));
    assert!(matches!(get(&[("range", "bytes=0-1")], bare, 60), Decision::Pass(NoCacheReason::Expired)));
    assert!(matches!(
        get(&[("range", "bytes=0-1")], fresh, 60),
        Decision::Revalidate(NoCacheReason::Expired)
    ));
    assert!(matches!(get(&[("range", "bytes=0-1")], None, 0), Decision::Pass(NoCacheReason::Range)));
    assert!(matches!(get(&[], None, 0), Decision::Miss(NoCacheReason::NotFound)));
    assert!(matches!(get(&[("cache-control", "no-store")], None, 0), Decision::Pass(_)));
    for request in ["only-if-cached", "only-if-cached, no-cache", "only-if-cached, max-age=0"] {
        assert!(matches!(get(&[("cache-control", request)], None, 0), Decision::GatewayTimeout));
    }
    assert!(matches!(get(&[("cache-control", "only-if-cached")], fresh, 1), Decision::Hit));
    assert!(matches!(get(&[("cache-control", "only-if-cached")], fresh, 60), Decision::GatewayTimeout));
    assert!(matches!(lookup(&Method::HEAD, &[], fresh, 0), Decision::Hit));
    assert!(matches!(lookup(&Method::HEAD, &[], fresh, 60), Decision::Revalidate(NoCacheReason::Expired)));
    // A client with credentials could not leave a confirmation behind for others.
    assert!(matches!(get(&[("cookie", "a=b")], fresh, 60), Decision::Miss(NoCacheReason::Expired)));
    let shared: Option<&[(&str, &str)]> = Some(&[("cache-control", "s-maxage=60"), ("etag", "\"a\"")]);
    assert!(matches!(
        get(&[("authorization", "a")], shared, 60),
        Decision::Revalidate(NoCacheReason::Expired)
    ));
    assert!(matches!(lookup(&Method::HEAD, &[], None, 0), Decision::Pass(_)));
}

#[test]
fn a_304_freshens_and_a_failure_may_be_covered() {
    let stored = entry(&[("cache-control", "max-age=60, stale-if-error=30"), ("etag", "\"a\""), ("x", "1")]);
    let answer = |status: u16, fields: &[(&str, &str)], now: u64| {
        let (request, uri, fields) = (HeaderMap::new(), Uri::from_static("/x"), headers(fields));
        let status = StatusCode::from_u16(status).unwrap();
        let response = ResponseView { status, headers: &fields, requested: at(now), responded: at(now) };
        let request = view(&Method::GET, &uri, &request);
        Rfc9111::new().on_response(
            request,
            Lookup::default(),
            &CacheSettings::default(),
            response,
            Present::of(response.headers),
            Some(&stored),
        )
    };
    let freshened = |fields: &[(&str, &str)]| match answer(304, fields, 70) {
        Verdict::Freshen { headers, plan } => (headers, plan.map(|plan| plan.freshness.lifetime)),
        other => panic!("{other:?}"),
    };
    let (headers, lifetime) = freshened(&[("etag", "\"a\""), ("x", "2")]);
    assert_eq!((headers["x"].to_str().unwrap(), lifetime), ("2", Ok(seconds(60))));
    let (headers, lifetime) = freshened(&[("etag", "\"b\""), ("x", "2")]);
    assert_eq!((headers["x"].to_str().unwrap(), lifetime), ("1", Err(NoCacheReason::Contradicted)));
    // For the client that asked, it is as the service now says; for others there is none.
    let (headers, lifetime) = freshened(&[("cache-control", "no-store")]);
    assert_eq!((headers["x"].to_str().unwrap(), lifetime), ("1", Err(NoCacheReason::NoStore)));
    let (headers, lifetime) = freshened(&[("set-cookie", "a=b")]);
    assert_eq!((headers["set-cookie"].to_str().unwrap(), lifetime), ("a=b", Err(NoCacheReason::SetCookie)));
    assert!(matches!(answer(503, &[], 89), Verdict::ServeStale));
    assert!(matches!(answer(503, &[], 90), Verdict::Discard(NoCacheReason::Status)));
    assert!(matches!(answer(404, &[("cache-control", "max-age=1")], 70), Verdict::Store(_)));
}

#[test]
fn an_unsafe_request_invalidates_what_it_names_at_its_own_host() {
    let targets = |reference: &str| {
        let answer = headers(&[("location", reference)]);
        let request = headers(&[("host", "api.example")]);
        let uri = Uri::from_static("/a/b?c=d");
        let all = invalidation::targets(&uri, &request, StatusCode::CREATED, &answer);
        assert_eq!(all[0], "/a/b?c=d");
        all.get(1).map(ToString::to_string)
    };
    for (reference, target) in [
        ("/x/y?z#f", "/x/y?z"),
        ("x", "/a/x"),
        ("../x", "/x"),
        ("./x/./y/../z", "/a/x/z"),
        ("../../../x", "/x"),
        ("..", "/"),
        (".", "/a/"),
        ("?q", "/a/b?q"),
        ("", "/a/b?c=d"),
        ("http://api.example/x", "/x"),
        ("HTTPS://API.example:443/x?y", "/x?y"),
        ("http://api.example", "/"),
        ("http://api.example?y", "/?y"),
        ("//api.example/x", "/x"),
        ("x:y", ""),
    ] {
        assert_eq!(targets(reference).unwrap_or_default(), target, "{reference}");
    }
    for foreign in [
        "http://evil.example/x",
        "//evil.example/x",
        "ftp://api.example/x",
        "http:/x",
        "http://api.example.evil/x",
    ] {
        assert_eq!(targets(foreign), None, "{foreign}");
    }
    let uri = Uri::from_static("/a");
    for status in [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::NOT_FOUND] {
        assert!(invalidation::targets(&uri, &HeaderMap::new(), status, &HeaderMap::new()).is_empty());
    }
    assert!(invalidation::is_unsafe(&Method::from_bytes(b"M-SEARCH").unwrap()));
    assert!(invalidation::is_unsafe(&Method::POST) && !invalidation::is_unsafe(&Method::OPTIONS));
}

#[test]
fn vary_names_are_read_from_all_lines() {
    let names = |fields: &[(&str, &str)]| {
        vary::names(&headers(fields)).map(|names| names.map(|names| names.to_vec()))
    };
    assert_eq!(names(&[]), Some(None));
    assert_eq!(names(&[("vary", ""), ("vary", " , ")]), Some(None));
    let two = Some(Some(vec![IF_MODIFIED_SINCE, IF_NONE_MATCH]));
    assert_eq!(names(&[("vary", "If-None-Match"), ("vary", "if-modified-since,IF-NONE-MATCH")]), two);
    for any in
        [[("vary", "*"), ("vary", "*")], [("vary", ""), ("vary", "*")], [("vary", "a, *"), ("vary", "b")]]
    {
        assert_eq!(names(&any), None);
    }
    assert_eq!(names(&[("vary", "a b")]), None);
    assert_eq!(VARY.as_str(), "vary");
}

#[test]
fn requests_differ_wherever_a_service_could_tell_them_apart() {
    let same = |name: &'static str, one: &[&str], other: &[&str]| {
        let request =
            |values: &[&str]| headers(&values.iter().map(|value| (name, *value)).collect::<Vec<_>>());
        let names: Arc<[HeaderName]> = Arc::new([HeaderName::from_static(name)]);
        Selection::of(names, &request(one)).matches(&request(other))
    };
    assert!(same("foo", &["1"], &["1"]) && same("foo", &[], &[]));
    for (one, other) in [
        (&["1"][..], &["2"][..]),
        (&["1"], &[]),
        (&[""], &[]),
        (&["1,2"], &["1, 2"]),
        (&["1", "2"], &["1, 2"]),
        (&["1", "2"], &["12"]),
    ] {
        assert!(!same("foo", one, other) && !same("foo", other, one), "{one:?} {other:?}");
    }
    assert!(
        same("accept-language", &["en, de"], &[" en ,\tde,"])
            && same("accept-encoding", &["a", "b"], &["a,b"])
    );
    assert!(!same("accept-language", &["en, de"], &["de, en"]) && !same("accept-language", &["en"], &["EN"]));
    assert!(!same("accept-language", &[""], &[]) && !same("accept", &["a;b=\"c,d\""], &["a;b=\"c, d\""]));
}
