//! What it costs to tell what happened: an access log of JSON lines with twelve fields beside tower-http's `TraceLayer`
//! and the JSON formatter of tracing-subscriber, metrics, spans that nobody listens to, and all of it together beside
//! `TraceLayer` and axum-prometheus.
//!
//! Answers are read to their end, on every side: that is when our entry is written. Lines are written into
//! [`io::sink`], by the request itself, on both sides.
//!
//! All of it together is compared three times, since it is the listener that decides what spans cost: with spans that
//! nobody listens to on our side; with spans that both sides hand to the same exporter, which keeps their fields as
//! OpenTelemetry's does, while the log is the access log here and `TraceLayer`'s JSON line there; and with spans whose
//! fields the JSON formatter writes on both sides, for us beside the log.

use crate::{
    least,
    measure::{Goal, Row, Subject},
    rows::{MakeRow, Side, row, side},
    services::{bare, empty, floor, request, with_context},
};
use axum::{
    Router,
    body::{Body, HttpBody},
};
use axum_prometheus::PrometheusMetricLayer;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Method, Request, Response, header};
use std::{
    convert::Infallible,
    fmt,
    future::{Ready, ready},
    hint::black_box,
    io::{self, Write},
    pin::{Pin, pin},
    sync::LazyLock,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tower::{Layer, Service};
use tower_gateway::{
    context::RequestContext,
    observe::{AccessLog, AccessLogFormat, ObserveLayer, PrometheusMetrics, RequestEvent, trace::SpanLayer},
};
use tower_http::trace::TraceLayer;
use tracing::{
    Dispatch, Span, Subscriber,
    dispatcher::with_default,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    layer::{self, SubscriberExt},
    registry,
    registry::LookupSpan,
};

pub const ROWS: [(&str, MakeRow); 8] = [
    ("observe-nobody", nobody),
    ("access-log", access_log),
    ("metrics", metrics),
    ("metrics-least", metrics_beside_the_least),
    ("tracing-off", tracing_off),
    ("observe-all-spans-unheard", all_unheard),
    ("observe-all-spans-exported", all_exported),
    ("observe-all-spans-as-json", all_as_json),
];

/// Twelve values; the peer's line has as many.
const FIELDS: [(&str, &str); 12] = [
    ("requestId", "requestId"),
    ("time", "requestTime"),
    ("ip", "identity.sourceIp"),
    ("method", "httpMethod"),
    ("path", "path"),
    ("protocol", "protocol"),
    ("host", "domainName"),
    ("resourcePath", "resourcePath"),
    ("userAgent", "identity.userAgent"),
    ("status", "status"),
    ("responseLength", "responseLength"),
    ("latencyMs", "responseLatency"),
];

/// Reads every answer to its end; everything here answers at once.
#[derive(Clone)]
struct Drained<S>(S);

impl<S, R> Service<Request<Body>> for Drained<S>
where
    S: Service<Request<Body>, Response = Response<R>, Error = Infallible>,
    R: HttpBody,
{
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Some(Ok(response)) = self.0.call(request).now_or_never() else { panic!("not answered at once") };
        let (head, body) = response.into_parts();
        read(pin!(body));
        ready(Ok(Response::from_parts(head, ())))
    }
}

fn read<R: HttpBody>(mut body: Pin<&mut R>) {
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut cx) {
        assert!(frame.is_ok());
    }
}

/// Whose spans and events are listened to.
struct Listened<S> {
    dispatch: Dispatch,
    inner: Drained<S>,
}

impl<S> Subject for Listened<S>
where
    Drained<S>: Subject,
{
    fn run(&mut self, requests: Vec<Request<Body>>) -> Duration {
        with_default(&self.dispatch, || self.inner.run(requests))
    }

    fn ask(&mut self, request: Request<Body>) -> Response<()> {
        with_default(&self.dispatch, || self.inner.ask(request))
    }
}

fn listened<S>(inner: S, subscriber: impl Into<Dispatch>) -> Listened<S> {
    Listened { dispatch: subscriber.into(), inner: Drained(inner) }
}

/// One line an event, with the fields of the span it happened in.
fn json<S: Subscriber + for<'a> LookupSpan<'a>>() -> impl tracing_subscriber::Layer<S> {
    tracing_subscriber::fmt::layer().json().with_span_list(false).with_writer(io::sink)
}

/// Keeps the fields of every span until it closes.
struct Exporter;

