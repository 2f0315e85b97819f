//! Prometheus' text format, version 0.0.4.

use super::{
    histogram::{Cumulative, SECONDS, SHARES, Scale, Shares},
    named::{Named, PlanCounts},
    registry::{OUTCOMES, PrometheusMetrics, Refusals},
    series::Labels,
    series_counts::SeriesSums,
};
use crate::body::Outcome;
use std::{
    collections::BTreeSet,
    fmt::{self, Display, Write},
};

/// What a series gives to a counter.
type Read = fn(&SeriesSums) -> u64;

impl PrometheusMetrics {
    /// The page that Prometheus scrapes.
    pub fn render(&self) -> String {
        let mut page = String::new();
        let _writing_to_a_string_cannot_fail = self.write(&mut page);
        page
    }

    fn write(&self, page: &mut String) -> fmt::Result {
        self.write_series(page)?;
        self.write_counts(page)?;
        self.write_callers(page)?;
        self.write_log_lines(page)?;
        self.write_samples(page)
    }

    fn write_series(&self, page: &mut String) -> fmt::Result {
        let series = self.0.sorted();
        let latency = ("http_server_request_duration_seconds", "Duration of HTTP server requests.");
        durations(page, latency, &series, |sums| sums.latency)?;
        let integration = ("http_client_request_duration_seconds", "Duration of calls to the integration.");
        durations(page, integration, &series, |sums| sums.integration)?;
        head(page, "http_server_active_requests", "gauge", "Requests that have arrived and not ended.")?;
        writeln!(page, "http_server_active_requests {}", self.in_flight())?;
        let bytes: [(&str, &str, Read); 2] = [
            ("tower_gateway_request_bytes_total", "Bytes of request bodies.", |sums| sums.request_bytes),
            ("tower_gateway_response_bytes_total", "Bytes of answers.", |sums| sums.response_bytes),
        ];
        for (name, help, read) in bytes {
            head(page, name, "counter", help)?;
            for (labels, sums) in &series {
                writeln!(page, "{name}{{{}}} {}", LabelText(*labels), read(sums))?;
            }
        }
        Ok(())
    }

    fn write_counts(&self, page: &mut String) -> fmt::Result {
        let refusals = "tower_gateway_refusals_total";
        head(page, refusals, "counter", "Refused requests.")?;
        for Refusals { response_type: kind, cause, layer, count } in self.refusals() {
            let labels = format_args!("response_type=\"{kind}\",cause=\"{cause:?}\",layer=\"{layer}\"");
            writeln!(page, "{refusals}{{{labels}}} {count}")?;
        }
        let ended = OUTCOMES.map(Outcome::as_str).into_iter().zip(self.0.ended());
        counts(page, "tower_gateway_requests_ended_total", "Requests by how they ended.", "outcome", ended)?;
        let lookups = "tower_gateway_cache_lookups_total";
        head(page, lookups, "counter", "Look-ups in the cache.")?;
        for one in self.cache_lookups() {
            let (result, reason) = (one.result, one.reason.unwrap_or_default());
            writeln!(page, "{lookups}{{result=\"{result}\",reason=\"{reason}\"}} {}", one.count)?;
        }
        let folded = "tower_gateway_folded_requests_total";
        head(page, folded, "counter", "Requests counted under other because the label budget is spent.")?;
        writeln!(page, "{folded} {}", self.0.series.folded())
    }

    /// What the plans and authorizers of callers did.
    fn write_callers(&self, page: &mut String) -> fmt::Result {
        let authorizers = &self.0.authorizers;
        let (name, lookups) =
            ("tower_gateway_authorizer_duration_seconds", "tower_gateway_authorizer_lookups_total");
        head(page, name, "histogram", "How long requests waited for authorizers.")?;
        authorizers.try_each(|authorizer, counts| {
            let labels = format_args!("authorizer=\"{}\"", Escaped(authorizer));
            histogram(page, name, labels, counts.calls.read(), &SECONDS)
        })?;
        head(
            page,
            lookups,
            "counter",
            "What authorizers were asked: cached answers and remembered tokens are hits.",
        )?;
        authorizers.try_each(|authorizer, counts| {
            let called = counts.calls.read().count;
            for (result, count) in [("hit", counts.cached.get()), ("miss", called)] {
                let authorizer = Escaped(authorizer);
                writeln!(page, "{lookups}{{authorizer=\"{authorizer}\",result=\"{result}\"}} {count}")?;
            }
            Ok(())
        })?;
        let throttle = "tower_gateway_plan_throttle_headroom_ratio";
        head(page, throttle, "histogram", "Share of the caller's bucket that is left after a request.")?;
        headroom(page, throttle, &self.0.plans, |plan| &plan.throttle)?;
        let quota = "tower_gateway_plan_quota_headroom_ratio";
        head(page, quota, "histogram", "Share of the caller's quota that is left after a request.")?;
        headroom(page, quota, &self.0.plans, |plan| &plan.quota)
    }

