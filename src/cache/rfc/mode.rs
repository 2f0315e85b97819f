//! The answers of RFC 9111 to the cache's questions ([`Rules`]).

use super::{
    condition,
    config::Rfc9111,
    control::RequestControl,
    invalidation,
    range::{ByteRange, byte_range},
    reuse::{Reuse, answers, reuse, stands_in},
    status,
    storage::{self, Asked},
};
use crate::{
    cache::{
        CacheStatus, NoCacheReason,
        answer::hop_by_hop_fields,
        entry::{Content, Entry, Meta},
        present::Present,
        rules::{
            BodyPart, Decision, Head, Intake, Lookup, Provenance, RequestView, ResponseView, Rules,
            StorePlan, Verdict,
        },
    },
    clock::Timestamp,
    response::number_value,
    route::CacheSettings,
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode, Uri,
    header::{
        AGE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG,
        IF_RANGE, LAST_MODIFIED, RANGE,
    },
};

impl Rules for Rfc9111 {
    fn caches(&self, method: &Method) -> bool {
        method == Method::GET || method == Method::HEAD
    }

    /// Whoever asks, a fresh answer is one that may be shared; see [`storage`].
    fn bypasses_credentials(&self) -> bool {
        false
    }

    fn heeds_cookies(&self) -> bool {
        self.counts_cookies()
    }

    /// `no-store` keeps the answer from everybody, whether or not it is one of the directives that are honoured.
    fn goes_alone(&self, request: RequestView<'_>, present: Present) -> bool {
        present.any(Present::CACHE_CONTROL) && RequestControl::of(request.headers).no_store
    }

    fn watches(&self, method: &Method) -> bool {
        invalidation::is_unsafe(method)
    }

    fn intake(&self, request: RequestView<'_>, _: Present, _: &CacheSettings) -> Intake {
        let as_get = request.method == Method::HEAD;
        let bypass = |reason| Intake::Bypass { reason, warns: false };
        if !(as_get || request.method == Method::GET) {
            bypass(NoCacheReason::Method)
        } else if condition::is_for_the_service(request.headers) {
            bypass(NoCacheReason::RequestDirective)
        } else {
            Intake::Lookup(Lookup { as_get, ..Lookup::default() })
        }
    }

    fn on_lookup(
        &self,
        request: RequestView<'_>,
        lookup: Lookup,
        found: Option<&Entry>,
        others: bool,
        now: Timestamp,
    ) -> Decision {
        let control = self.reuse_control(request);
        let asked = || Asked::of(request.headers, lookup.has_credentials);
        let decision = found.map(|entry| (entry, reuse(&entry.meta, &control, now)));
        match decision {
            Some((_, Reuse::Fresh)) => Decision::Hit,
            Some((_, Reuse::Stale)) => Decision::Stale,
            Some((_, Reuse::StaleWhileRevalidate)) if control.only_if_cached => Decision::Stale,
            Some((_, Reuse::StaleWhileRevalidate)) => Decision::StaleWhileRevalidate,
            _ if control.only_if_cached => Decision::GatewayTimeout,
            Some((entry, Reuse::Validate)) => {
                self.on_stale(request, asked(), entry, why_not(&entry.meta, now), now)
            }
            None if others => self.on_absent(request, NoCacheReason::VaryMismatch),
            None => self.on_absent(request, NoCacheReason::NotFound),
        }
    }

    fn prepare(&self, request: &mut HeaderMap, _: Present, entry: Option<&Entry>) {
        condition::ask_for_all(request);
        if let Some(entry) = entry {
            condition::validate(request, &entry.content.headers);
        }
    }

    fn on_response(
        &self,
        request: RequestView<'_>,
        lookup: Lookup,
        _: &CacheSettings,
        response: ResponseView<'_>,
        _: Present,
        entry: Option<&Entry>,
    ) -> Verdict {
        let asked = Asked::of(request.headers, lookup.has_credentials);
        let is_validation =
            |entry: &Entry| response.status == StatusCode::NOT_MODIFIED && is_confirmable(entry);
        match entry {
            Some(entry) if is_validation(entry) => self.on_not_modified(asked, response, entry),
            Some(entry)
                if is_failure(response.status) && self.on_error(request, entry, response.responded) =>
            {
                Verdict::ServeStale
            }
            Some(entry) if request.method == Method::HEAD => self.on_head(asked, response, entry),
            _ => match storage::plan(self, asked, response) {
                Ok(plan) => Verdict::Store(plan),
                Err(reason) => Verdict::Discard(reason),
            },
        }
    }

