//! Why a request is not authenticated, in AWS's words.

use super::{canonical::CanonicalTexts, date::SignedTime, encode::base64};
use crate::response::{Cause, GatewayError, ResponseType};
use sha2::{Digest, Sha256};
use std::{borrow::Cow, fmt};

/// Why a signature was refused: AWS's error type and message, and the [`Cause`].
///
/// The message never holds a secret, nor a signature that was computed here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureError {
    cause: Cause,
    error_type: &'static str,
    message: Cow<'static, str>,
}

const INCOMPLETE: &str = "IncompleteSignatureException";
const INVALID: &str = "InvalidSignatureException";
const UNRECOGNIZED: &str = "UnrecognizedClientException";

/// What an `AWS_IAM` method without a signature answers.
const MISSING_TOKEN: &str = "Missing Authentication Token";
const MISMATCH: &str = "The request signature we calculated does not match the signature you provided. \
    Check your AWS Secret Access Key and signing method. Consult the service documentation for details.";

// Not confirmed on AWS: more than one `Authorization` field, the words about `X-Amz-Expires` (S3's), replays.
const REPEATED: &str = "Authorization header must not be repeated.";
const EXPIRES_NOT_A_NUMBER: &str = "X-Amz-Expires should be a number";
const EXPIRES_TOO_LONG: &str = "X-Amz-Expires must be less than a week (in seconds); that is, the given \
    X-Amz-Expires must be less than 604800 seconds";
const EXPIRES_TOO_SHORT: &str = "X-Amz-Expires must be greater than zero seconds";
const REPLAYED: &str = "The request signature has already been used.";

impl SignatureError {
    fn new(cause: Cause, error_type: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { cause, error_type, message: message.into() }
    }

