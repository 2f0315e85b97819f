//! For operators: who may look, what they see, and what keys used.

#[cfg(feature = "authorizer")]
mod page;
mod shared;
mod views;

use crate::support::run;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use std::convert::Infallible;
use tower::{Layer, ServiceExt, service_fn};
use tower_gateway::{
    GatewayBody,
    api_key::{ApiKey, ApiKeys},
    clock::ManualClock,
    gateway::Gateway,
    observe::{
        ObserveLayer, PrometheusMetrics, RequestEvent,
        admin::{AdminService, Explain},
        metering::{PriceTable, UsageJournal, UsageRow},
    },
    route::{ApiMethod, Routes},
    stage::Stages,
};

/// 2026-11-22T07:18:00Z.
const NOW: i64 = 1_795_331_880;
const VALUE: &str = "0123456789abcdefghij";

struct Shop {
    metrics: PrometheusMetrics,
    explain: Explain,
    journal: UsageJournal,
}

/// A shop that was asked: twice by each of two partners, on two days; once without a key.
fn shop() -> Shop {
    let clock = ManualClock::at_unix_seconds(NOW);
    let shop =
        Shop { metrics: PrometheusMetrics::new(), explain: Explain::new(4), journal: UsageJournal::new() };
    let key = |id: &str| ApiKey::new(id).value(format!("{id}-0123456789abcdefghij"));
    let keys = ApiKeys::builder().key(key("one")).key(key("two,\"x")).build().unwrap();
    let routes = Routes::builder().method("/pets", Method::POST, ApiMethod::new().api_key_required(true));
    let stages = Stages::single("prod", routes.build().unwrap()).unwrap();
    let gateway = Gateway::builder().stages(stages).api_keys(keys).clock(clock.clock()).build().unwrap();
    let service = ObserveLayer::new()
        .clock(clock.clock())
        .observer(shop.metrics.clone())
        .observer(shop.explain.clone())
        .observer(shop.journal.clone())
        .layer(gateway.layer(service_fn(|request: Request<GatewayBody<Full<Bytes>>>| async {
            assert_eq!(request.into_body().collect().await.unwrap().to_bytes(), "abc");
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("pets")))
        })));
    let ask = |key: &str| {
        let request = Request::post("/prod/pets").header("x-api-key", key).header("content-length", "3");
        let request = request.body(Full::<Bytes>::from("abc")).unwrap();
        run(async { service.clone().oneshot(request).await.unwrap().into_body().collect().await.unwrap() });
    };
    for _ in 0..2 {
        ask("one-0123456789abcdefghij");
        ask("two,\"x-0123456789abcdefghij");
        clock.advance(std::time::Duration::from_secs(86_400));
    }
    ask("<script>alert(1)</script>");
    shop
}

