//! The decision, and what a configuration may be.

use super::{
    config::{BackEndHeaders, Cors},
    layer::CorsLayer,
    origin::is_serialised,
    policy::Policy,
    touch::Touch,
};
use crate::{
    context::ContextConfig,
    error::ConfigError,
    route::{ApiMethod, Routes},
};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header::ORIGIN};
use proptest::prelude::*;
use std::{convert::Infallible, sync::Arc};
use tower::{Layer, ServiceExt};

const SHOP: &str = "https://shop.example";

fn shop() -> Cors {
    Cors::new()
        .allow_origins([SHOP])
        .allow_methods(["GET", "PUT"])
        .allow_headers(["X-Api-Key", "content-type"])
}

fn policy(cors: &Cors) -> Arc<Policy> {
    Arc::new(cors.clone().compile().unwrap())
}

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    map
}

/// The answer to a preflight, sorted; `None` if it is not taken for one.
fn preflight(cors: &Cors, fields: &[(&str, &str)]) -> Option<Vec<String>> {
    let answer = policy(cors).answer_preflight(&Method::OPTIONS, &map(fields));
    answer.as_ref().map(lines)
}

/// The answer to a `GET` that the service answered with `back_end`.
fn actual(cors: &Cors, request: &[(&str, &str)], back_end: &[(&str, &str)]) -> Vec<String> {
    let policy = policy(cors);
    let request = map(request);
    let own = request.get(ORIGIN);
    let mut headers = map(back_end);
    Touch::new(&policy, policy.judge(&request), own.cloned()).apply(&mut headers);
    lines(&headers)
}

fn lines(headers: &HeaderMap) -> Vec<String> {
    let mut lines: Vec<_> =
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    lines.sort();
    lines
}

const VARY: &str = "vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

#[test]
fn a_preflight_gets_the_lists_as_configured() {
    let asked = [("origin", SHOP), ("access-control-request-method", "DELETE")];
    assert_eq!(
        preflight(&shop().max_age(600), &asked).unwrap(),
        [
            "access-control-allow-headers: X-Api-Key,content-type",
            "access-control-allow-methods: GET,PUT",
            "access-control-allow-origin: https://shop.example",
            "access-control-max-age: 600",
            VARY,
        ]
    );
    let bare = Cors::new().allow_origins([SHOP]).allow_credentials(true).max_age(-1);
    assert_eq!(
        preflight(&bare, &asked).unwrap(),
        [
            "access-control-allow-credentials: true",
            "access-control-allow-origin: https://shop.example",
            "access-control-max-age: -1",
            VARY,
        ]
    );
}

#[test]
fn a_foreign_preflight_gets_vary_and_nothing_else() {
    for origin in [
        "https://evil.example",
        "null",
        "",
        "https://shop.example, https://shop.example",
        "HTTPS://SHOP.EXAMPLE",
    ] {
        let asked = [("origin", origin), ("access-control-request-method", "GET")];
        assert_eq!(preflight(&shop().allow_credentials(true), &asked).unwrap(), [VARY], "{origin}");
    }
}

#[test]
fn what_is_no_preflight() {
    let method = ("access-control-request-method", "GET");
    assert_eq!(preflight(&shop(), &[("origin", SHOP)]), None);
    assert_eq!(preflight(&shop(), &[method]), None);
    assert_eq!(preflight(&shop(), &[("origin", SHOP), ("origin", SHOP), method]), None);
    let request = map(&[("origin", SHOP), method]);
    assert!(policy(&shop()).answer_preflight(&Method::GET, &request).is_none());
}

#[test]
fn a_star_is_constant_and_needs_no_vary() {
    let open = Cors::new().allow_origins(["*", SHOP]).allow_methods(["*"]).expose_headers(["*"]);
    let asked = [("origin", "null"), ("access-control-request-method", "PURGE")];
    assert_eq!(
        preflight(&open, &asked).unwrap(),
        ["access-control-allow-methods: *", "access-control-allow-origin: *"]
    );
    let constant = ["access-control-allow-origin: *", "access-control-expose-headers: *"];
    for request in [&[("origin", SHOP)][..], &[], &[("origin", "a"), ("origin", "b")]] {
        assert_eq!(actual(&open, request, &[]), constant);
    }
    let comma = [("origin", "https://a.example,https://b.example"), asked[1]];
    assert_eq!(preflight(&open, &comma).unwrap(), [""; 0]);
}

