//! CORS, judged by a browser: what the Fetch standard makes of our answers.

use crate::support::{Strict, assert_service, run, through, vectors};
use axum::{Router, body::Body, routing::get};
use browser::Browser;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header::HeaderName};
use http_body_util::Full;
use proptest::prelude::*;
use serde_json::Value;
use std::convert::Infallible;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_gateway::{
    cors::{BackEndHeaders, Cors, CorsLayer},
    route::{ApiMethod, Routes},
};

/// The browser's side of the protocol, written from the Fetch standard and independent of the layer.
mod browser {
    pub(super) type Fields = [(String, String)];

    #[derive(Clone, Debug)]
    pub(super) struct Browser {
        pub(super) origin: String,
        /// Credentials mode `include`.
        pub(super) credentials: bool,
    }

    impl Browser {
        /// "CORS check": may the page read this answer?
        pub(super) fn lets_script_read(&self, answer: &Fields) -> bool {
            match get(answer, "access-control-allow-origin").as_deref() {
                Some("*") if !self.credentials => true,
                Some(allowed) if allowed == self.origin => {
                    !self.credentials
                        || get(answer, "access-control-allow-credentials").as_deref() == Some("true")
                }
                _ => false,
            }
        }

        /// "CORS-preflight fetch", from the answer on: is the request sent?
        pub(super) fn goes_on(
            &self,
            status: u16,
            answer: &Fields,
            method: &str,
            unsafe_names: &[&str],
        ) -> bool {
            let lists =
                (list(answer, "access-control-allow-methods"), list(answer, "access-control-allow-headers"));
            let (Some(methods), Some(names)) = lists else { return false };
            self.lets_script_read(answer)
                && (200..300).contains(&status)
                && self.allows_method(&methods, method)
                && unsafe_names.iter().all(|name| self.allows_name(&names, name))
        }

        fn allows_method(&self, methods: &[String], method: &str) -> bool {
            methods.iter().any(|allowed| allowed == method)
                || ["GET", "HEAD", "POST"].contains(&method)
                || self.takes_star(methods)
        }

        fn allows_name(&self, names: &[String], name: &str) -> bool {
            names.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
                || (!name.eq_ignore_ascii_case("authorization") && self.takes_star(names))
        }

        fn takes_star(&self, items: &[String]) -> bool {
            !self.credentials && items.iter().any(|item| item == "*")
        }

        /// "CORS filtered response": the value that the page sees.
        pub(super) fn script_sees(&self, answer: &Fields, name: &str) -> Option<String> {
            const SAFE: [&str; 7] = [
                "cache-control",
                "content-language",
                "content-length",
                "content-type",
                "expires",
                "last-modified",
                "pragma",
            ];
            let exposed = list(answer, "access-control-expose-headers").unwrap_or_default();
            let listed =
                exposed.iter().any(|item| item.eq_ignore_ascii_case(name)) || self.takes_star(&exposed);
            let forbidden = ["set-cookie", "set-cookie2"].contains(&&*name.to_ascii_lowercase());
            let visible = !forbidden && (listed || SAFE.contains(&&*name.to_ascii_lowercase()));
            if visible { get(answer, name) } else { None }
        }
    }

    /// "CORS-safelisted request-header", negated.
    pub(super) fn needs_preflight(name: &str, value: &str) -> bool {
        let value = trim(value);
        let safe = value.len() <= 128
            && match &*name.to_ascii_lowercase() {
                "accept" => !value.bytes().any(is_unsafe),
                "accept-language" | "content-language" => value.bytes().all(is_language_byte),
                "content-type" => !value.bytes().any(is_unsafe) && is_simple_type(value),
                "range" => is_simple_range(value),
                _ => false,
            };
        !safe
    }

    fn is_unsafe(byte: u8) -> bool {
        (byte < 0x20 && byte != b'\t') || b"\"():<>?@[\\]{}\x7f".contains(&byte)
    }

    fn is_language_byte(byte: u8) -> bool {
        byte.is_ascii_alphanumeric() || b" *,-.;=".contains(&byte)
    }

