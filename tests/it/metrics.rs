//! Metrics: what Prometheus and CloudWatch read, and no series that a client can make.

#[cfg(feature = "authorizer")]
mod callers;
#[cfg(feature = "jwt")]
mod tokens;

use crate::support::{get, left_out, python, run};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_gateway::{
    clock::ManualClock,
    context::ApiKind,
    gateway::Gateway,
    observe::{
        ApiInfo, EmfLog, FacadeMetrics, IntegrationTimerLayer, LogWriter, Metrics, ObserveLayer, RequestEvent,
    },
    route::{ApiMethod, Routes},
    stage::Stages,
};

/// Pets of any id, behind a gateway, each answer taking 7 ms of the manual clock.
fn shop(
    layer: ObserveLayer,
    kind: ApiKind,
) -> impl Service<Request<Full<Bytes>>, Response = Response<impl http_body::Body>, Error = Infallible> + Clone
{
    let manual = ManualClock::at_unix_seconds(1_795_331_880);
    let clock = manual.clock();
    let routes = Routes::builder().method("/pets/{id}", Method::GET, ApiMethod::new()).build().unwrap();
    let gateway = Gateway::builder().stages(Stages::single("prod", routes).unwrap()).api_kind(kind);
    let inner = service_fn(move |_: Request<_>| {
        manual.advance(Duration::from_millis(7));
        std::future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("pets"))))
    });
    let timed = IntegrationTimerLayer::new().clock(clock.clone()).layer(inner);
    let gateway = gateway.clock(clock.clone()).build().unwrap();
    layer.api(ApiInfo::new("pétshop").id("a1b2c3")).api_kind(kind).clock(clock).layer(gateway.layer(timed))
}

async fn ask<S, R>(service: &S, uri: &str)
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error = Infallible> + Clone,
    R: http_body::Body,
{
    let answer = service.clone().oneshot(get(uri)).await.unwrap();
    assert!(answer.into_body().collect().await.is_ok());
}

