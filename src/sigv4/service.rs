//! The service: what is known at once is decided at once, the rest in the future.

use super::{
    config::{Config, Judged, Parts},
    future::{Looking, SigV4AuthFuture},
};
use crate::{
    body::{BodyCheck, BoxError, GatewayBody},
    future::sealed::Sealed,
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use std::{
    fmt,
    marker::PhantomData,
    mem,
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

/// What becomes of a request's body on its way to the service. [`Wrap`] and `Keep` implement it, and nobody else can.
pub trait BodyMap<B>: Sealed {
    /// The body that the service gets.
    type Out: From<Bytes>;

    /// Passes a body on that was not read.
    fn pass(body: B) -> Self::Out;

    /// Passes a body on that is judged while it streams.
    fn checked(body: B, check: BodyCheck) -> Self::Out;
}

/// The service gets [`GatewayBody`].
#[derive(Clone, Copy, Debug)]
pub struct Wrap;

impl Sealed for Wrap {}

impl<B> BodyMap<B> for Wrap {
    type Out = GatewayBody<B>;

    fn pass(body: B) -> GatewayBody<B> {
        GatewayBody::new(body)
    }

    fn checked(body: B, check: BodyCheck) -> GatewayBody<B> {
        let mut body = GatewayBody::new(body);
        body.set_check(check);
        body
    }
}

/// The service gets the [`GatewayBody`] that the request has already.
#[derive(Clone, Copy, Debug)]
pub struct Keep;

impl Sealed for Keep {}

impl<B> BodyMap<GatewayBody<B>> for Keep {
    type Out = GatewayBody<B>;

    fn pass(body: GatewayBody<B>) -> GatewayBody<B> {
        body
    }

    fn checked(mut body: GatewayBody<B>, check: BodyCheck) -> GatewayBody<B> {
        body.set_check(check);
        body
    }
}

/// The service of [`SigV4AuthLayer`](super::SigV4AuthLayer): the service inside gets its request body as
/// [`GatewayBody`].
pub struct SigV4AuthService<S, M = Wrap> {
    inner: S,
    config: Arc<Config>,
    map: PhantomData<fn() -> M>,
}

impl<S, M> SigV4AuthService<S, M> {
    pub(super) fn new(inner: S, config: Arc<Config>) -> Self {
        Self { inner, config, map: PhantomData }
    }
}

impl<S: Clone, M> Clone for SigV4AuthService<S, M> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), Arc::clone(&self.config))
    }
}

impl<S, M> fmt::Debug for SigV4AuthService<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigV4AuthService").field(&self.config).finish()
    }
}

impl<S, B, R, M> Service<Request<B>> for SigV4AuthService<S, M>
where
    S: Service<Request<M::Out>, Response = Response<R>> + Clone,
    M: BodyMap<B>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
    R: From<Bytes>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = SigV4AuthFuture<S, B, S::Future, R, M>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let config = &*self.config;
        let context = config.context.find_or_create(&mut request);
        if !config.is_required(&context, request.method(), request.uri().path()) {
            return SigV4AuthFuture::forwarded(self.inner.call(request.map(M::pass)));
        }
        let clock = &config.context.clock;
        context.begin_authentication(clock);
        let is_empty = request.body().is_end_stream();
        let Some(ahead) = config.ahead(&Parts::of(&context, &request), is_empty) else {
            let (inner, config) = (self.take_ready(), Arc::clone(&self.config));
            return SigV4AuthFuture::reading(request, context, inner, config);
        };
        let now = clock.now().unix_seconds();
        match config.judge_now(&Parts::of(&context, &request), &ahead.payload(), now) {
            Ok(Judged::Admitted(admitted)) => {
                config.strip(&mut request, admitted);
                SigV4AuthFuture::passed_on(&mut self.inner, request, &context, ahead)
            }
            Ok(Judged::Fetch(lookup)) => {
                let (inner, config) = (self.take_ready(), Arc::clone(&self.config));
                let looking = Looking { request, context, ahead, now, inner, config };
                SigV4AuthFuture::looking(lookup, looking)
            }
            Err(refusal) => SigV4AuthFuture::refused(refusal.answer(&context, clock)),
        }
    }
}

impl<S: Clone, M> SigV4AuthService<S, M> {
    /// The instance that was polled ready; a fresh clone takes its place.
    fn take_ready(&mut self) -> S {
        let fresh = self.inner.clone();
        mem::replace(&mut self.inner, fresh)
    }
}