    fn is_simple_type(value: &str) -> bool {
        let essence = value.split(';').next().unwrap_or_default().trim_end_matches([' ', '\t', '\r', '\n']);
        ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"]
            .iter()
            .any(|simple| simple.eq_ignore_ascii_case(essence))
    }

    /// "Parse a single range header value", without whitespace, with a start.
    fn is_simple_range(value: &str) -> bool {
        let Some((start, end)) = value.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
            return false;
        };
        let number =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok());
        match (number(start), number(end)) {
            (Some(Some(start)), Some(Some(end))) => start <= end,
            (Some(Some(_)), Some(None)) => end.is_empty(),
            _ => false,
        }
    }

    /// "Get": values joined by `, `, as a browser has them after trimming.
    fn get(answer: &Fields, name: &str) -> Option<String> {
        let values: Vec<_> = answer
            .iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| trim(value))
            .collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// "Extract header list values"; `None` is a failure, an absent field an empty list.
    fn list(answer: &Fields, name: &str) -> Option<Vec<String>> {
        let text = get(answer, name).unwrap_or_default();
        let items = text.split(',').map(trim).filter(|item| !item.is_empty());
        items.map(|item| is_token(item).then(|| item.to_owned())).collect()
    }

    fn is_token(text: &str) -> bool {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
    }

    fn trim(value: &str) -> &str {
        value.trim_matches([' ', '\t', '\r', '\n'])
    }
}

// --- Outside vectors -------------------------------------------------------------------------------------------

/// A case, with words for what is missing.
struct Case<'a>(&'a Value);

impl<'a> Case<'a> {
    fn at(&self, pointer: &str) -> &'a Value {
        self.0.pointer(pointer).unwrap_or(&Value::Null)
    }

    fn text(&self, pointer: &str) -> &'a str {
        self.at(pointer).as_str().unwrap_or_default()
    }

    fn texts(&self, pointer: &str) -> Vec<&'a str> {
        self.at(pointer).as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }

    fn expects(&self, name: &str) -> bool {
        self.at(name).as_bool().unwrap_or_else(|| panic!("{}: no {name}", self.text("/id")))
    }

    fn browser(&self) -> Browser {
        let credentials = self.text("/request/credentials") == "include";
        Browser { origin: self.text("/request/headers/Origin").to_owned(), credentials }
    }

    fn answer(&self) -> Vec<(String, String)> {
        let pair =
            |field: &Value| (field[0].as_str().unwrap().to_owned(), field[1].as_str().unwrap().to_owned());
        self.at("/response_headers").as_array().unwrap().iter().map(pair).collect()
    }

    fn requested_names(&self) -> Vec<&'a str> {
        let names = self.text("/request/headers/Access-Control-Request-Headers");
        names.split(',').filter(|name| !name.is_empty()).collect()
    }

    fn goes_on(&self, status: u16, answer: &browser::Fields) -> bool {
        let method = self.text("/request/headers/Access-Control-Request-Method");
        self.browser().goes_on(status, answer, method, &self.requested_names())
    }

    fn layer(&self) -> CorsLayer {
        Cors::new()
            .allow_origins(self.texts("/gateway_allows/origins"))
            .allow_methods(self.texts("/gateway_allows/methods"))
            .allow_headers(self.texts("/gateway_allows/headers"))
            .allow_credentials(self.at("/gateway_allows/credentials").as_bool().unwrap_or(false))
            .build()
            .unwrap()
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::builder().method(self.text("/request/method"));
        for (name, value) in self.at("/request/headers").as_object().unwrap() {
            request = request.header(name, value.as_str().unwrap());
        }
        request.body(Full::default()).unwrap()
    }
}

#[test]
fn outside_vectors() {
    let Some(file) = vectors("cors/cases.json") else { return };
    let cases = file["cases"].as_array().unwrap();
    for case in cases.iter().map(Case) {
        judge(&case);
    }
    println!("{} cases", cases.len());
}

