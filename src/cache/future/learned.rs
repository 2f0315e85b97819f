//! What a request has learned while it waited for somebody else's call.

use crate::cache::flight::Flight;
use http::HeaderName;
use std::sync::Arc;

/// Kept from one wait to the next.
#[derive(Clone, Debug, Default)]
pub(in crate::cache) struct Learned {
    /// What an answer to the same URL turned out to vary by.
    pub(in crate::cache) varies_by: Option<Arc<[HeaderName]>>,
    /// It has waited twice for an answer that it could not use: the next call is its own.
    pub(in crate::cache) goes_alone: bool,
    /// The call whose answer it could not use.
    waited_for: Option<Arc<Flight>>,
}

impl Learned {
    pub(super) fn varying(earlier: Option<Box<Self>>, names: Arc<[HeaderName]>) -> Box<Self> {
        let mut learned = earlier.unwrap_or_default();
        learned.varies_by = Some(names);
        learned
    }

    /// After a wait for an answer that was not for this request.
    pub(super) fn in_vain(earlier: Option<Box<Self>>, flight: Arc<Flight>) -> Box<Self> {
        let mut learned = earlier.unwrap_or_default();
        learned.goes_alone = learned.waited_for.replace(flight).is_some();
        learned
    }

    /// Whether the request came before the call was made: it waited for an earlier one under the same key, which this
    /// one has followed.
    pub(super) fn came_before(&self, flight: &Arc<Flight>) -> bool {
        let earlier = self.waited_for.as_ref().filter(|earlier| !Arc::ptr_eq(earlier, flight));
        earlier.is_some_and(|earlier| earlier.key() == flight.key())
    }
}
