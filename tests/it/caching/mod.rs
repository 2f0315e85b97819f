//! The cache: what is shared and with whom, one call per key, and nothing left behind.
#![allow(unreachable_pub, reason = "what the modules of this promise share")]

/// What a store of a test does as the one in memory that it has in its field `memory`.
macro_rules! as_memory {
    ($($method:ident),*) => { $(as_memory!(@ $method);)* };
    (@ get) => {
        fn get(&self, key: StoreKey<'_>) -> Option<StoredValue> {
            self.memory.get(key)
        }
    };
    (@ insert) => {
        fn insert(&self, key: &StoredKey, value: StoredValue) -> bool {
            self.memory.insert(key, value)
        }
    };
    (@ remove) => {
        fn remove(&self, key: StoreKey<'_>) {
            self.memory.remove(key);
        }
    };
    (@ retain) => {
        fn retain(&self, keep: &mut dyn FnMut(&[u8], &StoredValue) -> bool) {
            self.memory.retain(keep);
        }
    };
    (@ usage) => {
        fn usage(&self) -> StoreUsage {
            self.memory.usage()
        }
    };
}

mod aws;
#[cfg(all(feature = "authorizer", feature = "jwt", feature = "mtls"))]
mod callers;
mod coalescing;
mod gateway;
mod hot;
mod identity;
mod keys;
mod logged;
mod memory;
mod purging;
mod servers;
mod streaming;
mod tiers;
mod unsafe_methods;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};
use tower::{Layer, Service, ServiceExt};
use tower_gateway::{
    GatewayBody,
    cache::{Cache, CacheBuilder, CacheLayer, CacheService},
    clock::ManualClock,
};

/// A body that is `Send` and not `Sync`, as axum's.
pub type TestBody = UnsyncBoxBody<Bytes, TestError>;

/// An error of the service's own. (Not a `Box<dyn Error>`, about whose lifetime rustc is wrong in spawned futures.)
#[derive(Debug, PartialEq)]
pub struct TestError(pub String);

impl std::fmt::Display for TestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TestError {}

impl From<&str> for TestError {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for TestError {
    fn from(text: String) -> Self {
        Self(text)
    }
}

pub type Ask = Request<Full<Bytes>>;
type Answer = Response<TestBody>;
type Script = dyn Fn(Ask, usize) -> BoxFuture<'static, Result<Answer, TestError>> + Send + Sync;

/// A service that counts its calls, insists on tower's contract, and answers by a script: the request, and which call
/// it is, from 1.
pub struct Origin {
    ready: bool,
    polls: usize,
    calls: Arc<AtomicUsize>,
    script: Arc<Script>,
}

impl Clone for Origin {
    fn clone(&self) -> Self {
        Self { ready: false, polls: 0, calls: Arc::clone(&self.calls), script: Arc::clone(&self.script) }
    }
}

impl Origin {
    pub fn new<F>(script: impl Fn(Ask, usize) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Answer, TestError>> + Send + 'static,
    {
        let script = move |request, call| Box::pin(script(request, call)) as BoxFuture<'static, _>;
        Self { ready: false, polls: 0, calls: Arc::default(), script: Arc::new(script) }
    }

    /// Answers at once.
    pub fn sync(script: impl Fn(Ask, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::new(move |request, call| std::future::ready(Ok(script(request, call))))
    }

    /// Answers with the number of the call.
    pub fn counting() -> Self {
        Self::sync(|_, call| answer(format!("call {call}")))
    }

    pub fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }
}

impl Service<Ask> for Origin {
    type Response = Answer;
    type Error = TestError;
    type Future = BoxFuture<'static, Result<Answer, TestError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TestError>> {
        self.polls += 1;
        if self.polls == 1 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Ask) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without being ready");
        let call = self.calls.fetch_add(1, SeqCst) + 1;
        (self.script)(request, call)
    }
}

pub fn answer(body: impl Into<Bytes>) -> Answer {
    Response::new(Full::new(body.into()).map_err(|never: Infallible| match never {}).boxed_unsync())
}