fn judge(case: &Case<'_>) {
    let id = case.text("/id");
    match case.text("/feature") {
        "browser-check-origin" | "browser-check-credentials" => {
            let reads = case.browser().lets_script_read(&case.answer());
            assert_eq!(reads, case.expects("/browser_lets_script_read"), "{id}");
        }
        "preflight-status" | "preflight-wildcard" => {
            let status = case.at("/response_status").as_u64().unwrap() as u16;
            assert_eq!(case.goes_on(status, &case.answer()), case.expects("/browser_goes_on"), "{id}");
        }
        "browser-preflight-needed" => {
            let needed =
                browser::needs_preflight(case.text("/client_header/0"), case.text("/client_header/1"));
            assert_eq!(needed, case.expects("/browser_sends_preflight"), "{id}");
        }
        "browser-expose" => {
            for (name, seen) in case.at("/script_sees").as_object().unwrap() {
                let sees = case.browser().script_sees(&case.answer(), name);
                assert_eq!(sees.as_deref(), seen.as_str(), "{id} {name}");
            }
        }
        "gateway-preflight" | "gateway-origin" => judge_gateway(case),
        other => panic!("{id}: what is {other}?"),
    }
}

fn judge_gateway(case: &Case<'_>) {
    let id = case.text("/id");
    let (answer, calls) = run(through(case.layer(), case.request()));
    let fields = fields(answer.headers());
    check_required(case, answer.status(), &fields);
    if !case.at("/client_header").is_null() {
        let header = (case.text("/client_header/0"), case.text("/client_header/1"));
        assert!(browser::needs_preflight(header.0, header.1), "{id}");
    }
    // Whatever the file asks for: the browser must come to what the configuration says.
    let origin_allowed = case.texts("/gateway_allows/origins").contains(&&*case.browser().origin);
    assert_eq!(case.browser().lets_script_read(&fields), origin_allowed, "{id}");
    if !case.text("/request/headers/Access-Control-Request-Method").is_empty() {
        assert_eq!((answer.status(), calls), (StatusCode::NO_CONTENT, 0), "{id}");
        assert_eq!(case.goes_on(204, &fields), origin_allowed && configured(case), "{id}");
    }
    check_then(case, &fields);
}

fn configured(case: &Case<'_>) -> bool {
    let method = case.text("/request/headers/Access-Control-Request-Method");
    let methods = case.texts("/gateway_allows/methods");
    let names = case.texts("/gateway_allows/headers");
    let listed = |name: &&str| names.iter().any(|allowed| allowed.eq_ignore_ascii_case(name));
    (methods.contains(&method) || ["GET", "HEAD", "POST"].contains(&method))
        && case.requested_names().iter().all(listed)
}

/// `require`: each key is a sentence of the file's own small language.
fn check_required(case: &Case<'_>, status: StatusCode, fields: &browser::Fields) {
    let id = case.text("/id");
    let value =
        |name: &str| fields.iter().find(|field| field.0.eq_ignore_ascii_case(name)).map(|field| &*field.1);
    let items = |name: &str| value(name).unwrap_or_default().split(',').map(str::trim).collect::<Vec<_>>();
    for (key, wanted) in case.at("/require").as_object().unwrap() {
        let (name, rule) = key.split_once(' ').unwrap_or((key, "is one of"));
        let wanted_texts = Case(wanted).texts("");
        let fulfilled = match rule {
            _ if key == "note" => true,
            _ if key == "status" => wanted == "2xx" && status.is_success(),
            "is one of" => wanted_texts.contains(&value(name).unwrap_or_default()),
            "contains" => items(name).contains(&wanted.as_str().unwrap()),
            "must not contain" => !items(name).contains(&wanted.as_str().unwrap()),
            "must not match the request" => {
                value(name).is_none_or(|value| value != "*" && value != case.browser().origin)
            }
            "covers (case-insensitive)" => {
                wanted_texts.iter().all(|text| items(name).iter().any(|item| item.eq_ignore_ascii_case(text)))
            }
            _ => panic!("{id}: what is {key}?"),
        };
        assert!(fulfilled, "{id}: {key} {wanted}, but {fields:?}");
    }
}

