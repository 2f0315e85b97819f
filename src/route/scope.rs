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
