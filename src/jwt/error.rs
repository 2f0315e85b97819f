//! Why a token is refused, as data.

use crate::response::Cause;
use std::{borrow::Cow, fmt};

/// Why a token was refused. For operators, logs and tests; a client sees at most [`description`](Self::description).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JwtError {
    /// Longer than the limit.
    TooLong,
    /// Not three segments.
    Segments,
    /// A segment is not base64url without padding, to the bit (RFC 7515 section 2).
    Encoding,
    /// The header is not one JSON object with an `alg`, or a member of it has the wrong type or stands twice.
    Header,
    /// The header demands an extension: `crit`, `b64` (RFC 7515 section 4.1.11, RFC 7797).
    Extension,
    /// The token's algorithm is not one of the configured ones, or not the one of the key.
    Algorithm(AlgorithmName),
    /// No key has the token's `kid`.
    UnknownKey,
    /// The signature is not that key's over this text.
    Signature,
    /// The payload is not one JSON object, or a claim that is read has the wrong type or stands twice.
    Claims,
    /// `iss` is not the configured issuer.
    Issuer,
    /// `aud` (`client_id` where there is no `aud`) names none of the configured audiences.
    Audience,
    /// `token_use` is not the one that is asked for.
    TokenUse,
    /// `exp` is reached, or absent.
    Expired,
    /// `nbf` is still to come.
    NotYetValid,
    /// `iat` is still to come.
    IssuedInFuture,
    /// The issuer's discovery document could not be had.
    Discovery,
    /// The issuer's keys could not be had.
    Keys,
}

impl JwtError {
    /// The `error_description` of an HTTP API. The texts of expiry, audience, segments, algorithm, discovery and keys
    /// are recorded from AWS; the others are worded in their style (unconfirmed).
    pub fn description(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Segments => "token contains an invalid number of segments",
            Self::TooLong => "token is too long",
            Self::Encoding | Self::Header | Self::Claims | Self::Extension => "token is malformed",
            Self::Algorithm(name) => return format!("signing method {name} is invalid").into(),
            Self::UnknownKey => "unable to find a signing key that matches 'kid'",
            Self::Signature => "signature is invalid",
            Self::Issuer => "the token does not have a valid issuer",
            Self::Audience => "the token does not have a valid audience",
            Self::TokenUse => "the token does not have a valid use",
            Self::Expired => "the token has expired",
            Self::NotYetValid => "the token is not valid yet",
            Self::IssuedInFuture => "token used before issued",
            Self::Discovery => "OIDC discovery endpoint communication error",
            Self::Keys => "JWKS communication error",
        })
    }

    /// The member of the header or claim that decided; `None` where it was the token as a whole.
    pub fn decided_by(self) -> Option<&'static str> {
        Some(match self {
            Self::Extension => "crit",
            Self::Algorithm(_) => "alg",
            Self::UnknownKey => "kid",
            Self::Issuer => "iss",
            Self::Audience => "aud",
            Self::TokenUse => "token_use",
            Self::Expired => "exp",
            Self::NotYetValid => "nbf",
            Self::IssuedInFuture => "iat",
            _ => return None,
        })
    }

    pub(super) fn cause(self) -> Cause {
        match self {
            Self::TooLong
            | Self::Segments
            | Self::Encoding
            | Self::Header
            | Self::Extension
            | Self::Claims => Cause::TokenMalformed,
            Self::Algorithm(_) => Cause::TokenAlgorithm,
            Self::UnknownKey => Cause::TokenKeyUnknown,
            Self::Signature => Cause::TokenSignature,
            Self::Issuer => Cause::TokenIssuer,
            Self::Audience => Cause::TokenAudience,
            Self::TokenUse => Cause::TokenUse,
            Self::Expired => Cause::TokenExpired,
            Self::NotYetValid | Self::IssuedInFuture => Cause::TokenNotYetValid,
            Self::Discovery | Self::Keys => Cause::TokenKeysUnavailable,
        }
    }
}

impl fmt::Display for JwtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.description())
    }
}

impl std::error::Error for JwtError {}

/// The `alg` of a refused token, as far as it may be repeated: at most 16 letters, digits and hyphens.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AlgorithmName {
    text: [u8; 16],
    length: u8,
}

impl AlgorithmName {
    /// The whole name, or nothing of one that could not be an algorithm's.
    pub(super) fn of(name: &str) -> Self {
        let mut text = [0; 16];
        let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        match text.get_mut(..name.len()) {
            Some(start) if is_plain => start.copy_from_slice(name.as_bytes()),
            _ => return Self { text: [0; 16], length: 0 },
        }
        Self { text, length: name.len() as u8 }
    }

    /// The name; empty where it was not plain.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..usize::from(self.length)]).unwrap_or_default()
    }
}

impl fmt::Display for AlgorithmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.length == 0 { "of the token" } else { self.as_str() })
    }
}

impl fmt::Debug for AlgorithmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_break_out_of_a_header_is_not_repeated() {
        let text = |name: &str| JwtError::Algorithm(AlgorithmName::of(name)).description().into_owned();
        assert_eq!(text("ES256"), "signing method ES256 is invalid");
        for name in ["a\"b", "a\r\nb", "", "0123456789abcdefg", "h\u{e9}"] {
            assert_eq!(text(name), "signing method of the token is invalid", "{name:?}");
        }
    }
}
