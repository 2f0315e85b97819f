//! Waits for a store that has to fetch a key, and for the body.

use super::{
    collect::Collector,
    config::{Config, Parts, Pending, store_failed},
    credentials::Credentials,
    refusal::Refusal,
    service::{BodyMap, Step, admit, resume},
    store::LookupFuture,
    stream::Watch,
};
use crate::{body::BoxError, context::RequestContext, response::Cause, response::GatewayError};
use bytes::Bytes;
use http::{Request, Response, request};
use http_body::Body;
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tower_service::Service;

pin_project! {
    /// Response future of [`SigV4AuthService`](super::SigV4AuthService). Dropped, it leaves nothing behind: the service
    /// inside has either been called or not.
    pub struct SigV4AuthFuture<S, B, F, R, M> {
        #[pin]
        state: State<S, B, F, R>,
        map: PhantomData<fn() -> M>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B, F, R> {
        Forwarded { #[pin] future: F },
        Streaming { #[pin] future: F, watch: Watch },
        Refused { response: Option<Box<Response<R>>> },
        Collecting { #[pin] body: B, waiting: Option<Collecting<S>> },
        Looking { lookup: LookupFuture, waiting: Option<Box<Looking<S, B>>> },
    }
}

/// A request whose body is on its way, and the service that is ready for it.
pub(super) struct Collecting<S> {
    pub(super) head: request::Parts,
    pub(super) pending: Pending,
    pub(super) collector: Collector,
    pub(super) context: RequestContext,
    pub(super) inner: S,
    pub(super) config: Arc<Config>,
}

/// A request whose access key is being fetched.
pub(super) struct Looking<S, B> {
    pub(super) request: Request<B>,
    pub(super) context: RequestContext,
    pub(super) now: i64,
    pub(super) inner: S,
    pub(super) config: Arc<Config>,
}

impl<S, B, F, R, M> SigV4AuthFuture<S, B, F, R, M> {
    fn new(state: State<S, B, F, R>) -> Self {
        Self { state, map: PhantomData }
    }

    pub(super) fn forwarded(future: F) -> Self {
        Self::new(State::Forwarded { future })
    }

    pub(super) fn streaming(future: F, watch: Watch) -> Self {
        Self::new(State::Streaming { future, watch })
    }

    pub(super) fn refused(response: Response<R>) -> Self {
        Self::new(State::Refused { response: Some(Box::new(response)) })
    }

    pub(super) fn collecting(body: B, waiting: Collecting<S>) -> Self {
        Self::new(State::Collecting { body, waiting: Some(waiting) })
    }

    pub(super) fn looking(lookup: LookupFuture, waiting: Looking<S, B>) -> Self {
        Self::new(State::Looking { lookup, waiting: Some(Box::new(waiting)) })
    }
}

impl<S, B, F, R, M> fmt::Debug for SigV4AuthFuture<S, B, F, R, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigV4AuthFuture").finish_non_exhaustive()
    }
}

impl<S, B, R, M> Future for SigV4AuthFuture<S, B, S::Future, R, M>
where
    S: Service<Request<M::Out>, Response = Response<R>>,
    M: BodyMap<B>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
    R: From<Bytes>,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let next = match self.as_mut().project().state.project() {
                StateProj::Forwarded { future } => return future.poll(cx),
                StateProj::Streaming { future, watch } => return watch.replace(future.poll(cx)),
                StateProj::Refused { response } => {
                    return response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(*response)));
                }
                StateProj::Collecting { body, waiting } => {
                    let collected = ready!(collect(body, waiting, cx));
                    let Some(waiting) = waiting.take() else { return Poll::Pending };
                    waiting.finish::<B, M, R>(collected)
                }
                StateProj::Looking { lookup, waiting } => {
                    let found = ready!(lookup.as_mut().poll(cx));
                    let Some(waiting) = waiting.take() else { return Poll::Pending };
                    waiting.resume::<M, R>(found)
                }
            };
            self.as_mut().project().state.set(next);
        }
    }
}

/// Reads the body to its end, or until it is refused.
fn collect<B, S>(
    mut body: Pin<&mut B>,
    waiting: &mut Option<Collecting<S>>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), GatewayError>>
where
    B: Body<Data = Bytes>,
{
    let Some(Collecting { collector, .. }) = waiting else { return Poll::Pending };
    while let Some(frame) = ready!(body.as_mut().poll_frame(cx)) {
        // A limit outside that cut the body off answers in our place.
        let pushed = frame
            .map_err(|_| GatewayError::bad_request(Cause::BodyUnreadable))
            .and_then(|frame| collector.push(frame));
        if let Err(error) = pushed {
            return Poll::Ready(Err(error));
        }
        if body.is_end_stream() {
            break;
        }
    }
    Poll::Ready(Ok(()))
}

impl<S> Collecting<S> {
    fn finish<B, M, R>(mut self, collected: Result<(), GatewayError>) -> State<S, B, S::Future, R>
    where
        S: Service<Request<M::Out>>,
        M: BodyMap<B>,
        R: From<Bytes>,
    {
        let (body, payload) = self.collector.finish();
        let parts = Parts {
            context: &self.context,
            method: &self.head.method,
            uri: &self.head.uri,
            headers: &self.head.headers,
            extensions: &self.head.extensions,
        };
        let judged = collected.map_err(Refusal::from);
        let judged = judged.and_then(|()| self.config.judge(&parts, &self.pending, payload));
        if let Err(refusal) = judged {
            return State::Refused {
                response: Some(Box::new(refusal.answer(&self.context, &self.config.context.clock))),
            };
        }
        let mut request = Request::from_parts(self.head, M::Out::from(body));
        self.config.strip(&mut request, &self.pending);
        State::Forwarded { future: self.inner.call(request) }
    }
}

impl<S, B> Looking<S, B> {
    fn resume<M, R>(mut self, found: Result<Option<Credentials>, BoxError>) -> State<S, B, S::Future, R>
    where
        S: Service<Request<M::Out>>,
        M: BodyMap<B>,
        B: Body<Data = Bytes>,
        R: From<Bytes>,
    {
        let clock = self.config.context.clock.clone();
        let refused = |refusal: Refusal, context| State::Refused {
            response: Some(Box::new(refusal.answer(context, &clock))),
        };
        let parts = Parts::of(&self.context, &self.request);
        let found = found.map_err(|_| store_failed());
        let pending = match found.and_then(|found| resume(&self.config, &parts, found, self.now)) {
            Ok(pending) => pending,
            Err(refusal) => return refused(refusal, &self.context),
        };
        match admit(&self.config, &self.context, &mut self.request, &pending) {
            Step::Forward => State::Forwarded { future: self.inner.call(self.request.map(M::pass)) },
            Step::Stream(check, watch) => {
                let request = self.request.map(|body| M::checked(body, check));
                State::Streaming { future: self.inner.call(request), watch }
            }
            Step::Refuse(refusal) => refused(refusal, &self.context),
            Step::Collect(collector) => {
                let (head, body) = self.request.into_parts();
                let (context, inner, config) = (self.context, self.inner, self.config);
                let waiting = Collecting { head, pending, collector, context, inner, config };
                State::Collecting { body, waiting: Some(waiting) }
            }
        }
    }
}
