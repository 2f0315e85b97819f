//! Histograms: of durations with OpenTelemetry's bounds, and of shares.

use super::count::Count;
use std::time::Duration;

/// Upper bounds of a histogram, as they are printed and in whole units.
#[derive(Debug)]
pub(super) struct Scale<const N: usize> {
    pub(super) bounds: [f64; N],
    units: [u64; N],
    /// Units in one of what is printed.
    one: f64,
}

/// In seconds, counted in nanoseconds: the advisory bounds of `http.server.request.duration`, and 30 above the
/// integration limit.
pub(super) static SECONDS: Scale<15> = Scale {
    bounds: [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0],
    units: [
        5_000_000,
        10_000_000,
        25_000_000,
        50_000_000,
        75_000_000,
        100_000_000,
        250_000_000,
        500_000_000,
        750_000_000,
        1_000_000_000,
        2_500_000_000,
        5_000_000_000,
        7_500_000_000,
        10_000_000_000,
        30_000_000_000,
    ],
    one: 1e9,
};

/// What is left of a limit, counted in millionths; finer where it is nearly spent.
pub(super) static SHARES: Scale<9> = Scale {
    bounds: [0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0],
    units: [0, 10_000, 50_000, 100_000, 250_000, 500_000, 750_000, 900_000, 1_000_000],
    one: 1e6,
};

/// One count a bucket, one for what is above all bounds, and the sum.
#[derive(Debug)]
pub(super) struct Histogram<const N: usize> {
    buckets: [Count; N],
    above: Count,
    sum: Count,
}

pub(super) type Durations = Histogram<15>;
pub(super) type Shares = Histogram<9>;

/// Counts up to and including each bound, all, and the sum in units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cumulative<const N: usize> {
    pub(super) buckets: [u64; N],
    pub(super) count: u64,
    pub(super) sum: u64,
}

impl<const N: usize> Default for Cumulative<N> {
    fn default() -> Self {
        Self { buckets: [0; N], count: 0, sum: 0 }
    }
}

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Self {
        Self {
            buckets: std::array::from_fn(|_| Count::default()),
            above: Count::default(),
            sum: Count::default(),
        }
    }
}

impl<const N: usize> Histogram<N> {
    /// The sum first: whoever sees a count sees what it stands for.
    fn add(&self, scale: &Scale<N>, units: u64) {
        self.sum.add(units);
        let bucket = scale.units.iter().position(|bound| units <= *bound);
        bucket.map_or(&self.above, |bucket| &self.buckets[bucket]).add(1);
    }

    /// Buckets are read one after the other: the total is theirs, so that a page never contradicts itself.
    pub(super) fn read(&self) -> Cumulative<N> {
        let mut count = 0;
        let buckets = self.buckets.each_ref().map(|bucket| {
            count += bucket.get();
            count
        });
        count += self.above.get();
        Cumulative { buckets, count, sum: self.sum.get() }
    }
}

impl<const N: usize> Cumulative<N> {
    pub(super) fn plus(self, other: Self) -> Self {
        let buckets = std::array::from_fn(|bucket| self.buckets[bucket] + other.buckets[bucket]);
        Self { buckets, count: self.count + other.count, sum: self.sum.wrapping_add(other.sum) }
    }
}

impl<const N: usize> Scale<N> {
    /// A sum as it is printed.
    pub(super) fn whole(&self, sum: u64) -> f64 {
        sum as f64 / self.one
    }
}

impl Durations {
    pub(super) fn record(&self, duration: Duration) {
        self.add(&SECONDS, u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }
}

impl Shares {
    pub(super) fn record(&self, share: f64) {
        self.add(&SHARES, (share * SHARES.one).round() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_inclusive_and_counts_cumulative() {
        for (seconds, nanos) in SECONDS.bounds.iter().zip(SECONDS.units) {
            assert_eq!(Duration::from_secs_f64(*seconds), Duration::from_nanos(nanos));
        }
        let durations = Durations::default();
        for millis in [5, 6, 29_000, 31_000] {
            durations.record(Duration::from_millis(millis));
        }
        let read = durations.read();
        assert_eq!((read.buckets[0], read.buckets[1], read.buckets[13], read.buckets[14]), (1, 2, 2, 3));
        assert_eq!((read.count, SECONDS.whole(read.sum)), (4, 60.011));
        let twice = read.plus(read);
        assert_eq!((twice.buckets[0], twice.buckets[14], twice.count), (2, 6, 8));
        assert_eq!(SECONDS.whole(twice.sum), 120.022);
    }

    #[test]
    fn shares_fall_where_they_are_printed() {
        for (share, units) in SHARES.bounds.iter().zip(SHARES.units) {
            assert_eq!((share * SHARES.one).round() as u64, units);
        }
        let shares = Shares::default();
        for share in [0.0, 0.1, 0.100_001, 1.0, 1.5] {
            shares.record(share);
        }
        let read = shares.read();
        assert_eq!(read.buckets, [1, 1, 1, 2, 3, 3, 3, 3, 4]);
        assert_eq!((read.count, SHARES.whole(read.sum)), (5, 2.700_001));
    }
}