pub fn with(mut answer: Answer, name: &'static str, value: &str) -> Answer {
    answer.headers_mut().append(name, value.parse().unwrap());
    answer
}

pub fn status(mut answer: Answer, status: u16) -> Answer {
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer
}

pub type Cached = CacheService<Origin>;

/// A cache on a clock that stands still.
pub fn cached(
    origin: &Origin,
    set: impl FnOnce(CacheBuilder) -> CacheBuilder,
) -> (Cached, Cache, ManualClock) {
    let clock = ManualClock::at_unix_seconds(1_795_331_880);
    let cache = set(Cache::builder().clock(clock.clock())).build().unwrap();
    (CacheLayer::new(cache.clone()).layer(origin.clone()), cache, clock)
}

/// RFC 9111 mode, or that of AWS.
pub fn in_mode(cache: CacheBuilder, is_rfc: bool) -> CacheBuilder {
    if is_rfc { cache.rfc9111(tower_gateway::cache::rfc::Rfc9111::new()) } else { cache }
}

pub async fn send(service: &Cached, request: Ask) -> Result<Response<GatewayBody<TestBody>>, TestError> {
    service.clone().oneshot(request).await
}

pub async fn ask(service: &Cached, request: Ask) -> Response<Bytes> {
    let (parts, body) = send(service, request).await.unwrap().into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

pub async fn text(service: &Cached, uri: &str) -> String {
    said(ask(service, crate::support::get(uri)).await)
}

/// The body of somebody else's call whose length nobody knows.
pub async fn shared(service: &Cached, clock: &ManualClock) -> GatewayBody<TestBody> {
    let mut asked = Box::pin(send(service, crate::support::get("/")));
    assert!(poll_some(&mut asked).await.is_pending(), "it might be too large");
    clock.advance(SECOND / 4);
    asked.await.unwrap().into_body()
}

pub fn said(answer: Response<Bytes>) -> String {
    String::from_utf8(answer.into_body().to_vec()).unwrap()
}

pub fn get_with(uri: &str, headers: &[(&str, &str)]) -> Ask {
    request("GET", uri, headers)
}

pub fn request(method: &str, uri: &str, headers: &[(&str, &str)]) -> Ask {
    let mut builder = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(Full::default()).unwrap()
}

/// Pending that many times, and woken at once.
pub async fn pauses(mut times: usize) {
    std::future::poll_fn(|cx| {
        if times == 0 {
            return Poll::Ready(());
        }
        times -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A body by steps: `None` is a pause.
pub struct Steps(pub VecDeque<Option<Result<Frame<Bytes>, TestError>>>);

impl Steps {
    /// The texts, with a pause before each and at the end.
    pub fn slow(texts: &[&'static str]) -> TestBody {
        let steps =
            texts.iter().flat_map(|text| [None, Some(Ok(Frame::data(Bytes::from_static(text.as_bytes()))))]);
        Self(steps.chain([None]).collect()).boxed_unsync()
    }
}

impl Body for Steps {
    type Data = Bytes;
    type Error = TestError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TestError>>> {
        match self.0.pop_front() {
            Some(None) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            step => Poll::Ready(step.flatten()),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

pub const SECOND: Duration = Duration::from_secs(1);

pub async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    let mut future = Pin::new(future);
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Polls until it stands still: readiness comes at the second poll only.
pub async fn poll_some<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    for _ in 0..5 {
        if let Poll::Ready(out) = poll_once(future).await {
            return Poll::Ready(out);
        }
    }
    Poll::Pending
}

/// Polls many futures in one until each stands still: a set polls a few of them at a time.
pub async fn settle<F: Future + Unpin>(all: &mut F) -> Poll<F::Output> {
    for _ in 0..3_000 {
        if let Poll::Ready(out) = poll_once(all).await {
            return Poll::Ready(out);
        }
    }
    Poll::Pending
}
