use super::*;
use crate::{clock::ManualClock, route::ApiMethod};
use futures_util::FutureExt;
use http::Method;
use std::{convert::Infallible, future::pending};
use tower::{ServiceExt, service_fn};

type Answer = Result<Response<Bytes>, Infallible>;

/// How long the layer waits for a service that never answers, on `path`.
fn waits(layer: &TimeoutLayer, clock: &ManualClock, path: &str) -> Duration {
    let service = layer.layer(service_fn(|_: Request<()>| pending::<Answer>()));
    let request = Request::builder().uri(path).body(()).unwrap();
    let mut answer = Box::pin(service.oneshot(request));
    let started = clock.clock().now();
    loop {
        if let Some(answer) = answer.as_mut().now_or_never() {
            assert_eq!(answer.unwrap().status(), 504);
            return clock.clock().now().since(started);
        }
        clock.advance(Duration::from_millis(500));
    }
}

#[test]
fn the_method_s_own_timeout_comes_first() {
    let clock = ManualClock::at_unix_seconds(0);
    let routes = Routes::builder()
        .method("/slow", Method::GET, ApiMethod::new().timeout(Duration::from_secs(60)))
        .method("/quick", Method::GET, ApiMethod::new().timeout(Duration::from_millis(500)))
        .method("/plain", Method::GET, ApiMethod::new())
        .build()
        .unwrap();
    let layer = TimeoutLayer::default().clock(clock.clock()).routes(&routes);
    assert_eq!(waits(&layer, &clock, "/slow"), Duration::from_secs(60));
    assert_eq!(waits(&layer, &clock, "/quick"), Duration::from_millis(500));
    assert_eq!(waits(&layer, &clock, "/plain"), Duration::from_secs(29));
    assert_eq!(waits(&layer, &clock, "/unknown"), Duration::from_secs(29));
}

#[test]
fn a_match_of_an_outer_layer_is_used_and_the_kind_of_api() {
    let clock = ManualClock::at_unix_seconds(0);
    let routes =
        Routes::builder().any("/a", ApiMethod::new().timeout(Duration::from_secs(1))).build().unwrap();
    let mut request = Request::builder().uri("/a").body(()).unwrap();
    let config = ContextConfig { kind: Some(ApiKind::Http), ..ContextConfig::default() };
    let context = config.find_or_create(&mut request);
    assert!(context.method_in_force(Some(&routes.scope()), &Method::GET, "/a").is_some());
    let service = TimeoutLayer::default().clock(clock.clock()).layer(service_fn(|_| pending::<Answer>()));
    let mut answer = Box::pin(service.oneshot(request));
    assert!(answer.as_mut().now_or_never().is_none());
    clock.advance(Duration::from_secs(1));
    let answer = answer.now_or_never().unwrap().unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.into_body(), r#"{"message":"Service Unavailable"}"#);
    assert_eq!(context.error().unwrap().cause(), crate::response::Cause::IntegrationTimeout);
}

#[test]
fn an_http_api_waits_a_second_longer_by_default() {
    for (kind, seconds) in [(ApiKind::Rest, 29), (ApiKind::Http, 30)] {
        let clock = ManualClock::at_unix_seconds(0);
        let mut request = Request::new(());
        let _context =
            ContextConfig { kind: Some(kind), ..ContextConfig::default() }.find_or_create(&mut request);
        let service = TimeoutLayer::default().clock(clock.clock()).layer(service_fn(|_| pending::<Answer>()));
        let mut answer = Box::pin(service.oneshot(request));
        assert!(answer.as_mut().now_or_never().is_none());
        clock.advance(Duration::from_secs(seconds) - Duration::from_millis(1));
        assert!(answer.as_mut().now_or_never().is_none());
        clock.advance(Duration::from_millis(1));
        assert!(answer.now_or_never().is_some());
    }
}
