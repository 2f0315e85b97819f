//! Metrics: what Prometheus and CloudWatch read, and no series that a client can make.

#[cfg(feature = "authorizer")]
mod callers;
mod facade;
#[cfg(feature = "metering")]
mod lengths;
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
        ApiInfo, EmfLog, FacadeMetrics, IntegrationTimerLayer, LogSink, LogWriter, ObserveLayer,
        PrometheusMetrics, RequestEvent,
    },
    route::{ApiMethod, MethodSettings, Routes},
    stage::{Deployment, Stage, Stages},
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
    let metrics =
        PrometheusMetrics::builder().log_writer(LogWriter::new(std::io::sink()).unwrap()).build().unwrap();
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
    let metrics = PrometheusMetrics::builder().label_budget(10).build().unwrap();
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
    let metrics = PrometheusMetrics::builder().label_budget(10).build().unwrap();
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
    let counted = ObserveLayer::new().observer(PrometheusMetrics::new()).layer(ready);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let floor = count(&|| runtime.block_on(ask(&floor, "/")));
    let counted = count(&|| runtime.block_on(ask(&counted, "/")));
    assert!(counted <= floor, "{counted} allocations, the context alone has {floor}");
}

#[test]
fn methods_of_a_clients_own_are_one() {
    let metrics = PrometheusMetrics::new();
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
    let metrics = PrometheusMetrics::new();
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
        run(PrometheusMetrics::new().service::<Full<Bytes>>().oneshot(request)).unwrap().status().as_u16()
    };
    assert_eq!(["GET", "HEAD", "POST"].map(status), [200, 200, 405]);
    assert_eq!(PrometheusMetrics::builder().label_budget(0).build().unwrap_err().value(), "0");
}

type Lines = Arc<Mutex<Vec<String>>>;

fn emf_sink(lines: &Lines) -> impl LogSink {
    let kept = Arc::clone(lines);
    move |line: &str, _: &RequestEvent<'_>| kept.lock().unwrap().push(line.to_owned())
}

fn emf(kind: ApiKind, detailed: bool) -> Vec<serde_json::Value> {
    let lines = Lines::default();
    let log = EmfLog::new(emf_sink(&lines)).detailed(detailed);
    let service = shop(ObserveLayer::new().observer(log), kind);
    run(async {
        ask(&service, "/prod/pets/1").await;
        ask(&service, "/nowhere").await;
    });
    let lines = lines.lock().unwrap();
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The rules of CloudWatch's specification and of the schema that it publishes ("Embedded metric format schema"):
/// lengths of texts and arrays are the schema's.
fn is_valid_emf(line: &serde_json::Value) {
    let text = |value: &serde_json::Value, most: usize| {
        let text = value.as_str().expect("a string").to_owned();
        assert!((1..=most).contains(&text.chars().count()), "{text}");
        text
    };
    assert!(line["_aws"]["Timestamp"].is_u64());
    for directive in line["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
        assert!(!text(&directive["Namespace"], 1_024).starts_with("AWS/"));
        let sets = directive["Dimensions"].as_array().unwrap();
        assert!(!sets.is_empty(), "a set at least, which may be empty: {directive}");
        for set in sets {
            let set = set.as_array().unwrap();
            assert!(set.len() <= 30);
            for name in set {
                // A string at the root.
                text(&line[text(name, 250)], 1_024);
            }
        }
        let metrics = directive["Metrics"].as_array().unwrap();
        assert!(metrics.len() <= 100);
        for metric in metrics {
            assert!(
                ["Count", "Milliseconds", "Bytes", "Percent", "None"]
                    .contains(&metric["Unit"].as_str().unwrap())
            );
            assert!(line[text(&metric["Name"], 1_024)].is_number());
        }
    }
}

#[test]
fn lines_of_an_api_without_a_name_are_valid_too() {
    let lines = Lines::default();
    let log = EmfLog::new(emf_sink(&lines)).detailed(true).extended(true);
    let routes = Routes::builder().method("/pets/{id}", Method::GET, ApiMethod::new()).build().unwrap();
    let gateway = Gateway::builder().stages(Stages::single("prod", routes).unwrap());
    let service = gateway.observe(ObserveLayer::new().observer(log)).build().unwrap().layer(service_fn(
        |_: Request<_>| async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("pets"))) },
    ));
    run(async {
        ask(&service, "/prod/pets/1").await;
        ask(&service, "/nowhere").await;
    });
    let lines = lines.lock().unwrap();
    let sets = lines.iter().map(|line| {
        let line = serde_json::from_str(line).unwrap();
        is_valid_emf(&line);
        line["_aws"]["CloudWatchMetrics"][0]["Dimensions"].clone()
    });
    let wanted =
        [serde_json::json!([[], ["Stage"], ["Stage", "Method", "Resource"]]), serde_json::json!([[]])];
    assert_eq!(sets.collect::<Vec<_>>(), wanted);
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
fn detailed_metrics_of_an_http_api_may_go_by_route() {
    for (kind, api) in [(ApiKind::Http, "ApiId"), (ApiKind::Rest, "ApiName")] {
        let lines = Lines::default();
        let log = EmfLog::new(emf_sink(&lines)).detailed(true).by_route(true);
        let service = shop(ObserveLayer::new().observer(log), kind);
        run(ask(&service, "/prod/pets/1"));
        let line: serde_json::Value = serde_json::from_str(&lines.lock().unwrap()[0]).unwrap();
        is_valid_emf(&line);
        let sets = &line["_aws"]["CloudWatchMetrics"][0]["Dimensions"];
        let (method, stage) = (["Method", "Resource"], "Stage");
        let (last, route) = match kind {
            ApiKind::Http => (serde_json::json!([api, stage, "Route"]), "GET /pets/{id}".into()),
            _ => (serde_json::json!([api, stage, method[0], method[1]]), serde_json::Value::Null),
        };
        assert_eq!((&sets[2], &line["Route"]), (&last, &route));
    }
}

