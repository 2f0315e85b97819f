//! API keys at the door: who passes, and that every refusal is the same bytes.

use crate::support::{Strict, assert_service, get, recorded, run, through};
use axum::{Extension, Router, body::Body, routing::any};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_gateway::{
    api_key::{ApiKey, ApiKeyLayer, ApiKeySource, ApiKeyStore, ApiKeys, KeyDigest, KeyEntry, KeyFormat},
    clock::{Clock, ManualClock},
    context::{ApiKind, RequestContext, RequestContextLayer},
    response::{Cause, GatewayError, ResponseType},
    route::{ApiMethod, Routes},
};

const GOLD: &str = "gold-0123456789abcdefghij";
const BASIC: &str = "basic-0123456789abcdefghij";
const OFF: &str = "off-0123456789abcdefghijk";

fn keys() -> ApiKeys {
    ApiKeys::builder()
        .key(ApiKey::new("gold").value(GOLD).customer_id("acme"))
        .key(ApiKey::new("basic").value(BASIC))
        .key(ApiKey::new("off").value(OFF).enabled(false))
        .build()
        .unwrap()
}

fn with_fields(values: &[&[u8]]) -> Request<Full<Bytes>> {
    let mut request = get("/pets");
    for value in values {
        request.headers_mut().append("X-API-Key", HeaderValue::from_bytes(value).unwrap());
    }
    request
}

fn assert_refused(response: &Response<Bytes>, calls: usize, cause: Cause) {
    assert_eq!((response.status().as_u16(), calls), (403, 0), "{cause:?}");
    assert_eq!(&response.body()[..], br#"{"message":"Forbidden"}"#, "{cause:?}");
    let headers: Vec<_> = response.headers().iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
    let expected = [
        ("content-type", "application/json"),
        ("content-length", "23"),
        ("x-amzn-errortype", "ForbiddenException"),
    ];
    assert!(
        expected.iter().all(|field| field.0 == "content-length" || headers.contains(field)),
        "{headers:?}"
    );
    assert!(headers.iter().all(|field| expected.contains(field)), "{headers:?}");
    let error = response.extensions().get::<GatewayError>().unwrap();
    assert_eq!((error.response_type(), error.cause()), (ResponseType::InvalidApiKey, cause));
}

#[test]
fn every_refusal_is_the_same_and_only_the_cause_differs() {
    let joined = format!("{GOLD},{BASIC}");
    let padded = format!(" {GOLD} ");
    let upper = GOLD.to_uppercase();
    let cases: &[(&[&[u8]], Cause)] = &[
        (&[], Cause::ApiKeyMissing),
        (&[b""], Cause::ApiKeyMalformed),
        (&[b"short"], Cause::ApiKeyMalformed),
        (&[&[b'a'; 129]], Cause::ApiKeyMalformed),
        (&["gold-0123456789abcdefghij\u{fc}".as_bytes()], Cause::ApiKeyMalformed),
        (&[&[0xff; 40]], Cause::ApiKeyMalformed),
        (&[padded.as_bytes()], Cause::ApiKeyMalformed),
        (&[&[b'a'; 20]], Cause::ApiKeyUnknown),
        (&[&[b'a'; 128]], Cause::ApiKeyUnknown),
        (&[upper.as_bytes()], Cause::ApiKeyUnknown),
        (&[joined.as_bytes()], Cause::ApiKeyUnknown),
        (&[OFF.as_bytes()], Cause::ApiKeyDisabled),
        (&[GOLD.as_bytes(), GOLD.as_bytes()], Cause::ApiKeyRepeated),
        (&[GOLD.as_bytes(), b""], Cause::ApiKeyRepeated),
        (&[b"", GOLD.as_bytes()], Cause::ApiKeyRepeated),
    ];
    for (fields, cause) in cases {
        let (response, calls) = run(through(ApiKeyLayer::new(keys()), with_fields(fields)));
        assert_refused(&response, calls, *cause);
    }
}

#[test]
fn a_valid_key_passes_whatever_the_case_of_the_header() {
    for name in ["x-api-key", "X-API-KEY", "X-Api-Key"] {
        let mut request = get("/pets");
        request.headers_mut().append("accept", HeaderValue::from_static("a"));
        request.headers_mut().append("accept", HeaderValue::from_static("b"));
        request.headers_mut().append(http::HeaderName::try_from(name).unwrap(), GOLD.parse().unwrap());
        let (response, calls) = run(through(ApiKeyLayer::new(keys()), request));
        assert_eq!((response.status().as_u16(), calls), (200, 1));
        assert!(response.headers().is_empty() && response.extensions().get::<GatewayError>().is_none());
    }
}

#[test]
fn the_service_sees_the_key_and_the_header_marked_sensitive() {
    let service = service_fn(|request: Request<Full<Bytes>>| async move {
        let header = &request.headers()["x-api-key"];
        assert!(header.is_sensitive() && !format!("{request:?}").contains("0123456789"));
        let context = RequestContext::of(request.extensions()).unwrap();
        let key = context.api_key().unwrap();
        assert_eq!(key.expose_value(), header);
        assert_eq!(context.variable("identity.apiKeyId").as_deref(), Some(key.id()));
        let text = format!("{} {}", key.id(), key.customer_id().unwrap_or("-"));
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(text)))
    });
    let service = ApiKeyLayer::new(keys()).layer(service);
    for (value, expected) in [(GOLD, "gold acme"), (BASIC, "basic -"), (GOLD, "gold acme")] {
        let answer = run(service.clone().oneshot(with_fields(&[value.as_bytes()]))).unwrap();
        assert_eq!(run(answer.into_body().collect()).unwrap().to_bytes(), expected);
    }
}

