//! All series, and the label budget.

use super::{
    super::{event::RequestEvent, layer::Observer, sink::LogWriter},
    series::{Labels, OTHER, Series, SeriesTotals},
};
use crate::{
    body::Outcome,
    context::RequestContext,
    error::ConfigError,
    response::{Cause, ResponseType},
};
use std::{
    borrow::Borrow,
    collections::{HashMap, hash_map::RandomState},
    fmt,
    hash::{BuildHasher, Hash},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
};

/// Series that are kept apart unless it is said otherwise. One takes about 400 bytes and its labels.
const DEFAULT_BUDGET: usize = 1_000;

/// What the cache may say of a look-up; more than that are counted as `other`.
const MAX_CACHE_RESULTS: usize = 16;

/// Counts and durations of requests; see the [module docs](super). A clone is a reference count.
#[derive(Clone)]
pub struct Metrics(pub(super) Arc<Registry>);

pub(super) struct Registry {
    hasher: RandomState,
    /// By the hash of their labels; more than one only where hashes meet.
    series: RwLock<HashMap<u64, Vec<Arc<Series>>>>,
    budget: usize,
    used: AtomicU64,
    pub(super) folded: AtomicU64,
    pub(super) active: AtomicI64,
    pub(super) ended: [AtomicU64; OUTCOMES.len()],
    refusals: Counts<(ResponseType, Cause)>,
    lookups: Counts<String>,
    pub(super) log_writer: Option<LogWriter>,
}

pub(super) const OUTCOMES: [Outcome; 4] =
    [Outcome::Complete, Outcome::ClientClosed, Outcome::Panicked, Outcome::Failed];

/// Settings of [`Metrics`].
#[derive(Debug)]
pub struct MetricsBuilder {
    budget: usize,
    log_writer: Option<LogWriter>,
}

impl MetricsBuilder {
    /// The label budget: how many series are kept apart. Default: 1,000.
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

    /// Makes the handle.
    ///
    /// # Errors
    ///
    /// A budget of zero.
    pub fn build(self) -> Result<Metrics, ConfigError> {
        if self.budget == 0 {
            return Err(ConfigError::new("label budget", self.budget, "leaves no series to count in"));
        }
        Ok(Metrics(Arc::new(Registry::new(self))))
    }
}

impl Default for MetricsBuilder {
    fn default() -> Self {
        Self { budget: DEFAULT_BUDGET, log_writer: None }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self(Arc::new(Registry::new(MetricsBuilder::default())))
    }
}

impl Metrics {
    /// With a label budget of 1,000 series.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts with the defaults.
    pub fn builder() -> MetricsBuilder {
        MetricsBuilder::default()
    }

    /// The sums of every series, ordered by their labels.
    pub fn totals(&self) -> Vec<SeriesTotals> {
        self.0.sorted().iter().map(|series| series.totals()).collect()
    }

    /// Requests that have arrived and not ended.
    pub fn in_flight(&self) -> u64 {
        u64::try_from(self.0.active.load(Relaxed)).unwrap_or(0)
    }

    /// Requests that were refused, by kind and cause, ordered by kind.
    pub fn refusals(&self) -> Vec<(ResponseType, Cause, u64)> {
        let mut rows: Vec<_> = self.0.refusals.read();
        rows.sort_by_key(|((kind, cause), _)| (kind.as_str(), format!("{cause:?}")));
        rows.into_iter().map(|((kind, cause), count)| (kind, cause, count)).collect()
    }
}

/// Counts by a key of which there are few.
struct Counts<K>(RwLock<HashMap<K, AtomicU64>>);

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: Eq + Hash + Clone> Counts<K> {
    /// Without a lock of its own where the key is known.
    fn add_to<Q>(&self, key: &Q, own: impl FnOnce(usize) -> K)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = known.get(key) {
            count.fetch_add(1, Relaxed);
            return;
        }
        drop(known);
        let mut counts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let key = own(counts.len());
        counts.entry(key).or_default().fetch_add(1, Relaxed);
    }

    fn read(&self) -> Vec<(K, u64)> {
        let counts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(key, count)| (key.clone(), count.load(Relaxed))).collect()
    }
}

