//! Bytes of requests are those that were read: no client makes a counter run over with what it announces.

use super::emf_sink;
use crate::support::run;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_gateway::{
    api_key::{ApiKey, ApiKeys},
    context::ApiKind,
    filter::{FilterLayer, Verdict},
    gateway::Gateway,
    observe::{EmfLog, FacadeMetrics, ObserveLayer, PrometheusMetrics, RequestEvent, metering::UsageJournal},
    payload_limit::PayloadLimitLayer,
    route::{ApiMethod, Routes},
    stage::{StageRouter, Stages},
};

const VALUE: &str = "0123456789abcdefghij";
/// Two of them make a 64-bit counter run over.
const HUGE: &str = "9223372036854775806";

/// Everybody who tells of bytes.
struct Told {
    metrics: PrometheusMetrics,
    journal: UsageJournal,
    lines: Arc<Mutex<Vec<String>>>,
    emf: super::Lines,
}

impl Told {
    fn new() -> Self {
        let journal = UsageJournal::new().with_refusals(true);
        Self { metrics: PrometheusMetrics::new(), journal, lines: Arc::default(), emf: Arc::default() }
    }

    fn layer(&self) -> ObserveLayer {
        let lines = Arc::clone(&self.lines);
        let line = move |event: &RequestEvent<'_>| {
            let text = |name| event.variable(name).map_or("-".to_owned(), |text| text.into_owned());
            let cause = text("error.cause");
            lines.lock().unwrap().push(format!(
                "{cause} {} {}",
                text("requestLength"),
                text("dataProcessed")
            ));
        };
        ObserveLayer::new()
            .api_kind(ApiKind::Http)
            .observer(line)
            .observer(self.metrics.clone())
            .observer(self.journal.clone())
            .observer(FacadeMetrics::new())
            .observer(EmfLog::new(emf_sink(&self.emf)).extended(true))
    }

    fn lines(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().unwrap())
    }

    /// Of the page, the journal and the EMF lines.
    fn bytes(&self) -> [u64; 3] {
        let page = self.metrics.totals().iter().map(|series| series.request_bytes).sum();
        let journal = self.journal.rows().iter().map(|row| row.bytes_in).sum();
        let emf = self.emf.lock().unwrap();
        let emf = emf.iter().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        [page, journal, emf.map(|line| line["RequestBytes"].as_u64().unwrap()).sum()]
    }
}

fn routes() -> Routes {
    let keyed = ApiMethod::new().api_key_required(true);
    let routes = Routes::builder().method("/keyed", Method::POST, keyed);
    routes.method("/open", Method::POST, ApiMethod::new()).build().unwrap()
}

fn filter() -> FilterLayer {
    FilterLayer::new(|head, _| match head.headers.contains_key("x-block") {
        true => Verdict::Block,
        false => Verdict::Pass,
    })
}

/// A body of three bytes that announces far more.
async fn post<S, R>(service: &S, uri: &str, header: &str)
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error = Infallible> + Clone,
    R: Body,
{
    let request = Request::post(uri).header("content-length", HUGE).header(header, VALUE);
    let answer = service.clone().oneshot(request.body("abc".into()).unwrap()).await.unwrap();
    assert!(answer.into_body().collect().await.is_ok());
}

/// Reads its body where it is told to.
async fn handler<B: Body<Error: std::fmt::Debug>>(
    request: Request<B>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.headers().contains_key("x-read") || request.headers().contains_key("x-api-key") {
        request.into_body().collect().await.unwrap();
    }
    Ok(Response::new(Full::default()))
}

#[test]
fn a_gateway_counts_what_is_read_and_never_what_is_announced() {
    let told = Told::new();
    let keys = ApiKeys::builder().key(ApiKey::new("k").value(VALUE)).build().unwrap();
    let stages = Stages::single("prod", routes()).unwrap();
    let gateway = Gateway::builder().stages(stages).api_keys(keys).filter(filter()).api_kind(ApiKind::Http);
    let gateway = gateway.payload_limit(PayloadLimitLayer::new(u64::MAX));
    let service = gateway.observe(told.layer()).build().unwrap().layer(service_fn(handler));
    run(async {
        for _ in 0..4 {
            post(&service, "/nope/x", "x-none").await;
            post(&service, "/prod/nope", "x-none").await;
            post(&service, "/prod/open", "x-block").await;
            post(&service, "/prod/keyed", "x-none").await;
            post(&service, "/prod/open", "x-none").await;
        }
    });
    let lengths = ["UnknownStage 0 23", "NoRoute 0 23", "Filtered 0 23", "ApiKeyMissing 0 23", "- 0 0"];
    let (lines, cause) = (told.lines(), |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" "));
    for (line, wanted) in lines.iter().zip(lengths.iter().cycle()) {
        assert_eq!(cause(line), cause(wanted));
    }
    assert_eq!((lines.len(), told.bytes()), (20, [0; 3]));
    run(async {
        post(&service, "/prod/open", "x-read").await;
        post(&service, "/prod/keyed", "x-api-key").await;
    });
    assert_eq!(told.lines(), ["- 3 3", "- 3 3"]);
    assert_eq!(told.bytes(), [6, 3, 6]);
    assert!(told.metrics.render().lines().all(|line| !line.contains("18446744")));
}

#[test]
fn a_stack_counts_what_a_payload_limit_sees() {
    let told = Told::new();
    let stack = || {
        let stages = StageRouter::new(Stages::single("prod", routes()).unwrap());
        ServiceBuilder::new().layer(told.layer()).layer(stages).layer(filter())
    };
    let unlimited = stack().service(service_fn(handler));
    run(async {
        post(&unlimited, "/nope/x", "x-none").await;
        post(&unlimited, "/prod/nope", "x-none").await;
        post(&unlimited, "/prod/open", "x-block").await;
        post(&unlimited, "/prod/open", "x-read").await;
    });
    let causes = ["UnknownStage", "NoRoute", "Filtered", "-"];
    for (line, cause) in told.lines().iter().zip(causes) {
        assert!(line.starts_with(&format!("{cause} - ")), "nobody counts: {line}");
    }
    assert_eq!(told.bytes(), [0; 3]);
    for limit in [PayloadLimitLayer::new(u64::MAX), PayloadLimitLayer::new(u64::MAX).no_minimum_rate()] {
        let limited = stack().layer(limit).service(service_fn(handler));
        run(async {
            post(&limited, "/prod/open", "x-read").await;
            post(&limited, "/prod/open", "x-none").await;
        });
        assert_eq!(told.lines(), ["- 3 3", "- 0 0"]);
    }
    assert_eq!(told.bytes(), [6, 0, 6]);
}

#[test]
fn a_body_that_two_count_is_counted_once() {
    let told = Told::new();
    let unlimited = || PayloadLimitLayer::new(u64::MAX);
    let gateway = Gateway::builder().payload_limit(unlimited()).observe(told.layer()).build().unwrap();
    let outside = tower_gateway::context::RequestContextLayer::new().api_kind(ApiKind::Http);
    let inner = ServiceBuilder::new().layer(unlimited()).service(service_fn(handler));
    let service = outside.layer(unlimited().layer(gateway.layer(inner)));
    run(post(&service, "/open", "x-read"));
    assert_eq!(told.lines(), ["- 3 3"]);
}
