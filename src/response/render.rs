//! From a refusal to bytes.

use super::{Cause, GatewayError, Remains, ResponseType, error::Form};
use crate::context::ApiKind;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header::CONTENT_TYPE};

pub(super) static X_AMZN_ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// As captured from AWS, though `text` alone is not a media type.
const PLAIN_TEXT: HeaderValue = HeaderValue::from_static("text; charset=utf-8");

/// Status, content type, body and error type of an answer.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) status: StatusCode,
    pub(super) content_type: HeaderValue,
    pub(super) error_type: Option<HeaderValue>,
    pub(super) body: Bytes,
}

const USUAL_HEADERS: usize = 6;

impl Rendered {
    /// The answer that no configuration has touched.
    pub(super) fn built_in(error: &GatewayError, kind: ApiKind) -> Self {
        match kind {
            ApiKind::Http => http_api(error),
            ApiKind::Rest => rest_api(error),
        }
    }

    pub(super) fn into_response<B: From<Bytes>>(self, remains: Remains) -> Response<B> {
        // Room for what the layers outside add to most refusals.
        let mut response = remains.into_response(B::from(self.body), USUAL_HEADERS);
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, self.content_type);
        if let Some(error_type) = self.error_type {
            response.headers_mut().insert(&X_AMZN_ERROR_TYPE, error_type);
        }
        response
    }
}

fn rest_api(error: &GatewayError) -> Rendered {
    let plain_text = error.form() == Form::PlainText;
    let body = match error.message() {
        Some(message) if plain_text => message.to_owned().into(),
        Some(message) if error.has_own_message() => own_message(error.response_type(), message),
        _ => Bytes::from_static(error.response_type().defaults().body),
    };
    Rendered {
        status: error.status(),
        content_type: if plain_text { PLAIN_TEXT } else { JSON },
        error_type: (!plain_text).then(|| error.error_type_value()),
        body,
    }
}

/// The type's built-in rendering (key and spacing are part of it) around another message.
fn own_message(response_type: ResponseType, message: &str) -> Bytes {
    let built_in = response_type.defaults().body;
    let colon = built_in.iter().position(|byte| *byte == b':').unwrap_or(0);
    let blank = usize::from(built_in.get(colon + 1) == Some(&b' '));
    // DEFAULT_4XX and DEFAULT_5XX carry the words of errors that have no type: made at the front door, no space.
    let head = if response_type == ResponseType::Default4xx { colon + 1 } else { colon + 1 + blank };
    let mut body = built_in[..head].to_vec();
    body.extend_from_slice(json_string(message).as_bytes());
    body.push(b'}');
    body.into()
}

