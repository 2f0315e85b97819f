//! What is kept of one call of the function: for logs, and for those who waited for it.

use super::{AuthorizerError, AuthorizerEvent, function::Answered};
use crate::context::AuthorizerCall;
use http::{HeaderMap, StatusCode};
use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Longest request id that is believed to be one.
const MAX_REQUEST_ID: usize = 128;

/// What a function behind HTTP notes of its call, through whatever layers stand around it. A retry overwrites.
#[derive(Default)]
pub(super) struct CallNotes(Mutex<Notes>);

#[derive(Default)]
struct Notes {
    status: Option<u16>,
    request_id: Option<Box<str>>,
    #[cfg(feature = "tracing")]
    endpoint: Option<crate::context::EndpointTexts>,
}

impl CallNotes {
    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The function's service has answered.
    pub(super) fn answered(&self, status: StatusCode, headers: &HeaderMap) {
        let id = headers.get("x-amzn-requestid").or_else(|| headers.get("x-amz-request-id"));
        let id = id.and_then(|id| id.to_str().ok()).filter(|id| id.len() <= MAX_REQUEST_ID);
        let mut notes = self.lock();
        (notes.status, notes.request_id) = (Some(status.as_u16()), id.map(Into::into));
    }

    #[cfg(feature = "tracing")]
    pub(super) fn called(&self, endpoint: crate::context::EndpointTexts) {
        self.lock().endpoint = Some(endpoint);
    }

    #[cfg(feature = "tracing")]
    pub(super) fn take_endpoint(&self) -> Option<crate::context::EndpointTexts> {
        self.lock().endpoint.take()
    }
}

impl fmt::Debug for CallNotes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallNotes(..)")
    }
}

/// The call that is over.
pub(super) fn over(event: &AuthorizerEvent, answered: &Answered, latency: Duration) -> AuthorizerCall {
    let mut notes = event.notes().lock();
    let was_answered = answered.as_ref().err().is_none_or(AuthorizerError::was_answered);
    let (status, request_id) = (notes.status.or(was_answered.then_some(200)), notes.request_id.take());
    drop(notes);
    AuthorizerCall {
        latency,
        status,
        request_id,
        #[cfg(feature = "tracing")]
        texts: super::trace::texts(event, answered),
    }
}