/// `then`: what the browser does next.
fn check_then(case: &Case<'_>, fields: &browser::Fields) {
    let id = case.text("/id");
    if let Some(goes_on) = case.at("/then/browser_goes_on").as_bool() {
        assert_eq!(case.goes_on(204, fields), goes_on, "{id}");
    }
    if let Some(reads) = case.at("/then/browser_lets_script_read").as_bool() {
        let request =
            Request::builder().method(case.text("/then/method")).header("origin", case.browser().origin);
        let (answer, calls) = run(through(case.layer(), request.body(Full::default()).unwrap()));
        assert_eq!(
            (case.browser().lets_script_read(&self::fields(answer.headers())), calls),
            (reads, 1),
            "{id}"
        );
    }
}

fn fields(headers: &HeaderMap) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect()
}

// --- The layer -------------------------------------------------------------------------------------------------

const SHOP: &str = "https://shop.example";

fn shop() -> Cors {
    Cors::new().allow_origins([SHOP]).allow_methods(["GET", "PUT"]).allow_headers(["x-api-key"]).max_age(600)
}

fn request(method: Method, uri: &str, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::default()).unwrap()
}

fn preflight(uri: &str, origin: &str, method: &str) -> Request<Full<Bytes>> {
    request(Method::OPTIONS, uri, &[("origin", origin), ("access-control-request-method", method)])
}

fn allowed<B>(answer: &Response<B>) -> Option<&str> {
    answer.headers().get("access-control-allow-origin").map(|value| value.to_str().unwrap())
}

#[test]
fn a_preflight_ends_here_and_everything_else_goes_on() {
    let layer = shop().build().unwrap();
    for origin in [SHOP, "https://evil.example"] {
        let (answer, calls) = run(through(layer.clone(), preflight("/pets", origin, "PUT")));
        assert_eq!((answer.status(), answer.body().len(), calls), (StatusCode::NO_CONTENT, 0, 0));
        assert_eq!(allowed(&answer).is_some(), origin == SHOP);
    }
    let once = [("origin", SHOP)];
    let twice = [("origin", SHOP), ("origin", SHOP), ("access-control-request-method", "PUT")];
    for (headers, expected) in [(&once[..], Some(SHOP)), (&twice[..], None), (&twice[2..], None)] {
        let (answer, calls) = run(through(layer.clone(), request(Method::OPTIONS, "/pets", headers)));
        assert_eq!((answer.status(), calls, allowed(&answer)), (StatusCode::OK, 1, expected));
        assert_eq!(answer.headers()["vary"], "Origin");
    }
}

/// A service that answers 403 with CORS headers of its own.
fn refusing()
-> impl Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = Infallible> + Clone {
    service_fn(|_| async {
        let answer =
            Response::builder().status(403).header("access-control-allow-origin", "https://evil.example");
        Ok(answer.header("access-control-max-age", "9").body(Full::from("no")).unwrap())
    })
}

#[test]
fn refusals_carry_our_headers_and_not_the_back_ends() {
    let ask = |cors: Cors, origin: &str| {
        let service = cors.build().unwrap().layer(refusing());
        run(service.oneshot(request(Method::GET, "/", &[("origin", origin)]))).unwrap()
    };
    let answer = ask(shop(), SHOP);
    assert_eq!((answer.status().as_u16(), allowed(&answer)), (403, Some(SHOP)));
    assert!(!answer.headers().contains_key("access-control-max-age"));
    assert_eq!(allowed(&ask(shop(), "https://evil.example")), None);
    let kept = ask(shop().back_end_headers(BackEndHeaders::Keep), SHOP);
    assert_eq!(allowed(&kept), Some("https://evil.example"));
    assert_eq!(kept.headers()["vary"], "Origin");
}

#[test]
fn errors_pass_untouched() {
    let broken = service_fn(|_: Request<Full<Bytes>>| async { Err::<Response<Full<Bytes>>, _>("broken") });
    let service = shop().build().unwrap().layer(broken);
    assert_eq!(run(service.oneshot(request(Method::GET, "/", &[("origin", SHOP)]))).unwrap_err(), "broken");
}

fn per_resource() -> CorsLayer {
    let routes = Routes::builder()
        .method("/pets/{id}", Method::GET, ApiMethod::new())
        .method("/orders", Method::PUT, ApiMethod::new())
        .any("/admin", ApiMethod::new())
        .any("/{proxy+}", ApiMethod::new());
    let partner = Cors::new().allow_origins(["https://partner.example"]).allow_methods(["GET"]);
    let layer = CorsLayer::new(shop()).unwrap().resource("/pets/{id}", partner).unwrap();
    layer.resource_off("/admin").unwrap().routes(routes.build().unwrap()).unwrap()
}