#[test]
fn an_ordinary_answer() {
    let cors = shop().allow_credentials(true).expose_headers(["ETag", "X-Total"]);
    assert_eq!(
        actual(&cors, &[("origin", SHOP)], &[("etag", "1")]),
        [
            "access-control-allow-credentials: true",
            "access-control-allow-origin: https://shop.example",
            "access-control-expose-headers: ETag,X-Total",
            "etag: 1",
            "vary: Origin",
        ]
    );
    for request in [&[][..], &[("origin", "https://other.example")], &[("origin", SHOP), ("origin", SHOP)]] {
        assert_eq!(actual(&cors, request, &[]), ["vary: Origin"]);
    }
}

#[test]
fn vary_is_not_said_twice() {
    let vary = |back_end: &[(&str, &str)]| actual(&shop(), &[], back_end);
    assert_eq!(vary(&[("vary", "accept, oRiGiN")]), ["vary: accept, oRiGiN"]);
    assert_eq!(vary(&[("vary", "*")]), ["vary: *"]);
    assert_eq!(vary(&[("vary", "accept"), ("vary", "origin")]), ["vary: accept", "vary: origin"]);
    assert_eq!(vary(&[("vary", "x-origin")]), ["vary: Origin", "vary: x-origin"]);
}

#[test]
fn back_end_headers_are_replaced_or_kept() {
    let back_end = [
        ("access-control-allow-origin", "https://evil.example"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "*"),
        ("access-control-allow-headers", "*"),
        ("access-control-expose-headers", "*"),
        ("access-control-max-age", "1"),
        ("access-control-allow-private-network", "true"),
    ];
    let allowed = "access-control-allow-origin: https://shop.example";
    assert_eq!(actual(&shop(), &[("origin", SHOP)], &back_end), [allowed, "vary: Origin"]);
    assert_eq!(actual(&shop(), &[("origin", "https://evil.example")], &back_end), ["vary: Origin"]);
    assert_eq!(actual(&shop(), &[], &back_end), ["vary: Origin"]);
    let keep = shop().back_end_headers(BackEndHeaders::Keep).allow_credentials(true);
    let kept = actual(&keep, &[("origin", SHOP)], &back_end[..1]);
    assert_eq!(kept, ["access-control-allow-origin: https://evil.example", "vary: Origin"]);
    let ours = actual(&keep, &[("origin", SHOP)], &back_end[5..6]);
    assert!(ours.contains(&allowed.to_owned()), "{ours:?}");
    // Said to an origin that the back end does not know, which gets no `Access-Control-Allow-Origin` of it.
    let unmixed = actual(&shop().back_end_headers(BackEndHeaders::Keep), &[("origin", SHOP)], &back_end[1..]);
    assert_eq!(unmixed, [allowed, "vary: Origin"]);
    let evil = actual(&keep, &[("origin", "https://evil.example")], &back_end[1..2]);
    assert_eq!(evil, ["access-control-allow-credentials: true", "vary: Origin"]);
}

