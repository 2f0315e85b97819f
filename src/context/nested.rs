//! A stage inside of another one: a context of its own, of the same request.

use super::{Inner, RequestContext};
use std::sync::OnceLock;

impl RequestContext {
    /// Whether a stage has matched the request, or found that it has no route. What is inside of a second one must not be
    /// judged by the first one's method.
    #[cfg_attr(not(feature = "stage"), allow(dead_code, reason = "only stages ask"))]
    pub(super) fn is_staged(&self) -> bool {
        self.stage_scope().is_some()
    }

    /// The context of the stage around this one's.
    pub(super) fn outer(&self) -> Option<&Self> {
        self.0.outer.as_ref()
    }
}

impl Inner {
    /// Takes over what is true of the request wherever it is: ids, arrival, what came in, and from whom. Who is calling is
    /// looked up outside until something inside says it.
    #[cfg_attr(not(feature = "stage"), allow(dead_code, reason = "only stages are put into each other"))]
    pub(super) fn continue_from(&mut self, outer: RequestContext) {
        let known = &*outer.0;
        self.ids = known.ids.clone();
        self.arrived = known.arrived;
        // The arrival is not the present.
        #[cfg(feature = "usage-plan")]
        {
            self.maker = None;
        }
        // What was taken off in between was a prefix: a signature is of the whole.
        if known.uri.path().ends_with(self.uri.path()) {
            self.uri = known.uri.clone();
        }
        take_over(&mut self.kind, &known.kind);
        take_over(&mut self.peer, &known.peer);
        take_over(&mut self.client, &known.client);
        take_over(&mut self.ingress, &known.ingress);
        #[cfg(feature = "mtls")]
        if known.client_certificate.is_some() {
            self.client_certificate.clone_from(&known.client_certificate);
        }
        self.outer = Some(outer);
    }
}

/// The word of layers outside goes first.
fn take_over<T: Clone>(slot: &mut OnceLock<T>, outer: &OnceLock<T>) {
    if outer.get().is_some() {
        slot.clone_from(outer);
    }
}