#[test]
fn a_method_without_need_ignores_garbage() {
    let routes = Routes::builder()
        .method("/open", Method::GET, ApiMethod::new())
        .method("/pets", Method::GET, ApiMethod::new().api_key_required(true))
        .build()
        .unwrap();
    let layer = ApiKeyLayer::new(keys()).routes(&routes);
    for fields in [&[b"garbage".as_slice()] as &[&[u8]], &[], &[b"a", b"b"], &[GOLD.as_bytes()]] {
        let mut request = with_fields(fields);
        *request.uri_mut() = "/open?a=b".parse().unwrap();
        let service = service_fn(|request: Request<Full<Bytes>>| async move {
            let context = RequestContext::of(request.extensions()).unwrap();
            assert!(context.api_key().is_none());
            assert_eq!(context.resource_path(), Some("/open"));
            assert!(request.headers().get_all("x-api-key").iter().all(HeaderValue::is_sensitive));
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        });
        assert_eq!(run(layer.layer(service).oneshot(request)).unwrap().status(), 200);
    }
    let (response, calls) = run(through(layer.clone(), with_fields(&[])));
    assert_refused(&response, calls, Cause::ApiKeyMissing);
    let (response, calls) = run(through(layer, with_fields(&[GOLD.as_bytes()])));
    assert_eq!((response.status().as_u16(), calls), (200, 1));
}

#[test]
fn changes_count_at_once_and_rotation_ends_on_time() {
    let manual = ManualClock::at_unix_seconds(1_700_000_000);
    let keys = ApiKeys::builder().clock(manual.clock()).key(ApiKey::new("k").value(GOLD)).build().unwrap();
    let layer = ApiKeyLayer::new(keys.clone());
    let cause = |value: &str| {
        let (response, _) = run(through(layer.clone(), with_fields(&[value.as_bytes()])));
        response.extensions().get::<GatewayError>().map(GatewayError::cause)
    };
    assert_eq!(cause(GOLD), None);
    keys.set_enabled("k", false).unwrap();
    assert_eq!(cause(GOLD), Some(Cause::ApiKeyDisabled));
    keys.set_enabled("k", true).unwrap();
    let second = keys.rotate("k", None, Duration::from_secs(3600)).unwrap();
    assert_eq!((cause(GOLD), cause(second.expose_value())), (None, None));
    manual.advance(Duration::from_secs(3600) - Duration::from_millis(1));
    assert_eq!((cause(GOLD), cause(second.expose_value())), (None, None));
    manual.advance(Duration::from_millis(1));
    assert_eq!((cause(GOLD), cause(second.expose_value())), (Some(Cause::ApiKeyDisabled), None));
    keys.delete("k").unwrap();
    assert_eq!(cause(second.expose_value()), Some(Cause::ApiKeyUnknown));
    assert_eq!(cause(GOLD), Some(Cause::ApiKeyUnknown));
}

/// A store of the user's, which counts what it is asked.
#[derive(Clone, Default)]
struct Counting(Arc<std::sync::atomic::AtomicUsize>);

impl ApiKeyStore for Counting {
    fn lookup(&self, digest: &KeyDigest) -> Option<KeyEntry> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        (*digest == KeyDigest::of(GOLD.as_bytes())).then(|| KeyEntry::new(*digest, "theirs"))
    }
}