#[test]
fn with_credentials_a_star_becomes_what_was_asked_for() {
    let all = Cors::new()
        .allow_origins(["https://*"])
        .allow_methods(["*"])
        .allow_headers(["*"])
        .expose_headers(["*", "x-later"])
        .allow_credentials(true);
    let asked = [
        ("origin", "https://a.example"),
        ("access-control-request-method", "PURGE"),
        ("access-control-request-headers", "authorization,x-a, b\"d,*"),
        ("access-control-request-headers", "x-b"),
    ];
    let answer = preflight(&all, &asked).unwrap();
    assert_eq!(
        answer[1..3],
        ["access-control-allow-headers: x-a,x-b", "access-control-allow-methods: PURGE"]
    );
    let listed = all.clone().allow_headers(["*", "Authorization"]);
    assert_eq!(preflight(&listed, &asked).unwrap()[1], "access-control-allow-headers: authorization,x-a,x-b");
    for method in ["*", "a b", ""] {
        let answer = preflight(&all, &[asked[0], ("access-control-request-method", method)]).unwrap();
        assert_eq!(answer.len(), 3, "{answer:?}");
    }
    let answer = actual(&all, &asked[..1], &[("etag", "1"), ("*", "2")]);
    let exposed = "access-control-expose-headers: x-amzn-RequestId,x-amz-apigw-id,apigw-requestid,RateLimit,x-later,etag,vary";
    assert_eq!(answer[3], exposed);
}

#[test]
fn private_networks_are_off_until_switched_on() {
    let asked = [
        ("origin", SHOP),
        ("access-control-request-method", "GET"),
        ("access-control-request-private-network", "true"),
    ];
    let line = "access-control-allow-private-network: true".to_owned();
    assert!(!preflight(&shop(), &asked).unwrap().contains(&line));
    let on = shop().allow_private_network(true);
    assert!(preflight(&on, &asked).unwrap().contains(&line));
    assert!(!preflight(&on, &asked[..2]).unwrap().contains(&line));
}

#[test]
fn scheme_wildcards_take_serialised_origins_of_their_scheme() {
    let https = Cors::new().allow_origins(["https://*"]).allow_credentials(true);
    let allowed = |origin: &str| actual(&https, &[("origin", origin)], &[]).len() == 3;
    assert!(allowed("https://a.example") && allowed("https://a.example:8443") && allowed("https://[::1]"));
    for origin in [
        "http://a.example",
        "null",
        "https://",
        "https://a.example/",
        "https://a.example,https://b.example",
        "https://u@a.example",
        "https://A.example",
        "https://*",
        "https://a.example:443",
        "https://a.example:",
        "https://a b",
    ] {
        assert!(!allowed(origin), "{origin}");
    }
}

fn problem(cors: Cors) -> ConfigError {
    cors.build().unwrap_err()
}

#[test]
fn configurations_that_cannot_work() {
    let star = problem(Cors::new().allow_origins(["*"]).allow_credentials(true));
    let text = "allow_origins `*`: allow-credentials is not supported if 'allow-origin' is *";
    assert_eq!(star.to_string(), text);
    assert_eq!(problem(Cors::new().allow_origins(["null"]).allow_credentials(true)).value(), "null");
    for origin in [
        "shop.example",
        "https://shop.example/",
        "https://Shop.example",
        "https://shop.example:443",
        "http://shop.example:80",
        "https://shop.example:0",
        "https://shop.example:70000",
        "https://*.shop.example",
        "ftp://*",
        "https://user@shop.example",
        "https://",
        "https://[::1",
        "https://[1::2::3]",
        "https://bücher.example",
        "https://a.example,https://b.example",
        "",
        "Null",
    ] {
        assert_eq!(problem(Cors::new().allow_origins([origin])).value(), origin);
    }
    assert_eq!(problem(shop().allow_methods(["get"])).value(), "get");
    assert_eq!(problem(shop().allow_methods(["GET,PUT"])).location(), "allow_methods");
    assert_eq!(problem(shop().allow_headers(["x y"])).location(), "allow_headers");
    assert_eq!(problem(shop().expose_headers([""])).location(), "expose_headers");
    assert_eq!(
        problem(shop().max_age(86_401)).to_string(),
        "max_age `86401`: is not between -1 and 86400 seconds"
    );
    assert_eq!(problem(shop().max_age(-2)).value(), "-2");
}

