//! CORS, judged by a browser: what the Fetch standard makes of our answers.

mod browser;
mod vectors;

use crate::support::{Strict, assert_service, run, through};
use axum::{Router, body::Body, routing::get};
use browser::Browser;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header::HeaderName};
use http_body_util::Full;
use proptest::prelude::*;
use std::convert::Infallible;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_gateway::{
    cors::{BackEndHeaders, Cors, CorsLayer},
    route::{ApiMethod, Routes},
};

/// As a browser has them.
fn fields(headers: &HeaderMap) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect()
}

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
    layer.resource_off("/admin").unwrap().routes(&routes.build().unwrap()).unwrap()
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
    let layer = CorsLayer::off().routes(&routes).unwrap().resource("/open", shop()).unwrap();
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
