//! `/limits/{key}`: what a key has left of every limit that applies to it, in all processes where they share it.

use super::{
    handles::Handles,
    json::{Object, object, push_object},
};
use crate::{
    clock::Timestamp,
    usage_plan::{
        LimitScope, MethodThrottleState, PlanLimits, QuotaState, SharedLimits, ThrottleState, UsagePlans,
    },
};

/// A quota of a key, for the page.
pub(super) struct KeyQuota {
    key_id: String,
    plan_id: String,
    quota: QuotaState,
}

/// The document; `None` for a key that nobody knows.
pub(super) async fn limits(handles: &Handles, key_id: &str) -> Option<String> {
    let plans = handles.usage_plans.as_ref()?;
    let stage = handles.stage_throttles(plans, key_id);
    let buckets = stage.iter().map(|throttle| throttle.bucket.clone()).collect();
    let (limits, left) = plans.limits_everywhere(key_id, buckets).await;
    let enabled = handles.is_enabled(key_id);
    if limits.plans.is_empty() && enabled.is_none() {
        return None;
    }
    let view = View { is_shared: plans.store_counts().is_some(), now: plans.now() };
    Some(object(|o| {
        o.text("keyId", key_id);
        if let Some(enabled) = enabled {
            o.value("enabled", enabled);
        }
        view.push_store(o, &limits);
        o.list("plans", &limits.plans, |out, plan| push_object(out, |o| view.push_plan(o, plan)));
        let stage = stage.iter().zip(left).map(|(throttle, left)| (throttle, throttle.state(plans, left)));
        o.list("stageThrottles", stage, |out, (throttle, state)| {
            push_object(out, |o| {
                o.text("stage", &throttle.stage).text("resourcePath", &throttle.resource_path);
                o.text("method", &throttle.method);
                view.push_state(o, state);
            });
        });
        if let Some(account) = limits.account {
            o.object("account", |o| view.push_state(o, account));
        }
    }))
}

/// For the page: the quotas of some keys. A store that does not answer is not asked about the rest.
pub(super) async fn quotas(plans: &UsagePlans, keys: &[String]) -> Vec<KeyQuota> {
    let (mut quotas, mut answers) = (Vec::new(), true);
    for key in keys {
        let limits = match answers {
            true => {
                let limits = plans.shared_limits(key).await;
                answers = limits.failure.is_none();
                limits.plans
            }
            false => plans.limits(key),
        };
        let with_quota = |plan: PlanLimits| {
            Some(KeyQuota { key_id: key.clone(), plan_id: plan.plan_id, quota: plan.quota? })
        };
        quotas.extend(limits.into_iter().filter_map(with_quota));
    }
    quotas
}

pub(super) fn push_quotas(o: &mut Object<'_>, plans: &UsagePlans, quotas: &[KeyQuota]) {
    let view = View { is_shared: plans.store_counts().is_some(), now: plans.now() };
    o.list("quotas", quotas, |out, own| {
        push_object(out, |o| {
            o.text("keyId", &own.key_id).text("planId", &own.plan_id);
            view.push_quota(o, own.quota);
        });
    });
}

/// How figures are shown.
#[derive(Clone, Copy)]
struct View {
    /// Each says then how far it reaches.
    is_shared: bool,
    now: Timestamp,
}

impl View {
    fn push_store(self, o: &mut Object<'_>, limits: &SharedLimits) {
        if self.is_shared {
            let failure = limits.failure.as_ref().map(ToString::to_string);
            o.object("store", |o| {
                o.value("answered", failure.is_none()).optional("failure", failure.as_deref());
            });
        }
    }

    fn push_plan(self, o: &mut Object<'_>, plan: &PlanLimits) {
        o.text("planId", &plan.plan_id).optional("name", plan.plan_name.as_deref());
        o.texts("stages", plan.stages.iter().map(String::as_str));
        if let Some(state) = plan.throttle {
            o.object("throttle", |o| self.push_state(o, state));
        }
        o.list("methodThrottles", &plan.methods, |out, own| {
            push_object(out, |o| self.push_method(o, own));
        });
        if let Some(quota) = plan.quota {
            o.object("quota", |o| self.push_quota(o, quota));
        }
    }

    fn push_method(self, o: &mut Object<'_>, own: &MethodThrottleState) {
        o.text("stage", &own.stage).text("resourcePath", &own.resource_path).text("method", &own.method);
        self.push_state(o, own.state);
    }

    fn push_state(self, o: &mut Object<'_>, state: ThrottleState) {
        o.value("rateLimit", state.throttle.rate_limit()).value("burstLimit", state.throttle.burst_limit());
        if let Some(left) = state.tokens_left {
            o.value("tokensLeft", left);
        }
        o.value("shadow", state.shadow);
        self.push_scope(o, state.scope);
    }

    fn push_quota(self, o: &mut Object<'_>, quota: QuotaState) {
        o.text("period", quota.period.as_str()).value("limit", quota.limit).value("used", quota.used);
        o.value("remaining", quota.remaining).value("periodStart", quota.window.start_unix_seconds);
        o.value("periodEnd", quota.window.end_unix_seconds);
        o.value("resetSeconds", (quota.window.end_unix_seconds - self.now.unix_seconds()).max(0));
        o.value("shadow", quota.shadow);
        if quota.scope == LimitScope::Shared {
            o.value("inHand", quota.in_hand);
        }
        self.push_scope(o, quota.scope);
    }

    fn push_scope(self, o: &mut Object<'_>, scope: LimitScope) {
        if self.is_shared {
            o.text("scope", scope.as_str());
        }
    }
}
