//! Every outcome of the cache leaves one access log entry that says so.

use super::*;
use crate::support::{get, run};
use http::Method;
use std::sync::Mutex;
use tower::service_fn;
use tower_gateway::{
    cache::{Cache, rfc::Rfc9111},
    context::{RequestContext, RequestContextLayer},
    gateway::Gateway,
    observe::{AccessLog, AccessLogFormat, AccessLogLayer, IntegrationTimerLayer, LogApi, RequestEvent},
    response::{Cause, GatewayError},
    route::{ApiMethod, CacheSettings, MethodSettings, Routes, UnauthorizedCacheControl},
    stage::{Deployment, Stage, Stages},
    timeout::TimeoutLayer,
};

const FORMAT: &str = "$context.requestId $context.httpMethod $context.status $context.responseLength $context.cache.status $context.cache.reason $context.error.responseType $context.error.layer $context.integration.status";

fn stages() -> Stages {
    let routes = Routes::builder()
        .method("/time", Method::GET, ApiMethod::new())
        .method("/time", Method::POST, ApiMethod::new())
        .method("/closed", Method::GET, ApiMethod::new())
        .method("/off", Method::GET, ApiMethod::new())
        .method("/broken", Method::GET, ApiMethod::new())
        .build()
        .unwrap();
    let closed = CacheSettings::new().unauthorized_strategy(UnauthorizedCacheControl::FailWith403);
    let stage = Stage::new("prod", "v1")
        .settings("*/*", MethodSettings::new().caching(CacheSettings::new()))
        .settings("closed/GET", MethodSettings::new().caching(closed))
        .settings("off/GET", MethodSettings::new().caching(CacheSettings::new().enabled(false)));
    Stages::builder().deployment(Deployment::new("v1", routes)).stage(stage).build().unwrap()
}

#[test]
fn each_outcome_is_one_entry() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&lines);
    let sink = move |line: &str, _: &RequestEvent<'_>| {
        let (_id, line) = line.split_once(' ').unwrap();
        kept.lock().unwrap().push(line.to_owned());
    };
    let log = AccessLogLayer::new(AccessLog::new(AccessLogFormat::new(LogApi::Rest, FORMAT).unwrap(), sink));
    let manual = ManualClock::at_unix_seconds(1_795_331_880);
    let cache = Cache::builder().clock(manual.clock()).build().unwrap();
    let gateway = Gateway::builder().stages(stages()).cache(CacheLayer::new(cache)).clock(manual.clock());
    let inner = service_fn(|request: Request<GatewayBody<Full<Bytes>>>| {
        let status = if request.uri().path() == "/broken" { 500 } else { 200 };
        let answer = Response::builder().status(status).body(Full::<Bytes>::from("noon"));
        std::future::ready(Ok::<_, Infallible>(answer.unwrap()))
    });
    let service = gateway.observe(log).build().unwrap().layer(inner);
    let ask = |method: Method, path: &str, control: Option<&str>| {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(control) = control {
            request = request.header("cache-control", control);
        }
        let request = request.body(Full::<Bytes>::default()).unwrap();
        let answered = service.clone().oneshot(request);
        run(async { drop(answered.await.unwrap().into_body().collect().await.unwrap()) });
    };
    ask(Method::GET, "/prod/time", None);
    ask(Method::GET, "/prod/time", None);
    ask(Method::POST, "/prod/time", None);
    ask(Method::GET, "/prod/off", None);
    ask(Method::GET, "/prod/broken", None);
    ask(Method::GET, "/prod/closed", Some("max-age=0"));
    manual.advance(Duration::from_secs(301));
    ask(Method::GET, "/prod/time", None);
    assert_eq!(
        *lines.lock().unwrap(),
        [
            "GET 200 4 miss not-found - - 200",
            "GET 200 4 hit - - - -",
            "POST 200 4 bypass method - - 200",
            "GET 200 4 bypass disabled - - 200",
            "GET 500 4 miss status - - 500",
            "GET 403 60 bypass unauthorized ACCESS_DENIED CacheLayer -",
            "GET 200 4 miss expired - - 200",
        ]
    );
}

