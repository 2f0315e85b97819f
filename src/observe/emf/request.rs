//! The line of one request.

use super::directive::{
    Metric, bytes, count, millis, percent, push_directive, push_head, push_texts, push_values,
};
use crate::{
    context::ApiKind,
    observe::event::{RequestEvent, is_hit, is_miss, known_method},
};

/// Longest value of the dimensions `Resource` and `Route`.
const MAX_DIMENSION: usize = 255;

/// How much a line says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extent {
    pub(super) detailed: bool,
    pub(super) extended: bool,
    /// Of HTTP APIs, one dimension for method and resource.
    pub(super) by_route: bool,
}

type Dimension = (&'static str, String);

pub(super) fn render(
    event: &RequestEvent<'_>,
    namespace: &str,
    extent: Extent,
    active: i64,
    line: &mut String,
) {
    let (dimensions, lengths) = dimensions(event, extent);
    let mut metrics = metrics(event);
    let plan = if extent.extended { plan_metrics(event) } else { Vec::new() };
    if extent.extended {
        metrics.extend(extended(event, active));
    }
    push_head(event.ended_at().unix_millis(), line);
    let sets = lengths.iter().map(|length| &dimensions[..*length]);
    push_directive(namespace, sets, &metrics, line);
    let of_plan = plan_dimensions(event);
    if !plan.is_empty() {
        line.push(',');
        push_directive(namespace, [&*of_plan], &plan, line);
    }
    line.push_str("]}");
    push_texts(texts(dimensions.iter()), line);
    if !plan.is_empty() {
        push_texts(texts(of_plan.iter().filter(|(name, _)| *name == PLAN)), line);
    }
    push_values(&metrics, line);
    push_values(&plan, line);
    push_properties(event, extent, line);
    line.push('}');
}

fn texts<'a>(dimensions: impl Iterator<Item = &'a Dimension>) -> impl Iterator<Item = (&'a str, &'a str)> {
    dimensions.map(|(name, value)| (*name, value.as_str()))
}

/// What is searched for, and no metric.
fn push_properties(event: &RequestEvent<'_>, extent: Extent, line: &mut String) {
    push_texts([("requestId", event.context().request_id())], line);
    if !extent.extended {
        return;
    }
    if let Some(error) = event.error() {
        let cause = format!("{:?}", error.cause());
        push_texts(
            [
                ("responseType", error.response_type().as_str()),
                ("cause", cause.as_str()),
                ("layer", event.refusing_layer()),
            ],
            line,
        );
    }
    let reason = event.cache_lookup().and_then(|(_, reason)| reason);
    push_texts(reason.map(|reason| ("cacheReason", reason)), line);
}

fn metrics(event: &RequestEvent<'_>) -> Vec<Metric> {
    let context = event.context();
    let class = event.error_class();
    let is = |wanted| u64::from(class == Some(wanted));
    let (client, server) = match context.api_kind() {
        ApiKind::Rest => ("4XXError", "5XXError"),
        ApiKind::Http => ("4xx", "5xx"),
    };
    let mut metrics = vec![
        count("Count", 1),
        count(client, is(4)),
        count(server, is(5)),
        millis("Latency", event.latency()),
    ];
    metrics.extend(context.integration_latency().map(|time| millis("IntegrationLatency", time)));
    if context.api_kind() == ApiKind::Http {
        metrics.push(bytes("DataProcessed", request_bytes(event).saturating_add(event.response_length())));
    }
    metrics.extend(lookup(event).into_iter().flatten());
    metrics
}

fn request_bytes(event: &RequestEvent<'_>) -> u64 {
    event.request_length().unwrap_or(0)
}

/// Both counts while caching is on: a request that went around the cache is neither.
fn lookup(event: &RequestEvent<'_>) -> Option<[Metric; 2]> {
    let (status, _) = event.cache_lookup()?;
    let hit = is_hit(status);
    let asked = hit || is_miss(status);
    asked.then(|| [count("CacheHitCount", hit.into()), count("CacheMissCount", (!hit).into())])
}

/// What AWS has no metric for.
fn extended(event: &RequestEvent<'_>, active: i64) -> Vec<Metric> {
    let mut metrics = vec![
        count("RefusalCount", event.error().is_some().into()),
        count("ActiveRequests", u64::try_from(active).unwrap_or(0)),
        bytes("RequestBytes", request_bytes(event)),
        bytes("ResponseBytes", event.response_length()),
    ];
    if let Some(authorizer) = event.authorizer_use() {
        let called = authorizer.latency.is_some();
        metrics.push(count("AuthorizerCacheHitCount", (!called).into()));
        metrics.push(count("AuthorizerCacheMissCount", called.into()));
        metrics.extend(authorizer.latency.map(|latency| millis("AuthorizerLatency", latency)));
    }
    metrics
}

fn plan_metrics(event: &RequestEvent<'_>) -> Vec<Metric> {
    let Some(headroom) = event.plan_headroom() else { return Vec::new() };
    let throttle = headroom.throttle_ratio().map(|left| percent("ThrottleHeadroom", left));
    let quota = headroom.quota_ratio().map(|left| percent("QuotaHeadroom", left));
    throttle.into_iter().chain(quota).collect()
}

const PLAN: &str = "Plan";

fn plan_dimensions(event: &RequestEvent<'_>) -> Vec<Dimension> {
    let plan = event.plan_headroom().map(|headroom| (PLAN, headroom.plan_id.to_string()));
    api(event).into_iter().chain(plan).collect()
}

/// What is known of name, stage, method and resource, and how many of them each set has: the name alone, with the stage,
/// with all. Without a name the first set is empty, which stands for the namespace as a whole: a directive must have one.
fn dimensions(event: &RequestEvent<'_>, extent: Extent) -> (Vec<Dimension>, Vec<usize>) {
    let context = event.context();
    let mut all: Vec<Dimension> = api(event).into_iter().collect();
    let mut lengths = vec![all.len()];
    let Some(stage) = context.stage() else { return (all, lengths) };
    all.push(("Stage", stage.to_owned()));
    lengths.push(all.len());
    let of_method = || context.route()?.settings()?.metrics_enabled(context.method());
    let is_detailed = of_method().unwrap_or(extent.detailed);
    if let (Some(path), true) = (context.resource_path(), is_detailed) {
        push_method(event, path, extent, &mut all);
        lengths.push(all.len());
    }
    (all, lengths)
}

fn push_method(event: &RequestEvent<'_>, path: &str, extent: Extent, all: &mut Vec<Dimension>) {
    let context = event.context();
    let cut = |text: &str| text.chars().take(MAX_DIMENSION).collect();
    if context.api_kind() == ApiKind::Http && extent.by_route {
        all.extend(context.route_key().map(|key| ("Route", cut(&key))));
    } else {
        all.push(("Method", known_method(context.method()).to_owned()));
        all.push(("Resource", cut(path)));
    }
}

/// The API by its name, of an HTTP API by its id.
pub(super) fn api(event: &RequestEvent<'_>) -> Option<Dimension> {
    let id = || event.api().api_id().map(str::to_owned);
    match event.context().api_kind() {
        ApiKind::Rest => api_name(event).map(|name| ("ApiName", name)),
        ApiKind::Http => id().or_else(|| api_name(event)).map(|id| ("ApiId", id)),
    }
}

/// Without what is not ASCII; the id where nothing is left.
fn api_name(event: &RequestEvent<'_>) -> Option<String> {
    let name: String = event.api().name().chars().filter(char::is_ascii).collect();
    if name.is_empty() { event.api().api_id().map(str::to_owned) } else { Some(name) }
}
