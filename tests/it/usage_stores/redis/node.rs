//! One instance of a cluster in real time: its own plans, leases and connection.

use super::super::process::{Answer, Inner};
use http::Request;
use http_body_util::Full;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tower::{Layer, ServiceExt};
use tower_gateway::{
    api_key::{ApiKey, ApiKeyLayer, ApiKeyService, ApiKeys},
    redis::{Redis, RedisUsage},
    store::StoreOptions,
    usage_plan::{Quota, QuotaPeriod, UsagePlan, UsagePlanLayer, UsagePlanService, UsagePlans},
};

pub const KEYS: [&str; 2] = ["ann", "bob"];

/// How long what a dead instance held stays unknown.
pub const EPOCH: Duration = Duration::from_secs(1);

pub struct Node {
    pub plans: UsagePlans,
    service: ApiKeyService<UsagePlanService<Inner>, ApiKeys>,
}

/// A plan of a quota alone. A month has no midnight that a test could meet but one in thirty.
pub fn month(id: &str, limit: u64) -> UsagePlan {
    UsagePlan::new(id).quota(Quota::new(limit, QuotaPeriod::Month).unwrap())
}

impl Node {
    /// Options are those of the plans; the store's own deadline is the same as theirs where it is a test's subject.
    pub fn new(url: &str, plan: UsagePlan, options: StoreOptions) -> Arc<Self> {
        Self::with_deadline(url, plan, options, super::LONG)
    }

    pub fn with_deadline(url: &str, plan: UsagePlan, options: StoreOptions, deadline: Duration) -> Arc<Self> {
        let redis = Redis::new(url).unwrap().connect_timeout(Duration::from_millis(300));
        let store = RedisUsage::new(redis).deadline(deadline);
        let builder = UsagePlans::builder().plan(plan).store(store).store_options(options).lease_epoch(EPOCH);
        let builder = KEYS.iter().fold(builder, |builder, key| builder.attach("p", key));
        let plans = builder.build().unwrap();
        let keys = KEYS.iter().map(|id| ApiKey::new(*id).value(value(id)));
        let keys = keys.fold(ApiKeys::builder(), |builder, key| builder.key(key)).build().unwrap();
        let layer = UsagePlanLayer::new(plans.clone());
        let service = ApiKeyLayer::new(keys).layer(layer.layer(Inner::default()));
        Arc::new(Self { plans, service })
    }

    #[allow(clippy::disallowed_methods, reason = "real servers live in real time")]
    pub async fn ask(&self, key: &str) -> Answer {
        let request = Request::get("/pets").header("x-api-key", value(key)).body(Full::default()).unwrap();
        let start = Instant::now();
        let answer = self.service.clone().oneshot(request).await.unwrap();
        Answer { waited: start.elapsed(), ..Answer::of(&answer) }
    }

    /// What all used of a key, what is left, and what nobody knows; `None` while the store does not answer.
    #[allow(clippy::disallowed_methods, reason = "real servers live in real time")]
    pub async fn report(&self, key: &str) -> Option<(u64, Option<u64>, u64)> {
        let today = jiff::tz::TimeZone::UTC.to_datetime(jiff::Timestamp::now()).date();
        let (first, last) = (today.yesterday().unwrap().to_string(), today.to_string());
        let report = self.plans.shared_usage("p", key, &first, &last).await;
        let report = report.ok()?;
        let days = report.of(key).unwrap();
        let used = days.iter().map(|day| day.used).sum();
        Some((used, days.last().unwrap().remaining, report.unknown()))
    }
}

fn value(id: &str) -> String {
    format!("{id}-0123456789abcdefghij")
}
