//! CloudWatch's Embedded Metric Format: one JSON line a request, from which CloudWatch makes AWS's metrics.

mod directive;
mod request;
mod sources;

use super::{event::RequestEvent, layer::Observer, samples::MetricSource, sink::LogSink};
use crate::context::RequestContext;
use request::Extent;
use sources::Sources;
use std::{
    cell::RefCell,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
};

/// Writes a line for each request with AWS's metric names and dimensions: an [`Observer`].
///
/// | | REST API | HTTP API |
/// |---|---|---|
/// | metrics | `Count`, `4XXError`, `5XXError`, `Latency`; `IntegrationLatency` where it was measured; `CacheHitCount`, `CacheMissCount` where a cache was asked | `Count`, `4xx`, `5xx`, `Latency`, `DataProcessed`, `IntegrationLatency` |
/// | dimensions | (`ApiName`), (`ApiName`, `Stage`); detailed: (`ApiName`, `Method`, `Resource`, `Stage`) | the same with `ApiId`; detailed [by route](Self::by_route): (`ApiId`, `Stage`, `Route`) |
/// | [extended](Self::extended) | `RefusalCount`, `ActiveRequests`, `RequestBytes`, `ResponseBytes`; `AuthorizerLatency`, `AuthorizerCacheHitCount`, `AuthorizerCacheMissCount` where one was asked | the same |
/// | extended, of (`ApiName`, `Plan`) | `ThrottleHeadroom`, `QuotaHeadroom`: percent of the caller's limit that is left | the same with `ApiId` |
///
/// Where [`ApiInfo`](super::ApiInfo) names no API, its dimension is left out of the sets: `[[], ["Stage"]]`.
///
/// `4XXError`, `5XXError` and the cache pair are 0 or 1 on every line, so that averages are rates. The request id is in
/// every line, to be searched for, and in extended lines `responseType`, `cause`, `layer` and `cacheReason`.
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
    extent: Extent,
    active: AtomicI64,
    sources: Sources,
}

impl EmfLog {
    /// Into namespace `TowerGateway`: `AWS/…` is reserved.
    pub fn new(sink: impl LogSink) -> Self {
        Self {
            sink: Box::new(sink),
            namespace: "TowerGateway".to_owned(),
            extent: Extent::default(),
            active: AtomicI64::new(0),
            sources: Sources::default(),
        }
    }

    /// The namespace. Default: `TowerGateway`.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Whether metrics are kept per method too (`metricsEnabled`), at CloudWatch's price of each, where the stage does not
    /// say it of the method ([`MethodSettings::metrics_enabled`](crate::route::MethodSettings::metrics_enabled)). Default:
    /// no.
    #[must_use]
    pub fn detailed(mut self, detailed: bool) -> Self {
        self.extent.detailed = detailed;
        self
    }

    /// Whether detailed metrics of an HTTP API have one dimension `Route` (`GET /pets/{id}`, as declared) in place of
    /// `Method` and `Resource`: AWS's pages have named both. Default: no.
    #[must_use]
    pub fn by_route(mut self, by_route: bool) -> Self {
        self.extent.by_route = by_route;
        self
    }

    /// Whether lines have what AWS has no metric for, at CloudWatch's price of each: the last rows of the table above.
    /// Default: no.
    #[must_use]
    pub fn extended(mut self, extended: bool) -> Self {
        self.extent.extended = extended;
        self
    }

    /// Writes figures that somebody else counts, a line for each, with the first request of every minute that ends: of
    /// counters what they have grown by. Their labels are dimensions beside the API's name.
    #[must_use]
    pub fn source(mut self, source: impl MetricSource) -> Self {
        self.sources.add(Arc::new(source));
        self
    }
}

thread_local! {
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

impl Observer for EmfLog {
    fn started(&self, _: &RequestContext) {
        self.active.fetch_add(1, Relaxed);
    }

    fn ended(&self, event: &RequestEvent<'_>) {
        // Whoever is told of its own end is still active.
        let active = self.active.fetch_sub(1, Relaxed);
        let mut line = LINE.take();
        line.clear();
        request::render(event, &self.namespace, self.extent, active, &mut line);
        self.sink.write(&line, event);
        self.sources.render(event, &self.namespace, |line| self.sink.write(line, event));
        LINE.set(line);
    }

    fn needs_headroom(&self) -> bool {
        self.extent.extended
    }
}

impl fmt::Debug for EmfLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("EmfLog");
        debug.field("namespace", &self.namespace).field("extent", &self.extent).finish_non_exhaustive()
    }
}
