//! An answer that passes by: the service's own, to one request, which is not stored.

use crate::{
    body::GatewayBody,
    cache::{
        flight::RequestSnapshot,
        plan::LayerState,
        reason::{CacheStatus, NoCacheReason},
        respond::pass,
        rules::Provenance,
    },
    clock::Timestamp,
};
use http::Response;

/// What is done to an answer that passes by.
#[derive(Debug)]
pub(super) struct Passage {
    pub(super) reason: NoCacheReason,
    /// The client wanted to invalidate and may not.
    pub(super) warns: bool,
    pub(super) started: Timestamp,
    /// Where the answer may invalidate entries.
    pub(super) watched: Option<Box<RequestSnapshot>>,
}

impl Passage {
    pub(super) fn leave<R>(
        &mut self,
        layer: &LayerState,
        mut response: Response<R>,
    ) -> Response<GatewayBody<R>> {
        let now = layer.core.clock.now();
        if let Some(watched) = self.watched.take() {
            layer.invalidate(&watched, &response, (self.started, now));
        }
        let (status, reason) = (CacheStatus::Bypass, Some(self.reason));
        let provenance =
            Provenance { status, reason, forward_status: None, stored: false, not_stored: None, now };
        pass(layer, &mut response, provenance, self.warns);
        response.map(GatewayBody::new)
    }
}