#[test]
fn a_page_of_known_requests() {
    let metrics = Metrics::builder().log_writer(LogWriter::new(std::io::sink()).unwrap()).build().unwrap();
    let service = shop(ObserveLayer::new().observer(metrics.clone()), ApiKind::Rest);
    run(async {
        ask(&service, "/prod/pets/1").await;
        ask(&service, "/prod/pets/2").await;
        ask(&service, "/prod/nothing").await;
    });
    let page = metrics.render();
    let pets =
        r#"stage="prod",http_request_method="GET",http_route="/pets/{id}",http_response_status_code="200""#;
    for line in [
        format!(r#"http_server_request_duration_seconds_bucket{{{pets},le="0.005"}} 0"#),
        format!(r#"http_server_request_duration_seconds_bucket{{{pets},le="0.01"}} 2"#),
        format!(r#"http_server_request_duration_seconds_bucket{{{pets},le="+Inf"}} 2"#),
        format!("http_server_request_duration_seconds_sum{{{pets}}} 0.014"),
        format!("http_server_request_duration_seconds_count{{{pets}}} 2"),
        format!("http_client_request_duration_seconds_count{{{pets}}} 2"),
        format!("tower_gateway_response_bytes_total{{{pets}}} 8"),
        r#"tower_gateway_refusals_total{response_type="MISSING_AUTHENTICATION_TOKEN",cause="NoRoute",layer="StageRouter"} 1"#
            .into(),
        r#"tower_gateway_requests_ended_total{outcome="complete"} 3"#.into(),
        "http_server_active_requests 0".into(),
        r#"tower_gateway_access_log_lines_total{result="dropped"} 0"#.into(),
        "tower_gateway_folded_requests_total 0".into(),
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
    assert_eq!(metrics.totals().len(), 2);
    prometheus_reads(&page);
}

/// The Python client's parser, where it is installed.
fn prometheus_reads(page: &str) {
    let script = "import sys\ntry:\n    from prometheus_client.parser import text_string_to_metric_families as read\nexcept ImportError:\n    sys.exit(77)\nprint(sum(len(family.samples) for family in read(sys.stdin.read())))";
    let Some(output) = python("prometheus_client", script, page) else {
        return left_out("Prometheus' own parser (prometheus_client is not installed here)");
    };
    let samples: usize = output.trim().parse().unwrap();
    assert_eq!(samples, page.lines().filter(|line| !line.starts_with('#')).count());
}

#[test]
fn a_hundred_thousand_paths_stay_within_the_label_budget() {
    let metrics = Metrics::builder().label_budget(10).build().unwrap();
    let service = shop(ObserveLayer::new().observer(metrics.clone()), ApiKind::Rest);
    run(async {
        for number in 0..50_000 {
            ask(&service, &format!("/prod/pets/{number}")).await;
            ask(&service, &format!("/prod/{number}")).await;
        }
    });
    let counts: Vec<_> = metrics.totals().into_iter().map(|series| (series.route, series.count)).collect();
    assert_eq!(counts, [("/pets/{id}".to_owned(), 50_000), ("other".to_owned(), 50_000)]);
}

#[test]
fn a_table_larger_than_the_budget_folds_and_says_so() {
    let metrics = Metrics::builder().label_budget(10).build().unwrap();
    let routes = (0..100)
        .fold(Routes::builder(), |builder, number| builder.any(&format!("/r{number}"), ApiMethod::new()));
    let gateway = Gateway::builder().routes(routes.build().unwrap()).build().unwrap();
    let service =
        ObserveLayer::new().observer(metrics.clone()).layer(gateway.layer(service_fn(|_: Request<_>| {
            std::future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("pets"))))
        })));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let service = service.clone();
            std::thread::spawn(move || {
                run(async {
                    for number in 0..100 {
                        ask(&service, &format!("/r{number}")).await;
                    }
                });
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let totals = metrics.totals();
    assert_eq!(totals.len(), 11, "the budget, and one folded series");
    assert_eq!(totals.iter().map(|series| series.count).sum::<u64>(), 400);
    let folded = totals.iter().find(|series| series.route == "other").unwrap();
    assert_eq!(
        (folded.stage.as_str(), folded.method.as_str(), folded.status, folded.count),
        ("other", "GET", 200, 360)
    );
    assert!(metrics.render().contains("tower_gateway_folded_requests_total 360\n"));
}

#[test]
fn counting_a_request_allocates_nothing() {
    let count = |layered: &dyn Fn()| {
        layered();
        allocation_counter::measure(layered).count_total
    };
    let ready = service_fn(|_: Request<Full<Bytes>>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("ok"))))
    });
    let floor = tower_gateway::context::RequestContextLayer::new().layer(ready);
    let counted = ObserveLayer::new().observer(Metrics::new()).layer(ready);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let floor = count(&|| runtime.block_on(ask(&floor, "/")));
    let counted = count(&|| runtime.block_on(ask(&counted, "/")));
    assert!(counted <= floor, "{counted} allocations, the context alone has {floor}");
}

#[test]
fn methods_of_a_clients_own_are_one() {
    let metrics = Metrics::new();
    let service = shop(ObserveLayer::new().observer(metrics.clone()), ApiKind::Rest);
    run(async {
        for method in ["ONE", "TWO", "get"] {
            let request =
                Request::builder().method(method).uri("/prod/pets/1").body(Full::default()).unwrap();
            drop(service.clone().oneshot(request).await.unwrap());
        }
    });
    let totals = metrics.totals();
    assert_eq!((totals.len(), totals[0].method.as_str(), totals[0].count), (1, "_OTHER", 3));
}

#[test]
fn in_flight_counts_what_has_not_ended() {
    let metrics = Metrics::new();
    let service =
        ObserveLayer::new().observer(metrics.clone()).layer(service_fn(|_: Request<Full<Bytes>>| {
            std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>()
        }));
    let future = service.oneshot(get("/"));
    run(async {
        let mut future = std::pin::pin!(future);
        assert!(futures_util::future::FutureExt::now_or_never(&mut future).is_none());
        assert_eq!(metrics.in_flight(), 1);
    });
    assert_eq!(metrics.in_flight(), 0);
    assert!(metrics.render().contains("tower_gateway_requests_ended_total{outcome=\"client_closed\"} 1\n"));
}

#[test]
fn the_endpoint_answers_get_and_head_alone() {
    let status = |method: &str| {
        let request = Request::builder().method(method).body(()).unwrap();
        run(Metrics::new().service::<Full<Bytes>>().oneshot(request)).unwrap().status().as_u16()
    };
    assert_eq!(["GET", "HEAD", "POST"].map(status), [200, 200, 405]);
    assert_eq!(Metrics::builder().label_budget(0).build().unwrap_err().value(), "0");
}

type Lines = Arc<Mutex<Vec<String>>>;