#[test]
fn configurations_that_work() {
    for origin in [
        "https://shop.example:8443",
        "http://localhost:3000",
        "http://[::1]:3000",
        "null",
        "chrome-extension://abc",
    ] {
        assert!(Cors::new().allow_origins([origin]).build().is_ok(), "{origin}");
    }
    assert!(Cors::new().allow_origins(["https://*", "http://*"]).allow_credentials(true).build().is_ok());
    assert!(shop().allow_methods([Method::PATCH]).max_age(86_400).build().is_ok());
    assert!(Cors::new().warnings().is_empty());
    let doubtful = Cors::new().allow_origins(["https://*"]).allow_headers(["*"]).allow_methods(["patch"]);
    assert_eq!(doubtful.allow_credentials(true).warnings().len(), 3);
}

#[test]
fn resources_are_checked() {
    let layer = || CorsLayer::new(shop()).unwrap();
    assert_eq!(layer().resource("/pets/{id", shop()).unwrap_err().location(), "resource path");
    let twice = layer().resource("/pets", shop()).unwrap().resource_off("/pets").unwrap_err();
    assert_eq!(twice.to_string(), "cors resource `/pets`: is configured twice");
    let routes = Routes::catch_all();
    let missing = layer().resource("/pets", shop()).unwrap().routes(&routes).unwrap_err();
    assert_eq!(missing.problem(), "is not in the routes");
    assert!(layer().routes(&routes).unwrap().resource("/pets", shop()).is_err());
}

/// The resource that an outer layer matched decides, without a table of our own.
#[test]
fn an_outer_match_decides() {
    let routes =
        Routes::builder().any("/pets/{id}", ApiMethod::new()).any("/", ApiMethod::new()).build().unwrap();
    let layer = CorsLayer::off().resource("/pets/{id}", shop()).unwrap();
    let allowed = |path: &str| {
        let inner =
            tower::service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(Bytes::new())) });
        let mut request = Request::builder().uri(path).header("origin", SHOP).body(()).unwrap();
        let context = ContextConfig::default().find_or_create(&mut request);
        let _noted = context.method_in_force(Some(&routes.scope()), &Method::GET, path);
        let answer = layer.layer(inner).oneshot(request).now_or_never().unwrap().unwrap();
        answer.headers().contains_key("access-control-allow-origin")
    };
    assert!(allowed("/pets/7"));
    assert!(!allowed("/") && !allowed("/elsewhere"));
}

/// An origin by its parts, sometimes broken.
fn any_origin() -> impl Strategy<Value = String> {
    prop_oneof![
        "(https?|HTTP|ftp)://[a-c]{1,2}(\\.test)?(:(80|443|8000))?/?",
        "[ -~]{0,20}",
        Just("null".to_owned()),
        Just("*".to_owned()),
    ]
}

proptest! {
    #[test]
    fn an_origin_that_is_not_allowed_is_never_echoed(
        listed in prop::collection::vec(any_origin(), 0..5),
        origin in any_origin(),
        credentials in any::<bool>(),
    ) {
        let cors = Cors::new().allow_origins(&listed).allow_credentials(credentials).allow_methods(["*"]);
        let Ok(policy) = cors.compile() else { return Ok(()) };
        let has = |wanted: &str| listed.iter().any(|item| item == wanted);
        let request = map(&[("origin", &origin), ("access-control-request-method", "GET")]);
        let answer = policy.value(policy.judge(&request), request.get(ORIGIN));
        match answer.as_ref().map(|value| value.to_str().unwrap()) {
            Some("*") => prop_assert!(has("*") && !credentials),
            Some(echoed) => prop_assert!(echoed == origin && has(&origin)),
            None => prop_assert!(!has(&origin)),
        }
        let headers = policy.answer_preflight(&Method::OPTIONS, &request).unwrap();
        if !origin.contains(',') {
            prop_assert_eq!(headers.get("access-control-allow-origin"), answer.as_ref());
        }
        prop_assert!(!credentials || headers.values().all(|value| value != "*"));
    }

    #[test]
    fn garbage_is_no_origin_and_no_panic(text in "[ -~]{0,30}") {
        if is_serialised(text.as_bytes()) {
            prop_assert!(!text.contains(['*', ',', ' ', '@', '?', '#']) && text.contains("://"));
            prop_assert!(text.parse::<http::Uri>().is_ok());
        }
    }
}
