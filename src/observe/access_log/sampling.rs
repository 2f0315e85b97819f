//! Which requests are written, by how they ended.

use super::super::event::RequestEvent;
use crate::error::ConfigError;
use std::time::Duration;

/// Which requests are written: by default all. Errors are refusals, 4xx, 5xx, panics and clients that went away.
///
/// ```
/// use std::time::Duration;
/// use tower_gateway::observe::Sampling;
///
/// let sampling = Sampling::all().successes(0.01)?.slower_than(Duration::from_secs(1));
/// assert_eq!(Sampling::all().successes(1.5).unwrap_err().value(), "1.5");
/// # let _ = sampling;
/// # Ok::<(), tower_gateway::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    successes: f64,
    errors: f64,
    always_above: Option<Duration>,
}

impl Sampling {
    /// Every request.
    pub const fn all() -> Self {
        Self { successes: 1.0, errors: 1.0, always_above: None }
    }

    /// The share of requests without an error, 0 to 1. Default: 1.
    ///
    /// # Errors
    ///
    /// A share outside of 0 to 1.
    pub fn successes(mut self, share: f64) -> Result<Self, ConfigError> {
        self.successes = checked(share)?;
        Ok(self)
    }

    /// The share of requests with an error, 0 to 1. Default: 1.
    ///
    /// # Errors
    ///
    /// A share outside of 0 to 1.
    pub fn errors(mut self, share: f64) -> Result<Self, ConfigError> {
        self.errors = checked(share)?;
        Ok(self)
    }

    /// Requests that took longer are written whatever their share. Default: no such limit.
    #[must_use]
    pub fn slower_than(mut self, limit: Duration) -> Self {
        self.always_above = Some(limit);
        self
    }

    pub(in crate::observe) fn takes(&self, event: &RequestEvent<'_>) -> bool {
        let share = if event.is_error() { self.errors } else { self.successes };
        self.decide(share, event.latency(), fastrand::f64)
    }

    /// The same of an answer whose end is not there yet.
    #[cfg(feature = "tracing")]
    pub(in crate::observe) fn takes_answer(&self, is_error: bool, latency: Duration) -> bool {
        let share = if is_error { self.errors } else { self.successes };
        self.decide(share, latency, fastrand::f64)
    }

    /// `draw` gives a number from 0 to below 1, where one is needed.
    fn decide(&self, share: f64, latency: Duration, draw: impl FnOnce() -> f64) -> bool {
        share >= 1.0 || self.always_above.is_some_and(|limit| latency > limit) || draw() < share
    }
}

fn checked(share: f64) -> Result<f64, ConfigError> {
    match (0.0..=1.0).contains(&share) {
        true => Ok(share),
        false => Err(ConfigError::new("sampling share", share, "is not between 0 and 1")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_drawn_and_slow_requests_are_always_taken() {
        let sampling = Sampling::all().successes(0.01).unwrap().slower_than(Duration::from_secs(1));
        let quick = |draw: f64| sampling.decide(sampling.successes, Duration::from_secs(1), || draw);
        assert!(quick(0.009));
        assert!(!quick(0.01));
        assert!(sampling.decide(sampling.successes, Duration::from_millis(1_001), || 0.99));
        assert!(sampling.decide(sampling.errors, Duration::ZERO, || unreachable!("nothing to draw")));
        let none = Sampling::all().errors(0.0).unwrap();
        assert!(!none.decide(none.errors, Duration::ZERO, || 0.0));
        assert!(Sampling::all().errors(f64::NAN).is_err());
    }
}
