//! The response future: a stored answer, a call of its own, or a seat in a shared call.

use super::{
    flight::{Arrived, Call, Own, RequestSnapshot, Rider},
    plan::{Fetch, LayerState, Plan, Serve},
    reason::{CacheStatus, NoCacheReason},
    respond::{answer_entry, answer_landed, answer_stream, pass},
    rules::{Provenance, RequestView},
    seat::{Seat, is_shared, take_seat},
    tier::{Asking, Told},
};
use crate::{
    body::{BoxError, GatewayBody},
    clock::{Timestamp, timer::Sleep},
    context::RequestContext,
    response::{Cause, GatewayError, ResponseType},
};
use bytes::Bytes;
use http::{HeaderName, Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tower_service::Service;

/// The service that was polled ready: where it lies, or taken out to be called later.
#[derive(Debug)]
pub(super) enum Source<'a, S> {
    InPlace(&'a mut S),
    Taken(S),
}

impl<S> Source<'_, S> {
    fn call<Q>(&mut self, request: Q) -> S::Future
    where
        S: Service<Q>,
    {
        match self {
            Self::InPlace(service) => service.call(request),
            Self::Taken(service) => service.call(request),
        }
    }

    /// The instance that is ready; a clone takes its place.
    fn take(self) -> S
    where
        S: Clone,
    {
        match self {
            Self::InPlace(service) => {
                let clone = service.clone();
                std::mem::replace(service, clone)
            }
            Self::Taken(service) => service,
        }
    }
}

/// A request that waits for somebody else's call, with the ready service, should it have to make its own.
#[derive(Debug)]
struct Waiter<S, B> {
    service: S,
    request: Request<B>,
}

pin_project! {
    /// Response future of [`CacheService`](super::CacheService).
    pub struct CacheFuture<S, B, R, F> {
        // `None` once answered: the count of a hit would be a line that all threads write to.
        layer: Option<Arc<LayerState>>,
        #[pin]
        state: State<S, B, R, F>,
        // How long somebody else's call is waited for, in all.
        patience: Option<Box<Sleep>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B, R, F> {
        Answered { response: Option<Response<GatewayBody<R>>> },
        Forwarded { #[pin] future: F, passage: Passage },
        Riding { rider: Option<Rider>, waiter: Option<Box<Waiter<S, B>>>, warns: bool },
        // The second tier is asked; `None` once it has answered.
        Asking { asking: Asking, waiter: Option<Box<Waiter<S, B>>>, varies_by: Option<Arc<[HeaderName]>> },
    }
}

impl<S, B, R, F> std::fmt::Debug for CacheFuture<S, B, R, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CacheFuture").finish_non_exhaustive()
    }
}

/// What is done to an answer that passes by.
#[derive(Debug)]
struct Passage {
    status: CacheStatus,
    reason: NoCacheReason,
    started: Timestamp,
    /// Where the answer may invalidate entries.
    watched: Option<Box<RequestSnapshot>>,
}

fn view<B: Body>(request: &Request<B>) -> RequestView<'_> {
    let body = request.body();
    RequestView {
        method: request.method(),
        uri: request.uri(),
        headers: request.headers(),
        context: RequestContext::of(request.extensions()),
        extensions: Some(request.extensions()),
        has_body: !body.is_end_stream() && body.size_hint().exact() != Some(0),
    }
}

impl<S, B, R, E, F> CacheFuture<S, B, R, F>
where
    S: Service<Request<B>, Response = Response<R>, Error = E, Future = F> + Clone,
    B: Body,
    F: Future<Output = Result<Response<R>, E>> + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
    E: Send + 'static,
{
    pub(super) fn new(layer: &Arc<LayerState>, source: Source<'_, S>, request: Request<B>) -> Self {
        let state = State::begin(layer, source, request, None, None);
        let layer = (!matches!(state, State::Answered { .. })).then(|| Arc::clone(layer));
        Self { layer, state, patience: None }
    }
}

