//! `/limits/{key}`: what a key has left of every limit that applies to it.

use super::{
    handles::Handles,
    json::{Object, object, push_object},
};
use crate::{
    clock::Timestamp,
    throttle::Throttle,
    usage_plan::{MethodThrottleState, PlanLimits, QuotaState, ThrottleState, UsagePlans},
};

/// The document; `None` for a key that nobody knows.
pub(super) fn limits(handles: &Handles, key_id: &str) -> Option<String> {
    let plans = handles.usage_plans.as_ref()?;
    let limits = plans.limits(key_id);
    let enabled = handles.is_enabled(key_id);
    if limits.is_empty() && enabled.is_none() {
        return None;
    }
    Some(object(|o| {
        o.text("keyId", key_id);
        if let Some(enabled) = enabled {
            o.value("enabled", enabled);
        }
        let now = plans.now();
        o.list("plans", &limits, |out, plan| push_object(out, |o| push_plan(o, plan, now)));
        #[cfg(feature = "stage")]
        o.list("stageThrottles", handles.stage_throttles(plans, &limits), |out, (stage, own)| {
            push_object(out, |o| {
                o.text("stage", &stage).text("resourcePath", &own.resource_path).text("method", &own.method);
                push_throttle(o, own.throttle, Some(own.tokens_left), own.shadow);
            });
        });
        if let Some(account) = plans.account_limit() {
            o.object("account", |o| push_state(o, account));
        }
    }))
}

/// For the page: the quotas of some keys.
pub(super) fn push_quotas(o: &mut Object<'_>, plans: &UsagePlans, keys: &[&str]) {
    let now = plans.now();
    let quotas = keys.iter().flat_map(|key| {
        let with_quota = |plan: PlanLimits| Some((*key, plan.plan_id, plan.quota?));
        plans.limits(key).into_iter().filter_map(with_quota)
    });
    o.list("quotas", quotas, |out, (key, plan, quota)| {
        push_object(out, |o| {
            o.text("keyId", key).text("planId", &plan);
            push_quota(o, quota, now);
        });
    });
}

fn push_plan(o: &mut Object<'_>, plan: &PlanLimits, now: Timestamp) {
    o.text("planId", &plan.plan_id).optional("name", plan.plan_name.as_deref());
    o.texts("stages", plan.stages.iter().map(String::as_str));
    if let Some(state) = plan.throttle {
        o.object("throttle", |o| push_state(o, state));
    }
    o.list("methodThrottles", &plan.methods, |out, own| push_object(out, |o| push_method(o, own)));
    if let Some(quota) = plan.quota {
        o.object("quota", |o| push_quota(o, quota, now));
    }
}

fn push_method(o: &mut Object<'_>, own: &MethodThrottleState) {
    o.text("stage", &own.stage).text("resourcePath", &own.resource_path).text("method", &own.method);
    push_state(o, own.state);
}

fn push_state(o: &mut Object<'_>, state: ThrottleState) {
    push_throttle(o, state.throttle, state.tokens_left, state.shadow);
}

fn push_throttle(o: &mut Object<'_>, throttle: Throttle, tokens_left: Option<u32>, shadow: bool) {
    o.value("rateLimit", throttle.rate_limit()).value("burstLimit", throttle.burst_limit());
    if let Some(left) = tokens_left {
        o.value("tokensLeft", left);
    }
    o.value("shadow", shadow);
}

fn push_quota(o: &mut Object<'_>, quota: QuotaState, now: Timestamp) {
    o.text("period", quota.period.as_str()).value("limit", quota.limit).value("used", quota.used);
    o.value("remaining", quota.remaining).value("periodStart", quota.window.start);
    o.value("periodEnd", quota.window.end);
    o.value("resetSeconds", (quota.window.end - now.unix_seconds()).max(0)).value("shadow", quota.shadow);
}