#[derive(Default)]
struct Exported(Vec<(&'static str, String)>);

impl Visit for Exported {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name(), value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push((field.name(), format!("{value:?}")));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> tracing_subscriber::Layer<S> for Exporter {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: layer::Context<'_, S>) {
        let mut fields = Exported::default();
        attributes.record(&mut fields);
        context.span(id).expect("a new span").extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: layer::Context<'_, S>) {
        let span = context.span(id).expect("an open span");
        values.record(span.extensions_mut().get_mut::<Exported>().expect("made with the span"));
    }

    fn on_close(&self, id: Id, context: layer::Context<'_, S>) {
        black_box(context.span(&id).expect("a closing span").extensions_mut().remove::<Exported>());
    }
}

fn log() -> AccessLog {
    let format = AccessLogFormat::json_object(FIELDS).expect("a valid format");
    AccessLog::new(format, |line: &str, _: &RequestEvent<'_>| {
        let mut sink = io::sink();
        sink.write_all(black_box(line.as_bytes())).expect("sinks take all");
    })
}

fn over(name: &'static str, ours: Side, peer: Side, goal: Goal) -> Row {
    let get = Box::new(|_| empty(request(Method::GET, "/pets")));
    Row { floor: Box::new(Drained(floor())), ..row(name, get, ours, peer, goal) }
}

/// What the rows below have in common: a guard that goes with the request and its answer, and nobody who is told.
fn nobody(name: &'static str) -> Row {
    over(name, side(Drained(with_context(ObserveLayer::new().layer(bare())))), None, Goal::None)
}

fn access_log(name: &'static str) -> Row {
    let ours = with_context(ObserveLayer::new().observer(log()).layer(bare()));
    let peer = listened(with_context(traced(bare())), registry().with(json()));
    let row = over(name, side(Drained(ours)), side(peer), Goal::OverFloor(0.15));
    Row { most_allocations: Some(2.0), batch: SHORT, ..row }
}

fn metrics(name: &'static str) -> Row {
    over(name, side(counted()), side(counted_by_peer()), Goal::Nanos(100.0))
}

/// The peer is what no metrics can do without.
fn metrics_beside_the_least(name: &'static str) -> Row {
    over(name, side(counted()), side(Drained(with_context(least::Counted::new(bare())))), Goal::None)
}

/// A service with metrics of its own.
pub fn counted() -> impl Service<
    Request<Body>,
    Response = Response<()>,
    Error = Infallible,
    Future = Ready<Result<Response<()>, Infallible>>,
> + Clone
+ Send
+ 'static {
    Drained(with_context(ObserveLayer::new().observer(PrometheusMetrics::new()).layer(bare())))
}

pub fn counted_by_peer() -> impl Service<
    Request<Body>,
    Response = Response<()>,
    Error = Infallible,
    Future = Ready<Result<Response<()>, Infallible>>,
> + Clone
+ Send
+ 'static {
    Drained(with_context(PROMETHEUS.clone().layer(bare())))
}

/// A layer of spans, and nobody who listens.
fn tracing_off(name: &'static str) -> Row {
    over(name, side(Drained(with_context(SpanLayer::new().layer(bare())))), None, Goal::Nanos(20.0))
}

/// For sides that take ten microseconds.
const SHORT: usize = 32;

fn all(name: &'static str, ours: impl Into<Dispatch>, peer: impl Into<Dispatch>) -> Row {
    let observe = ObserveLayer::new().observer(log()).observer(PrometheusMetrics::new());
    let layered = with_context(observe.layer(SpanLayer::new().layer(bare())));
    let everything = with_context(PROMETHEUS.clone().layer(traced(bare())));
    let (ours, peer) = (side(listened(layered, ours)), side(listened(everything, peer)));
    Row { batch: SHORT, ..over(name, ours, peer, Goal::OverFloor(0.2)) }
}

fn all_unheard(name: &'static str) -> Row {
    all(name, Dispatch::none(), registry().with(json()))
}

fn all_exported(name: &'static str) -> Row {
    all(name, registry().with(Exporter), registry().with(Exporter).with(json()))
}

/// Ours needs no event in its span.
fn all_as_json(name: &'static str) -> Row {
    all(name, registry().with(json()), registry().with(json()))
}

/// It installs itself as the recorder of the whole process, so there is one.
static PROMETHEUS: LazyLock<PrometheusMetricLayer<'static>> =
    LazyLock::new(|| PrometheusMetricLayer::pair().0);

/// `TraceLayer` with what the access log says: eight fields of the span, two of the event, and the formatter's time and
/// level. One line a request.
fn traced(
    inner: Router,
) -> impl Service<
    Request<Body>,
    Response = Response<impl HttpBody<Data = Bytes, Error = axum::Error>>,
    Error = Infallible,
    Future: Send,
> + Clone {
    let layer = TraceLayer::new_for_http()
        .make_span_with(|request: &Request<Body>| {
            let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
            tracing::info_span!(
                "request",
                requestId = RequestContext::of(request.extensions()).map(RequestContext::request_id),
                ip = "-",
                method = request.method().as_str(),
                path = request.uri().path(),
                protocol = ?request.version(),
                host = header(header::HOST),
                resourcePath = "-",
                userAgent = header(header::USER_AGENT),
            )
        })
        .on_request(())
        .on_body_chunk(())
        .on_eos(())
        .on_failure(())
        .on_response(|response: &Response<Body>, latency: Duration, _: &Span| {
            let latency_ms = latency.as_millis() as u64;
            tracing::info!(status = response.status().as_u16(), latencyMs = latency_ms);
        });
    layer.layer(inner)
}
