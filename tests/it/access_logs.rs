//! Access logs: what AWS prints, one line a request whatever a client sends, and no cost that is not said.

mod injection;
mod sockets;

use crate::support::{Strict, assert_service, run};
use axum::{Router, body::Body, routing::get as get_route};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use proptest::prelude::*;
use std::{
    convert::Infallible,
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_gateway::{
    api_key::{ApiKey, ApiKeys},
    clock::ManualClock,
    context::{ApiKind, PeerAddr, PrincipalLayer, TrustedProxies},
    filter::{FilterLayer, Verdict},
    gateway::Gateway,
    observe::{
        AccessLog, AccessLogFormat, AccessLogLayer, Escaping, LogApi, LogPreset, LogWriter, RequestEvent,
        Sampling,
    },
    payload_limit::PayloadLimitLayer,
    route::{ApiMethod, Routes},
    stage::{Deployment, Stage, Stages},
    throttle::Throttle,
    timeout::TimeoutLayer,
    usage_plan::{Quota, QuotaPeriod, UsagePlan, UsagePlans},
};

const KEY: &str = "free-0123456789abcdefghij";

/// A sink that keeps its lines, the ids in them replaced.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<String>>>);

impl Kept {
    fn log(&self, format: AccessLogFormat) -> AccessLog {
        let lines = Arc::clone(&self.0);
        AccessLog::new(format, move |line: &str, event: &RequestEvent<'_>| {
            let context = event.context();
            let line = line.replace(context.request_id(), "ID");
            lines.lock().unwrap().push(line.replace(context.extended_request_id(), "XID"));
        })
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn stages() -> Stages {
    let keyed = ApiMethod::new().api_key_required(true);
    let routes = Routes::builder()
        .method("/pets/{id}", Method::GET, keyed.clone())
        .method("/pets/{id}", Method::POST, keyed)
        .method("/open", Method::GET, ApiMethod::new())
        .build()
        .unwrap();
    Stages::builder()
        .deployment(Deployment::new("v1", routes))
        .stage(Stage::new("prod", "v1"))
        .build()
        .unwrap()
}

fn keys() -> ApiKeys {
    let key = |id: &str| ApiKey::new(id).value(format!("{id}-0123456789abcdefghij"));
    ApiKeys::builder().key(key("free")).key(key("rate")).key(key("spent")).build().unwrap()
}

fn plans() -> UsagePlans {
    let full = Throttle::new(1_000.0, 1_000).unwrap();
    let none = || Quota::new(0, QuotaPeriod::Day).unwrap();
    UsagePlans::builder()
        .plan(UsagePlan::new("free").throttle(full))
        .plan(UsagePlan::new("rate").throttle(Throttle::new(1.0, 0).unwrap()))
        .plan(UsagePlan::new("spent").quota(none()))
        .attach("free", "free")
        .attach("rate", "rate")
        .attach("spent", "spent")
        .build()
        .unwrap()
}

fn request(method: &str, uri: &str) -> http::request::Builder {
    let peer = PeerAddr("192.0.2.7:5000".parse().unwrap());
    Request::builder().method(method).uri(uri).extension(peer)
}

async fn pets<B: http_body::Body>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    let slow = request.uri().query() == Some("slow");
    if slow {
        std::future::pending::<()>().await;
    }
    Ok(Response::new(Full::from("cat, dog")))
}

fn golden(api: LogApi, preset: LogPreset) -> Vec<String> {
    let kept = Kept::default();
    let clock = ManualClock::at_unix_seconds(1_795_331_880).clock();
    let kind = if api == LogApi::Http { ApiKind::Http } else { ApiKind::Rest };
    let gateway = Gateway::builder().stages(stages()).api_keys(keys()).clock(clock.clone()).api_kind(kind);
    let service = AccessLogLayer::new(kept.log(AccessLogFormat::preset(api, preset)))
        .clock(clock)
        .api_kind(kind)
        .layer(gateway.build().unwrap().layer(service_fn(pets)));
    run(async {
        for (uri, key) in [("/prod/pets/1", KEY), ("/prod/no", "")] {
            let request =
                request("GET", uri).header("x-api-key", key).body(Full::<Bytes>::default()).unwrap();
            service.clone().oneshot(request).await.unwrap().into_body().collect().await.unwrap();
        }
    });
    kept.lines()
}

#[test]
fn golden_lines_of_every_preset() {
    use LogApi::{Http, Rest};
    use LogPreset::{Clf, Csv, Json, Xml};
    let cases: [(LogApi, LogPreset, [&str; 2]); 8] = [
        (
            Rest,
            Clf,
            [
                r#"192.0.2.7 - - [22/Nov/2026:07:18:00 +0000] "GET /pets/{id} HTTP/1.1" 200 8 ID XID"#,
                r#"192.0.2.7 - - [22/Nov/2026:07:18:00 +0000] "GET - HTTP/1.1" 403 42 ID XID"#,
            ],
        ),
        (
            Rest,
            Json,
            [
                r#"{ "requestId":"ID", "extendedRequestId":"XID","ip": "192.0.2.7", "caller":"-", "user":"-", "requestTime":"22/Nov/2026:07:18:00 +0000", "httpMethod":"GET", "resourcePath":"/pets/{id}", "status":"200", "protocol":"HTTP/1.1", "responseLength":"8" }"#,
                r#"{ "requestId":"ID", "extendedRequestId":"XID","ip": "192.0.2.7", "caller":"-", "user":"-", "requestTime":"22/Nov/2026:07:18:00 +0000", "httpMethod":"GET", "resourcePath":"-", "status":"403", "protocol":"HTTP/1.1", "responseLength":"42" }"#,
            ],
        ),
        (
            Rest,
            Xml,
            [
                r#"<request id="ID"> <extendedRequestId>XID</extendedRequestId> <ip>192.0.2.7</ip> <caller>-</caller> <user>-</user> <requestTime>22/Nov/2026:07:18:00 +0000</requestTime> <httpMethod>GET</httpMethod> <resourcePath>/pets/{id}</resourcePath> <status>200</status> <protocol>HTTP/1.1</protocol> <responseLength>8</responseLength> </request>"#,
                r#"<request id="ID"> <extendedRequestId>XID</extendedRequestId> <ip>192.0.2.7</ip> <caller>-</caller> <user>-</user> <requestTime>22/Nov/2026:07:18:00 +0000</requestTime> <httpMethod>GET</httpMethod> <resourcePath>-</resourcePath> <status>403</status> <protocol>HTTP/1.1</protocol> <responseLength>42</responseLength> </request>"#,
            ],
        ),
        (
            Rest,
            Csv,
            [
                "192.0.2.7,-,-,22/Nov/2026:07:18:00 +0000,GET,/pets/{id},HTTP/1.1,200,8,ID,XID",
                "192.0.2.7,-,-,22/Nov/2026:07:18:00 +0000,GET,-,HTTP/1.1,403,42,ID,XID",
            ],
        ),
        (
            Http,
            Clf,
            [
                r#"192.0.2.7 - - [22/Nov/2026:07:18:00 +0000] "GET GET /pets/{id} HTTP/1.1" 200 8 ID"#,
                r#"192.0.2.7 - - [22/Nov/2026:07:18:00 +0000] "GET - HTTP/1.1" 404 23 ID"#,
            ],
        ),
        (
            Http,
            Json,
            [
                r#"{ "requestId":"ID", "ip": "192.0.2.7", "requestTime":"22/Nov/2026:07:18:00 +0000", "httpMethod":"GET","routeKey":"GET /pets/{id}", "status":"200","protocol":"HTTP/1.1", "responseLength":"8" }"#,
                r#"{ "requestId":"ID", "ip": "192.0.2.7", "requestTime":"22/Nov/2026:07:18:00 +0000", "httpMethod":"GET","routeKey":"-", "status":"404","protocol":"HTTP/1.1", "responseLength":"23" }"#,
            ],
        ),
        (
            Http,
            Xml,
            [
                r#"<request id="ID"> <ip>192.0.2.7</ip> <requestTime>22/Nov/2026:07:18:00 +0000</requestTime> <httpMethod>GET</httpMethod> <routeKey>GET /pets/{id}</routeKey> <status>200</status> <protocol>HTTP/1.1</protocol> <responseLength>8</responseLength> </request>"#,
                r#"<request id="ID"> <ip>192.0.2.7</ip> <requestTime>22/Nov/2026:07:18:00 +0000</requestTime> <httpMethod>GET</httpMethod> <routeKey>-</routeKey> <status>404</status> <protocol>HTTP/1.1</protocol> <responseLength>23</responseLength> </request>"#,
            ],
        ),
        (
            Http,
            Csv,
            [
                "192.0.2.7,22/Nov/2026:07:18:00 +0000,GET,GET /pets/{id},HTTP/1.1,200,8,ID",
                "192.0.2.7,22/Nov/2026:07:18:00 +0000,GET,-,HTTP/1.1,404,23,ID",
            ],
        ),
    ];
    for (api, preset, wanted) in cases {
        assert_eq!(golden(api, preset), wanted, "{api:?} {preset:?}");
    }
}

#[test]
fn each_phase_of_the_gateway_leaves_one_entry() {
    let kept = Kept::default();
    let text = "$context.requestId $context.status $context.error.responseType $context.error.cause $context.stage $context.resourcePath $context.identity.apiKeyId $context.identity.apiKey";
    let log = kept.log(AccessLogFormat::new(LogApi::Rest, text).unwrap());
    let filter = FilterLayer::new(|head, _| match head.headers.contains_key("x-block") {
        true => Verdict::Block,
        false => Verdict::Pass,
    });
    let clock = ManualClock::at_unix_seconds(1_795_331_880);
    let gateway = Gateway::builder().stages(stages()).api_keys(keys()).usage_plans(plans()).filter(filter);
    let gateway = gateway.payload_limit(PayloadLimitLayer::new(10)).clock(clock.clock());
    let gateway = gateway.timeout(TimeoutLayer::new(Duration::from_secs(1))).build().unwrap();
    let service = AccessLogLayer::new(log).clock(clock.clock()).layer(gateway.layer(service_fn(pets)));
    let ask = |method, uri, name: &'static str, value: &'static str| {
        let request = request(method, uri).header(name, value).body(Full::<Bytes>::default()).unwrap();
        let (service, clock) = (service.clone(), clock.clone());
        run(async move {
            let answer = service.oneshot(request);
            let tick = async {
                tokio::task::yield_now().await;
                clock.advance(Duration::from_secs(2));
            };
            let (answer, ()) = futures_util::future::join(answer, tick).await;
            answer.unwrap().into_body().collect().await.unwrap();
        });
    };
    ask("GET", "/prod/pets/1", "x-block", "1");
    ask("GET", "/nowhere/pets/1", "x-api-key", KEY);
    ask("GET", "/prod/../pets", "x-api-key", KEY);
    ask("PUT", "/prod/pets/1", "x-api-key", KEY);
    ask("POST", "/prod/pets/1", "content-length", "11");
    ask("GET", "/prod/pets/1", "x-api-key", "unknown-0123456789abcdefghij");
    ask("GET", "/prod/pets/1", "x-api-key", "rate-0123456789abcdefghij");
    ask("GET", "/prod/pets/1", "x-api-key", "spent-0123456789abcdefghij");
    ask("GET", "/prod/open?slow", "x-unused", "1");
    ask("GET", "/prod/pets/1", "x-api-key", KEY);
    let masked = "*******************efghij";
    assert_eq!(
        kept.lines(),
        [
            "ID 403 WAF_FILTERED Filtered prod /pets/{id} - -".to_owned(),
            "ID 403 DEFAULT_4XX UnknownStage - - - -".into(),
            "ID 400 DEFAULT_4XX DotSegment - - - -".into(),
            "ID 403 MISSING_AUTHENTICATION_TOKEN NoRoute prod - - -".into(),
            "ID 413 REQUEST_TOO_LARGE ContentLengthTooLarge prod /pets/{id} - -".into(),
            "ID 403 INVALID_API_KEY ApiKeyUnknown prod /pets/{id} - -".into(),
            format!("ID 429 THROTTLED PlanThrottle prod /pets/{{id}} rate {masked}"),
            format!("ID 429 QUOTA_EXCEEDED Quota prod /pets/{{id}} spent *{masked}"),
            "ID 504 INTEGRATION_TIMEOUT IntegrationTimeout prod /open - -".into(),
            format!("ID 200 - - prod /pets/{{id}} free {masked}"),
        ]
    );
}

#[test]
fn sampling_is_by_outcome() {
    let kept = Kept::default();
    let clock = ManualClock::at_unix_seconds(0);
    let text = "$context.requestId $context.path $context.status $context.outcome";
    let log = kept.log(AccessLogFormat::new(LogApi::Rest, text).unwrap());
    let sampling = Sampling::all().successes(0.0).unwrap().slower_than(Duration::from_secs(1));
    let filter = FilterLayer::new(|head, _| match head.uri.path() {
        "/refused" => Verdict::Block,
        _ => Verdict::Pass,
    });
    let inner = {
        let clock = clock.clone();
        service_fn(move |request: Request<()>| {
            let path = request.uri().path();
            clock.advance(Duration::from_secs(if path == "/slow" { 2 } else { 0 }));
            let status = if path == "/missing" { 404 } else { 200 };
            std::future::ready(match path {
                "/fails" => Err("broken"),
                _ => Ok(Response::builder().status(status).body(Full::<Bytes>::from("cat")).unwrap()),
            })
        })
    };
    let service = AccessLogLayer::new(log.sampling(sampling)).clock(clock.clock()).layer(filter.layer(inner));
    run(async {
        for path in ["/fine", "/slow", "/missing", "/refused", "/fails", "/left"] {
            let Ok(answer) = service.clone().oneshot(Request::get(path).body(()).unwrap()).await else {
                continue;
            };
            if path != "/left" {
                answer.into_body().collect().await.unwrap();
            }
        }
    });
    assert_eq!(
        kept.lines(),
        [
            "ID /slow 200 complete",
            "ID /missing 404 complete",
            "ID /refused 403 complete",
            "ID /fails - failed",
            "ID /left 200 client_closed",
        ]
    );
}

/// 12 fields.
fn twelve_fields() -> AccessLogFormat {
    let names = [
        "requestId",
        "extendedRequestId",
        "identity.sourceIp",
        "identity.caller",
        "identity.user",
        "requestTime",
        "httpMethod",
        "resourcePath",
        "status",
        "protocol",
        "responseLength",
        "responseLatency",
    ];
    AccessLogFormat::json_object(names.map(|name| (name, name))).unwrap()
}

#[test]
fn a_line_of_twelve_fields_allocates_at_most_twice() {
    let writer = LogWriter::new(std::io::sink()).unwrap();
    let logged = AccessLogLayer::new(AccessLog::new(twelve_fields(), writer.clone()));
    let floor = tower_gateway::context::RequestContextLayer::new();
    let ready = service_fn(|_: Request<()>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("ok"))))
    });
    fn count<S>(mut service: S) -> u64
    where
        S: Service<Request<()>, Response: http_body_of::Answer, Error = Infallible>,
    {
        let mut call = || {
            let request = request("GET", "/pets").body(()).unwrap();
            allocation_counter::measure(|| {
                let answer = futures_util::FutureExt::now_or_never(service.call(request)).unwrap().unwrap();
                http_body_of::Answer::read(answer);
            })
            .count_total
        };
        call();
        call()
    }
    let (floor, ours) = (count(floor.layer(ready)), count(logged.layer(ready)));
    println!("context alone {floor}, with an access log {ours}");
    assert!(ours <= floor + 1, "{ours}, the context alone has {floor}");
    assert!(writer.flush(Duration::from_secs(30)));
    assert_eq!(writer.stats().written, 2);
}

