//! Heads of answers on their way into the cache, and out of it.

use crate::body::BoxError;
use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        CONNECTION, CONTENT_LENGTH, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING,
        UPGRADE,
    },
};
use http_body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll},
};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("proxy-authentication-info");
static HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_AUTHENTICATE,
    PROXY_AUTHENTICATION_INFO,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Takes off what concerns one connection only (RFC 9111 section 3.1), with what `Connection` names.
pub(super) fn hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    named.iter().chain(&HOP_BY_HOP).for_each(|name| drop(headers.remove(name)));
}

/// The announced length, if there is exactly one number.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let length = values.next()?.to_str().ok()?;
    let is_number = values.next().is_none() && length.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { length.parse().ok() } else { None }
}

/// The same fields in memory of their own: a value may be a small part of a connection's large buffer, which it would
/// keep from being freed.
pub(super) fn compact(headers: &HeaderMap) -> HeaderMap {
    let length = headers.values().map(HeaderValue::len).sum();
    let mut text = BytesMut::with_capacity(length);
    headers.values().for_each(|value| text.extend_from_slice(value.as_bytes()));
    let mut text = text.freeze();
    let mut compact = HeaderMap::with_capacity(headers.keys_len());
    for (name, value) in headers {
        let own = copied(text.split_to(value.len()), value);
        compact.append(name.clone(), own);
    }
    compact
}

/// The text of a valid value is valid; its mark as sensitive is kept.
fn copied(text: Bytes, value: &HeaderValue) -> HeaderValue {
    let mut own = HeaderValue::from_maybe_shared(text).unwrap_or_else(|_| value.clone());
    own.set_sensitive(value.is_sensitive());
    own
}

/// A stored body that ends with trailers.
#[derive(Debug)]
pub(super) struct WithTrailers {
    data: Option<Bytes>,
    trailers: Option<Box<HeaderMap>>,
}

impl WithTrailers {
    pub(super) fn new(data: Bytes, trailers: &HeaderMap) -> Self {
        Self { data: Some(data).filter(|data| !data.is_empty()), trailers: Some(Box::new(trailers.clone())) }
    }
}

impl Body for WithTrailers {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let data = self.data.take().map(Frame::data);
        let frame = data.or_else(|| self.trailers.take().map(|trailers| Frame::trailers(*trailers)));
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.data.as_ref().map_or(0, Bytes::len) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compact_map_is_equal_and_in_order() {
        let mut headers = HeaderMap::new();
        headers.append("b", HeaderValue::from_static("1"));
        headers.append("a", HeaderValue::from_static(""));
        headers.append("b", HeaderValue::from_bytes(b"\xff2").unwrap());
        headers.get_mut("a").unwrap().set_sensitive(true);
        let copy = compact(&headers);
        assert_eq!(copy, headers);
        assert!(copy["a"].is_sensitive());
        assert_eq!(
            copy.get_all("b").iter().collect::<Vec<_>>(),
            headers.get_all("b").iter().collect::<Vec<_>>()
        );
    }

    #[test]
    fn fields_of_one_connection_go() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("connection", "close, X-Own"), ("x-own", "1"), ("te", "x"), ("keep-alive", "5"), ("etag", "e")]
        {
            headers.append(name, HeaderValue::from_static(value));
        }
        hop_by_hop(&mut headers);
        assert_eq!(headers.len(), 1);
    }

    #[test]
    fn a_length_is_one_number_or_nothing() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_LENGTH, HeaderValue::from_static(value));
            }
            content_length(&headers)
        };
        assert_eq!(of(&["12"]), Some(12));
        for bad in [&["1", "1"][..], &["+1"], &["1, 1"], &[""], &["99999999999999999999"], &[]] {
            assert_eq!(of(bad), None, "{bad:?}");
        }
    }
}
