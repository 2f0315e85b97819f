//! How old an answer is when it comes and how long it stays fresh, worked out once (RFC 9111 section 4.2).

use super::{
    config::Rfc9111,
    control::{Qualified, ResponseControl, trim},
    date::parse_http_date,
    lexer::{MAX_DELTA, delta_seconds},
    targeted,
};
use crate::{
    cache::{entry::Freshness, rules::ResponseView},
    clock::Timestamp,
};
use http::{
    HeaderMap, HeaderName, StatusCode,
    header::{AGE, DATE, EXPIRES, LAST_MODIFIED},
};
use std::time::Duration;

/// The head of an answer with what counts as its `Cache-Control`.
#[derive(Debug)]
pub(super) struct Head<'a> {
    pub(super) status: StatusCode,
    pub(super) headers: &'a HeaderMap,
    pub(super) control: ResponseControl,
    requested: Timestamp,
    pub(super) responded: Timestamp,
    /// The control came from a targeted field, so that `Expires` does not count (RFC 9213 section 2.1).
    is_targeted: bool,
}

impl<'a> Head<'a> {
    pub(super) fn new(config: &Rfc9111, response: ResponseView<'a>) -> Self {
        let ResponseView { status, headers, requested, responded } = response;
        let targeted = targeted::control(headers, config.target_names());
        let is_targeted = targeted.is_some();
        let control = targeted.unwrap_or_else(|| ResponseControl::of(headers));
        Self { status, headers, control, requested, responded, is_targeted }
    }

    pub(super) fn has_explicit_lifetime(&self) -> bool {
        let expires = !self.is_targeted && self.headers.contains_key(EXPIRES);
        expires || self.control.max_age.is_some() || self.control.s_maxage.is_some()
    }

    pub(super) fn freshness(&self, config: &Rfc9111) -> Freshness {
        let now = self.responded.unix_seconds();
        let date = date_of(self.headers, DATE, now).unwrap_or(now);
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let if_error = self.control.stale_if_error.unwrap_or(config.default_stale_if_error());
        Freshness {
            lifetime: seconds(self.lifetime(config, date)),
            initial_age: seconds(self.initial_age(date)),
            while_revalidate: seconds(self.control.stale_while_revalidate.unwrap_or(0)),
            if_error: seconds(if_error),
            must_revalidate: self.control.forbids_stale(),
            always_validate: self.control.no_cache == Qualified::Whole,
            immutable: self.control.immutable,
        }
    }

    /// `corrected_initial_age` of RFC 9111 section 4.2.3. The delay of the head counts, as nobody knows where it was
    /// spent.
    fn initial_age(&self, date: i64) -> u32 {
        let apparent = self.responded.unix_seconds().saturating_sub(date);
        let delay = u32::try_from(self.responded.since(self.requested).as_secs()).unwrap_or(MAX_DELTA);
        let corrected = age_value(self.headers).saturating_add(delay);
        corrected.max(clamped(apparent)).min(MAX_DELTA)
    }

    /// RFC 9111 section 4.2.1: `s-maxage`, `max-age`, `Expires` minus `Date`, heuristic. An `Expires` that cannot be
    /// read lies in the past.
    fn lifetime(&self, config: &Rfc9111, date: i64) -> u32 {
        let now = self.responded.unix_seconds();
        let said = self.control.s_maxage.or(self.control.max_age);
        said.unwrap_or_else(|| {
            if !self.is_targeted && self.headers.contains_key(EXPIRES) {
                return clamped(date_of(self.headers, EXPIRES, now).unwrap_or(i64::MIN).saturating_sub(date));
            }
            self.heuristic_lifetime(config, date, now)
        })
    }

    fn heuristic_lifetime(&self, config: &Rfc9111, date: i64, now: i64) -> u32 {
        if !(self.control.public || is_heuristically_cacheable(self.status)) {
            return 0;
        }
        let modified = date_of(self.headers, LAST_MODIFIED, now).unwrap_or(date);
        config.heuristic_lifetime(clamped(date.saturating_sub(modified)))
    }
}

fn clamped(seconds: i64) -> u32 {
    seconds.clamp(0, i64::from(MAX_DELTA)) as u32
}

/// The first of the field's lines, as a date.
pub(super) fn date_of(headers: &HeaderMap, name: HeaderName, now: i64) -> Option<i64> {
    headers.get(name).and_then(|value| parse_http_date(value.as_bytes(), now))
}

/// The first member of `Age` (RFC 9111 section 5.1); an invalid one counts as absent.
fn age_value(headers: &HeaderMap) -> u32 {
    let first = headers.get(AGE).and_then(|value| value.as_bytes().split(|byte| *byte == b',').next());
    first.and_then(|text| delta_seconds(trim(text))).unwrap_or(0)
}

/// The statuses of RFC 9110 section 15.1 without 206, which is not kept here.
pub(super) fn is_heuristically_cacheable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}
