//! X-Ray's sampling rules: which new traces are recorded.

use super::names;
use crate::{clock::Timestamp, context::RequestContext, error::ConfigError, observe::ApiInfo};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// One rule: so many requests a second for sure, and a share of the rest.
///
/// A pattern takes `*` and `?`, and has no case, as X-Ray's have none. The rule with the lowest priority that matches
/// decides.
///
/// Of X-Ray's fields, attributes are not here. Service name and ARN tell stages and APIs apart that share their rules:
/// which they are, a [`TraceLayer`](super::TraceLayer) learns from its [`api`](super::TraceLayer::api), and the stage
/// where it is known when the layer decides, in a gateway or behind a `StageRouter`. What is not known matches `*` alone.
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
    service_name: Box<str>,
    service_type: Box<str>,
    resource_arn: Box<str>,
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
        Ok(Self::of(name.into(), reservoir, rate))
    }

    /// X-Ray's default rule: one request a second and 5 % of the rest.
    pub fn default_rule() -> Self {
        Self::of("Default".into(), 1, 0.05)
    }

    fn of(name: Arc<str>, reservoir: u32, rate: f64) -> Self {
        let any = || Box::from(ANY);
        Self {
            name,
            priority: 10_000,
            reservoir,
            rate,
            method: any(),
            path: any(),
            host: any(),
            service_name: any(),
            service_type: any(),
            resource_arn: any(),
            taken: Arc::default(),
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

    /// Which hosts, without their ports: the URI's, else the `Host` field's, of which there must be one. Default: `*`.
    #[must_use]
    pub fn host(mut self, pattern: &str) -> Self {
        self.host = pattern.into();
        self
    }

    /// Which services, `api name/stage` as the service map has them. Default: `*`.
    #[must_use]
    pub fn service_name(mut self, pattern: &str) -> Self {
        self.service_name = pattern.into();
        self
    }

    /// Which types of services; those here are `AWS::ApiGateway::Stage`. Default: `*`.
    #[must_use]
    pub fn service_type(mut self, pattern: &str) -> Self {
        self.service_type = pattern.into();
        self
    }

    /// Which stages, by their ARNs: `arn:aws:apigateway:eu-west-1::/restapis/a1b2c3d4e5/stages/prod`. Default: `*`.
    #[must_use]
    pub fn resource_arn(mut self, pattern: &str) -> Self {
        self.resource_arn = pattern.into();
        self
    }

    fn matches(&self, asked: &Asked<'_>) -> bool {
        wildcard(&self.method, asked.context.method().as_str())
            && wildcard(&self.path, asked.context.received_uri().path())
            && wildcard(&self.host, asked.host)
            && wildcard(&self.service_type, names::SERVICE_TYPE)
            && (&*self.service_name == ANY || wildcard(&self.service_name, &asked.service_name()))
            && (&*self.resource_arn == ANY || wildcard(&self.resource_arn, &asked.resource_arn()))
    }

    /// `draw` gives a number from 0 to below 1, where one is needed.
    fn decide(&self, now: Timestamp, draw: impl FnOnce() -> f64) -> bool {
        self.take(now.unix_seconds() as u32) || draw() < self.rate
    }

    /// Requests that waited outside come late: they are of the second that has begun.
    fn take(&self, second: u32) -> bool {
        let next = |word: u64| {
            let stored = (word >> 32) as u32;
            // A second that is a little older is a request's that came late; a much older one is a clock's that was set.
            let is_late = (1..=LATE).contains(&stored.saturating_sub(second));
            let counted = if is_late { stored } else { second };
            let taken = if stored == counted { word as u32 } else { 0 };
            (taken < self.reservoir).then(|| u64::from(counted) << 32 | u64::from(taken + 1))
        };
        self.taken.fetch_update(Relaxed, Relaxed, next).is_ok()
    }
}

/// Requests are looked at in the order in which they come to it, by the second of their arrival: so many seconds may lie
/// between two.
const LATE: u32 = 60;

/// The pattern that everything matches.
const ANY: &str = "*";

/// What rules look at.
pub(super) struct Asked<'a> {
    pub(super) context: &'a RequestContext,
    pub(super) host: &'a str,
    /// The API and its Region, where the layer was told.
    pub(super) api: Option<&'a (ApiInfo, Arc<str>)>,
}

impl Asked<'_> {
    fn service_name(&self) -> String {
        let place = self.api.zip(self.context.stage());
        place.map(|((api, _), stage)| names::service_name(api, stage)).unwrap_or_default()
    }

    fn resource_arn(&self) -> String {
        let place = self.api.zip(self.context.stage());
        place.map(|((api, region), stage)| names::stage_arn(api, region, stage)).unwrap_or_default()
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
    pub(super) fn decide(&self, asked: &Asked<'_>) -> (bool, Option<Arc<str>>) {
        match self.0.iter().find(|rule| rule.matches(asked)) {
            Some(rule) => (rule.decide(asked.context.arrived(), fastrand::f64), Some(Arc::clone(&rule.name))),
            None => (false, None),
        }
    }
}

/// `*` any text, `?` one character, without regard to case. Linear: only the last star is ever tried again.
fn wildcard(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(byte) if *byte == b'?' || byte.eq_ignore_ascii_case(&text[t]) => (p, t) = (p + 1, t + 1),
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
            ("Shop.*", "shop.EXAMPLE", true),
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
        let waited = SamplingRule::new("r", 1, 0.0).unwrap();
        let taken = |seconds: i64| waited.decide(at(seconds), || 0.9);
        assert_eq!([10, 11, 10, 11, 10, 12].map(taken), [true, true, false, false, false, true]);
        let set_back = SamplingRule::new("r", 1, 0.0).unwrap();
        assert_eq!([3_600, 0, 1].map(|seconds| set_back.decide(at(seconds), || 0.9)), [true; 3]);
        assert!(SamplingRule::new("r", 0, 1.1).is_err());
        for wrong in [0, 10_000] {
            assert_eq!(rule.clone().priority(wrong).unwrap_err().value(), wrong.to_string());
        }
        let by_priority = Rules::new(vec![rule.clone(), rule.clone().priority(9_999).unwrap()]);
        assert_eq!(by_priority.0.iter().map(|rule| rule.priority).collect::<Vec<_>>(), [9_999, 10_000]);
    }
}
