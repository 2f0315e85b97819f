//! Who reads traces in earnest: OpenTelemetry's SDK, and the Python X-Ray SDK.

use super::{HEX, PARENT, ROOT, always};
use crate::support::{left_out, python, run};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use opentelemetry::{
    Context, Value,
    trace::{
        SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState,
        TracerProvider,
    },
};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use std::{convert::Infallible, net::UdpSocket, time::Duration};
use tower::{Layer, ServiceExt, service_fn};
use tower_gateway::{
    clock::ManualClock,
    context::{PeerAddr, RequestContext},
    observe::{
        ApiInfo, IntegrationTimerLayer, ObserveLayer,
        trace::{SpanLayer, TraceLayer, XRayDaemon},
    },
    route::{ApiMethod, Routes},
    stage::{StageRouter, Stages},
};
use tracing_subscriber::layer::SubscriberExt;

/// As the documentation of `SpanLayer::around_new_span` has it.
fn parent(context: &RequestContext) -> Context {
    let trace = context.trace().unwrap();
    let trace_id = TraceId::from_hex(&trace.trace_id().to_hex()).unwrap();
    let span_id = SpanId::from_hex(&trace.parent().unwrap().to_string()).unwrap();
    let flags = if trace.is_sampled() { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
    let remote = SpanContext::new(trace_id, span_id, flags, true, TraceState::NONE);
    Context::new().with_remote_span_context(remote)
}

/// The spans of one request, those that ended first before.
fn exported(path: &str, status: u16) -> Vec<SpanData> {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let subscriber = tracing_subscriber::registry()
        .with(tracing_opentelemetry::layer().with_tracer(provider.tracer("tower-gateway")));
    let routes = Routes::builder().any("/pets/{id}", ApiMethod::new()).build().unwrap();
    let stages = StageRouter::new(Stages::single("dev", routes).unwrap());
    let service = service_fn(move |_: Request<()>| async move {
        tracing::info_span!("in the handler").in_scope(|| ());
        Ok::<_, Infallible>(Response::builder().status(status).body(Full::<Bytes>::default()).unwrap())
    });
    let spans = SpanLayer::new().received_path(true).around_new_span(|context, make| {
        let _parent = parent(context).attach();
        make();
    });
    let spans = spans.at_answer(|context| {
        let method = match context.method().as_str() {
            known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known,
            _ => "HTTP",
        };
        if let Some(route) = context.resource_path() {
            Context::current().span().update_name(format!("{method} {route}"));
        }
    });
    let service = TraceLayer::new().layer(spans.layer(stages.layer(service)));
    let request = Request::builder()
        .uri(path)
        .header("traceparent", format!("00-{HEX}-{PARENT}-01"))
        .extension(PeerAddr("192.0.2.7:1".parse().unwrap()))
        .body(())
        .unwrap();
    tracing::subscriber::with_default(subscriber, || run(service.oneshot(request)).unwrap());
    provider.force_flush().unwrap();
    exporter.get_finished_spans().unwrap()
}

fn attribute(span: &SpanData, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|pair| pair.key.as_str() == key)?;
    Some(match &found.value {
        Value::String(text) => text.as_str().to_owned(),
        other => other.to_string(),
    })
}

#[test]
fn the_opentelemetry_sdk_receives_spans_with_their_parents_and_names() {
    let spans = exported("/dev/pets/7", 503);
    let [inner, server] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!(server.name, "GET /pets/{id}");
    assert_eq!(server.span_kind, SpanKind::Server);
    assert_eq!(server.span_context.trace_id().to_string(), HEX);
    assert_eq!(server.parent_span_id.to_string(), PARENT);
    assert!(server.parent_span_is_remote);
    assert!(matches!(server.status, Status::Error { .. }), "{:?}", server.status);
    assert_eq!(inner.parent_span_id, server.span_context.span_id());
    assert_eq!(inner.span_context.trace_id(), server.span_context.trace_id());
    for (key, wanted) in [
        ("http.request.method", "GET"),
        ("http.route", "/pets/{id}"),
        ("http.response.status_code", "503"),
        ("error.type", "503"),
        ("url.path", "/dev/pets/7"),
        ("network.protocol.version", "1.1"),
        ("client.address", "192.0.2.7"),
    ] {
        assert_eq!(attribute(server, key).as_deref(), Some(wanted), "{key}");
    }
    for id in ["aws.request_id", "aws.extended_request_id"] {
        assert!(attribute(server, id).is_some(), "{id}");
    }
    assert!(server.end_time >= server.start_time);
}

#[test]
fn client_errors_leave_the_status_unset_as_opentelemetry_says() {
    let spans = exported("/dev/nothing", 200);
    let [server] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((server.name.as_ref(), &server.status), ("GET", &Status::Unset));
    assert_eq!(attribute(server, "http.response.status_code").as_deref(), Some("403"));
    assert_eq!(attribute(server, "error.type").as_deref(), Some("MISSING_AUTHENTICATION_TOKEN"));
    assert_eq!(attribute(server, "http.route"), None);
}