impl<S, B, R, E, F> State<S, B, R, F>
where
    S: Service<Request<B>, Response = Response<R>, Error = E, Future = F> + Clone,
    B: Body,
    F: Future<Output = Result<Response<R>, E>> + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
    E: Send + 'static,
{
    /// `varies_by`: what the answer that was waited for turned out to vary by. `told`: what the second tier has said.
    fn begin(
        layer: &Arc<LayerState>,
        source: Source<'_, S>,
        request: Request<B>,
        varies_by: Option<&Arc<[HeaderName]>>,
        told: Option<Told>,
    ) -> Self {
        let now = layer.core.clock.now();
        match layer.plan(view(&request), varies_by, now) {
            Plan::Forward(reason) => Self::forward(layer, source, request, CacheStatus::Bypass, reason),
            Plan::Refuse(error) => Self::answered(error.refuse_in(RequestContext::of(request.extensions()))),
            Plan::Serve(serve) => Self::serve(layer, source, request, serve, now),
            Plan::Fetch(fetch) => Self::ask_or_fetch(layer, source, request, fetch, (varies_by, told), now),
        }
    }

    /// Asks the second tier, where there is one and it has not been asked yet.
    fn ask_or_fetch(
        layer: &Arc<LayerState>,
        source: Source<'_, S>,
        request: Request<B>,
        mut fetch: Fetch,
        (varies_by, told): (Option<&Arc<[HeaderName]>>, Option<Told>),
        now: Timestamp,
    ) -> Self {
        match told {
            None if layer.core.tier.is_some() => {
                if let Some(asking) = layer.ask_tier(&fetch) {
                    let waiter = Some(Box::new(Waiter { service: source.take(), request }));
                    return Self::Asking { asking, waiter, varies_by: varies_by.cloned() };
                }
            }
            Some(Told::Lead(lead)) => fetch.lead = Some(lead),
            _ => {}
        }
        Self::fetch(layer, source, request, fetch, now)
    }

    /// Begins again with what the second tier said.
    fn asked(
        layer: &Arc<LayerState>,
        (service, request): (S, Request<B>),
        varies_by: Option<&Arc<[HeaderName]>>,
        told: Told,
    ) -> Self {
        let source = Source::Taken(service);
        match told {
            // Its answers lie elsewhere, each for other values.
            Told::Varies(names) => Self::begin(layer, source, request, Some(&names), None),
            told => Self::begin(layer, source, request, varies_by, Some(told)),
        }
    }

    fn answered(response: Response<GatewayBody<R>>) -> Self {
        Self::Answered { response: Some(response) }
    }

    /// A call for this request alone, whose answer is not stored.
    fn forward(
        layer: &LayerState,
        mut source: Source<'_, S>,
        request: Request<B>,
        status: CacheStatus,
        reason: NoCacheReason,
    ) -> Self {
        let core = &layer.core;
        core.counters.answered(status, Some(reason));
        if let Some(context) = RequestContext::of(request.extensions()) {
            context.note_cache(status, Some(reason), None);
        }
        let watched =
            core.rules.watches(request.method()).then(|| Box::new(RequestSnapshot::whole(view(&request))));
        let passage = Passage { status, reason, started: core.clock.now(), watched };
        Self::Forwarded { future: source.call(request), passage }
    }

    fn serve(
        layer: &Arc<LayerState>,
        source: Source<'_, S>,
        request: Request<B>,
        serve: Serve,
        now: Timestamp,
    ) -> Self {
        let Serve { entry, status, warns, refresh } = serve;
        let provenance =
            Provenance { status, reason: None, forward_status: None, stored: true, not_stored: None, now };
        let response = answer_entry(layer, view(&request), &entry, provenance, warns);
        if let Some(fetch) = refresh {
            return Self::refresh(layer, source, request, *fetch, response, now);
        }
        Self::answered(response)
    }

    /// Answers, and refreshes the entry in a task of its own, unless somebody else does already.
    fn refresh(
        layer: &Arc<LayerState>,
        source: Source<'_, S>,
        request: Request<B>,
        fetch: Fetch,
        response: Response<GatewayBody<R>>,
        now: Timestamp,
    ) -> Self {
        if tokio::runtime::Handle::try_current().is_err() {
            // Nobody would drive the refresh.
            return Self::fetch(layer, source, request, fetch, now);
        }
        if let Seat::Leader(rider) = take_seat(layer, view(&request), fetch, now) {
            let _fetched = Self::fly(layer, source, request, rider).drain();
        }
        Self::answered(response)
    }

    fn fetch(
        layer: &Arc<LayerState>,
        source: Source<'_, S>,
        request: Request<B>,
        fetch: Fetch,
        now: Timestamp,
    ) -> Self {
        let warns = fetch.lookup.warn;
        match take_seat(layer, view(&request), fetch, now) {
            Seat::Leader(rider) => {
                let rider = Self::fly(layer, source, request, rider);
                Self::Riding { rider: Some(rider), waiter: None, warns }
            }
            Seat::Follower(rider) => {
                let waiter = Box::new(Waiter { service: source.take(), request });
                Self::Riding { rider: Some(rider), waiter: Some(waiter), warns }
            }
            Seat::None(entry) => {
                let serve = Serve { entry, status: CacheStatus::Hit, warns, refresh: None };
                Self::serve(layer, source, request, serve, now)
            }
        }
    }

    /// Makes the call of a flight.
    fn fly(layer: &LayerState, mut source: Source<'_, S>, mut request: Request<B>, rider: Rider) -> Rider {
        layer.core.rules.prepare(request.headers_mut(), rider.flight().job().entry.as_deref());
        rider.flight().start(Call::motor(source.call(request)));
        rider
    }

    fn take_waiter(waiter: &mut Option<Box<Waiter<S, B>>>) -> Option<(S, Request<B>)> {
        waiter.take().map(|waiter| (waiter.service, waiter.request))
    }

    /// What comes after a wait: an answer, or another way to get one.
    fn arrive(
        layer: &Arc<LayerState>,
        rider: Rider,
        waiter: Option<(S, Request<B>)>,
        (arrived, own): (Arrived, Option<Own>),
        warns: bool,
    ) -> Result<Self, E> {
        match waiter {
            None => arrive_first(layer, rider, (arrived, own), warns).map(Self::answered),
            Some((service, request)) => {
                Ok(Self::arrive_after(layer, rider, (service, request), arrived, warns))
            }
        }
    }

    fn arrive_after(
        layer: &Arc<LayerState>,
        rider: Rider,
        (service, request): (S, Request<B>),
        arrived: Arrived,
        warns: bool,
    ) -> Self {
        let source = Source::Taken(service);
        let meta = match &arrived {
            Arrived::Streaming(head) => &head.meta,
            Arrived::Entry(entry, _) => &entry.meta,
            Arrived::Released(_) => {
                return Self::forward(layer, source, request, CacheStatus::Bypass, NoCacheReason::HitForMiss);
            }
            Arrived::Failed => {
                drop(rider);
                return Self::begin(layer, source, request, None, None);
            }
        };
        if !is_shared(layer, view(&request), meta, &arrived) {
            let names = meta.selection.as_ref().map(|selection| Arc::clone(selection.names()));
            drop(rider);
            return match names {
                // A call of its own, beside the one for other values.
                Some(names) => Self::begin(layer, source, request, Some(&names), None),
                None => {
                    Self::forward(layer, source, request, CacheStatus::Bypass, NoCacheReason::Authorization)
                }
            };
        }
        let outcome = (CacheStatus::Collapsed, None);
        Self::answered(match arrived {
            Arrived::Streaming(head) => {
                answer_stream(layer, view(&request), (rider, &head), None, outcome, warns)
            }
            Arrived::Entry(entry, how) => {
                answer_landed(layer, view(&request), (&entry, how), None, outcome, warns)
            }
            // Looked at above.
            Arrived::Released(_) | Arrived::Failed => {
                GatewayError::new(ResponseType::Default5xx, Cause::SharedCallFailed)
                    .refuse_in(RequestContext::of(request.extensions()))
            }
        })
    }
}

