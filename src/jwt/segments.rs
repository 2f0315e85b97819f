//! The compact serialisation of a JWS (RFC 7515 section 7.1), taken apart without an allocation.

use super::{
    algorithm::Algorithm,
    error::{AlgorithmName, JwtError},
};
use crate::context::json_object::{self, Members};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::borrow::Cow;

/// Headers up to this size are decoded on the stack.
const SMALL_HEADER: usize = 512;
/// The longest signature of all algorithms: RSA with 8192 bits.
const MAX_SIGNATURE: usize = 1024;

/// The three parts of a token, still encoded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segments<'t> {
    /// Header, dot and payload: what is signed.
    pub(super) signed: &'t [u8],
    header: &'t [u8],
    payload: &'t [u8],
    signature: &'t [u8],
}

impl<'t> Segments<'t> {
    pub(super) fn split(token: &'t [u8]) -> Result<Self, JwtError> {
        let mut parts = token.split(|byte| *byte == b'.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(JwtError::Segments);
        };
        Ok(Self { signed: &token[..header.len() + 1 + payload.len()], header, payload, signature })
    }

    /// Reads the header and hands it to `read`.
    pub(super) fn with_header<T>(
        &self,
        read: impl FnOnce(Header<'_>) -> Result<T, JwtError>,
    ) -> Result<T, JwtError> {
        let mut small = [0; SMALL_HEADER];
        let large;
        let bytes = match small.get_mut(..decoded_len(self.header)) {
            Some(place) => {
                decode_into(self.header, place)?;
                &*place
            }
            None => {
                large = decode(self.header)?;
                &large
            }
        };
        let text = std::str::from_utf8(bytes).map_err(|_| JwtError::Header)?;
        let members = Members::parse(text).ok_or(JwtError::Header)?;
        read(Header { text, members: &members })
    }

    pub(super) fn payload(&self) -> Result<Vec<u8>, JwtError> {
        decode(self.payload)
    }

    /// Decodes the signature and hands it to `verify`.
    pub(super) fn with_signature<T>(
        &self,
        verify: impl FnOnce(&[u8]) -> Result<T, JwtError>,
    ) -> Result<T, JwtError> {
        let mut bytes = [0; MAX_SIGNATURE];
        let place = bytes.get_mut(..decoded_len(self.signature)).ok_or(JwtError::Signature)?;
        decode_into(self.signature, place)?;
        verify(place)
    }
}

/// Bytes that so many characters without padding stand for.
fn decoded_len(text: &[u8]) -> usize {
    text.len() / 4 * 3 + text.len() % 4 * 3 / 4
}

/// Strict: the alphabet of base64url alone, no padding, no stray bits.
fn decode_into(text: &[u8], place: &mut [u8]) -> Result<(), JwtError> {
    match URL_SAFE_NO_PAD.decode_slice(text, place) {
        Ok(length) if length == place.len() => Ok(()),
        _ => Err(JwtError::Encoding),
    }
}

fn decode(text: &[u8]) -> Result<Vec<u8>, JwtError> {
    let mut bytes = vec![0; decoded_len(text)];
    decode_into(text, &mut bytes)?;
    Ok(bytes)
}

/// The header of a token (RFC 7515 section 4). Keys that it carries or points to (`jwk`, `jku`, `x5c`, `x5u`) are
/// not even read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header<'t> {
    text: &'t str,
    members: &'t Members,
}