impl Registry {
    fn new(settings: MetricsBuilder) -> Self {
        Self {
            hasher: RandomState::new(),
            series: RwLock::default(),
            budget: settings.budget,
            used: AtomicU64::new(0),
            folded: AtomicU64::new(0),
            active: AtomicI64::new(0),
            ended: Default::default(),
            refusals: Counts::default(),
            lookups: Counts::default(),
            log_writer: settings.log_writer,
        }
    }

    /// Records under the labels, where they are known or new and within the budget; else under the folded ones.
    fn record(&self, event: &RequestEvent<'_>) {
        let labels = Labels::of(event);
        let spent = || self.used.load(Relaxed) >= self.budget as u64;
        if self.record_known(labels, event) {
            return;
        }
        if spent() && self.record_known(labels.folded(), event) {
            self.folded.fetch_add(1, Relaxed);
            return;
        }
        self.add(labels).record(event);
    }

    fn record_known(&self, labels: Labels<'_>, event: &RequestEvent<'_>) -> bool {
        let series = self.series.read().unwrap_or_else(PoisonError::into_inner);
        let found = series.get(&self.hash(labels)).and_then(|list| find(list, labels));
        found.inspect(|series| series.record(event)).is_some()
    }

    /// The series of these labels, or of the folded ones where the budget is spent: those are few, and do not count.
    fn add(&self, labels: Labels<'_>) -> Arc<Series> {
        let mut all = self.series.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = all.get(&self.hash(labels)).and_then(|list| find(list, labels)) {
            return Arc::clone(found);
        }
        if self.used.load(Relaxed) < self.budget as u64 {
            self.used.fetch_add(1, Relaxed);
            return insert(&mut all, self.hash(labels), labels);
        }
        self.folded.fetch_add(1, Relaxed);
        let folded = labels.folded();
        let known = all.get(&self.hash(folded)).and_then(|list| find(list, folded)).cloned();
        known.unwrap_or_else(|| insert(&mut all, self.hash(folded), folded))
    }

    fn hash(&self, labels: impl Hash) -> u64 {
        self.hasher.hash_one(labels)
    }

    pub(super) fn sorted(&self) -> Vec<Arc<Series>> {
        let all = self.series.read().unwrap_or_else(PoisonError::into_inner);
        let mut series: Vec<_> = all.values().flatten().cloned().collect();
        drop(all);
        series.sort_by(|one, other| key(one).cmp(&key(other)));
        series
    }

    fn count_lookup(&self, context: &RequestContext) {
        let Some(result) = context.variable("cache.status") else { return };
        self.lookups.add_to(&*result, |known| match known < MAX_CACHE_RESULTS {
            true => result.to_string(),
            false => OTHER.to_owned(),
        });
    }

    pub(super) fn lookups(&self) -> Vec<(String, u64)> {
        let mut lookups = self.lookups.read();
        lookups.sort();
        lookups
    }
}

fn insert(all: &mut HashMap<u64, Vec<Arc<Series>>>, hash: u64, labels: Labels<'_>) -> Arc<Series> {
    let series = Arc::new(Series::new(labels));
    all.entry(hash).or_default().push(Arc::clone(&series));
    series
}

fn find<'a>(list: &'a [Arc<Series>], labels: Labels<'_>) -> Option<&'a Arc<Series>> {
    list.iter().find(|series| series.labels() == labels)
}

fn key(series: &Series) -> (&str, &str, &str, u16) {
    let labels = series.labels();
    (labels.stage, labels.route, labels.method, labels.status)
}

impl Observer for Metrics {
    fn started(&self, _: &RequestContext) {
        self.0.active.fetch_add(1, Relaxed);
    }

    fn ended(&self, event: &RequestEvent<'_>) {
        let registry = &*self.0;
        registry.active.fetch_sub(1, Relaxed);
        registry.record(event);
        if let Some(index) = OUTCOMES.iter().position(|outcome| *outcome == event.outcome()) {
            registry.ended[index].fetch_add(1, Relaxed);
        }
        if let Some(error) = event.error() {
            let kind = (error.response_type(), error.cause());
            registry.refusals.add_to(&kind, |_| kind);
        }
        registry.count_lookup(event.context());
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("series", &self.0.used.load(Relaxed)).finish_non_exhaustive()
    }
}
