//! Collects a body while it is hashed.

use super::{sha::Gathered, sink::Sink, verifier::Payload};
use crate::response::{Cause, GatewayError};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, header::CONTENT_LENGTH};
use http_body::{Body, Frame};

/// The data so far. One frame is kept as it is; more are copied together.
pub(super) struct Collector {
    first: Bytes,
    joined: BytesMut,
    hash: Gathered<1>,
    length: u64,
    limit: u64,
}

impl Collector {
    pub(super) fn new(limit: u64) -> Self {
        let (first, joined) = (Bytes::new(), BytesMut::new());
        Self { first, joined, hash: Gathered::new(), length: 0, limit }
    }

    /// Trailers are dropped: no signature covers them.
    pub(super) fn push(&mut self, frame: Frame<Bytes>) -> Result<(), GatewayError> {
        let Ok(data) = frame.into_data() else { return Ok(()) };
        self.length = self.length.saturating_add(data.len() as u64);
        if self.length > self.limit {
            return Err(GatewayError::content_too_long(Cause::BodyTooLarge, self.limit));
        }
        self.hash.put(&data);
        if self.first.is_empty() {
            self.first = data;
        } else {
            self.join(&data);
        }
        Ok(())
    }

    /// Room grows with what has arrived, whatever was announced.
    fn join(&mut self, data: &[u8]) {
        if self.joined.is_empty() {
            self.joined.reserve(self.first.len() + data.len());
            self.joined.put_slice(&self.first);
        }
        self.joined.put_slice(data);
    }

    pub(super) fn finish(self) -> (Bytes, Payload) {
        let body = if self.joined.is_empty() { self.first } else { self.joined.freeze() };
        (body, Payload::Sha256(self.hash.finish()))
    }
}

/// Refuses a body that is announced above the limit, before a byte of it is read.
pub(super) fn check_announced(headers: &HeaderMap, body: &impl Body, limit: u64) -> Result<(), GatewayError> {
    let field = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if field.unwrap_or(0).max(body.size_hint().lower()) > limit {
        return Err(GatewayError::content_too_long(Cause::ContentLengthTooLarge, limit));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_are_joined_and_hashed(frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..8)) {
            let whole = frames.concat();
            let mut collector = Collector::new(whole.len() as u64);
            for frame in &frames {
                collector.push(Frame::data(Bytes::copy_from_slice(frame))).unwrap();
            }
            let (body, payload) = collector.finish();
            prop_assert_eq!(&body[..], &whole[..]);
            prop_assert_eq!(payload, Payload::of(&whole));
        }
    }

    #[test]
    fn one_byte_above_the_limit_is_too_many() {
        let mut collector = Collector::new(3);
        collector.push(Frame::data(Bytes::from_static(b"ab"))).unwrap();
        collector.push(Frame::data(Bytes::from_static(b"c"))).unwrap();
        let error = collector.push(Frame::data(Bytes::from_static(b"d"))).unwrap_err();
        assert_eq!(error.cause(), Cause::BodyTooLarge);
    }
}