/// The segment of a request whose service takes 30 ms of 50, and the header it was sent.
fn segment_and_header() -> (String, String) {
    let daemon = UdpSocket::bind("127.0.0.1:0").unwrap();
    daemon.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let xray = XRayDaemon::connect(daemon.local_addr().unwrap(), "eu-west-1").unwrap();
    let manual = ManualClock::at_unix_seconds(1_533_928_226);
    let clock = manual.clone();
    let inner = service_fn(move |request: Request<()>| {
        clock.advance(Duration::from_millis(30));
        let sent = request.headers()["x-amzn-trace-id"].to_str().unwrap().to_owned();
        std::future::ready(Ok::<_, Infallible>(
            Response::builder().status(429).body(Full::<Bytes>::from(sent)).unwrap(),
        ))
    });
    let timed = IntegrationTimerLayer::new().clock(manual.clock()).layer(inner);
    let before = manual.clone();
    let delayed = tower::util::MapRequest::new(timed, move |request: Request<()>| {
        before.advance(Duration::from_millis(20));
        request
    });
    let service = ObserveLayer::new()
        .api(ApiInfo::new("Pets (EU)!").id("a1b2c3d4e5"))
        .clock(manual.clock())
        .observer(xray)
        .layer(always(1.0).clock(manual.clock()).layer(delayed));
    let sent = format!("Self=1-1-2;Root={ROOT};Parent={PARENT};Lineage=a87bd80c:1|68fd508a:5");
    let request = Request::builder().uri("/dev/pets").header("x-amzn-trace-id", sent).body(()).unwrap();
    let answer = run(async { service.oneshot(request).await.unwrap().into_body().collect().await.unwrap() });
    let header = String::from_utf8(answer.to_bytes().to_vec()).unwrap();
    let mut buffer = [0; 65_536];
    let length = daemon.recv(&mut buffer).unwrap();
    let text = std::str::from_utf8(&buffer[..length]).unwrap();
    (text.split_once('\n').unwrap().1.to_owned(), header)
}

#[test]
fn a_call_of_the_service_is_a_subsegment() {
    let (document, _) = segment_and_header();
    let segment: serde_json::Value = serde_json::from_str(&document).unwrap();
    let call = &segment["subsegments"][0];
    let seconds = |value: &serde_json::Value| value.as_f64().unwrap();
    assert!((seconds(&call["start_time"]) - seconds(&segment["start_time"]) - 0.020).abs() < 0.002, "{call}");
    assert!((seconds(&call["end_time"]) - seconds(&call["start_time"]) - 0.030).abs() < 0.002, "{call}");
    assert_eq!((&call["name"], &call["namespace"]), (&"integration".into(), &"remote".into()));
    assert_eq!(call["http"]["response"]["status"], 429);
    assert_eq!((&call["error"], &call["throttle"]), (&true.into(), &true.into()));
    assert_ne!(call["id"], segment["id"]);
    assert_eq!(call["id"].as_str().unwrap().len(), 16);
}

/// Reads the header with the SDK's own parser, rebuilds the segment with its model, and prints both.
const XRAY_SDK: &str = r#"
import json, sys
try:
    from aws_xray_sdk.core.models.segment import Segment
    from aws_xray_sdk.core.models.subsegment import Subsegment
    from aws_xray_sdk.core.models.trace_header import TraceHeader
    from aws_xray_sdk.core.models.traceid import TraceId
except ImportError:
    sys.exit(77)
header, document = sys.stdin.read().split('\n', 1)
read = TraceHeader.from_header_str(header)
ours = json.loads(document)
theirs = Segment(ours['name'], traceid=ours['trace_id'], parent_id=ours['parent_id'], sampled=True)
theirs.id, theirs.start_time = ours['id'], ours['start_time']
theirs.put_http_meta('method', 'GET')
call = ours['subsegments'][0]
sub = Subsegment(call['name'], call['namespace'], theirs)
sub.id, sub.start_time = call['id'], call['start_time']
theirs.add_subsegment(sub)
sub.put_http_meta('status', call['http']['response']['status'])
sub.close(call['end_time'])
theirs.put_http_meta('status', ours['http']['response']['status'])
theirs.close(ours['end_time'])
built = json.loads(theirs.serialize())
assert TraceId.DELIMITER == '-' and len(ours['trace_id']) == len(TraceId().to_id())
for key in ['id', 'name', 'trace_id', 'parent_id', 'start_time', 'end_time', 'error', 'throttle']:
    assert built[key] == ours[key], (key, built[key], ours[key])
for key in ['id', 'name', 'namespace', 'start_time', 'end_time', 'error', 'throttle', 'http']:
    assert built['subsegments'][0][key] == call[key], (key, built['subsegments'][0][key], call[key])
assert built['http']['response']['status'] == ours['http']['response']['status']
print(json.dumps([read.root, read.parent, read.sampled, read.data, read.to_header_str()]))
"#;

#[test]
fn the_python_x_ray_sdk_reads_header_and_segment() {
    let (document, header) = segment_and_header();
    let Some(output) = python("aws_xray_sdk", XRAY_SDK, &format!("{header}\n{document}")) else {
        return left_out("the X-Ray SDK of Python (not installed here)");
    };
    let segment: serde_json::Value = serde_json::from_str(&document).unwrap();
    let read: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert_eq!(segment["name"], "Pets EU/-", "what the SDK would have left of it");
    assert_eq!(read[0], ROOT);
    assert_eq!(read[1], segment["id"], "whoever is called is a child of the gateway's segment");
    assert_eq!(read[2], 1);
    assert_eq!(read[3]["Lineage"], "a87bd80c:1|68fd508a:5");
    assert_eq!(read[4], header, "written back as it was");
}
