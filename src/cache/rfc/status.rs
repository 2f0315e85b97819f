//! `Cache-Status` (RFC 9211): what this cache did, for whoever debugs.

use crate::cache::{CacheStatus, NoCacheReason, rules::Provenance};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::fmt::Write;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Appends our member behind those of caches nearer to the service. `ttl` is in seconds, negative for what is stale.
pub(super) fn append(headers: &mut HeaderMap, provenance: Provenance, ttl: Option<i64>) {
    let mut text = String::with_capacity(64);
    text.push_str("tower-gateway");
    match forwarded_because(provenance) {
        None => text.push_str("; hit"),
        Some(why) => {
            text.push_str("; fwd=");
            text.push_str(why);
        }
    }
    // Writing to a String cannot fail.
    let _ = write_parameters(&mut text, provenance, ttl);
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.append(CACHE_STATUS, value);
    }
}

/// For the 504 of `only-if-cached`.
pub(super) fn append_refusal(headers: &mut HeaderMap) {
    headers.append(CACHE_STATUS, HeaderValue::from_static("tower-gateway; detail=only-if-cached"));
}

fn write_parameters(text: &mut String, provenance: Provenance, ttl: Option<i64>) -> std::fmt::Result {
    if let Some(status) = provenance.forward_status {
        write!(text, "; fwd-status={}", status.as_u16())?;
    }
    if let Some(ttl) = ttl {
        text.push_str("; ttl=");
        text.push_str(itoa::Buffer::new().format(ttl));
    }
    if provenance.stored && !matches!(provenance.status, CacheStatus::Hit | CacheStatus::Stale) {
        text.push_str("; stored");
    }
    if provenance.status == CacheStatus::Collapsed {
        text.push_str("; collapsed");
    }
    let detail = provenance.not_stored.or(provenance.reason.filter(|reason| detail_is_news(*reason)));
    detail.map_or(Ok(()), |reason| write!(text, "; detail={reason}"))
}

/// The values of `fwd` (RFC 9211 section 2.2); `None` for an answer without a call of the service.
fn forwarded_because(provenance: Provenance) -> Option<&'static str> {
    match (provenance.status, provenance.reason) {
        (CacheStatus::Hit | CacheStatus::Stale, None) => None,
        (_, Some(NoCacheReason::RequestDirective)) => Some("request"),
        (CacheStatus::Hit | CacheStatus::Stale | CacheStatus::Revalidated, _) => Some("stale"),
        (_, Some(NoCacheReason::Method)) => Some("method"),
        (_, Some(NoCacheReason::VaryMismatch)) => Some("vary-miss"),
        (_, Some(NoCacheReason::Expired | NoCacheReason::ServiceError)) => Some("stale"),
        // Of a shared call, only a confirmation is not what is served.
        (CacheStatus::Collapsed, _) if provenance.forward_status.is_some() => Some("stale"),
        (CacheStatus::Bypass, Some(reason)) if is_never_looked_up(reason) => Some("bypass"),
        // What lay under the URI was not found out, or is not for such a request.
        (_, Some(NoCacheReason::HitForMiss | NoCacheReason::WaitTimeout | NoCacheReason::OutOfRoom)) => {
            Some("miss")
        }
        _ => Some("uri-miss"),
    }
}

/// The cache was not asked whether it has something.
fn is_never_looked_up(reason: NoCacheReason) -> bool {
    use NoCacheReason::{Disabled, NotEncrypted, RequestBody, Upgrade};
    matches!(reason, Disabled | NotEncrypted | RequestBody | Upgrade)
}

/// What `fwd` says already is not said twice.
fn detail_is_news(reason: NoCacheReason) -> bool {
    use NoCacheReason::{Expired, Method, NotFound, RequestDirective, VaryMismatch};
    !matches!(reason, NotFound | VaryMismatch | Expired | Method | RequestDirective)
}
