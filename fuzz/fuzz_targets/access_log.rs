//! Access logs: whatever a client sends, a request is one line, and valid JSON where the format is. Execution logs with a
//! data trace: every event is one line, and not a long one.
#![no_main]

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, Uri};
use http_body::{Body, Frame};
use libfuzzer_sys::fuzz_target;
use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};
use tower_gateway::{
    context::PrincipalLayer,
    observe::{
        AccessLog, AccessLogFormat, AccessLogLayer, Escaping, ExecutionLog, LogApi, ObserveLayer,
        RequestEvent,
    },
    route::{ExecutionLogging, LoggingLevel},
};
use tower_layer::Layer;
use tower_service::Service;

const FIELDS: [&str; 6] =
    ["requestId", "httpMethod", "path", "domainName", "identity.userAgent", "authorizer.principalId"];

/// Answers without a body.
#[derive(Clone)]
struct Empty;

impl Body for Empty {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }
}

impl Service<Request<()>> for Empty {
    type Response = Response<Self>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Self>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(Ok(Response::new(Self)))
    }
}

fuzz_target!(|sent: (&[u8], &[u8], &str)| {
    let (agent, path, principal) = sent;
    let Some(make) = request(agent, path) else { return };
    let object = AccessLogFormat::json_object(FIELDS.map(|name| (name, name))).expect("a valid format");
    let line = line_of(object, make.clone(), principal);
    let read: serde_json::Value = serde_json::from_str(&line).expect("valid JSON");
    assert_eq!(read["authorizer.principalId"].as_str(), Some(principal).filter(|text| !text.is_empty()));
    execution_lines(make.clone(), principal);
    for escaping in [Escaping::AwsExact, Escaping::Quoted, Escaping::Xml, Escaping::Csv] {
        let text = FIELDS.map(|name| format!("$context.{name}")).join(" ");
        let format = AccessLogFormat::new(LogApi::Rest, &text).expect("a valid format").escaping(escaping);
        line_of(format, make.clone(), principal);
    }
});

fn request(agent: &[u8], path: &[u8]) -> Option<Request<()>> {
    let mut request = Request::new(());
    *request.uri_mut() = Uri::try_from(path).ok()?;
    request.headers_mut().insert(HeaderName::from_static("user-agent"), HeaderValue::from_bytes(agent).ok()?);
    Some(request)
}

/// The one line of a request, checked to be one.
fn line_of(format: AccessLogFormat, request: Request<()>, principal: &str) -> String {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&lines);
    let sink = move |line: &str, _: &RequestEvent<'_>| kept.lock().expect("no panic").push(line.to_owned());
    let principal = principal.to_owned();
    let named = PrincipalLayer::new(move |_| Some(principal.clone()).filter(|text| !text.is_empty()));
    let mut service = AccessLogLayer::new(AccessLog::new(format, sink)).layer(named.layer(Empty));
    let future = pin!(service.call(request));
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(answer)) = future.poll(&mut cx) else { panic!("answers at once") };
    drop(answer);
    let lines = lines.lock().expect("no panic");
    assert_eq!(lines.len(), 1);
    assert!(!lines[0].contains(char::is_control), "{}", lines[0]);
    lines[0].clone()
}

/// Checks the message of every event, and counts them.
struct Lines(Arc<Mutex<usize>>);

impl tracing::field::Visit for &Lines {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            let line = format!("{value:?}");
            assert!(
                line.len() <= 1_024 + 39 + " [TRUNCATED]".len() && !line.contains(char::is_control),
                "{line}"
            );
            *self.0.lock().expect("no panic") += 1;
        }
    }
}

impl tracing::Subscriber for Lines {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "tower_gateway::execution"
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut &*self);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

fn execution_lines(request: Request<()>, principal: &str) {
    let count = Arc::new(Mutex::new(0));
    let traced = ExecutionLogging::new(LoggingLevel::Info).data_trace(true);
    let principal = principal.to_owned();
    let named = PrincipalLayer::new(move |_| Some(principal.clone()).filter(|text| !text.is_empty()));
    let layer = ObserveLayer::new().execution_log(ExecutionLog::new().logging(traced));
    let mut service = layer.layer(named.layer(Empty));
    tracing::subscriber::with_default(Lines(Arc::clone(&count)), || {
        let future = pin!(service.call(request));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(future.poll(&mut cx).is_ready(), "answers at once");
    });
    assert!(*count.lock().expect("no panic") > 5);
}
