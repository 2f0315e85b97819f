//! What callers' plans and authorizers and the cache did, told by Prometheus, CloudWatch and the facade from one event;
//! and figures that somebody else counts.

use super::{is_valid_emf, prometheus_reads};
use crate::support::run;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use serde_json::Value;
use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tower::{Layer, ServiceExt, service_fn};
use tower_gateway::{
    api_key::{ApiKey, ApiKeys},
    authorizer::{Authorizer, AuthorizerAnswer, AuthorizerEvent, AuthorizerLayer, authorizer_fn},
    cache::{Cache, CacheLayer},
    clock::ManualClock,
    gateway::Gateway,
    observe::{ApiInfo, EmfLog, FacadeMetrics, ObserveLayer, PrometheusMetrics, RequestEvent, Samples},
    route::{ApiMethod, Authorization, Routes},
    stage::Stages,
    throttle::Throttle,
    usage_plan::{Quota, QuotaPeriod, UsagePlan, UsagePlans},
};

const VALUE: &str = "0123456789abcdefghij";

/// What a recorder was told: name, labels and value, in their order.
#[derive(Default)]
struct Told(Arc<Mutex<Vec<String>>>);

struct Sink(Arc<Mutex<Vec<String>>>, String);

impl Sink {
    fn tell(&self, value: impl std::fmt::Display) {
        self.0.lock().unwrap().push(format!("{} {value}", self.1));
    }
}

impl metrics::CounterFn for Sink {
    fn increment(&self, value: u64) {
        self.tell(value);
    }
    fn absolute(&self, value: u64) {
        self.tell(value);
    }
}

impl metrics::GaugeFn for Sink {
    fn increment(&self, value: f64) {
        self.tell(value);
    }
    fn decrement(&self, value: f64) {
        self.tell(-value);
    }
    fn set(&self, value: f64) {
        self.tell(value);
    }
}

impl metrics::HistogramFn for Sink {
    fn record(&self, value: f64) {
        self.tell(value);
    }
}

impl Told {
    fn sink(&self, key: &Key) -> Arc<Sink> {
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        Arc::new(Sink(Arc::clone(&self.0), format!("{} {}", key.name(), labels.join(","))))
    }

    fn of(&self, start: &str) -> Vec<String> {
        self.0.lock().unwrap().iter().filter(|line| line.starts_with(start)).cloned().collect()
    }
}

impl Recorder for Told {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.sink(key))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.sink(key))
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.sink(key))
    }
}

type Lines = Arc<Mutex<Vec<String>>>;

struct Seen {
    metrics: PrometheusMetrics,
    lines: Vec<Value>,
    told: Told,
}

/// Failures of a store, of which there are more with every look.
fn store() -> impl Fn(&mut Samples) + Clone + Send + Sync + 'static {
    let failures = Arc::new(AtomicU64::new(0));
    move |samples: &mut Samples| {
        let failed = failures.fetch_add(5, Relaxed) + 5;
        let labels = [("store", "usage\n\"x"), ("decision", "degrade")];
        samples.counter("tower_gateway_store_failures_total", "Failed calls of a store.", &labels, failed);
        samples.gauge("tower_gateway_store_open", "Connections.", &[], 2.5);
    }
}

