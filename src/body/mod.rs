//! [`GatewayBody`]: the one body type of this crate.
//!
//! A layer that only decides keeps the body types of its service. Where bytes are counted, or an answer must be
//! made for a service whose body is not made `From<Bytes>`, a body is wrapped once in [`GatewayBody`]: it is either
//! the inner body, unboxed, or a few bytes of ours.
//!
//! ```
//! use bytes::Bytes;
//! use http_body::Body;
//! use http_body_util::{BodyExt, Empty};
//! use tower_gateway::GatewayBody;
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let ours: GatewayBody<Empty<Bytes>> = Bytes::from_static(b"refused").into();
//! assert_eq!(ours.size_hint().exact(), Some(7));
//! assert_eq!(ours.collect().await.unwrap().to_bytes(), "refused");
//! assert!(GatewayBody::new(Empty::<Bytes>::new()).is_end_stream());
//! # });
//! ```

#[cfg(feature = "sigv4")]
mod check;
#[cfg(feature = "access-log")]
mod end;
#[cfg(feature = "payload-limit")]
mod meter;
mod shared;
#[cfg(feature = "access-log")]
mod tap;
mod wrap;

#[cfg(feature = "sigv4")]
pub use check::BodyCheck;
#[cfg(feature = "sigv4")]
pub(crate) use check::Judge;
#[cfg(feature = "access-log")]
pub use end::Outcome;
#[cfg(feature = "access-log")]
pub(crate) use end::{End, EndGuard, Watch};

#[cfg(feature = "payload-limit")]
pub(crate) use meter::{MeterConfig, MinimumRate, Pace};
pub use wrap::{BodyLayer, BodyService, WrapBody};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use shared::Shared;
use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

/// A boxed error, as `tower` and `hyper` understand it.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why a request body was cut off. The layer that did it answers the client; the handler sees this error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyLimitError {
    /// More bytes than the limit.
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// Slower than the minimum rate.
    TooSlow,
}

impl fmt::Display for BodyLimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { limit } => write!(f, "the request body is longer than {limit} bytes"),
            Self::TooSlow => f.write_str("the request body arrives below the minimum rate"),
        }
    }
}

impl Error for BodyLimitError {}

pin_project! {
    /// A body that passed through the gateway; see the [module docs](self).
    #[derive(Debug)]
    pub struct GatewayBody<B> {
        #[pin]
        kind: Kind<B>,
        end: EndSlot,
    }
}

/// Who is told when the body has ended. Boxed: most bodies have none, and all of them move.
#[derive(Debug, Default)]
struct EndSlot {
    #[cfg(feature = "access-log")]
    guard: Option<Box<EndGuard>>,
}

pin_project! {
    #[project = KindProj]
    #[derive(Debug)]
    enum Kind<B> {
        Ours { data: Option<Bytes> },
        Inner { #[pin] body: B, hooks: Hooks },
        Shared { body: Shared },
    }
}

/// What watches a body as it streams.
#[derive(Debug, Default)]
struct Hooks {
    #[cfg(feature = "payload-limit")]
    meter: Option<meter::Meter>,
    #[cfg(feature = "sigv4")]
    /// Boxed, because it is rare and every body is moved.
    check: Option<Box<check::BodyCheck>>,
    #[cfg(feature = "access-log")]
    tap: Option<tap::Tap>,
}

impl<B> GatewayBody<B> {
    /// Wraps a body.
    pub fn new(body: B) -> Self {
        Self::of(Kind::Inner { body, hooks: Hooks::default() })
    }

    fn of(kind: Kind<B>) -> Self {
        Self { kind, end: EndSlot::default() }
    }

    /// Has `guard` tell when this body has ended, or was dropped before.
    #[cfg(feature = "access-log")]
    pub(crate) fn set_end_guard(&mut self, guard: Option<Box<EndGuard>>) {
        self.end.guard = guard;
    }

    /// Wraps a body, and counts it while it streams where it is to be metered.
    #[cfg(feature = "payload-limit")]
    pub(crate) fn metered(body: B, config: Option<MeterConfig>) -> Self {
        let mut wrapped = Self::new(body);
        config.into_iter().for_each(|config| wrapped.set_meter(config));
        wrapped
    }

    /// Counts this body while it streams. Bytes of our own are not counted.
    #[cfg(feature = "payload-limit")]
    pub(crate) fn set_meter(&mut self, config: MeterConfig) {
        if let Kind::Inner { hooks, .. } = &mut self.kind {
            hooks.meter = Some(meter::Meter::new(config));
        }
    }
}

#[cfg(feature = "access-log")]
impl<B> GatewayBody<B> {
    /// Tells `context` of the bytes of this request body as they are read. Bytes of our own are not.
    pub(crate) fn set_tap(&mut self, context: crate::context::RequestContext) {
        if let Kind::Inner { hooks, .. } = &mut self.kind {
            hooks.tap = Some(tap::Tap::new(context));
        }
    }
}

#[cfg(feature = "sigv4")]
impl<B> GatewayBody<B> {
    /// Has this body judged as it streams. Bytes of our own are not.
    pub(crate) fn set_check(&mut self, check: BodyCheck) {
        if let Kind::Inner { hooks, .. } = &mut self.kind {
            hooks.check = Some(Box::new(check));
        }
    }
}

impl<B> From<Bytes> for GatewayBody<B> {
    fn from(data: Bytes) -> Self {
        Self::of(Kind::Ours { data: Some(data).filter(|data| !data.is_empty()) })
    }
}

impl<B> Default for GatewayBody<B> {
    /// An empty body.
    fn default() -> Self {
        Bytes::new().into()
    }
}

impl<B> Body for GatewayBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        #[cfg(feature = "access-log")]
        if let Some(guard) = &mut this.end.guard {
            let mut kind = this.kind;
            let polled = guard.inside(|| kind.as_mut().poll_frame(cx));
            let at_end = guard.inside(|| polled.is_ready() && kind.is_end_stream());
            guard.saw(&polled, at_end);
            return polled;
        }
        #[cfg(not(feature = "access-log"))]
        let _nobody_is_told = this.end;
        this.kind.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.kind.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.kind.size_hint()
    }
}

