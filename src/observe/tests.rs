//! Every way in which a request can end gives exactly one event.

use super::*;
use crate::{
    clock::ManualClock,
    context::{ApiKind, RequestContext},
    response::{Cause, GatewayError, Remains, ResponseType},
};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use std::{
    collections::VecDeque,
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tower::{Layer, Service, ServiceExt, service_fn};

/// Polls once.
fn now_or_never<F: Future>(future: F) -> Option<F::Output> {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// A body of steps; its end is not known beforehand unless `knows_end`.
#[derive(Default)]
struct Steps {
    steps: VecDeque<Step>,
    knows_end: bool,
}

enum Step {
    Data(&'static str),
    Error,
    Panic,
    Wait,
}

impl Steps {
    fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect(), knows_end: false }
    }
}

impl From<Bytes> for Steps {
    fn from(_: Bytes) -> Self {
        Self::new([Step::Data("refused")])
    }
}

impl Body for Steps {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.steps.pop_front() {
            None => Poll::Ready(None),
            Some(Step::Data(text)) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(text.as_bytes()))))),
            Some(Step::Error) => Poll::Ready(Some(Err(std::io::Error::other("gone")))),
            Some(Step::Panic) => resume_unwind(Box::new("body")),
            Some(Step::Wait) => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.knows_end && self.steps.is_empty()
    }
}

type Lines = Arc<Mutex<Vec<String>>>;

/// Logs status, length, outcome, milliseconds and the refusal of each request.
fn log(clock: &ManualClock) -> (AccessLogLayer, Lines) {
    let lines = Lines::default();
    let kept = Arc::clone(&lines);
    let text = "$context.requestId|$context.status $context.responseLength $context.outcome $context.responseLatency $context.error.responseType $context.error.cause";
    let format = AccessLogFormat::new(LogApi::Rest, text).unwrap();
    let sink = move |line: &str, _: &RequestEvent<'_>| {
        kept.lock().unwrap().push(line.split_once('|').unwrap().1.to_owned());
    };
    (AccessLogLayer::new(AccessLog::new(format, sink)).clock(clock.clock()), lines)
}

fn request(method: Method) -> Request<()> {
    Request::builder().method(method).body(()).unwrap()
}

/// Reads an answer's body until it waits, fails or ends.
fn read<B: Body + Unpin>(body: &mut B) {
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(Ok(_))) = Pin::new(&mut *body).poll_frame(&mut cx) {}
}

/// The lines that one answer leaves, after it was read and dropped.
fn lines_of(method: Method, answer: impl Fn() -> Response<Steps> + Clone) -> Vec<String> {
    let clock = ManualClock::at_unix_seconds(0);
    let (layer, lines) = log(&clock);
    let service = layer.layer(service_fn(move |_: Request<()>| {
        let answer = answer.clone();
        async move { Ok::<_, Infallible>(answer()) }
    }));
    let mut response = now_or_never(service.oneshot(request(method))).unwrap().unwrap();
    clock.advance(Duration::from_millis(7));
    let _ = catch_unwind(AssertUnwindSafe(|| read(response.body_mut())));
    clock.advance(Duration::from_millis(100));
    drop(response);
    lines.lock().unwrap().clone()
}

