//! Traces: headers continued and forwarded, spans and segments of what is recorded.

mod consumers;

use crate::support::run;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use std::{
    convert::Infallible,
    net::UdpSocket,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tower::{Layer, ServiceExt, service_fn};
use tower_gateway::{
    GatewayBody,
    clock::ManualClock,
    context::{ApiKind, Ingress, PeerAddr, RequestContextLayer, TrustedProxies},
    cors::Cors,
    filter::{FilterLayer, Verdict},
    gateway::{Gateway, GatewayBuilder},
    observe::{
        AccessLog, AccessLogFormat, AccessLogLayer, ApiInfo, IntegrationTimerLayer, LogApi, ObserveLayer,
        RequestEvent, Sampling, TracingSink,
        trace::{SamplingRule, SpanLayer, TraceLayer, XRayDaemon},
    },
    route::{ApiMethod, Routes},
    stage::{Deployment, Stage, StageRouter, Stages},
    throttle::Throttle,
    timeout::TimeoutLayer,
    usage_plan::{UsagePlanLayer, UsagePlans},
};

const ROOT: &str = "1-5759e988-bd862e3fe1be46a994272793";
const HEX: &str = "5759e988bd862e3fe1be46a994272793";
const PARENT: &str = "53995c3f42cd8ad8";

/// What the service inside is sent.
fn forwarded(layer: &TraceLayer, headers: &[(&'static str, String)]) -> (String, String) {
    let seen = Arc::new(Mutex::new(HeaderMap::new()));
    let kept = Arc::clone(&seen);
    let service = layer.layer(service_fn(move |request: Request<()>| {
        kept.lock().unwrap().clone_from(request.headers());
        std::future::ready(Ok::<_, Infallible>(Response::new(())))
    }));
    let mut request = Request::new(());
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    run(service.oneshot(request)).unwrap();
    let seen = seen.lock().unwrap();
    let text = |name: &str| {
        assert_eq!(seen.get_all(name).iter().count(), 1);
        seen[name].to_str().unwrap().to_owned()
    };
    (text("x-amzn-trace-id"), text("traceparent"))
}

fn always(rate: f64) -> TraceLayer {
    TraceLayer::new().rules([SamplingRule::new("all", 0, rate).unwrap()])
}

#[test]
fn a_clients_trace_goes_on_in_both_headers() {
    let amzn = format!("Root={ROOT};Parent={PARENT};Sampled=1;Lineage=a:1");
    let sent = [("x-amzn-trace-id", amzn.clone())];
    let w3c = format!("00-{HEX}-{PARENT}-01");
    assert_eq!(forwarded(&TraceLayer::new(), &sent), (amzn, w3c.clone()));
    let (amzn, traceparent) = forwarded(&TraceLayer::new(), &[("traceparent", w3c.clone())]);
    assert_eq!((amzn, traceparent), (format!("Root={ROOT};Parent={PARENT};Sampled=1"), w3c));
}

#[test]
fn a_tracestate_goes_on_with_its_own_trace_alone() {
    let state = |layer: &TraceLayer, sent: &[(&'static str, &str)]| {
        let service = layer.layer(service_fn(|request: Request<()>| async move {
            let lines = request.headers().get_all("tracestate").iter();
            let lines: Vec<_> = lines.map(|value| value.to_str().unwrap().to_owned()).collect();
            Ok::<_, Infallible>(Response::new(lines))
        }));
        let mut request = Request::new(());
        for (name, value) in sent {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        run(service.oneshot(request)).unwrap().into_body()
    };
    let (w3c, amzn) = (format!("00-{HEX}-{PARENT}-01"), format!("Root={ROOT};Parent={PARENT};Sampled=1"));
    let (trace, root) = (("traceparent", &*w3c), ("x-amzn-trace-id", &*amzn));
    let states = [("tracestate", "a=1"), ("tracestate", "b=2")];
    let sent = |more: &[(&'static str, &'static str)]| [&states[..], more].concat();
    let passive = TraceLayer::new();
    assert_eq!(state(&passive, &[&states[..], &[trace]].concat()), ["a=1", "b=2"]);
    assert_eq!(state(&passive, &[&states[..], &[trace, root]].concat()), ["a=1", "b=2"]);
    assert_eq!(state(&passive, &sent(&[])), [""; 0], "a new trace");
    assert_eq!(state(&passive, &[&states[..], &[root]].concat()), [""; 0], "X-Ray's");
    assert_eq!(state(&passive, &[&states[..], &[trace, trace]].concat()), [""; 0], "repeated");
    assert_eq!(state(&passive, &sent(&[("traceparent", "00-0-0-00")])), [""; 0], "malformed");
    let ignoring = TraceLayer::new().ignore_client_traces(true);
    assert_eq!(state(&ignoring, &[&states[..], &[trace]].concat()), [""; 0]);
}

#[test]
fn a_root_alone_gets_a_parent_and_an_active_gateway_takes_its_place() {
    let sent = [("x-amzn-trace-id", format!("Root={ROOT}"))];
    let (amzn, _) = forwarded(&TraceLayer::new(), &sent);
    assert!(amzn.starts_with(&format!("Root={ROOT};Parent=")) && amzn.ends_with(";Sampled=0"), "{amzn}");
    let sent = [("x-amzn-trace-id", format!("Root={ROOT};Parent={PARENT};Sampled=?"))];
    let (amzn, traceparent) = forwarded(&always(1.0), &sent);
    assert!(amzn.ends_with(";Sampled=1") && !amzn.contains(PARENT), "{amzn}");
    assert!(traceparent.starts_with(&format!("00-{HEX}-")) && traceparent.ends_with("-01"), "{traceparent}");
    let (amzn, _) = forwarded(&always(0.0), &sent);
    assert!(amzn.ends_with(&format!("Parent={PARENT};Sampled=0")), "{amzn}");
}

#[test]
fn rules_look_at_host_path_and_method_of_the_request_as_it_came() {
    let rule = SamplingRule::new("shop", 0, 1.0).unwrap().host("shop.*").path("/pets/*").method("post");
    let layer = TraceLayer::new().rules([rule]);
    let sampled = |method: &str, uri: &str, hosts: &[&str]| {
        let service = layer.layer(service_fn(|request: Request<()>| async move {
            let field = request.headers()["x-amzn-trace-id"].to_str().unwrap();
            Ok::<_, Infallible>(Response::new(field.ends_with("Sampled=1")))
        }));
        let mut request = Request::builder().method(method).uri(uri).body(()).unwrap();
        for host in hosts {
            request.headers_mut().append("host", host.parse().unwrap());
        }
        run(service.oneshot(request)).unwrap().into_body()
    };
    assert!(sampled("POST", "/pets/1", &["Shop.Example:8080"]));
    assert!(sampled("POST", "http://shop.example:8080/pets/1", &[]), "absolute form, HTTP/2");
    assert!(sampled("POST", "http://shop.example/pets/1", &["other.example"]), "RFC 9112, section 3.2.2");
    assert!(!sampled("POST", "/pets/1", &["other.example"]));
    assert!(!sampled("POST", "/pets/1", &["shop.example", "shop.example"]), "nobody's host");
    assert!(!sampled("POST", "/pets/1", &[]));
    assert!(!sampled("GET", "/pets/1", &["shop.example"]));
    assert!(!sampled("POST", "/toys", &["shop.example"]));
}

#[test]
fn a_gateway_s_rules_go_by_the_stage_it_has_found() {
    let routes = Routes::builder().any("/pets", ApiMethod::new()).build().unwrap();
    let stages = Stages::builder()
        .deployment(Deployment::new("v1", routes))
        .stage(Stage::new("dev", "v1"))
        .stage(Stage::new("prod", "v1"))
        .build()
        .unwrap();
    let api = ApiInfo::new("shop").id("a1b2c3");
    let rule = || SamplingRule::new("dev", 0, 1.0).unwrap();
    let told = |layer: TraceLayer, uri: &str| {
        let gateway = Gateway::builder().stages(stages.clone()).trace(layer).build().unwrap();
        let service = gateway.layer(service_fn(|request: Request<GatewayBody<Full<Bytes>>>| async move {
            let sent = request.headers()["x-amzn-trace-id"].clone();
            assert_eq!(request.headers().get_all("traceparent").iter().count(), 1);
            assert!(!request.headers().contains_key("tracestate"), "of a trace that nobody accepted");
            Ok::<_, Infallible>(
                Response::builder().header("x-seen", sent).body(Full::<Bytes>::default()).unwrap(),
            )
        }));
        let request = Request::get(uri).header("tracestate", "a=1").body(Full::<Bytes>::default()).unwrap();
        let answer = run(service.oneshot(request)).unwrap();
        let told = answer.headers().get("x-amzn-trace-id").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(answer.headers().get("x-seen"), answer.headers().get("x-amzn-trace-id"));
        told.map(|told| told.ends_with(";Sampled=1"))
    };
    for rule in [
        rule().service_name("shop/dev"),
        rule().service_name("SHOP/D?V"),
        rule()
            .resource_arn("arn:aws:apigateway:eu-west-1::/restapis/*/stages/dev")
            .service_type("AWS::ApiGateway::*"),
    ] {
        let layer = TraceLayer::new().rules([rule]).api(api.clone(), "eu-west-1");
        assert_eq!(told(layer.clone(), "/dev/pets"), Some(true));
        assert_eq!(told(layer.clone(), "/prod/pets"), Some(false));
        assert_eq!(told(layer, "/dev/nothing"), None, "AWS's refusals of this kind have no header");
    }
    let other_type = rule().service_type("AWS::EC2::Instance");
    for rule in [other_type, rule().service_name("shop/dev")] {
        assert_eq!(told(TraceLayer::new().rules([rule]), "/dev/pets"), Some(false), "no API is known");
    }
}

/// A layer around a gateway has begun: it alone says whether the client is told.
#[test]
fn a_gateway_adds_nothing_to_a_trace_that_was_begun_outside() {
    for (tells, fields) in [(false, 0), (true, 1)] {
        let gateway = Gateway::builder().trace(TraceLayer::new()).build().unwrap();
        let service = gateway.layer(service_fn(|_: Request<GatewayBody<Full<Bytes>>>| async {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }));
        let service = TraceLayer::new().answer_header(tells).layer(service);
        let answer = run(service.oneshot(Request::new(Full::<Bytes>::default()))).unwrap();
        assert_eq!(answer.headers().get_all("x-amzn-trace-id").iter().count(), fields);
    }
}

#[test]
fn a_preflight_that_the_gateway_answers_has_no_header_as_a_mock_has_none() {
    let routes = Routes::builder().any("/pets", ApiMethod::new()).build().unwrap();
    let cors = || Cors::new().allow_origins(["https://shop.example"]).build().unwrap();
    let ask = |gateway: GatewayBuilder, around: bool| {
        let service = gateway.stages(Stages::single("dev", routes.clone()).unwrap()).build().unwrap().layer(
            service_fn(|_: Request<_>| async {
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
            }),
        );
        let request = Request::options("/dev/pets")
            .header("origin", "https://shop.example")
            .header("access-control-request-method", "GET")
            .body(Full::<Bytes>::default())
            .unwrap();
        let answer = match around {
            true => run(always(1.0).layer(service).oneshot(request)),
            false => run(service.oneshot(request)),
        };
        answer.unwrap().headers().contains_key("x-amzn-trace-id")
    };
    assert!(!ask(Gateway::builder().cors(cors()), true));
    assert!(!ask(Gateway::builder().cors(cors()).trace(always(1.0)), false));
    assert!(ask(Gateway::builder(), true), "one that the service answers has it");
}

#[test]
fn a_trace_that_was_begun_around_a_gateway_is_not_begun_again_inside() {
    let gateway = Gateway::builder().trace(always(0.0)).build().unwrap();
    let inner = service_fn(|request: Request<GatewayBody<Full<Bytes>>>| async move {
        let sent = request.headers()["x-amzn-trace-id"].clone();
        Ok::<_, Infallible>(
            Response::builder().header("x-seen", sent).body(Full::<Bytes>::default()).unwrap(),
        )
    });
    let fields = Fields::default();
    let around = |outer: bool| {
        let spans = SpanLayer::new().layer(gateway.layer(inner));
        let request = Request::get("/").body(Full::<Bytes>::default()).unwrap();
        let answer = tracing::subscriber::with_default(fields.clone(), || match outer {
            true => run(always(1.0).layer(spans).oneshot(request)).unwrap(),
            false => run(RequestContextLayer::new().layer(spans).oneshot(request)).unwrap(),
        });
        let told = answer.headers()["x-amzn-trace-id"].to_str().unwrap().to_owned();
        assert_eq!(answer.headers()["x-seen"], told);
        let ids: Vec<_> = std::mem::take(&mut *fields.0.lock().unwrap());
        let ids: Vec<_> = ids.into_iter().filter(|(name, _)| name == "trace_id").collect();
        assert_eq!(ids.len(), 1, "{ids:?}");
        assert_eq!(ids[0].1.trim_matches('"'), told[7..40].replace('-', ""));
        told.ends_with("Sampled=1")
    };
    assert!(around(true));
    assert!(!around(false), "a span learns of the gateway's own trace with the answer");
}

#[test]
fn a_new_trace_begins_with_the_time_and_clients_may_be_ignored() {
    let clock = ManualClock::at_unix_seconds(0x5759_e988).clock();
    let sent = [("x-amzn-trace-id", format!("Root=1-00000001-{};Sampled=1", "1".repeat(24)))];
    let layer = TraceLayer::new().clock(clock).ignore_client_traces(true);
    let (amzn, _) = forwarded(&layer, &sent);
    assert!(amzn.starts_with("Root=1-5759e988-") && amzn.ends_with(";Sampled=0"), "{amzn}");
    assert_ne!(forwarded(&layer, &[]).0, amzn);
}

#[test]
fn answers_carry_the_header_where_aws_s_do() {
    let answered = |layer: TraceLayer, own: Option<&'static str>, refusal: Option<(&'static str, u16)>| {
        let routes = Routes::builder().any("/pets", ApiMethod::new()).build().unwrap();
        let stages = StageRouter::new(Stages::single("dev", routes).unwrap());
        let clock = ManualClock::at_unix_seconds(0);
        let late = TimeoutLayer::new(Duration::ZERO).clock(clock.clock());
        let none = Throttle::new(1.0, u32::from(refusal.is_none_or(|(what, _)| what != "busy"))).unwrap();
        let plans = UsagePlanLayer::new(UsagePlans::builder().account_throttle(none).build().unwrap());
        let inner = service_fn(move |request: Request<()>| async move {
            if request.uri().query() == Some("late") {
                std::future::pending::<()>().await;
            }
            let mut answer = Response::new(Full::<Bytes>::default());
            own.into_iter()
                .for_each(|own| _ = answer.headers_mut().insert("x-amzn-trace-id", own.parse().unwrap()));
            Ok::<_, Infallible>(answer)
        });
        let service = layer.layer(stages.layer(plans.layer(late.layer(inner))));
        let path = match refusal {
            Some(("late", _)) => "/dev/pets?late",
            Some(("unknown", _)) => "/dev/dogs",
            _ => "/dev/pets",
        };
        let sent = format!("Root={ROOT};Parent={PARENT};Sampled=1");
        let request = Request::builder().uri(path).header("x-amzn-trace-id", sent).body(()).unwrap();
        let answer = run(service.oneshot(request)).unwrap();
        assert_eq!(answer.status().as_u16(), refusal.map_or(200, |(_, status)| status));
        assert!(!answer.headers().contains_key("traceparent"));
        answer.headers().get("x-amzn-trace-id").map(|value| value.to_str().unwrap().to_owned())
    };
    let sent = Some(format!("Root={ROOT};Parent={PARENT};Sampled=1"));
    let passive = TraceLayer::new;
    assert_eq!(answered(passive(), None, None), sent);
    assert_eq!(
        answered(passive(), Some("Root=own"), None),
        Some("Root=own".into()),
        "the service's own stays"
    );
    assert_eq!(answered(passive().answer_header(false), None, None), None);
    assert_eq!(answered(passive(), None, Some(("late", 504))), sent);
    assert_eq!(answered(passive(), None, Some(("unknown", 403))), None);
    assert_eq!(answered(passive(), None, Some(("busy", 429))), None);
    let active = answered(always(1.0), None, Some(("busy", 429))).unwrap();
    assert!(active.starts_with(&format!("Root={ROOT};Parent=")) && !active.contains(PARENT), "{active}");
}

#[test]
fn a_recorded_request_becomes_a_segment() {
    let daemon = UdpSocket::bind("127.0.0.1:0").unwrap();
    daemon.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let xray = XRayDaemon::connect(daemon.local_addr().unwrap(), "eu-west-1").unwrap();
    let slow_or_failed = Sampling::all().successes(0.0).unwrap();
    let manual = ManualClock::at_unix_seconds(1_533_928_226);
    let routes = Routes::builder().any("/{proxy+}", ApiMethod::new());
    let routes = routes.any("/reset/{token}/blocked", ApiMethod::new()).build().unwrap();
    let stages = StageRouter::new(Stages::single("dev", routes).unwrap());
    let filter = FilterLayer::new(|head, _| match head.uri.path().ends_with("/blocked") {
        true => Verdict::Block,
        false => Verdict::Pass,
    });
    let traced = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&traced);
    let trace_id = move |event: &RequestEvent<'_>| {
        *kept.lock().unwrap() = event.variable("xrayTraceId").unwrap().into_owned();
    };
    let service = ObserveLayer::new()
        .api(ApiInfo::new("testxray").id("a1b2c3d4e5").account_id("123412341234"))
        .trusted_proxies(TrustedProxies::new(["192.0.2.0/24"]).unwrap())
        .clock(manual.clock())
        .observer(xray.tail(slow_or_failed))
        .observer(trace_id)
        .layer(always(1.0).layer(stages.layer(filter.layer(service_fn(|_: Request<()>| async {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("ok")))
        })))));
    let ask_with = |path: &str, change: &dyn Fn(&mut Request<()>)| {
        let peer = PeerAddr("192.0.2.7:1".parse().unwrap());
        let sent = format!("Root={ROOT};Parent={PARENT}");
        let request = Request::builder().uri(format!("/dev/{path}?secret=1")).extension(peer);
        let mut request = request.header("x-amzn-trace-id", sent).body(()).unwrap();
        change(&mut request);
        let answer = run(service.clone().oneshot(request)).unwrap();
        manual.advance(Duration::from_millis(385));
        run(answer.into_body().collect()).unwrap();
    };
    let segment = || {
        let mut buffer = [0; 65_536];
        let length = daemon.recv(&mut buffer).unwrap();
        let text = std::str::from_utf8(&buffer[..length]).unwrap();
        let (header, document) = text.split_once('\n').unwrap();
        assert_eq!(header, r#"{"format":"json","version":1}"#);
        serde_json::from_str::<serde_json::Value>(document).unwrap()
    };
    let host = |request: &mut Request<()>| {
        request.headers_mut().insert("host", "example.com".parse().unwrap());
    };
    ask_with("pets", &host);
    ask_with("blocked", &|request| {
        host(request);
        request.headers_mut().insert("x-forwarded-for", "198.51.100.1".parse().unwrap());
        request.extensions_mut().insert(Ingress::public().tls("TLSv1.3"));
    });
    let segment_of_tls = segment();
    ask_with("blocked", &host);
    let plain = segment();
    ask_with("blocked", &|_| ());
    assert_eq!(segment()["http"]["request"]["url"], "/dev/blocked", "nobody named a host");
    ask_with("reset/0123456789abcdefghij/blocked", &host);
    let masked = "http://example.com/dev/reset/**************efghij/blocked";
    assert_eq!(segment()["http"]["request"]["url"], masked);
    assert_eq!(plain["http"]["request"]["url"], "http://example.com/dev/blocked");
    assert!(plain["http"]["request"]["x_forwarded_for"].is_null());
    let segment = segment_of_tls;
    assert_eq!((&segment["trace_id"], &segment["parent_id"]), (&ROOT.into(), &PARENT.into()));
    assert_eq!(segment["id"].as_str().unwrap().len(), 16);
    assert_eq!(segment["name"], "testxray/dev");
    assert_eq!(segment["origin"], "AWS::ApiGateway::Stage");
    assert_eq!(segment["resource_arn"], "arn:aws:apigateway:eu-west-1::/restapis/a1b2c3d4e5/stages/dev");
    assert_eq!(segment["error"], true, "the successful one before it was left out at its end");
    assert_eq!(segment["http"]["request"]["url"], "https://example.com/dev/blocked");
    assert_eq!(segment["http"]["request"]["client_ip"], "198.51.100.1");
    assert_eq!(segment["http"]["request"]["x_forwarded_for"], true);
    assert_eq!(segment["aws"]["api_gateway"]["account_id"], "123412341234");
    assert_eq!(segment["http"]["response"]["status"], 403);
    assert_eq!(segment["aws"]["api_gateway"]["stage"], "dev");
    assert_eq!(segment["annotations"]["aws:api_id"], "a1b2c3d4e5");
    let took = segment["end_time"].as_f64().unwrap() - segment["start_time"].as_f64().unwrap();
    assert!((took - 0.385).abs() < 0.002, "{took}");
    assert_eq!(*traced.lock().unwrap(), ROOT);
}

/// Keeps the fields of every span, and how often some were added to one.
#[derive(Clone, Default)]
struct Fields(Arc<Mutex<Vec<(String, String)>>>, Arc<AtomicUsize>);

impl tracing::field::Visit for Fields {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0.lock().unwrap().push((field.name().to_owned(), format!("{value:?}")));
    }
}