    fn write_log_lines(&self, page: &mut String) -> fmt::Result {
        let Some(writer) = &self.0.log_writer else { return Ok(()) };
        let stats = writer.stats();
        let lines = [("written", stats.written), ("dropped", stats.dropped), ("failed", stats.failed)];
        counts(page, "tower_gateway_access_log_lines_total", "Lines of the access log.", "result", lines)
    }

    fn write_samples(&self, page: &mut String) -> fmt::Result {
        let samples = self.samples();
        // One family twice, and Prometheus reads nothing of the page: ours stay.
        let own: BTreeSet<_> = page.lines().filter_map(family).map(str::to_owned).collect();
        let mut last = "";
        for one in samples.iter().filter(|one| !own.contains(one.name())) {
            if one.name() != last {
                last = one.name();
                head(page, last, &one.kind().to_string(), one.help())?;
            }
            page.push_str(last);
            for (index, (label, value)) in one.labels().enumerate() {
                let before = if index == 0 { '{' } else { ',' };
                write!(page, "{before}{label}=\"{}\"", Escaped(value))?;
            }
            let after = if one.labels().next().is_some() { "}" } else { "" };
            writeln!(page, "{after} {}", one.value())?;
        }
        Ok(())
    }
}

/// The name of a family, in the line that begins it.
fn family(line: &str) -> Option<&str> {
    line.strip_prefix("# TYPE ")?.split(' ').next()
}

/// A line break would end the comment.
fn head(page: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    let help = help.replace('\\', "\\\\").replace('\n', "\\n");
    writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

fn counts<'a>(
    page: &mut String,
    name: &str,
    help: &str,
    label: &str,
    rows: impl IntoIterator<Item = (&'a str, u64)>,
) -> fmt::Result {
    head(page, name, "counter", help)?;
    for (value, count) in rows {
        writeln!(page, "{name}{{{label}=\"{value}\"}} {count}")?;
    }
    Ok(())
}

/// A histogram of every series.
fn durations(
    page: &mut String,
    (name, help): (&str, &str),
    series: &[(Labels<'_>, SeriesSums)],
    of: impl Fn(&SeriesSums) -> Cumulative<15>,
) -> fmt::Result {
    head(page, name, "histogram", help)?;
    series.iter().try_for_each(|(labels, sums)| histogram(page, name, LabelText(*labels), of(sums), &SECONDS))
}

fn headroom(
    page: &mut String,
    name: &str,
    plans: &Named<PlanCounts>,
    of: impl Fn(&PlanCounts) -> &Shares,
) -> fmt::Result {
    plans.try_each(|plan, counts| {
        let labels = format_args!("plan=\"{}\"", Escaped(plan));
        histogram(page, name, labels, of(counts).read(), &SHARES)
    })
}

/// One histogram, if it has seen something.
fn histogram<const N: usize>(
    page: &mut String,
    name: &str,
    labels: impl Display,
    cumulative: Cumulative<N>,
    scale: &Scale<N>,
) -> fmt::Result {
    if cumulative.count == 0 {
        return Ok(());
    }
    for (bound, count) in scale.bounds.iter().zip(cumulative.buckets) {
        writeln!(page, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}")?;
    }
    writeln!(page, "{name}_bucket{{{labels},le=\"+Inf\"}} {}", cumulative.count)?;
    writeln!(page, "{name}_sum{{{labels}}} {}", scale.whole(cumulative.sum))?;
    writeln!(page, "{name}_count{{{labels}}} {}", cumulative.count)
}

struct LabelText<'a>(Labels<'a>);

impl fmt::Display for LabelText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Labels { stage, method, route, status } = self.0;
        write!(f, "stage=\"{}\",http_request_method=\"{method}\"", Escaped(stage))?;
        write!(f, ",http_route=\"{}\",http_response_status_code=\"{status}\"", Escaped(route))?;
        // OpenTelemetry: of a server's errors alone, and by their status where nothing else is known.
        if matches!(status, 500..=599) { write!(f, ",error_type=\"{status}\"") } else { Ok(()) }
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
    fn errors_of_the_server_have_their_type() {
        let labels = |status| LabelText(Labels { stage: "a", method: "GET", route: "/", status }).to_string();
        assert!(labels(503).ends_with(r#"http_response_status_code="503",error_type="503""#));
        assert!([0, 200, 404, 600].into_iter().all(|status| !labels(status).contains("error_type")));
    }

    #[test]
    fn label_values_are_escaped() {
        let labels = Labels { stage: "a\"b\\c\nd", method: "GET", route: "/{id}", status: 200 };
        assert_eq!(
            LabelText(labels).to_string(),
            r#"stage="a\"b\\c\nd",http_request_method="GET",http_route="/{id}",http_response_status_code="200""#
        );
    }
}
