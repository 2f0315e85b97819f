//! A refusal, and what operators may know about it.

use super::error::SignatureError;
use crate::{clock::Clock, context::RequestContext, policy::AccessDenial, response::GatewayError};
use bytes::Bytes;
use http::Response;

/// The error, and where policies refused, their reasons.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) error: GatewayError,
    pub(super) denial: Option<AccessDenial>,
}

impl Refusal {
    /// The answer. The reasons are in its extensions, never in its body. Whoever is not authenticated by now is not.
    #[cold]
    pub(super) fn answer<R: From<Bytes>>(self, context: &RequestContext, clock: &Clock) -> Response<R> {
        context.end_authentication(clock, false);
        self.error.refuse_for(context, self.denial)
    }
}

impl From<GatewayError> for Refusal {
    fn from(error: GatewayError) -> Self {
        Self { error, denial: None }
    }
}

impl From<SignatureError> for Refusal {
    fn from(error: SignatureError) -> Self {
        GatewayError::from(error).into()
    }
}