    fn on_error(&self, request: RequestView<'_>, entry: &Entry, now: Timestamp) -> bool {
        stands_in(&entry.meta, &self.reuse_control(request), now)
    }

    fn may_share(
        &self,
        request: RequestView<'_>,
        response: ResponseView<'_>,
        plan: &StorePlan,
        came_before: bool,
    ) -> bool {
        let control = self.reuse_control(request);
        let times = (response.requested, response.responded);
        let meta = Meta::new(response.status, times, plan.freshness, None, Box::default());
        let now = response.responded;
        let fits = match came_before {
            true => answers(&meta, &control, now),
            false => reuse(&meta, &control, now) == Reuse::Fresh,
        };
        !control.no_store && fits
    }

    fn present(
        &self,
        request: RequestView<'_>,
        entry: &Meta,
        head: &mut Head,
        complete: Option<&Bytes>,
        provenance: Provenance,
    ) -> BodyPart {
        if matches!(provenance.status, CacheStatus::Hit | CacheStatus::Stale | CacheStatus::Collapsed) {
            head.headers.insert(AGE, number_value(entry.age(provenance.now).as_secs()));
        }
        if self.sends_cache_status() {
            status::append(&mut head.headers, provenance, Some(ttl(entry, provenance.now)));
        }
        body_part(request, head, complete, provenance.now.unix_seconds())
    }

    /// Without `fwd`, since the service was not asked, and no hit either.
    fn refused(&self, response: &mut HeaderMap) {
        if self.sends_cache_status() {
            status::append_refusal(response);
        }
    }

    fn passed(&self, response: &mut HeaderMap, provenance: Provenance) {
        if self.sends_cache_status() {
            status::append(response, provenance, None);
        }
    }

    fn invalidates(&self, request: RequestView<'_>, response: ResponseView<'_>) -> Vec<Uri> {
        if invalidation::is_unsafe(request.method) {
            invalidation::targets(request.uri, request.headers, response.status, response.headers)
        } else {
            Vec::new()
        }
    }
}

impl Rfc9111 {
    /// The request's directives as far as they concern the use of what is stored.
    fn reuse_control(&self, request: RequestView<'_>) -> RequestControl {
        if self.honors_requests() { RequestControl::of(request.headers) } else { RequestControl::default() }
    }

    /// Nothing is stored, or nothing that is of use.
    fn on_absent(&self, request: RequestView<'_>, why: NoCacheReason) -> Decision {
        let headers = request.headers;
        let own_condition = self.forwards_conditions() && condition::is_conditional(headers);
        if request.method == Method::HEAD {
            Decision::Pass(NoCacheReason::Method)
        } else if headers.contains_key(RANGE) {
            Decision::Pass(if why == NoCacheReason::NotFound { NoCacheReason::Range } else { why })
        } else if own_condition || RequestControl::of(headers).no_store {
            Decision::Pass(NoCacheReason::RequestDirective)
        } else {
            Decision::Miss(why)
        }
    }

    /// What can be confirmed, and kept when confirmed to this client, is asked about, whole. What cannot is as good as
    /// absent, unless it may stand in where the service fails, or a `HEAD` may bring it up to date.
    fn on_stale(
        &self,
        request: RequestView<'_>,
        asked: Asked,
        entry: &Entry,
        why: NoCacheReason,
        now: Timestamp,
    ) -> Decision {
        let confirmable = is_confirmable(entry) && self.may_be_confirmed_to(asked, entry);
        let stands_in = || self.on_error(request, entry, now) && !request.headers.contains_key(RANGE);
        if request.method == Method::HEAD || confirmable || stands_in() {
            Decision::Revalidate(why)
        } else {
            self.on_absent(request, why)
        }
    }

    fn may_be_confirmed_to(&self, asked: Asked, entry: &Entry) -> bool {
        let (requested, responded) = (entry.meta.requested, entry.meta.responded);
        let stored =
            ResponseView { status: entry.meta.status, headers: &entry.content.headers, requested, responded };
        storage::may_be_confirmed_to(self, asked, stored)
    }

    /// A 304 is the service's word that what is stored is still good. One that names another answer must not change
    /// it (RFC 9111 section 4.3.4).
    fn on_not_modified(&self, asked: Asked, response: ResponseView<'_>, entry: &Entry) -> Verdict {
        if condition::confirms(response.headers, &entry.content.headers) {
            self.freshen(asked, response, entry)
        } else {
            Verdict::Freshen {
                headers: entry.content.headers.clone(),
                plan: Err(NoCacheReason::Contradicted),
            }
        }
    }

