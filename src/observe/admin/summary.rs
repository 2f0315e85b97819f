//! What the page shows, as JSON: sums since the start, and percentiles of the last requests.

use super::{
    super::Metrics,
    explain::{Explain, RequestRecord, push_string},
};
use std::{collections::BTreeMap, sync::Arc};

/// Requests that the page lists.
const LISTED: usize = 20;

pub(super) fn summary(explain: &Explain, metrics: &Metrics) -> String {
    let recent = explain.recent();
    let totals = metrics.totals();
    let count: u64 = totals.iter().map(|series| series.count).sum();
    let mut out = format!("{{\"inFlight\":{},\"count\":{count},\"statuses\":{{", metrics.in_flight());
    let mut statuses = BTreeMap::<u16, u64>::new();
    for series in &totals {
        *statuses.entry(series.status).or_default() += series.count;
    }
    push_joined(&mut out, statuses, |out, (status, count)| out.push_str(&format!("\"{status}\":{count}")));
    out.push_str("},\"latencyMs\":{");
    push_joined(&mut out, [50, 90, 99], |out, percent| {
        out.push_str(&format!("\"p{percent}\":{:.3}", percentile(&recent, percent)));
    });
    out.push_str("},\"refusals\":[");
    let mut refusals = metrics.refusals();
    refusals.sort_by_key(|(_, _, count)| std::cmp::Reverse(*count));
    push_joined(&mut out, refusals, |out, (kind, cause, count)| {
        out.push_str(&format!("{{\"responseType\":\"{kind}\",\"cause\":\"{cause:?}\",\"count\":{count}}}"));
    });
    out.push_str("],\"cache\":{");
    push_joined(&mut out, cache(&recent), |out, (cache, count)| {
        push_string(out, cache);
        out.push_str(&format!(":{count}"));
    });
    out.push_str("},\"recent\":");
    out.push_str(&list(&recent, LISTED));
    out.push('}');
    out
}

pub(super) fn list(records: &[Arc<RequestRecord>], most: usize) -> String {
    let mut out = String::from("[");
    push_joined(&mut out, records.iter().take(most), |out, record| out.push_str(&record.to_json()));
    out.push(']');
    out
}

fn push_joined<T>(out: &mut String, items: impl IntoIterator<Item = T>, push: impl Fn(&mut String, T)) {
    for (index, item) in items.into_iter().enumerate() {
        out.push_str(if index == 0 { "" } else { "," });
        push(out, item);
    }
}

/// Nearest rank, in milliseconds; 0 where there is nothing.
fn percentile(records: &[Arc<RequestRecord>], percent: usize) -> f64 {
    let mut latencies: Vec<_> = records.iter().map(|record| record.latency).collect();
    latencies.sort_unstable();
    let rank = (latencies.len() * percent).div_ceil(100);
    let found = latencies.get(rank.saturating_sub(1));
    found.map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
}

fn cache(records: &[Arc<RequestRecord>]) -> BTreeMap<&str, u64> {
    let mut counts = BTreeMap::new();
    for cache in records.iter().filter_map(|record| record.cache.as_deref()) {
        *counts.entry(cache).or_default() += 1;
    }
    counts
}