#[test]
fn what_a_refresh_comes_to_is_no_part_of_the_stale_answer_before_it() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&lines);
    let sink = move |line: &str, _: &RequestEvent<'_>| {
        let (_id, line) = line.split_once(' ').unwrap();
        kept.lock().unwrap().push(line.to_owned());
    };
    let format = "$context.requestId $context.cache.status $context.integration.status $context.integrationLatency \
                  $context.awsEndpointRequestId $context.integration.responseTransferMode";
    let log = AccessLogLayer::new(AccessLog::new(AccessLogFormat::new(LogApi::Rest, format).unwrap(), sink));
    let manual = ManualClock::at_unix_seconds(1_795_331_880);
    let cache = Cache::builder().rfc9111(Rfc9111::new()).clock(manual.clock()).build().unwrap();
    let gateway = Gateway::builder().cache(CacheLayer::new(cache)).clock(manual.clock()).observe(log);
    let calls = Arc::new(AtomicUsize::new(0));
    let called = Arc::clone(&calls);
    let inner = service_fn(move |_: Request<GatewayBody<Full<Bytes>>>| {
        called.fetch_add(1, SeqCst);
        let answer = Response::builder()
            .header("cache-control", "max-age=1, stale-while-revalidate=60")
            .header("x-amzn-requestid", "backend-1")
            .body(Full::<Bytes>::from("noon"));
        std::future::ready(Ok::<_, Infallible>(answer.unwrap()))
    });
    // The service may stand behind a timer of its own, too.
    let timed = IntegrationTimerLayer::new().clock(manual.clock()).layer(inner);
    let service = gateway.build().unwrap().layer(timed);
    run(async {
        for _ in 0..2 {
            let answer = service.clone().oneshot(get("/time")).await.unwrap();
            // The refresh is over before the stored body is read.
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            drop(answer.into_body().collect().await.unwrap());
            manual.advance(Duration::from_secs(2));
        }
    });
    assert_eq!(calls.load(SeqCst), 2, "one of them refreshes");
    assert_eq!(*lines.lock().unwrap(), ["miss 200 0 backend-1 STREAMED", "stale - - - -"]);
}

/// Behind the cache, a timer of one's own gives the service up: the context has an error where the client gets one.
#[test]
fn what_is_served_in_place_of_a_service_that_was_given_up_is_no_error() {
    let given_up = Some(Cause::IntegrationTimeout);
    for (directive, status, cause) in [
        ("stale-if-error=60", 200, None),
        ("stale-while-revalidate=60", 200, None),
        ("must-revalidate", 504, given_up),
    ] {
        run(async {
            let manual = ManualClock::at_unix_seconds(1_795_331_880);
            let cache = Cache::builder().rfc9111(Rfc9111::new()).clock(manual.clock()).build().unwrap();
            let (kept, control) = (Arc::<Mutex<Vec<_>>>::default(), format!("max-age=1, {directive}"));
            let contexts = Arc::clone(&kept);
            let inner = service_fn(move |request: Request<Full<Bytes>>| {
                let mut contexts = contexts.lock().unwrap();
                contexts.push(RequestContext::of(request.extensions()).unwrap().clone());
                let answers = contexts.len() == 1;
                let answer = Response::builder().header("cache-control", &control);
                let answer = answer.body(Full::<Bytes>::from("noon")).unwrap();
                async move { if answers { Ok::<_, Infallible>(answer) } else { std::future::pending().await } }
            });
            let timed = TimeoutLayer::new(SECOND).clock(manual.clock()).layer(inner);
            let service = RequestContextLayer::new().layer(CacheLayer::new(cache).layer(timed));
            drop(service.clone().oneshot(get("/time")).await.unwrap());
            manual.advance(2 * SECOND);
            let asked = tokio::spawn(service.oneshot(get("/time")));
            for _ in 0..2 {
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
                manual.advance(SECOND);
            }
            assert_eq!(asked.await.unwrap().unwrap().status(), status, "{directive}");
            let contexts = kept.lock().unwrap();
            assert_eq!(contexts.len(), 2);
            assert_eq!(contexts[1].error().map(GatewayError::cause), cause, "{directive}");
        });
    }
}
