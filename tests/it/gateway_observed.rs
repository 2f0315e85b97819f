//! The gateway tells its observers of every request, with the context it made itself.

use crate::support::{Strict, get, run};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Extensions, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use std::{
    convert::Infallible,
    future::{pending, ready},
    net::IpAddr,
    panic::{AssertUnwindSafe, resume_unwind},
    sync::{Arc, Mutex},
    time::Duration,
};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_gateway::{
    GatewayBody,
    api_key::{ApiKey, ApiKeys},
    context::ApiKind,
    filter::{FilterLayer, Verdict},
    gateway::{Gateway, GatewayBuilder},
    observe::{ApiInfo, ObserveLayer, Outcome, RequestEvent},
    payload_limit::PayloadLimitLayer,
    response::{GatewayResponse, GatewayResponses, ResponseType},
    route::{ApiMethod, Routes},
    stage::Stages,
    timeout::TimeoutLayer,
    usage_plan::{Quota, QuotaPeriod, UsagePlan, UsagePlans},
};

#[derive(Clone, Copy)]
struct Peer(IpAddr);

type Lines = Arc<Mutex<Vec<String>>>;

/// One line an event: outcome, status, bytes, address, resource, cause.
fn observed() -> (GatewayBuilder, Lines) {
    let lines = Lines::default();
    let sink = Arc::clone(&lines);
    let observe = ObserveLayer::new().observer(move |event: &RequestEvent<'_>| {
        let context = event.context();
        let ip = context.source_ip().map_or("-".to_owned(), |ip| ip.to_string());
        let (resource, integration) = (context.resource_path().unwrap_or("-"), context.integration_status());
        let (outcome, status) = (event.outcome().as_str(), event.status().map(|status| status.as_u16()));
        let cause = event.error().map(|error| error.cause());
        let length = event.response_length();
        sink.lock().unwrap().push(format!(
            "{outcome} {status:?} {length} {ip} {resource} {cause:?} {:?}",
            integration.map(|status| status.as_u16())
        ));
    });
    let keyed = ApiMethod::new().api_key_required(true);
    let routes = Routes::builder().method("/pets/{id}", Method::GET, keyed).build().unwrap();
    let keys = ApiKeys::builder().key(ApiKey::new("k").value("0123456789abcdefghij")).build().unwrap();
    let peer = |extensions: &Extensions| extensions.get::<Peer>().map(|peer| peer.0);
    let builder = Gateway::builder().stages(Stages::single("prod", routes).unwrap()).api_keys(keys);
    (builder.peer_addr(peer).observe(observe), lines)
}

fn request(uri: &str) -> Request<Full<Bytes>> {
    let mut request = get(uri);
    request.extensions_mut().insert(Peer([192, 0, 2, 7].into()));
    request.headers_mut().insert("x-api-key", "0123456789abcdefghij".parse().unwrap());
    request
}

fn lines(lines: &Lines) -> Vec<String> {
    std::mem::take(&mut *lines.lock().unwrap())
}

#[test]
fn gateway_responses_are_told_the_names_that_observers_have() {
    run(async {
        let own = GatewayResponse::new().template("application/json", "$context.apiId $context.accountId");
        let responses = GatewayResponses::new().with(ResponseType::InvalidApiKey, &own).unwrap();
        let api = ApiInfo::new("pets").id("a1b2c3").account_id("123456789012");
        for (responses, said) in
            [(responses.clone(), "a1b2c3 123456789012"), (responses.api_id("other"), "other 123456789012")]
        {
            let gateway = observed().0.observe(ObserveLayer::new().api(api.clone()));
            let service = gateway.gateway_responses(responses).build().unwrap().layer(Strict::default());
            let refused = service.oneshot(get("/prod/pets/7")).await.unwrap();
            assert_eq!(refused.into_body().collect().await.unwrap().to_bytes(), said);
        }
    });
}

#[test]
fn answers_and_refusals_are_told_once_with_the_gateway_s_own_context() {
    run(async {
        let (builder, told) = observed();
        let service = builder.build().unwrap().layer(Strict::default());
        let answer = service.clone().oneshot(request("/prod/pets/7")).await.unwrap();
        assert_eq!(lines(&told), [""; 0], "the body is still to come");
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "inner");
        assert_eq!(lines(&told), ["complete Some(200) 5 192.0.2.7 /pets/{id} None Some(200)"]);

        let mut keyless = request("/prod/pets/7");
        keyless.headers_mut().clear();
        for (request, line) in [
            (keyless, "complete Some(403) 23 192.0.2.7 /pets/{id} Some(ApiKeyMissing) None"),
            (request("/test/pets/7"), "complete Some(403) 23 192.0.2.7 - Some(UnknownStage) None"),
        ] {
            let refused = service.clone().oneshot(request).await.unwrap();
            drop(refused.into_body().collect().await.unwrap());
            assert_eq!(lines(&told), [line]);
        }
    });
}

#[test]
fn who_hangs_up_and_what_fails_is_told_too() {
    run(async {
        let (builder, told) = observed();
        let gateway = builder.build().unwrap();
        let waits = service_fn(|_: Request<_>| pending::<Result<Response<Full<Bytes>>, Infallible>>());
        let mut service = gateway.layer(waits);
        let asked = service.ready().await.unwrap().call(request("/prod/pets/1"));
        assert!(asked.now_or_never().is_none(), "polled once, and dropped");
        assert_eq!(lines(&told), ["client_closed None 0 192.0.2.7 /pets/{id} None None"]);

        let fails = service_fn(|_: Request<_>| async { Err::<Response<Full<Bytes>>, _>("broken") });
        assert_eq!(gateway.layer(fails).oneshot(request("/prod/pets/1")).await.unwrap_err(), "broken");
        assert_eq!(lines(&told), ["failed None 0 192.0.2.7 /pets/{id} None None"]);
        assert_eq!(Outcome::Failed.as_str(), "failed");
    });
}

