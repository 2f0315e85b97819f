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
#[cfg(any(feature = "payload-limit", feature = "sigv4", feature = "access-log"))]
mod hooks;
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
pub(crate) use end::{End, EndGuard, LentGuard, Watch};
#[cfg(feature = "payload-limit")]
pub(crate) use meter::{MeterConfig, MinimumRate, Pace};
pub use wrap::{BodyLayer, BodyService, WrapBody};

use bytes::Bytes;
#[cfg(any(feature = "payload-limit", feature = "sigv4", feature = "access-log"))]
use hooks::Hooks;
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
        watched: Watched,
    }
}

pin_project! {
    #[project = KindProj]
    #[derive(Debug)]
    enum Kind<B> {
        Ours { data: Option<Bytes> },
        Inner { #[pin] body: B },
        Shared { body: Shared },
    }
}

/// Who watches a body as it streams. Bodies of requests and of answers are watched by others, and every body is moved: so
/// there is room for either.
#[derive(Debug, Default)]
enum Watched {
    #[default]
    Nobody,
    #[cfg(any(feature = "payload-limit", feature = "sigv4", feature = "access-log"))]
    Request(Hooks),
    #[cfg(feature = "access-log")]
    Answer(EndGuard),
}

impl<B> GatewayBody<B> {
    /// Wraps a body.
    pub fn new(body: B) -> Self {
        Self::of(Kind::Inner { body })
    }

    fn of(kind: Kind<B>) -> Self {
        Self { kind, watched: Watched::Nobody }
    }

    /// Wraps the body of an answer, and has `guard` tell when it has ended, or was dropped before.
    #[cfg(feature = "access-log")]
    pub(crate) fn guarded(body: B, guard: Option<EndGuard>) -> Self {
        Self { kind: Kind::Inner { body }, watched: guard.map_or(Watched::Nobody, Watched::Answer) }
    }

    /// The same for one that is wrapped already.
    #[cfg(feature = "gateway")]
    pub(crate) fn set_end_guard(&mut self, guard: EndGuard) {
        self.watched = Watched::Answer(guard);
    }

    /// What watches the body of a request. Bytes of our own nobody does.
    #[cfg(any(feature = "payload-limit", feature = "sigv4", feature = "access-log"))]
    fn hooks(&mut self) -> Option<&mut Hooks> {
        if let (Kind::Inner { .. }, Watched::Nobody) = (&self.kind, &self.watched) {
            self.watched = Watched::Request(Hooks::default());
        }
        match &mut self.watched {
            Watched::Request(hooks) => Some(hooks),
            _ => None,
        }
    }

    /// Wraps a body, and counts it while it streams where it is to be metered.
    #[cfg(feature = "payload-limit")]
    pub(crate) fn metered(body: B, config: Option<MeterConfig>) -> Self {
        let mut wrapped = Self::new(body);
        config.into_iter().for_each(|config| wrapped.set_meter(config));
        wrapped
    }

    /// Counts this body while it streams.
    #[cfg(feature = "payload-limit")]
    pub(crate) fn set_meter(&mut self, config: MeterConfig) {
        if let Some(hooks) = self.hooks() {
            hooks.set_meter(config);
        }
    }

    /// Tells `context` of the bytes of this request body as they are read.
    #[cfg(feature = "access-log")]
    pub(crate) fn set_tap(&mut self, context: crate::context::RequestContext) {
        if let Some(hooks) = self.hooks() {
            hooks.set_tap(context);
        }
    }

    /// Has this body judged as it streams.
    #[cfg(feature = "sigv4")]
    pub(crate) fn set_check(&mut self, check: BodyCheck) {
        if let Some(hooks) = self.hooks() {
            hooks.set_check(check);
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
        match this.watched {
            Watched::Nobody => this.kind.poll_frame(cx),
            #[cfg(any(feature = "payload-limit", feature = "sigv4", feature = "access-log"))]
            Watched::Request(hooks) => hooks.poll(this.kind, cx),
            #[cfg(feature = "access-log")]
            Watched::Answer(guard) => guard.poll(this.kind, cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.watched {
            #[cfg(any(feature = "payload-limit", feature = "sigv4", feature = "access-log"))]
            Watched::Request(hooks) => hooks.is_end_stream(&self.kind),
            _ => self.kind.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.watched {
            #[cfg(any(feature = "payload-limit", feature = "sigv4", feature = "access-log"))]
            Watched::Request(hooks) => hooks.size_hint(&self.kind),
            _ => self.kind.size_hint(),
        }
    }
}

impl<B> Body for Kind<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project() {
            KindProj::Ours { data } => Poll::Ready(data.take().map(|data| Ok(Frame::data(data)))),
            KindProj::Inner { body } => body.poll_frame(cx).map_err(Into::into),
            KindProj::Shared { body } => body.0.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Kind::Ours { data } => data.is_none(),
            Kind::Inner { body } => body.is_end_stream(),
            Kind::Shared { body } => body.0.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Kind::Ours { data } => SizeHint::with_exact(data.as_ref().map_or(0, Bytes::len) as u64),
            Kind::Inner { body } => body.size_hint(),
            Kind::Shared { body } => body.0.size_hint(),
        }
    }
}
