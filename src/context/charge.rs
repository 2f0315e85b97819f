//! What a request was charged, kept while it may still be refused for its body.

use super::RequestContext;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::Ordering::{AcqRel, Acquire, Release},
    },
};

/// The body is watched while the service works. Until then (0), nothing that is read after the charge can refuse the
/// request.
const WATCHED: u8 = 1;
/// It was refused, after the charge.
const REFUSED: u8 = 2;
/// And the charge was given back.
const GIVEN_BACK: u8 = 3;

/// What is to be given back if the request is refused.
#[derive(Debug)]
pub(crate) enum KeptCharge {
    Plain(PlainCharge),
    /// A reservation, or what a store has decided on.
    Handle(Arc<dyn GiveBack>),
}

/// Whoever can undo a charge, once.
pub(crate) trait GiveBack: fmt::Debug + Send + Sync {
    fn give_back(&self);
}

/// A charge of what is in memory. Who paid, the context knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlainCharge {
    /// The address of the plans that charged it: others have nothing to give back.
    pub(crate) plans: usize,
    /// The number of the stage's bucket; 0: none gave tokens.
    pub(crate) stage: u64,
    /// The same of the account's.
    pub(crate) account: u64,
    pub(crate) cost: u32,
    /// What was taken of a plan, if the request has one.
    pub(crate) of_plan: Option<PlanCharge>,
}

/// The share of a plan in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlanCharge {
    /// Whose bucket: the key's own, or the one of this method.
    pub(crate) method: Option<u64>,
    pub(crate) plan: u32,
    pub(crate) period: i32,
    pub(crate) day: i32,
    pub(crate) took_tokens: bool,
    /// The quota's units had been in hand.
    pub(crate) from_hand: bool,
}

impl RequestContext {
    /// The body is watched: what the request is charged is to be kept.
    pub(crate) fn expect_late_refusal(&self) {
        self.0.late_refusal.store(WATCHED, Release);
    }

    /// Whether the body is watched, so that the request may yet be refused for it.
    pub(crate) fn may_be_refused_late(&self) -> bool {
        self.0.late_refusal.load(Acquire) == WATCHED
    }

    /// A refusal takes the place of the service's answer.
    pub(crate) fn note_late_refusal(&self) {
        let _if_watched = self.0.late_refusal.compare_exchange(WATCHED, REFUSED, AcqRel, Acquire);
    }

    pub(crate) fn set_charge(&self, charge: KeptCharge) {
        let _first_writer_wins = self.0.charge.set(charge);
    }

    /// The charge of a request that was refused after it, once.
    pub(crate) fn revoked_charge(&self) -> Option<&KeptCharge> {
        let state = &self.0.late_refusal;
        if state.load(Acquire) != REFUSED {
            return None;
        }
        let first = state.compare_exchange(REFUSED, GIVEN_BACK, AcqRel, Acquire);
        self.0.charge.get().filter(|_| first.is_ok())
    }

    #[cfg(feature = "usage-plan")]
    pub(super) fn is_given_back(&self) -> bool {
        self.0.late_refusal.load(Acquire) == GIVEN_BACK
    }
}