/// Four requests with a key of a plan of four tokens and a quota of three; ada twice through an authorizer that takes 40
/// ms; each cached answer is a hit.
fn seen() -> Seen {
    let clock = ManualClock::at_unix_seconds(1_795_331_880);
    let (metrics, lines, told) =
        (PrometheusMetrics::builder().source(store()).build().unwrap(), Lines::default(), Told::default());
    let kept = Arc::clone(&lines);
    let emf = EmfLog::new(move |line: &str, _: &RequestEvent<'_>| kept.lock().unwrap().push(line.to_owned()));
    let observe = ObserveLayer::new()
        .api(ApiInfo::new("pets"))
        .observer(metrics.clone())
        .observer(emf.extended(true).source(store()))
        .observer(FacadeMetrics::new());
    let takes_time = clock.clone();
    let who = move |_: AuthorizerEvent| {
        takes_time.advance(Duration::from_millis(40));
        async { Ok::<_, Infallible>(AuthorizerAnswer::allow("ada", ["*"])) }
    };
    let authorizer = Authorizer::token("shop\"s", authorizer_fn(who)).clock(clock.clock()).build().unwrap();
    let routes = Routes::builder()
        .method("/pets", Method::GET, ApiMethod::new().api_key_required(true))
        .method("/me", Method::GET, ApiMethod::new().authorization(Authorization::custom("shop\"s")));
    let plan = UsagePlan::new("gold")
        .throttle(Throttle::new(0.0, 4).unwrap())
        .quota(Quota::new(3, QuotaPeriod::Day).unwrap());
    let plans = UsagePlans::builder().clock(clock.clock()).plan(plan).attach("gold", "k").build().unwrap();
    let gateway = Gateway::builder()
        .stages(Stages::single("prod", routes.build().unwrap()).unwrap())
        .api_keys(ApiKeys::builder().key(ApiKey::new("k").value(VALUE)).build().unwrap())
        .usage_plans(plans)
        .authorizer(AuthorizerLayer::new(authorizer))
        .clock(clock.clock())
        .observe(observe)
        .cache(CacheLayer::new(Cache::builder().clock(clock.clock()).build().unwrap()))
        .build()
        .unwrap();
    let service = gateway.layer(service_fn(|_: Request<_>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("pets")))
    }));
    let ask = |path: &str, name: &str, value: &str| {
        let request = Request::get(path).header(name, value).body(Full::<Bytes>::default()).unwrap();
        let answer = run(service.clone().oneshot(request)).unwrap();
        drop(run(answer.into_body().collect()).unwrap());
    };
    metrics::with_local_recorder(&told, || {
        (0..4).for_each(|_| ask("/prod/pets", "x-api-key", VALUE));
        clock.advance(Duration::from_secs(61));
        (0..2).for_each(|_| ask("/prod/me", "authorization", "ada"));
        FacadeMetrics::new().publish(&store());
    });
    let lines = lines.lock().unwrap().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    Seen { metrics, lines, told }
}

#[test]
fn prometheus_reads_headroom_authorizers_reasons_and_sources() {
    let page = seen().metrics.render();
    for line in [
        // Three, two, one and one token of four: the refused request takes none.
        r#"tower_gateway_plan_throttle_headroom_ratio_bucket{plan="gold",le="0.25"} 2"#,
        r#"tower_gateway_plan_throttle_headroom_ratio_bucket{plan="gold",le="0.5"} 3"#,
        r#"tower_gateway_plan_throttle_headroom_ratio_count{plan="gold"} 4"#,
        r#"tower_gateway_plan_quota_headroom_ratio_bucket{plan="gold",le="0"} 2"#,
        r#"tower_gateway_plan_quota_headroom_ratio_bucket{plan="gold",le="0.5"} 3"#,
        r#"tower_gateway_plan_quota_headroom_ratio_count{plan="gold"} 4"#,
        r#"tower_gateway_authorizer_duration_seconds_bucket{authorizer="shop\"s",le="0.025"} 0"#,
        r#"tower_gateway_authorizer_duration_seconds_bucket{authorizer="shop\"s",le="0.05"} 1"#,
        r#"tower_gateway_authorizer_duration_seconds_sum{authorizer="shop\"s"} 0.04"#,
        r#"tower_gateway_authorizer_lookups_total{authorizer="shop\"s",result="hit"} 1"#,
        r#"tower_gateway_authorizer_lookups_total{authorizer="shop\"s",result="miss"} 1"#,
        r#"tower_gateway_cache_lookups_total{result="hit",reason=""} 2"#,
        r#"tower_gateway_cache_lookups_total{result="miss",reason="not-found"} 1"#,
        r#"tower_gateway_cache_lookups_total{result="bypass",reason="identity-not-in-key"} 2"#,
        r#"tower_gateway_store_failures_total{store="usage\n\"x",decision="degrade"} 5"#,
        "# TYPE tower_gateway_store_open gauge",
        "tower_gateway_store_open 2.5",
    ] {
        assert!(page.lines().any(|own| own == line), "{line} is not in\n{page}");
    }
    prometheus_reads(&page);
}

