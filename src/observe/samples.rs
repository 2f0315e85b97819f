//! Figures that somebody else counts, read when somebody asks: a seam for stores and other parts of a program.

use std::{collections::BTreeMap, fmt};

/// Gives figures when it is asked: at each scrape of a Prometheus page (`PrometheusMetricsBuilder::source`), or when they
/// are published through the facade (`FacadeMetrics::publish`) or as an EMF line (`EmfLog::source`).
///
/// Any `Fn(&mut Samples)` is one. It must not block: read counters that are kept anyway.
///
/// ```
/// use std::sync::{Arc, atomic::{AtomicU64, Ordering::Relaxed}};
/// use tower_gateway::observe::{MetricSource, Samples};
///
/// let failures = Arc::new(AtomicU64::new(3));
/// let counted = Arc::clone(&failures);
/// let source = move |samples: &mut Samples| {
///     let labels = [("store", "usage"), ("decision", "degrade")];
///     samples.counter("tower_gateway_store_failures_total", "Failed calls of a store.", &labels, counted.load(Relaxed));
/// };
/// let mut samples = Samples::new(1_000);
/// source.collect(&mut samples);
/// assert_eq!(samples.iter().next().unwrap().value(), 3.0);
/// ```
///
/// A family of a name that the page of `PrometheusMetrics` has itself is left out there.
pub trait MetricSource: Send + Sync + 'static {
    /// Adds the figures of this moment.
    fn collect(&self, samples: &mut Samples);
}

impl<F: Fn(&mut Samples) + Send + Sync + 'static> MetricSource for F {
    fn collect(&self, samples: &mut Samples) {
        self(samples);
    }
}

/// What kind of figure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SampleKind {
    /// Only ever grows.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// The figures of some sources at one moment, by name, within a label budget.
#[derive(Debug)]
pub struct Samples {
    families: BTreeMap<&'static str, Family>,
    budget: usize,
    count: usize,
}

#[derive(Debug)]
struct Family {
    help: &'static str,
    kind: SampleKind,
    values: BTreeMap<Vec<(&'static str, String)>, f64>,
}

/// One figure.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    name: &'static str,
    family: &'a Family,
    labels: &'a [(&'static str, String)],
    value: f64,
}

impl Samples {
    /// Takes up to `budget` figures apart; what comes beyond is added up, under the same names, with every label
    /// `other`.
    pub fn new(budget: usize) -> Self {
        Self { families: BTreeMap::new(), budget, count: 0 }
    }

    /// A count since the start. Names are those of Prometheus: `[a-zA-Z_:][a-zA-Z0-9_:]*`, and by its convention end in
    /// `_total`, which is not asked for here; a figure whose name, or a label's, has other characters is left out.
    pub fn counter(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        value: u64,
    ) {
        self.add(name, help, labels, SampleKind::Counter, value as f64);
    }

    /// A figure that goes up and down.
    pub fn gauge(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        value: f64,
    ) {
        self.add(name, help, labels, SampleKind::Gauge, value);
    }

    /// The figures, by name and labels.
    pub fn iter(&self) -> impl Iterator<Item = Sample<'_>> {
        self.families.iter().flat_map(|(name, family)| {
            family.values.iter().map(move |(labels, value)| Sample { name, family, labels, value: *value })
        })
    }

    /// The same figure twice is one: counts and gauges add up. A name that is used for both kinds keeps the first.
    fn add(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        kind: SampleKind,
        value: f64,
    ) {
        if !is_name(name, ":") || !labels.iter().all(|(label, _)| is_name(label, "")) {
            return;
        }
        let own: Vec<_> = labels.iter().map(|(label, text)| (*label, (*text).to_owned())).collect();
        let family = self.families.entry(name).or_insert(Family { help, kind, values: BTreeMap::new() });
        if family.kind != kind {
            return;
        }
        if let Some(known) = family.values.get_mut(&own) {
            *known += value;
            return;
        }
        let has_room = self.count < self.budget;
        self.count += usize::from(has_room);
        let other = || own.iter().map(|(label, _)| (*label, "other".to_owned())).collect();
        *family.values.entry(if has_room { own } else { other() }).or_default() += value;
    }
}

fn is_name(name: &str, also: &str) -> bool {
    let starts = name.starts_with(|first: char| !first.is_ascii_digit());
    starts && name.chars().all(|one| one.is_ascii_alphanumeric() || one == '_' || also.contains(one))
}

impl<'a> Sample<'a> {
    /// The name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// A sentence for people.
    pub fn help(&self) -> &'static str {
        self.family.help
    }

    /// What kind of figure it is.
    pub fn kind(&self) -> SampleKind {
        self.family.kind
    }

    /// Names and values of its labels.
    pub fn labels(&self) -> impl Iterator<Item = (&'static str, &'a str)> + use<'a> {
        self.labels.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// The figure.
    pub fn value(&self) -> f64 {
        self.value
    }
}

impl fmt::Display for SampleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::observe) fn rows(samples: &Samples) -> Vec<String> {
        let row = |one: Sample<'_>| {
            let labels: Vec<_> = one.labels().map(|(name, value)| format!("{name}={value}")).collect();
            format!("{} {} {} {}", one.name(), one.kind(), labels.join(","), one.value())
        };
        samples.iter().map(row).collect()
    }

    #[test]
    fn figures_beyond_the_budget_are_added_up_under_other() {
        let mut samples = Samples::new(3);
        for (label, value) in [("a", 1), ("b", 2), ("a", 10), ("c", 3), ("d", 4), ("e", 5)] {
            samples.counter("calls_total", "Calls.", &[("to", label)], value);
        }
        samples.gauge("open", "Open.", &[], 0.5);
        samples.gauge("calls_total", "A gauge now.", &[], 1.0);
        samples.gauge("not a name", "", &[], 1.0);
        samples.gauge("fine", "", &[("1", "")], 1.0);
        let calls = ["a 11", "b 2", "c 3", "other 9"].map(|row| format!("calls_total counter to={row}"));
        assert_eq!(rows(&samples)[..4], calls);
        assert_eq!(rows(&samples)[4..], ["open gauge  0.5"]);
    }
}
