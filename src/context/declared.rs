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
        let is_as_received = *method == self.0.method;
        let route = if is_as_received { self.route_or_match(own, path) } else { self.route() };
        match (route, own) {
            (route, Some(own)) if route.is_none_or(|route| route.scope.stage.is_none()) => {
                let is_settled = is_as_received && *method != Method::HEAD;
                let found = route.filter(|route| is_settled && self.is_match_of(route, own, path));
                let index = match found {
                    Some(route) => route.method,
                    None => find_declared(own, method, path)?,
                };
                check_path(path).ok()?;
                Some(&own.routes.declared(index).method)
            }
            (route, _) => {
                let found = route.filter(|route| is_as_received && self.is_tail_of(route, path))?;
                Some(&found.declared().method)
            }
        }
    }

    /// Whether the route is what this table has for the path: it may have been found before a layer changed the path.
    fn is_match_of(&self, route: &MatchedRoute, own: &Arc<Scope>, path: &str) -> bool {
        Arc::ptr_eq(&route.scope, own) && self.routed(route) == Some(path)
    }

    /// Whether a router may have left this path of the routed one. Of a path that is taken off as a whole a slash is left.
    fn is_tail_of(&self, route: &MatchedRoute, path: &str) -> bool {
        path == "/" || self.routed(route).is_none_or(|routed| routed.ends_with(path))
    }

    fn routed(&self, route: &MatchedRoute) -> Option<&str> {
        route.base.and_then(|base| self.0.uri.path().get(base as usize..))
    }
}

/// The index of a declared method in the table of a layer that stands alone.
fn find_declared(table: &Scope, method: &Method, path: &str) -> Option<u32> {
    let find = |method| table.routes.search(method, path).map(|(index, _)| index);
    let own = find(Some(method));
    if *method != Method::HEAD {
        return own;
    }
    // Routers choose the path first, and then answer by the handler of `GET` where there is none of `HEAD`.
    let resource = |index| &table.routes.declared(index).resource_path;
    let (by_get, nearest) = (find(Some(&Method::GET)), find(None).map(resource));
    let is_nearest = |index: &u32| Some(resource(*index)) == nearest;
    own.filter(is_nearest).or(by_get.filter(is_nearest)).or(own).or(by_get)
}