fn with_status(status: u16, steps: Steps) -> Response<Steps> {
    let mut response = Response::new(steps);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

#[test]
fn every_end_of_an_answer_is_told_once_and_at_its_time() {
    use Step::{Data, Error, Panic, Wait};
    let get = |steps: fn() -> Steps| lines_of(Method::GET, move || Response::new(steps()));
    assert_eq!(get(|| Steps::new([Data("pets"), Data("!")])), ["200 5 complete 7 - -"]);
    assert_eq!(get(|| Steps { knows_end: true, ..Steps::new([Data("pets")]) }), ["200 4 complete 7 - -"]);
    assert_eq!(get(|| Steps { knows_end: true, ..Steps::default() }), ["200 0 complete 0 - -"]);
    assert_eq!(get(|| Steps::new([Data("pets"), Wait])), ["200 4 client_closed 107 - -"]);
    assert_eq!(get(|| Steps::new([Data("pets"), Error])), ["200 4 failed 7 - -"]);
    assert_eq!(get(|| Steps::new([Data("pets"), Panic])), ["200 4 panicked 107 - -"]);
}

#[test]
fn servers_that_stop_at_the_announced_length_end_an_answer() {
    let announced = || {
        let mut response = Response::new(Steps::new([Step::Data("pets"), Step::Wait]));
        response.headers_mut().insert("content-length", "4".parse().unwrap());
        response
    };
    assert_eq!(lines_of(Method::GET, announced), ["200 4 complete 7 - -"]);
}

#[test]
fn answers_without_a_body_end_with_their_head() {
    let filled = || Steps::new([Step::Wait]);
    assert_eq!(lines_of(Method::HEAD, move || Response::new(filled())), ["200 0 complete 0 - -"]);
    for status in [101, 204, 304] {
        let line = format!("{status} 0 complete 0 - -");
        assert_eq!(lines_of(Method::GET, move || with_status(status, filled())), [line]);
    }
}

#[test]
fn what_never_answers_is_told_too() {
    let clock = ManualClock::at_unix_seconds(0);
    let (layer, lines) = log(&clock);
    let pending = layer
        .layer(service_fn(|_: Request<()>| std::future::pending::<Result<Response<Steps>, Infallible>>()));
    assert!(now_or_never(pending.oneshot(request(Method::GET))).is_none());
    let fails = layer.layer(service_fn(|_: Request<()>| async { Err::<Response<Steps>, _>("broken") }));
    assert!(now_or_never(fails.oneshot(request(Method::GET))).unwrap().is_err());
    let panics_later = layer.layer(service_fn(|_: Request<()>| async {
        resume_unwind(Box::new("handler"));
        #[allow(unreachable_code, reason = "names the type")]
        Ok::<_, Infallible>(Response::new(Steps::default()))
    }));
    assert!(
        catch_unwind(AssertUnwindSafe(|| now_or_never(panics_later.oneshot(request(Method::GET))))).is_err()
    );
    let mut panics_at_once = layer.layer(service_fn(
        |_: Request<()>| -> std::future::Ready<Result<Response<Steps>, Infallible>> {
            resume_unwind(Box::new("call"))
        },
    ));
    assert!(catch_unwind(AssertUnwindSafe(|| drop(panics_at_once.call(request(Method::GET))))).is_err());
    let wanted = ["- 0 client_closed 0 - -", "- 0 failed 0 - -", "- 0 panicked 0 - -", "- 0 panicked 0 - -"];
    assert_eq!(*lines.lock().unwrap(), wanted);
}

#[test]
fn each_of_the_21_refusals_gives_one_entry_with_its_type_and_status() {
    for kind in [ApiKind::Rest, ApiKind::Http] {
        for response_type in ResponseType::ALL {
            let clock = ManualClock::at_unix_seconds(0);
            let (layer, lines) = log(&clock);
            let service = layer.api_kind(kind).layer(service_fn(move |request: Request<()>| async move {
                let context = RequestContext::of(request.extensions()).unwrap();
                Ok::<_, Infallible>(
                    GatewayError::new(response_type, Cause::Filtered).refuse::<Steps>(context),
                )
            }));
            let mut response = now_or_never(service.oneshot(request(Method::GET))).unwrap().unwrap();
            let status = response.status().as_u16();
            read(response.body_mut());
            drop(response);
            assert_eq!(*lines.lock().unwrap(), [format!("{status} 7 complete 0 {response_type} Filtered")]);
        }
    }
}

#[test]
fn a_refusal_without_our_context_is_read_from_the_answer() {
    let lines = lines_of(Method::GET, || {
        GatewayError::new(ResponseType::Throttled, Cause::PlanThrottle)
            .into_response(ApiKind::Rest, Remains::default())
    });
    assert_eq!(lines, ["429 7 complete 7 THROTTLED PlanThrottle"]);
}

#[test]
fn observers_that_panic_are_ignored_also_while_a_request_panics() {
    let (layer, lines) = log(&ManualClock::at_unix_seconds(0));
    let faulty = |_: &RequestEvent<'_>| resume_unwind(Box::new("observer"));
    let service =
        ObserveLayer::new().observer(faulty).layer(layer.layer(service_fn(|_: Request<()>| async {
            resume_unwind(Box::new("handler"));
            #[allow(unreachable_code, reason = "names the type")]
            Ok::<_, Infallible>(Response::new(Steps::default()))
        })));
    assert!(catch_unwind(AssertUnwindSafe(|| now_or_never(service.oneshot(request(Method::GET))))).is_err());
    assert_eq!(lines.lock().unwrap().len(), 1);
}

#[test]
fn a_sink_may_log_itself() {
    let (inner, lines) = log(&ManualClock::at_unix_seconds(0));
    let answer = |_: Request<()>| async { Ok::<_, Infallible>(with_status(204, Steps::default())) };
    let sink = move |_: &str, _: &RequestEvent<'_>| {
        drop(now_or_never(inner.clone().layer(service_fn(answer)).oneshot(request(Method::GET))));
    };
    let format = AccessLogFormat::preset(LogApi::Rest, LogPreset::Csv);
    let service = AccessLogLayer::new(AccessLog::new(format, sink)).layer(service_fn(answer));
    drop(now_or_never(service.oneshot(request(Method::GET))).unwrap());
    assert_eq!(*lines.lock().unwrap(), ["204 0 complete 0 - -"]);
}

