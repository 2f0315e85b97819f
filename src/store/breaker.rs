//! When a store that fails is left alone, and when it is tried again. Pure: time and chance come as arguments.

use super::options::StoreOptions;
use std::time::Duration;

/// State of one store.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// In a row.
    failures: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    /// Monotonic nanoseconds.
    retry_at: u64,
    /// How often it was tried in vain.
    tries: u32,
    probing: bool,
}

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    Call,
    /// The one that tries.
    Probe,
    No,
}

impl Breaker {
    pub(super) fn pass(&mut self, now: u64) -> Pass {
        match &mut self.open {
            None => Pass::Call,
            Some(open) if !open.probing && now >= open.retry_at => {
                open.probing = true;
                Pass::Probe
            }
            Some(_) => Pass::No,
        }
    }

    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// The probe was given up before it had an answer: another may try.
    pub(super) fn released(&mut self) {
        self.open.iter_mut().for_each(|open| open.probing = false);
    }

    /// `chance` is from 0 to 1. Whether the store is left alone from now on.
    pub(super) fn failed(&mut self, pass: Pass, options: &StoreOptions, now: u64, chance: f64) -> bool {
        self.failures = self.failures.saturating_add(1);
        let tries = match (&self.open, pass) {
            (None, _) if self.failures >= options.failures => 0,
            (Some(open), Pass::Probe) => open.tries.saturating_add(1),
            // A call that was under way when the store was given up says nothing new.
            _ => return false,
        };
        let opens = self.open.is_none();
        let retry_at = now.saturating_add(pause(options, tries, chance));
        self.open = Some(Open { retry_at, tries, probing: false });
        opens
    }
}

/// Twice as long each time, less up to half of it.
fn pause(options: &StoreOptions, tries: u32, chance: f64) -> u64 {
    let doubled = options.shortest_pause.saturating_mul(1 << tries.min(16));
    nanos(doubled.min(options.longest_pause).mul_f64(1.0 - chance / 2.0))
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: u64 = 1_000_000;

    #[test]
    fn a_few_failures_open_it_and_one_probe_closes_it() {
        let options = StoreOptions::new().failures(3);
        let mut breaker = Breaker::default();
        assert!(!breaker.failed(Pass::Call, &options, 0, 0.0));
        breaker.succeeded();
        for _ in 0..2 {
            assert!(!breaker.failed(Pass::Call, &options, 0, 0.0));
        }
        assert!(breaker.failed(Pass::Call, &options, 0, 0.0), "three in a row");
        assert_eq!(breaker.pass(99 * MILLI), Pass::No);
        assert_eq!(breaker.pass(100 * MILLI), Pass::Probe);
        assert_eq!(breaker.pass(100 * MILLI), Pass::No, "one at a time");
        breaker.released();
        assert_eq!(breaker.pass(100 * MILLI), Pass::Probe, "the one before was given up");
        assert!(!breaker.failed(Pass::Probe, &options, 100 * MILLI, 0.0));
        assert_eq!(breaker.pass(299 * MILLI), Pass::No, "twice as long");
        assert_eq!(breaker.pass(300 * MILLI), Pass::Probe);
        breaker.succeeded();
        assert_eq!(breaker.pass(300 * MILLI), Pass::Call);
    }

    #[test]
    fn pauses_grow_to_a_ceiling_and_are_cut_at_random() {
        let options = StoreOptions::new();
        assert_eq!(pause(&options, 0, 1.0), 50 * MILLI);
        assert_eq!(pause(&options, 3, 0.5), 600 * MILLI);
        for tries in [6, 16, u32::MAX] {
            assert_eq!(pause(&options, tries, 0.0), 5_000 * MILLI);
        }
    }

    #[test]
    fn late_failures_of_old_calls_do_not_lengthen_the_pause() {
        let options = StoreOptions::new().failures(1);
        let mut breaker = Breaker::default();
        assert!(breaker.failed(Pass::Call, &options, 0, 0.0));
        for _ in 0..10 {
            assert!(!breaker.failed(Pass::Call, &options, 90 * MILLI, 0.0));
        }
        assert_eq!(breaker.pass(100 * MILLI), Pass::Probe);
    }
}
