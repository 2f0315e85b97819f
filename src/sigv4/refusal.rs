//! A refusal, and what operators may know about it.

use super::error::SignatureError;
#[cfg(feature = "payload-limit")]
use crate::response::Remains;
use crate::{
    clock::Clock,
    context::{Reason, RequestContext},
    policy::AccessDenial,
    response::{Cause, GatewayError},
};
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
        #[cfg(feature = "payload-limit")]
        if self.error.cause() == Cause::BodyUnreadable && context.body_fault().is_some() {
            // Who cut the body off answers in our place, and says why.
            return self.error.into_response(context.api_kind(), Remains::default());
        }
        if matches!(self.error.cause(), Cause::BodyTooLarge | Cause::ContentLengthTooLarge) {
            context.set_reason(OwnLimit);
        }
        self.error.refuse_for(context, self.denial)
    }
}

/// The limit of what is read of a body to verify it, which is this layer's.
#[derive(Debug)]
struct OwnLimit;

impl Reason for OwnLimit {
    fn layer(&self) -> &'static str {
        "SigV4AuthLayer"
    }

    fn decided_by(&self) -> Option<String> {
        None
    }

    fn would_allow(&self) -> Vec<String> {
        Vec::new()
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