#[test]
fn integration_latency_and_status_are_noted_and_variables_are_found_by_name() {
    let manual = ManualClock::at_unix_seconds(1_795_331_880);
    let clock = manual.clock();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&seen);
    let observer = move |event: &RequestEvent<'_>| {
        let names =
            ["integrationLatency", "integration.status", "status", "requestTime", "accountId", "nope"];
        *kept.lock().unwrap() =
            names.map(|name| event.variable(name).unwrap_or("-".into()).into_owned()).to_vec();
    };
    let service = ObserveLayer::new()
        .observer(observer)
        .clock(clock.clone())
        .api(ApiInfo::new("pets").account_id("123456789012"))
        .layer(IntegrationTimerLayer::new().clock(clock).layer(service_fn(move |_: Request<()>| {
            let manual = manual.clone();
            async move {
                manual.advance(Duration::from_micros(40_500));
                Ok::<_, Infallible>(with_status(418, Steps { knows_end: true, ..Steps::default() }))
            }
        })));
    drop(now_or_never(service.oneshot(request(Method::GET))).unwrap());
    let wanted = ["40", "418", "418", "22/Nov/2026:07:18:00 +0000", "123456789012", "-"];
    assert_eq!(*seen.lock().unwrap(), wanted);
}

/// An observer that measures as little as it can, unless told.
struct HeadTimes {
    needed: bool,
    seen: Arc<Mutex<Vec<Option<Duration>>>>,
}

impl Observer for HeadTimes {
    fn ended(&self, event: &RequestEvent<'_>) {
        self.seen.lock().unwrap().push(event.time_to_head());
    }

    fn needs_time_to_head(&self) -> bool {
        self.needed
    }
}

#[test]
fn the_time_to_the_head_is_measured_where_an_observer_needs_it() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let times = |needed| HeadTimes { needed, seen: Arc::clone(&seen) };
    let ask = |layer: ObserveLayer| {
        let manual = ManualClock::at_unix_seconds(0);
        let service = layer.clock(manual.clock()).layer(service_fn(move |_: Request<()>| {
            manual.advance(Duration::from_millis(3));
            std::future::ready(Ok::<_, Infallible>(with_status(204, Steps::default())))
        }));
        drop(now_or_never(service.oneshot(request(Method::GET))).unwrap());
        std::mem::take(&mut *seen.lock().unwrap())
    };
    let measured = Some(Duration::from_millis(3));
    assert_eq!(ask(ObserveLayer::new().observer(times(false))), [None]);
    assert_eq!(ask(ObserveLayer::new().observer(times(false)).observer(times(true))), [measured; 2]);
    let function = |_: &RequestEvent<'_>| ();
    assert_eq!(ask(ObserveLayer::new().observer(function).observer(times(false))), [measured], "it may ask");
}
