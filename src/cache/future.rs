//! The response future: a stored answer, a call of its own, or a seat in a shared call.

use super::{
    entry::{Entry, Meta},
    flight::{Arrived, Call, Flight, How, Job, RequestSnapshot, Rider, StreamHead},
    plan::{Fetch, Found, LayerState, Plan, Serve},
    reason::{CacheStatus, NoCacheReason},
    rules::{BodyPart, Decision, Head, Provenance, RequestView, ResponseView, StorePlan},
    tags,
};
use crate::{
    body::{BoxError, GatewayBody},
    clock::{Sleep, Timestamp},
    context::RequestContext,
    response::{Cause, GatewayError, ResponseType},
};
use bytes::Bytes;
use http::{Extensions, HeaderName, Request, Response, StatusCode, header::WARNING};
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
        layer: Arc<LayerState>,
        #[pin]
        state: State<S, B, R, F>,
        // How long somebody else's call is waited for, in all.
        patience: Option<Sleep>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B, R, F> {
        Answered { response: Option<Response<GatewayBody<R>>> },
        Forwarded { #[pin] future: F, passage: Passage },
        Riding { rider: Option<Rider>, waiter: Option<Box<Waiter<S, B>>>, warns: bool },
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

fn view<B>(request: &Request<B>) -> RequestView<'_> {
    RequestView {
        method: request.method(),
        uri: request.uri(),
        headers: request.headers(),
        context: RequestContext::of(request.extensions()),
    }
}

fn snapshot<B>(request: &Request<B>) -> RequestSnapshot {
    let RequestView { method, uri, headers, context } = view(request);
    RequestSnapshot {
        method: method.clone(),
        uri: uri.clone(),
        headers: headers.clone(),
        context: context.cloned(),
    }
}

impl<S, B, R, E, F> CacheFuture<S, B, R, F>
where
    S: Service<Request<B>, Response = Response<R>, Error = E, Future = F> + Clone,
    F: Future<Output = Result<Response<R>, E>> + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
    E: Send + 'static,
{
    pub(super) fn new(layer: &Arc<LayerState>, source: Source<'_, S>, request: Request<B>) -> Self {
        let state = State::begin(layer, source, request, None);
        Self { layer: Arc::clone(layer), state, patience: None }
    }
}

impl<S, B, R, E, F> State<S, B, R, F>
where
    S: Service<Request<B>, Response = Response<R>, Error = E, Future = F> + Clone,
    F: Future<Output = Result<Response<R>, E>> + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
    E: Send + 'static,
{
    /// `varies_by`: what the answer that was waited for turned out to vary by.
    fn begin(
        layer: &Arc<LayerState>,
        source: Source<'_, S>,
        request: Request<B>,
        varies_by: Option<&Arc<[HeaderName]>>,
    ) -> Self {
        let now = layer.core.clock.now();
        match layer.plan(view(&request), varies_by, now) {
            Plan::Forward(reason) => Self::forward(layer, source, request, CacheStatus::Bypass, reason),
            Plan::Refuse(error) => Self::answered(error.refuse_in(RequestContext::of(request.extensions()))),
            Plan::Serve(serve) => Self::serve(layer, source, request, serve, now),
            Plan::Fetch(fetch) => Self::fetch(layer, source, request, &fetch, now),
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
        let watched = core.rules.watches(request.method()).then(|| Box::new(snapshot(&request)));
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
        let response = answer_entry(layer, view(&request), &entry, provenance, warns, None);
        if let Some(fetch) = refresh {
            return Self::refresh(layer, source, request, &fetch, response, now);
        }
        Self::answered(response)
    }

    /// Answers, and refreshes the entry in a task of its own, unless somebody else does already.
    fn refresh(
        layer: &Arc<LayerState>,
        source: Source<'_, S>,
        request: Request<B>,
        fetch: &Fetch,
        response: Response<GatewayBody<R>>,
        now: Timestamp,
    ) -> Self {
        if tokio::runtime::Handle::try_current().is_err() {
            // Nobody would drive the refresh.
            return Self::fetch(layer, source, request, fetch, now);
        }
        if let Seat::Leader(rider) = take_seat(layer, view(&request), fetch, || snapshot(&request), now) {
            let _fetched = Self::fly(layer, source, request, fetch, rider).drain();
        }
        Self::answered(response)
    }

    fn fetch(
        layer: &Arc<LayerState>,
        source: Source<'_, S>,
        request: Request<B>,
        fetch: &Fetch,
        now: Timestamp,
    ) -> Self {
        let warns = fetch.lookup.warn;
        match take_seat(layer, view(&request), fetch, || snapshot(&request), now) {
            Seat::Leader(rider) => {
                let rider = Self::fly(layer, source, request, fetch, rider);
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
    fn fly(
        layer: &LayerState,
        mut source: Source<'_, S>,
        mut request: Request<B>,
        fetch: &Fetch,
        rider: Rider,
    ) -> Rider {
        layer.core.rules.prepare(request.headers_mut(), fetch.entry.as_deref());
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
        arrived: Arrived,
        warns: bool,
    ) -> Result<Self, E> {
        match waiter {
            None => arrive_first(layer, rider, arrived, warns).map(Self::answered),
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
                return Self::begin(layer, source, request, None);
            }
        };
        if !is_shared(layer, view(&request), meta, &arrived) {
            let names = meta.selection.as_ref().map(|selection| Arc::clone(selection.names()));
            drop(rider);
            return match names {
                // A call of its own, beside the one for other values.
                Some(names) => Self::begin(layer, source, request, Some(&names)),
                None => {
                    Self::forward(layer, source, request, CacheStatus::Bypass, NoCacheReason::Authorization)
                }
            };
        }
        Self::answered(answer_arrived(
            layer,
            view(&request),
            rider,
            arrived,
            CacheStatus::Collapsed,
            None,
            warns,
        ))
    }
}

/// A place in a call, or an answer that came just now.
enum Seat {
    Leader(Rider),
    Follower(Rider),
    None(Arc<Entry>),
}

fn take_seat(
    layer: &LayerState,
    request: RequestView<'_>,
    fetch: &Fetch,
    snapshot: impl Fn() -> RequestSnapshot,
    now: Timestamp,
) -> Seat {
    let core = &layer.core;
    let job = |alone_since| Job {
        core: Arc::clone(core),
        key: fetch.key.clone(),
        request: snapshot(),
        settings: fetch.settings,
        entry: fetch.entry.clone(),
        started: now,
        reason: fetch.reason,
        has_identity: fetch.has_identity,
        is_head_of_get: fetch.lookup.as_get,
        alone_since,
    };
    if !fetch.collapses || !core.limits.coalesces {
        return Seat::Leader(Flight::new(job(Some(core.purge_count()))).1);
    }
    core.flights.enter(&fetch.key, |known| {
        if let Some(rider) = known.and_then(|known| join(known, fetch, now)) {
            return (Seat::Follower(rider), None);
        }
        if let Some(entry) = just_stored(layer, request, fetch, now) {
            return (Seat::None(entry), None);
        }
        let (flight, rider) = Flight::new(job(None));
        (Seat::Leader(rider), Some(flight))
    })
}

/// A seat in a call that others have begun; a call that is not to be waited for is overtaken.
fn join(known: &Arc<Flight>, fetch: &Fetch, now: Timestamp) -> Option<Rider> {
    let rider = if fetch.lookup.reload || known.is_late(now) { None } else { known.join(now) };
    if rider.is_none() {
        known.supersede();
    }
    rider
}

/// Between the look-up and this moment somebody's call may have ended.
fn just_stored(
    layer: &LayerState,
    request: RequestView<'_>,
    fetch: &Fetch,
    now: Timestamp,
) -> Option<Arc<Entry>> {
    let core = &layer.core;
    let found = Found::new(core, fetch.key.primary.borrowed(), request.headers, now);
    match found.decide(core, request, fetch.lookup, now) {
        Decision::Hit => found.entry(),
        _ => None,
    }
}

/// Whether an answer that was waited for is one for this request.
fn is_shared(layer: &LayerState, request: RequestView<'_>, meta: &Meta, arrived: &Arrived) -> bool {
    let headers = match arrived {
        Arrived::Streaming(head) => &head.headers,
        Arrived::Entry(entry, _) => &entry.content.headers,
        _ => return false,
    };
    if meta.selection.as_ref().is_some_and(|selection| !selection.matches(request.headers)) {
        return false;
    }
    let vary = meta.selection.as_ref().map(|selection| Arc::clone(selection.names()));
    let plan = StorePlan { freshness: meta.freshness, vary, ..StorePlan::default() };
    let response =
        ResponseView { status: meta.status, headers, requested: meta.requested, responded: meta.responded };
    layer.core.rules.may_share(request, response, &plan)
}

/// The answer of the request that made the call.
fn arrive_first<R, E>(
    layer: &LayerState,
    rider: Rider,
    arrived: Arrived,
    warns: bool,
) -> Result<Response<GatewayBody<R>>, E>
where
    R: Send + 'static,
    E: Send + 'static,
{
    let reason = rider.flight().job().reason;
    match arrived {
        Arrived::Streaming(_) | Arrived::Entry(..) => {
            let flight = rider.flight_shared();
            let request = flight.job().request.view();
            Ok(answer_arrived(layer, request, rider, arrived, CacheStatus::Miss, Some(reason), warns))
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

fn pass<R>(layer: &LayerState, response: &mut Response<R>, provenance: Provenance) {
    if layer.core.strips_tags {
        tags::remove(response.headers_mut());
    }
    layer.core.rules.passed(response.headers_mut(), provenance);
}

/// An answer out of a flight, for one of its readers.
fn answer_arrived<R>(
    layer: &LayerState,
    request: RequestView<'_>,
    rider: Rider,
    arrived: Arrived,
    status: CacheStatus,
    reason: Option<NoCacheReason>,
    warns: bool,
) -> Response<GatewayBody<R>> {
    let extensions = rider.take_extensions();
    let now = layer.core.clock.now();
    match arrived {
        Arrived::Entry(entry, how) => {
            let (status, forward_status, stored) = match how {
                How::Answered { stored } => (status, None, stored),
                How::Freshened { stored } => {
                    (CacheStatus::Revalidated, Some(StatusCode::NOT_MODIFIED), stored)
                }
                How::StaleOnError(failed) => (CacheStatus::Stale, failed, true),
            };
            let provenance = Provenance { status, reason, forward_status, stored, not_stored: None, now };
            answer_entry(layer, request, &entry, provenance, warns, extensions)
        }
        Arrived::Streaming(head) => {
            let provenance =
                Provenance { status, reason, forward_status: None, stored: true, not_stored: None, now };
            answer_stream(layer, request, rider, &head, provenance, warns, extensions)
        }
        // Handled by the callers, which know what to do instead.
        Arrived::Released(_) | Arrived::Failed => {
            GatewayError::new(ResponseType::Default5xx, Cause::SharedCallFailed).refuse_in(request.context)
        }
    }
}

fn answer_stream<R>(
    layer: &LayerState,
    request: RequestView<'_>,
    rider: Rider,
    stream: &StreamHead,
    provenance: Provenance,
    warns: bool,
    extensions: Option<Extensions>,
) -> Response<GatewayBody<R>> {
    let mut head = Head { status: stream.meta.status, headers: stream.headers.clone() };
    let part = layer.core.rules.present(request, &stream.meta, &mut head, None, provenance);
    let body = match part {
        BodyPart::Whole => GatewayBody::shared(rider.into_body(stream)),
        BodyPart::Nothing | BodyPart::Slice(_) => GatewayBody::default(),
    };
    finish(layer, request, head, body, provenance, &stream.meta, warns, extensions)
}

fn answer_entry<R>(
    layer: &LayerState,
    request: RequestView<'_>,
    entry: &Entry,
    provenance: Provenance,
    warns: bool,
    extensions: Option<Extensions>,
) -> Response<GatewayBody<R>> {
    let content = &entry.content;
    let mut head = Head { status: entry.meta.status, headers: content.headers.clone() };
    let part = layer.core.rules.present(request, &entry.meta, &mut head, Some(&content.body), provenance);
    let body = match (part, &content.trailers) {
        (BodyPart::Whole, Some(trailers)) => {
            GatewayBody::shared(super::answer::WithTrailers::new(content.body.clone(), trailers))
        }
        (BodyPart::Whole, None) => content.body.clone().into(),
        (BodyPart::Slice(range), _) => content.body.slice(range).into(),
        (BodyPart::Nothing, _) => GatewayBody::default(),
    };
    finish(layer, request, head, body, provenance, &entry.meta, warns, extensions)
}

/// The last touches, and the notes.
#[allow(clippy::too_many_arguments, reason = "the parts of one answer")]
fn finish<R>(
    layer: &LayerState,
    request: RequestView<'_>,
    mut head: Head,
    body: GatewayBody<R>,
    provenance: Provenance,
    meta: &Meta,
    warns: bool,
    extensions: Option<Extensions>,
) -> Response<GatewayBody<R>> {
    let Provenance { status, reason, now, .. } = provenance;
    layer.core.counters.answered(status, reason);
    if let Some(context) = request.context {
        let age = (status != CacheStatus::Miss).then(|| meta.age(now));
        context.note_cache(status, reason, age);
    }
    if warns {
        head.headers.append(WARNING, super::aws::WARNING);
    }
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    if let Some(extensions) = extensions {
        *response.extensions_mut() = extensions;
    }
    response
}

impl<S, B, R, E, F> Future for CacheFuture<S, B, R, F>
where
    S: Service<Request<B>, Response = Response<R>, Error = E, Future = F> + Clone,
    F: Future<Output = Result<Response<R>, E>> + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
    E: Send + 'static,
{
    type Output = Result<Response<GatewayBody<R>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let this = self.as_mut().project();
            let next = match this.state.project() {
                StateProj::Answered { response } => {
                    return response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)));
                }
                StateProj::Forwarded { future, passage } => {
                    let response = ready!(future.poll(cx))?;
                    return Poll::Ready(Ok(passage.leave(this.layer, response)));
                }
                StateProj::Riding { rider, waiter, warns } => {
                    let Some(flight) = rider.as_ref() else { return Poll::Pending };
                    match flight.poll_arrival(cx) {
                        Poll::Ready(arrived) => {
                            let waiter = State::take_waiter(waiter);
                            match rider.take() {
                                Some(rider) => State::arrive(this.layer, rider, waiter, arrived, *warns)?,
                                None => return Poll::Pending,
                            }
                        }
                        Poll::Pending if waiter.is_none() => return Poll::Pending,
                        Poll::Pending => {
                            let core = &this.layer.core;
                            let patience =
                                this.patience.get_or_insert_with(|| core.clock.sleep(core.limits.wait));
                            ready!(Pin::new(patience).poll(cx));
                            *rider = None;
                            match State::take_waiter(waiter) {
                                Some((service, request)) => State::forward(
                                    this.layer,
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
