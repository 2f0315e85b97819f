//! Which credentials a request carries, and whether its key keeps their owners apart.

use super::{key::names, present::Present, rules::RequestView};
use crate::route::CacheKey;
use http::{
    HeaderName,
    header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION},
};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
pub(super) static HEADERS: [HeaderName; 5] =
    [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, API_KEY, SECURITY_TOKEN];
/// Credentials that stand in a query: presigned requests of SigV4, and RFC 6750 section 2.3.
const QUERIES: [&str; 4] = ["X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token", "access_token"];

/// The credentials that a cache knows of.
#[derive(Clone, Debug, Default)]
pub(super) struct Credentials {
    /// Header fields beside the usual ones.
    more: Vec<HeaderName>,
    /// A cookie tells nobody who is calling.
    cookies_are_harmless: bool,
}

impl Credentials {
    pub(super) fn new(more: Vec<HeaderName>, cookies_are_harmless: bool) -> Self {
        Self { more, cookies_are_harmless }
    }

    /// Whether a header field of that name holds a credential. In keys a cookie is one, whatever the rules make of it.
    pub(super) fn has(&self, name: &HeaderName) -> bool {
        HEADERS.contains(name) || self.more.contains(name)
    }

    /// Whether a field of the request stands in its key as a digest: a credential, or what an authorizer outside has known
    /// the caller by.
    pub(super) fn hides(&self, name: &HeaderName, request: RequestView<'_>) -> bool {
        let established = || request.context?.authorizer()?.known_by();
        self.has(name) || established().is_some_and(|known_by| known_by.headers.contains(name))
    }

    /// Whether the request carries a credential that its key does not tell apart from another's.
    pub(super) fn uncovered(&self, request: RequestView<'_>, present: Present, key: &CacheKey) -> bool {
        if key.shared || key.principal && request.context.is_some_and(|context| context.principal().is_some())
        {
            return false;
        }
        let may_be_in_headers = present.any(Present::CREDENTIAL) || !self.more.is_empty();
        may_be_in_headers && self.in_headers(request, key)
            || in_query(request, key, &QUERIES)
            || of_authorizer(request, key)
    }

    fn in_headers(&self, request: RequestView<'_>, key: &CacheKey) -> bool {
        let counts = |name: &HeaderName| self.has(name) && !(self.cookies_are_harmless && *name == COOKIE);
        request.headers.keys().any(|name| counts(name) && !is_covered(request, key, name))
    }
}

/// A verified API key is in the key by its id.
fn is_covered(request: RequestView<'_>, key: &CacheKey, name: &HeaderName) -> bool {
    let is_verified = || request.context.is_some_and(|context| context.api_key().is_some());
    key.headers.contains(name) || *name == API_KEY && is_verified()
}

/// A key with the whole query has them all.
fn in_query<T: AsRef<str>>(request: RequestView<'_>, key: &CacheKey, credentials: &[T]) -> bool {
    let Some(query) = request.uri.query().filter(|_| !key.whole_query) else { return false };
    let is_declared = |name: &str| key.queries.iter().any(|own| own.eq_ignore_ascii_case(name));
    let undeclared = || credentials.iter().map(T::as_ref).filter(|name| !is_declared(name));
    query.split('&').any(|pair| undeclared().any(|name| names(pair, name)))
}

/// Whether an authorizer knows the caller by something that the key does not have: by what it was given, even where it
/// names a principal, since that may be the same for all; by whatever else, where it names none; and by nobody knows what,
/// where it has no identity source.
fn of_authorizer(request: RequestView<'_>, key: &CacheKey) -> bool {
    let Some(context) = request.context else { return false };
    let Some(established) = context.authorizer() else { return false };
    let Some(known_by) = established.known_by() else { return context.principal().is_none() };
    let uncovered = |name: &HeaderName| request.headers.contains_key(name) && !is_covered(request, key, name);
    known_by.headers.iter().any(uncovered)
        || in_query(request, key, &known_by.parameters)
        || known_by.is_unsaid()
        || known_by.others && context.principal().is_none()
}
