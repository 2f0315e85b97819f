//! However many paths and keys clients come with: the series stay within the label budget, and memory stays flat.
//! `LONG=1` sends ten million requests.

use crate::support::{is_long, run};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use std::{convert::Infallible, ops::Range};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_gateway::{
    api_key::{ApiKey, ApiKeys},
    gateway::Gateway,
    observe::{
        AccessLog, AccessLogFormat, ApiInfo, EmfLog, FacadeMetrics, ObserveLayer, PrometheusMetrics,
        RequestEvent, admin::Explain,
    },
    route::{ApiMethod, Routes},
    stage::Stages,
    throttle::Throttle,
    usage_plan::{Quota, QuotaPeriod, UsagePlan, UsagePlans},
};

const KEYS: u64 = 100_000;
const BUDGET: usize = 20;

fn key_value(number: u64) -> String {
    format!("0123456789-key-{number:06}")
}

/// Everything that observes, around a gateway with a plan and a hundred thousand keys.
fn observed(metrics: &PrometheusMetrics) -> Gateway {
    let dropped = |_: &str, _: &RequestEvent<'_>| {};
    let fields = [("id", "requestId"), ("path", "path"), ("key", "identity.apiKeyId"), ("status", "status")];
    let observe = ObserveLayer::new()
        .api(ApiInfo::new("pets"))
        .observer(AccessLog::new(AccessLogFormat::json_object(fields).unwrap(), dropped))
        .observer(metrics.clone())
        .observer(EmfLog::new(dropped).detailed(true).extended(true))
        .observer(FacadeMetrics::new())
        .observer(Explain::new(100));
    // One route, ten of its own for the budget to be spent on, and paths without any.
    let keyed = || ApiMethod::new().api_key_required(true);
    let routes = (0..10).fold(Routes::builder().any("/pets/{id}", keyed()), |routes, number| {
        routes.any(&format!("/r{number}"), keyed())
    });
    let plan = UsagePlan::new("gold")
        .throttle(Throttle::new(1e6, 1_000_000).unwrap())
        .quota(Quota::new(1_000_000, QuotaPeriod::Month).unwrap());
    let ids: Vec<_> = (0..KEYS).map(|number| format!("k{number}")).collect();
    let plans = UsagePlans::builder().plan(plan).build().unwrap();
    plans.attach_all("gold", ids.iter().map(String::as_str)).unwrap();
    let keys = ApiKeys::new();
    keys.add_all(ids.iter().zip(0..).map(|(id, number)| ApiKey::new(id).value(key_value(number)))).unwrap();
    let gateway = Gateway::builder().stages(Stages::single("prod", routes.build().unwrap()).unwrap());
    gateway.api_keys(keys).usage_plans(plans).observe(observe).build().unwrap()
}

/// Of every four requests one each: a pet of its own, a path that is not there, a method of its own, a route.
async fn send<S, R>(service: &S, numbers: Range<u64>)
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error = Infallible> + Clone,
    R: http_body::Body,
{
    for number in numbers {
        let (method, path) = match number % 4 {
            0 => ("GET".to_owned(), format!("/prod/pets/{number}")),
            1 => ("GET".to_owned(), format!("/prod/nowhere/{number}")),
            2 => (format!("M{number}"), format!("/prod/pets/{number}")),
            _ => ("POST".to_owned(), format!("/prod/r{}", number / 4 % 10)),
        };
        let request =
            Request::builder().method(&*method).uri(path).header("x-api-key", key_value(number % KEYS));
        let answer = service.clone().oneshot(request.body(Full::default()).unwrap()).await.unwrap();
        assert!(answer.into_body().collect().await.is_ok());
    }
}

#[test]
fn a_hundred_thousand_paths_and_keys_take_no_more_memory_than_a_few() {
    let metrics = PrometheusMetrics::builder().label_budget(BUDGET).build().unwrap();
    let statuses = [200, 200, 404, 500].map(|status| http::StatusCode::from_u16(status).unwrap());
    let service = observed(&metrics).layer(service_fn(move |request: Request<_>| {
        let mut response = Response::new(Full::<Bytes>::from("pets"));
        *response.status_mut() = statuses[request.uri().path().len() % 4];
        std::future::ready(Ok::<_, Infallible>(response))
    }));
    run(send(&service, 0..KEYS));
    let (rounds, size) = if is_long() { (100, KEYS) } else { (1, KEYS / 5) };
    for round in 0..rounds {
        let numbers = KEYS + round * size..KEYS + (round + 1) * size;
        let measured = allocation_counter::measure(|| run(send(&service, numbers)));
        assert!(measured.bytes_current.abs() < 16 * 1024, "round {round}: {measured:?}");
    }
    let totals = metrics.totals();
    // Methods other than HTTP's are one, and what the budget has no room for is one a method and kind of status.
    assert!(totals.len() <= BUDGET + 3 * 3, "{} series", totals.len());
    assert_eq!(totals.iter().map(|series| series.count).sum::<u64>(), KEYS + rounds * size);
    let page = metrics.render();
    assert!(page.lines().count() < 2_000, "{} lines", page.lines().count());
    assert!(!page.contains("nowhere") && !page.contains("\"k1\"") && !page.contains("M2"));
}
