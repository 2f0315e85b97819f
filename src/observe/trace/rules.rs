//! X-Ray's sampling rules: which new traces are recorded.

use crate::{clock::Timestamp, context::RequestContext, error::ConfigError};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// One rule: so many requests a second for sure, and a share of the rest.
///
/// A pattern takes `*` and `?`. The rule with the lowest priority that matches decides.
///
/// X-Ray's rules have more fields, which are not here: service name, service type and resource ARN tell APIs apart that
/// share their rules, and a [`TraceLayer`](super::TraceLayer) has rules of its own; attributes (header fields) are not
/// looked at.
///
/// AWS: "Configuring sampling rules" in the X-Ray developer guide.
#[derive(Clone, Debug)]
pub struct SamplingRule {
    name: Arc<str>,
    priority: u16,
    reservoir: u32,
    rate: f64,
    method: Box<str>,
    path: Box<str>,
    host: Box<str>,
    /// Upper half: the second; lower half: requests taken in it.
    taken: Arc<AtomicU64>,
}

impl SamplingRule {
    /// Takes `reservoir` requests a second, and the share `rate` (0 to 1) of the rest.
    ///
    /// # Errors
    ///
    /// A rate outside of 0 to 1.
    pub fn new(name: impl Into<Arc<str>>, reservoir: u32, rate: f64) -> Result<Self, ConfigError> {
        if !(0.0..=1.0).contains(&rate) {
            return Err(ConfigError::new("rate of a sampling rule", rate, "is not between 0 and 1"));
        }
        let any = || Box::from("*");
        let taken = Arc::default();
        Ok(Self {
            name: name.into(),
            priority: 10_000,
            reservoir,
            rate,
            method: any(),
            path: any(),
            host: any(),
            taken,
        })
    }

    /// X-Ray's default rule: one request a second and 5 % of the rest.
    pub fn default_rule() -> Self {
        let any = || Box::from("*");
        let taken = Arc::default();
        Self {
            name: "Default".into(),
            priority: 10_000,
            reservoir: 1,
            rate: 0.05,
            method: any(),
            path: any(),
            host: any(),
            taken,
        }
    }

    /// 1 to 9999, the lowest first. Default: after all others.
    ///
    /// # Errors
    ///
    /// Another number.
    pub fn priority(mut self, priority: u16) -> Result<Self, ConfigError> {
        if !(1..=9_999).contains(&priority) {
            return Err(ConfigError::new(
                "priority of a sampling rule",
                priority,
                "is not between 1 and 9999",
            ));
        }
        self.priority = priority;
        Ok(self)
    }

    /// Which methods. Default: `*`.
    #[must_use]
    pub fn method(mut self, pattern: &str) -> Self {
        self.method = pattern.into();
        self
    }

    /// Which paths, as received. Default: `*`.
    #[must_use]
    pub fn path(mut self, pattern: &str) -> Self {
        self.path = pattern.into();
        self
    }

    /// Which hosts. Default: `*`.
    #[must_use]
    pub fn host(mut self, pattern: &str) -> Self {
        self.host = pattern.into();
        self
    }

    fn matches(&self, context: &RequestContext) -> bool {
        wildcard(&self.method, context.method().as_str())
            && wildcard(&self.path, context.received_uri().path())
            && wildcard(&self.host, context.domain_name().unwrap_or_default())
    }

    /// `draw` gives a number from 0 to below 1, where one is needed.
    fn decide(&self, now: Timestamp, draw: impl FnOnce() -> f64) -> bool {
        self.take(now.unix_seconds() as u32) || draw() < self.rate
    }

    fn take(&self, second: u32) -> bool {
        let next = |word: u64| {
            let taken = if (word >> 32) as u32 == second { word as u32 } else { 0 };
            (taken < self.reservoir).then(|| u64::from(second) << 32 | u64::from(taken + 1))
        };
        self.taken.fetch_update(Relaxed, Relaxed, next).is_ok()
    }
}

/// All rules, in the order in which they are asked.
#[derive(Clone, Debug)]
pub(super) struct Rules(Vec<SamplingRule>);

impl Default for Rules {
    fn default() -> Self {
        Self(vec![SamplingRule::default_rule()])
    }
}

impl Rules {
    pub(super) fn new(mut rules: Vec<SamplingRule>) -> Self {
        rules.sort_by_key(|rule| rule.priority);
        Self(rules)
    }

    /// Whether a new trace is recorded, and by which rule. Without a rule that matches it is not.
    pub(super) fn decide(&self, context: &RequestContext) -> (bool, Option<Arc<str>>) {
        match self.0.iter().find(|rule| rule.matches(context)) {
            Some(rule) => (rule.decide(context.arrived(), fastrand::f64), Some(Arc::clone(&rule.name))),
            None => (false, None),
        }
    }
}

/// `*` any text, `?` one character. Linear: only the last star is ever tried again.
fn wildcard(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[t] => (p, t) = (p + 1, t + 1),
            _ => match &mut star {
                Some((at, from)) => {
                    *from += 1;
                    (p, t) = (*at + 1, *from);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, text, wanted) in [
            ("*", "", true),
            ("/pets/*", "/pets/1/toys", true),
            ("/p?ts", "/pets", true),
            ("/p?ts", "/pts", false),
            ("*a*b", "xaxbxab", true),
            ("*a*b", "xaxbxa", false),
            ("", "x", false),
        ] {
            assert_eq!(wildcard(pattern, text), wanted, "{pattern} {text}");
        }
    }

    #[test]
    fn the_reservoir_is_filled_every_second_and_the_rest_drawn() {
        let rule = SamplingRule::new("r", 2, 0.05).unwrap();
        let at = |seconds: i64| Timestamp::new(0, seconds * 1_000_000_000);
        let taken = |seconds: i64, draw: f64| rule.decide(at(seconds), || draw);
        assert_eq!([taken(1, 0.9), taken(1, 0.9), taken(1, 0.9), taken(1, 0.04)], [true, true, false, true]);
        assert!(taken(2, 0.9));
        assert!(SamplingRule::new("r", 0, 1.1).is_err());
        for wrong in [0, 10_000] {
            assert_eq!(rule.clone().priority(wrong).unwrap_err().value(), wrong.to_string());
        }
        let by_priority = Rules::new(vec![rule.clone(), rule.clone().priority(9_999).unwrap()]);
        assert_eq!(by_priority.0.iter().map(|rule| rule.priority).collect::<Vec<_>>(), [9_999, 10_000]);
    }
}
