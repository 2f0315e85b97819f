//! Handles of the gateway's parts, from which the views of limits and stages are read.

#[cfg(feature = "api-key")]
use crate::api_key::ApiKeys;
#[cfg(feature = "stage")]
use crate::stage::Stages;
#[cfg(feature = "usage-plan")]
use crate::usage_plan::{LimitScope, ThrottleState, UsagePlans, store::BucketAsk};

/// What the service was given.
#[derive(Clone, Default)]
pub(super) struct Handles {
    #[cfg(feature = "api-key")]
    pub(super) api_keys: Option<ApiKeys>,
    #[cfg(feature = "usage-plan")]
    pub(super) usage_plans: Option<UsagePlans>,
    #[cfg(feature = "stage")]
    pub(super) stages: Option<Stages>,
    /// Whether the values of stage variables are shown, and not their names alone.
    #[cfg(feature = "stage")]
    pub(super) variable_values: bool,
}

#[cfg(feature = "usage-plan")]
impl Handles {
    /// `None` where there is no such key, or nobody who knows.
    #[cfg(feature = "api-key")]
    pub(super) fn is_enabled(&self, key_id: &str) -> Option<bool> {
        Some(self.api_keys.as_ref()?.get(key_id)?.enabled())
    }

    #[cfg(not(feature = "api-key"))]
    pub(super) fn is_enabled(&self, _: &str) -> Option<bool> {
        None
    }

    /// The throttles of the methods of every stage that one of the key's plans is for.
    #[cfg(feature = "stage")]
    pub(super) fn stage_throttles(&self, plans: &UsagePlans, key_id: &str) -> Vec<OfStage> {
        let Some(stages) = &self.stages else { return Vec::new() };
        let limits = plans.limits(key_id);
        let is_covered =
            |stage: &String| limits.iter().any(|plan| plan.stages.is_empty() || plan.stages.contains(stage));
        let covered = stages.stage_names().into_iter().filter(is_covered);
        let throttles = covered.flat_map(|stage| {
            let throttles = stages.throttles(&stage, plans.clock());
            throttles.into_iter().map(move |throttle| OfStage::new(&stage, throttle))
        });
        throttles.collect()
    }

    #[cfg(not(feature = "stage"))]
    pub(super) fn stage_throttles(&self, _: &UsagePlans, _: &str) -> Vec<OfStage> {
        Vec::new()
    }
}

/// A throttle of a stage's method, and how a store is asked about it.
#[cfg(feature = "usage-plan")]
pub(super) struct OfStage {
    pub(super) stage: String,
    pub(super) resource_path: String,
    pub(super) method: String,
    pub(super) bucket: BucketAsk,
    /// In this process.
    tokens_left: u32,
}

#[cfg(feature = "usage-plan")]
impl OfStage {
    #[cfg(feature = "stage")]
    fn new(stage: &str, own: crate::stage::StageThrottle) -> Self {
        let id = crate::usage_plan::store::BucketId::Stage(stage.into(), own.id);
        Self {
            stage: stage.to_owned(),
            resource_path: own.resource_path,
            method: own.method,
            bucket: BucketAsk { id, throttle: own.throttle, past: own.past, shadow: own.shadow },
            tokens_left: own.tokens_left,
        }
    }

    /// With what the store says is left, if it does.
    pub(super) fn state(&self, plans: &UsagePlans, left: Option<u32>) -> ThrottleState {
        let (throttle, shadow) = (self.bucket.throttle, self.bucket.shadow);
        let (tokens_left, scope) = match left {
            Some(left) => (Some(left), LimitScope::Shared),
            None if plans.shares_throttles() => (None, LimitScope::Unknown),
            None => (Some(self.tokens_left), LimitScope::Process),
        };
        ThrottleState { throttle, tokens_left, scope, shadow }
    }
}