/// The answer of the request that made the call.
fn arrive_first<R, E>(
    layer: &LayerState,
    rider: Rider,
    (arrived, own): (Arrived, Option<Own>),
    warns: bool,
) -> Result<Response<GatewayBody<R>>, E>
where
    R: Send + 'static,
    E: Send + 'static,
{
    let reason = rider.flight().job().reason;
    let outcome = (CacheStatus::Miss, Some(reason));
    match arrived {
        Arrived::Streaming(head) => {
            let flight = rider.flight_shared();
            let request = flight.job().request.view();
            Ok(answer_stream(layer, request, (rider, &head), own, outcome, warns))
        }
        Arrived::Entry(entry, how) => {
            let request = rider.flight().job().request.view();
            Ok(answer_landed(layer, request, (&entry, how), own, outcome, warns))
        }
        Arrived::Released(why) => raw(layer, &rider, reason, why),
        Arrived::Failed => raw(layer, &rider, reason, NoCacheReason::ServiceError),
    }
}

/// The service's own answer, which is for nobody else.
fn raw<R, E>(
    layer: &LayerState,
    rider: &Rider,
    reason: NoCacheReason,
    why: NoCacheReason,
) -> Result<Response<GatewayBody<R>>, E>
where
    R: Send + 'static,
    E: Send + 'static,
{
    let job = rider.flight().job();
    let context = job.request.context.as_ref();
    layer.core.counters.answered(CacheStatus::Miss, Some(reason));
    if let Some(context) = context {
        context.note_cache(CacheStatus::Miss, Some(why), None);
    }
    let raw = rider.take_raw().and_then(|raw| raw.downcast::<Result<Response<R>, E>>().ok());
    let Some(raw) = raw else {
        let error = GatewayError::new(ResponseType::Default5xx, Cause::SharedCallFailed);
        return Ok(error.refuse_in(context));
    };
    let mut response = (*raw)?;
    let now = layer.core.clock.now();
    let status = CacheStatus::Miss;
    let provenance = Provenance {
        status,
        reason: Some(reason),
        forward_status: None,
        stored: false,
        not_stored: Some(why),
        now,
    };
    pass(layer, &mut response, provenance);
    Ok(response.map(GatewayBody::new))
}

