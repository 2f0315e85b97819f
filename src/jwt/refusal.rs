//! From a refused token to an answer.

use super::error::JwtError;
use crate::{
    context::{AuthorizerRun, ClaimStyle, Reason, RequestContext},
    response::{Cause, GatewayError, ResponseType},
    route::PathError,
};
use bytes::Bytes;
use http::{HeaderValue, Response, header::WWW_AUTHENTICATE};
use std::{sync::Arc, time::Duration};

/// The body of a REST API for a token that was good until it expired.
const EXPIRED: &str = "The incoming token has expired";
/// Unconfirmed on AWS, which is not known to look.
const REPEATED: &str = "more than one token";

/// Why a request does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Missing,
    Repeated,
    Token(JwtError),
    Scope,
    /// The method names an authorizer that nobody configured.
    Unknown,
    /// What is authorized would not be what is served.
    Path(PathError),
    /// The ARN of the method is longer than AWS has authorized.
    TooLong,
}

/// What a refused token lacked: in the extensions of the answer, for operators. Never in the client's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRefusal {
    style: ClaimStyle,
    error: Option<JwtError>,
    scopes: Arc<[Box<str>]>,
    lacks_scope: bool,
    wanted: Arc<[String]>,
}

impl TokenRefusal {
    /// What is wrong with the token; `None` where there was not exactly one, or only its scopes are wrong.
    pub fn error(&self) -> Option<JwtError> {
        self.error
    }

    /// The scopes of which one would have been needed.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.scopes.iter().map(|scope| &**scope)
    }

    /// What would have been accepted in the place of what was wrong: issuers, audiences, algorithms. Empty where that
    /// cannot be listed.
    pub fn wanted(&self) -> impl Iterator<Item = &str> {
        self.wanted.iter().map(String::as_str)
    }
}

impl Reason for TokenRefusal {
    fn layer(&self) -> &'static str {
        match self.style {
            ClaimStyle::Http => "JwtAuthorizerLayer",
            ClaimStyle::Rest => "CognitoAuthorizerLayer",
        }
    }

    fn decided_by(&self) -> Option<String> {
        let scope = self.lacks_scope.then_some("scope");
        self.error.and_then(JwtError::decided_by).or(scope).map(str::to_owned)
    }

    fn would_allow(&self) -> Vec<String> {
        if self.lacks_scope { self.scopes().map(str::to_owned).collect() } else { self.wanted.to_vec() }
    }
}

impl Refusal {
    /// The answer, with the typed reasons in its extensions.
    pub(super) fn answer<R: From<Bytes>>(
        self,
        style: ClaimStyle,
        scopes: &Arc<[Box<str>]>,
        wanted: Vec<String>,
        context: &RequestContext,
    ) -> Response<R> {
        let error = self.error(style);
        let token = match self {
            Self::Token(error) => Some(error),
            _ => None,
        };
        let (lacks_scope, wanted) = (self == Self::Scope, wanted.into());
        let reason = TokenRefusal { style, error: token, scopes: Arc::clone(scopes), lacks_scope, wanted };
        let mut response = error.refuse_for(context, Some(reason));
        if style == ClaimStyle::Http
            && let Some(challenge) = self.challenge(scopes)
        {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }

    fn error(self, style: ClaimStyle) -> GatewayError {
        let unauthorized = |cause| GatewayError::new(ResponseType::Unauthorized, cause);
        match self {
            Self::Missing => unauthorized(Cause::IdentityMissing),
            Self::Repeated => unauthorized(Cause::TokenRepeated),
            Self::Token(JwtError::Expired) if style == ClaimStyle::Rest => {
                GatewayError::in_words(ResponseType::Unauthorized, Cause::TokenExpired, EXPIRED)
            }
            Self::Token(error) => unauthorized(error.cause()),
            Self::Scope if style == ClaimStyle::Http => {
                GatewayError::new(ResponseType::AccessDenied, Cause::TokenScope)
            }
            Self::Scope => unauthorized(Cause::TokenScope),
            Self::Unknown => {
                GatewayError::new(ResponseType::AuthorizerConfigurationError, Cause::AuthorizerUnknown)
            }
            Self::Path(error) => GatewayError::bad_path(error),
            Self::TooLong => GatewayError::arn_too_long(),
        }
    }

    /// `$context.authorizer.error` repeats the description. Of a request without a token nobody was asked anything.
    pub(super) fn note_run(
        self,
        style: ClaimStyle,
        scopes: &[Box<str>],
        context: &RequestContext,
        latency: Duration,
    ) {
        if let Some(description) = self.description(scopes) {
            let (status, error) = (self.error(style).status().as_u16(), Some(description.into()));
            context.set_authorizer_run(AuthorizerRun { latency, status, error, ..AuthorizerRun::default() });
        }
    }

    fn description(self, scopes: &[Box<str>]) -> Option<String> {
        match self {
            Self::Missing | Self::Unknown | Self::Path(_) | Self::TooLong => None,
            Self::Repeated => Some(REPEATED.to_owned()),
            Self::Token(error) => Some(error.description().into_owned()),
            Self::Scope => Some(format!("expected scopes: [{}]", scopes.join(" "))),
        }
    }

    /// Blanks and no commas between the parameters, as recorded: not the syntax of RFC 6750.
    fn challenge(self, scopes: &[Box<str>]) -> Option<HeaderValue> {
        let code = match self {
            Self::Missing => return Some(HeaderValue::from_static("Bearer")),
            Self::Unknown | Self::Path(_) | Self::TooLong => return None,
            Self::Scope => "insufficient_scope",
            Self::Repeated | Self::Token(_) => "invalid_token",
        };
        let (scope, description) = (scopes.join(" "), self.description(scopes).unwrap_or_default());
        let text = format!(r#"Bearer scope="{scope}" error="{code}" error_description="{description}""#);
        // A scope that no header can carry is kept out by RFC 6749 section 3.3.
        Some(HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("Bearer")))
    }
}
