//! What a holder has used: by day, for the store, and how fast, for itself.

use super::{holding::signed, pace::Pace, uses::Uses};

#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) pace: Pace,
    pub(super) used: Uses,
}

impl Book {
    pub(super) fn enter(&mut self, day: i32, units: u64) {
        if units > 0 {
            self.pace.spend(units);
            self.used.add(day, signed(units));
        }
    }
}
