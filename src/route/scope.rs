//! What one request runs on: an immutable snapshot of stage, resources and settings.

use super::{Declared, PathParams, Routes, settings::ResolvedSettings};
use http::Method;
use std::{collections::BTreeMap, sync::Arc};

/// The stage part of a snapshot.
#[derive(Clone, Debug)]
pub(crate) struct StageScope {
    pub(crate) name: Arc<str>,
    pub(crate) deployment_id: Arc<str>,
    pub(crate) variables: Arc<BTreeMap<String, String>>,
    /// Present only while the stage has canary settings.
    pub(crate) canary: Option<bool>,
    /// Its cached answers are not the stage's (`useStageCache` is not set on a canary).
    pub(crate) has_own_cache: bool,
}

/// A snapshot; a request keeps the one it started on.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) stage: Option<StageScope>,
    pub(crate) routes: Routes,
    /// By index of the declared method.
    pub(crate) settings: Box<[ResolvedSettings]>,
}

impl Scope {
    /// Whether a match in one is a match in the other: layers that were given the same table have each a scope of it.
    pub(crate) fn has_table_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.routes.table, &other.routes.table)
    }

    /// The index of a declared method in the table of a layer that stands alone.
    pub(crate) fn search_alone(&self, method: &Method, path: &str) -> Option<u32> {
        let find = |method| self.routes.search(method, path).map(|(index, _)| index);
        let own = find(Some(method));
        if *method != Method::HEAD {
            return own;
        }
        // Routers choose the path first, and then answer by the handler of `GET` where there is none of `HEAD`.
        let resource = |index| &self.routes.declared(index).resource_path;
        let (by_get, nearest) = (find(Some(&Method::GET)), find(None).map(resource));
        let is_nearest = |index: &u32| Some(resource(*index)) == nearest;
        own.filter(is_nearest).or(by_get.filter(is_nearest)).or(own).or(by_get)
    }
}

/// The declared method a request was matched to, and where its path variables are.
#[derive(Clone, Debug)]
pub(crate) struct MatchedRoute {
    pub(crate) scope: Arc<Scope>,
    pub(crate) method: u32,
    pub(crate) params: PathParams,
    /// Where in the path as received the routed path begins; `None` where it was rewritten.
    pub(crate) base: Option<u32>,
}

impl MatchedRoute {
    /// Matches `path`, the part of `received` that is routed.
    pub(crate) fn find(
        scope: &Arc<Scope>,
        verb: Option<&Method>,
        path: &str,
        received: &str,
    ) -> Option<Self> {
        let (method, params) = scope.routes.search(verb, path)?;
        let base = received.strip_suffix(path).map(|prefix| prefix.len() as u32);
        Some(Self { scope: Arc::clone(scope), method, params, base })
    }

    /// The same in the table of a layer that stands alone.
    #[cfg(feature = "cache")]
    pub(crate) fn find_alone(scope: &Arc<Scope>, verb: &Method, path: &str, received: &str) -> Option<Self> {
        let index = scope.search_alone(verb, path)?;
        let verb = scope.routes.declared(index).verb.as_ref().unwrap_or(verb);
        Self::find(scope, Some(verb), path, received)
    }

    /// A path variable, cut from the path as received.
    pub(crate) fn path_parameter<'a>(&self, name: &str, received: &'a str) -> Option<&'a str> {
        let path = received.get(self.base? as usize..)?;
        self.declared().variable(name, &self.params, path)
    }

    /// The same, cut from a path that leads to the same method.
    #[cfg(feature = "cache")]
    pub(crate) fn path_parameter_of<'a>(&self, name: &str, verb: &Method, path: &'a str) -> Option<&'a str> {
        let (method, params) = self.scope.routes.search(Some(verb), path)?;
        if method == self.method { self.declared().variable(name, &params, path) } else { None }
    }

    pub(crate) fn declared(&self) -> &Declared {
        self.scope.routes.declared(self.method)
    }

    pub(crate) fn settings(&self) -> Option<&ResolvedSettings> {
        self.scope.settings.get(self.method as usize)
    }
}
