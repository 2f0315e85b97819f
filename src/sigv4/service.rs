//! The service: what is known at once is decided at once, the rest in the future.

use super::{
    collect::{Collector, check_announced},
    config::{Config, Parts, Pending, unknown_key},
    credentials::Credentials,
    future::{Collecting, Looking, SigV4AuthFuture},
    refusal::Refusal,
    store::{Lookup, LookupFuture},
    stream::{self, Watch},
    verifier::Payload,
};
use crate::{
    body::{BodyCheck, BoxError, GatewayBody},
    context::RequestContext,
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

/// What becomes of a request's body on its way to the service.
pub trait BodyMap<B> {
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

/// What the head of a request leads to. The request stays where it is: it is large, and moving it costs.
pub(super) enum Step {
    /// Verified and authorized: the service's turn.
    Forward,
    /// Verified and authorized by the hash that the request names; the body is checked on its way.
    Stream(BodyCheck, Watch),
    /// The body is to be read first.
    Collect(Collector),
    Refuse(Refusal),
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
        let now = clock.now().unix_seconds();
        let pending = match examine(config, &Parts::of(&context, &request), now) {
            Ok(Head::Known(pending)) => pending,
            Ok(Head::Fetch(lookup)) => {
                let (inner, config) = (self.take_ready(), Arc::clone(&self.config));
                return SigV4AuthFuture::looking(lookup, Looking { request, context, now, inner, config });
            }
            Err(refusal) => return SigV4AuthFuture::refused(refusal.answer(&context, clock)),
        };
        match admit(config, &context, &mut request, &pending) {
            Step::Forward => SigV4AuthFuture::forwarded(self.inner.call(request.map(M::pass))),
            Step::Stream(check, watch) => {
                let request = request.map(|body| M::checked(body, check));
                SigV4AuthFuture::streaming(self.inner.call(request), watch)
            }
            Step::Refuse(refusal) => SigV4AuthFuture::refused(refusal.answer(&context, clock)),
            Step::Collect(collector) => {
                let (head, body) = request.into_parts();
                let (inner, config) = (self.take_ready(), Arc::clone(&self.config));
                SigV4AuthFuture::collecting(
                    body,
                    Collecting { head, pending, collector, context, inner, config },
                )
            }
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

/// What is known once the store was asked.
#[allow(clippy::large_enum_variant, reason = "lives for a moment, and a box would cost an allocation")]
enum Head {
    Known(Pending),
    Fetch(LookupFuture),
}

/// Examines the head, and asks the store.
fn examine(config: &Config, parts: &Parts<'_>, now: i64) -> Result<Head, Refusal> {
    let claims = config.examine(parts, now)?;
    match config.store.lookup(claims.access_key()) {
        Lookup::Found(credentials) => Ok(Head::Known(config.prepare(parts, &claims, credentials, now)?)),
        Lookup::Unknown => Err(unknown_key()),
        Lookup::Pending(lookup) => Ok(Head::Fetch(lookup)),
    }
}

/// The store's answer has come later; the head is read once more, because nothing of it was kept.
pub(super) fn resume(
    config: &Config,
    parts: &Parts<'_>,
    found: Option<Credentials>,
    now: i64,
) -> Result<Pending, Refusal> {
    let claims = config.examine(parts, now)?;
    config.prepare(parts, &claims, found.ok_or_else(unknown_key)?, now)
}

/// Decides at once where the body does not matter, is none, or streams.
pub(super) fn admit<B: Body>(
    config: &Config,
    context: &RequestContext,
    request: &mut Request<B>,
    pending: &Pending,
) -> Step {
    if pending.is_unsigned {
        return judge(config, context, request, pending, Payload::Unsigned);
    }
    if request.body().is_end_stream() {
        return judge(config, context, request, pending, Payload::EMPTY);
    }
    if let Some(hash) = config.streamed_hash(&Parts::of(context, request)) {
        return match judge(config, context, request, pending, Payload::Sha256(hash)) {
            Step::Forward => {
                let (check, watch) = stream::check(hash, context);
                Step::Stream(check, watch)
            }
            refused => refused,
        };
    }
    let limit = config.body_limit(&Parts::of(context, request));
    match check_announced(request.headers(), request.body(), limit) {
        Ok(()) => Step::Collect(Collector::new(limit)),
        Err(error) => Step::Refuse(error.into()),
    }
}

fn judge<B>(
    config: &Config,
    context: &RequestContext,
    request: &mut Request<B>,
    pending: &Pending,
    payload: Payload,
) -> Step {
    if let Err(refusal) = config.judge(&Parts::of(context, request), pending, payload) {
        return Step::Refuse(refusal);
    }
    config.strip(request, pending);
    Step::Forward
}