mod http_body_of {
    use http::Response;
    use http_body::Body;
    use std::{
        pin::pin,
        task::{Context, Waker},
    };

    /// An answer whose body can be read at once.
    pub(super) trait Answer {
        fn read(self);
    }

    impl<B: Body> Answer for Response<B> {
        fn read(self) {
            let mut body = pin!(self.into_body());
            let mut cx = Context::from_waker(Waker::noop());
            while body.as_mut().poll_frame(&mut cx).is_ready() && !body.is_end_stream() {}
        }
    }
}

#[test]
fn statuses_and_times_of_phases_are_numbers_in_an_object() {
    let kept = Kept::default();
    let fields = [
        ("id", "requestId"),
        ("waf", "waf.status"),
        ("ms", "waf.latency"),
        ("none", "authorizer.integrationStatus"),
        ("own", "authorizer.own"),
    ];
    let log = AccessLogLayer::new(kept.log(AccessLogFormat::json_object(fields).unwrap()));
    let service = log.layer(FilterLayer::new(|_, _| Verdict::Pass).layer(service_fn(pets::<Full<Bytes>>)));
    let answer = run(service.oneshot(request("GET", "/").body(Full::default()).unwrap())).unwrap();
    run(answer.into_body().collect()).unwrap();
    let line: serde_json::Value = serde_json::from_str(&kept.lines()[0]).unwrap();
    assert_eq!((&line["waf"], &line["none"], &line["own"]), (&200.into(), &().into(), &().into()));
    assert!(line["ms"].is_u64(), "{line}");
}

