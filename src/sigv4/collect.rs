//! Collects a body while it is hashed.

use super::{sha::Gathered, sink::Sink, verifier::Payload};
use crate::response::{Cause, GatewayError};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, header::CONTENT_LENGTH};
use http_body::{Body, Frame};
use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

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

    /// Reads the body to its end, or until it is refused.
    pub(super) fn poll<B>(
        &mut self,
        mut body: Pin<&mut B>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), GatewayError>>
    where
        B: Body<Data = Bytes>,
    {
        while let Some(frame) = ready!(body.as_mut().poll_frame(cx)) {
            // A limit outside that cut the body off answers in our place.
            self.push(frame.map_err(|_| GatewayError::bad_request(Cause::BodyUnreadable))?)?;
            if body.is_end_stream() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Trailers are dropped: no signature covers them.
    fn push(&mut self, frame: Frame<Bytes>) -> Result<(), GatewayError> {
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

    /// The body, and its hash. Nothing is left.
    pub(super) fn finish(&mut self) -> (Bytes, Payload) {
        let (first, joined) = (mem::take(&mut self.first), mem::take(&mut self.joined));
        let body = if joined.is_empty() { first } else { joined.freeze() };
        (body, Payload::Sha256(self.hash.finish()))
    }
}

/// Refuses a body that is announced above the limit, before a byte of it is read.
pub(super) fn check_announced(headers: &HeaderMap, body: &impl Body, limit: u64) -> Result<(), GatewayError> {
    let hint = body.size_hint();
    // A body that knows its length needs nobody to announce it.
    let announced = hint.exact().unwrap_or_else(|| {
        let field = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        field.unwrap_or(0).max(hint.lower())
    });
    if announced > limit {
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
