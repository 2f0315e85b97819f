//! The outermost phases: context and route match, client certificate, CORS, filter, refusal of what did not match,
//! limits; and every answer on its way out.

use super::{
    Phases,
    observed::{Observed, tap},
};
use crate::{
    body::GatewayBody,
    context::{Ingress, RequestContext},
    cors::{CorsDecision, PendingTouch, no_content},
    response::{Cause, GatewayError, Remains, RequestHead, ResponseType},
    route::Authorization,
};
use bytes::Bytes;
use http::{Extensions, Request, Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

/// The assembled service, made by [`Gateway`](super::Gateway).
#[derive(Clone, Debug)]
pub struct GatewayService<S> {
    inner: S,
    phases: Arc<Phases>,
}

impl<S> GatewayService<S> {
    pub(super) fn new(inner: S, phases: Arc<Phases>) -> Self {
        Self { inner, phases }
    }
}

impl Phases {
    /// Makes the context from what the route match found.
    fn enter<B>(&self, request: &mut Request<GatewayBody<B>>) -> Passage
    where
        GatewayBody<B>: Body,
    {
        let mut matched = self.stages.match_request(request);
        let seen = || (matched.route.take(), matched.host.take());
        let context = self.context.enter(request, seen);
        matched.note(&context, request);
        let mut passage = Passage {
            observed: self.observe(&context, request),
            head: self.responses.keep_head(request),
            context,
            refusal: matched.refusal,
            touch: None,
            watched: false,
            traced: false,
        };
        tap(&passage.context, request);
        passage.traced = self.begin_trace(&passage.context, request);
        passage
    }

    /// The phases in their order; the error is the answer of the one that refuses, or of CORS to a preflight.
    fn admit<B, R: From<Bytes>>(
        &self,
        passage: &mut Passage,
        request: &mut Request<GatewayBody<B>>,
    ) -> Result<(), Response<R>>
    where
        GatewayBody<B>: Body,
    {
        let Passage { context, refusal, touch, watched, .. } = passage;
        // In the place of the handshake: a client without a certificate is told nothing of the API.
        #[cfg(feature = "mtls")]
        if let Some(mutual_tls) = &self.mutual_tls {
            mutual_tls.admit(request).map_err(|error| error.refuse(context))?;
        }
        // Refusals need CORS headers to be readable.
        let mut preflight = None;
        if let Some(cors) = &self.cors {
            match cors.decide(context, request) {
                CorsDecision::Preflight(headers) => preflight = Some(headers),
                CorsDecision::Actual(decided) => *touch = decided,
            }
        }
        // In the place of AWS WAF: before the route and every access control, and it sees preflights too.
        if let Some(filter) = &self.filter {
            filter.admit(context, &self.context.clock, request)?;
        }
        // They carry no key and are nobody's traffic. A path that two readers take for two is refused all the same.
        let is_unreadable = refusal.as_ref().is_some_and(|error| error.status() == StatusCode::BAD_REQUEST);
        if let Some(headers) = preflight.filter(|_| !is_unreadable) {
            context.note_preflight();
            return Err(no_content(headers));
        }
        if let Some(error) = refusal.take() {
            return Err(error.refuse_with(context, Remains::of(request)));
        }
        self.check_guarded(context).map_err(|error| error.refuse_with(context, Remains::of(request)))?;
        // After the route: limits are per method.
        if let Some(limit) = &self.payload_limit {
            let admitted = limit.admit(context, request);
            *watched = admitted.map_err(|error| error.refuse_with(context, Remains::of(request)))?;
            if *watched {
                context.expect_late_refusal();
            }
        }
        // Before the authorizer, which it spares the requests that no identity can save.
        #[cfg(feature = "policy")]
        if let Some(policy) = &self.resource_policy {
            return policy.admit(context, request);
        }
        check_private(context, request.extensions()).map_err(|error| error.refuse(context))
    }

    /// The builder has refused methods that want a key or an authorizer where there is none; a later deployment may
    /// bring some, and they stay closed.
    fn check_guarded(&self, context: &RequestContext) -> Result<(), GatewayError> {
        let Some(route) = context.route() else { return Ok(()) };
        let method = &route.declared().method;
        if !self.authorizers.serves(&method.authorization) {
            let kind = ResponseType::AuthorizerConfigurationError;
            return Err(GatewayError::new(kind, Cause::AuthorizerMissing));
        }
        if method.api_key_required && self.api_key.is_none() {
            return Err(GatewayError::new(ResponseType::InvalidApiKey, Cause::ApiKeyMissing));
        }
        Ok(())
    }

    /// What an answer gets on its way out, from the inside to the outside.
    fn leave<R>(&self, passage: &mut Passage, response: &mut Response<GatewayBody<R>>)
    where
        GatewayBody<R>: Body,
    {
        // A request that is refused for its body, which was read after the charge, is charged nothing either.
        if let Some(usage_plan) = &self.usage_plan {
            usage_plan.give_back_if_refused(&passage.context);
        }
        let limit = passage.context.rate_limit();
        let headers = response.headers_mut();
        headers.reserve(passage.added_headers(limit.is_some()));
        if let Some(limit) = limit {
            headers.insert(&crate::response::RATELIMIT_POLICY, limit.policy.clone());
        }
        if let (Some(cors), Some(touch)) = (&self.cors, passage.touch.take()) {
            cors.touch(touch, headers);
        }
        self.responses.finish(&passage.context, passage.head.as_deref(), response);
        if passage.traced {
            self.answer_trace(&passage.context, response);
        }
        passage.observed.answered(response);
    }
}

/// What a request leaves behind for its answer.
#[derive(Debug)]
struct Passage {
    context: RequestContext,
    /// What the route match found wrong, until the phase that refuses.
    refusal: Option<Box<GatewayError>>,
    touch: Option<PendingTouch>,
    head: Option<Box<RequestHead>>,
    observed: Observed,
    /// Whether the request body is metered, and may be cut off.
    watched: bool,
    /// Whether its trace was begun by this gateway.
    traced: bool,
}

impl Passage {
    /// What an answer has added: both ids, two fields of its plan, three of CORS. Room is made for them at once,
    /// because every growth of the map moves all of it.
    fn added_headers(&self, with_limit: bool) -> usize {
        2 + 2 * usize::from(with_limit) + 3 * usize::from(self.touch.is_some())
    }
}

impl<S, B, R> Service<Request<B>> for GatewayService<S>
where
    S: Service<Request<GatewayBody<B>>, Response = Response<GatewayBody<R>>>,
    GatewayBody<B>: Body,
    GatewayBody<R>: Body,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = GatewayFuture<S::Future, GatewayBody<R>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let phases = &*self.phases;
        // Once, for all phases.
        let mut request = request.map(GatewayBody::new);
        let mut passage = phases.enter(&mut request);
        // A filter is somebody else's code, and may panic.
        passage.observed.enter();
        if let Err(mut response) = phases.admit(&mut passage, &mut request) {
            phases.leave(&mut passage, &mut response);
            return GatewayFuture { state: State::Answered { response: Some(response) } };
        }
        let future = passage.observed.call(&mut self.inner, request);
        let phases = Arc::clone(&self.phases);
        GatewayFuture { state: State::Forwarded { future, passage, phases } }
    }
}

