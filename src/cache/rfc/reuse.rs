//! Whether a stored answer may be used for a request (RFC 9111 section 4, RFC 5861, RFC 8246).

use super::control::RequestControl;
use crate::{cache::entry::Meta, clock::Timestamp};
use std::time::Duration;

/// What to do with a stored answer that fits the request's URI and `Vary`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reuse {
    /// Use it.
    Fresh,
    /// Use it, although stale: the client said `max-stale`.
    Stale,
    /// Use it, and fetch a new one behind the client's back.
    StaleWhileRevalidate,
    /// Ask the service first, with the stored validators where there are any.
    Validate,
}

/// The decision for one request. Parses nothing and allocates nothing.
pub(super) fn reuse(meta: &Meta, request: &RequestControl, now: Timestamp) -> Reuse {
    let left = meta.remaining(now);
    if request.no_cache || meta.freshness.always_validate || is_too_old(meta, request, now) {
        Reuse::Validate
    } else if left.is_zero() {
        reuse_stale(meta, request, now)
    } else if request.min_fresh.is_some_and(|wanted| left < seconds(wanted)) {
        Reuse::Validate
    } else {
        Reuse::Fresh
    }
}

fn reuse_stale(meta: &Meta, request: &RequestControl, now: Timestamp) -> Reuse {
    let staleness = meta.staleness(now);
    if request.min_fresh.is_some() || meta.freshness.must_revalidate {
        Reuse::Validate
    } else if request.max_stale.is_some_and(|allowed| staleness <= seconds(allowed)) && !meta.is_soft_purged()
    {
        Reuse::Stale
    } else if staleness < meta.freshness.while_revalidate {
        Reuse::StaleWhileRevalidate
    } else {
        Reuse::Validate
    }
}

/// Whether an answer that the service was asked for after the request came, by somebody else, is as good as one to a call
/// of its own: it need not be validated again, whatever `no-cache` or a lifetime of zero say, and must be as young as the
/// request wants it.
pub(super) fn answers(meta: &Meta, request: &RequestControl, now: Timestamp) -> bool {
    let oldest = if request.no_cache { Some(0) } else { request.max_age };
    oldest.is_none_or(|limit| meta.age(now) <= seconds(limit))
        && request.min_fresh.is_none_or(|wanted| meta.remaining(now) >= seconds(wanted))
}

/// Whether it may stand in for a service that failed. A request's own `stale-if-error` extends what the answer or the
/// configuration allows.
pub(super) fn stands_in(meta: &Meta, request: &RequestControl, now: Timestamp) -> bool {
    let forbidden = meta.freshness.must_revalidate || meta.freshness.always_validate || request.no_cache;
    let grace = meta.freshness.if_error.max(seconds(request.stale_if_error.unwrap_or(0)));
    !forbidden && meta.staleness(now) < grace
}

/// A reload (`max-age=0`) of an immutable answer is no wish to see another one (RFC 8246 section 2).
fn is_too_old(meta: &Meta, request: &RequestControl, now: Timestamp) -> bool {
    let limited = request.max_age.is_some_and(|limit| meta.age(now) > seconds(limit) || limit == 0);
    limited && !(meta.freshness.immutable && meta.is_fresh(now))
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}
