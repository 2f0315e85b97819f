//! The decision about the head of a request: no I/O, no tower types.

use crate::{
    context::BodyFault,
    response::{Cause, GatewayError, ResponseType},
};
use http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_LENGTH};

/// What each field line of HTTP/1.1 adds to its name and value: `": "` and CRLF.
const FIELD_OVERHEAD: u64 = 4;

/// The limits of a layer; `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Where the method has none of its own.
    pub(super) body: u64,
    pub(super) headers: Option<u64>,
    pub(super) url: Option<u64>,
    /// The 413 in JSON instead of plain text.
    pub(super) as_json: bool,
}

/// Judges URL, header fields and announced length, in this order, before a byte of the body is read.
///
/// `body_limit` is the method's or the layer's; `at_least` is the length of the body as far as the body itself knows it.
pub(super) fn check_head(
    limits: &Limits,
    body_limit: u64,
    url_length: usize,
    headers: &HeaderMap,
    at_least: u64,
) -> Result<(), GatewayError> {
    if limits.url.is_some_and(|limit| url_length as u64 > limit) {
        return Err(url_too_long());
    }
    let measured = Measured::of(headers, limits.headers.is_some());
    if limits.headers.is_some_and(|limit| measured.bytes > limit) {
        return Err(headers_too_large());
    }
    if !measured.length_is_valid {
        return Err(invalid_length());
    }
    if measured.announced.unwrap_or(0).max(at_least) > body_limit {
        return Err(too_large(Cause::ContentLengthTooLarge, body_limit, limits.as_json));
    }
    Ok(())
}

/// What one pass over the header fields finds.
#[derive(Debug)]
struct Measured {
    bytes: u64,
    /// The number in `Content-Length`.
    announced: Option<u64>,
    length_is_valid: bool,
}

impl Measured {
    /// Where the bytes do not matter, only the field that does is looked for.
    fn of(headers: &HeaderMap, with_bytes: bool) -> Self {
        let mut measured = Self { bytes: 0, announced: None, length_is_valid: true };
        if !with_bytes {
            headers.get_all(CONTENT_LENGTH).iter().for_each(|value| measured.content_length(value));
            return measured;
        }
        for (name, value) in headers {
            measured.bytes += (name.as_str().len() + value.len()) as u64 + FIELD_OVERHEAD;
            if *name == CONTENT_LENGTH {
                measured.content_length(value);
            }
        }
        measured
    }

    /// Repeated lines must say the same number (RFC 9110 section 8.6).
    fn content_length(&mut self, value: &HeaderValue) {
        let length = parse_length(value.as_bytes());
        self.length_is_valid &= length.is_some() && self.announced.is_none_or(|first| Some(first) == length);
        self.announced = length;
    }
}

/// `1*DIGIT` and nothing else; a number too long to count is the largest one.
fn parse_length(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |length, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        Some(length.saturating_mul(10).saturating_add(digit))
    })
}

/// The refusal of a body that went wrong while it streamed.
pub(super) fn refusal_of(fault: BodyFault, as_json: bool) -> GatewayError {
    match fault {
        BodyFault::TooLarge { limit } => too_large(Cause::BodyTooLarge, limit, as_json),
        BodyFault::TooSlow => {
            client_error(Cause::BodyTooSlow, StatusCode::REQUEST_TIMEOUT, "Request Timeout")
        }
    }
}

/// Whether this is a refusal that [`refusal_of`] makes: an inner layer has answered already.
pub(super) fn answers_fault(error: &GatewayError) -> bool {
    matches!(error.cause(), Cause::BodyTooLarge | Cause::BodyTooSlow)
}

fn too_large(cause: Cause, limit: u64, as_json: bool) -> GatewayError {
    if as_json {
        return GatewayError::new(ResponseType::RequestTooLarge, cause);
    }
    GatewayError::content_too_long(cause, limit)
}

// Status and words of these are unconfirmed on AWS, which does not document them.

fn url_too_long() -> GatewayError {
    client_error(Cause::UrlTooLong, StatusCode::URI_TOO_LONG, "Request URI too long")
}

fn headers_too_large() -> GatewayError {
    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    client_error(Cause::HeadersTooLarge, status, "Request Header Fields Too Large")
}

fn invalid_length() -> GatewayError {
    GatewayError::bad_request(Cause::InvalidContentLength)
}

fn client_error(cause: Cause, status: StatusCode, message: &'static str) -> GatewayError {
    GatewayError::client_error(cause, status, message, "BadRequestException")
}