impl<'t> Header<'t> {
    fn string(&self, name: &str) -> Result<Option<Cow<'t, str>>, JwtError> {
        let Some(value) = self.members.get(self.text, name) else { return Ok(None) };
        json_object::string(value).map(Some).ok_or(JwtError::Header)
    }

    /// `alg`, if it is one that `is_allowed`. Extensions that would change the meaning are refused with it.
    pub(super) fn algorithm(&self, is_allowed: impl Fn(Algorithm) -> bool) -> Result<Algorithm, JwtError> {
        if ["crit", "b64"].iter().any(|name| self.members.get(self.text, name).is_some()) {
            return Err(JwtError::Extension);
        }
        let name = self.string("alg")?.ok_or(JwtError::Header)?;
        let found = Algorithm::named(&name).filter(|algorithm| is_allowed(*algorithm));
        found.ok_or_else(|| JwtError::Algorithm(AlgorithmName::of(&name)))
    }

    /// `kid`, a string where it stands at all.
    pub(super) fn kid(&self) -> Result<Option<Cow<'t, str>>, JwtError> {
        self.string("kid")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(json: &str) -> Result<(Algorithm, Option<String>), JwtError> {
        let token = format!("{}.e30.", URL_SAFE_NO_PAD.encode(json));
        Segments::split(token.as_bytes())?
            .with_header(|header| Ok((header.algorithm(|_| true)?, header.kid()?.map(Cow::into_owned))))
    }

    #[test]
    fn three_segments_no_more_no_less() {
        for token in ["", "a", "a.b", "a.b.c.d", "a.b.c.", "...."] {
            assert_eq!(Segments::split(token.as_bytes()).err(), Some(JwtError::Segments), "{token}");
        }
        let parts = Segments::split(b"a.bc.d").unwrap();
        assert_eq!((parts.signed, parts.payload, parts.signature), (&b"a.bc"[..], &b"bc"[..], &b"d"[..]));
    }

    #[test]
    fn base64url_is_exact() {
        for text in ["", "AA", "AAA", "AAAA", "_-A"] {
            assert_eq!(decode(text.as_bytes()).unwrap(), URL_SAFE_NO_PAD.decode(text).unwrap(), "{text}");
        }
        for text in ["A", "AB", "AA==", "A+A", "A/A", "A A", "AA\n", " AA", "AAAAA", "A\u{e9}A"] {
            assert_eq!(decode(text.as_bytes()), Err(JwtError::Encoding), "{text}");
        }
        let long = [b'A'; 1368];
        let parts = Segments { signed: b"", header: b"", payload: b"", signature: &long };
        assert_eq!(parts.with_signature(|_| Ok(())), Err(JwtError::Signature));
    }

    #[test]
    fn headers_say_algorithm_and_key_and_nothing_that_matters_more() {
        let some = Some("k".to_owned());
        assert_eq!(header(r#"{"alg":"RS256","kid":"k","jwk":{}}"#), Ok((Algorithm::Rs256, some.clone())));
        assert_eq!(header(r#"{"alg":"RS256","kid":"\u006b"}"#), Ok((Algorithm::Rs256, some.clone())));
        let long = format!(r#"{{"alg":"RS256","x":"{}","kid":"k"}}"#, "x".repeat(2000));
        assert_eq!(header(&long), Ok((Algorithm::Rs256, some)));
        for (json, error) in [
            (r#"{"kid":"k"}"#, JwtError::Header),
            (r#"{"alg":"RS256","kid":1}"#, JwtError::Header),
            (r#"{"alg":"RS256","kid":null}"#, JwtError::Header),
            (r#"{"alg":["RS256"]}"#, JwtError::Header),
            (r#"{"alg":"RS256","kid":"\ud800"}"#, JwtError::Header),
            (r#"{"alg":"RS256","alg":"RS256"}"#, JwtError::Header),
            (r#"{"alg":"RS256","crit":[]}"#, JwtError::Extension),
            (r#"{"alg":"RS256","b64":true}"#, JwtError::Extension),
            (r#"{"alg":"none"}"#, JwtError::Algorithm(AlgorithmName::of("none"))),
        ] {
            assert_eq!(header(json), Err(error), "{json}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(token in any::<Vec<u8>>(), dotted in "[-_A-Za-z0-9.=]{0,80}") {
            for token in [&token[..], dotted.as_bytes()] {
                if let Ok(parts) = Segments::split(token) {
                    let _ = parts.with_header(|header| header.algorithm(|_| true));
                    let _ = (parts.payload(), parts.with_signature(|_| Ok(())));
                }
            }
        }
    }
}