#[test]
fn cloudwatch_reads_the_same_from_extended_lines() {
    let lines = seen().lines;
    lines.iter().for_each(is_valid_emf);
    let requests: Vec<_> = lines.iter().filter(|line| line.get("requestId").is_some()).collect();
    assert_eq!(requests.len(), 6);
    let plan = &requests[1]["_aws"]["CloudWatchMetrics"][1];
    assert_eq!(plan["Dimensions"], serde_json::json!([["ApiName", "Plan"]]));
    let headroom = |line: &Value| (line["ThrottleHeadroom"].as_f64(), line["QuotaHeadroom"].as_f64());
    assert_eq!(headroom(requests[0]), (Some(75.0), Some(66.667)));
    assert_eq!(headroom(requests[3]), (Some(25.0), Some(0.0)));
    let refused = requests[3];
    assert_eq!((&refused["RefusalCount"], &refused["cause"]), (&1.into(), &"Quota".into()));
    assert_eq!((&refused["ActiveRequests"], &refused["ResponseBytes"]), (&1.into(), &28.into()));
    assert_eq!(requests[0]["cacheReason"], "not-found");
    let of = |line: &Value, name: &str| line[name].as_f64();
    let authorizer = |line| {
        ["AuthorizerCacheHitCount", "AuthorizerCacheMissCount", "AuthorizerLatency"]
            .map(|name| of(line, name))
    };
    assert_eq!(authorizer(requests[4]), [Some(0.0), Some(1.0), Some(40.0)]);
    assert_eq!(authorizer(requests[5]), [Some(1.0), Some(0.0), None]);
    assert_eq!(headroom(requests[4]), (None, None));

    // A round with the first request, another a minute later, each with what the counter has grown by.
    let failures: Vec<_> =
        lines.iter().filter_map(|line| line["tower_gateway_store_failures_total"].as_f64()).collect();
    assert_eq!(failures, [5.0, 5.0]);
    let line = lines.iter().find(|line| line.get("decision").is_some()).unwrap();
    let sets = &line["_aws"]["CloudWatchMetrics"][0]["Dimensions"];
    assert_eq!(*sets, serde_json::json!([["ApiName", "store", "decision"]]));
    assert_eq!(line["store"], "usage\n\"x");
}

#[test]
fn the_facade_reads_the_same() {
    let told = seen().told;
    let plan = |line: &str| format!("tower_gateway.plan.{line}");
    let quota = ["0.6666666666666666", "0.3333333333333333", "0", "0"];
    assert_eq!(
        told.of("tower_gateway.plan.quota"),
        quota.map(|left| plan(&format!("quota.headroom plan=gold {left}")))
    );
    let throttle = ["0.75", "0.5", "0.25", "0.25"];
    let wanted = throttle.map(|left| plan(&format!("throttle.headroom plan=gold {left}")));
    assert_eq!(told.of("tower_gateway.plan.throttle"), wanted);
    let authorizer = [
        "tower_gateway.authorizer.lookups authorizer=shop\"s,result=miss 1",
        "tower_gateway.authorizer.duration authorizer=shop\"s 0.04",
        "tower_gateway.authorizer.lookups authorizer=shop\"s,result=hit 1",
    ];
    assert_eq!(told.of("tower_gateway.authorizer"), authorizer);
    let cache = told.of("tower_gateway.cache");
    assert!(
        cache.contains(&"tower_gateway.cache.lookups result=miss,reason=not-found 1".to_owned()),
        "{cache:?}"
    );
    let store = [
        "tower_gateway_store_failures_total store=usage\n\"x,decision=degrade 5",
        "tower_gateway_store_open  2.5",
    ];
    assert_eq!(told.of("tower_gateway_store"), store);
}
