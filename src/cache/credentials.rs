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

/// Whether a header field of that name holds a credential.
pub(super) fn is_credential(name: &HeaderName) -> bool {
    HEADERS.contains(name)
}

/// Whether the request carries a credential that its key does not tell apart from another's.
pub(super) fn uncovered(
    request: RequestView<'_>,
    present: Present,
    key: &CacheKey,
    more: &[HeaderName],
) -> bool {
    if key.shared || key.principal && request.context.is_some_and(|context| context.principal().is_some()) {
        return false;
    }
    let may_be_in_headers = present.any(Present::CREDENTIAL) || !more.is_empty();
    may_be_in_headers && in_headers(request, key, more) || in_query(request, key)
}

fn in_headers(request: RequestView<'_>, key: &CacheKey, more: &[HeaderName]) -> bool {
    request.headers.keys().any(|name| {
        let is_credential = is_credential(name) || more.contains(name);
        is_credential && !key.headers.contains(name) && !is_verified(request, name)
    })
}

/// A verified API key is in the key by its id.
fn is_verified(request: RequestView<'_>, name: &HeaderName) -> bool {
    *name == API_KEY && request.context.is_some_and(|context| context.api_key().is_some())
}

/// A key with the whole query has them all.
fn in_query(request: RequestView<'_>, key: &CacheKey) -> bool {
    let Some(query) = request.uri.query().filter(|_| !key.whole_query) else { return false };
    let undeclared =
        || QUERIES.iter().filter(|name| !key.queries.iter().any(|own| own.eq_ignore_ascii_case(name)));
    query.split('&').any(|pair| undeclared().any(|name| names(pair, name)))
}
