//! Figures that somebody else counts, as lines of their own.

use super::{
    super::{
        event::RequestEvent,
        samples::{MetricSource, Sample, SampleKind, Samples},
    },
    directive::{Metric, push_directive, push_head, push_texts, push_values},
    request::api,
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
};

/// Milliseconds between two rounds: a data point a minute is what CloudWatch keeps.
const INTERVAL: i64 = 60_000;
/// Figures that are kept apart.
const BUDGET: usize = 1_000;

/// A figure's name and labels in one text.
type Identity = String;

#[derive(Default)]
pub(super) struct Sources {
    sources: Vec<Arc<dyn MetricSource>>,
    /// When the next round is due, in milliseconds since 1970.
    due: AtomicI64,
    /// What each counter stood at.
    before: Mutex<HashMap<Identity, f64>>,
}

impl Sources {
    pub(super) fn add(&mut self, source: Arc<dyn MetricSource>) {
        self.sources.push(source);
    }

    /// Hands out the lines of a round, if one is due; whoever notices first does it.
    pub(super) fn render(&self, event: &RequestEvent<'_>, namespace: &str, mut write: impl FnMut(&str)) {
        if self.sources.is_empty() {
            return;
        }
        let (now, due) = (event.ended_at().unix_millis(), self.due.load(Relaxed));
        if now < due || self.due.compare_exchange(due, now + INTERVAL, Relaxed, Relaxed).is_err() {
            return;
        }
        let mut samples = Samples::new(BUDGET);
        self.sources.iter().for_each(|source| source.collect(&mut samples));
        // JSON has no number for the others.
        for one in samples.iter().filter(|one| one.value().is_finite()) {
            write(&line(event, namespace, one, self.value(one)));
        }
    }

    /// A gauge as it is; a counter by what it has grown since the last round.
    fn value(&self, one: Sample<'_>) -> f64 {
        if one.kind() == SampleKind::Gauge {
            return one.value();
        }
        let labels: Vec<_> = one.labels().collect();
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        let last = before.insert(format!("{} {labels:?}", one.name()), one.value()).unwrap_or(0.0);
        // A counter that began anew has grown by what it says.
        if one.value() < last { one.value() } else { one.value() - last }
    }
}

fn line(event: &RequestEvent<'_>, namespace: &str, one: Sample<'_>, value: f64) -> String {
    let unit = if one.kind() == SampleKind::Counter { "Count" } else { "None" };
    let metrics = [Metric { name: one.name(), unit, value: value.to_string() }];
    let labels = one.labels().map(|(name, value)| (name, value.to_owned()));
    let dimensions: Vec<_> = api(event).into_iter().chain(labels).collect();
    let mut line = String::new();
    push_head(event.ended_at().unix_millis(), &mut line);
    push_directive(namespace, [&*dimensions], &metrics, &mut line);
    line.push_str("]}");
    push_texts(dimensions.iter().map(|(name, value)| (*name, value.as_str())), &mut line);
    push_values(&metrics, &mut line);
    line.push('}');
    line
}
