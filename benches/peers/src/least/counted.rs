//! The least that counting can be: a guard that goes with the request and with the body of its answer, one reading of the
//! clock at the end of that, and four additions. No labels, no look-up, no buckets, nothing for a panic. What such a guard
//! costs over the floor is out of every metrics layer's hands.

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use pin_project_lite::pin_project;
use std::{
    convert::Infallible,
    future::Future,
    hint::black_box,
    mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Instant,
};
use tower::Service;
use tower_gateway::context::RequestContext;

/// Counts of all requests together.
#[derive(Debug)]
pub struct Counts {
    begun: Instant,
    requests: AtomicU64,
    statuses: AtomicU64,
    bytes: AtomicU64,
    nanos: AtomicU64,
}

#[derive(Clone)]
pub struct Counted<S> {
    inner: S,
    counts: Arc<Counts>,
}

impl<S> Counted<S> {
    pub fn new(inner: S) -> Self {
        let counts = Counts {
            begun: Instant::now(),
            requests: AtomicU64::new(0),
            statuses: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            nanos: AtomicU64::new(0),
        };
        Self { inner, counts: Arc::new(counts) }
    }
}

impl<S> Service<Request<Body>> for Counted<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<CountedBody>;
    type Error = Infallible;
    type Future = CountedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let context = RequestContext::of(request.extensions()).expect("the layer outside made it").clone();
        let guard = Guard { counts: Arc::clone(&self.counts), context, status: 0, length: 0, told: false };
        CountedFuture { future: self.inner.call(request), guard: Some(guard) }
    }
}

struct Guard {
    counts: Arc<Counts>,
    context: RequestContext,
    status: u16,
    length: u64,
    told: bool,
}

impl Guard {
    fn tell(&mut self) {
        if !mem::replace(&mut self.told, true) {
            black_box(self.context.arrived());
            let counts = &self.counts;
            counts.requests.fetch_add(1, Relaxed);
            counts.statuses.fetch_add(u64::from(self.status), Relaxed);
            counts.bytes.fetch_add(self.length, Relaxed);
            counts.nanos.fetch_add(counts.begun.elapsed().as_nanos() as u64, Relaxed);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.tell();
    }
}

pin_project! {
    pub struct CountedFuture<F> {
        #[pin]
        future: F,
        guard: Option<Guard>,
    }
}

impl<F> Future for CountedFuture<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    type Output = Result<Response<CountedBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(response) = ready!(this.future.poll(cx));
        let mut guard = this.guard.take().expect("polled once after its end");
        guard.status = response.status().as_u16();
        Poll::Ready(Ok(response.map(|body| CountedBody { body, guard })))
    }
}

pin_project! {
    pub struct CountedBody {
        #[pin]
        body: Body,
        guard: Guard,
    }
}

impl HttpBody for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.project();
        let polled = this.body.poll_frame(cx);
        match &polled {
            Poll::Ready(None) => this.guard.tell(),
            Poll::Ready(Some(Ok(frame))) => {
                this.guard.length += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            _ => {}
        }
        polled
    }
}
