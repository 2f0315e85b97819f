//! How the call of an authorizer can fail.

use crate::response::{Cause, GatewayError, ResponseType};
use std::{convert::Infallible, error::Error, fmt};

/// The one error text that makes an answer of 401 (developer guide, "Output from an API Gateway Lambda
/// authorizer"); the comparison is exact.
const UNAUTHORIZED: &str = "Unauthorized";

/// Why an authorizer gave no answer that can be used. A client sees 401 or 500; the text is for operators, as
/// `$context.authorizer.error`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthorizerError {
    /// The function rejects the credential: 401.
    Unauthorized,
    /// The function failed, in its own words: 500.
    Failed(String),
    /// The function could not be called: 500.
    Unreachable(String),
    /// The function answered something that is not an authorizer's answer: 500.
    Malformed(String),
    /// The function did not answer in time: 500.
    Timeout,
}

impl AuthorizerError {
    /// An error as a Lambda function throws it: exactly `Unauthorized` rejects the credential, anything else is a
    /// failure.
    pub fn thrown(message: impl Into<String>) -> Self {
        let message = message.into();
        if message == UNAUTHORIZED { Self::Unauthorized } else { Self::Failed(message) }
    }

    /// Documented is that AUTHORIZER_FAILURE is for an authorizer that was reached and failed; every capture of a
    /// broken one shows AUTHORIZER_CONFIGURATION_ERROR. Unconfirmed: that a timeout is the failure.
    pub(super) fn refusal(&self) -> GatewayError {
        use ResponseType as T;
        let (response_type, cause) = match self {
            Self::Unauthorized => (T::Unauthorized, Cause::AuthorizerUnauthorized),
            Self::Failed(_) | Self::Unreachable(_) => {
                (T::AuthorizerConfigurationError, Cause::AuthorizerFailed)
            }
            Self::Malformed(_) => (T::AuthorizerConfigurationError, Cause::AuthorizerMalformed),
            Self::Timeout => (T::AuthorizerFailure, Cause::AuthorizerTimeout),
        };
        GatewayError::new(response_type, cause)
    }

    /// Whether the function itself was reached and answered.
    pub(super) fn was_answered(&self) -> bool {
        matches!(self, Self::Unauthorized | Self::Failed(_) | Self::Malformed(_))
    }
}

impl fmt::Display for AuthorizerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unauthorized => f.write_str(UNAUTHORIZED),
            Self::Failed(text) => f.write_str(text),
            Self::Unreachable(text) => write!(f, "the authorizer could not be called: {text}"),
            Self::Malformed(text) => write!(f, "malformed answer of the authorizer: {text}"),
            Self::Timeout => f.write_str("the authorizer did not answer in time"),
        }
    }
}

impl Error for AuthorizerError {}

impl From<Infallible> for AuthorizerError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// See [`thrown`](Self::thrown).
impl From<&str> for AuthorizerError {
    fn from(message: &str) -> Self {
        Self::thrown(message)
    }
}

/// See [`thrown`](Self::thrown).
impl From<String> for AuthorizerError {
    fn from(message: String) -> Self {
        Self::thrown(message)
    }
}

/// See [`thrown`](Self::thrown); the error of a service that tower has boxed.
impl From<Box<dyn Error + Send + Sync>> for AuthorizerError {
    fn from(error: Box<dyn Error + Send + Sync>) -> Self {
        match error.downcast::<Self>() {
            Ok(own) => *own,
            Err(other) => Self::thrown(other.to_string()),
        }
    }
}