/// HTTP APIs have nine fixed answers and no error type.
fn http_api(error: &GatewayError) -> Rendered {
    let (status, body) = match http_api_answer(error) {
        Some(fixed) => (fixed.status, Bytes::from_static(fixed.body.as_bytes())),
        None => (error.status(), format!(r#"{{"message":{}}}"#, error.message_string()).into()),
    };
    Rendered { status, content_type: JSON, error_type: None, body }
}

/// An answer of HTTP APIs.
struct Fixed {
    status: StatusCode,
    message: &'static str,
    body: &'static str,
}

macro_rules! fixed {
    ($status:ident, $message:literal) => {
        Some(Fixed {
            status: StatusCode::$status,
            message: $message,
            body: concat!(r#"{"message":""#, $message, r#""}"#),
        })
    };
}

/// What the client of an API of this kind is told.
pub(super) fn told(error: &GatewayError, kind: ApiKind) -> Option<&str> {
    let fixed = match kind {
        ApiKind::Http => http_api_answer(error),
        ApiKind::Rest => None,
    };
    fixed.map(|fixed| fixed.message).or_else(|| error.message())
}

/// `None`: the error's own words.
fn http_api_answer(error: &GatewayError) -> Option<Fixed> {
    use ResponseType as T;
    match error.response_type() {
        T::MissingAuthenticationToken if error.cause() == Cause::SignatureMissing => {
            fixed!(FORBIDDEN, "Forbidden")
        }
        T::MissingAuthenticationToken | T::ResourceNotFound => fixed!(NOT_FOUND, "Not Found"),
        _ if error.cause() == Cause::NoRoute => fixed!(NOT_FOUND, "Not Found"),
        T::Default4xx if error.cause() == Cause::UnknownStage => fixed!(NOT_FOUND, "Not Found"),
        T::Unauthorized => fixed!(UNAUTHORIZED, "Unauthorized"),
        T::InvalidApiKey | T::AccessDenied | T::WafFiltered | T::InvalidSignature | T::ExpiredToken => {
            fixed!(FORBIDDEN, "Forbidden")
        }
        T::RequestTooLarge => fixed!(PAYLOAD_TOO_LARGE, "Request Entity Too Large"),
        T::Throttled | T::QuotaExceeded => fixed!(TOO_MANY_REQUESTS, "Too Many Requests"),
        T::IntegrationTimeout | T::IntegrationFailure => fixed!(SERVICE_UNAVAILABLE, "Service Unavailable"),
        T::ApiConfigurationError | T::AuthorizerConfigurationError | T::AuthorizerFailure | T::Default5xx => {
            fixed!(INTERNAL_SERVER_ERROR, "Internal Server Error")
        }
        T::Default4xx | T::BadRequestBody | T::BadRequestParameters | T::UnsupportedMediaType => None,
    }
}

/// A number as the value of a field, in one allocation: `HeaderValue::from` makes two.
#[cfg(any(feature = "usage-plan", feature = "cache"))]
pub(crate) fn number_value(number: u64) -> HeaderValue {
    let digits = HeaderValue::from_str(itoa::Buffer::new().format(number));
    digits.unwrap_or_else(|_| HeaderValue::from(number))
}

/// A JSON string literal of the text, with its quotes (RFC 8259 section 7).
pub(crate) fn json_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => out.push_str(&format!("\\u{:04x}", control as u32)),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::Cause;
    use proptest::prelude::*;

    fn body(error: &GatewayError, kind: ApiKind) -> (u16, String) {
        let rendered = Rendered::built_in(error, kind);
        (rendered.status.as_u16(), String::from_utf8(rendered.body.to_vec()).unwrap())
    }

    #[test]
    fn the_lengths_aws_was_recorded_with() {
        for (kind, length) in [
            (ResponseType::MissingAuthenticationToken, 42),
            (ResponseType::InvalidApiKey, 23),
            (ResponseType::WafFiltered, 23),
            (ResponseType::Unauthorized, 26),
            (ResponseType::Throttled, 31),
            (ResponseType::QuotaExceeded, 28),
            (ResponseType::ApiConfigurationError, 36),
            (ResponseType::IntegrationTimeout, 41),
            (ResponseType::IntegrationFailure, 56),
            (ResponseType::AuthorizerConfigurationError, 16),
        ] {
            let error = GatewayError::new(kind, Cause::NoRoute);
            assert_eq!(body(&error, ApiKind::Rest).1.len(), length, "{kind}");
        }
    }

    #[test]
    fn own_messages_keep_key_and_spacing_of_their_type() {
        let mut denied = GatewayError::new(ResponseType::AccessDenied, Cause::NoRoute);
        assert_eq!(body(&denied, ApiKind::Rest).1.find("\"Message\":\""), Some(1));
        denied = GatewayError::client_error(
            Cause::UrlTooLong,
            StatusCode::URI_TOO_LONG,
            "Request URI too long",
            "X",
        );
        assert_eq!(body(&denied, ApiKind::Rest), (414, r#"{"message":"Request URI too long"}"#.to_owned()));
        assert_eq!(body(&denied, ApiKind::Http), (414, r#"{"message":"Request URI too long"}"#.to_owned()));
        let unknown = GatewayError::unknown_stage();
        assert_eq!(body(&unknown, ApiKind::Rest), (403, r#"{"message":"Forbidden"}"#.to_owned()));
        assert_eq!(body(&unknown, ApiKind::Http), (404, r#"{"message":"Not Found"}"#.to_owned()));
        let large = GatewayError::content_too_long(Cause::BodyTooLarge, 10_485_760);
        let text = "HTTP content length exceeded 10485760 bytes.";
        assert_eq!((text.len(), body(&large, ApiKind::Rest)), (44, (413, text.to_owned())));
    }

    proptest! {
        #[test]
        fn json_strings_are_what_serde_reads_back(text in any::<String>()) {
            let read: String = serde_json::from_str(&json_string(&text)).unwrap();
            prop_assert_eq!(read, text);
        }
    }
}
