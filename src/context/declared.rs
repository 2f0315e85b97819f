//! The declared method that a layer goes by: that of the request which goes on.

use super::RequestContext;
use crate::route::{ApiMethod, MatchedRoute, Scope, check_path};
use http::Method;
use std::sync::Arc;

impl RequestContext {
    /// The declared method by which a layer lets a request pass: that of the stage, or where no stage has matched that of
    /// the layer's `own` table, even if another layer has matched against a table of its own.
    ///
    /// It is the one of the request that goes on. Where a layer in between has changed the method, what a stage matched
    /// says nothing of it: there is none, and none for a path that is no tail of the received one (routers take a prefix
    /// off for those nested in them). There is none either for a path that no router should be shown. A `HEAD` that is not
    /// declared is judged as the `GET` by which routers answer it.
    pub(crate) fn method_or_match<'a>(
        &'a self,
        own: Option<&'a Arc<Scope>>,
        method: &Method,
        path: &str,
    ) -> Option<&'a ApiMethod> {
        match self.judging_table(own) {
            Some(own) => {
                let index = self.own_match(own, method, path)?;
                check_path(path).ok()?;
                Some(&own.routes.declared(index).method)
            }
            None => {
                let is_as_received = *method == self.0.method;
                let found = self.route().filter(|route| is_as_received && self.is_tail_of(route, path))?;
                Some(&found.declared().method)
            }
        }
    }

    /// Whether a router may have left this path of the routed one. Of a path that is taken off as a whole a slash is left.
    /// Where the routed path is no part of the received one, as of a stage's bare root, nothing but a slash is.
    fn is_tail_of(&self, route: &MatchedRoute, path: &str) -> bool {
        path == "/" || self.routed(route).is_some_and(|routed| routed.ends_with(path))
    }
}
