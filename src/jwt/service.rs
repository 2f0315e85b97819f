//! The service of both layers.

use super::{
    engine::{Engine, Look, Verdict},
    future::TokenFuture,
    layer::{Asked, Config, judge},
    source::Wait,
};
use crate::{context::RequestContext, future::Next};
use bytes::Bytes;
use http::{Request, Response};
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

/// The service of [`JwtAuthorizerLayer`](super::JwtAuthorizerLayer) and
/// [`CognitoAuthorizerLayer`](super::CognitoAuthorizerLayer).
#[derive(Clone, Debug)]
pub struct TokenService<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S> TokenService<S> {
    pub(super) fn new(inner: S, config: Arc<Config>) -> Self {
        Self { inner, config }
    }
}

/// A request whose token waits for its key, with the service that was ready for it.
pub(super) struct Pending<S, B> {
    pub(super) inner: S,
    pub(super) request: Request<B>,
    pub(super) context: RequestContext,
    pub(super) engine: Arc<Engine>,
    pub(super) scopes: Arc<[Box<str>]>,
    pub(super) wait: Wait,
    pub(super) look: Look,
}

impl<S, B, R> Service<Request<B>> for TokenService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    R: From<Bytes>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = TokenFuture<S, B, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let context = self.config.context.establish(&mut request);
        let (engine, scopes) = match self.config.asked(&context, request.method(), request.uri().path()) {
            Asked::Nothing => return TokenFuture::forwarded(self.inner.call(request)),
            Asked::Token(engine, scopes) => (engine, scopes),
            Asked::Refused(refusal, scopes) => {
                let answer = refusal.answer(self.config.style(), &scopes, Vec::new(), &context);
                return TokenFuture::new(Next::Refuse(answer));
            }
        };
        engine.source.mark_sensitive(request.headers_mut());
        let look = Look::first(engine.clock.now());
        #[cfg(feature = "tracing")]
        context.note_identity(|| engine.source.credentials(request.headers(), request.uri()));
        match judge(&engine, &context, &scopes, &request, look) {
            Verdict::Pass(established) => context.set_authorizer(&established),
            Verdict::Refuse(refusal) => {
                let answer = engine.refuse(refusal, &scopes, &context, look);
                return TokenFuture::new(Next::Refuse(answer));
            }
            Verdict::Wait(wait) => {
                // The clone may not be ready; the service that is goes along with the request.
                let clone = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, clone);
                let pending = Pending { inner, request, context, engine, scopes, wait, look };
                return TokenFuture::new(Next::Wait(pending));
            }
        }
        // What lived across the call would have the service's future copied.
        drop((context, engine, scopes));
        TokenFuture::forwarded(self.inner.call(request))
    }
}
