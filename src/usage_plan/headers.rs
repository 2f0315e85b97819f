//! The `RateLimit` and `RateLimit-Policy` fields (draft-ietf-httpapi-ratelimit-headers), and `Retry-After`.

use super::plan::UsagePlan;
use crate::{
    context::{FIELD_LEN, RateLimit},
    future::{OnResponse, sealed::Sealed},
    response::{RATELIMIT, RATELIMIT_POLICY, number_value},
    throttle::Throttle,
};
use http::{HeaderMap, HeaderValue, Response, header::RETRY_AFTER};

/// Largest integer of a structured field (RFC 9651 section 3.3.1).
const GREATEST: u64 = 999_999_999_999_999;

/// `RateLimit-Policy` of a plan, made when the plan is put. Limits in shadow mode are not announced.
pub(super) fn policy(plan: &UsagePlan, throttle: Option<Throttle>) -> Option<HeaderValue> {
    let throttle = throttle.filter(|_| !plan.throttle_is_shadow()).map(|throttle| {
        policy_item(
            "throttle",
            throttle.burst_limit().into(),
            throttle.fill_seconds().filter(|seconds| *seconds > 0),
        )
    });
    let quota = plan.general_quota().filter(|_| !plan.quota_is_shadow());
    let quota =
        quota.map(|quota| policy_item("quota", quota.limit(), Some(quota.period().nominal_seconds())));
    let items: Vec<_> = throttle.into_iter().chain(quota).collect();
    let value = HeaderValue::try_from(items.join(", ")).ok().filter(|_| !items.is_empty())?;
    // The first clone of a value allocates its count of references: done here, not by a request.
    let _counted = value.clone();
    Some(value)
}

fn policy_item(name: &str, quantity: u64, window: Option<u64>) -> String {
    let window = window.map(|seconds| format!(";w={}", seconds.min(GREATEST))).unwrap_or_default();
    format!("\"{name}\";q={}{window}", quantity.min(GREATEST))
}

/// Writes the fields into an answer.
///
/// A part of [`UsagePlanService`](super::UsagePlanService)'s future.
#[derive(Debug, Default)]
#[doc(hidden)]
pub struct RateLimitFields(Option<RateLimit>);

impl RateLimitFields {
    pub(super) fn new(rate_limit: Option<RateLimit>) -> Self {
        Self(rate_limit)
    }

    pub(super) fn write(self, headers: &mut HeaderMap) {
        let Some(RateLimit { policy, announced }) = self.0 else { return };
        let mut field = [0; FIELD_LEN];
        let length = announced.write(&mut field);
        headers.insert(&RATELIMIT_POLICY, policy);
        if let Ok(field) = HeaderValue::from_bytes(&field[..length]) {
            headers.insert(&RATELIMIT, field);
        }
    }
}

impl Sealed for RateLimitFields {}

impl<R> OnResponse<R> for RateLimitFields {
    fn on_response(self, response: &mut Response<R>) {
        self.write(response.headers_mut());
    }
}

pub(super) fn write_retry_after(headers: &mut HeaderMap, seconds: u64) {
    headers.insert(RETRY_AFTER, number_value(seconds));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage_plan::{Quota, QuotaPeriod};

    #[test]
    fn policies_name_what_is_in_force() {
        let throttle = Throttle::new(10.0, 20).unwrap();
        let quota = Quota::new(1000, QuotaPeriod::Month).unwrap();
        let plan = UsagePlan::new("gold").throttle(throttle).quota(quota);
        let text = |plan: &UsagePlan| policy(plan, plan.general_throttle());
        assert_eq!(text(&plan).unwrap(), r#""throttle";q=20;w=2, "quota";q=1000;w=2592000"#);
        assert_eq!(text(&plan.clone().shadow_quota(true)).unwrap(), r#""throttle";q=20;w=2"#);
        assert_eq!(text(&plan.shadow_throttle(true)).unwrap(), r#""quota";q=1000;w=2592000"#);
        let once = UsagePlan::new("once").throttle(Throttle::new(0.0, 3).unwrap());
        assert_eq!(text(&once).unwrap(), r#""throttle";q=3"#);
        assert_eq!(text(&UsagePlan::new("free")), None);
    }
}
