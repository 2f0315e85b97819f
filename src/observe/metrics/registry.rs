//! All that is counted.

use super::{
    super::{
        event::RequestEvent,
        layer::Observer,
        samples::{MetricSource, Samples},
        sink::LogWriter,
    },
    count::Count,
    named::{AuthorizerCounts, Named, PlanCounts},
    series::{Labels, Series, SeriesTotals},
    series_counts::SeriesSums,
    table::Table,
};
use crate::{
    body::Outcome,
    context::RequestContext,
    error::ConfigError,
    response::{Cause, ResponseType},
    striped::Striped,
};
use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{Arc, PoisonError, RwLock},
};

/// Series that are kept apart unless it is said otherwise.
const DEFAULT_BUDGET: usize = 1_000;

/// Counts and durations of requests; see the [module docs](super). A clone is a reference count.
#[derive(Clone)]
pub struct PrometheusMetrics(pub(super) Arc<Registry>);

pub(super) struct Registry {
    pub(super) series: Table,
    budget: usize,
    requests: Striped<RequestCounts>,
    refusals: Counts<(ResponseType, Cause, &'static str)>,
    lookups: Counts<(&'static str, Option<&'static str>)>,
    pub(super) plans: Named<PlanCounts>,
    pub(super) authorizers: Named<AuthorizerCounts>,
    sources: RwLock<Vec<Arc<dyn MetricSource>>>,
    pub(super) log_writer: Option<LogWriter>,
}

#[derive(Debug, Default)]
struct RequestCounts {
    started: Count,
    /// By how they ended, but the complete ones: those the series count.
    incomplete: [Count; OUTCOMES.len()],
}

/// As they are declared.
pub(super) const OUTCOMES: [Outcome; 4] =
    [Outcome::Complete, Outcome::ClientClosed, Outcome::Panicked, Outcome::Failed];

/// Settings of [`PrometheusMetrics`].
pub struct PrometheusMetricsBuilder {
    budget: usize,
    log_writer: Option<LogWriter>,
    sources: Vec<Arc<dyn MetricSource>>,
}

impl PrometheusMetricsBuilder {
    /// The label budget: how many series are kept apart, of requests, of plans, of authorizers and of all sources, each.
    /// Default: 1,000.
    #[must_use]
    pub fn label_budget(mut self, series: usize) -> Self {
        self.budget = series;
        self
    }

    /// Shows the counts of this writer too.
    #[must_use]
    pub fn log_writer(mut self, writer: LogWriter) -> Self {
        self.log_writer = Some(writer);
        self
    }

    /// Shows figures that somebody else counts. As [`PrometheusMetrics::add_source`].
    #[must_use]
    pub fn source(mut self, source: impl MetricSource) -> Self {
        self.sources.push(Arc::new(source));
        self
    }

    /// Makes the handle.
    ///
    /// # Errors
    ///
    /// A budget of zero.
    pub fn build(self) -> Result<PrometheusMetrics, ConfigError> {
        if self.budget == 0 {
            return Err(ConfigError::new("label budget", self.budget, "leaves no series to count in"));
        }
        Ok(PrometheusMetrics(Arc::new(Registry::new(self))))
    }
}

impl fmt::Debug for PrometheusMetricsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("PrometheusMetricsBuilder");
        out.field("budget", &self.budget).field("sources", &self.sources.len()).finish_non_exhaustive()
    }
}

impl Default for PrometheusMetricsBuilder {
    fn default() -> Self {
        Self { budget: DEFAULT_BUDGET, log_writer: None, sources: Vec::new() }
    }
}

impl Default for PrometheusMetrics {
    fn default() -> Self {
        Self(Arc::new(Registry::new(PrometheusMetricsBuilder::default())))
    }
}

impl PrometheusMetrics {
    /// With a label budget of 1,000 series.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts with the defaults.
    pub fn builder() -> PrometheusMetricsBuilder {
        PrometheusMetricsBuilder::default()
    }

    /// The sums of every series, ordered by their labels.
    pub fn totals(&self) -> Vec<SeriesTotals> {
        self.0.sorted().iter().map(|(labels, sums)| SeriesTotals::new(*labels, sums)).collect()
    }

    /// Requests that have arrived and not ended.
    pub fn in_flight(&self) -> u64 {
        // In this order: of whatever has ended, it is known that it has started.
        let ended: u64 = self.0.ended().iter().sum();
        self.0.started().saturating_sub(ended)
    }

    /// Requests that were refused, by kind, cause and layer, in this order.
    pub fn refusals(&self) -> Vec<Refusals> {
        let rows = self.0.refusals.read().into_iter();
        let refusals = rows.map(|((response_type, cause, layer), count)| Refusals {
            response_type,
            cause,
            layer,
            count,
        });
        let mut refusals: Vec<_> = refusals.collect();
        refusals.sort_by_key(|one| (one.response_type.as_str(), format!("{:?}", one.cause), one.layer));
        refusals
    }

