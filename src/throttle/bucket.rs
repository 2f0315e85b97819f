//! The arithmetic of a token bucket, exact and without a clock.
//!
//! One token is 10^18 units and a rate of *r* per second adds *r* x 10^9 units per nanosecond, both whole numbers,
//! so nothing is ever rounded: over any span a bucket admits exactly `burst + rate x time`, rounded down. State is
//! kept as the *deficit* (units missing from a full bucket), so that a new bucket is all zero and full, and an edit
//! of rate or burst keeps what was spent. What came back before an edit did so at the rate of then: see
//! [`PastRates`](super::PastRates).

use super::Throttle;

/// Units in one token.
pub(crate) const TOKEN: u128 = 1_000_000_000_000_000_000;

/// What a bucket remembers: 24 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    deficit_high: u64,
    deficit_low: u64,
    /// Monotonic nanoseconds of the last change.
    updated: u64,
}

/// What a bucket says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BucketVerdict {
    /// There are tokens; the state to keep if the request is admitted.
    Admit(Bucket),
    /// There are not; how long until there would be, `None` if never.
    Refuse {
        /// Nanoseconds until the same request would be admitted.
        retry_after_nanos: Option<u64>,
    },
}

impl Bucket {
    /// Would `cost` tokens be admitted at `now` (monotonic nanoseconds)? Changes nothing.
    ///
    /// A `now` before the last change counts as that change: time never goes back for a bucket.
    pub fn check(self, throttle: Throttle, now: u64, cost: u32) -> BucketVerdict {
        let deficit = self.deficit_at(throttle, now);
        let wanted = deficit + u128::from(cost) * TOKEN;
        let capacity = u128::from(throttle.burst) * TOKEN;
        if wanted <= capacity {
            return BucketVerdict::Admit(Self::from_deficit(wanted, now.max(self.updated)));
        }
        let reachable = u128::from(cost) * TOKEN <= capacity && throttle.nano_rate > 0;
        let retry_after_nanos =
            reachable.then(|| clamp((wanted - capacity).div_ceil(u128::from(throttle.nano_rate))));
        BucketVerdict::Refuse { retry_after_nanos }
    }

    /// Gives `tokens` back, never beyond a full bucket.
    #[must_use]
    pub fn refund(self, tokens: u32) -> Self {
        Self::from_deficit(self.deficit().saturating_sub(u128::from(tokens) * TOKEN), self.updated)
    }

    /// Takes `tokens` whether or not they are there: a cost known only afterwards may overdraw the bucket.
    #[must_use]
    pub fn overdraw(self, throttle: Throttle, now: u64, tokens: u32) -> Self {
        let deficit = self.deficit_at(throttle, now) + u128::from(tokens) * TOKEN;
        Self::from_deficit(deficit, now.max(self.updated))
    }

    /// Whole tokens available at `now`.
    pub fn available(self, throttle: Throttle, now: u64) -> u32 {
        let missing = div_ceil(self.deficit_at(throttle, now), TOKEN);
        u128::from(throttle.burst).saturating_sub(missing) as u32
    }

    /// Nanoseconds from `now` until the bucket is full again; `None` if it never will be.
    pub fn full_in(self, throttle: Throttle, now: u64) -> Option<u64> {
        match (self.deficit_at(throttle, now), u128::from(throttle.nano_rate)) {
            (0, _) => Some(0),
            (_, 0) => None,
            (deficit, rate) => Some(clamp(div_ceil(deficit, rate))),
        }
    }

    /// The bucket at `until` (monotonic nanoseconds), if it was last changed before: what came back until then came back at
    /// this rate. A throttle whose rate was edited is settled so, edit by edit, before it is asked.
    #[must_use]
    pub fn refilled(self, nano_rate: u64, until: u64) -> Self {
        if self.is_settled_at(until) {
            return self;
        }
        let refilled = u128::from(until - self.updated) * u128::from(nano_rate);
        Self::from_deficit(self.deficit().saturating_sub(refilled), until)
    }

    /// Whether nothing can have come back until then: it was changed later, or is full.
    pub(crate) fn is_settled_at(self, until: u64) -> bool {
        self.updated >= until || self.deficit() == 0
    }

    /// A bucket from which `deficit` units (10^-18 tokens) are missing at `now`.
    pub fn with_deficit(deficit: u128, now: u64) -> Self {
        Self::from_deficit(deficit, now)
    }

    /// Units missing from a full bucket at `now`.
    pub fn deficit_at(self, throttle: Throttle, now: u64) -> u128 {
        let refilled = u128::from(now.saturating_sub(self.updated)) * u128::from(throttle.nano_rate);
        self.deficit().saturating_sub(refilled)
    }

    fn deficit(self) -> u128 {
        u128::from(self.deficit_high) << 64 | u128::from(self.deficit_low)
    }

    fn from_deficit(deficit: u128, updated: u64) -> Self {
        Self { deficit_high: (deficit >> 64) as u64, deficit_low: deficit as u64, updated }
    }
}

/// A division of 128 bits costs several times one of 64, which is enough for most buckets most of the time.
fn div_ceil(dividend: u128, divisor: u128) -> u128 {
    match (u64::try_from(dividend), u64::try_from(divisor)) {
        (Ok(dividend), Ok(divisor)) => dividend.div_ceil(divisor).into(),
        _ => dividend.div_ceil(divisor),
    }
}