fn emf(kind: ApiKind, detailed: bool) -> Vec<serde_json::Value> {
    let lines = Lines::default();
    let kept = Arc::clone(&lines);
    let sink = move |line: &str, _: &RequestEvent<'_>| kept.lock().unwrap().push(line.to_owned());
    let service = shop(ObserveLayer::new().observer(EmfLog::new(sink).detailed(detailed)), kind);
    run(async {
        ask(&service, "/prod/pets/1").await;
        ask(&service, "/nowhere").await;
    });
    let lines = lines.lock().unwrap();
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The rules of CloudWatch's specification.
fn is_valid_emf(line: &serde_json::Value) {
    assert!(line["_aws"]["Timestamp"].is_u64());
    for directive in line["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
        assert!(!directive["Namespace"].as_str().unwrap().starts_with("AWS/"));
        for set in directive["Dimensions"].as_array().unwrap() {
            let set = set.as_array().unwrap();
            assert!(set.len() <= 30);
            for name in set {
                let value = line[name.as_str().unwrap()].as_str().expect("a string at the root");
                assert!(!value.is_empty() && value.len() <= 1_024);
            }
        }
        let metrics = directive["Metrics"].as_array().unwrap();
        assert!(metrics.len() <= 100);
        for metric in metrics {
            assert!(
                ["Count", "Milliseconds", "Bytes", "Percent", "None"]
                    .contains(&metric["Unit"].as_str().unwrap())
            );
            assert!(line[metric["Name"].as_str().unwrap()].is_number());
        }
    }
}

#[test]
fn lines_for_cloudwatch_follow_its_specification() {
    let lines = emf(ApiKind::Rest, true);
    lines.iter().for_each(is_valid_emf);
    let directive = &lines[0]["_aws"]["CloudWatchMetrics"][0];
    let sets =
        serde_json::json!([["ApiName"], ["ApiName", "Stage"], ["ApiName", "Stage", "Method", "Resource"]]);
    assert_eq!(directive["Dimensions"], sets);
    assert_eq!(lines[0]["ApiName"], "ptshop");
    assert_eq!((&lines[0]["Method"], &lines[0]["Resource"]), (&"GET".into(), &"/pets/{id}".into()));
    assert_eq!((&lines[0]["Latency"], &lines[0]["IntegrationLatency"]), (&7.0.into(), &7.0.into()));
    assert_eq!((&lines[0]["4XXError"], &lines[0]["5XXError"]), (&0.into(), &0.into()));
    assert_eq!(lines[1]["4XXError"], 1);
    assert!(lines[1]["IntegrationLatency"].is_null());
    assert_eq!(lines[1]["_aws"]["CloudWatchMetrics"][0]["Dimensions"], serde_json::json!([["ApiName"]]));

    let lines = emf(ApiKind::Http, false);
    lines.iter().for_each(is_valid_emf);
    assert_eq!((&lines[0]["ApiId"], &lines[0]["DataProcessed"]), (&"a1b2c3".into(), &4.into()));
    assert_eq!(lines[1]["4xx"], 1);
    assert!(lines[0]["Resource"].is_null());
}

#[test]
fn the_facade_gets_the_same_figures() {
    use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
    #[derive(Default)]
    struct Names(Mutex<Vec<String>>);
    impl Names {
        fn note(&self, key: &Key) {
            let labels: Vec<_> =
                key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            self.0.lock().unwrap().push(format!("{} {}", key.name(), labels.join(",")));
        }
    }
    impl Recorder for Names {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            self.note(key);
            Counter::noop()
        }
        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            self.note(key);
            Gauge::noop()
        }
        fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
            self.note(key);
            Histogram::noop()
        }
    }
    let names = Names::default();
    let service = shop(ObserveLayer::new().observer(FacadeMetrics::new()), ApiKind::Rest);
    metrics::with_local_recorder(&names, || run(ask(&service, "/prod/nothing")));
    let labels = "stage=prod,http.request.method=GET,http.route=other,http.response.status_code=403";
    assert_eq!(
        *names.0.lock().unwrap(),
        [
            "http.server.active_requests ".to_owned(),
            "http.server.active_requests ".into(),
            format!("http.server.request.duration {labels}"),
            format!("http.server.response.body.size {labels}"),
            "tower_gateway.requests_ended outcome=complete".into(),
            "tower_gateway.refusals response_type=MISSING_AUTHENTICATION_TOKEN,cause=NoRoute,layer=StageRouter".into(),
        ]
    );
}
