//! What is known of a request that no route was found for, and of a preflight.

use super::RequestContext;
use crate::route::{MatchedRoute, Scope, StageScope};
use std::sync::Arc;

/// A rare slot: what is matched has all of it in its route, unless it is a preflight.
#[derive(Debug)]
#[cfg_attr(
    not(all(feature = "stage", feature = "cors")),
    allow(dead_code, reason = "stages know such requests, and CORS asks about preflights")
)]
pub(crate) struct Unrouted {
    pub(crate) scope: Arc<Scope>,
    /// The resource, by the method that a preflight names or by the path alone: CORS goes by it.
    pub(crate) resource: Option<MatchedRoute>,
}

impl RequestContext {
    #[cfg(feature = "stage")]
    pub(crate) fn set_unrouted(&self, unrouted: Box<Unrouted>) {
        let _first_writer_wins = self.0.unrouted.set(unrouted);
    }

    /// The stage, also of a request that was refused for its path or method.
    pub(super) fn stage_scope(&self) -> Option<&StageScope> {
        // The route may be one of a layer's own table.
        let matched = self.route().and_then(|route| route.scope.stage.as_ref());
        matched.or_else(|| self.0.unrouted.get()?.scope.stage.as_ref())
    }

    /// The resource that CORS settings go by: the route; for a preflight, and without a route, the path whatever the
    /// method.
    #[cfg(feature = "cors")]
    pub(crate) fn cors_resource_path(&self) -> Option<&str> {
        let by_path = self.0.unrouted.get().and_then(|unrouted| unrouted.resource.as_ref());
        Some(&by_path.or_else(|| self.route())?.declared().resource_path)
    }
}
