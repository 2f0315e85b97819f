//! A body that does not come from the service directly: several requests read it, or it is stored while it is read.

use super::{BoxError, GatewayBody, Kind};
use bytes::Bytes;
use http_body::Body;
use std::{fmt, pin::Pin};

/// Erased, so that core knows nothing of who shares.
pub(super) struct Shared(pub(super) Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send + Sync>>);

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared(body)")
    }
}

impl<B> GatewayBody<B> {
    /// A body that stands in for the service's.
    pub(crate) fn shared(body: impl Body<Data = Bytes, Error = BoxError> + Send + Sync + 'static) -> Self {
        Self::of(Kind::Shared { body: Shared(Box::pin(body)) })
    }
}
