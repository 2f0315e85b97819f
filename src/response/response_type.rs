//! The 21 kinds of gateway response.

use http::{HeaderValue, StatusCode};
use std::{fmt, str::FromStr};

/// Kind of a gateway response (AWS: "Gateway response types for API Gateway").
///
/// The order is the one in which AWS prints the enumeration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each name is AWS's; the table of the module says what raises it")]
pub enum ResponseType {
    RequestTooLarge,
    ResourceNotFound,
    AuthorizerConfigurationError,
    MissingAuthenticationToken,
    BadRequestBody,
    InvalidSignature,
    InvalidApiKey,
    BadRequestParameters,
    AuthorizerFailure,
    Unauthorized,
    IntegrationTimeout,
    AccessDenied,
    Default4xx,
    Default5xx,
    WafFiltered,
    QuotaExceeded,
    Throttled,
    ApiConfigurationError,
    UnsupportedMediaType,
    IntegrationFailure,
    ExpiredToken,
}

/// One row of the table of defaults.
#[derive(Debug)]
pub(super) struct Defaults {
    pub(super) name: &'static str,
    pub(super) status: u16,
    pub(super) message: Option<&'static str>,
    pub(super) error_type: &'static str,
    /// The same as a header value: made once, since every byte of it is looked at.
    pub(super) error_type_value: HeaderValue,
    /// The body with the built-in rendering, to the byte.
    pub(super) body: &'static [u8],
}

/// `row!(name, status, message, error type, body)`; rows stand in the order of the enumeration.
macro_rules! row {
    ($name:literal, $status:literal, $message:expr, $error_type:literal, $body:literal) => {
        Defaults {
            name: $name,
            status: $status,
            message: $message,
            error_type: $error_type,
            error_type_value: HeaderValue::from_static($error_type),
            body: $body,
        }
    };
}