impl<B> Body for Kind<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project() {
            KindProj::Ours { data } => Poll::Ready(data.take().map(|data| Ok(Frame::data(data)))),
            KindProj::Inner { body, hooks } => hooks.poll(body, cx),
            KindProj::Shared { body } => body.0.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Kind::Ours { data } => data.is_none(),
            Kind::Inner { body, hooks } => hooks.ended() || (!hooks.hold() && body.is_end_stream()),
            Kind::Shared { body } => body.0.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Kind::Ours { data } => SizeHint::with_exact(data.as_ref().map_or(0, Bytes::len) as u64),
            Kind::Inner { hooks, .. } if hooks.ended() => SizeHint::with_exact(0),
            Kind::Inner { body, hooks } => hooks.size_hint(body.size_hint()),
            Kind::Shared { body } => body.0.size_hint(),
        }
    }
}

impl Hooks {
    /// Whether a hook ended the body before its end.
    fn ended(&self) -> bool {
        #[cfg(feature = "payload-limit")]
        if self.meter.as_ref().is_some_and(meter::Meter::ended) {
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

    fn size_hint(&self, rest: SizeHint) -> SizeHint {
        #[cfg(feature = "sigv4")]
        if let Some(check) = &self.check {
            return check.size_hint(&rest);
        }
        rest
    }

    /// Whether nobody looks at the body.
    fn none(&self) -> bool {
        #[cfg(feature = "payload-limit")]
        if self.meter.is_some() {
            return false;
        }
        #[cfg(feature = "sigv4")]
        if self.check.is_some() {
            return false;
        }
        #[cfg(feature = "access-log")]
        if self.tap.is_some() {
            return false;
        }
        true
    }

    fn poll<B>(
        &mut self,
        body: Pin<&mut B>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        if self.none() {
            return body.poll_frame(cx).map_err(Into::into);
        }
        #[cfg(feature = "sigv4")]
        if let Some(mut check) = self.check.take() {
            let mut body = body;
            let polled = check.poll(|cx| self.poll_tapped(body.as_mut(), cx), cx);
            self.check = Some(check);
            return polled;
        }
        self.poll_tapped(body, cx)
    }

    fn poll_tapped<B>(
        &mut self,
        body: Pin<&mut B>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let polled = self.poll_metered(body, cx);
        #[cfg(feature = "access-log")]
        if let (Some(tap), Poll::Ready(Some(Ok(frame)))) = (&self.tap, &polled) {
            tap.saw(frame);
        }
        polled
    }

    fn poll_metered<B>(
        &mut self,
        body: Pin<&mut B>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        #[cfg(feature = "payload-limit")]
        if let Some(meter) = &mut self.meter {
            return meter.poll(body, cx);
        }
        body.poll_frame(cx).map_err(Into::into)
    }
}
