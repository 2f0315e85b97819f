//! Conditions: the client's, answered from a stored answer, and ours towards the service (RFC 9110 section 13, RFC 9111
//! section 4.3).

use super::{control::trim, date::parse_http_date};
use http::{
    HeaderMap, HeaderName,
    header::{
        AGE, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, IF_MATCH, IF_MODIFIED_SINCE,
        IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE,
    },
};

/// Whether the request has a condition that only the service may judge.
pub(super) fn is_for_the_service(request: &HeaderMap) -> bool {
    request.contains_key(IF_MATCH) || request.contains_key(IF_UNMODIFIED_SINCE)
}

/// Whether the client says what it has already.
pub(super) fn is_conditional(request: &HeaderMap) -> bool {
    request.contains_key(IF_NONE_MATCH) || request.contains_key(IF_MODIFIED_SINCE)
}

/// Whether the client has what is stored, so that a 304 is the answer. `If-None-Match` counts before
/// `If-Modified-Since` (RFC 9110 section 13.2.2).
pub(super) fn is_not_modified(request: &HeaderMap, stored: &HeaderMap, now: i64) -> bool {
    if request.contains_key(IF_NONE_MATCH) {
        let etag = stored.get(ETAG).map(|value| value.as_bytes());
        return request.get_all(IF_NONE_MATCH).iter().any(|line| any_etag_matches(line.as_bytes(), etag));
    }
    let mut lines = request.get_all(IF_MODIFIED_SINCE).iter();
    match (lines.next(), lines.next()) {
        (Some(since), None) => not_modified_since(since.as_bytes(), stored, now),
        _ => false,
    }
}

fn any_etag_matches(list: &[u8], stored: Option<&[u8]>) -> bool {
    trim(list) == b"*" || stored.is_some_and(|stored| Etags(list).any(|etag| opaque(etag) == opaque(stored)))
}

/// Without the mark of weakness: what a weak comparison compares.
fn opaque(etag: &[u8]) -> &[u8] {
    etag.strip_prefix(b"W/").unwrap_or(etag)
}

fn is_weak(etag: &[u8]) -> bool {
    etag.starts_with(b"W/")
}

/// The members of a list of entity tags. A comma may stand inside the quotes; what has no quotes is taken as it is.
struct Etags<'a>(&'a [u8]);

impl<'a> Iterator for Etags<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b','))?;
        let mut quoted = false;
        let text = &self.0[start..];
        let end = text.iter().position(|byte| {
            quoted ^= *byte == b'"';
            *byte == b',' && !quoted
        });
        let (member, rest) = text.split_at(end.unwrap_or(text.len()));
        self.0 = rest;
        Some(trim(member))
    }
}

/// Without `Last-Modified`, what is stored was at least not changed after it was made (RFC 9111 section 4.3.2).
fn not_modified_since(since: &[u8], stored: &HeaderMap, now: i64) -> bool {
    let date = |name: HeaderName| stored.get(name).and_then(|value| parse_http_date(value.as_bytes(), now));
    let modified = if stored.contains_key(LAST_MODIFIED) { date(LAST_MODIFIED) } else { date(DATE) };
    matches!((modified, parse_http_date(since, now)), (Some(modified), Some(since)) if modified <= since)
}

/// Whether `If-Range` lets a range be taken from what is stored: a strong entity tag that is equal, or a date that is
/// its `Last-Modified` to the byte and lies before its `Date` (RFC 9110 sections 13.1.5 and 8.8.2.2). Without
/// `If-Range` it does.
pub(super) fn range_applies(request: &HeaderMap, stored: &HeaderMap, now: i64) -> bool {
    let mut lines = request.get_all(IF_RANGE).iter();
    match (lines.next().map(|value| trim(value.as_bytes())), lines.next()) {
        (None, _) => true,
        (Some(_), Some(_)) => false,
        (Some(validator), None) if validator.contains(&b'"') => {
            !is_weak(validator) && stored.get(ETAG).is_some_and(|etag| etag.as_bytes() == validator)
        }
        (Some(date), None) => {
            let parsed = |name| stored.get(name).and_then(|value| parse_http_date(value.as_bytes(), now));
            stored.get(LAST_MODIFIED).is_some_and(|modified| modified.as_bytes() == date)
                && matches!((parsed(LAST_MODIFIED), parsed(DATE)), (Some(modified), Some(made)) if modified < made)
        }
    }
}

/// Turns the client's request into one for the whole answer.
pub(super) fn ask_for_all(request: &mut HeaderMap) {
    for name in [IF_NONE_MATCH, IF_MODIFIED_SINCE, RANGE, IF_RANGE] {
        request.remove(name);
    }
}

/// Adds the stored validators (RFC 9111 section 4.3.1).
pub(super) fn validate(request: &mut HeaderMap, stored: &HeaderMap) {
    for (ours, theirs) in [(IF_NONE_MATCH, ETAG), (IF_MODIFIED_SINCE, LAST_MODIFIED)] {
        if let Some(validator) = stored.get(theirs) {
            request.insert(ours, validator.clone());
        }
    }
}

/// Whether a 304 speaks of what is stored (RFC 9111 section 4.3.4): a strong entity tag must be the stored one, a weak
/// one must match weakly, and without one a `Last-Modified` must be the stored one.
pub(super) fn confirms(update: &HeaderMap, stored: &HeaderMap) -> bool {
    match (update.get(ETAG).map(|value| value.as_bytes()), stored.get(ETAG).map(|value| value.as_bytes())) {
        (Some(new), Some(old)) if is_weak(new) => opaque(new) == opaque(old),
        (Some(new), old) => old == Some(new),
        (None, _) => same_if_given(&LAST_MODIFIED, update, stored),
    }
}

/// Whether the head of a `HEAD` speaks of the stored answer to a `GET` (RFC 9111 section 4.3.5).
pub(super) fn head_confirms(update: &HeaderMap, stored: &HeaderMap, stored_length: usize) -> bool {
    let length = update.get(CONTENT_LENGTH).is_none_or(|value| value == stored_length.to_string().as_str());
    length && same_if_given(&ETAG, update, stored) && same_if_given(&LAST_MODIFIED, update, stored)
}

fn same_if_given(name: &HeaderName, update: &HeaderMap, stored: &HeaderMap) -> bool {
    update.get(name).is_none_or(|value| stored.get(name) == Some(value))
}

/// What is stored, brought up to date by a 304 or a `HEAD` (RFC 9111 section 3.2): every field that came replaces the
/// stored one, except those that belong to the connection (`unstored`) or describe the stored bytes.
pub(super) fn freshened(stored: &HeaderMap, update: &HeaderMap, unstored: &[HeaderName]) -> HeaderMap {
    let kept = [CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_RANGE];
    let mut headers = stored.clone();
    // Both speak of when the answer was made, and it has now been made anew.
    headers.remove(AGE);
    headers.remove(DATE);
    for name in update.keys().filter(|name| !kept.contains(name) && !unstored.contains(name)) {
        headers.remove(name);
        update.get_all(name).iter().for_each(|value| {
            headers.append(name.clone(), value.clone());
        });
    }
    headers
}
