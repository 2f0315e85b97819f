//! What requests read: immutable, replaced whole by an edit.

use super::{
    config::{DEFAULT_STAGE, NoRoute},
    domain::CustomDomain,
};
use crate::{
    context::comparable_host,
    route::{Scope, decode_unreserved},
};
use std::sync::Arc;

/// All stages and domains at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    /// Sorted by name.
    pub(super) stages: Vec<(Arc<str>, StageSnapshot)>,
    pub(super) domains: Vec<CustomDomain>,
    pub(super) default_endpoint_disabled: bool,
    pub(super) no_route: NoRoute,
}

/// One stage at one moment.
#[derive(Clone, Debug)]
pub(super) struct StageSnapshot {
    pub(super) main: Arc<Scope>,
    pub(super) canary: Option<CanarySnapshot>,
}

#[derive(Clone, Debug)]
pub(super) struct CanarySnapshot {
    /// Of 2^32; 2^32 is always.
    pub(super) threshold: u64,
    pub(super) scope: Arc<Scope>,
}

impl StageSnapshot {
    /// The scope that serves one request; `draw` is uniform.
    pub(super) fn choose(&self, draw: impl FnOnce() -> u32) -> &Arc<Scope> {
        match &self.canary {
            Some(canary) if canary.threshold > 0 && u64::from(draw()) < canary.threshold => &canary.scope,
            _ => &self.main,
        }
    }
}

/// Where a request goes.
#[derive(Debug)]
pub(super) struct Target<'a> {
    pub(super) stage: &'a StageSnapshot,
    /// Where the routed path begins in the path as received.
    pub(super) path_start: usize,
    pub(super) base_path: Option<&'a str>,
}

impl Snapshot {
    pub(super) fn stage(&self, name: &[u8]) -> Option<&StageSnapshot> {
        let index = self.stages.binary_search_by(|(own, _)| own.as_bytes().cmp(name)).ok()?;
        Some(&self.stages[index].1)
    }

    /// Finds the stage of a request; `None` is answered with 403 `Forbidden`.
    pub(super) fn target(&self, host: Option<&str>, path: &str) -> Option<Target<'_>> {
        match host.and_then(|host| self.domain(host)) {
            Some(domain) => self.by_domain(domain, path),
            None if self.default_endpoint_disabled => None,
            None => self.by_first_segment(path),
        }
    }

    /// The domain of a host; an exact name outranks a wildcard. A host without a comparable form is no domain's.
    fn domain(&self, host: &str) -> Option<&CustomDomain> {
        if self.domains.is_empty() {
            return None;
        }
        let host = comparable_host(host)?;
        let fits = |wildcard| {
            self.domains.iter().find(|domain| domain.is_wildcard() == wildcard && domain.is_host(&host))
        };
        fits(false).or_else(|| fits(true))
    }

    fn by_domain<'a>(&'a self, domain: &'a CustomDomain, path: &str) -> Option<Target<'a>> {
        let start = leading_slashes(path);
        let (mapping, end) = domain.resolve(&path[start..])?;
        let stage = self.stage(mapping.stage.as_bytes())?;
        let base_path = if mapping.base_path.is_empty() { "(none)" } else { &mapping.base_path };
        Some(Target { stage, path_start: start + end, base_path: Some(base_path) })
    }

    /// `CONNECT` and `OPTIONS *` have no path, so they name no stage.
    fn by_first_segment(&self, path: &str) -> Option<Target<'_>> {
        let start = leading_slashes(path);
        let segment = path[start..].strip_prefix('/').and_then(|rest| rest.split('/').next()).unwrap_or("");
        // However it is spelled: an escaped name is the same one.
        let name = decode_unreserved(segment);
        let named = self.stage(&name).filter(|_| *name != *DEFAULT_STAGE.as_bytes());
        let default = || self.stage(DEFAULT_STAGE.as_bytes()).map(|stage| (stage, start));
        let (stage, path_start) = named.map(|stage| (stage, start + 1 + segment.len())).or_else(default)?;
        Some(Target { stage, path_start, base_path: None })
    }
}

/// Where the last of the slashes at the start of a path is: `//stage/x` is `/stage/x`.
pub(super) fn leading_slashes(path: &str) -> usize {
    path.bytes().take_while(|byte| *byte == b'/').count().saturating_sub(1)
}