#[test]
fn a_stage_says_of_which_methods_metrics_are_kept() {
    let lines = Lines::default();
    let routes = ["/pets", "/dogs"].into_iter().fold(Routes::builder(), |routes, path| {
        let routes = routes.method(path, Method::GET, ApiMethod::new());
        routes.any(&format!("{path}/any"), ApiMethod::new())
    });
    let enabled = |enabled| MethodSettings::new().metrics_enabled(enabled);
    let stage = Stage::new("prod", "v1")
        .settings("*/*", enabled(true))
        .settings("dogs/GET", enabled(false))
        .settings("dogs/any/GET", enabled(false));
    let stages = Stages::builder().deployment(Deployment::new("v1", routes.build().unwrap()));
    let stages = stages.stage(stage).stage(Stage::new("dev", "v1")).build().unwrap();
    let observe = ObserveLayer::new().observer(EmfLog::new(emf_sink(&lines)));
    let gateway = Gateway::builder().stages(stages).observe(observe).build().unwrap();
    let service = gateway.layer(service_fn(|_: Request<_>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("pets"))))
    }));
    run(async {
        for uri in ["/prod/pets", "/prod/dogs", "/prod/pets/any", "/prod/dogs/any", "/dev/pets"] {
            ask(&service, uri).await;
        }
    });
    let lines = lines.lock().unwrap();
    let resources = lines.iter().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        is_valid_emf(&line);
        line["Resource"].as_str().map(str::to_owned)
    });
    let wanted = [Some("/pets"), None, Some("/pets/any"), None, None];
    assert_eq!(resources.collect::<Vec<_>>(), wanted.map(|path| path.map(str::to_owned)));
}

#[test]
fn failures_have_their_type() {
    let names: Lines = Lines::default();
    let kept = Arc::clone(&names);
    let line = move |event: &RequestEvent<'_>| kept.lock().unwrap().push(event.outcome().as_str().to_owned());
    let metrics = PrometheusMetrics::new();
    let layer = ObserveLayer::new().observer(metrics.clone()).observer(line);
    let answers = |status: u16| {
        layer.layer(service_fn(move |_: Request<Full<Bytes>>| async move {
            let body = Full::<Bytes>::from("x");
            Ok::<_, Infallible>(Response::builder().status(status).body(body).unwrap())
        }))
    };
    run(async {
        ask(&answers(503), "/").await;
        ask(&answers(404), "/").await;
    });
    assert_eq!(*names.lock().unwrap(), ["complete"; 2]);
    let page = metrics.render();
    let of = |status: &str| {
        let label = format!("http_response_status_code=\"{status}\"");
        page.lines().filter(|line| line.contains(&label)).all(|line| line.contains("error_type=\"503\""))
    };
    assert!(of("503") && !of("404"), "{page}");
    prometheus_reads(&page);
}