#[test]
fn the_layer_is_told_whom_to_believe_of_addresses() {
    let kept = Kept::default();
    let format = AccessLogFormat::new(LogApi::Rest, "$context.requestId $context.identity.sourceIp");
    let log = AccessLogLayer::new(kept.log(format.unwrap()))
        .trusted_proxies(TrustedProxies::new(["10.0.0.0/8"]).unwrap())
        .peer_addr(|extensions| extensions.get::<IpAddr>().copied());
    let mut service = log.layer(service_fn(pets::<Full<Bytes>>));
    for peer in ["10.1.2.3", "192.0.2.7"] {
        let peer: IpAddr = peer.parse().unwrap();
        let request = Request::get("/").extension(peer).header("x-forwarded-for", "198.51.100.1");
        let answer = run(service.call(request.body(Full::default()).unwrap())).unwrap();
        run(answer.into_body().collect()).unwrap();
    }
    assert_eq!(kept.lines(), ["ID 198.51.100.1", "ID 192.0.2.7"]);
}

#[test]
fn it_keeps_towers_contract() {
    let layer = AccessLogLayer::new(Kept::default().log(twelve_fields()));
    let service = layer.layer(Strict::default());
    assert_service(&service);
    let request = request("GET", "/").body(Full::<Bytes>::default()).unwrap();
    assert_eq!(run(service.oneshot(request)).unwrap().status(), 200);
}
