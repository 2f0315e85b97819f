//! Heads of answers on their way into the cache, and out of it.

use super::{flight::Segments, rfc::trim};
use crate::{
    body::BoxError,
    response::{Cause, GatewayError},
};
use bytes::Bytes;
use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue,
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
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
pub(super) static HOP_BY_HOP: [HeaderName; 10] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHENTICATION_INFO,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The fields that belong to one connection: the well-known ones and those that `Connection` lists (RFC 9111 section
/// 3.1, RFC 9110 section 7.6.1). A proxy removes them from what it forwards, a cache from what it stores.
pub fn hop_by_hop_fields(headers: &HeaderMap) -> Vec<HeaderName> {
    let listed = options(headers).filter_map(|item| HeaderName::from_bytes(item).ok());
    listed.chain(HOP_BY_HOP.iter().cloned()).filter(|name| headers.contains_key(name)).collect()
}

fn options(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(CONNECTION).into_iter();
    lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(trim)
}

/// Whether `Connection` lists a field of the request that is there and not one of the well-known: a proxy between the
/// cache and whoever answers takes it off, so that the answer is one to another request than the cache has seen.
pub(super) fn takes_others_off(headers: &HeaderMap) -> bool {
    let is_known = |option: &[u8]| {
        option.eq_ignore_ascii_case(b"close")
            || HOP_BY_HOP.iter().any(|name| option.eq_ignore_ascii_case(name.as_str().as_bytes()))
    };
    options(headers)
        .filter(|option| !is_known(option))
        .any(|option| HeaderName::from_bytes(option).is_ok_and(|name| headers.contains_key(name)))
}

/// Takes them off.
pub(super) fn hop_by_hop(headers: &mut HeaderMap) {
    hop_by_hop_fields(headers).iter().for_each(|name| drop(headers.remove(name)));
}

/// Whether an answer is the gateway's own for a service that it has given up: nobody knows what that has done.
pub(super) fn is_given_up(extensions: &Extensions) -> bool {
    let refusal = extensions.get::<GatewayError>();
    refusal.is_some_and(|refusal| refusal.cause() == Cause::IntegrationTimeout)
}

/// Takes the fields of those names out of a head.
pub(super) fn split_off(headers: &mut HeaderMap, names: &[HeaderName]) -> HeaderMap {
    let mut taken = HeaderMap::new();
    for name in names {
        let values: Vec<HeaderValue> = headers.get_all(name).iter().cloned().collect();
        headers.remove(name);
        for value in values {
            taken.append(name.clone(), value);
        }
    }
    taken
}

/// The announced length, if there is exactly one number.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let text = values.next().filter(|text| !text.is_empty())?;
    if values.next().is_some() {
        return None;
    }
    text.as_bytes().iter().try_fold(0_u64, |length, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    })
}

/// A copy of the fields, with the values of both in memory of their own: a value may be a small part of a connection's
/// large buffer, which it would keep from being freed.
pub(super) fn compact(headers: &mut HeaderMap) -> HeaderMap {
    let mut text = Vec::with_capacity(text_length(headers));
    push_values(&mut text, headers);
    move_into(headers, text.into());
    copied(headers)
}

/// A body of at most that length lies in one block with the values of its head, which then live as long as it does.
const IN_ONE_BLOCK: usize = 16 * 1024;

/// The fields and the body of a whole answer in memory of their own, of exactly their size.
pub(super) fn compact_whole(headers: &mut HeaderMap, body: &Segments) -> (HeaderMap, Bytes) {
    if body.length() > IN_ONE_BLOCK {
        return (compact(headers), body.concat());
    }
    let mut block = Vec::with_capacity(body.length() + text_length(headers));
    body.iter().for_each(|segment| block.extend_from_slice(segment));
    push_values(&mut block, headers);
    let mut block = Bytes::from(block);
    let body = block.split_to(body.length());
    move_into(headers, block);
    (copied(headers), body)
}

fn text_length(headers: &HeaderMap) -> usize {
    headers.values().map(HeaderValue::len).sum()
}

fn push_values(text: &mut Vec<u8>, headers: &HeaderMap) {
    headers.values().for_each(|value| text.extend_from_slice(value.as_bytes()));
}

