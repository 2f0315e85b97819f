//! The words of the format: metric directives, and members of the line.

use super::super::access_log::Escaping;
use std::time::Duration;

/// One metric of a line.
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) value: String,
}

pub(super) fn count(name: &'static str, value: u64) -> Metric {
    Metric { name, unit: "Count", value: value.to_string() }
}

pub(super) fn bytes(name: &'static str, value: u64) -> Metric {
    Metric { name, unit: "Bytes", value: value.to_string() }
}

pub(super) fn millis(name: &'static str, time: Duration) -> Metric {
    Metric { name, unit: "Milliseconds", value: format!("{:.3}", time.as_secs_f64() * 1e3) }
}

pub(super) fn percent(name: &'static str, share: f64) -> Metric {
    Metric { name, unit: "Percent", value: format!("{:.3}", share * 100.0) }
}

/// The head of a line, up to its first directive.
pub(super) fn push_head(unix_millis: i64, line: &mut String) {
    line.push_str("{\"_aws\":{\"Timestamp\":");
    line.push_str(itoa::Buffer::new().format(unix_millis));
    line.push_str(",\"CloudWatchMetrics\":[");
}

/// Which metrics there are, in which sets of dimensions.
pub(super) fn push_directive<'a>(
    namespace: &str,
    sets: impl IntoIterator<Item = &'a [(&'static str, String)]>,
    metrics: &[Metric],
    line: &mut String,
) {
    line.push_str("{\"Namespace\":");
    push_string(namespace, line);
    line.push_str(",\"Dimensions\":[");
    for (index, set) in sets.into_iter().enumerate() {
        line.push_str(if index == 0 { "[" } else { ",[" });
        for (index, (name, _)) in set.iter().enumerate() {
            line.push_str(if index == 0 { "" } else { "," });
            push_string(name, line);
        }
        line.push(']');
    }
    line.push_str("],\"Metrics\":[");
    for (index, metric) in metrics.iter().enumerate() {
        line.push_str(if index == 0 { "{\"Name\":\"" } else { ",{\"Name\":\"" });
        line.push_str(metric.name);
        line.push_str("\",\"Unit\":\"");
        line.push_str(metric.unit);
        line.push_str("\"}");
    }
    line.push_str("]}");
}

pub(super) fn push_values(metrics: &[Metric], line: &mut String) {
    for metric in metrics {
        push_member(metric.name, line);
        line.push_str(&metric.value);
    }
}

pub(super) fn push_texts<'a>(members: impl IntoIterator<Item = (&'a str, &'a str)>, line: &mut String) {
    for (name, text) in members {
        push_member(name, line);
        push_string(text, line);
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
