//! CloudWatch's Embedded Metric Format: one JSON line a request, from which CloudWatch makes AWS's metrics.

use super::{
    access_log::Escaping,
    event::{RequestEvent, known_method},
    layer::Observer,
    sink::LogSink,
};
use crate::context::ApiKind;
use std::{cell::RefCell, fmt, time::Duration};

/// Longest value of the `Resource` dimension.
const MAX_RESOURCE: usize = 255;

/// Writes a line for each request with AWS's metric names and dimensions: an [`Observer`].
///
/// | | REST API | HTTP API |
/// |---|---|---|
/// | metrics | `Count`, `4XXError`, `5XXError`, `Latency`; `IntegrationLatency` where it was measured; `CacheHitCount`, `CacheMissCount` where a cache was asked | `Count`, `4xx`, `5xx`, `Latency`, `DataProcessed`, `IntegrationLatency` |
/// | dimensions | (`ApiName`), (`ApiName`, `Stage`); detailed: (`ApiName`, `Method`, `Resource`, `Stage`) | the same with `ApiId` |
///
/// `4XXError`, `5XXError` and the cache pair are 0 or 1 on every line, so that averages are rates. The request id is in
/// every line, to be searched for.
///
/// ```
/// use tower_gateway::observe::{ApiInfo, EmfLog, LogWriter, ObserveLayer};
///
/// let stdout = LogWriter::new(std::io::stdout())?;
/// let layer = ObserveLayer::new().api(ApiInfo::new("pets")).observer(EmfLog::new(stdout).detailed(true));
/// # let _ = layer;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// AWS: "Amazon API Gateway dimensions and metrics", and the CloudWatch guide's "Embedded metric format specification".
pub struct EmfLog {
    sink: Box<dyn LogSink>,
    namespace: String,
    detailed: bool,
}

impl EmfLog {
    /// Into namespace `TowerGateway`: `AWS/…` is reserved.
    pub fn new(sink: impl LogSink) -> Self {
        Self { sink: Box::new(sink), namespace: "TowerGateway".to_owned(), detailed: false }
    }

    /// The namespace. Default: `TowerGateway`.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Whether metrics are kept per method too (`metricsEnabled`), at CloudWatch's price of each. Default: no.
    #[must_use]
    pub fn detailed(mut self, detailed: bool) -> Self {
        self.detailed = detailed;
        self
    }

    fn render(&self, event: &RequestEvent<'_>, line: &mut String) {
        let (dimensions, metrics) = (dimensions(event), metrics(event));
        line.push_str("{\"_aws\":{\"Timestamp\":");
        line.push_str(itoa::Buffer::new().format(event.ended_at().unix_millis()));
        line.push_str(",\"CloudWatchMetrics\":[{\"Namespace\":");
        push_string(&self.namespace, line);
        line.push_str(",\"Dimensions\":[");
        push_sets(&dimensions, self.detailed, line);
        line.push_str("],\"Metrics\":[");
        for (index, metric) in metrics.iter().enumerate() {
            line.push_str(if index == 0 { "" } else { "," });
            line.push_str("{\"Name\":\"");
            line.push_str(metric.name);
            line.push_str("\",\"Unit\":\"");
            line.push_str(metric.unit);
            line.push_str("\"}");
        }
        line.push_str("]}]}");
        let detail = if self.detailed { usize::MAX } else { 2 };
        for (name, value) in dimensions.iter().take(detail) {
            push_member(name, line);
            push_string(value, line);
        }
        for metric in &metrics {
            push_member(metric.name, line);
            line.push_str(&metric.value);
        }
        push_member("requestId", line);
        push_string(event.context().request_id(), line);
        line.push('}');
    }
}

struct Metric {
    name: &'static str,
    unit: &'static str,
    value: String,
}

fn count(name: &'static str, value: u64) -> Metric {
    Metric { name, unit: "Count", value: value.to_string() }
}

fn millis(name: &'static str, time: Duration) -> Metric {
    Metric { name, unit: "Milliseconds", value: format!("{:.3}", time.as_secs_f64() * 1e3) }
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
        let bytes = context.request_length().unwrap_or(0) + event.response_length();
        metrics.push(Metric { name: "DataProcessed", unit: "Bytes", value: bytes.to_string() });
    }
    metrics.extend(lookup(event).into_iter().flatten());
    metrics
}

/// Both counts while caching is on: a request that went around the cache is neither.
fn lookup(event: &RequestEvent<'_>) -> Option<[Metric; 2]> {
    let status = event.context().variable("cache.status")?;
    let hit = matches!(&*status, "hit" | "stale" | "revalidated" | "collapsed");
    let asked = hit || status == "miss";
    asked.then(|| [count("CacheHitCount", hit.into()), count("CacheMissCount", (!hit).into())])
}

/// Name, stage, method, resource: as many as are known, in the order of the sets.
fn dimensions(event: &RequestEvent<'_>) -> Vec<(&'static str, String)> {
    let context = event.context();
    let api = match context.api_kind() {
        ApiKind::Rest => api_name(event).map(|name| ("ApiName", name)),
        ApiKind::Http => {
            event.api().api_id().map(str::to_owned).or_else(|| api_name(event)).map(|id| ("ApiId", id))
        }
    };
    let stage = context.stage().map(|stage| ("Stage", stage.to_owned()));
    let resource = context.resource_path();
    let method = resource.map(|_| ("Method", known_method(context.method()).to_owned()));
    let resource = resource.map(|path| ("Resource", path.chars().take(MAX_RESOURCE).collect()));
    let all = [api, stage, method, resource];
    all.into_iter().map_while(|dimension| dimension).collect()
}

/// Without what is not ASCII; the id where nothing is left.
fn api_name(event: &RequestEvent<'_>) -> Option<String> {
    let name: String = event.api().name().chars().filter(char::is_ascii).collect();
    if name.is_empty() { event.api().api_id().map(str::to_owned) } else { Some(name) }
}

fn push_sets(dimensions: &[(&'static str, String)], detailed: bool, line: &mut String) {
    let lengths = [Some(1), Some(2), detailed.then_some(4)];
    let sets = lengths.into_iter().flatten().filter_map(|length| dimensions.get(..length));
    for (index, set) in sets.enumerate() {
        line.push_str(if index == 0 { "[" } else { ",[" });
        for (index, (name, _)) in set.iter().enumerate() {
            line.push_str(if index == 0 { "\"" } else { ",\"" });
            line.push_str(name);
            line.push('"');
        }
        line.push(']');
    }
}

fn push_member(name: &str, line: &mut String) {
    line.push_str(",\"");
    line.push_str(name);
    line.push_str("\":");
}

fn push_string(text: &str, line: &mut String) {
    line.push('"');
    Escaping::Json.push(text, line);
    line.push('"');
}

thread_local! {
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

impl Observer for EmfLog {
    fn ended(&self, event: &RequestEvent<'_>) {
        let mut line = LINE.take();
        line.clear();
        self.render(event, &mut line);
        self.sink.write(&line, event);
        LINE.set(line);
    }
}

impl fmt::Debug for EmfLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("EmfLog");
        debug.field("namespace", &self.namespace).field("detailed", &self.detailed).finish_non_exhaustive()
    }
}