/// Has the values lie in `text`, where they stand in the map's order. The first copy of a value that owns its memory
/// would have asked for memory to count its copies with; a part of `text` has a count already.
fn move_into(headers: &mut HeaderMap, mut text: Bytes) {
    headers.values_mut().for_each(|value| *value = taken(text.split_to(value.len()), value));
}

/// A clone, unless the map has far more room than it needs.
fn copied(headers: &HeaderMap) -> HeaderMap {
    if headers.capacity() <= 2 * headers.keys_len() + 8 {
        return headers.clone();
    }
    let mut copy = HeaderMap::with_capacity(headers.keys_len());
    for (name, value) in headers {
        copy.append(name.clone(), value.clone());
    }
    copy
}

/// The text of a valid value is valid; its mark as sensitive is kept.
fn taken(text: Bytes, value: &HeaderValue) -> HeaderValue {
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
        let before = headers.clone();
        let copy = compact(&mut headers);
        assert_eq!((&copy, &headers), (&before, &before));
        assert!(copy["a"].is_sensitive() && headers["a"].is_sensitive());
        assert_eq!(
            copy.get_all("b").iter().collect::<Vec<_>>(),
            before.get_all("b").iter().collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_map_with_much_room_is_written_anew() {
        let mut headers = HeaderMap::with_capacity(1_000);
        for value in ["1", "2"] {
            headers.append("b", HeaderValue::from_static(value));
        }
        headers.append("a", HeaderValue::from_static("3"));
        let copy = compact(&mut headers);
        assert_eq!(copy, headers);
        assert!(copy.capacity() < 10, "{}", copy.capacity());
    }

    #[test]
    fn a_whole_answer_is_the_same_in_one_block_and_in_two() {
        let mut headers: HeaderMap = [(http::header::ETAG, "\"1\""), (http::header::SERVER, "")]
            .map(|(name, value)| (name, HeaderValue::from_static(value)))
            .into_iter()
            .collect();
        for lengths in [&[][..], &[0], &[5], &[5, 0, 7], &[IN_ONE_BLOCK], &[IN_ONE_BLOCK, 1]] {
            let mut body = Segments::default();
            let whole: Vec<u8> = lengths.iter().flat_map(|length| (0..*length).map(|at| at as u8)).collect();
            lengths.iter().for_each(|length| body.push((0..*length).map(|at| at as u8).collect()));
            let (fields, stored) = compact_whole(&mut headers, &body);
            assert_eq!((fields, stored.as_ref()), (headers.clone(), &whole[..]), "{lengths:?}");
            assert_eq!(body.into_only().is_some(), lengths.len() == 1);
        }
    }

    #[test]
    fn fields_of_one_connection_go() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("connection", "close, X-Own"), ("x-own", "1"), ("te", "x"), ("keep-alive", "5"), ("etag", "e")]
        {
            headers.append(name, HeaderValue::from_static(value));
        }
        // One byte that is no text takes no name off the line.
        headers.append(CONNECTION, HeaderValue::from_bytes(b"x-other, \xff").unwrap());
        headers.append("x-other", HeaderValue::from_static("1"));
        hop_by_hop(&mut headers);
        assert_eq!(headers.len(), 1);
    }

    #[test]
    fn a_connection_takes_off_what_it_lists_and_is_there() {
        let takes = |connection: &'static str| {
            let mut headers = HeaderMap::new();
            for (name, value) in [("x-own", "1"), ("keep-alive", "5"), ("te", "x"), ("accept", "*/*")] {
                headers.append(name, HeaderValue::from_static(value));
            }
            headers.append(CONNECTION, HeaderValue::from_static("close"));
            headers.append(CONNECTION, HeaderValue::from_static(connection));
            takes_others_off(&headers)
        };
        for harmless in ["close", "Keep-Alive, TE", "", " , ", "x-other", "x own", "upgrade"] {
            assert!(!takes(harmless), "{harmless}");
        }
        for bad in ["X-Own", "close ,\tx-own", "keep-alive, Accept"] {
            assert!(takes(bad), "{bad}");
        }
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
