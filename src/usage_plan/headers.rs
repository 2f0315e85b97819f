//! The `RateLimit` and `RateLimit-Policy` fields (draft-ietf-httpapi-ratelimit-headers), and `Retry-After`.

use super::{admit::whole_seconds, plan::UsagePlan};
use crate::{
    context::{HeaderText, RequestContext},
    future::OnResponse,
    throttle::Throttle,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, header::RETRY_AFTER};

use crate::response::RATELIMIT;
static RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Largest integer of a structured field (RFC 9651 section 3.3.1).
const GREATEST: u64 = 999_999_999_999_999;

/// What a client is told of the limits of its plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// Tokens left, and nanoseconds until the bucket is full if it ever is.
    pub(super) throttle: Option<(u32, Option<u64>)>,
    /// Requests left, and seconds until the period ends.
    pub(super) quota: Option<(u64, u64)>,
}

impl Report {
    fn field(&self) -> Option<HeaderValue> {
        HeaderValue::from_bytes(self.text()?.as_bytes()).ok()
    }

    fn text(&self) -> Option<HeaderText> {
        let mut text = HeaderText::default();
        if let Some((left, full_in_nanos)) = self.throttle {
            item(&mut text, "throttle", u64::from(left), full_in_nanos.map(whole_seconds));
        }
        if let Some((left, seconds)) = self.quota {
            item(&mut text, "quota", left, Some(seconds));
        }
        (!text.is_empty()).then_some(text)
    }
}

/// Appends an item; the longest field has 91 bytes.
fn item(text: &mut HeaderText, name: &str, left: u64, seconds: Option<u64>) {
    text.push(if text.is_empty() { "\"" } else { ", \"" });
    text.push(name);
    text.push("\";r=");
    text.push(itoa::Buffer::new().format(left.min(GREATEST)));
    if let Some(seconds) = seconds {
        text.push(";t=");
        text.push(itoa::Buffer::new().format(seconds.min(GREATEST)));
    }
}

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
pub struct RateLimitFields {
    policy: Option<HeaderValue>,
    report: Report,
    /// Inside the gateway the context takes the field, and the phase that writes the request ids writes it with
    /// them, in one allocation.
    through: Option<RequestContext>,
}

impl RateLimitFields {
    pub(super) fn new(policy: Option<&HeaderValue>, report: Report) -> Self {
        Self { policy: policy.cloned(), report, through: None }
    }

    pub(super) fn through(mut self, context: Option<&RequestContext>) -> Self {
        self.through = context.cloned();
        self
    }

    pub(super) fn write(self, headers: &mut HeaderMap) {
        let Some(policy) = self.policy else { return };
        headers.insert(RATELIMIT_POLICY.clone(), policy);
        if let Some(context) = &self.through {
            self.report.text().into_iter().for_each(|text| context.set_rate_limit(text));
        } else if let Some(field) = self.report.field() {
            headers.insert(RATELIMIT.clone(), field);
        }
    }
}

impl<R> OnResponse<R> for RateLimitFields {
    fn on_response(self, response: &mut Response<R>) {
        self.write(response.headers_mut());
    }
}

pub(super) fn write_retry_after(headers: &mut HeaderMap, seconds: u64) {
    headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage_plan::{Quota, QuotaPeriod};

    #[test]
    fn fields_have_the_form_of_the_draft() {
        let report = Report { throttle: Some((19, Some(100_000_000))), quota: Some((999, 86_400)) };
        assert_eq!(report.field().unwrap(), r#""throttle";r=19;t=1, "quota";r=999;t=86400"#);
        let never = Report { throttle: Some((0, None)), quota: None };
        assert_eq!(never.field().unwrap(), r#""throttle";r=0"#);
        let large = Report { throttle: Some((u32::MAX, Some(u64::MAX))), quota: Some((u64::MAX, u64::MAX)) };
        let text = r#""throttle";r=4294967295;t=18446744074, "quota";r=999999999999999;t=999999999999999"#;
        assert_eq!(large.field().unwrap(), text);
        assert_eq!(Report::default().field(), None);
    }

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
