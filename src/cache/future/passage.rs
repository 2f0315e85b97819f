//! An answer that passes by: the service's own, to one request, which is not stored.

use crate::{
    body::GatewayBody,
    cache::{
        answer::is_given_up,
        flight::RequestSnapshot,
        plan::LayerState,
        reason::NoCacheReason,
        respond::pass,
        rules::{Provenance, ResponseView},
    },
    clock::Timestamp,
};
use http::{HeaderMap, Response, StatusCode};
use std::sync::Arc;

/// What is done to an answer that passes by.
#[derive(Debug)]
pub(super) struct Passage {
    pub(super) reason: NoCacheReason,
    /// The client wanted to invalidate and may not.
    pub(super) warns: bool,
    /// Where the answer may invalidate entries.
    pub(super) watched: Option<Watched>,
}

impl Passage {
    pub(super) fn leave<R>(
        &mut self,
        layer: &LayerState,
        mut response: Response<R>,
    ) -> Response<GatewayBody<R>> {
        let now = layer.core.clock.now();
        // The gateway's own answer for a service that was given up: dropped, it counts as a change.
        if let Some(watched) = self.watched.take().filter(|_| !is_given_up(response.extensions())) {
            watched.answered(&response, now);
        }
        let (status, reason) = (self.reason.of_passing(), Some(self.reason));
        let provenance =
            Provenance { status, reason, forward_status: None, stored: false, not_stored: None, now };
        pass(layer, &mut response, provenance, self.warns);
        response.map(GatewayBody::new)
    }
}

/// A call that may change what is stored. Dropped without an answer (the client has gone, or the service failed) it may
/// have changed it all the same, so that its own target counts as changed.
pub(super) struct Watched(Option<Box<Watch>>);

struct Watch {
    layer: Arc<LayerState>,
    request: RequestSnapshot,
    started: Timestamp,
}

impl Watched {
    pub(super) fn new(layer: &Arc<LayerState>, request: RequestSnapshot, started: Timestamp) -> Self {
        Self(Some(Box::new(Watch { layer: Arc::clone(layer), request, started })))
    }

    fn answered<R>(mut self, response: &Response<R>, now: Timestamp) {
        if let Some(watch) = self.0.take() {
            watch.invalidate(response.status(), response.headers(), now);
        }
    }
}

impl Watch {
    fn invalidate(&self, status: StatusCode, headers: &HeaderMap, now: Timestamp) {
        let response = ResponseView { status, headers, requested: self.started, responded: now };
        self.layer.invalidate(&self.request, response);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(watch) = self.0.take() {
            let now = watch.layer.core.clock.now();
            watch.invalidate(StatusCode::OK, &HeaderMap::new(), now);
        }
    }
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watched")
    }
}
