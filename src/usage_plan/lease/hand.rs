//! What is in hand: all that a request looks at and changes if that is enough for it.

use super::super::entry::{NEVER, NONE};

/// One line of the cache: of a key that was not used for a while it is the only one that must be fetched.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub(super) struct Hand {
    pub(super) terms: Terms,
    /// An ask is under way.
    pub(super) asking: bool,
    /// What the store last said of all units still holds.
    pub(super) told: bool,
    /// It is looked at again before long.
    pub(super) due_soon: bool,
    /// The store had none left when it last answered, or is told of units that were owed: more may be used than there is.
    pub(super) in_debt: bool,
    /// In hand, and not promised to a request.
    pub(super) left: u64,
    /// Monotonic nanoseconds until which `left` may be spent.
    pub(super) until: u64,
    pub(super) refill_at: u64,
    pub(super) pool: u64,
    /// Used without having been in hand, and not yet told to the store.
    owed: u64,
    /// Used on the day of the terms, and not yet in the book.
    pub(super) tally: u64,
}

/// What period and limit of a holding follow from, and whose they are. They are compared once for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Terms {
    /// The key's entry.
    pub(in super::super) entry: u32,
    /// The plan's.
    pub(in super::super) edition: u32,
    pub(in super::super) day: i32,
}

impl Default for Terms {
    /// Nobody's.
    fn default() -> Self {
        Self { entry: NONE, edition: 0, day: NEVER }
    }
}

impl Hand {
    /// What may be spent now.
    pub(super) fn usable(&self, now: u64) -> u64 {
        if now < self.until { self.left } else { 0 }
    }

    /// In hand and in the pool.
    pub(super) fn remaining(&self) -> u64 {
        self.left.saturating_add(self.pool).saturating_sub(self.owed)
    }

    /// It is time to ask for more, and there is more.
    pub(super) fn runs_low(&self, now: u64) -> bool {
        now < self.until && self.left < self.refill_at && self.pool > 0
    }

    pub(super) fn take(&mut self, units: u64) {
        self.left = self.left.saturating_sub(units);
    }

    /// What is owed is paid first. After its end a lease takes nothing: the units go on into the pool.
    pub(super) fn put(&mut self, units: u64, now: u64) {
        if now < self.until {
            self.left = self.left.saturating_add(units);
            self.pay();
        } else {
            self.pool = self.pool.saturating_add(units);
        }
    }

    /// More was used than was taken.
    pub(super) fn owe(&mut self, units: u64) {
        self.owed = self.owed.saturating_add(units);
        self.pay();
    }

    /// What is owed is paid from what is in hand; the rest the store takes from the pool when it next hears of it.
    fn pay(&mut self) {
        let paid = self.owed.min(self.left);
        (self.left, self.owed) = (self.left - paid, self.owed - paid);
    }

    /// An ask goes to the store: it will take what is owed from the pool.
    pub(super) fn tell(&mut self, now: u64) {
        self.asking = true;
        self.left = self.usable(now);
        self.in_debt |= self.owed > 0;
        self.pool = self.pool.saturating_sub(std::mem::take(&mut self.owed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_is_one_line() {
        assert_eq!((size_of::<Hand>(), align_of::<Hand>()), (64, 64));
    }

    #[test]
    fn what_is_owed_is_paid_first_from_what_is_in_hand() {
        let mut hand = Hand { left: 5, until: 9, pool: 10, ..Hand::default() };
        hand.owe(3);
        assert_eq!((hand.left, hand.remaining()), (2, 12));
        hand.owe(4);
        assert_eq!((hand.left, hand.remaining()), (0, 8));
        hand.tell(1);
        assert_eq!((hand.pool, hand.remaining()), (8, 8));
        hand.put(1, 9);
        assert_eq!((hand.left, hand.remaining()), (0, 9), "the lease has ended");
        hand.owe(3);
        hand.put(5, 8);
        assert_eq!((hand.left, hand.remaining()), (2, 11));
    }
}