#[test]
fn a_resource_has_its_own_configuration_or_none() {
    let partner = "https://partner.example";
    let preflight_of = |uri, origin, method| {
        let (answer, calls) = run(through(per_resource(), preflight(uri, origin, method)));
        (allowed(&answer).is_some(), calls)
    };
    assert_eq!(preflight_of("/pets/7", partner, "GET"), (true, 0));
    assert_eq!(preflight_of("/pets/7", SHOP, "GET"), (false, 0));
    // The request would be served by `/{proxy+}`, so its configuration answers.
    assert_eq!(preflight_of("/pets/7", SHOP, "DELETE"), (true, 0));
    assert_eq!(preflight_of("/orders", SHOP, "PUT"), (true, 0));
    assert_eq!(preflight_of("/", SHOP, "GET"), (true, 0));
    assert_eq!(preflight_of("/admin", SHOP, "GET"), (false, 1));
    for (uri, origin, expected) in [
        ("/pets/7/", partner, Some(partner)),
        ("/pets/7", SHOP, None),
        ("/orders", SHOP, Some(SHOP)),
        ("/admin", SHOP, None),
    ] {
        let (answer, calls) = run(through(per_resource(), request(Method::GET, uri, &[("origin", origin)])));
        assert_eq!((allowed(&answer), calls), (expected, 1), "{uri} {origin}");
        assert_eq!(answer.headers().contains_key("vary"), uri != "/admin");
    }
}

/// What the preflight of a method allows, the refusal of the method says too.
#[cfg(feature = "gateway")]
#[test]
fn a_refusal_for_its_method_is_readable_as_the_resource_says() {
    let partner = "https://partner.example";
    let routes = Routes::builder().method("/pets", Method::GET, ApiMethod::new()).build().unwrap();
    let of_pets = Cors::new().allow_origins([partner]).allow_methods(["GET", "PUT"]);
    let layer = CorsLayer::off().resource("/pets", of_pets).unwrap();
    let gateway = tower_gateway::gateway::Gateway::builder().routes(routes).cors(layer).build().unwrap();
    let send = |request| run(gateway.layer(Strict::default()).oneshot(request)).unwrap();
    for (method, uri, expected) in [
        (Method::GET, "/pets", (200, Some(partner))),
        (Method::PUT, "/pets", (403, Some(partner))),
        (Method::HEAD, "/pets", (403, Some(partner))),
        (Method::OPTIONS, "/pets", (403, Some(partner))),
        (Method::PUT, "/cats", (403, None)),
    ] {
        let answer = send(request(method.clone(), uri, &[("origin", partner)]));
        let origin = answer.headers().get("access-control-allow-origin").map(|value| value.to_str().unwrap());
        assert_eq!((answer.status().as_u16(), origin), expected, "{method} {uri}");
        assert_eq!(answer.headers().contains_key("vary"), origin.is_some(), "{method} {uri}");
    }
}

#[test]
fn off_but_for_one_resource() {
    let routes = Routes::builder().any("/open", ApiMethod::new()).any("/", ApiMethod::new()).build().unwrap();
    let layer = CorsLayer::off().routes(routes).unwrap().resource("/open", shop()).unwrap();
    let (open, _) = run(through(layer.clone(), request(Method::GET, "/open", &[("origin", SHOP)])));
    assert_eq!(allowed(&open), Some(SHOP));
    let (closed, calls) = run(through(layer, preflight("/", SHOP, "GET")));
    assert_eq!((closed.headers().len(), calls), (0, 1));
}

