//! What looks at the body of a request as it is read.

use super::BoxError;
#[cfg(feature = "sigv4")]
use super::check::BodyCheck;
#[cfg(feature = "payload-limit")]
use super::meter::{Meter, MeterConfig};
#[cfg(feature = "access-log")]
use super::tap::Tap;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll},
};

#[derive(Debug, Default)]
pub(super) struct Hooks {
    #[cfg(feature = "payload-limit")]
    meter: Option<Meter>,
    #[cfg(feature = "sigv4")]
    /// Boxed, because it is rare and every body is moved.
    check: Option<Box<BodyCheck>>,
    #[cfg(feature = "access-log")]
    tap: Option<Tap>,
}

type Polled = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

impl Hooks {
    #[cfg(feature = "payload-limit")]
    pub(super) fn set_meter(&mut self, config: MeterConfig) {
        self.meter = Some(Meter::new(config));
    }

    #[cfg(feature = "sigv4")]
    pub(super) fn set_check(&mut self, check: BodyCheck) {
        self.check = Some(Box::new(check));
    }

    #[cfg(feature = "access-log")]
    pub(super) fn set_tap(&mut self, context: crate::context::RequestContext) {
        self.tap = Tap::new(context);
    }

    pub(super) fn poll<K>(&mut self, body: Pin<&mut K>, cx: &mut Context<'_>) -> Polled
    where
        K: Body<Data = Bytes, Error = BoxError>,
    {
        #[cfg(feature = "sigv4")]
        if let Some(mut check) = self.check.take() {
            let mut body = body;
            let polled = check.poll(|cx| self.poll_tapped(body.as_mut(), cx), cx);
            self.check = Some(check);
            return polled;
        }
        self.poll_tapped(body, cx)
    }

    fn poll_tapped<K>(&mut self, body: Pin<&mut K>, cx: &mut Context<'_>) -> Polled
    where
        K: Body<Data = Bytes, Error = BoxError>,
    {
        let polled = self.poll_metered(body, cx);
        #[cfg(feature = "access-log")]
        if let (Some(tap), Poll::Ready(Some(Ok(frame)))) = (&self.tap, &polled) {
            tap.saw(frame);
        }
        polled
    }

    fn poll_metered<K>(&mut self, body: Pin<&mut K>, cx: &mut Context<'_>) -> Polled
    where
        K: Body<Data = Bytes, Error = BoxError>,
    {
        #[cfg(feature = "payload-limit")]
        if let Some(meter) = &mut self.meter {
            return meter.poll(body, cx);
        }
        body.poll_frame(cx)
    }

    pub(super) fn is_end_stream(&self, body: &impl Body) -> bool {
        self.ended() || (!self.hold() && body.is_end_stream())
    }

    pub(super) fn size_hint(&self, body: &impl Body) -> SizeHint {
        if self.ended() {
            return SizeHint::with_exact(0);
        }
        #[cfg(feature = "sigv4")]
        if let Some(check) = &self.check {
            return check.size_hint(&body.size_hint());
        }
        body.size_hint()
    }

    /// Whether a hook ended the body before its end.
    fn ended(&self) -> bool {
        #[cfg(feature = "payload-limit")]
        if self.meter.as_ref().is_some_and(Meter::ended) {
            return true;
        }
        #[cfg(feature = "sigv4")]
        if self.check.as_ref().is_some_and(|check| check.ended()) {
            return true;
        }
        false
    }

    /// Whether a hook may still have a frame that the body has given already.
    fn hold(&self) -> bool {
        #[cfg(feature = "sigv4")]
        return self.check.as_ref().is_some_and(|check| !check.ended());
        #[cfg(not(feature = "sigv4"))]
        false
    }
}