fn clamp(nanos: u128) -> u64 {
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    fn admit(bucket: &mut Bucket, throttle: Throttle, now: u64, cost: u32) -> bool {
        match bucket.check(throttle, now, cost) {
            BucketVerdict::Admit(next) => {
                *bucket = next;
                true
            }
            BucketVerdict::Refuse { .. } => false,
        }
    }

    #[test]
    fn burst_two_rate_one_admits_two_then_one_a_second() {
        let throttle = Throttle::new(1.0, 2).unwrap();
        let mut bucket = Bucket::default();
        assert!(admit(&mut bucket, throttle, 0, 1));
        assert!(admit(&mut bucket, throttle, 0, 1));
        assert_eq!(bucket.check(throttle, 0, 1), BucketVerdict::Refuse { retry_after_nanos: Some(SECOND) });
        assert!(!admit(&mut bucket, throttle, SECOND - 1, 1));
        assert!(admit(&mut bucket, throttle, SECOND, 1));
    }

    #[test]
    fn zero_rate_admits_the_burst_once_and_zero_burst_nothing() {
        let once = Throttle::new(0.0, 1).unwrap();
        let mut bucket = Bucket::default();
        assert!(admit(&mut bucket, once, 0, 1));
        assert_eq!(bucket.check(once, u64::MAX, 1), BucketVerdict::Refuse { retry_after_nanos: None });
        assert_eq!(bucket.full_in(once, 0), None);
        let none = Throttle::new(5.0, 0).unwrap();
        assert_eq!(
            Bucket::default().check(none, SECOND, 1),
            BucketVerdict::Refuse { retry_after_nanos: None }
        );
    }

    #[test]
    fn an_idle_hour_leaves_exactly_the_burst() {
        let throttle = Throttle::new(3.0, 7).unwrap();
        let mut bucket = Bucket::default();
        while admit(&mut bucket, throttle, 0, 1) {}
        let admitted = (0..20).filter(|_| admit(&mut bucket, throttle, 3600 * SECOND, 1)).count();
        assert_eq!(admitted, 7);
    }

    #[test]
    fn an_edit_keeps_what_was_spent() {
        let small = Throttle::new(1.0, 10).unwrap();
        let large = Throttle::new(1.0, 100).unwrap();
        let mut bucket = Bucket::default();
        for _ in 0..10 {
            assert!(admit(&mut bucket, small, 0, 1));
        }
        assert_eq!(bucket.available(large, 0), 90);
        assert_eq!(bucket.refund(4).available(small, 0), 4);
        assert_eq!(bucket.refund(400).available(small, 0), 10);
        assert_eq!(bucket.overdraw(small, 0, 5).full_in(small, 0), Some(15 * SECOND));
    }

    proptest! {
        /// The whole contract: admitted = burst + floor(rate x time) under greedy load, in any steps.
        #[test]
        fn admits_exactly_burst_plus_rate_times_time(
            nano_rate in 1_u64..2_000_000_000_000,
            burst in 1_u32..500,
            steps in proptest::collection::vec(1_u64..3_000_000_000, 1..40),
        ) {
            let throttle = Throttle { nano_rate, burst };
            let mut bucket = Bucket::default();
            let (mut now, mut admitted) = (0_u64, 0_u128);
            while admit(&mut bucket, throttle, now, 1) { admitted += 1; }
            for step in steps {
                // Steps that could overfill the bucket are cut, so that the closed form holds.
                let fill = bucket.full_in(throttle, now).unwrap();
                now += step.min(fill);
                while admit(&mut bucket, throttle, now, 1) { admitted += 1; }
            }
            let earned = u128::from(now) * u128::from(nano_rate) / TOKEN;
            prop_assert_eq!(admitted, u128::from(burst) + earned);
        }

        /// The announced wait is the first instant at which the request is admitted.
        #[test]
        fn retry_after_is_tight(nano_rate in 1_u64..2_000_000_000, burst in 1_u32..50, cost in 1_u32..50) {
            prop_assume!(cost <= burst);
            let throttle = Throttle { nano_rate, burst };
            let mut bucket = Bucket::default();
            while admit(&mut bucket, throttle, 0, 1) {}
            let BucketVerdict::Refuse { retry_after_nanos: Some(wait) } = bucket.check(throttle, 0, cost) else {
                panic!("an empty bucket refuses")
            };
            prop_assert!(!admit(&mut bucket.clone(), throttle, wait - 1, cost));
            prop_assert!(admit(&mut bucket, throttle, wait, cost));
        }

        /// governor is the oracle: the same decisions for whole rates, at its nanosecond resolution.
        #[test]
        fn agrees_with_governor(rate in 1_u32..2_000, burst in 1_u32..100, gaps in proptest::collection::vec(0_u64..50, 1..200)) {
            use governor::{Quota, RateLimiter, clock::FakeRelativeClock};
            use std::num::NonZeroU32;
            // Rates that divide a second: governor keeps whole nanoseconds per token and would drift on the others.
            let rate = [1, 2, 4, 5, 8, 10, 20, 25, 50, 100, 200, 500, 1_000][(rate % 13) as usize];
            let quota = Quota::per_second(NonZeroU32::new(rate).unwrap()).allow_burst(NonZeroU32::new(burst).unwrap());
            let clock = FakeRelativeClock::default();
            let peer = RateLimiter::direct_with_clock(quota, clock.clone());
            let throttle = Throttle::new(f64::from(rate), burst).unwrap();
            let (mut bucket, mut now) = (Bucket::default(), 0);
            for gap in gaps {
                let step = gap * 1_000_000;
                clock.advance(std::time::Duration::from_nanos(step));
                now += step;
                prop_assert_eq!(admit(&mut bucket, throttle, now, 1), peer.check().is_ok());
            }
        }
    }
}