#[test]
fn under_axum_on_several_routes() {
    let layer = per_resource();
    let app = Router::new()
        .route("/pets/{id}", get(|| async { "pet" }))
        .route("/orders", get(|| async { "orders" }).put(|| async { "put" }))
        .layer(layer.clone());
    let send = |request: Request<Full<Bytes>>| run(app.clone().oneshot(request.map(Body::new))).unwrap();
    let partner = "https://partner.example";
    let answer = send(request(Method::GET, "/pets/1", &[("origin", partner)]));
    assert_eq!((answer.status().as_u16(), allowed(&answer)), (200, Some(partner)));
    let answer = send(preflight("/orders", SHOP, "PUT"));
    assert_eq!((answer.status().as_u16(), allowed(&answer)), (204, Some(SHOP)));
    let answer = send(request(Method::DELETE, "/orders", &[("origin", SHOP)]));
    assert_eq!((answer.status().as_u16(), allowed(&answer)), (405, Some(SHOP)));
    assert_service(&layer);
    assert_service(&layer.layer(Strict::default()));
}

#[test]
fn futures_are_send() {
    fn assert_send<T: Send>(_: &T) {}
    let mut service = shop().build().unwrap().layer(service_fn(|_: Request<Full<Bytes>>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    }));
    assert_send(&service.call(request(Method::GET, "/", &[])));
}

// --- Allocations -----------------------------------------------------------------------------------------------

/// Allocations of one call through the layer, for a service whose answer has room for headers.
fn allocations(cors: &Cors, request: Request<Full<Bytes>>) -> u64 {
    let inner = service_fn(|_: Request<Full<Bytes>>| {
        let mut answer = Response::new(Full::<Bytes>::from("inner"));
        answer.headers_mut().reserve(8);
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    let mut service = cors.clone().build().unwrap().layer(inner);
    let mut measured = Vec::new();
    for request in [request.clone(), request] {
        let mut answer = None;
        let info = allocation_counter::measure(|| {
            answer = futures_util::FutureExt::now_or_never(service.call(request));
        });
        assert!(answer.unwrap().is_ok());
        measured.push(info.count_total);
    }
    measured[1]
}

/// What the bare inner service allocates: `reserve` of a header map.
const INNER: u64 = 2;

#[test]
fn ordinary_requests_allocate_nothing_and_preflights_two() {
    let many: Vec<_> = (0..500).map(|number| format!("https://shop{number}.example")).collect();
    for cors in [
        shop().expose_headers(["etag"]).allow_credentials(true),
        shop().allow_origins(["*"]),
        shop().allow_origins(many.iter().map(String::as_str).chain([SHOP])),
    ] {
        for origin in [SHOP, "https://evil.example", "null"] {
            let get = request(Method::GET, "/", &[("origin", origin)]);
            assert_eq!(allocations(&cors, get) - INNER, 0, "{origin}");
            assert!(allocations(&cors, preflight("/", origin, "GET")) <= 2, "{origin}");
        }
        assert_eq!(allocations(&cors, request(Method::GET, "/", &[])) - INNER, 0);
    }
}

// --- Properties ------------------------------------------------------------------------------------------------

const ORIGINS: [&str; 5] = [SHOP, "http://a.example:8000", "https://b.example", "null", "http://[::1]"];
const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "patch", "PURGE"];
const NAMES: [&str; 5] = ["x-api-key", "authorization", "content-type", "x-a", "x-b"];

fn some_of(
    items: &'static [&'static str],
    wildcards: &'static [&'static str],
) -> impl Strategy<Value = Vec<&'static str>> {
    let with_wildcards: Vec<_> = items.iter().chain(items).chain(wildcards).copied().collect();
    prop::collection::vec(prop::sample::select(with_wildcards), 0..4)
}

/// What the configuration means, said once more.
fn origin_is_meant(origins: &[&str], origin: &str) -> bool {
    origins.iter().any(|listed| match *listed {
        "*" => true,
        "https://*" | "http://*" => origin.starts_with(listed.trim_end_matches('*')),
        exact => exact == origin,
    })
}

/// A call that a page makes, and what is allowed.
#[derive(Clone, Debug)]
struct Call {
    origins: Vec<&'static str>,
    methods: Vec<&'static str>,
    names: Vec<&'static str>,
    expose: Vec<&'static str>,
    credentials: bool,
    browser: Browser,
    method: &'static str,
    requested: Vec<&'static str>,
}

