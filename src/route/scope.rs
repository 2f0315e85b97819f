//! What one request runs on: an immutable snapshot of stage, resources and settings.

use super::{Declared, PathParams, Routes, settings::ResolvedSettings};
use std::{collections::BTreeMap, sync::Arc};

/// The stage part of a snapshot.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "stage"), allow(dead_code, reason = "made by the stage router only"))]
pub(crate) struct StageScope {
    pub(crate) name: Arc<str>,
    pub(crate) deployment_id: Arc<str>,
    pub(crate) variables: Arc<BTreeMap<String, String>>,
    /// Present only while the stage has canary settings.
    pub(crate) canary: Option<bool>,
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
}

impl MatchedRoute {
    pub(crate) fn declared(&self) -> &Declared {
        self.scope.routes.declared(self.method)
    }

    #[cfg_attr(not(feature = "usage-plan"), allow(dead_code, reason = "only plans have settings yet"))]
    pub(crate) fn settings(&self) -> Option<&ResolvedSettings> {
        self.scope.settings.get(self.method as usize)
    }
}
