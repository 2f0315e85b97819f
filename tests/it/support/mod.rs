//! What the tests share: a service that insists on tower's contract, and a reader of outside vectors.
#![allow(dead_code, unreachable_pub, reason = "each feature set uses a part of it")]

#[cfg(feature = "redis")]
pub mod redis_server;
#[cfg(feature = "cache")]
pub mod shared_tier;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use std::{
    convert::Infallible,
    future::{Ready, ready},
    io::Write as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::{Layer, Service, ServiceExt};

/// An inner service that panics when it is called without having been polled ready, counts its calls, and is not
/// ready at first. A clone is unready again.
#[derive(Debug, Default)]
pub struct Strict {
    ready: bool,
    polls: usize,
    pub calls: Arc<AtomicUsize>,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self { ready: false, polls: 0, calls: Arc::clone(&self.calls) }
    }
}

impl Strict {
    pub fn called(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl<B> Service<Request<B>> for Strict {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.polls += 1;
        if self.polls == 1 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without being ready");
        self.calls.fetch_add(1, Ordering::SeqCst);
        ready(Ok(Response::new(Full::from("inner"))))
    }
}

/// Runs one request through `layer` around a [`Strict`] service and gives back the answer and the number of calls.
pub async fn through<L>(layer: L, request: Request<Full<Bytes>>) -> (Response<Bytes>, usize)
where
    L: Layer<Strict>,
    L::Service: Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = Infallible>,
{
    let strict = Strict::default();
    let answer = layer.layer(strict.clone()).oneshot(request).await.unwrap();
    let (parts, body) = answer.into_parts();
    (Response::from_parts(parts, body.collect().await.unwrap().to_bytes()), strict.called())
}

/// A request without a body.
pub fn get(uri: &str) -> Request<Full<Bytes>> {
    Request::builder().uri(uri).body(Full::default()).unwrap()
}

/// What a plain hyper server around a service answers to raw bytes, and how its connection has ended.
pub async fn over_hyper<S, R>(service: S, bytes: &[u8]) -> (String, hyper::Result<()>)
where
    S: Service<Request<hyper::body::Incoming>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Future: Send,
    R: http_body::Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(
        hyper_util::rt::TokioIo::new(server),
        hyper_util::service::TowerToHyperService::new(service),
    );
    let serving = tokio::spawn(connection);
    client.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    (String::from_utf8(answer).unwrap(), serving.await.unwrap())
}

/// A current-thread runtime's `block_on`.
pub fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Whether the slow forms of tests are wanted: `LONG=1`.
pub fn is_long() -> bool {
    std::env::var_os("LONG").is_some()
}

/// Says what a test left out. Written past the capture of test output, so that plain `cargo test` shows it.
pub fn left_out(what: &str) {
    let _nobody_reads = writeln!(std::io::stderr(), "left out: {what}");
}

/// A file of the outside vectors, parsed; `None` (and one line) where they are not there, as in a user's clone.
pub fn vectors(file: &str) -> Option<serde_json::Value> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors").join(file);
    match std::fs::read(&path) {
        Ok(bytes) => Some(serde_json::from_slice(&bytes).unwrap()),
        Err(_) => {
            left_out(&format!("no ../shared/vectors/{file} here"));
            None
        }
    }
}

/// The cases of a feature that were recorded from AWS: as many as are known, or none where the vectors are not there.
pub fn recorded(feature: &str, known: usize) -> Vec<serde_json::Value> {
    let Some(file) = vectors("apigateway-recorded/cases.json") else { return Vec::new() };
    let all = file["cases"].as_array().unwrap().iter();
    let cases: Vec<_> = all.filter(|case| case["feature"] == feature).cloned().collect();
    assert_eq!(cases.len(), known, "recorded cases of {feature}");
    cases
}

/// Compiles only for what axum and hyper servers demand of a service.
pub fn assert_service<S: Clone + Send + Sync + 'static>(_: &S) {}

/// Runs a script with the Python of `.venv`, or the machine's, and gives back what it prints. `None` where there is no
/// Python, or the script ends with status 77: `module` is not installed.
pub fn python(module: &str, script: &str, input: &str) -> Option<String> {
    use std::process::{Command, Stdio};
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    let program = if own.exists() { own } else { PathBuf::from("python3") };
    let mut command = Command::new(program);
    let piped = command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = piped.ok()?;
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    if output.status.code() == Some(77) {
        return None;
    }
    assert!(output.status.success(), "the script with {module} has failed");
    Some(String::from_utf8(output.stdout).unwrap())
}
