//! The least that limits by key can be: the digest of the key, which is all that is kept of it, one look-up by it, one lock
//! over a bucket and a quota, one over the bucket of the stage, and the two fields on the answer. No context is read but its
//! time, no method matched, no plan looked up, nothing edited, given back or told to anybody.

use axum::body::Body;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use pin_project_lite::pin_project;
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    convert::Infallible,
    fmt::Write,
    future::Future,
    hash::{BuildHasherDefault, Hasher},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};
use tower::Service;
use tower_gateway::context::RequestContext;

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const POLICY: HeaderValue =
    HeaderValue::from_static(r#""throttle";q=100000000;w=1, "quota";q=1000000000000;w=2592000"#);
const BURST: i64 = 100_000_000;
const RATE: i64 = 100_000_000;

/// A digest needs no hashing.
#[derive(Default)]
struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
    }
}

#[derive(Default)]
struct Bucket {
    tokens: i64,
    filled_to: i64,
}

impl Bucket {
    fn take(&mut self, now: i64) -> bool {
        let more = (now - self.filled_to).saturating_mul(RATE) / 1_000;
        self.tokens = self.tokens.saturating_add(more).min(BURST);
        self.filled_to = now;
        self.tokens -= 1;
        self.tokens >= 0
    }
}

#[derive(Default)]
struct Entry {
    bucket: Bucket,
    used: u64,
}

type Index = HashMap<[u8; 32], usize, BuildHasherDefault<FirstBytes>>;

struct Table {
    index: Index,
    entries: Vec<Mutex<Entry>>,
    stage: Mutex<Bucket>,
}

#[derive(Clone)]
pub struct Limited<S> {
    inner: S,
    table: Arc<Table>,
}

impl<S> Limited<S> {
    pub fn new(inner: S, keys: impl Iterator<Item = String>) -> Self {
        let index: Index = keys.enumerate().map(|(at, key)| (Sha256::digest(key).into(), at)).collect();
        let entries = index.iter().map(|_| Mutex::default()).collect();
        Self { inner, table: Arc::new(Table { index, entries, stage: Mutex::default() }) }
    }

    /// What is left of both, where the request may pass.
    fn charge(&self, request: &Request<Body>) -> Option<(i64, u64)> {
        let now = RequestContext::of(request.extensions())?.arrived().unix_millis();
        let digest: [u8; 32] = Sha256::digest(request.headers().get("x-api-key")?.as_bytes()).into();
        let mut entry = self.table.entries[*self.table.index.get(&digest)?].lock().ok()?;
        let mut stage = self.table.stage.lock().ok()?;
        if !entry.bucket.take(now) || !stage.take(now) {
            return None;
        }
        entry.used += 1;
        Some((entry.bucket.tokens, 1_000_000_000_000 - entry.used))
    }
}

impl<S> Service<Request<Body>> for Limited<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = LimitedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let left = self.charge(&request);
        LimitedFuture { future: self.inner.call(request), left }
    }
}

pin_project! {
    pub struct LimitedFuture<F> {
        #[pin]
        future: F,
        left: Option<(i64, u64)>,
    }
}

impl<F> Future for LimitedFuture<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(mut response) = ready!(this.future.poll(cx));
        let Some((tokens, quota)) = *this.left else {
            *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            return Poll::Ready(Ok(response));
        };
        let mut text = String::with_capacity(64);
        let _ = write!(text, "\"throttle\";r={tokens};t=1, \"quota\";r={quota};t=2592000");
        let headers = response.headers_mut();
        headers.insert(RATELIMIT_POLICY, POLICY);
        if let Ok(field) = HeaderValue::try_from(text) {
            headers.insert(RATELIMIT, field);
        }
        Poll::Ready(Ok(response))
    }
}