fn call() -> impl Strategy<Value = Call> {
    let lists = (
        some_of(&ORIGINS, &["*", "https://*", "http://*"]),
        some_of(&METHODS, &["*"]),
        some_of(&NAMES, &["*"]),
        some_of(&["etag", "x-total"], &["*"]),
    );
    let browser = (prop::sample::select(&ORIGINS[..]), any::<bool>());
    let asked = (prop::sample::select(&METHODS[..]), prop::sample::subsequence(&NAMES[..], 0..3));
    (lists, any::<bool>(), browser, asked).prop_map(|(lists, credentials, browser, (method, requested))| {
        Call {
            origins: lists.0,
            methods: lists.1,
            names: lists.2,
            expose: lists.3,
            credentials,
            browser: Browser { origin: browser.0.to_owned(), credentials: browser.1 },
            method,
            requested,
        }
    })
}

impl Call {
    fn layer(&self) -> Option<CorsLayer> {
        let cors =
            Cors::new().allow_origins(&self.origins).allow_methods(&self.methods).allow_headers(&self.names);
        cors.expose_headers(&self.expose).allow_credentials(self.credentials).build().ok()
    }

    fn may_be_read(&self) -> bool {
        origin_is_meant(&self.origins, &self.browser.origin)
            && (self.credentials || !self.browser.credentials)
    }

    fn may_be_sent(&self) -> bool {
        let has = |list: &[&str], item: &str| list.contains(&item);
        let method = ["GET", "POST"].contains(&self.method)
            || has(&self.methods, self.method)
            || has(&self.methods, "*");
        let name =
            |name: &&str| has(&self.names, name) || (*name != "authorization" && has(&self.names, "*"));
        self.may_be_read() && method && self.requested.iter().all(name)
    }

    fn preflight(&self) -> Request<Full<Bytes>> {
        let mut request = preflight("/", &self.browser.origin, self.method);
        if !self.requested.is_empty() {
            let names = self.requested.join(",").parse().unwrap();
            request.headers_mut().insert("access-control-request-headers", names);
        }
        request
    }
}

proptest! {
    #[test]
    fn the_browser_does_what_the_configuration_says(call in call()) {
        let Some(layer) = call.layer() else {
            prop_assert!(call.credentials && (call.origins.contains(&"*") || call.origins.contains(&"null")));
            return Ok(());
        };
        let (answer, _) = run(through(layer.clone(), call.preflight()));
        let goes_on = call.browser.goes_on(answer.status().as_u16(), &fields(answer.headers()), call.method, &call.requested);
        prop_assert_eq!(goes_on, call.may_be_sent(), "{:?}", answer.headers());

        let origin = [("origin", &*call.browser.origin)];
        let with_etag = layer.layer(service_fn(|_: Request<Full<Bytes>>| async {
            Ok::<_, Infallible>(Response::builder().header("etag", "1").body(Full::<Bytes>::default()).unwrap())
        }));
        let answer = run(with_etag.oneshot(request(Method::GET, "/", &origin))).unwrap();
        let answer = fields(answer.headers());
        prop_assert_eq!(call.browser.lets_script_read(&answer), call.may_be_read());
        let exposed = call.expose.contains(&"etag") || call.expose.contains(&"*");
        // What a browser with credentials may not read at all needs no list either.
        if call.may_be_read() {
            prop_assert_eq!(call.browser.script_sees(&answer, "etag").is_some(), exposed);
        }
    }

    #[test]
    fn garbage_never_panics_and_never_opens(
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 0..4),
        options in any::<bool>(),
    ) {
        let mut asked = request(if options { Method::OPTIONS } else { Method::GET }, "/", &[]);
        let names = ["origin", "access-control-request-method", "access-control-request-headers", "origin"];
        for (name, value) in names.into_iter().zip(values) {
            if let Ok(value) = http::HeaderValue::from_bytes(&value) {
                asked.headers_mut().append(HeaderName::from_static(name), value);
            }
        }
        let cors = shop().allow_origins(["https://*", SHOP]).allow_methods(["*"]).allow_headers(["*"]);
        let (answer, _) = run(through(cors.allow_credentials(true).build().unwrap(), asked));
        prop_assert_eq!(allowed(&answer), None);
        prop_assert!(answer.headers().contains_key("vary"));
    }
}
