//! Prometheus' text format, version 0.0.4.

use super::{
    histogram::{BOUNDS, Cumulative},
    registry::{Metrics, OUTCOMES},
    series::{Labels, Series},
};
use std::{
    fmt::{self, Write},
    sync::{Arc, atomic::Ordering::Relaxed},
};

/// What a series gives to a counter.
type Read = fn(&Series) -> u64;

impl Metrics {
    /// The page that Prometheus scrapes.
    pub fn render(&self) -> String {
        let mut page = String::new();
        let _writing_to_a_string_cannot_fail = self.write(&mut page);
        page
    }

    fn write(&self, page: &mut String) -> fmt::Result {
        let series = self.0.sorted();
        histograms(
            page,
            "http_server_request_duration_seconds",
            "Duration of HTTP server requests.",
            &series,
            |one| one.latency.read(),
        )?;
        histograms(
            page,
            "http_client_request_duration_seconds",
            "Duration of calls to the integration.",
            &series,
            |one| one.integration.read(),
        )?;
        head(page, "http_server_active_requests", "gauge", "Requests that have arrived and not ended.")?;
        writeln!(page, "http_server_active_requests {}", self.in_flight())?;
        let bytes: [(&str, &str, Read); 2] = [
            ("tower_gateway_request_bytes_total", "Announced bytes of request bodies.", |one| {
                one.request_bytes.load(Relaxed)
            }),
            ("tower_gateway_response_bytes_total", "Bytes of answers.", |one| {
                one.response_bytes.load(Relaxed)
            }),
        ];
        for (name, help, read) in bytes {
            head(page, name, "counter", help)?;
            for one in &series {
                writeln!(page, "{name}{{{}}} {}", LabelText(one.labels()), read(one))?;
            }
        }
        self.write_counts(page)
    }

    fn write_counts(&self, page: &mut String) -> fmt::Result {
        let refusals = "tower_gateway_refusals_total";
        head(page, refusals, "counter", "Refused requests.")?;
        for (kind, cause, count) in self.refusals() {
            writeln!(page, "{refusals}{{response_type=\"{kind}\",cause=\"{cause:?}\"}} {count}")?;
        }
        let ended = OUTCOMES.iter().zip(&self.0.ended);
        let ended = ended.map(|(outcome, count)| (outcome.as_str().to_owned(), count.load(Relaxed)));
        counts(page, "tower_gateway_requests_ended_total", "Requests by how they ended.", "outcome", ended)?;
        let lookups = self.0.lookups();
        counts(page, "tower_gateway_cache_lookups_total", "Look-ups in the cache.", "result", lookups)?;
        let folded = "tower_gateway_folded_requests_total";
        head(page, folded, "counter", "Requests counted under other because the label budget is spent.")?;
        writeln!(page, "{folded} {}", self.0.folded.load(Relaxed))?;
        let Some(writer) = &self.0.log_writer else { return Ok(()) };
        let stats = writer.stats();
        let lines = [("written", stats.written), ("dropped", stats.dropped), ("failed", stats.failed)];
        let lines = lines.map(|(result, count)| (result.to_owned(), count));
        counts(page, "tower_gateway_access_log_lines_total", "Lines of the access log.", "result", lines)
    }
}

fn head(page: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

fn counts(
    page: &mut String,
    name: &str,
    help: &str,
    label: &str,
    rows: impl IntoIterator<Item = (String, u64)>,
) -> fmt::Result {
    head(page, name, "counter", help)?;
    for (value, count) in rows {
        writeln!(page, "{name}{{{label}=\"{}\"}} {count}", Escaped(&value))?;
    }
    Ok(())
}

/// A histogram of every series that has seen something.
fn histograms(
    page: &mut String,
    name: &str,
    help: &str,
    series: &[Arc<Series>],
    read: impl Fn(&Series) -> Cumulative,
) -> fmt::Result {
    head(page, name, "histogram", help)?;
    for one in series {
        let cumulative = read(one);
        if cumulative.count == 0 {
            continue;
        }
        let labels = LabelText(one.labels());
        for (bound, count) in BOUNDS.iter().zip(cumulative.buckets) {
            writeln!(page, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}")?;
        }
        writeln!(page, "{name}_bucket{{{labels},le=\"+Inf\"}} {}", cumulative.count)?;
        writeln!(page, "{name}_sum{{{labels}}} {}", cumulative.sum)?;
        writeln!(page, "{name}_count{{{labels}}} {}", cumulative.count)?;
    }
    Ok(())
}

struct LabelText<'a>(Labels<'a>);

impl fmt::Display for LabelText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Labels { stage, method, route, status } = self.0;
        write!(f, "stage=\"{}\",http_request_method=\"{method}\"", Escaped(stage))?;
        write!(f, ",http_route=\"{}\",http_response_status_code=\"{status}\"", Escaped(route))
    }
}

/// The three characters that a label value cannot hold as they are.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_escaped() {
        let labels = Labels { stage: "a\"b\\c\nd", method: "GET", route: "/{id}", status: 200 };
        assert_eq!(
            LabelText(labels).to_string(),
            r#"stage="a\"b\\c\nd",http_request_method="GET",http_route="/{id}",http_response_status_code="200""#
        );
    }
}
