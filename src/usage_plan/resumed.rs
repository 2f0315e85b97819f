//! Throttles of a process that goes on where another one has ended. Pure.
//!
//! Tokens are in memory, so nobody knows how many the process before has left in a bucket. If each started full, every
//! restart would admit a burst more than `burst + rate x time`. So each starts as if it had been empty when that process
//! ended, and had been filling since: never more is admitted, and after a long pause nothing is lost.

use crate::throttle::{
    PastRates, Throttle,
    bucket::{Bucket, TOKEN},
};

/// What a bucket that nobody has used here starts with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resumed {
    /// When this process started, on the monotonic clock.
    pub(super) at: u64,
    /// For how many nanoseconds before that nobody has taken tokens.
    pub(super) idle: u64,
}

impl Resumed {
    pub(super) fn bucket(self, bucket: Bucket, throttle: Throttle, past: &PastRates) -> Bucket {
        if bucket != Bucket::default() {
            return bucket;
        }
        let missing = u128::from(throttle.burst_limit()) * TOKEN;
        let filled = u128::from(self.idle) * u128::from(past.first_nano_rate(throttle));
        Bucket::with_deficit(missing.saturating_sub(filled), self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::throttle::bucket::BucketVerdict;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn it_starts_empty_and_fills_from_the_end_of_the_process_before() {
        let throttle = Throttle::new(2.0, 10).unwrap();
        let after = |idle, now| {
            Resumed { at: 7 * SECOND, idle }
                .bucket(Bucket::default(), throttle, &PastRates::default())
                .available(throttle, now)
        };
        assert_eq!(after(0, 7 * SECOND), 0);
        assert_eq!(after(0, 8 * SECOND), 2);
        assert_eq!(after(3 * SECOND, 7 * SECOND), 6);
        assert_eq!(after(3600 * SECOND, 7 * SECOND), 10);
    }

    #[test]
    fn what_was_used_here_counts() {
        let throttle = Throttle::new(2.0, 10).unwrap();
        let used = Bucket::default().overdraw(throttle, SECOND, 1);
        assert_eq!(Resumed { at: 0, idle: 0 }.bucket(used, throttle, &PastRates::default()), used);
    }

    proptest! {
        /// Greedy before the end and greedy after: never more than `burst + rate x time` over both.
        #[test]
        fn a_restart_admits_nothing_extra(
            nano_rate in 0_u64..2_000_000_000_000, burst in 0_u32..50, before in 0_u64..5_000_000_000, idle in 0_u64..5_000_000_000, after in 0_u64..5_000_000_000,
        ) {
            let throttle = Throttle::new(nano_rate as f64 / 1e9, burst).unwrap();
            let greedy = |mut bucket: Bucket, now: u64| {
                let mut admitted = 0_u128;
                while let BucketVerdict::Admit(next) = bucket.check(throttle, now, 1) {
                    (bucket, admitted) = (next, admitted + 1);
                }
                (bucket, admitted)
            };
            let (bucket, first) = greedy(Bucket::default(), 0);
            let (_, second) = greedy(bucket, before);
            let resumed = Resumed { at: 0, idle };
            let (_, third) = greedy(resumed.bucket(Bucket::default(), throttle, &PastRates::default()), after);
            let time = u128::from(before) + u128::from(idle) + u128::from(after);
            prop_assert!(first + second + third <= u128::from(burst) + time * u128::from(throttle.nano_rate()) / TOKEN);
        }
    }
}