impl tracing::Subscriber for Fields {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("tower_gateway")
    }
    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        span.record(&mut self.clone());
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        self.1.fetch_add(1, Relaxed);
        values.record(&mut self.clone());
    }
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn spans_carry_opentelemetrys_names() {
    let routes = Routes::builder().any("/pets/{id}", ApiMethod::new()).build().unwrap();
    let stages = StageRouter::new(Stages::single("dev", routes).unwrap());
    let fields = Fields::default();
    let ask_by = |method: &str, path: &str, status: u16| {
        let service = TraceLayer::new().layer(SpanLayer::new().layer(stages.layer(service_fn(
            move |_: Request<()>| async move {
                Ok::<_, Infallible>(
                    Response::builder().status(status).body(Full::<Bytes>::default()).unwrap(),
                )
            },
        ))));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("traceparent", format!("00-{HEX}-{PARENT}-01"))
            .body(())
            .unwrap();
        fields.0.lock().unwrap().clear();
        tracing::subscriber::with_default(fields.clone(), || run(service.oneshot(request)).unwrap());
        fields.0.lock().unwrap().clone()
    };
    let ask = |path: &str, status: u16| ask_by("GET", path, status);
    let value = |fields: &[(String, String)], name: &str| {
        fields.iter().rfind(|(found, _)| found == name).map(|(_, value)| value.trim_matches('"').to_owned())
    };
    let failed = ask("/dev/pets/secret", 503);
    for (name, wanted) in [
        ("otel.name", "GET /pets/{id}"),
        ("otel.kind", "server"),
        ("otel.status_code", "ERROR"),
        ("http.request.method", "GET"),
        ("http.route", "/pets/{id}"),
        ("http.response.status_code", "503"),
        ("trace_id", HEX),
    ] {
        assert_eq!(value(&failed, name).as_deref(), Some(wanted), "{name}");
    }
    assert_eq!(value(&failed, "aws.request_id").unwrap().len(), 36);
    assert_eq!(fields.1.load(Relaxed), 1, "subscribers may write all fields anew when some are added");
    let refused = ask("/dev/nothing", 200);
    assert_eq!(value(&refused, "error.type").as_deref(), Some("MISSING_AUTHENTICATION_TOKEN"));
    assert_eq!(value(&refused, "otel.status_code"), None, "4xx leave it unset");
    assert_eq!(value(&refused, "http.request.method_original"), None);
    let own = ask_by("GETS", "/dev/pets/1", 200);
    let names: Vec<_> = own.iter().filter(|(name, _)| name == "otel.name").map(|(_, name)| &**name).collect();
    assert_eq!(names, ["\"HTTP\""], "no declared method takes it");
    assert_eq!(value(&own, "http.request.method").as_deref(), Some("_OTHER"));
    assert_eq!(value(&own, "http.request.method_original").as_deref(), Some("GETS"));
    assert!(failed.iter().chain(&refused).all(|(_, value)| !value.contains("secret")));
}

