//! Token buckets as API Gateway specifies them: [`Throttle`] is the setting, [`bucket`] the arithmetic.
//!
//! | value | meaning |
//! |---|---|
//! | rate | tokens added per second, a double kept to nine decimals |
//! | burst | size of the bucket; it starts full |
//! | rate 0 | the burst is admitted once, then nothing |
//! | burst 0 | nothing is admitted |
//! | absent | there is no limit; absent is never zero, so a level without a limit is `Option::<Throttle>::None` |
//!
//! AWS: "Throttle requests to your REST APIs for better throughput in API Gateway" in the developer guide.

pub mod bucket;
mod past;
mod shared;

pub use past::{PastRate, PastRates};

use crate::error::ConfigError;
pub(crate) use shared::{SharedBucket, id_of};

/// A token bucket's setting: `rate_limit` tokens per second, at most `burst_limit` at once.
///
/// ```
/// use tower_gateway::throttle::Throttle;
///
/// let throttle = Throttle::new(0.5, 10)?;
/// assert_eq!((throttle.rate_limit(), throttle.burst_limit()), (0.5, 10));
/// assert!(Throttle::new(f64::NAN, 10).is_err());
/// # Ok::<(), tower_gateway::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttle {
    /// Billionths of a token per second, which are also units per nanosecond (see [`bucket`]).
    nano_rate: u64,
    burst: u32,
}

/// Rates above this are refused; it keeps every product of the arithmetic inside 128 bits.
const MAX_RATE: f64 = 1e9;

impl Throttle {
    /// A rate in requests per second and a burst in requests.
    ///
    /// # Errors
    ///
    /// The rate is not a number, negative, above one billion, or positive and below one billionth.
    pub fn new(rate_limit: f64, burst_limit: u32) -> Result<Self, ConfigError> {
        if !(0.0..=MAX_RATE).contains(&rate_limit) {
            return Err(ConfigError::new("rate limit", rate_limit, "must be a number from 0 to 1000000000"));
        }
        let nano_rate = (rate_limit * 1e9).round() as u64;
        if rate_limit > 0.0 && nano_rate == 0 {
            return Err(ConfigError::new("rate limit", rate_limit, "is above 0 and below 0.000000001"));
        }
        Ok(Self { nano_rate, burst: burst_limit })
    }

    /// `None`: above the greatest rate.
    #[cfg(any(feature = "redb", feature = "redis"))]
    #[allow(dead_code, reason = "for the stores outside of the process")]
    pub(crate) fn from_nano_rate(nano_rate: u64, burst: u32) -> Option<Self> {
        (nano_rate as f64 / 1e9 <= MAX_RATE).then_some(Self { nano_rate, burst })
    }

    /// Tokens added per second.
    pub fn rate_limit(&self) -> f64 {
        self.nano_rate as f64 / 1e9
    }

    /// Size of the bucket.
    pub fn burst_limit(&self) -> u32 {
        self.burst
    }

    /// Billionths of a token added per second, which are also units per nanosecond (see [`bucket`]).
    pub fn nano_rate(&self) -> u64 {
        self.nano_rate
    }

    /// The part of one of `sharers` processes that cannot ask each other: rate and burst over their number, but at
    /// least the smallest there is.
    #[cfg(feature = "usage-plan")]
    pub(crate) fn share(self, sharers: u64) -> Self {
        let part = |whole: u64| (whole / sharers.max(1)).max(u64::from(whole > 0));
        Self { nano_rate: part(self.nano_rate), burst: part(self.burst.into()) as u32 }
    }

    /// Seconds in which an empty bucket fills, rounded up; `None` if it never does.
    pub fn fill_seconds(&self) -> Option<u64> {
        let per_second = u128::from(self.nano_rate);
        (per_second > 0).then(|| (u128::from(self.burst) * 1_000_000_000).div_ceil(per_second) as u64)
    }
}