#[test]
fn a_store_of_ones_own_is_asked_only_for_what_may_be_a_key() {
    let store = Counting::default();
    let layer = ApiKeyLayer::new(Arc::new(store.clone()));
    for (value, status, asked) in [(GOLD, 200, 1), (BASIC, 403, 2), ("garbage", 403, 2)] {
        let (response, _) = run(through(layer.clone(), with_fields(&[value.as_bytes()])));
        assert_eq!(response.status(), status);
        assert_eq!(store.0.load(std::sync::atomic::Ordering::SeqCst), asked);
    }
}

#[test]
fn a_format_refuses_garbage_as_malformed() {
    let keys = ApiKeys::builder().format(KeyFormat::new("shop").unwrap()).build().unwrap();
    let value = keys.add(ApiKey::new("k")).unwrap().into_value();
    let cause = |value: &str| {
        let layer = ApiKeyLayer::new(keys.clone()).clock(Clock::system());
        let (response, _) = run(through(layer, with_fields(&[value.as_bytes()])));
        response.extensions().get::<GatewayError>().map(GatewayError::cause)
    };
    assert_eq!(cause(&value), None);
    assert_eq!(cause(GOLD), Some(Cause::ApiKeyMalformed));
    let mut typo = value.into_bytes();
    typo[7] ^= 1;
    assert_eq!(cause(std::str::from_utf8(&typo).unwrap()), Some(Cause::ApiKeyMalformed));
    let other = ApiKeys::builder().format(KeyFormat::new("shop").unwrap()).build().unwrap();
    assert_eq!(cause(other.add(ApiKey::new("k")).unwrap().expose_value()), Some(Cause::ApiKeyUnknown));
}

#[test]
fn the_source_authorizer_does_not_look_at_the_header() {
    let layer = ApiKeyLayer::new(keys()).source(ApiKeySource::Authorizer);
    let (response, calls) = run(through(layer, with_fields(&[GOLD.as_bytes()])));
    assert_refused(&response, calls, Cause::ApiKeyMissing);
}

#[test]
fn a_context_made_outside_is_used_and_gets_the_error() {
    let seen = Arc::new(std::sync::Mutex::new(None));
    let keep = Arc::clone(&seen);
    let inner = RequestContextLayer::new().api_kind(ApiKind::Http).layer(tower::util::MapRequest::new(
        ApiKeyLayer::new(keys()).layer(Strict::default()),
        move |request: Request<Full<Bytes>>| {
            *keep.lock().unwrap() = RequestContext::of(request.extensions()).cloned();
            request
        },
    ));
    let response = run(inner.oneshot(get("/"))).unwrap();
    assert_eq!(response.status(), 403);
    assert!(response.headers().get("x-amzn-errortype").is_none(), "the table of HTTP APIs");
    let context = seen.lock().unwrap().take().unwrap();
    assert_eq!(context.error().unwrap().cause(), Cause::ApiKeyMissing);
}

async fn whose(Extension(context): Extension<RequestContext>) -> String {
    context.api_key().map(|key| key.id().to_owned()).unwrap_or_default()
}

#[test]
fn under_axum_on_several_routes_two_callers_never_mix() {
    let layer = ApiKeyLayer::new(keys());
    let app = Router::new().route("/pets", any(whose)).route("/pets/{id}", any(whose)).layer(layer);
    run(async {
        for round in 0..20 {
            for (value, id) in [(GOLD, "gold"), (BASIC, "basic")] {
                let path = if round % 2 == 0 { "/pets" } else { "/pets/7" };
                let request =
                    Request::builder().uri(path).header("x-api-key", value).body(Body::empty()).unwrap();
                let answer = app.clone().oneshot(request).await.unwrap();
                assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), id);
            }
        }
        let refused = app.clone().oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(refused.status(), 403);
    });
}

#[test]
fn callers_on_many_threads_never_mix_while_keys_change() {
    let keys = keys();
    let layer = ApiKeyLayer::new(keys.clone());
    let app = Router::new().route("/pets", any(whose)).layer(layer);
    std::thread::scope(|scope| {
        for (value, id) in [(GOLD, "gold"), (BASIC, "basic"), (GOLD, "gold")] {
            let app = app.clone();
            scope.spawn(move || {
                run(async {
                    for _ in 0..300 {
                        let request = Request::builder().uri("/pets").header("x-api-key", value);
                        let answer = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
                        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), id);
                    }
                });
            });
        }
        for round in 0..200 {
            let value = keys.add(ApiKey::new(format!("k{round}"))).unwrap();
            keys.set_enabled("off", round % 2 == 0).unwrap();
            let _next = keys.rotate(value.id(), None, Duration::ZERO).unwrap();
        }
    });
}

