//! What comes after a call that may be shared: an answer, or another way to get one.

use super::{
    State,
    learned::Learned,
    source::{Source, Waiter},
    view,
};
use crate::{
    body::{BoxError, GatewayBody},
    cache::{
        flight::{Arrived, Own, Rider},
        plan::LayerState,
        reason::{CacheStatus, NoCacheReason},
        respond::{answer_landed, answer_stream, pass},
        rules::Provenance,
        seat::{Fit, fit},
    },
    context::RequestContext,
    response::{Cause, GatewayError, Remains, ResponseType},
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
    /// What comes after a wait: an answer, or another way to get one.
    pub(super) fn arrive(
        layer: &Arc<LayerState>,
        rider: Rider,
        waiter: Option<Box<Waiter<S, B>>>,
        (arrived, own): (Arrived, Option<Own>),
        warns: bool,
    ) -> Result<Self, E> {
        match waiter {
            None => arrive_first(layer, rider, (arrived, own), warns).map(Self::answered),
            Some(waiter) => Ok(Self::arrive_after(layer, rider, *waiter, arrived, warns)),
        }
    }

    fn arrive_after(
        layer: &Arc<LayerState>,
        rider: Rider,
        waiter: Waiter<S, B>,
        arrived: Arrived,
        warns: bool,
    ) -> Self {
        let Waiter { service, request, learned } = waiter;
        let source = Source::Taken(service);
        let flight = rider.flight_shared();
        let came_before = learned.as_ref().is_some_and(|learned| learned.came_before(&flight));
        match fit(layer, view(&request), &arrived, came_before) {
            Fit::Shared => Self::share(layer, rider, &request, arrived, warns),
            Fit::Released(reason) => Self::forward(layer, source, request, reason, warns),
            Fit::Failed => {
                drop(rider);
                Self::begin(layer, source, request, learned, None)
            }
            Fit::Varies(names) => {
                drop(rider);
                // A call of its own, beside the one for other values.
                Self::begin(layer, source, request, Some(Learned::varying(learned, names)), None)
            }
            Fit::Unfit => {
                drop(rider);
                Self::begin(layer, source, request, Some(Learned::in_vain(learned, flight)), None)
            }
        }
    }

    fn share(layer: &LayerState, rider: Rider, request: &Request<B>, arrived: Arrived, warns: bool) -> Self {
        let outcome = (CacheStatus::Collapsed, None);
        Self::answered(match arrived {
            Arrived::Streaming(head) => {
                answer_stream(layer, view(request), (rider, &head), None, outcome, warns)
            }
            Arrived::Entry(entry, how) => {
                answer_landed(layer, view(request), (&entry, how), None, outcome, warns)
            }
            // Fits nobody.
            Arrived::Released(_) | Arrived::Failed => {
                GatewayError::new(ResponseType::Default5xx, Cause::SharedCallFailed).refuse_in(
                    RequestContext::of(request.extensions()),
                    Remains::of_head(*request.method() == Method::HEAD),
                )
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
        Arrived::Released(why) => raw(layer, &rider, (reason, why), warns),
        Arrived::Failed => raw(layer, &rider, (reason, NoCacheReason::ServiceError), warns),
    }
}

/// The service's own answer, which is for nobody else.
fn raw<R, E>(
    layer: &LayerState,
    rider: &Rider,
    (reason, why): (NoCacheReason, NoCacheReason),
    warns: bool,
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
        return Ok(error.refuse_in(context, Remains::of_head(job.request.method == Method::HEAD)));
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
    pass(layer, &mut response, provenance, warns);
    Ok(response.map(GatewayBody::new))
}
