//! From a request to the state of its future: answered at once, forwarded, or with a seat in a call.

use super::{
    State,
    learned::Learned,
    passage::{Passage, Watched},
    source::{Source, Waiter},
    view,
};
use crate::{
    body::{BoxError, GatewayBody},
    cache::{
        flight::{Call, RequestSnapshot, Rider},
        plan::{Fetch, LayerState, Plan, Serve},
        present::Present,
        reason::{CacheStatus, NoCacheReason},
        respond::answer_entry,
        rules::Provenance,
        seat::{Seat, take_seat},
        tier::Told,
    },
    clock::Timestamp,
    context::RequestContext,
    response::Remains,
};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use std::{future::Future, sync::Arc};
use tower_service::Service;

impl<S, B, R, E, F> State<S, B, R, F>
where
    S: Service<Request<B>, Response = Response<R>, Error = E, Future = F> + Clone,
    B: Body,
    F: Future<Output = Result<Response<R>, E>> + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
    E: Send + 'static,
{
    /// `told`: what the second tier has said.
    pub(super) fn begin(
        layer: &Arc<LayerState>,
        source: Source<'_, S>,
        request: Request<B>,
        learned: Option<Box<Learned>>,
        told: Option<Told>,
    ) -> Self {
        let now = layer.core.clock.now();
        match layer.plan(view(&request), learned.as_deref(), now) {
            Plan::Forward { reason, warns } => Self::forward(layer, source, request, reason, warns),
            Plan::Refuse(error, reason) => {
                note_without(layer, &request, CacheStatus::Bypass, reason);
                let context = RequestContext::of(request.extensions());
                let mut response =
                    error.refuse_in(context, Remains::of_head(*request.method() == Method::HEAD));
                layer.core.rules.refused(Response::headers_mut(&mut response));
                Self::answered(response)
            }
            Plan::Serve(serve) => Self::serve(layer, source, request, serve, now),
            Plan::Fetch(fetch) => Self::ask_or_fetch(layer, source, request, fetch, (learned, told), now),
        }
    }

    /// Asks the second tier, where there is one and it has not been asked yet.
    fn ask_or_fetch(
        layer: &Arc<LayerState>,
        source: Source<'_, S>,
        request: Request<B>,
        mut fetch: Fetch,
        (learned, told): (Option<Box<Learned>>, Option<Told>),
        now: Timestamp,
    ) -> Self {
        match told {
            None if layer.core.tier.is_some() => {
                if let Some(asking) = layer.ask_tier(&fetch) {
                    let waiter = Some(Box::new(Waiter { service: source.take(), request, learned }));
                    return Self::Asking { asking, waiter, warns: fetch.lookup.warn };
                }
            }
            Some(Told::Lead(lead)) => fetch.lead = Some(lead),
            _ => {}
        }
        Self::fetch(layer, source, request, fetch, learned, now)
    }

    /// Begins again with what the second tier said.
    pub(super) fn asked(layer: &Arc<LayerState>, waiter: Waiter<S, B>, told: Told) -> Self {
        let Waiter { service, request, learned } = waiter;
        let source = Source::Taken(service);
        match told {
            // Its answers lie elsewhere, each for other values.
            Told::Varies(names) => {
                let learned = Learned::varying(learned, names);
                Self::begin(layer, source, request, Some(learned), None)
            }
            told => Self::begin(layer, source, request, learned, Some(told)),
        }
    }

    pub(super) fn answered(response: Response<GatewayBody<R>>) -> Self {
        Self::Answered { response: Some(response) }
    }

    /// A call for this request alone, whose answer is not stored.
    pub(super) fn forward(
        layer: &Arc<LayerState>,
        mut source: Source<'_, S>,
        request: Request<B>,
        reason: NoCacheReason,
        warns: bool,
    ) -> Self {
        note_without(layer, &request, reason.of_passing(), reason);
        let core = &layer.core;
        let watched = core.rules.watches(request.method()).then(|| {
            let snapshot = RequestSnapshot::whole(view(&request));
            Watched::new(layer, snapshot, core.clock.now())
        });
        let passage = Passage { reason, warns, watched };
        Self::Forwarded { future: source.call(request), passage }
    }

    /// It has waited as long as is allowed.
    pub(super) fn waited_in_vain(layer: &Arc<LayerState>, waiter: Waiter<S, B>, warns: bool) -> Self {
        let source = Source::Taken(waiter.service);
        Self::forward(layer, source, waiter.request, NoCacheReason::WaitTimeout, warns)
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

    /// Answers, and refreshes the entry in a task of its own, unless somebody else does already. Whatever the client has
    /// asked with, the cache asks for what it keeps.
    fn refresh(
        layer: &Arc<LayerState>,
        source: Source<'_, S>,
        mut request: Request<B>,
        mut fetch: Fetch,
        response: Response<GatewayBody<R>>,
        now: Timestamp,
    ) -> Self {
        if tokio::runtime::Handle::try_current().is_err() {
            // Nobody would drive the refresh.
            return Self::fetch(layer, source, request, fetch, None, now);
        }
        if std::mem::take(&mut fetch.lookup.as_get) {
            *request.method_mut() = Method::GET;
        }
        let present = fetch.present;
        if let Seat::Leader(rider) = take_seat(layer, view(&request), fetch, now) {
            #[cfg(feature = "access-log")]
            RequestContext::of(request.extensions()).inspect(|context| context.begin_refresh());
            let _fetched = Self::fly(layer, source, (request, present), rider).drain();
        }
        Self::answered(response)
    }

    fn fetch(
        layer: &Arc<LayerState>,
        source: Source<'_, S>,
        request: Request<B>,
        fetch: Fetch,
        learned: Option<Box<Learned>>,
        now: Timestamp,
    ) -> Self {
        let (warns, present) = (fetch.lookup.warn, fetch.present);
        match take_seat(layer, view(&request), fetch, now) {
            Seat::Leader(rider) => {
                let rider = Self::fly(layer, source, (request, present), rider);
                Self::Riding { rider: Some(rider), waiter: None, warns }
            }
            Seat::Follower(rider) => {
                let waiter = Box::new(Waiter { service: source.take(), request, learned });
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
        (mut request, present): (Request<B>, Present),
        rider: Rider,
    ) -> Rider {
        let entry = rider.flight().job().entry.as_deref();
        #[cfg(feature = "access-log")]
        if entry.is_some() {
            RequestContext::of(request.extensions()).inspect(|context| context.note_stand_in());
        }
        layer.core.rules.prepare(request.headers_mut(), present, entry);
        rider.flight().start(Call::motor(source.call(request)));
        rider
    }
}

/// Notes an answer that the cache has no part in.
fn note_without<B>(layer: &LayerState, request: &Request<B>, status: CacheStatus, reason: NoCacheReason) {
    layer.core.counters.answered(status, Some(reason));
    if let Some(context) = RequestContext::of(request.extensions()) {
        context.note_cache(status, Some(reason), None);
    }
}
