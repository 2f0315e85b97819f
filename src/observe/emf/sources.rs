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
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
};

/// Milliseconds between two rounds: a data point a minute is what CloudWatch keeps.
const INTERVAL: i64 = 60_000;
/// Figures that are kept apart.
const BUDGET: usize = 1_000;
/// Counters whose last figure is remembered, those of the present round apart.
const REMEMBERED: usize = 2 * BUDGET;

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
        for (one, value) in self.values(&samples) {
            write(&line(event, namespace, one, value));
        }
    }

    /// Every figure that JSON has a number for. Counters that a round leaves out are remembered, in case the next one
    /// names them again, until there are too many.
    fn values<'a>(&self, samples: &'a Samples) -> Vec<(Sample<'a>, f64)> {
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        let finite = samples.iter().filter(|one| one.value().is_finite());
        let values = finite.map(|one| (one, value(one, &mut before))).collect();
        if before.len() > REMEMBERED {
            let named: HashSet<_> = samples.iter().map(identity).collect();
            before.retain(|identity, _| named.contains(identity));
        }
        values
    }
}

/// A gauge as it is; a counter by what it has grown since the last round.
fn value(one: Sample<'_>, before: &mut HashMap<Identity, f64>) -> f64 {
    if one.kind() == SampleKind::Gauge {
        return one.value();
    }
    let last = before.insert(identity(one), one.value()).unwrap_or(0.0);
    // A counter that began anew has grown by what it says.
    if one.value() < last { one.value() } else { one.value() - last }
}

fn identity(one: Sample<'_>) -> Identity {
    let labels: Vec<_> = one.labels().collect();
    format!("{} {labels:?}", one.name())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// One round of counters `c{of}`, each at `figure`.
    fn round(sources: &Sources, of: std::ops::Range<usize>, figure: u64) -> Vec<f64> {
        let mut samples = Samples::new(BUDGET);
        for number in of {
            samples.counter("calls_total", "Calls.", &[("to", &format!("c{number}"))], figure);
        }
        sources.values(&samples).into_iter().map(|(_, value)| value).collect()
    }

    #[test]
    fn a_counter_that_a_round_leaves_out_goes_on_where_it_was() {
        let sources = Sources::default();
        assert_eq!(round(&sources, 0..2, 10), [10.0, 10.0]);
        assert_eq!(round(&sources, 1..2, 15), [5.0]);
        assert_eq!(round(&sources, 0..2, 17), [7.0, 2.0]);
        assert_eq!(round(&sources, 0..1, 3), [3.0], "began anew");
    }

    #[test]
    fn labels_that_change_all_the_time_are_forgotten() {
        let sources = Sources::default();
        for number in 0..100 {
            let fresh = number * 100..(number + 1) * 100;
            assert!(round(&sources, fresh, 1).iter().all(|grown| *grown == 1.0));
            let remembered = sources.before.lock().unwrap().len();
            assert!(remembered <= REMEMBERED, "{remembered}");
        }
        assert_eq!(round(&sources, 9_999..10_000, 3), [2.0], "the last round's are there");
    }
}