impl<S, B, R, E, F> Future for CacheFuture<S, B, R, F>
where
    S: Service<Request<B>, Response = Response<R>, Error = E, Future = F> + Clone,
    B: Body,
    F: Future<Output = Result<Response<R>, E>> + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
    E: Send + 'static,
{
    type Output = Result<Response<GatewayBody<R>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let this = self.as_mut().project();
            let state = this.state.project();
            if let StateProj::Answered { response } = state {
                return response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)));
            }
            let Some(layer) = this.layer else { return Poll::Pending };
            let next = match state {
                StateProj::Answered { .. } => return Poll::Pending,
                StateProj::Forwarded { future, passage } => {
                    let response = ready!(future.poll(cx))?;
                    return Poll::Ready(Ok(passage.leave(layer, response)));
                }
                StateProj::Asking { asking, waiter, varies_by } => {
                    let told = ready!(Pin::new(asking).poll(cx));
                    match State::take_waiter(waiter) {
                        Some(waiting) => State::asked(layer, waiting, varies_by.as_ref(), told),
                        None => return Poll::Pending,
                    }
                }
                StateProj::Riding { rider, waiter, warns } => {
                    let Some(flight) = rider.as_ref() else { return Poll::Pending };
                    match flight.poll_arrival(cx) {
                        Poll::Ready(arrived) => {
                            let waiter = State::take_waiter(waiter);
                            match rider.take() {
                                Some(rider) => State::arrive(layer, rider, waiter, arrived, *warns)?,
                                None => return Poll::Pending,
                            }
                        }
                        Poll::Pending if waiter.is_none() => return Poll::Pending,
                        Poll::Pending => {
                            let core = &layer.core;
                            let patience = this
                                .patience
                                .get_or_insert_with(|| Box::new(core.clock.sleep(core.limits.wait)));
                            ready!(Pin::new(patience).poll(cx));
                            *rider = None;
                            match State::take_waiter(waiter) {
                                Some((service, request)) => State::forward(
                                    layer,
                                    Source::Taken(service),
                                    request,
                                    CacheStatus::Bypass,
                                    NoCacheReason::WaitTimeout,
                                ),
                                None => return Poll::Pending,
                            }
                        }
                    }
                }
            };
            if let State::Answered { response: Some(response) } = next {
                return Poll::Ready(Ok(response));
            }
            self.as_mut().project().state.set(next);
        }
    }
}

impl Passage {
    fn leave<R>(&mut self, layer: &LayerState, mut response: Response<R>) -> Response<GatewayBody<R>> {
        let now = layer.core.clock.now();
        if let Some(watched) = self.watched.take() {
            layer.invalidate(&watched, &response, (self.started, now));
        }
        let (status, reason) = (self.status, Some(self.reason));
        let provenance =
            Provenance { status, reason, forward_status: None, stored: false, not_stored: None, now };
        pass(layer, &mut response, provenance);
        response.map(GatewayBody::new)
    }
}
