//! AWS mode: a TTL for each method, no directives of the request but `max-age=0`, and, by default, some of the
//! service's.

use super::{
    entry::{Entry, Freshness, Meta},
    present::Present,
    reason::NoCacheReason,
    rfc::vary,
    rules::{
        BodyPart, Decision, Head, Intake, Lookup, Provenance, RequestView, ResponseView, Rules, StorePlan,
        Verdict,
    },
};
use crate::{
    clock::Timestamp,
    context::RequestContext,
    response::{Cause, GatewayError, ResponseType},
    route::{CacheSettings, UnauthorizedCacheControl},
};
use bytes::Bytes;
use http::{
    Extensions, HeaderMap, HeaderValue, Method, StatusCode, Uri,
    header::{CACHE_CONTROL, CONTENT_TYPE, IF_MODIFIED_SINCE, IF_NONE_MATCH},
};
use std::{fmt, sync::Arc};

/// What the client is told whose wish to invalidate was ignored. One emulator is its only source; AWS publishes
/// none.
pub(super) const WARNING: HeaderValue =
    HeaderValue::from_static("199 Cache-control headers were ignored because the caller was unauthorized.");

pub(super) type StatusFilter = dyn Fn(StatusCode) -> bool + Send + Sync;
pub(super) type MayInvalidate = dyn Fn(InvalidationRequest<'_>) -> bool + Send + Sync;

/// A request that wants to invalidate an entry, for the function that says whether it may.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the parts of http::Request")]
pub struct InvalidationRequest<'a> {
    pub method: &'a Method,
    pub uri: &'a Uri,
    pub headers: &'a HeaderMap,
    pub extensions: &'a Extensions,
    /// Who is calling, where an outer layer established that.
    pub context: Option<&'a RequestContext>,
}

/// `execute-api:InvalidateCache`, asked of the policies that admitted the call.
#[cfg(feature = "sigv4")]
pub(super) fn is_permitted(sigv4: &crate::sigv4::SigV4AuthLayer, request: &InvalidationRequest<'_>) -> bool {
    let InvalidationRequest { method, uri, headers, extensions, context } = *request;
    let Some(context) = context else { return false };
    let routed = crate::sigv4::Routed { context, method, uri, headers, extensions };
    sigv4.permits(crate::policy::INVALIDATE_CACHE, &routed)
}

/// The settings of AWS mode.
#[derive(Clone)]
pub(super) struct AwsRules {
    /// Which statuses are stored; `None`: by `heeds_service`.
    pub(super) statuses: Option<Arc<StatusFilter>>,
    /// The service's `no-store`, `private`, `no-cache`, `Set-Cookie` and `Vary` count.
    pub(super) heeds_service: bool,
    pub(super) may_invalidate: Option<Arc<MayInvalidate>>,
}

impl fmt::Debug for AwsRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsRules").field("heeds_service", &self.heeds_service).finish_non_exhaustive()
    }
}

impl Default for AwsRules {
    fn default() -> Self {
        Self { statuses: None, heeds_service: true, may_invalidate: None }
    }
}

/// Answers that say the same to everybody for a while: not errors, not parts, not temporary redirects.
fn is_lasting(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308)
}

impl AwsRules {
    /// What comes of a wish to invalidate.
    fn invalidation(
        &self,
        request: RequestView<'_>,
        settings: &CacheSettings,
    ) -> Result<Lookup, Box<GatewayError>> {
        if !settings.require_authorization || self.is_authorized(request) {
            return Ok(Lookup { reload: true, ..Lookup::default() });
        }
        match settings.unauthorized_strategy {
            UnauthorizedCacheControl::FailWith403 => {
                Err(Box::new(GatewayError::new(ResponseType::AccessDenied, Cause::CacheControlUnauthorized)))
            }
            UnauthorizedCacheControl::SucceedWithResponseHeader => {
                Ok(Lookup { warn: true, ..Lookup::default() })
            }
            UnauthorizedCacheControl::SucceedWithoutResponseHeader => Ok(Lookup::default()),
        }
    }

    fn is_authorized(&self, request: RequestView<'_>) -> bool {
        let Some(may_invalidate) = &self.may_invalidate else { return false };
        let RequestView { method, uri, headers, context, .. } = request;
        let Some(extensions) = request.extensions else { return false };
        may_invalidate(InvalidationRequest { method, uri, headers, extensions, context })
    }

    fn stores(&self, status: StatusCode) -> bool {
        match &self.statuses {
            Some(is_stored) => is_stored(status),
            None => !self.heeds_service || is_lasting(status),
        }
    }

    /// What keeps an answer from being stored.
    fn objection(&self, response: ResponseView<'_>, present: Present) -> Option<NoCacheReason> {
        if !self.stores(response.status) || is_for_one(response.status) {
            return Some(NoCacheReason::Status);
        }
        if is_event_stream(response.headers) {
            return Some(NoCacheReason::EventStream);
        }
        if !self.heeds_service {
            return None;
        }
        if present.any(Present::SET_COOKIE) {
            return Some(NoCacheReason::SetCookie);
        }
        if present.any(Present::CACHE_CONTROL) { directive(response.headers) } else { None }
    }
}

