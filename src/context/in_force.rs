//! The declared method whose limits hold for a request: that of a stage, or that of a layer's own table.

use super::RequestContext;
use crate::route::{ApiMethod, Declared, MatchedRoute, ResolvedSettings, Scope, StageScope};
use http::Method;
#[cfg(feature = "cache")]
use std::borrow::Cow;
use std::sync::Arc;

/// A declared method, in the table in which it was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MethodInForce<'a> {
    scope: &'a Scope,
    index: u32,
    /// Routers answer by its handler a `HEAD` that nobody has declared: the layer stands alone.
    answers_head: bool,
}

#[allow(dead_code, reason = "not every feature set has limits per method")]
impl<'a> MethodInForce<'a> {
    fn of(route: &'a MatchedRoute) -> Self {
        Self { scope: &route.scope, index: route.method, answers_head: false }
    }

    pub(crate) fn declared(&self) -> &'a Declared {
        self.scope.routes.declared(self.index)
    }

    pub(crate) fn method(&self) -> &'a ApiMethod {
        &self.declared().method
    }

    pub(crate) fn settings(&self) -> Option<&'a ResolvedSettings> {
        self.scope.settings.get(self.index as usize)
    }

    pub(crate) fn stage(&self) -> Option<&'a StageScope> {
        self.scope.stage.as_ref()
    }

    /// The verb whose settings hold where none are for `verb` itself.
    pub(crate) fn stand_in(&self, verb: &Method) -> Option<&'static Method> {
        let is_head =
            self.answers_head && *verb == Method::HEAD && self.declared().verb.as_ref() != Some(verb);
        is_head.then_some(&Method::GET)
    }
}

impl RequestContext {
    /// The declared method whose limits hold. A stage's goes before; where none has matched, a layer with a table of its
    /// `own` finds it there, whatever another layer has matched against, for the method and path that go on. A `HEAD`
    /// that is not declared goes by the `GET` by which routers answer it.
    #[allow(dead_code, reason = "not every feature set has limits per method")]
    pub(crate) fn method_in_force<'a>(
        &'a self,
        own: Option<&'a Arc<Scope>>,
        method: &Method,
        path: &str,
    ) -> Option<MethodInForce<'a>> {
        match self.judging_table(own) {
            None => self.route().map(MethodInForce::of),
            Some(own) => {
                let index = self.own_match(own, method, path)?;
                Some(MethodInForce { scope: own, index, answers_head: true })
            }
        }
    }

    /// The layer's own table, unless a stage has matched.
    pub(crate) fn judging_table<'a>(&self, own: Option<&'a Arc<Scope>>) -> Option<&'a Arc<Scope>> {
        own.filter(|_| self.route().is_none_or(|route| route.scope.stage.is_none()))
    }

    /// The index of the declared method in a layer's own table, noted as the request's route if there is none yet.
    pub(super) fn own_match(&self, own: &Arc<Scope>, method: &Method, path: &str) -> Option<u32> {
        let is_as_received = *method == self.0.method;
        let route = if is_as_received { self.route_or_match(own, path) } else { None };
        let is_settled = *method != Method::HEAD;
        match route.filter(|route| is_settled && self.is_match_of(route, own, path)) {
            Some(route) => Some(route.method),
            None => own.search_alone(method, path),
        }
    }

    /// The same with its path variables.
    #[cfg(feature = "cache")]
    pub(crate) fn own_route<'a>(
        &'a self,
        own: &Arc<Scope>,
        method: &Method,
        path: &str,
    ) -> Option<Cow<'a, MatchedRoute>> {
        let index = self.own_match(own, method, path)?;
        match self.route().filter(|route| route.method == index && self.is_match_of(route, own, path)) {
            Some(noted) => Some(Cow::Borrowed(noted)),
            None => MatchedRoute::find_alone(own, method, path, self.0.uri.path()).map(Cow::Owned),
        }
    }

    /// Whether the route is what this table has for the path: it may have been found before a layer changed the path.
    fn is_match_of(&self, route: &MatchedRoute, own: &Arc<Scope>, path: &str) -> bool {
        route.scope.has_table_of(own) && self.routed(route) == Some(path)
    }

    /// The path that was matched, as it stands in the path as received.
    pub(super) fn routed(&self, route: &MatchedRoute) -> Option<&str> {
        route.base.and_then(|base| self.0.uri.path().get(base as usize..))
    }

    /// Matches against a layer's own table unless an outer layer already matched.
    fn route_or_match(&self, own: &Arc<Scope>, path: &str) -> Option<&MatchedRoute> {
        if self.route().is_none()
            && let Some(found) = MatchedRoute::find(own, Some(self.method()), path, self.0.uri.path())
        {
            self.set_route(found);
        }
        self.route()
    }
}
