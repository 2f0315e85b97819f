//! CORS as a phase of `Gateway`, which keeps the layer itself at hand until the answer is there.

use super::{CorsLayer, layer::Place, origin::Allowed, touch::touch};
use crate::context::RequestContext;
use http::{HeaderMap, HeaderValue, Request, header::ORIGIN};

/// What CORS makes of a request.
#[derive(Debug)]
pub(crate) enum CorsDecision {
    /// The headers of the 204 that answers it.
    Preflight(HeaderMap),
    /// It goes on; the answer is to be touched, where CORS is on.
    Actual(Option<PendingTouch>),
}

/// What is to be done to an answer, by reference to the layer.
#[derive(Debug)]
pub(crate) struct PendingTouch {
    place: Place,
    origin: Option<HeaderValue>,
}

impl CorsLayer {
    pub(crate) fn decide<B>(&self, context: &RequestContext, request: &Request<B>) -> CorsDecision {
        let config = &*self.config;
        let place = match config.resources.is_empty() {
            true => Place::Default,
            false => config.place(context.cors_resource_path()),
        };
        let Some(policy) = config.policy_at(place) else { return CorsDecision::Actual(None) };
        match policy.answer_preflight(request.method(), request.headers()) {
            Some(headers) => CorsDecision::Preflight(headers),
            None => {
                let allowed = policy.judge(request.headers());
                let own = (allowed == Allowed::Itself).then(|| request.headers().get(ORIGIN)).flatten();
                let origin = policy.value(allowed, own);
                CorsDecision::Actual(Some(PendingTouch { place, origin }))
            }
        }
    }

    pub(crate) fn touch(&self, pending: PendingTouch, headers: &mut HeaderMap) {
        if let Some(policy) = self.config.policy_at(pending.place) {
            touch(policy, pending.origin, headers);
        }
    }
}
