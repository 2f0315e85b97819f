//! `UsagePlan`: what a plan is configured to be.

use super::quota::Quota;
use crate::{error::ConfigError, route::normalise, store::FailurePolicy, throttle::Throttle};
use http::Method;
use std::{collections::HashSet, sync::Arc};

/// What owns one bucket of a plan's general throttle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ThrottleScope {
    /// One bucket per key, over all stages and methods of the plan: what AWS documents.
    #[default]
    Key,
    /// One bucket per key, stage, resource and declared method: what AWS's execution log suggests. Requests that
    /// match no resource share one bucket per key.
    KeyAndMethod,
}

/// An offer: throttle, quota, and the stages they are for. What is not set does not limit; absent is never zero.
///
/// ```
/// use tower_gateway::throttle::Throttle;
/// use tower_gateway::usage_plan::{Quota, QuotaPeriod, UsagePlan};
///
/// let gold = UsagePlan::new("gold")
///     .throttle(Throttle::new(10.0, 20)?)
///     .quota(Quota::new(1000, QuotaPeriod::Month)?)
///     .stage("prod")
///     .method_throttle("prod", "pets/POST", Throttle::new(1.0, 2)?);
/// assert_eq!(gold.id(), "gold");
/// # Ok::<(), tower_gateway::ConfigError>(())
/// ```
///
/// AWS: "Usage plans and API keys for REST APIs in API Gateway" in the developer guide.
#[derive(Clone, Debug, PartialEq)]
pub struct UsagePlan {
    id: Arc<str>,
    name: Option<String>,
    throttle: Option<Throttle>,
    quota: Option<Quota>,
    stages: Vec<String>,
    methods: Vec<MethodThrottle>,
    scope: ThrottleScope,
    shadow_throttle: bool,
    shadow_quota: bool,
    store_failure: Option<FailurePolicy>,
}

/// A throttle of one method, as it was given.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct MethodThrottle {
    pub(super) stage: String,
    pub(super) key: String,
    pub(super) throttle: Throttle,
}

impl UsagePlan {
    /// A plan without limits, for every stage.
    pub fn new(id: &str) -> Self {
        Self {
            id: id.into(),
            name: None,
            throttle: None,
            quota: None,
            stages: Vec::new(),
            methods: Vec::new(),
            scope: ThrottleScope::default(),
            shadow_throttle: false,
            shadow_quota: false,
            store_failure: None,
        }
    }

    /// A name for people.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// The token bucket of each key. Default: none.
    #[must_use]
    pub fn throttle(mut self, throttle: Throttle) -> Self {
        self.throttle = Some(throttle);
        self
    }

    /// The quota of each key, over all stages of the plan. Default: none.
    #[must_use]
    pub fn quota(mut self, quota: Quota) -> Self {
        self.quota = Some(quota);
        self
    }

    /// Adds a stage by its name. Default: the plan is for every stage, and for requests without one.
    ///
    /// A key may be in one plan only per stage; outside of the stages of its plans it is refused like no key.
    #[must_use]
    pub fn stage(mut self, name: &str) -> Self {
        self.stages.push(name.to_owned());
        self
    }

    /// A bucket per key for one method of one stage, in place of the plan's general throttle.
    ///
    /// The method is a resource path and a verb, in any of AWS's spellings: `pets/GET`, `/pets/GET`, `~1pets/GET`, and
    /// `//GET` of the root. The stage is `""` where requests have none (this layer used without a `StageRouter`). It
    /// needs a route table, the router's or the layer's own, and the verb of a declared `ANY` may be named; a method
    /// once. A `Gateway` is not built with a method that no deployment declares, and `Gateway::unused_method_throttles`
    /// lists what later edits left without one.
    #[must_use]
    pub fn method_throttle(mut self, stage: &str, method: &str, throttle: Throttle) -> Self {
        self.methods.push(MethodThrottle { stage: stage.to_owned(), key: method.to_owned(), throttle });
        self
    }

