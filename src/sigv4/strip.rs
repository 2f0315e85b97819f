//! Takes the credentials off a request that goes on to the service.

use super::{
    canonical::{SECURITY_TOKEN, SIGNATURE, pairs},
    claims::X_AMZ_SECURITY_TOKEN,
};
use http::{HeaderMap, Uri, header::AUTHORIZATION, uri::PathAndQuery};

/// The signature goes, as AWS takes it off; a token stays, marked as sensitive. There is none where the credentials have
/// none: that was refused.
pub(super) fn strip_headers(headers: &mut HeaderMap, has_token: bool) {
    headers.remove(AUTHORIZATION);
    if has_token && let Some(token) = headers.get_mut(X_AMZ_SECURITY_TOKEN) {
        token.set_sensitive(true);
    }
}

/// Signature and token of a presigned request go; all other parameters stay, as received and in their order.
pub(super) fn strip_query(uri: &mut Uri) {
    let Some(query) = uri.query() else { return };
    let kept = pairs(query).filter(|pair| !pair.is(SIGNATURE) && !pair.is(SECURITY_TOKEN));
    let mut text = String::with_capacity(uri.path().len() + 1 + query.len());
    text.push_str(uri.path());
    for (index, pair) in kept.enumerate() {
        text.push(if index == 0 { '?' } else { '&' });
        text.push_str(pair.raw());
    }
    let mut parts = std::mem::take(uri).into_parts();
    // A part of a valid query is a valid query.
    parts.path_and_query = PathAndQuery::from_maybe_shared(bytes::Bytes::from(text)).ok();
    *uri = Uri::from_parts(parts).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_signature_and_token_leave_the_query() {
        let strip = |text: &str| {
            let mut uri: Uri = text.parse().unwrap();
            strip_query(&mut uri);
            uri.to_string()
        };
        let signed = "/a?x=1&X-Amz-Date=2&X-Amz-Signature=3&&b=%2F&X-Amz-Security-Token=4";
        assert_eq!(strip(signed), "/a?x=1&X-Amz-Date=2&b=%2F");
        assert_eq!(strip("https://h/a?X-Amz%2DSignature=3"), "https://h/a");
        assert_eq!(strip("/a"), "/a");
    }
}