    /// Look-ups in the cache, by what it did and why.
    pub fn cache_lookups(&self) -> Vec<CacheLookups> {
        let mut rows = self.0.lookups.read();
        rows.sort_unstable();
        rows.into_iter().map(|((result, reason), count)| CacheLookups { result, reason, count }).collect()
    }

    /// Shows figures that somebody else counts, from now on. They are asked for at each scrape.
    pub fn add_source(&self, source: impl MetricSource) {
        self.0.sources.write().unwrap_or_else(PoisonError::into_inner).push(Arc::new(source));
    }

    /// What the sources say at this moment.
    pub(super) fn samples(&self) -> Samples {
        let sources = self.0.sources.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut samples = Samples::new(self.0.budget);
        sources.iter().for_each(|source| source.collect(&mut samples));
        samples
    }
}

/// How often a layer refused for the same reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusals {
    /// The kind of gateway response.
    pub response_type: ResponseType,
    /// Why.
    pub cause: Cause,
    /// The name of the layer that refused.
    pub layer: &'static str,
    /// Since the start.
    pub count: u64,
}

/// How often the cache said the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheLookups {
    /// `hit`, `miss`, `bypass` and others.
    pub result: &'static str,
    /// Why it did not answer, or did not keep what was answered.
    pub reason: Option<&'static str>,
    /// Since the start.
    pub count: u64,
}

impl CacheLookups {
    /// Whether a stored answer, or another request's call, was the answer.
    pub fn is_hit(&self) -> bool {
        super::super::event::is_hit(self.result)
    }

    /// Whether the cache was asked at all, and not gone around.
    pub fn is_asked(&self) -> bool {
        self.is_hit() || super::super::event::is_miss(self.result)
    }
}

/// Counts by a key of which there are few.
struct Counts<K>(RwLock<HashMap<K, Count>>);

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: Eq + Hash + Clone> Counts<K> {
    /// Without a lock of its own where the key is known.
    fn add_to(&self, key: K) {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = known.get(&key) {
            return count.add(1);
        }
        drop(known);
        let mut counts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        counts.entry(key).or_default().add(1);
    }

    fn read(&self) -> Vec<(K, u64)> {
        let counts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(key, count)| (key.clone(), count.get())).collect()
    }
}

impl Registry {
    fn new(settings: PrometheusMetricsBuilder) -> Self {
        Self {
            series: Table::within(settings.budget),
            budget: settings.budget,
            requests: Striped::default(),
            refusals: Counts::default(),
            lookups: Counts::default(),
            plans: Named::within(settings.budget),
            authorizers: Named::within(settings.budget),
            sources: RwLock::new(settings.sources),
            log_writer: settings.log_writer,
        }
    }

    /// Requests by how they ended, in the order of `OUTCOMES`.
    pub(super) fn ended(&self) -> [u64; OUTCOMES.len()] {
        OUTCOMES.map(|outcome| match outcome {
            Outcome::Complete => self.series.iter().map(Series::completed).sum(),
            other => self.requests.iter().map(|counts| counts.incomplete[other as usize].get()).sum(),
        })
    }

    pub(super) fn started(&self) -> u64 {
        self.requests.iter().map(|counts| counts.started.get()).sum()
    }

    /// All series with their sums, ordered by their labels.
    pub(super) fn sorted(&self) -> Vec<(Labels<'_>, SeriesSums)> {
        let mut all: Vec<_> = self.series.iter().map(|series| (series.labels(), series.sums())).collect();
        all.sort_unstable_by_key(|(labels, _)| (labels.stage, labels.route, labels.method, labels.status));
        all
    }
}

impl Observer for PrometheusMetrics {
    fn started(&self, _: &RequestContext) {
        self.0.requests.mine().started.add(1);
    }

    fn ended(&self, event: &RequestEvent<'_>) {
        let registry = &*self.0;
        // The usual case costs nothing more than its series.
        if event.outcome() != Outcome::Complete {
            registry.requests.mine().incomplete[event.outcome() as usize].add(1);
        }
        registry.series.series(Labels::of(event)).counts.mine().record(event);
        if let Some(error) = event.error() {
            registry.refusals.add_to((error.response_type(), error.cause(), event.refusing_layer()));
        }
        if let Some(lookup) = event.cache_lookup() {
            registry.lookups.add_to(lookup);
        }
        if let Some(headroom) = event.plan_headroom() {
            registry.plans.count(&headroom.plan_id, |plan| plan.record(headroom));
        }
        if let Some(authorizer) = event.authorizer_use() {
            registry.authorizers.count(authorizer.name, |counts| counts.record(authorizer));
        }
    }

    fn needs_headroom(&self) -> bool {
        true
    }
}

impl fmt::Debug for PrometheusMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrometheusMetrics").field("series", &self.0.series.used()).finish_non_exhaustive()
    }
}
