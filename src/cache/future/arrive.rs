//! What comes after a call that may be shared: an answer, or another way to get one.

use super::{State, source::Source, view};
use crate::{
    body::{BoxError, GatewayBody},
    cache::{
        flight::{Arrived, Own, Rider},
        plan::LayerState,
        reason::{CacheStatus, NoCacheReason},
        respond::{answer_landed, answer_stream, pass},
        rules::Provenance,
        seat::is_shared,
    },
    context::RequestContext,
    response::{Cause, GatewayError, ResponseType},
};
use bytes::Bytes;
use http::{Request, Response};
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
                return Self::forward(layer, source, request, NoCacheReason::HitForMiss, warns);
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
                None => Self::forward(layer, source, request, NoCacheReason::Authorization, warns),
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
    pass(layer, &mut response, provenance, warns);
    Ok(response.map(GatewayBody::new))
}