/// Parts of an answer, and answers to a range or condition that only one client has sent: the others would get them for
/// the whole TTL.
fn is_for_one(status: StatusCode) -> bool {
    status.is_informational() || matches!(status.as_u16(), 206 | 304 | 412 | 416)
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else { return false };
    let value = value.as_bytes();
    let name = b"text/event-stream";
    value.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}

/// The first of what is said, in this order.
fn directive(headers: &HeaderMap) -> Option<NoCacheReason> {
    const ORDER: [(&[u8], NoCacheReason); 3] = [
        (b"no-store", NoCacheReason::NoStore),
        (b"private", NoCacheReason::Private),
        (b"no-cache", NoCacheReason::NoCache),
    ];
    let place = |own: &[u8]| ORDER.iter().position(|(name, _)| own.eq_ignore_ascii_case(name));
    let first = directives(headers).filter_map(|(name, _)| place(name)).min();
    first.map(|place| ORDER[place].1)
}

/// Every directive of every `Cache-Control` field, with its value. Text that is quoted may hold commas; cutting it there
/// can only find more directives, and so store less. What is no text is taken for the strictest.
fn directives(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    let values = headers.get_all(CACHE_CONTROL).iter();
    let texts = values.map(|value| value.to_str().map_or(&b"no-store"[..], str::as_bytes));
    texts.flat_map(|text| text.split(|byte| *byte == b',')).map(|directive| {
        match directive.iter().position(|byte| *byte == b'=') {
            Some(at) => (directive[..at].trim_ascii(), Some(directive[at + 1..].trim_ascii())),
            None => (directive.trim_ascii(), None),
        }
    })
}

/// `Cache-Control: max-age=0`, the one request directive that AWS documents.
fn wants_invalidation(headers: &HeaderMap) -> bool {
    directives(headers).any(|(name, value)| value == Some(b"0") && name.eq_ignore_ascii_case(b"max-age"))
}

impl Rules for AwsRules {
    fn reads_requests(&self) -> bool {
        false
    }

    /// The wish to invalidate comes first: its strategy holds for requests that pass by, too.
    fn intake(&self, request: RequestView<'_>, present: Present, settings: &CacheSettings) -> Intake {
        let wants = present.any(Present::CACHE_CONTROL) && wants_invalidation(request.headers);
        let lookup = match wants.then(|| self.invalidation(request, settings)) {
            None => Lookup::default(),
            Some(Ok(lookup)) => lookup,
            Some(Err(error)) => return Intake::Refuse(error),
        };
        let bypass = |reason| Intake::Bypass { reason, warns: lookup.warn };
        if present.any(Present::RANGE) {
            bypass(NoCacheReason::Range)
        } else if present.any(Present::PRECONDITION) {
            bypass(NoCacheReason::RequestDirective)
        } else {
            Intake::Lookup(lookup)
        }
    }

    fn on_lookup(
        &self,
        _: RequestView<'_>,
        _: Lookup,
        found: Option<&Entry>,
        others: bool,
        now: Timestamp,
    ) -> Decision {
        match found {
            Some(entry) if entry.meta.is_fresh(now) => Decision::Hit,
            Some(_) => Decision::Miss(NoCacheReason::Expired),
            None if others => Decision::Miss(NoCacheReason::VaryMismatch),
            None => Decision::Miss(NoCacheReason::NotFound),
        }
    }

    /// The whole answer is fetched, for everybody.
    fn prepare(&self, request: &mut HeaderMap, present: Present, _: Option<&Entry>) {
        if present.any(Present::CONDITION) {
            request.remove(IF_NONE_MATCH);
            request.remove(IF_MODIFIED_SINCE);
        }
    }

    fn on_response(
        &self,
        _: RequestView<'_>,
        _: Lookup,
        settings: &CacheSettings,
        response: ResponseView<'_>,
        present: Present,
        _: Option<&Entry>,
    ) -> Verdict {
        if let Some(reason) = self.objection(response, present) {
            return Verdict::Discard(reason);
        }
        let vary = match self.heeds_service && present.any(Present::VARY) {
            true => vary::names(response.headers),
            false => Some(None),
        };
        match vary {
            Some(vary) => {
                let freshness = Freshness { lifetime: settings.ttl, ..Freshness::default() };
                Verdict::Store(StorePlan { freshness, vary, ..StorePlan::default() })
            }
            None => Verdict::Discard(NoCacheReason::VaryAny),
        }
    }

    fn on_error(&self, _: RequestView<'_>, _: &Entry, _: Timestamp) -> bool {
        false
    }

    fn may_share(&self, _: RequestView<'_>, _: ResponseView<'_>, _: &StorePlan, _: bool) -> bool {
        true
    }

    fn present(
        &self,
        _: RequestView<'_>,
        _: &Meta,
        _: &mut Head,
        _: Option<&Bytes>,
        _: Provenance,
    ) -> BodyPart {
        BodyPart::Whole
    }

    fn passed(&self, _: &mut HeaderMap, _: Provenance) {}

    fn invalidates(&self, _: RequestView<'_>, _: ResponseView<'_>) -> Vec<Uri> {
        Vec::new()
    }
}