fn get(service: &AdminService<Full<Bytes>>, path: &str) -> (u16, String) {
    let request = Request::get(path).header("x-operator", "yes").body(()).unwrap();
    let answer = run(service.clone().oneshot(request)).unwrap();
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert!(answer.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    let status = answer.status().as_u16();
    (status, String::from_utf8(run(answer.into_body().collect()).unwrap().to_bytes().to_vec()).unwrap())
}

#[test]
fn operators_see_why_and_others_nothing() {
    let shop = shop();
    let closed = AdminService::new(shop.explain.clone(), shop.metrics);
    for path in ["/", "/summary", "/requests", "/metrics"] {
        assert_eq!(get(&closed, path), (403, r#"{"message":"Forbidden"}"#.into()));
    }
    let open = closed
        .allow(|head| head.headers.contains_key("x-operator"))
        .view("shops", |rest| (rest == "prod").then(|| "{}".to_owned()))
        .unwrap();
    for (name, problem) in [
        ("shops", "is in use"),
        ("limits", "is in use"),
        ("metrics", "is in use"),
        ("", "is not one segment of a path"),
        ("a/b", "is not one segment of a path"),
    ] {
        let error = open.clone().view(name, |_| None).unwrap_err();
        assert_eq!((error.value(), error.problem()), (name, problem));
    }
    let nobody = Request::get("/").body(()).unwrap();
    assert_eq!(run(open.clone().oneshot(nobody)).unwrap().status(), 403);
    let write = Request::post("/").header("x-operator", "yes").body(()).unwrap();
    let refused = run(open.clone().oneshot(write)).unwrap();
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["allow"]),
        (405, &"GET, HEAD".parse().unwrap())
    );

    let newest = shop.explain.recent()[0].clone();
    let (status, text) = get(&open, &format!("/requests/{}", newest.request_id));
    let record: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &record["cause"], &record["status"]), (200, &"ApiKeyUnknown".into(), &"403".into()));
    assert!(!text.contains("script"), "a key is no part of a record");
    let escaped = format!("/requests/{}", newest.request_id.replace('-', "%2D"));
    assert_eq!(get(&open, &escaped), (status, text), "clients of operators may write ids with escapes");
    assert_eq!((get(&open, "/requests/unknown").0, get(&open, "/requests/%FF").0), (404, 404));
    assert_eq!((get(&open, "/shops/prod").0, get(&open, "/shops/x").0, get(&open, "/x").0), (200, 404, 404));
    for odd in ["//", "//summary", "//shops/prod", "///metrics", "/summary/", "/shops/"] {
        let request =
            Request::get(format!("http://operators{odd}")).header("x-operator", "yes").body(()).unwrap();
        assert_eq!(run(open.clone().oneshot(request)).unwrap().status(), 404, "one path, one meaning: {odd}");
    }
    assert_eq!(shop.explain.recent().len(), 4, "the ring is bounded");

    let summary: serde_json::Value = serde_json::from_str(&get(&open, "/summary").1).unwrap();
    assert_eq!((&summary["count"], &summary["inFlight"]), (&5.into(), &0.into()));
    assert_eq!(summary["statuses"], serde_json::json!({ "200": 4, "403": 1 }));
    assert_eq!(summary["refusals"][0]["cause"], "ApiKeyUnknown");
    assert_eq!(summary["recent"].as_array().unwrap().len(), 4);
    let (_, page) = get(&open, "/");
    assert!(page.starts_with("<!doctype html>") && !page.contains("://"), "nothing from outside");
    assert!(get(&open, "/metrics").1.contains("tower_gateway_refusals_total"));
}

#[test]
fn a_path_variable_that_is_a_secret_is_shown_to_no_operator() {
    let explain = Explain::new(4);
    let routes = Routes::builder().method("/reset/{token}/{id}", Method::GET, ApiMethod::new()).method(
        "/shared/{secret+}",
        Method::GET,
        ApiMethod::new(),
    );
    let gateway = Gateway::builder().stages(Stages::single("prod", routes.build().unwrap()).unwrap());
    let gateway = gateway.observe(ObserveLayer::new().observer(explain.clone())).build().unwrap();
    let service = gateway.layer(service_fn(|_: Request<GatewayBody<Full<Bytes>>>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    }));
    let admin = AdminService::<Full<Bytes>>::new(explain.clone(), PrometheusMetrics::new()).allow(|_| true);
    for (path, shown) in [
        ("/prod/reset/0123456789abcdefghij/7", "/prod/reset/**************efghij/7"),
        ("/prod/shared/hidden/from/you", "/prod/shared/***************"),
    ] {
        let request = Request::get(path).body(Full::<Bytes>::default()).unwrap();
        drop(run(service.clone().oneshot(request)).unwrap());
        assert_eq!(explain.recent()[0].path, shown);
        for view in ["/requests", "/summary"] {
            let text = get(&admin, view).1;
            assert!(text.contains(shown) && !text.contains(path), "{text}");
        }
    }
}