    /// Why, for operators.
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// `x-amzn-ErrorType`.
    pub fn error_type(&self) -> &'static str {
        self.error_type
    }

    /// What the client is told.
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn missing() -> Self {
        Self::new(Cause::SignatureMissing, "MissingAuthenticationTokenException", MISSING_TOKEN)
    }

    pub(super) fn header_and_query() -> Self {
        let text = "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.";
        Self::new(Cause::SignatureAmbiguous, INVALID, text)
    }

    pub(super) fn repeated_header() -> Self {
        Self::new(Cause::SignatureAmbiguous, INCOMPLETE, REPEATED)
    }

    pub(super) fn no_equal_sign(header: &[u8]) -> Self {
        let text = format!(
            "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and \
             encoded with Base64): '{}'.",
            hashed(header)
        );
        Self::new(Cause::SignatureIncomplete, INCOMPLETE, text)
    }

    /// `missing` are sentences; the header is shown as a hash, since it is a credential.
    pub(super) fn incomplete_header(missing: &[&str], header: &[u8]) -> Self {
        let text = format!("{} {}", missing.join(" "), header_echo(header));
        Self::new(Cause::SignatureIncomplete, INCOMPLETE, text)
    }

    pub(super) fn incomplete_query(missing: &[&str]) -> Self {
        let sentence = |name: &&str| format!("AWS query-string parameters must include '{name}'.");
        let mut sentences: Vec<_> = missing.iter().map(sentence).collect();
        sentences.push(REEXAMINE.to_owned());
        Self::new(Cause::SignatureIncomplete, INCOMPLETE, sentences.join(" "))
    }

    pub(super) fn date(value: &str) -> Self {
        let text = format!(
            "Date must be in ISO-8601 'basic format'. Got '{value}'. See http://en.wikipedia.org/wiki/ISO_8601"
        );
        Self::new(Cause::SignatureDateMalformed, INCOMPLETE, text)
    }

    pub(super) fn expires_not_a_number() -> Self {
        Self::new(Cause::SignatureDateMalformed, INCOMPLETE, EXPIRES_NOT_A_NUMBER)
    }

    pub(super) fn expires_out_of_range(seconds: u64) -> Self {
        let text = if seconds == 0 { EXPIRES_TOO_SHORT } else { EXPIRES_TOO_LONG };
        Self::new(Cause::SignatureDateMalformed, INCOMPLETE, text)
    }

    /// `valid_for` is the clock skew, or the lifetime of a presigned request.
    pub(super) fn expired(signed: &SignedTime, now: i64, valid_for: i64) -> Self {
        let (earliest, now) = (SignedTime::at(now - valid_for), SignedTime::at(now));
        let text = format!(
            "Signature expired: {} is now earlier than {} ({} - {}.)",
            signed.as_str(),
            earliest.as_str(),
            now.as_str(),
            span(valid_for)
        );
        Self::new(Cause::SignatureExpired, INVALID, text)
    }

    pub(super) fn not_yet_current(signed: &SignedTime, now: i64, skew: i64) -> Self {
        let (latest, now) = (SignedTime::at(now + skew), SignedTime::at(now));
        let text = format!(
            "Signature not yet current: {} is still later than {} ({} + {}.)",
            signed.as_str(),
            latest.as_str(),
            now.as_str(),
            span(skew)
        );
        Self::new(Cause::SignatureNotYetCurrent, INVALID, text)
    }

    pub(super) fn host_unsigned() -> Self {
        let text = "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.";
        Self::new(Cause::SignatureHostUnsigned, INVALID, text)
    }

    /// Strict mode only; not confirmed on AWS.
    pub(super) fn header_unsigned(name: &str) -> Self {
        let text = format!("'{name}' must be a 'SignedHeader' in the AWS Authorization.");
        Self::new(Cause::SignatureHeaderUnsigned, INVALID, text)
    }

    /// `header` is that of the header form.
    pub(super) fn algorithm(value: &str, header: Option<&[u8]>) -> Self {
        let echo = header.map_or_else(|| REEXAMINE.to_owned(), header_echo);
        let text = format!("Unsupported AWS 'algorithm': '{value}' (only AWS4-HMAC-SHA256 for now). {echo}");
        Self::new(Cause::SignatureIncomplete, INCOMPLETE, text)
    }

    pub(super) fn credential(value: &str) -> Self {
        let text = format!(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got \
             '{value}'"
        );
        Self::new(Cause::SignatureIncomplete, INCOMPLETE, text)
    }

    pub(super) fn scope(faults: &[String]) -> Self {
        Self::new(Cause::SignatureScope, INVALID, faults.join(" "))
    }

    pub(super) fn escape(fault: String) -> Self {
        Self::new(Cause::SignatureIncomplete, INCOMPLETE, fault)
    }

    pub(super) fn unknown_access_key() -> Self {
        let text = "The security token included in the request is invalid.";
        Self::new(Cause::AccessKeyUnknown, UNRECOGNIZED, text)
    }

    pub(super) fn mismatch() -> Self {
        Self::new(Cause::SignatureMismatch, INVALID, MISMATCH)
    }

    pub(super) fn token_invalid() -> Self {
        let text = "The security token included in the request is invalid";
        Self::new(Cause::SessionTokenInvalid, UNRECOGNIZED, text)
    }

    pub(super) fn token_expired() -> Self {
        let text = "The security token included in the request is expired";
        Self::new(Cause::SessionTokenExpired, ResponseType::ExpiredToken.error_type(), text)
    }

    pub(super) fn replayed() -> Self {
        Self::new(Cause::SignatureReplayed, INVALID, REPLAYED)
    }

    /// A path that leaves the API: 400 before any verification.
    pub(super) fn above_root() -> Self {
        Self::new(Cause::DotSegment, "BadRequestException", "Bad Request")
    }

    /// The long form of a mismatch, as recorded in 2020.
    pub(super) fn with_texts(mut self, texts: &CanonicalTexts) -> Self {
        self.message = format!(
            "{MISMATCH}\n\nThe Canonical String for this request should have been\n'{}'\n\n\
             The String-to-Sign should have been\n'{}'\n",
            texts.canonical_request(),
            texts.string_to_sign()
        )
        .into();
        self
    }

    /// The same words of a request that no route was found for: that stays the cause.
    #[cfg(feature = "stage")]
    pub(super) fn of_no_route(self) -> GatewayError {
        GatewayError::new(self.response_type(), Cause::NoRoute).with_words(self.message, self.error_type)
    }

    /// Which gateway response answers: AWS does not say for the `IncompleteSignatureException` and
    /// `UnrecognizedClientException` families, which are taken for kinds of `INVALID_SIGNATURE`.
    fn response_type(&self) -> ResponseType {
        match self.cause {
            Cause::SignatureMissing => ResponseType::MissingAuthenticationToken,
            Cause::SessionTokenExpired => ResponseType::ExpiredToken,
            _ => ResponseType::InvalidSignature,
        }
    }
}

impl From<SignatureError> for GatewayError {
    fn from(error: SignatureError) -> Self {
        if error.cause == Cause::DotSegment {
            return Self::bad_request(error.cause);
        }
        Self::new(error.response_type(), error.cause).with_words(error.message, error.error_type)
    }
}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error_type, self.message)
    }
}

impl std::error::Error for SignatureError {}

const REEXAMINE: &str = "Re-examine the query-string parameters.";

fn hashed(header: &[u8]) -> String {
    base64(&Sha256::digest(header).into())
}

fn header_echo(header: &[u8]) -> String {
    format!("(Hashed with SHA-256 and encoded with Base64) Authorization={}", hashed(header))
}

/// `5 min`, or `90 sec` where it is not a whole number of minutes.
fn span(seconds: i64) -> String {
    if seconds % 60 == 0 { format!("{} min", seconds / 60) } else { format!("{seconds} sec") }
}
