//! One series: a set of labels that is counted under.

use super::{
    super::event::{RequestEvent, known_method},
    series_counts::{SeriesCounts, SeriesSums},
};
use crate::striped::Striped;
use http::StatusCode;
use std::time::Duration;

/// Where there is no name, or no room for one more.
pub(super) const OTHER: &str = "other";

/// The labels of a series, borrowed from a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Labels<'a> {
    pub(super) stage: &'a str,
    /// One of ten.
    pub(super) method: &'static str,
    pub(super) route: &'a str,
    pub(super) status: u16,
}

impl<'a> Labels<'a> {
    pub(super) fn of(event: &RequestEvent<'a>) -> Self {
        let context = event.context();
        Self {
            stage: context.stage().unwrap_or(OTHER),
            method: known_method(context.method()),
            route: context.resource_path().unwrap_or(OTHER),
            status: event.status().map_or(0, |status| status.as_u16()),
        }
    }

    /// Without a secret: labels come from the configuration and from enumerations, so that no client can choose them to
    /// collide, and a request pays for this.
    pub(super) fn hash(self) -> u64 {
        let hash = mix(self.method_and_status(), self.stage.as_bytes());
        mix(hash, self.route.as_bytes())
    }

    /// The lengths and first letters of the ten methods tell them apart.
    fn method_and_status(self) -> u64 {
        let method = self.method.bytes().next().map_or(0, u64::from) << 8 | self.method.len() as u64;
        method << 16 | u64::from(self.status)
    }

    /// Where requests go once the budget is spent: at most ten methods by the registered statuses. One that is not
    /// registered counts as the first of its class, as clients are to take it (RFC 9110, section 15).
    pub(super) fn folded(self) -> Self {
        let known = StatusCode::from_u16(self.status).is_ok_and(|status| status.canonical_reason().is_some());
        let status = if known { self.status } else { self.status / 100 * 100 };
        Self { stage: OTHER, route: OTHER, status, ..self }
    }
}

/// A text, eight bytes at a time, and its end with its length.
fn mix(hash: u64, text: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let step = |hash: u64, word: u64| (hash ^ word).wrapping_mul(FACTOR).rotate_left(29);
    let (words, _) = text.as_chunks::<8>();
    let hash = words.iter().fold(hash, |hash, word| step(hash, u64::from_le_bytes(*word)));
    step(hash, end(text).wrapping_add((text.len() as u64).rotate_right(8)))
}

/// The last eight bytes of a text; of a shorter one, all.
fn end(text: &[u8]) -> u64 {
    if let Some(last) = text.last_chunk::<8>() {
        return u64::from_le_bytes(*last);
    }
    match (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        (Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last))
        }
        _ => text.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// The labels of a series, and what threads have counted under them.
#[derive(Debug)]
pub(super) struct Series {
    method_and_status: u64,
    stage: Box<str>,
    method: &'static str,
    route: Box<str>,
    status: u16,
    pub(super) counts: Striped<SeriesCounts>,
}

impl Series {
    pub(super) fn new(labels: Labels<'_>) -> Self {
        Self {
            method_and_status: labels.method_and_status(),
            stage: labels.stage.into(),
            method: labels.method,
            route: labels.route.into(),
            status: labels.status,
            counts: Striped::default(),
        }
    }

    pub(super) fn labels(&self) -> Labels<'_> {
        Labels { stage: &self.stage, method: self.method, route: &self.route, status: self.status }
    }

    pub(super) fn has(&self, labels: Labels<'_>) -> bool {
        self.method_and_status == labels.method_and_status()
            && *self.stage == *labels.stage
            && *self.route == *labels.route
    }

    /// Requests that were answered to their end.
    pub(super) fn completed(&self) -> u64 {
        self.counts.iter().map(SeriesCounts::completed).sum()
    }

    pub(super) fn sums(&self) -> SeriesSums {
        self.counts.iter().fold(SeriesSums::default(), SeriesSums::plus)
    }
}

/// Sums of one series since the start.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SeriesTotals {
    /// The stage, or `other`.
    pub stage: String,
    /// The method, or `_OTHER`.
    pub method: String,
    /// The resource path as declared, or `other`.
    pub route: String,
    /// The status; 0 where the client was told nothing.
    pub status: u16,
    /// Requests.
    pub count: u64,
    /// Sum of their latencies.
    pub latency: Duration,
    /// Requests whose integration was measured.
    pub integration_count: u64,
    /// Sum of their integration latencies.
    pub integration_latency: Duration,
    /// Bytes of request bodies.
    pub request_bytes: u64,
    /// Bytes of answers' bodies.
    pub response_bytes: u64,
}

impl SeriesTotals {
    pub(super) fn new(labels: Labels<'_>, sums: &SeriesSums) -> Self {
        Self {
            stage: labels.stage.to_owned(),
            method: labels.method.to_owned(),
            route: labels.route.to_owned(),
            status: labels.status,
            count: sums.latency.count,
            latency: Duration::from_nanos(sums.latency.sum),
            integration_count: sums.integration.count,
            integration_latency: Duration::from_nanos(sums.integration.sum),
            request_bytes: sums.request_bytes,
            response_bytes: sums.response_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn methods_are_told_apart() {
        use http::Method;
        let known = [
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::PATCH,
            Method::HEAD,
            Method::OPTIONS,
            Method::TRACE,
            Method::CONNECT,
        ];
        let own = Method::from_bytes(b"GETS").unwrap();
        let labels =
            |method: &Method| Labels { stage: "", method: known_method(method), route: "", status: 200 };
        let codes: HashSet<_> =
            known.iter().chain([&own]).map(|method| labels(method).method_and_status()).collect();
        assert_eq!(codes.len(), 10);
    }

    #[test]
    fn folded_labels_keep_their_status_and_are_few() {
        let folded = |status| {
            let labels = Labels { stage: "prod", method: "GET", route: "/pets", status }.folded();
            assert_eq!((labels.stage, labels.route), (OTHER, OTHER));
            labels.status
        };
        assert_eq!([0, 200, 429, 504, 499, 799].map(folded), [0, 200, 429, 504, 400, 700]);
        let all: HashSet<_> = (100..=999).map(folded).collect();
        assert!(all.len() < 80, "{}", all.len());
    }

    #[test]
    fn hashes_of_a_large_table_do_not_meet() {
        let mut hashes = HashSet::new();
        for route in 0..20_000 {
            for status in [200, 404, 500] {
                let labels =
                    Labels { stage: "prod", method: "GET", route: &format!("/r{route}/{{id}}"), status };
                hashes.insert(labels.hash());
            }
        }
        assert_eq!(hashes.len(), 60_000);
        let texts = |stage, method, route| Labels { stage, method, route, status: 200 }.hash();
        assert_ne!(texts("a", "GETb", "c"), texts("aGET", "b", "c"));
    }
}
