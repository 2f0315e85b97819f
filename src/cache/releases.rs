//! Which releases of a stage there may be entries of: a roll back brings those of an earlier one to light again, and the
//! next canary those of the one before.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

/// Stages with deployments, as calls were begun for them. Read by every such call, and written when a stage comes, and once
/// more when it has a second release.
#[derive(Debug, Default)]
pub(super) struct Releases(RwLock<HashMap<Box<[u8]>, Stage>>);

#[derive(Debug)]
struct Stage {
    /// The first one.
    deployment: Box<[u8]>,
    /// There was another one, or a canary.
    has_others: bool,
}

impl Stage {
    fn has_beside(&self, deployment: &[u8], is_canary: bool) -> bool {
        self.has_others || is_canary || *self.deployment != *deployment
    }
}

impl Releases {
    /// A call is begun: before its answer is stored, which may be while somebody asks.
    pub(super) fn note(&self, stage: &[u8], deployment: &[u8], is_canary: bool) {
        // Behind no stage there is no deployment to go back to.
        if stage.is_empty() || self.knows(stage, deployment, is_canary) {
            return;
        }
        let mut stages = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let new = || Stage { deployment: deployment.into(), has_others: false };
        let known = stages.entry(stage.into()).or_insert_with(new);
        known.has_others = known.has_beside(deployment, is_canary);
    }

    /// Whether a release would change nothing.
    fn knows(&self, stage: &[u8], deployment: &[u8], is_canary: bool) -> bool {
        self.of(stage, |known| known.has_others || !known.has_beside(deployment, is_canary))
    }

    /// Whether there may be entries of a stage that are of another deployment, or of a canary.
    pub(super) fn are_of_others(&self, stage: &[u8], deployment: &[u8]) -> bool {
        self.of(stage, |known| known.has_beside(deployment, false))
    }

    /// `false` of a stage that has none.
    fn of(&self, stage: &[u8], is: impl FnOnce(&Stage) -> bool) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(stage).is_some_and(is)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_with_two_deployments_has_others() {
        let releases = Releases::default();
        for _ in 0..3 {
            releases.note(b"prod", b"v1", false);
            releases.note(b"beta", b"v2", false);
        }
        assert!(!releases.are_of_others(b"prod", b"v1") && !releases.are_of_others(b"beta", b"v2"));
        assert!(releases.are_of_others(b"prod", b"v2"), "v1 is there");
        releases.note(b"prod", b"v2", false);
        assert!(releases.are_of_others(b"prod", b"v1") && !releases.are_of_others(b"beta", b"v2"));
        releases.note(b"own", b"v1", true);
        assert!(releases.are_of_others(b"own", b"v1"), "the canary's own");
        (0..200).for_each(|number| releases.note(b"many", &[number], false));
        (0..200).for_each(|number| releases.note(&[number], b"v1", false));
        assert!(releases.are_of_others(b"many", b"new"));
        assert!(
            !releases.are_of_others(b"beta", b"v2") && !releases.are_of_others(&[7], b"v1"),
            "what others do"
        );
    }
}
