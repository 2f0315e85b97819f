//! How fast a key spends: how much to lease ahead.

/// Asked for ahead before a pace is known, and never less than this afterwards.
const FIRST: u64 = 32;
/// A pace over less than this is not believed, in nanoseconds.
const SHORTEST: u64 = 1_000_000;

/// Units spent since a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    since: u64,
    spent: u64,
}

impl Pace {
    pub(super) fn spend(&mut self, units: u64) {
        self.spent = self.spent.saturating_add(units);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.spent == 0
    }

    pub(super) fn since(&self) -> u64 {
        self.since
    }

    /// Starts to count anew.
    pub(super) fn restart(&mut self, now: u64) {
        *self = Self { since: now, spent: 0 };
    }

    /// Units for `epoch` nanoseconds at this pace.
    pub(super) fn ahead(&self, now: u64, epoch: u64) -> u64 {
        let elapsed = now.saturating_sub(self.since).max(SHORTEST);
        let units = u128::from(self.spent) * u128::from(epoch) / u128::from(elapsed);
        u64::try_from(units).unwrap_or(u64::MAX).max(FIRST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_lasts_for_about_an_epoch() {
        let (second, epoch) = (1_000_000_000, 10_000_000_000);
        let mut pace = Pace::default();
        pace.restart(5 * second);
        assert_eq!(pace.ahead(5 * second, epoch), FIRST);
        pace.spend(200);
        assert_eq!(pace.ahead(7 * second, epoch), 1000);
        assert_eq!(pace.ahead(5 * second, epoch), 2_000_000, "not believed below a millisecond");
        pace.restart(7 * second);
        assert!(pace.is_idle());
    }
}