#[test]
fn a_span_has_the_id_that_the_client_of_an_http_api_gets() {
    let routes = Routes::builder().any("/pets", ApiMethod::new()).build().unwrap();
    for kind in [ApiKind::Rest, ApiKind::Http] {
        let gateway =
            Gateway::builder().api_kind(kind).stages(Stages::single("dev", routes.clone()).unwrap());
        let service =
            TraceLayer::new().layer(SpanLayer::new().layer(gateway.build().unwrap().layer(service_fn(
                |_: Request<_>| async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())) },
            ))));
        let fields = Fields::default();
        let request = Request::get("/dev/pets").body(Full::<Bytes>::default()).unwrap();
        let answer =
            tracing::subscriber::with_default(fields.clone(), || run(service.oneshot(request)).unwrap());
        let name = if kind == ApiKind::Rest { "x-amzn-requestid" } else { "apigw-requestid" };
        let told = answer.headers()[name].to_str().unwrap();
        let fields = fields.0.lock().unwrap();
        let ids: Vec<_> = fields.iter().filter(|(name, _)| name == "aws.request_id").collect();
        assert_eq!(ids.last().unwrap().1.trim_matches('"'), told, "{fields:?}");
        assert_eq!(ids.len(), if kind == ApiKind::Rest { 1 } else { 2 }, "not written twice for nothing");
    }
}