/// A service without any cost of its own.
#[derive(Clone, Debug)]
struct Nothing;

impl<B> Service<Request<B>> for Nothing {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        std::future::ready(Ok(Response::new(Full::default())))
    }
}

/// Allocations of one call, over the same call through a layer that only makes the context.
fn allocations(layer: &ApiKeyLayer, value: &str) -> (i64, u16) {
    let request = || {
        let mut request = Request::new(Full::<Bytes>::default());
        // A field as a server makes it: a part of a shared buffer.
        let value = HeaderValue::from_maybe_shared(Bytes::from(value.to_owned())).unwrap();
        let _shared = value.clone();
        request.headers_mut().insert("x-api-key", value);
        request
    };
    let (warm, counted) = (request(), request());
    let mut status = 0;
    let mut service = layer.layer(Nothing);
    let mut measure = |request| {
        let count = allocation_counter::measure(|| {
            let answer = futures_util::FutureExt::now_or_never(service.call(request)).unwrap().unwrap();
            status = answer.status().as_u16();
        });
        count.count_total as i64
    };
    measure(warm);
    let ours = measure(counted);
    let mut floor = RequestContextLayer::new().layer(Nothing);
    let request = request();
    let floor = allocation_counter::measure(|| drop(floor.call(request)));
    (ours - floor.count_total as i64, status)
}

#[test]
fn a_verified_request_allocates_nothing_and_a_refusal_little() {
    let layer = ApiKeyLayer::new(keys());
    assert_eq!(allocations(&layer, GOLD), (0, 200));
    let routes = Routes::builder().any("/", ApiMethod::new().api_key_required(true)).build().unwrap();
    assert_eq!(allocations(&layer.clone().routes(&routes), GOLD), (0, 200));
    let open = Routes::builder().any("/", ApiMethod::new()).build().unwrap();
    assert_eq!(allocations(&layer.clone().routes(&open), "garbage"), (0, 200));
    for value in ["garbage", "unknown-0123456789abcdefghij", OFF] {
        let (count, status) = allocations(&layer, value);
        assert_eq!(status, 403);
        // Its error; head and extensions are the request's own.
        assert!(count <= 1, "{count} for a refusal");
    }
}

#[test]
fn the_types_are_what_servers_demand() {
    let layer = ApiKeyLayer::new(keys());
    assert_service(&layer.layer(Strict::default()));
    assert_service(&layer);
    assert_service(&keys());
}

#[test]
fn recorded_on_aws() {
    recorded("api-key", 2).iter().for_each(judge_recorded);
}

fn judge_recorded(case: &serde_json::Value) {
    let api = &case["api"];
    let mut keys = ApiKeys::builder();
    for (index, key) in api["apiKeys"].as_array().unwrap().iter().enumerate() {
        let enabled = key["enabled"].as_bool().unwrap_or(false);
        let value = key["value"].as_str().unwrap();
        keys = keys.key(ApiKey::new(format!("k{index}")).value(value).enabled(enabled));
    }
    let mut routes = Routes::builder();
    for (path, methods) in api["resources"].as_object().unwrap() {
        for (verb, method) in methods.as_object().unwrap() {
            let required = method["apiKeyRequired"].as_bool().unwrap_or(false);
            routes = routes.method(path, verb.parse().unwrap(), ApiMethod::new().api_key_required(required));
        }
    }
    let mut request = Request::builder()
        .method(case["request"]["method"].as_str().unwrap())
        .uri(case["request"]["path"].as_str().unwrap());
    for (name, value) in case["request"]["headers"].as_object().into_iter().flatten() {
        request = request.header(name, value.as_str().unwrap());
    }
    let layer = ApiKeyLayer::new(keys.build().unwrap()).routes(&routes.build().unwrap());
    let (response, calls) = run(through(layer, request.body(Full::default()).unwrap()));
    let expected = case["expect"]["status"].as_u64().unwrap();
    assert_eq!(u64::from(response.status().as_u16()), expected, "{}", case["id"]);
    assert_eq!(calls, usize::from(expected == 200), "{}", case["id"]);
}