    /// The answer to a `HEAD` is never stored, but may show that the stored answer to a `GET` is still good, or is not.
    fn on_head(&self, asked: Asked, response: ResponseView<'_>, entry: &Entry) -> Verdict {
        let Content { headers, body, .. } = &entry.content;
        if response.status != StatusCode::OK {
            Verdict::Discard(NoCacheReason::Method)
        } else if condition::head_confirms(response.headers, headers, body.len()) {
            self.freshen(asked, response, entry)
        } else {
            Verdict::Contradict(NoCacheReason::Method)
        }
    }

    /// The entry's fields, brought up to date, are judged like those of a new answer: what came may forbid what the
    /// stored answer allowed.
    fn freshen(&self, asked: Asked, response: ResponseView<'_>, entry: &Entry) -> Verdict {
        let unstored = hop_by_hop_fields(response.headers);
        let mut headers = condition::freshened(&entry.content.headers, response.headers, &unstored);
        let updated = ResponseView { status: entry.meta.status, headers: &headers, ..response };
        let plan = storage::plan(self, asked, updated);
        if let Ok(plan) = &plan {
            plan.date.iter().for_each(|date| drop(headers.insert(DATE, date.clone())));
        }
        Verdict::Freshen { headers, plan }
    }
}

/// Why a stored answer is not used: it is stale or to be validated at each use, or else the request will not have it.
fn why_not(entry: &Meta, now: Timestamp) -> NoCacheReason {
    match entry.is_fresh(now) && !entry.freshness.always_validate {
        true => NoCacheReason::RequestDirective,
        false => NoCacheReason::Expired,
    }
}

/// Without validators, a 304 answers a condition of the client's own.
fn is_confirmable(entry: &Entry) -> bool {
    storage::has_validator(&entry.content.headers)
}

/// The statuses of RFC 5861 section 4.
fn is_failure(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

/// In whole seconds, so that it and `Age` add up to the lifetime.
fn ttl(entry: &Meta, now: Timestamp) -> i64 {
    let seconds = |duration: std::time::Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    let left = seconds(entry.freshness.lifetime).saturating_sub(seconds(entry.age(now)));
    if entry.is_soft_purged() { left.min(0) } else { left }
}

/// Conditions are judged before ranges, and neither for an answer that is no success (RFC 9110 section 13.2).
fn body_part(request: RequestView<'_>, head: &mut Head, complete: Option<&Bytes>, now: i64) -> BodyPart {
    if head.status.is_success() && condition::is_not_modified(request.headers, &head.headers, now) {
        become_not_modified(head);
        return BodyPart::Nothing;
    }
    if request.method == Method::HEAD {
        return BodyPart::Nothing;
    }
    match (request.headers.get(RANGE), complete) {
        (Some(range), Some(body)) if head.status == StatusCode::OK => {
            let applies = !request.headers.contains_key(IF_RANGE)
                || condition::range_applies(request.headers, &head.headers, now);
            if applies { take_range(range, head, body.len()) } else { BodyPart::Whole }
        }
        _ => BodyPart::Whole,
    }
}

/// A 304 carries what helps a cache to choose, and no other metadata of the content (RFC 9110 section 15.4.5).
fn become_not_modified(head: &mut Head) {
    head.status = StatusCode::NOT_MODIFIED;
    for name in [CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE] {
        head.headers.remove(name);
    }
    if head.headers.contains_key(ETAG) {
        head.headers.remove(LAST_MODIFIED);
    }
}

fn take_range(range: &HeaderValue, head: &mut Head, length: usize) -> BodyPart {
    match byte_range(range.as_bytes(), length) {
        ByteRange::Whole => BodyPart::Whole,
        ByteRange::Part(part) => {
            let content_range = format!("bytes {}-{}/{length}", part.start, part.end - 1);
            become_partial(head, StatusCode::PARTIAL_CONTENT, content_range, part.len());
            BodyPart::Slice(part)
        }
        ByteRange::Unsatisfiable => {
            become_partial(head, StatusCode::RANGE_NOT_SATISFIABLE, format!("bytes */{length}"), 0);
            BodyPart::Nothing
        }
    }
}

fn become_partial(head: &mut Head, status: StatusCode, content_range: String, length: usize) {
    head.status = status;
    if let Ok(value) = HeaderValue::try_from(content_range) {
        head.headers.insert(CONTENT_RANGE, value);
    }
    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
}