// Statuses and error types are recorded from AWS or, where shared/aws marks them unconfirmed, chosen here:
// AUTHORIZER_FAILURE's message and every `...Exception` of RESOURCE_NOT_FOUND, EXPIRED_TOKEN, AUTHORIZER_FAILURE.
#[rustfmt::skip]
static TABLE: [Defaults; 21] = [
    row!("REQUEST_TOO_LARGE", 413, Some("Request Too Long"), "RequestTooLargeException", br#"{"message":"Request Too Long"}"#),
    row!("RESOURCE_NOT_FOUND", 404, Some("Resource not found"), "ResourceNotFoundException", br#"{"message":"Resource not found"}"#),
    row!("AUTHORIZER_CONFIGURATION_ERROR", 500, None, "AuthorizerConfigurationException", br#"{"message":null}"#),
    row!("MISSING_AUTHENTICATION_TOKEN", 403, Some("Missing Authentication Token"), "MissingAuthenticationTokenException", br#"{"message":"Missing Authentication Token"}"#),
    row!("BAD_REQUEST_BODY", 400, Some("Invalid request body"), "BadRequestException", br#"{"message": "Invalid request body"}"#),
    row!("INVALID_SIGNATURE", 403, Some("The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."), "InvalidSignatureException", br#"{"message":"The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}"#),
    row!("INVALID_API_KEY", 403, Some("Forbidden"), "ForbiddenException", br#"{"message":"Forbidden"}"#),
    row!("BAD_REQUEST_PARAMETERS", 400, Some("Missing required request parameters: []"), "BadRequestException", br#"{"message": "Missing required request parameters: []"}"#),
    row!("AUTHORIZER_FAILURE", 500, Some("Internal server error"), "AuthorizerFailureException", br#"{"message":"Internal server error"}"#),
    row!("UNAUTHORIZED", 401, Some("Unauthorized"), "UnauthorizedException", br#"{"message":"Unauthorized"}"#),
    row!("INTEGRATION_TIMEOUT", 504, Some("Endpoint request timed out"), "InternalServerErrorException", br#"{"message": "Endpoint request timed out"}"#),
    row!("ACCESS_DENIED", 403, Some("User is not authorized to access this resource"), "AccessDeniedException", br#"{"Message":"User is not authorized to access this resource"}"#),
    row!("DEFAULT_4XX", 400, Some("Bad Request"), "BadRequestException", br#"{"message":"Bad Request"}"#),
    row!("DEFAULT_5XX", 500, Some("Internal server error"), "InternalServerErrorException", br#"{"message": "Internal server error"}"#),
    row!("WAF_FILTERED", 403, Some("Forbidden"), "ForbiddenException", br#"{"message":"Forbidden"}"#),
    row!("QUOTA_EXCEEDED", 429, Some("Limit Exceeded"), "LimitExceededException", br#"{"message":"Limit Exceeded"}"#),
    row!("THROTTLED", 429, Some("Too Many Requests"), "TooManyRequestsException", br#"{"message":"Too Many Requests"}"#),
    row!("API_CONFIGURATION_ERROR", 500, Some("Internal server error"), "InternalServerErrorException", br#"{"message": "Internal server error"}"#),
    row!("UNSUPPORTED_MEDIA_TYPE", 415, Some("Unsupported Media Type"), "BadRequestException", br#"{"message": "Unsupported Media Type"}"#),
    row!("INTEGRATION_FAILURE", 504, Some("Network error communicating with endpoint"), "InternalServerErrorException", br#"{"message": "Network error communicating with endpoint"}"#),
    row!("EXPIRED_TOKEN", 403, Some("The security token included in the request is expired"), "ExpiredTokenException", br#"{"message":"The security token included in the request is expired"}"#),
];

impl ResponseType {
    /// All 21, in AWS's order.
    pub const ALL: [Self; 21] = [
        Self::RequestTooLarge,
        Self::ResourceNotFound,
        Self::AuthorizerConfigurationError,
        Self::MissingAuthenticationToken,
        Self::BadRequestBody,
        Self::InvalidSignature,
        Self::InvalidApiKey,
        Self::BadRequestParameters,
        Self::AuthorizerFailure,
        Self::Unauthorized,
        Self::IntegrationTimeout,
        Self::AccessDenied,
        Self::Default4xx,
        Self::Default5xx,
        Self::WafFiltered,
        Self::QuotaExceeded,
        Self::Throttled,
        Self::ApiConfigurationError,
        Self::UnsupportedMediaType,
        Self::IntegrationFailure,
        Self::ExpiredToken,
    ];

    pub(super) fn defaults(self) -> &'static Defaults {
        &TABLE[self as usize]
    }

    /// AWS's name, `MISSING_AUTHENTICATION_TOKEN`.
    pub fn as_str(self) -> &'static str {
        self.defaults().name
    }

    /// The built-in status; `None` for `DEFAULT_4XX` and `DEFAULT_5XX`, which keep the original.
    pub fn default_status(self) -> Option<StatusCode> {
        let own = !matches!(self, Self::Default4xx | Self::Default5xx);
        own.then(|| self.fallback_status())
    }

    /// The built-in message; `None` prints as JSON `null`.
    pub fn default_message(self) -> Option<&'static str> {
        self.defaults().message
    }

    /// The built-in `x-amzn-ErrorType`.
    pub fn error_type(self) -> &'static str {
        self.defaults().error_type
    }

    /// The status where nothing else says one: 400 and 500 for the two families.
    pub(super) fn fallback_status(self) -> StatusCode {
        StatusCode::from_u16(self.defaults().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl fmt::Display for ResponseType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is none of the 21 names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownResponseType(String);

impl fmt::Display for UnknownResponseType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = ResponseType::ALL.map(ResponseType::as_str).join(", ");
        write!(f, "Value '{}' at 'responseType' failed to satisfy constraint: ", self.0)?;
        write!(f, "Member must satisfy enum value set: [{names}]")
    }
}

impl std::error::Error for UnknownResponseType {}

impl FromStr for ResponseType {
    type Err = UnknownResponseType;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| UnknownResponseType(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_to_one_and_rows_stand_in_order() {
        for (index, kind) in ResponseType::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
            assert_eq!(kind.as_str().parse(), Ok(kind));
            let words = kind.as_str().replace('_', "").to_lowercase();
            assert_eq!(words, format!("{kind:?}").to_lowercase());
        }
        assert!("FAKE".parse::<ResponseType>().unwrap_err().to_string().starts_with("Value 'FAKE' at"));
    }

    #[test]
    fn every_body_carries_its_message_and_only_access_denied_the_capital_key() {
        for kind in ResponseType::ALL {
            let body: serde_json::Value = serde_json::from_slice(kind.defaults().body).unwrap();
            let key = if kind == ResponseType::AccessDenied { "Message" } else { "message" };
            assert_eq!(body[key].as_str(), kind.default_message(), "{kind}");
        }
    }
}
