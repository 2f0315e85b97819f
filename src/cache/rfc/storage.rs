//! Whether an answer may be stored, and without which of its fields (RFC 9111 section 3).

use super::{
    config::{Rfc9111, SetCookie},
    control::{Qualified, RequestControl, ResponseControl},
    date::format_http_date,
    freshness::{Head, is_heuristically_cacheable},
    vary,
};
use crate::cache::{
    NoCacheReason,
    entry::Freshness,
    rules::{ResponseView, StorePlan},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{DATE, ETAG, LAST_MODIFIED, SET_COOKIE},
};

/// What the decision needs to know of the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) control: RequestControl,
    /// It carried something that tells who is calling, and that its key does not have. RFC 9111 section 3.5 speaks of
    /// `Authorization`; other fields and parameters do the same work.
    pub(super) has_credentials: bool,
}

impl Asked {
    pub(super) fn of(headers: &HeaderMap, has_credentials: bool) -> Self {
        Self { control: RequestControl::of(headers), has_credentials }
    }
}

/// Decides about the answer to a `GET`. The body's length, and whether it ended well, are for the caller to check.
///
/// # Errors
///
/// With the first reason against it.
pub(super) fn plan(
    config: &Rfc9111,
    asked: Asked,
    response: ResponseView<'_>,
) -> Result<StorePlan, NoCacheReason> {
    let head = Head::new(config, response);
    let vary = vary::names(head.headers).ok_or(NoCacheReason::VaryAny)?;
    may_be_kept(asked, &head)?;
    may_be_shared(config, asked, &head)?;
    let freshness = head.freshness(config);
    is_useful(&head, &freshness)?;
    Ok(StorePlan {
        freshness,
        vary,
        private: private_fields(config, &head.control),
        date: missing_date(&head),
    })
}

/// RFC 9110 section 6.6.1: what is stored gets the time at which it came, if it has no other.
fn missing_date(head: &Head<'_>) -> Option<HeaderValue> {
    let written = || format_http_date(head.responded.unix_seconds());
    if head.headers.contains_key(DATE) { None } else { HeaderValue::from_bytes(&written()).ok() }
}

fn may_be_kept(asked: Asked, head: &Head<'_>) -> Result<(), NoCacheReason> {
    let control = &head.control;
    let no_store = if control.must_understand { !is_understood(head.status) } else { control.no_store };
    let refuse = |refused: bool, reason| if refused { Err(reason) } else { Ok(()) };
    refuse(asked.control.no_store, NoCacheReason::RequestDirective)?;
    refuse(no_store || control.malformed, NoCacheReason::NoStore)?;
    refuse(control.private == Qualified::Whole, NoCacheReason::Private)?;
    refuse(is_never_kept(head.status), NoCacheReason::Status)
}

/// Whether a 304 to this request could be kept, as far as the stored answer tells.
pub(super) fn may_be_confirmed_to(config: &Rfc9111, asked: Asked, stored: ResponseView<'_>) -> bool {
    !asked.has_credentials || is_declared_shared(&Head::new(config, stored).control)
}

/// RFC 9111 section 3.5.
fn is_declared_shared(control: &ResponseControl) -> bool {
    control.public || control.must_revalidate || control.s_maxage.is_some()
}

/// The same, and what we make of cookies.
fn may_be_shared(config: &Rfc9111, asked: Asked, head: &Head<'_>) -> Result<(), NoCacheReason> {
    let control = &head.control;
    if asked.has_credentials && !is_declared_shared(control) {
        return Err(NoCacheReason::Authorization);
    }
    let removed = qualified_fields(control).any(|name| *name == SET_COOKIE);
    if head.headers.contains_key(SET_COOKIE) && !removed && config.set_cookie_rule() == SetCookie::Refuse {
        return Err(NoCacheReason::SetCookie);
    }
    Ok(())
}

/// An answer with a validator is of use even when stale. One that neither says nor lets guess a lifetime is not kept
/// for the sake of a failing service alone.
fn is_useful(head: &Head<'_>, freshness: &Freshness) -> Result<(), NoCacheReason> {
    let allowed =
        head.has_explicit_lifetime() || head.control.public || is_heuristically_cacheable(head.status);
    let has_lifetime = head.has_explicit_lifetime() || !freshness.lifetime.is_zero();
    match (allowed, has_validator(head.headers)) {
        (false, _) => Err(NoCacheReason::Status),
        (true, true) => Ok(()),
        (true, false) if freshness.always_validate => Err(NoCacheReason::NoCache),
        (true, false) if has_lifetime && is_ever_served(freshness) => Ok(()),
        (true, false) => Err(NoCacheReason::NoFreshness),
    }
}

fn is_ever_served(freshness: &Freshness) -> bool {
    let grace = freshness.while_revalidate.max(freshness.if_error);
    freshness.lifetime > freshness.initial_age || !(freshness.must_revalidate || grace.is_zero())
}

pub(super) fn has_validator(headers: &HeaderMap) -> bool {
    headers.contains_key(ETAG) || headers.contains_key(LAST_MODIFIED)
}

/// Final statuses whose rules for caches are followed here.
fn is_understood(status: StatusCode) -> bool {
    is_heuristically_cacheable(status)
        || matches!(status.as_u16(), 302 | 303 | 307 | 400 | 401 | 403 | 406 | 409 | 500 | 502 | 503 | 504)
}

/// Interim answers, parts, validations, and what RFC 6585 says must not be stored.
fn is_never_kept(status: StatusCode) -> bool {
    status.is_informational() || matches!(status.as_u16(), 206 | 304 | 412 | 416 | 428 | 429 | 431 | 511)
}

fn qualified_fields(control: &ResponseControl) -> impl Iterator<Item = &HeaderName> {
    control.private.fields().iter().chain(control.no_cache.fields())
}

/// What is for the client alone that caused the answer (RFC 9111 sections 5.2.2.4 and 5.2.2.7), also where only the
/// trailers have it. Fields of one connection are for nobody, and no matter of these rules.
fn private_fields(config: &Rfc9111, control: &ResponseControl) -> Vec<HeaderName> {
    let mut names: Vec<HeaderName> = qualified_fields(control).cloned().collect();
    if config.set_cookie_rule() == SetCookie::Strip {
        names.push(SET_COOKIE);
    }
    names
}
