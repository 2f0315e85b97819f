//! What the page shows, as JSON: sums since the start, and percentiles of the last requests.

use super::{
    super::PrometheusMetrics,
    explain::{Explain, RequestRecord},
    handles::Handles,
    json::{Object, object, push_list, push_object},
};
use std::{cmp::Reverse, collections::BTreeMap, sync::Arc, time::Duration};

/// Requests that the page lists.
const LISTED: usize = 20;
/// Keys whose quotas the page shows: those with the most of the last requests.
#[cfg(feature = "usage-plan")]
const KEYS: usize = 10;

type Records = [Arc<RequestRecord>];

pub(super) async fn summary(explain: Explain, metrics: PrometheusMetrics, handles: Handles) -> String {
    let recent = explain.recent();
    let limits = Limits::of(&recent, &handles).await;
    object(|o| {
        push_counts(o, &metrics);
        o.object("latencyMs", |o| push_percentiles(o, recent.iter().map(|record| record.latency).collect()));
        push_refusals(o, &metrics);
        o.object("cache", |o| push_cache(o, &metrics));
        push_authorizers(o, &recent);
        limits.push(o, &handles);
        o.list("recent", recent.iter().take(LISTED), |out, record| push_object(out, |o| record.push(o)));
    })
}

pub(super) fn list(records: &Records) -> String {
    let mut out = String::new();
    push_list(&mut out, records, |out, record| push_object(out, |o| record.push(o)));
    out
}

fn push_counts(o: &mut Object<'_>, metrics: &PrometheusMetrics) {
    let totals = metrics.totals();
    let mut statuses = BTreeMap::<u16, u64>::new();
    for series in &totals {
        *statuses.entry(series.status).or_default() += series.count;
    }
    o.value("inFlight", metrics.in_flight()).value("count", statuses.values().sum::<u64>());
    o.object("statuses", |o| {
        for (status, count) in statuses {
            o.value(&status.to_string(), count);
        }
    });
}

fn push_refusals(o: &mut Object<'_>, metrics: &PrometheusMetrics) {
    let mut refusals = metrics.refusals();
    refusals.sort_by_key(|one| Reverse(one.count));
    o.list("refusals", refusals, |out, one| {
        push_object(out, |o| {
            o.text("responseType", one.response_type.as_str()).text("cause", &format!("{:?}", one.cause));
            o.text("layer", one.layer).value("count", one.count);
        });
    });
}

/// The share of the hits is of those who asked the cache: who went around it is in the list alone.
fn push_cache(o: &mut Object<'_>, metrics: &PrometheusMetrics) {
    let mut lookups = metrics.cache_lookups();
    lookups.sort_by_key(|lookup| Reverse(lookup.count));
    let asked: u64 = lookups.iter().filter(|lookup| lookup.is_asked()).map(|lookup| lookup.count).sum();
    let hits: u64 = lookups.iter().filter(|lookup| lookup.is_hit()).map(|lookup| lookup.count).sum();
    if asked > 0 {
        o.fraction("hitRatio", hits as f64 / asked as f64);
    }
    o.list("lookups", lookups, |out, lookup| {
        push_object(out, |o| {
            o.text("status", lookup.result).optional("reason", lookup.reason).value("count", lookup.count);
        });
    });
}

/// Of the last requests: how often each authorizer was called, how often a cached answer did, and how long calls took.
fn push_authorizers(o: &mut Object<'_>, recent: &Records) {
    let mut uses = BTreeMap::<&str, (u64, Vec<Duration>)>::new();
    for record in recent {
        let Some(name) = &record.authorizer else { continue };
        let (cached, called) = uses.entry(name).or_default();
        match record.authorizer_latency {
            Some(latency) => called.push(latency),
            None => *cached += 1,
        }
    }
    o.list("authorizers", uses, |out, (name, (cached, called))| {
        push_object(out, |o| {
            o.text("name", name).value("calls", called.len()).value("cached", cached);
            if !called.is_empty() {
                o.object("latencyMs", |o| push_percentiles(o, called));
            }
        });
    });
}

/// What the busiest keys have left.
#[cfg(feature = "usage-plan")]
struct Limits(Vec<super::limits::KeyQuota>);

#[cfg(feature = "usage-plan")]
impl Limits {
    async fn of(recent: &Records, handles: &Handles) -> Self {
        match &handles.usage_plans {
            Some(plans) => Self(super::limits::quotas(plans, &busiest_keys(recent)).await),
            None => Self(Vec::new()),
        }
    }

    fn push(&self, o: &mut Object<'_>, handles: &Handles) {
        if let Some(plans) = &handles.usage_plans {
            super::limits::push_quotas(o, plans, &self.0);
        }
    }
}

#[cfg(feature = "usage-plan")]
fn busiest_keys(recent: &Records) -> Vec<String> {
    let mut counts = BTreeMap::<&str, usize>::new();
    for key in recent.iter().filter_map(|record| record.api_key_id.as_deref()) {
        *counts.entry(key).or_default() += 1;
    }
    let mut keys: Vec<_> = counts.into_iter().collect();
    keys.sort_by_key(|(_, count)| Reverse(*count));
    keys.truncate(KEYS);
    keys.into_iter().map(|(key, _)| key.to_owned()).collect()
}

#[cfg(not(feature = "usage-plan"))]
struct Limits;

#[cfg(not(feature = "usage-plan"))]
impl Limits {
    async fn of(_: &Records, _: &Handles) -> Self {
        Self
    }

    fn push(&self, _: &mut Object<'_>, _: &Handles) {}
}

/// Nearest rank, in milliseconds; 0 where there is nothing.
fn push_percentiles(o: &mut Object<'_>, mut latencies: Vec<Duration>) {
    latencies.sort_unstable();
    for (name, percent) in [("p50", 50), ("p90", 90), ("p99", 99)] {
        let rank = (latencies.len() * percent).div_ceil(100);
        let found = latencies.get(rank.saturating_sub(1));
        o.fraction(name, found.map_or(0.0, |latency| latency.as_secs_f64() * 1e3));
    }
}
