//! The response future of whatever charges requests: forward, refuse, or wait for the store first.

use super::{
    headers::RateLimitFields,
    layer::insert_reservation,
    verdict::{Admitted, Refused},
};
use crate::{
    context::{RateLimit, RequestContext},
    future::{OnResponse, Untouched},
};
use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tower_service::Service;

/// What is done to the answer, known once a request is admitted.
pub(crate) trait AfterCharge: Sized {
    fn admitted(rate_limit: Option<RateLimit>, context: &RequestContext) -> Self;

    fn refused<B, R: From<Bytes>>(
        refused: Refused,
        context: &RequestContext,
        request: &mut Request<B>,
        headers: bool,
    ) -> Response<R> {
        refused.into_response(context, request, headers)
    }
}

impl AfterCharge for RateLimitFields {
    fn admitted(rate_limit: Option<RateLimit>, _: &RequestContext) -> Self {
        Self::new(rate_limit)
    }
}

/// In the gateway the context carries what the answer will say.
impl AfterCharge for Untouched {
    fn admitted(rate_limit: Option<RateLimit>, context: &RequestContext) -> Self {
        rate_limit.into_iter().for_each(|rate_limit| context.set_rate_limit(rate_limit));
        Self
    }

    fn refused<B, R: From<Bytes>>(
        mut refused: Refused,
        context: &RequestContext,
        request: &mut Request<B>,
        headers: bool,
    ) -> Response<R> {
        refused.take_rate_limit().into_iter().for_each(|limit| context.set_rate_limit(limit));
        refused.into_response(context, request, headers)
    }
}

/// A decision that waits for the store. It borrows nothing.
pub(crate) type Verdict = Pin<Box<dyn Future<Output = Result<Admitted, Refused>> + Send>>;

pin_project! {
    /// Response future of [`UsagePlanService`](super::UsagePlanService) and of the gateway's admission. Errors of the
    /// service pass through untouched. Dropped while it waits, it gives back what the request was promised.
    #[derive(Debug)]
    pub struct ChargedFuture<S, B, F, H, R> {
        #[pin]
        state: State<S, B, F, R>,
        hook: Option<H>,
    }
}

pin_project! {
    #[project = StateProj]
    #[derive(Debug)]
    enum State<S, B, F, R> {
        Forwarded { #[pin] future: F },
        // In place: the futures of most services are larger than an answer.
        Refused { response: Option<Response<R>> },
        // Boxed: most requests never wait.
        Waiting { waiting: Option<Box<Waiting<S, B>>> },
    }
}

/// A request that waits for the store.
pub(crate) struct Waiting<S, B> {
    pub(crate) verdict: Verdict,
    /// Ready.
    pub(crate) service: S,
    pub(crate) request: Request<B>,
    pub(crate) context: RequestContext,
    /// Whether refusals carry `Retry-After` and the like.
    pub(crate) headers: bool,
}

impl<S, B> fmt::Debug for Waiting<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waiting(..)")
    }
}

impl<S, B, F, H, R> ChargedFuture<S, B, F, H, R> {
    pub(crate) fn forwarded(future: F, hook: H) -> Self {
        Self { state: State::Forwarded { future }, hook: Some(hook) }
    }

    pub(crate) fn refused(response: Response<R>) -> Self {
        Self { state: State::Refused { response: Some(response) }, hook: None }
    }

    pub(crate) fn waiting(waiting: Waiting<S, B>) -> Self {
        Self { state: State::Waiting { waiting: Some(Box::new(waiting)) }, hook: None }
    }
}

impl<S, B, H, R> Future for ChargedFuture<S, B, S::Future, H, R>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<Bytes>,
    H: OnResponse<R> + AfterCharge,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProj::Forwarded { future } => {
                    let mut response = ready!(future.poll(cx))?;
                    if let Some(hook) = this.hook.take() {
                        hook.on_response(&mut response);
                    }
                    return Poll::Ready(Ok(response));
                }
                StateProj::Refused { response } => {
                    return response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)));
                }
                StateProj::Waiting { waiting } => {
                    let Some(asked) = waiting.as_mut() else { return Poll::Pending };
                    let verdict = ready!(asked.verdict.as_mut().poll(cx));
                    let Some(waited) = waiting.take() else { return Poll::Pending };
                    match (*waited).go_on(verdict) {
                        Ok((future, hook)) => {
                            *this.hook = Some(hook);
                            this.state.set(State::Forwarded { future });
                        }
                        Err(response) => return Poll::Ready(Ok(response)),
                    }
                }
            }
        }
    }
}

impl<S, B> Waiting<S, B> {
    /// Calls the service that was ready before the wait, or refuses.
    fn go_on<R, H>(self, verdict: Result<Admitted, Refused>) -> Result<(S::Future, H), Response<R>>
    where
        S: Service<Request<B>, Response = Response<R>>,
        R: From<Bytes>,
        H: AfterCharge,
    {
        let Self { mut service, mut request, context, headers, .. } = self;
        match verdict {
            Ok(admitted) => {
                insert_reservation(&mut request, admitted.reservation);
                let hook = H::admitted(admitted.rate_limit, &context);
                Ok((service.call(request), hook))
            }
            Err(refused) => Err(H::refused(refused, &context, &mut request, headers)),
        }
    }
}