    /// What owns a bucket of the general throttle. Default: [`ThrottleScope::Key`].
    #[must_use]
    pub fn throttle_scope(mut self, scope: ThrottleScope) -> Self {
        self.scope = scope;
        self
    }

    /// Only counts what the throttles of this plan would have refused (see `UsagePlans::shadow_counts`); it refuses
    /// nothing and announces nothing. Default: off.
    #[must_use]
    pub fn shadow_throttle(mut self, shadow: bool) -> Self {
        self.shadow_throttle = shadow;
        self
    }

    /// The same for the quota. What it would have refused still counts as used. Default: off.
    #[must_use]
    pub fn shadow_quota(mut self, shadow: bool) -> Self {
        self.shadow_quota = shadow;
        self
    }

    /// What happens to requests of this plan while the store of shared usage fails. Default: what
    /// [`UsagePlansBuilder::store_options`](super::UsagePlansBuilder::store_options) say.
    #[must_use]
    pub fn store_failure(mut self, policy: FailurePolicy) -> Self {
        self.store_failure = Some(policy);
        self
    }

    /// The id by which keys are attached.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn shared_id(&self) -> Arc<str> {
        Arc::clone(&self.id)
    }

    /// The name for people.
    pub fn display_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The general throttle.
    pub fn general_throttle(&self) -> Option<Throttle> {
        self.throttle
    }

    /// The quota in force.
    pub fn general_quota(&self) -> Option<&Quota> {
        self.quota.as_ref()
    }

    /// The stages it is for; none is every stage.
    pub fn stages(&self) -> &[String] {
        &self.stages
    }

    pub(super) fn methods(&self) -> &[MethodThrottle] {
        &self.methods
    }

    pub(super) fn scope(&self) -> ThrottleScope {
        self.scope
    }

    pub(super) fn throttle_is_shadow(&self) -> bool {
        self.shadow_throttle
    }

    pub(super) fn quota_is_shadow(&self) -> bool {
        self.shadow_quota
    }

    pub(super) fn failure_policy(&self) -> Option<FailurePolicy> {
        self.store_failure
    }

    pub(super) fn covers(&self, stage: Option<&str>) -> bool {
        self.stages.is_empty() || stage.is_some_and(|stage| self.stages.iter().any(|own| own == stage))
    }

    /// Is there a stage that both are for?
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.covers_all()
            || other.covers_all()
            || self.stages.iter().any(|stage| other.stages.contains(stage))
    }

    fn covers_all(&self) -> bool {
        self.stages.is_empty()
    }

    /// What cannot work, found before the plan is used.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.id.is_empty() {
            return Err(ConfigError::new("usage plan id", "", "is empty"));
        }
        self.methods.iter().try_for_each(|method| self.check_method(method))?;
        let mut seen = HashSet::new();
        let mut again =
            self.methods.iter().filter(|method| !seen.insert((&method.stage, normalise(&method.key))));
        match again.next() {
            Some(method) => Err(ConfigError::new("method throttle", &method.key, "is given twice")),
            None => Ok(()),
        }
    }

    fn check_method(&self, method: &MethodThrottle) -> Result<(), ConfigError> {
        if !method.stage.is_empty() && !self.covers(Some(&method.stage)) {
            return Err(ConfigError::new("method throttle stage", &method.stage, "is no stage of the plan"));
        }
        let verb = method.key.rsplit_once('/').map(|(_, verb)| verb);
        let is_verb = |verb: &str| {
            let is_odd = |byte: u8| byte.is_ascii_lowercase() || byte == b'*';
            Method::from_bytes(verb.as_bytes()).is_ok() && !verb.bytes().any(is_odd)
        };
        if verb.is_some_and(is_verb) {
            return Ok(());
        }
        Err(ConfigError::new("method throttle", &method.key, "is not a resource path, `/` and a method"))
    }
}