#[test]
fn spans_of_slow_refused_and_failed_requests_have_details() {
    let manual = ManualClock::at_unix_seconds(1_795_331_880);
    let block = |head: tower_gateway::filter::Head<'_>, _: &tower_gateway::context::RequestContext| {
        if head.headers.contains_key("x-block") { Verdict::Block } else { Verdict::Pass }
    };
    let filter = FilterLayer::new(block).clock(manual.clock());
    let sampling = Sampling::all().successes(0.0).unwrap().slower_than(Duration::from_secs(1));
    let ask = |details: bool, name: &'static str, seconds: &'static str| {
        let (takes, fails) = (manual.clone(), name == "x-fail");
        let inner = service_fn(move |_: Request<()>| {
            takes.advance(Duration::from_secs(seconds.parse().unwrap()));
            let answer = if fails { Err("broken") } else { Ok(Response::new(Full::<Bytes>::default())) };
            std::future::ready(answer)
        });
        let timer = IntegrationTimerLayer::new().clock(manual.clock());
        let spans = SpanLayer::new();
        let spans = if details { spans.details(sampling, manual.clock()) } else { spans };
        let service = RequestContextLayer::new()
            .clock(manual.clock())
            .layer(spans.layer(filter.layer(timer.layer(inner))));
        let fields = Fields::default();
        let request = Request::builder().uri("/").header(name, "1").body(()).unwrap();
        tracing::subscriber::with_default(fields.clone(), || drop(run(service.oneshot(request))));
        let fields = fields.0.lock().unwrap();
        let own = fields.iter().filter_map(|(name, value)| {
            Some(format!("{}={}", name.strip_prefix("tower_gateway.")?, value.trim_matches('"')))
        });
        own.collect::<Vec<_>>()
    };
    assert_eq!(ask(true, "x-fine", "1"), [""; 0], "as quick as it may be");
    let timed = ["integration.latency_ms=2000", "waf.latency_ms=0"];
    assert_eq!(ask(true, "x-fine", "2"), timed);
    assert_eq!(ask(true, "x-fail", "0"), ["integration.latency_ms=0", "waf.latency_ms=0"]);
    assert_eq!(ask(true, "x-block", "0"), ["cause=Filtered", "layer=FilterLayer", "waf.latency_ms=0"]);
    assert_eq!(ask(false, "x-block", "0"), [""; 0]);
}

#[test]
fn access_log_lines_may_be_events() {
    let format = AccessLogFormat::new(LogApi::Rest, "$context.status $context.requestId").unwrap();
    let service =
        AccessLogLayer::new(AccessLog::new(format, TracingSink)).layer(service_fn(|_: Request<()>| async {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }));
    let fields = Fields::default();
    let answer = tracing::subscriber::with_default(fields.clone(), || run(service.oneshot(Request::new(()))));
    assert_eq!(answer.unwrap().status(), 200);
    let fields = fields.0.lock().unwrap();
    let value =
        |name: &str| fields.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone()).unwrap();
    let id = value("aws.request_id");
    assert_eq!(value("message"), format!("200 {}", id.trim_matches('"')));
    assert_eq!(value("http.response.status_code"), "200");
}