pin_project! {
    /// Response future of [`GatewayService`]. Errors of the inner service pass through untouched.
    #[derive(Debug)]
    pub struct GatewayFuture<F, R> {
        #[pin]
        state: State<F, R>,
    }
}

pin_project! {
    #[project = StateProj]
    #[derive(Debug)]
    enum State<F, R> {
        Forwarded { #[pin] future: F, passage: Passage, phases: Arc<Phases> },
        // In place: the futures of most services are larger than an answer.
        Answered { response: Option<Response<R>> },
    }
}

impl<F, R, E> Future for GatewayFuture<F, GatewayBody<R>>
where
    F: Future<Output = Result<Response<GatewayBody<R>>, E>>,
    GatewayBody<R>: Body,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.as_mut().project().state.project() {
            StateProj::Forwarded { future, passage, phases } => {
                // In place: an answer is some hundred bytes to move.
                let mut answer = passage.observed.inside(|| future.poll(cx));
                let cut_off = phases.cut_off(passage, &answer, cx);
                let is_cut_off = cut_off.is_some();
                if let Some(response) = cut_off {
                    answer = Poll::Ready(Ok(response));
                }
                match &mut answer {
                    Poll::Ready(Ok(response)) => phases.leave(passage, response),
                    Poll::Ready(Err(_)) => passage.observed.failed(),
                    Poll::Pending => {}
                }
                if is_cut_off {
                    // Drops the service's future: the client does not wait for what it still does.
                    self.project().state.set(State::Answered { response: None });
                }
                answer
            }
            StateProj::Answered { response } => match response.take() {
                Some(response) => Poll::Ready(Ok(response)),
                None => Poll::Pending,
            },
        }
    }
}

/// A private entry is closed without a resource policy (developer guide, "Private REST APIs"). Signatures and Lambda-style
/// authorizers may have been given one: they look themselves.
fn check_private(context: &RequestContext, extensions: &Extensions) -> Result<(), GatewayError> {
    // Whoever says so: the context may have been made before it was said.
    let said = [context.ingress(), extensions.get()];
    if !said.into_iter().flatten().any(Ingress::is_private) {
        return Ok(());
    }
    match context.route().map(|route| &route.declared().method.authorization) {
        Some(Authorization::AwsIam | Authorization::Custom(_)) => Ok(()),
        _ => Err(GatewayError::new(ResponseType::AccessDenied, Cause::ResourcePolicySilent)),
    }
}

impl Phases {
    /// The refusal of a request whose body went wrong while the service worked on the answer.
    fn cut_off<R: From<Bytes>, E>(
        &self,
        passage: &Passage,
        answer: &Poll<Result<Response<R>, E>>,
        cx: &Context<'_>,
    ) -> Option<Response<R>> {
        let limit = self.payload_limit.as_ref().filter(|_| passage.watched)?;
        limit.replace(&passage.context, answer, cx)
    }
}
