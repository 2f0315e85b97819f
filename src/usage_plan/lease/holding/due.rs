//! When a holding is looked at again.

use super::Holding;

impl Holding {
    pub(in crate::usage_plan) fn is_due_soon(&self) -> bool {
        self.hand.due_soon
    }

    pub(in crate::usage_plan) fn set_due(&mut self, at: u64, soon: bool) {
        (self.flight.due, self.hand.due_soon) = (Some(at), soon);
    }

    /// Not before a long time: when the place that it has among the idle falls due, or at `at`, for which it needs one.
    pub(in crate::usage_plan) fn set_idle(&mut self, at: u64) -> bool {
        let needs_place = self.flight.idle.is_none();
        let at = *self.flight.idle.get_or_insert(at);
        self.set_due(at, false);
        needs_place
    }

    /// Whether that is now, and not at another time that was set since.
    pub(in crate::usage_plan) fn fell_due(&mut self, at: u64) -> bool {
        self.flight.idle.take_if(|idle| *idle == at);
        let fell = self.flight.due == Some(at);
        if fell {
            (self.flight.due, self.hand.due_soon) = (None, false);
        }
        fell
    }
}
