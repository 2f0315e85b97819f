//! Which releases of a stage there may be entries of: a roll back brings those of an earlier one to light again, and the
//! next canary those of the one before.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering::SeqCst},
};

/// So many are told apart. A program that deploys more often at run time has several of every stage, as far as this knows.
const KNOWN: usize = 8;

/// Stages with deployments, as calls were begun for them. Read by every such call, and hardly ever written.
#[derive(Debug, Default)]
pub(super) struct Releases {
    known: [OnceLock<Release>; KNOWN],
    are_more: AtomicBool,
}

#[derive(Debug, PartialEq, Eq)]
struct Release {
    stage: Box<[u8]>,
    deployment: Box<[u8]>,
    is_canary: bool,
}

impl Release {
    fn is(&self, stage: &[u8], deployment: &[u8], is_canary: bool) -> bool {
        *self.stage == *stage && *self.deployment == *deployment && self.is_canary == is_canary
    }
}

impl Releases {
    /// A call is begun: before its answer is stored, which may be while somebody asks.
    pub(super) fn note(&self, stage: &[u8], deployment: &[u8], is_canary: bool) {
        // Behind no stage there is no deployment to go back to.
        if stage.is_empty() {
            return;
        }
        let own = || Release { stage: stage.into(), deployment: deployment.into(), is_canary };
        let mut all = self.known.iter().map(|known| known.get_or_init(own));
        if !all.any(|known| known.is(stage, deployment, is_canary)) && !self.are_more.load(SeqCst) {
            self.are_more.store(true, SeqCst);
        }
    }

    /// Whether there may be entries of a stage that are of another deployment, or of a canary.
    pub(super) fn are_of_others(&self, stage: &[u8], deployment: &[u8]) -> bool {
        let mut known = self.known.iter().filter_map(OnceLock::get).filter(|known| *known.stage == *stage);
        self.are_more.load(SeqCst) || known.any(|known| known.is_canary || *known.deployment != *deployment)
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
        (0..KNOWN as u8).for_each(|number| releases.note(b"many", &[number], false));
        assert!(releases.are_of_others(b"beta", b"v2"), "nobody knows any more");
    }
}
