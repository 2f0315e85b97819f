//! The rules, case by case and against naive oracles.

mod conditions;
mod directives;
mod parsers;
mod storing;

use super::{Rfc9111, control::RequestControl, storage};
use crate::{
    cache::{
        NoCacheReason,
        credentials::Credentials,
        entry::{Content, Entry, Freshness, Meta},
        present::Present,
        rules::{RequestView, ResponseView, StorePlan},
    },
    clock::Timestamp,
    route::CacheKey,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use std::time::Duration;

/// Sun, 06 Nov 1994 08:49:37 GMT.
const NOW: i64 = 784_111_777;
const DATE_NOW: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// `seconds` after [`NOW`].
fn at(seconds: u64) -> Timestamp {
    let unix = NOW + i64::try_from(seconds).unwrap();
    Timestamp::new(seconds * 1_000_000_000, unix * 1_000_000_000)
}

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    map
}

fn response(headers: &HeaderMap) -> ResponseView<'_> {
    ResponseView { status: StatusCode::OK, headers, requested: at(0), responded: at(0) }
}

fn view<'a>(method: &'a Method, uri: &'a Uri, headers: &'a HeaderMap) -> RequestView<'a> {
    RequestView { method, uri, headers, context: None, extensions: None, has_body: false }
}

/// As a cache tells it whose key has no credentials.
fn asked(config: &Rfc9111, request: &HeaderMap) -> storage::Asked {
    let (credentials, uri) = (Credentials::new(Vec::new(), !config.counts_cookies()), Uri::from_static("/x"));
    let request = view(&Method::GET, &uri, request);
    let uncovered = credentials.uncovered(request, Present::of(request.headers), &CacheKey::new());
    storage::Asked::of(request.headers, uncovered)
}

/// The decision about an answer to a request with these fields.
fn plan_of(
    config: &Rfc9111,
    request: &[(&str, &str)],
    status: u16,
    answer: &[(&str, &str)],
) -> Result<StorePlan, NoCacheReason> {
    let (request, answer) = (headers(request), headers(answer));
    let view = ResponseView { status: StatusCode::from_u16(status).unwrap(), ..response(&answer) };
    storage::plan(config, asked(config, &request), view)
}

fn freshness_of(answer: &[(&str, &str)]) -> Freshness {
    plan_of(&Rfc9111::new(), &[], 200, answer).unwrap().freshness
}

fn meta(freshness: Freshness) -> Meta {
    Meta::new(StatusCode::OK, (at(0), at(0)), freshness, None, Box::default())
}

fn control(value: &str) -> RequestControl {
    RequestControl::of(&headers(&[("cache-control", value)]))
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
