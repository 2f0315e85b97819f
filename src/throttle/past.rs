//! The rates that a throttle had before: an edit does not rewrite what was earned until then. Pure.

use super::{Throttle, bucket::Bucket};
use crate::clock::Timestamp;
use std::sync::Arc;

/// A rate that was in force until an edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastRate {
    until: Timestamp,
    nano_rate: u64,
}

impl PastRate {
    /// When it was edited.
    pub fn until(&self) -> Timestamp {
        self.until
    }

    /// Billionths of a token per second: see [`Throttle::nano_rate`].
    pub fn nano_rate(&self) -> u64 {
        self.nano_rate
    }
}

/// The rates of earlier, so that a bucket that was last used before an edit earns at each rate for as long as it was in
/// force. Nothing of it is kept per bucket.
///
/// The last [`PastRates::MOST`] edits are told apart. A bucket that was not used since before those, and is not full yet,
/// has earned at the lowest rate of that time: never too much.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PastRates {
    /// Monotonic nanoseconds of the last edit; 0: there was none.
    last: u64,
    /// Oldest first.
    rates: Option<Arc<[PastRate]>>,
}

impl PastRates {
    /// Edits that are told apart.
    pub const MOST: usize = 16;

    /// Oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &PastRate> {
        self.rates.iter().flat_map(|rates| rates.iter())
    }

    /// With an edit: until `now` the rate was that of `old`. Nothing, where `new` has the same.
    #[must_use]
    pub(crate) fn edited(&self, old: Throttle, new: Throttle, now: Timestamp) -> Self {
        if old.nano_rate == new.nano_rate {
            return self.clone();
        }
        let mut rates: Vec<_> = self.iter().copied().collect();
        rates.push(PastRate { until: now, nano_rate: old.nano_rate });
        if let [first, second, ..] = &mut *rates
            && self.iter().count() == Self::MOST
        {
            second.nano_rate = second.nano_rate.min(first.nano_rate);
            rates.remove(0);
        }
        Self { last: now.monotonic_nanos(), rates: Some(rates.into()) }
    }

    /// A bucket as the last edit found it; one that was used since is as it is.
    pub(crate) fn settle(&self, bucket: Bucket) -> Bucket {
        if bucket.is_settled_at(self.last) { bucket } else { self.settle_late(bucket) }
    }

    #[cold]
    fn settle_late(&self, bucket: Bucket) -> Bucket {
        self.iter().fold(bucket, |bucket, past| bucket.refilled(past.nano_rate, past.until.monotonic_nanos()))
    }

    /// The rate of before the first edit that is kept, or `present`.
    pub(crate) fn first_nano_rate(&self, present: Throttle) -> u64 {
        self.iter().next().map_or(present.nano_rate, PastRate::nano_rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::throttle::bucket::{BucketVerdict, TOKEN};
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    fn at(nanos: u64) -> Timestamp {
        Timestamp::new(nanos, nanos as i64)
    }

    fn greedy(bucket: &mut Bucket, past: &PastRates, throttle: Throttle, now: u64) -> u128 {
        let mut admitted = 0;
        *bucket = past.settle(*bucket);
        while let BucketVerdict::Admit(next) = bucket.check(throttle, now, 1) {
            (*bucket, admitted) = (next, admitted + 1);
        }
        admitted
    }

    #[test]
    fn what_was_earned_before_an_edit_was_earned_at_the_rate_of_then() {
        let throttle = |rate: f64| Throttle::new(rate, 1_000).unwrap();
        for (before, after, wait, earned) in [(1.0, 100.0, 10, 10), (100.0, 1.0, 9, 900)] {
            let mut bucket = Bucket::default();
            assert_eq!(greedy(&mut bucket, &PastRates::default(), throttle(before), 0), 1_000);
            let past = PastRates::default().edited(throttle(before), throttle(after), at(wait * SECOND));
            assert_eq!(greedy(&mut bucket, &past, throttle(after), wait * SECOND), earned);
        }
    }

    #[test]
    fn edits_of_the_burst_alone_are_none_and_a_full_bucket_stays_as_it_is() {
        let (small, large) = (Throttle::new(1.0, 1).unwrap(), Throttle::new(1.0, 9).unwrap());
        let past = PastRates::default().edited(small, large, at(SECOND));
        assert_eq!(past, PastRates::default());
        let past = past.edited(large, Throttle::new(2.0, 9).unwrap(), at(SECOND));
        assert_eq!(past.settle(Bucket::default()), Bucket::default());
    }

    #[test]
    fn more_edits_than_are_told_apart_give_no_more_than_was_earned() {
        let throttle = |rate: f64| Throttle::new(rate, 1_000).unwrap();
        let (mut past, mut earned) = (PastRates::default(), 0);
        for edit in 0_u32..40 {
            let (old, new) = (throttle(f64::from(edit + 1)), throttle(f64::from(edit + 2)));
            past = past.edited(old, new, at(u64::from(edit + 1) * SECOND));
            earned += edit + 1;
        }
        assert_eq!(past.iter().count(), PastRates::MOST);
        let mut bucket = Bucket::default().overdraw(throttle(1.0), 0, 1_000);
        let admitted = greedy(&mut bucket, &past, throttle(41.0), 40 * SECOND);
        assert!(admitted <= u128::from(earned) && admitted > 500, "{admitted} {earned}");
    }

    proptest! {
        /// Greedy callers over any edits: the burst, and the integral of the rate, rounded down. What is asked for seldom
        /// sees several edits at once.
        #[test]
        fn admits_exactly_the_burst_and_the_integral_of_the_rate(
            burst in 1_u32..200,
            first in 0_u64..5_000_000_000,
            steps in proptest::collection::vec((1_u64..2_000_000_000, 0_u64..5_000_000_000, any::<bool>()), 1..14),
        ) {
            let mut throttle = Throttle { nano_rate: first, burst };
            let (mut bucket, mut past, mut now) = (Bucket::default(), PastRates::default(), 0);
            let mut admitted = greedy(&mut bucket, &past, throttle, now);
            let (mut integral, mut missing) = (0_u128, u128::from(burst) * TOKEN);
            for (span, rate, asks) in steps {
                // A span that would overfill the bucket is cut, so that the closed form holds.
                let fill = missing.checked_div(u128::from(throttle.nano_rate)).map_or(span, |fill| span.min(u64::try_from(fill).unwrap_or(u64::MAX)));
                now += fill;
                integral += u128::from(fill) * u128::from(throttle.nano_rate);
                missing -= u128::from(fill) * u128::from(throttle.nano_rate);
                let next = Throttle { nano_rate: rate, burst };
                past = past.edited(throttle, next, at(now));
                throttle = next;
                if asks {
                    let more = greedy(&mut bucket, &past, throttle, now);
                    (admitted, missing) = (admitted + more, missing + more * TOKEN);
                }
            }
            admitted += greedy(&mut bucket, &past, throttle, now);
            prop_assert_eq!(admitted, u128::from(burst) + integral / TOKEN);
        }
    }
}
