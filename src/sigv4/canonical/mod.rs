//! The canonical request and the string to sign (IAM user guide, "Create a signed AWS API request").

mod headers;
mod path;
mod query;

pub(super) use headers::{HeaderFault, check_list, listed, signs_host};
pub(super) use path::{AboveRoot, PathRule};
pub(super) use query::{check_escapes, pairs, parameter};

use super::{encode::hex, fields::Fields, sink::Sink};
use crate::percent::Plus;
use http::{HeaderMap, Method, Uri};
use sha2::{Digest, Sha256};

/// The head of a request as it was received: with stage and base path, before anything was taken off or decoded.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the parts of http::Request")]
#[non_exhaustive]
pub struct RequestHead<'a> {
    pub method: &'a Method,
    pub uri: &'a Uri,
    pub headers: &'a HeaderMap,
}

impl<'a> RequestHead<'a> {
    /// Of these parts.
    pub fn new(method: &'a Method, uri: &'a Uri, headers: &'a HeaderMap) -> Self {
        Self { method, uri, headers }
    }

    pub(super) fn query(&self) -> &'a str {
        self.uri.query().unwrap_or("")
    }
}

/// How a request is read where signers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) path: PathRule,
    pub(super) plus: Plus,
    /// The token of a presigned request was appended after signing.
    pub(super) omits_token: bool,
}

impl Reading {
    pub(super) fn new(path: PathRule) -> Self {
        Self { path, plus: Plus::Literal, omits_token: false }
    }
}

/// Why there is no canonical request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CanonicalFault {
    AboveRoot,
    Headers(HeaderFault),
}

impl From<AboveRoot> for CanonicalFault {
    fn from(_: AboveRoot) -> Self {
        Self::AboveRoot
    }
}

impl From<HeaderFault> for CanonicalFault {
    fn from(fault: HeaderFault) -> Self {
        Self::Headers(fault)
    }
}

pub(super) const SIGNATURE: &str = "X-Amz-Signature";
pub(super) const SECURITY_TOKEN: &str = "X-Amz-Security-Token";

/// Writes the canonical request up to its last line, the payload's, which may not be known yet.
pub(super) fn write_request(
    sink: &mut impl Sink,
    request: &RequestHead<'_>,
    fields: &Fields<'_>,
    signed_headers: &[u8],
    is_presigned: bool,
    reading: Reading,
) -> Result<(), CanonicalFault> {
    sink.put(request.method.as_str().as_bytes());
    sink.put_byte(b'\n');
    path::write_path(sink, request.uri.path().as_bytes(), reading.path)?;
    sink.put_byte(b'\n');
    let omitted: &[&str] = match (is_presigned, reading.omits_token) {
        (false, _) => &[],
        (true, false) => &[SIGNATURE],
        (true, true) => &[SIGNATURE, SECURITY_TOKEN],
    };
    query::write_query(sink, request.query(), omitted, reading.plus);
    sink.put_byte(b'\n');
    headers::write_headers(sink, request, fields, signed_headers)?;
    sink.put_byte(b'\n');
    sink.put(signed_headers);
    sink.put_byte(b'\n');
    Ok(())
}

pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
pub(super) const TERMINATOR: &str = "aws4_request";

/// Writes the string to sign up to its last line, the hash of the canonical request. The scope is
/// `YYYYMMDD/region/service/aws4_request`.
pub(super) fn write_string_to_sign(sink: &mut impl Sink, timestamp: &[u8; 16], scope: &[u8]) {
    sink.put(ALGORITHM.as_bytes());
    sink.put_byte(b'\n');
    sink.put(timestamp);
    sink.put_byte(b'\n');
    sink.put(scope);
    sink.put_byte(b'\n');
}

/// Both texts, for people: what the hash was fed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalTexts {
    pub(super) canonical_request: String,
    pub(super) string_to_sign: String,
}

impl CanonicalTexts {
    /// `METHOD`, path, query, header lines, an empty line, signed names and payload hash.
    pub fn canonical_request(&self) -> &str {
        &self.canonical_request
    }

    /// Algorithm, time, scope, and the hash of the canonical request.
    pub fn string_to_sign(&self) -> &str {
        &self.string_to_sign
    }

    pub(super) fn new(mut canonical: Vec<u8>, payload: &[u8], timestamp: &[u8; 16], scope: &[u8]) -> Self {
        canonical.extend_from_slice(payload);
        let mut to_sign = Vec::new();
        write_string_to_sign(&mut to_sign, timestamp, scope);
        to_sign.put(&hex(&Sha256::digest(&canonical).into()));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { canonical_request: text(&canonical), string_to_sign: text(&to_sign) }
    }
}

/// The canonical path alone, for vectors whose path no HTTP request could carry.
#[cfg(test)]
pub(super) fn write_path_for_tests(path: &[u8], normalize: bool) -> String {
    let mut out = Vec::new();
    let rule = if normalize { PathRule::Normalised } else { PathRule::Single };
    path::write_path(&mut out, path, rule).unwrap();
    String::from_utf8(out).unwrap()
}
