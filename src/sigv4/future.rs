//! Waits for a store that has to fetch a key, and for the body.

use super::{
    config::{Admitted, Ahead, Config, Known, Parts, store_failed, unknown_key},
    credentials::Credentials,
    reading::{Read, Reading},
    refusal::Refusal,
    service::BodyMap,
    store::LookupFuture,
    stream::{self, Watch},
};
use crate::{body::BoxError, context::RequestContext};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    mem,
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
        Reading { #[pin] body: B, reading: Reading<S> },
        Looking { lookup: LookupFuture, waiting: Option<Box<Looking<S, B>>> },
    }
}

/// A request whose access key is being fetched, and whose body does not matter.
pub(super) struct Looking<S, B> {
    pub(super) request: Request<B>,
    pub(super) context: RequestContext,
    pub(super) ahead: Ahead,
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

    pub(super) fn refused(response: Response<R>) -> Self {
        Self::new(State::Refused { response: Some(Box::new(response)) })
    }

    pub(super) fn reading(
        request: Request<B>,
        context: RequestContext,
        inner: S,
        config: Arc<Config>,
    ) -> Self {
        let (head, body) = request.into_parts();
        let reading = Reading::new(Request::from_parts(head, ()), context, inner, config);
        Self::new(State::Reading { body, reading })
    }

    pub(super) fn looking(lookup: LookupFuture, waiting: Looking<S, B>) -> Self {
        Self::new(State::Looking { lookup, waiting: Some(Box::new(waiting)) })
    }
}

impl<S, B, R, M> SigV4AuthFuture<S, B, S::Future, R, M>
where
    S: Service<Request<M::Out>>,
    M: BodyMap<B>,
{
    /// The service's turn.
    pub(super) fn passed_on(
        inner: &mut S,
        request: Request<B>,
        context: &RequestContext,
        ahead: Ahead,
    ) -> Self {
        Self::new(pass_on::<S, B, R, M>(inner, request, context, ahead))
    }
}

/// The service makes its future in the place where it stays.
#[inline]
fn pass_on<S, B, R, M>(
    inner: &mut S,
    request: Request<B>,
    context: &RequestContext,
    ahead: Ahead,
) -> State<S, B, S::Future, R>
where
    S: Service<Request<M::Out>>,
    M: BodyMap<B>,
{
    match ahead {
        Ahead::Known(_) => State::Forwarded { future: inner.call(request.map(M::pass)) },
        Ahead::Named(hash) => {
            let (check, watch) = stream::check(hash, context);
            let request = request.map(|body| M::checked(body, check));
            State::Streaming { future: inner.call(request), watch }
        }
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
            let mut state = self.as_mut().project().state;
            match state.as_mut().project() {
                StateProj::Forwarded { future } => return future.poll(cx),
                StateProj::Streaming { future, watch } => return watch.replace(future.poll(cx)),
                StateProj::Refused { response } => {
                    return response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(*response)));
                }
                StateProj::Reading { body, reading } => {
                    let read = ready!(reading.poll(body, cx));
                    let next = reading.next::<B, M, R>(read);
                    state.set(next);
                }
                StateProj::Looking { lookup, waiting } => {
                    let found = ready!(lookup.as_mut().poll(cx));
                    let Some(waiting) = waiting.take() else { return Poll::Pending };
                    state.set(waiting.resume::<M, R>(found));
                }
            }
        }
    }
}

impl<S> Reading<S> {
    /// What is needed no longer stays in its place, to be dropped there: what lived across the call would have the
    /// service's future copied.
    fn next<B, M, R>(&mut self, read: Read) -> State<S, B, S::Future, R>
    where
        S: Service<Request<M::Out>>,
        M: BodyMap<B>,
        R: From<Bytes>,
    {
        match read {
            Ok((body, admitted)) => {
                self.config.strip(&mut self.head, admitted);
                let request = mem::take(&mut self.head).map(|()| M::Out::from(body));
                State::Forwarded { future: self.inner.call(request) }
            }
            Err(refusal) => State::refused(refusal, &self.context, &self.config),
        }
    }
}

impl<S, B> Looking<S, B> {
    fn resume<M, R>(mut self, found: Result<Option<Credentials>, BoxError>) -> State<S, B, S::Future, R>
    where
        S: Service<Request<M::Out>>,
        M: BodyMap<B>,
        R: From<Bytes>,
    {
        match self.judge(found) {
            Ok(admitted) => {
                self.config.strip(&mut self.request, admitted);
                pass_on::<S, B, R, M>(&mut self.inner, self.request, &self.context, self.ahead)
            }
            Err(refusal) => State::refused(refusal, &self.context, &self.config),
        }
    }

    fn judge(&self, found: Result<Option<Credentials>, BoxError>) -> Result<Admitted, Refusal> {
        let credentials = found.map_err(|_| store_failed())?.ok_or_else(unknown_key)?;
        let (parts, known) = (Parts::of(&self.context, &self.request), Known { credentials, now: self.now });
        self.config.judge_late(&parts, &known, &self.ahead.payload())
    }
}

impl<S, B, F, R: From<Bytes>> State<S, B, F, R> {
    fn refused(refusal: Refusal, context: &RequestContext, config: &Config) -> Self {
        let response = refusal.answer(context, &config.context.clock);
        Self::Refused { response: Some(Box::new(response)) }
    }
}
