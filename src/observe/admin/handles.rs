//! Handles of the gateway's parts, from which the views of limits and stages are read.

#[cfg(feature = "api-key")]
use crate::api_key::ApiKeys;
#[cfg(feature = "stage")]
use crate::stage::Stages;
#[cfg(feature = "usage-plan")]
use crate::usage_plan::UsagePlans;

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

    /// The throttles of the methods of every stage that one of the plans is for, each with its stage.
    #[cfg(feature = "stage")]
    pub(super) fn stage_throttles(
        &self,
        plans: &UsagePlans,
        limits: &[crate::usage_plan::PlanLimits],
    ) -> Vec<(String, crate::stage::StageThrottle)> {
        let Some(stages) = &self.stages else { return Vec::new() };
        let is_covered =
            |stage: &String| limits.iter().any(|plan| plan.stages.is_empty() || plan.stages.contains(stage));
        let covered = stages.stage_names().into_iter().filter(is_covered);
        let throttles = covered.flat_map(|stage| {
            let throttles = stages.throttles(&stage, plans.clock());
            throttles.into_iter().map(move |throttle| (stage.clone(), throttle))
        });
        throttles.collect()
    }
}