#[test]
fn the_message_of_an_http_api_is_what_its_client_was_told() {
    let told = Lines::default();
    let sink = Arc::clone(&told);
    let observe = ObserveLayer::new().observer(move |event: &RequestEvent<'_>| {
        let of = |name: &str| event.variable(name).unwrap().into_owned();
        sink.lock().unwrap().push(format!("{} {}", of("error.message"), of("error.messageString")));
    });
    let filter = FilterLayer::new(|head, _| match head.uri.query() {
        Some("block") => Verdict::Block,
        _ => Verdict::Pass,
    });
    let keyed = ApiMethod::new().api_key_required(true);
    let routes = Routes::builder().method("/pets", Method::GET, keyed).any("/open", ApiMethod::new());
    let none = UsagePlan::new("none").quota(Quota::new(0, QuotaPeriod::Day).unwrap());
    let keys = ApiKeys::builder().key(ApiKey::new("k").value("0123456789abcdefghij")).build().unwrap();
    let gateway = Gateway::builder()
        .api_kind(ApiKind::Http)
        .stages(Stages::single("prod", routes.build().unwrap()).unwrap())
        .api_keys(keys)
        .usage_plans(UsagePlans::builder().plan(none).attach("none", "k").build().unwrap())
        .filter(filter)
        .payload_limit(PayloadLimitLayer::new(4))
        .timeout(TimeoutLayer::new(Duration::ZERO))
        .observe(observe);
    let waits = service_fn(|_: Request<_>| pending::<Result<Response<Full<Bytes>>, Infallible>>());
    let service = gateway.build().unwrap().layer(waits);
    run(async {
        let mut large = request("/prod/open");
        large.headers_mut().insert("content-length", "5".parse().unwrap());
        let keyless = get("/prod/pets");
        for (request, status, message) in [
            (request("/prod/nothing"), 404, "Not Found"),
            (request("/prod/open?block"), 403, "Forbidden"),
            (keyless, 403, "Forbidden"),
            (request("/prod/pets"), 429, "Too Many Requests"),
            (large, 413, "Request Entity Too Large"),
            (request("/prod/open"), 503, "Service Unavailable"),
        ] {
            let answer = service.clone().oneshot(request).await.unwrap();
            assert_eq!(answer.status(), status);
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, format!(r#"{{"message":"{message}"}}"#));
            assert_eq!(lines(&told), [format!(r#"{message} "{message}""#)]);
        }
    });
}

#[test]
fn a_filter_that_panics_is_told_as_one_behind_a_layer_is() {
    run(async {
        let (builder, told) = observed();
        let filter = FilterLayer::new(|head, _| match head.uri.query() {
            Some("panic") => resume_unwind(Box::new("filter")),
            Some("block") => Verdict::Block,
            _ => Verdict::Pass,
        });
        let service = builder.filter(filter).build().unwrap().layer(Strict::default());
        let panicked =
            AssertUnwindSafe(service.clone().oneshot(request("/prod/pets/7?panic"))).catch_unwind();
        assert!(panicked.await.is_err());
        assert_eq!(lines(&told), ["panicked None 0 192.0.2.7 /pets/{id} None None"]);
        // Who hangs up after a filter has had its word, still hangs up.
        for (query, status, cause) in [("block", 403, "Some(Filtered) None"), ("", 200, "None Some(200)")] {
            drop(service.clone().oneshot(request(&format!("/prod/pets/7?{query}"))).await.unwrap());
            let line = format!("client_closed Some({status}) 0 192.0.2.7 /pets/{{id}} {cause}");
            assert_eq!(lines(&told), [line]);
        }
    });
}

/// The second attempt carries the context of the first, and is what the client got.
#[test]
fn of_a_retry_around_the_gateway_the_last_attempt_is_told() {
    let lines = Lines::default();
    let sink = Arc::clone(&lines);
    let observe = ObserveLayer::new().observer(move |event: &RequestEvent<'_>| {
        let integration = event.context().integration_status().map(|status| status.as_u16());
        sink.lock()
            .unwrap()
            .push(format!("{:?} {integration:?}", event.status().map(|status| status.as_u16())));
    });
    let routes = Routes::builder().method("/pets", Method::GET, ApiMethod::new()).build().unwrap();
    let builder = Gateway::builder().stages(Stages::single("prod", routes).unwrap());
    let gateway = builder.observe(ObserveLayer::new()).build().unwrap();
    let calls = Arc::new(std::sync::atomic::AtomicU16::new(0));
    let service = gateway.layer(service_fn(move |_: Request<GatewayBody<Full<Bytes>>>| {
        let is_first = calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
        let answer = Response::builder().status(if is_first { 503 } else { 200 });
        ready(Ok::<_, Infallible>(answer.body(Full::<Bytes>::default()).unwrap()))
    }));
    let retrying = service_fn(move |request: Request<Full<Bytes>>| {
        let (service, again) = (service.clone(), request.clone());
        async move {
            let first = service.clone().oneshot(request).await?;
            if first.status() == 503 { service.oneshot(again).await } else { Ok(first) }
        }
    });
    let answer = run(observe.layer(retrying).oneshot(get("/prod/pets"))).unwrap();
    assert_eq!(answer.status(), 200);
    drop(answer);
    assert_eq!(*lines.lock().unwrap(), ["Some(200) Some(200)"]);
}