#[test]
fn use_is_counted_by_key_stage_and_day() {
    let shop = shop();
    let csv = "day,keyId,stage,requests,bytesIn,bytesOut\n\
               2026-11-22,one,prod,1,3,4\n\
               2026-11-22,\"two,\"\"x\",prod,1,3,4\n\
               2026-11-23,one,prod,1,3,4\n\
               2026-11-23,\"two,\"\"x\",prod,1,3,4\n";
    assert_eq!(shop.journal.to_csv(), csv);
    let prices = PriceTable::new().requests([(Some(1), 5), (None, 3)]).unwrap();
    let bill = prices.bill(&UsageRow::read_csv(csv).unwrap());
    assert_eq!(bill, prices.bill(&shop.journal.rows()), "a month is computed again from what was exported");
    assert_eq!(bill.iter().map(|line| line.amount_nano).collect::<Vec<_>>(), [8, 8]);
    let lines = shop.journal.to_json_lines();
    let second: serde_json::Value = serde_json::from_str(lines.lines().nth(1).unwrap()).unwrap();
    let wanted = serde_json::json!({ "day": "2026-11-22", "keyId": "two,\"x", "stage": "prod", "requests": 1, "bytesIn": 3, "bytesOut": 4 });
    assert_eq!(second, wanted);
    let other = shop.journal.clone();
    let taken = shop.journal.take_before(NOW + 86_400);
    assert_eq!(taken.iter().map(|row| row.day.as_str()).collect::<Vec<_>>(), ["2026-11-22"; 2]);
    assert_eq!((shop.journal.rows().len(), other.rows().len()), (2, 2), "taken once, whoever asks");
}

#[test]
fn a_request_of_a_known_key_is_counted_without_an_allocation() {
    let keys = ApiKeys::builder().key(ApiKey::new("one").value(VALUE)).build().unwrap();
    let routes = Routes::builder().method("/pets", Method::GET, ApiMethod::new().api_key_required(true));
    let stages = Stages::single("prod", routes.build().unwrap()).unwrap();
    let gateway = || Gateway::builder().stages(stages.clone()).api_keys(keys.clone());
    let inner = service_fn(|_: Request<GatewayBody<Full<Bytes>>>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("pets"))))
    });
    let allocations = |layer: ObserveLayer| {
        let service = gateway().observe(layer).build().unwrap().layer(inner);
        let ask = || {
            let request = Request::get("/prod/pets").header("x-api-key", VALUE);
            let answer = run(service.clone().oneshot(request.body(Full::<Bytes>::default()).unwrap()));
            assert_eq!(run(answer.unwrap().into_body().collect()).unwrap().to_bytes(), "pets");
        };
        ask();
        allocation_counter::measure(ask).count_total
    };
    let journal = UsageJournal::new();
    let floor = allocations(ObserveLayer::new().observer(|_: &RequestEvent<'_>| {}));
    assert_eq!(allocations(ObserveLayer::new().observer(journal.clone())), floor);
    assert_eq!(journal.rows()[0].requests, 2);
}

#[test]
fn threads_count_while_others_read_and_take() {
    let journal = UsageJournal::new();
    let keys: Vec<_> = (0..50).map(|number| format!("key-{number}-0123456789abcdef")).collect();
    let known = keys.iter().fold(ApiKeys::builder(), |known, key| {
        known.key(ApiKey::new(key.split("-0").next().unwrap()).value(key.as_str()))
    });
    let routes = Routes::builder().method("/pets", Method::GET, ApiMethod::new().api_key_required(true));
    let stages = Stages::single("prod", routes.build().unwrap()).unwrap();
    let gateway = Gateway::builder().stages(stages).api_keys(known.build().unwrap());
    let gateway = gateway.observe(ObserveLayer::new().observer(journal.clone())).build().unwrap();
    let taken = std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let service = gateway.layer(service_fn(|_: Request<GatewayBody<Full<Bytes>>>| async {
                    Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
                }));
                for key in &keys {
                    let request = Request::get("/prod/pets").header("x-api-key", key.as_str());
                    let request = request.body(Full::<Bytes>::default()).unwrap();
                    drop(run(service.clone().oneshot(request)).unwrap());
                }
            });
        }
        (0..20).map(|_| journal.take_before(i64::MAX)).flatten().map(|row| row.requests).sum::<u64>()
    });
    let left: u64 = journal.rows().iter().map(|row| row.requests).sum();
    assert_eq!(taken + left, 150);
}
