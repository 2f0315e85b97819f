//! The verification: a pure function of the request's head, its payload's hash, the time and the credentials.

use super::{
    authorization::{Credential, DAY, Signature},
    canonical::{
        CanonicalFault, CanonicalTexts, PathRule, Reading, RequestHead, SECURITY_TOKEN, TERMINATOR,
        check_escapes, check_list, listed, parameter, signs_host, write_request, write_string_to_sign,
    },
    claims::{Claims, Form, check_algorithm, credential_parts},
    credentials::Credentials,
    date::SignedTime,
    encode::{find, hex, unhex},
    error::SignatureError,
    sha::{Gathered, MacKey, sha256},
    sink::Sink,
    token::check_token,
};
use crate::{clock::Timestamp, context::CallerIdentity, error::ConfigError, percent::Plus};
use http::HeaderName;
use std::time::Duration;
use subtle::{Choice, ConstantTimeEq};

/// Rules of verification: whose signatures are accepted, and how a request is read. See the [module docs](super).
#[derive(Clone, Debug)]
pub struct SigV4Verifier {
    region: String,
    service: String,
    /// `/region/service/aws4_request`: what follows the day in a credential.
    scope: String,
    /// Seconds.
    skew: i64,
    path: PathRule,
    lenient: bool,
    unsigned_payload: bool,
    unsigned_query_token: bool,
    all_amz_signed: bool,
}

/// What stands in the last line of the canonical request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Payload {
    /// The SHA-256 of the body as received.
    Sha256([u8; 32]),
    /// `UNSIGNED-PAYLOAD`: whatever the body is.
    Unsigned,
}

impl Payload {
    /// The hash of a body.
    pub fn of(body: &[u8]) -> Self {
        Self::Sha256(sha256(body))
    }

    /// The hash of no body: `e3b0c442...`.
    pub const EMPTY: Self = Self::Sha256([
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
        0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
    ]);

    fn with_text<T>(&self, use_text: impl FnOnce(&[u8]) -> T) -> T {
        match *self {
            Self::EMPTY => use_text(EMPTY_TEXT),
            Self::Sha256(ref digest) => use_text(&hex(digest)),
            Self::Unsigned => use_text(UNSIGNED.as_bytes()),
        }
    }
}

const EMPTY_TEXT: &[u8] = b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
const X_AMZ_CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");

/// 5 minutes, as API Gateway has it; both ends belong to it (unconfirmed).
const SKEW: i64 = 300;

impl SigV4Verifier {
    /// Accepts signatures for one service in one Region; API Gateway's service is `execute-api`.
    ///
    /// # Errors
    ///
    /// A name that is empty or holds something else than letters, digits, `-`, `_` and `.`.
    pub fn new(region: impl Into<String>, service: impl Into<String>) -> Result<Self, ConfigError> {
        let (region, service) = (region.into(), service.into());
        let verifier = Self {
            scope: format!("/{region}/{service}/{TERMINATOR}"),
            region,
            service,
            skew: SKEW,
            path: PathRule::Normalised,
            lenient: false,
            unsigned_payload: false,
            unsigned_query_token: false,
            all_amz_signed: false,
        };
        check_name("Region", &verifier.region)?;
        check_name("service", &verifier.service)?;
        Ok(verifier)
    }

    /// How far a request's time may be from ours, in both directions, in whole seconds (a fraction is dropped); both ends
    /// belong to it. Default: 300 s, as at API Gateway. Other AWS services have 900 s.
    #[must_use]
    pub fn clock_skew(mut self, skew: Duration) -> Self {
        self.skew = i64::from(u32::try_from(skew.as_secs()).unwrap_or(u32::MAX));
        self
    }

    /// Whether dot segments and repeated slashes are taken out of the path, and the path as received is encoded
    /// once more. Default: yes. S3 signs the path as it is, encoded once: `false`.
    #[must_use]
    pub fn normalize_path(mut self, normalize: bool) -> Self {
        self.path = if normalize { PathRule::Normalised } else { PathRule::Single };
        self
    }

    /// Also accepts what some clients sign by mistake: a literal `+` in the query as a space, and repeated slashes
    /// and dot segments left in the path. Costs another hash for each such reading. Default: no.
    #[must_use]
    pub fn lenient(mut self, lenient: bool) -> Self {
        self.lenient = lenient;
        self
    }

    /// Accepts a request that says `UNSIGNED-PAYLOAD` in `X-Amz-Content-Sha256`: its body is **not protected**, anybody
    /// on the way may change it. Default: no, the hash of the body counts whatever the field says.
    #[must_use]
    pub fn allow_unsigned_payload(mut self, allow: bool) -> Self {
        self.unsigned_payload = allow;
        self
    }

    /// Accepts a presigned request whose `X-Amz-Security-Token` was appended after signing. The token is verified on
    /// its own in any case. Default: no.
    #[must_use]
    pub fn allow_unsigned_query_token(mut self, allow: bool) -> Self {
        self.unsigned_query_token = allow;
        self
    }

    /// Refuses a request that has an `x-amz-*` field which it does not sign, the security token excepted. AWS's
    /// documentation demands it of signers; not every client obeys. Default: no.
    #[must_use]
    pub fn require_signed_amz_headers(mut self, require: bool) -> Self {
        self.all_amz_signed = require;
        self
    }

    /// The Region.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The service.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Verifies a whole request at `now`.
    ///
    /// # Errors
    ///
    /// The first fault in AWS's order; see the [module docs](super).
    pub fn verify(
        &self,
        request: &RequestHead<'_>,
        payload: Payload,
        now: Timestamp,
        lookup: impl FnOnce(&str) -> Option<Credentials>,
    ) -> Result<CallerIdentity, SignatureError> {
        let (claims, now) = (self.read(request)?, now.unix_seconds());
        self.examine(request, &claims, now)?;
        let credentials =
            lookup(claims.credential.access_key()).ok_or_else(SignatureError::unknown_access_key)?;
        self.check_signature(request, &claims, &credentials, &payload)?;
        check_token(request, &claims, &credentials, now)?;
        Ok(credentials.proof().clone())
    }

    /// The canonical request and the string to sign of a request that carries a signature, as text.
    ///
    /// # Errors
    ///
    /// The signature's parameters cannot be read, or the request has no canonical form.
    pub fn canonical_texts(
        &self,
        request: &RequestHead<'_>,
        payload: Payload,
    ) -> Result<CanonicalTexts, SignatureError> {
        let claims = self.read(request)?;
        let mut text = Vec::new();
        write_canonical(&mut text, request, &claims, Reading::new(self.path))?;
        let scope = self.scope(&claims.time);
        Ok(payload
            .with_text(|payload| CanonicalTexts::new(text, payload, &claims.time.text, scope.as_bytes())))
    }

    /// Reads what a request says about its signature.
    pub(super) fn read<'a>(&self, request: &RequestHead<'a>) -> Result<Claims<'a>, SignatureError> {
        Claims::read(request, &self.scope)
    }

    /// Everything else that can be said before the access key is looked up.
    pub(super) fn examine(
        &self,
        request: &RequestHead<'_>,
        claims: &Claims<'_>,
        now: i64,
    ) -> Result<(), SignatureError> {
        self.check_time(claims, now)?;
        if !signs_host(&claims.signed_headers) {
            return Err(SignatureError::host_unsigned());
        }
        if self.all_amz_signed {
            check_amz_headers(request, &claims.signed_headers)?;
        }
        check_algorithm(claims, request.headers)?;
        self.check_scope(claims)?;
        check_escapes(request.query()).map_err(SignatureError::escape)
    }

    fn check_time(&self, claims: &Claims<'_>, now: i64) -> Result<(), SignatureError> {
        let signed = claims.time.unix_seconds;
        let valid_for = match claims.form {
            Form::Query { expires: Some(seconds) } => seconds as i64,
            Form::Query { expires: None } | Form::Header => self.skew,
        };
        if signed > now + self.skew {
            return Err(SignatureError::not_yet_current(&claims.time, now, self.skew));
        }
        if signed < now - valid_for {
            return Err(SignatureError::expired(&claims.time, now, valid_for));
        }
        Ok(())
    }

    /// Rows 9 and 10: five parts, and all of their faults at once.
    fn check_scope(&self, claims: &Claims<'_>) -> Result<(), SignatureError> {
        let scope = match &claims.credential {
            Credential::Expected { scope, .. } if scope[..DAY] == claims.time.text[..DAY] => return Ok(()),
            Credential::Expected { scope, .. } => {
                let date = std::str::from_utf8(&scope[..DAY]).unwrap_or_default();
                [date, &self.region, &self.service, TERMINATOR]
            }
            Credential::Text(text) if self.is_scoped(text, claims.time.day()) => return Ok(()),
            Credential::Text(text) => {
                let [_, date, region, service, terminator] = credential_parts(text)?;
                [date, region, service, terminator]
            }
        };
        Err(self.scope_faults(claims, scope))
    }

    /// Whether a credential is an access key and the expected scope.
    fn is_scoped(&self, credential: &str, day: &str) -> bool {
        let key =
            credential.strip_suffix(&*self.scope).and_then(|rest| rest.strip_suffix(day)?.strip_suffix('/'));
        key.is_some_and(|key| find(key.as_bytes(), [b'/']).is_none())
    }

    fn scope_faults(&self, claims: &Claims<'_>, scope: [&str; 4]) -> SignatureError {
        let [date, region, service, terminator] = scope;
        let (day, time) = (claims.time.day(), claims.time.as_str());
        let mut faults = Vec::new();
        if region != self.region {
            faults.push(format!("Credential should be scoped to a valid region, not '{region}'."));
        }
        if service != self.service {
            faults.push(format!("Credential should be scoped to correct service: '{}'.", self.service));
        }
        if terminator != TERMINATOR {
            faults.push(format!(
                "Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{terminator}'."
            ));
        }
        if date != day {
            faults.push(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: \
                 '{date}' != '{day}', from '{time}'."
            ));
        }
        SignatureError::scope(&faults)
    }

    /// The scope as it is expected: nothing of it comes from the request but the day.
    fn scope(&self, time: &SignedTime) -> String {
        [time.day(), &self.scope].concat()
    }

    /// Computes the signature that the request should have, and compares it in constant time with the one that was sent.
    /// The one that would be right is never given away; the one that is right comes back. The claims have been examined.
    pub(super) fn check_signature(
        &self,
        request: &RequestHead<'_>,
        claims: &Claims<'_>,
        credentials: &Credentials,
        payload: &Payload,
    ) -> Result<[u8; 32], SignatureError> {
        check_list(&claims.signed_headers).map_err(|_| SignatureError::mismatch())?;
        let day = claims.time.unix_seconds.div_euclid(86_400);
        let key = credentials.keys().get(credentials.secret(), claims.credential.scope(), day);
        let sign = |canonical: [u8; 32]| sign(&key, claims, &canonical);
        let canonical = hash_request(request, claims, Reading::new(self.path), payload)?;
        let signature = sign(canonical).or_else(|| {
            let mut others = self.other_readings(request, claims.is_presigned());
            others.find_map(|reading| sign(hash_request(request, claims, reading, payload).ok()?))
        });
        signature.ok_or_else(SignatureError::mismatch)
    }

    /// The readings that settings add, where they make a difference. Empty, and no allocation, by default.
    fn other_readings(&self, request: &RequestHead<'_>, is_presigned: bool) -> impl Iterator<Item = Reading> {
        let own = Reading::new(self.path);
        let query = request.query();
        let plus = self.lenient && query.contains('+');
        let slashes = self.lenient && self.path == PathRule::Normalised && has_slips(request.uri.path());
        let token = self.unsigned_query_token && is_presigned && parameter(query, SECURITY_TOKEN).is_some();
        let paths = [Some(own.path), slashes.then_some(PathRule::AsSent)];
        let pluses = [Some(own.plus), plus.then_some(Plus::Blank)];
        let tokens = [Some(false), token.then_some(true)];
        let all = paths.into_iter().flatten().flat_map(move |path| {
            pluses.into_iter().flatten().flat_map(move |plus| {
                tokens.into_iter().flatten().map(move |omits_token| Reading { path, plus, omits_token })
            })
        });
        all.filter(move |reading| *reading != own)
    }

    /// Whether the request says `UNSIGNED-PAYLOAD` and may.
    pub(super) fn is_unsigned(&self, request: &RequestHead<'_>) -> bool {
        if !self.unsigned_payload {
            return false;
        }
        let mut fields = request.headers.get_all(X_AMZ_CONTENT_SHA256).iter();
        match (fields.next(), fields.next()) {
            (Some(field), None) => field == UNSIGNED,
            (Some(_), Some(_)) => false,
            (None, _) => {
                let parameter = parameter(request.query(), "X-Amz-Content-Sha256");
                parameter.is_some_and(|pair| pair.value() == UNSIGNED)
            }
        }
    }

    /// The hash that the request names for its body, if it names one.
    pub(super) fn declared_hash(request: &RequestHead<'_>) -> Option<[u8; 32]> {
        let mut fields = request.headers.get_all(X_AMZ_CONTENT_SHA256).iter();
        let field = fields.next()?;
        if fields.next().is_some() { None } else { unhex(field.as_bytes()) }
    }

    /// The last second at which a signature made at `signed` could be used again in the header form.
    pub(super) fn check_replayable(&self, claims: &Claims<'_>, now: i64) -> Result<i64, SignatureError> {
        let until = claims.time.unix_seconds + self.skew;
        if now > until { Err(SignatureError::expired(&claims.time, now, self.skew)) } else { Ok(until) }
    }
}

fn check_name(what: &'static str, name: &str) -> Result<(), ConfigError> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !name.is_empty() && name.bytes().all(is_part) {
        return Ok(());
    }
    Err(ConfigError::new(what, name, "is empty or has other characters than A-Za-z0-9-_."))
}

/// Whether normalising would change the path.
fn has_slips(path: &str) -> bool {
    path.contains("//") || path.contains("/.")
}

/// The token is verified on its own.
const UNSIGNED_BY_RIGHT: &str = "x-amz-security-token";

fn check_amz_headers(request: &RequestHead<'_>, signed: &[u8]) -> Result<(), SignatureError> {
    let names = request.headers.keys().map(HeaderName::as_str);
    let mut unsigned = names
        .filter(|name| name.starts_with("x-amz-") && *name != UNSIGNED_BY_RIGHT)
        .filter(|name| !listed(signed).any(|listed| listed == name.as_bytes()));
    unsigned.next().map_or(Ok(()), |name| Err(SignatureError::header_unsigned(name)))
}

fn no_canonical_form(fault: CanonicalFault) -> SignatureError {
    match fault {
        CanonicalFault::AboveRoot => SignatureError::above_root(),
        CanonicalFault::Headers(_) => SignatureError::mismatch(),
    }
}

fn write_canonical(
    sink: &mut impl Sink,
    request: &RequestHead<'_>,
    claims: &Claims<'_>,
    reading: Reading,
) -> Result<(), SignatureError> {
    let is_presigned = claims.is_presigned();
    write_request(sink, request, &claims.fields, &claims.signed_headers, is_presigned, reading)
        .map_err(no_canonical_form)
}

/// Blocks of a canonical request that are compressed together: there is room for most, and longer ones take turns.
const USUAL_REQUEST: usize = 8;

fn hash_request(
    request: &RequestHead<'_>,
    claims: &Claims<'_>,
    reading: Reading,
    payload: &Payload,
) -> Result<[u8; 32], SignatureError> {
    let mut hash = Gathered::<USUAL_REQUEST>::new();
    write_canonical(&mut hash, request, claims, reading)?;
    payload.with_text(|text| hash.put(text));
    Ok(hash.finish())
}

/// Blocks of a string to sign with a Region and a service of common length.
const STRING_TO_SIGN: usize = 3;

/// The signature of a canonical request with this hash, if it is the one that was sent.
fn sign(key: &MacKey, claims: &Claims<'_>, canonical: &[u8; 32]) -> Option<[u8; 32]> {
    let Signature::Digest(sent) = &claims.signature else { return None };
    let computed = key.of::<STRING_TO_SIGN>(|text| {
        write_string_to_sign(text, &claims.time.text, claims.credential.scope());
        text.put(&hex(canonical));
    });
    is_same(&computed, sent).then_some(computed)
}

/// In constant time, eight bytes at a time.
fn is_same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    let words = |digest: &[u8; 32]| -> [u64; 4] {
        let words = digest.as_chunks::<8>().0;
        std::array::from_fn(|at| u64::from_ne_bytes(words[at]))
    };
    let pairs = words(one).into_iter().zip(words(other));
    pairs.fold(Choice::from(1), |same, (one, other)| same & one.ct_eq(&other)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_body_has_the_hash_of_no_body() {
        assert_eq!(Payload::EMPTY, Payload::of(b""));
        assert_eq!(Payload::EMPTY.with_text(<[u8]>::to_vec), hex(&sha256(b"")));
    }

    #[test]
    fn signatures_are_the_same_in_every_byte() {
        let one: [u8; 32] = std::array::from_fn(|index| index as u8);
        assert!(is_same(&one, &one));
        for index in 0..32 {
            let mut other = one;
            other[index] ^= 0x80;
            assert!(!is_same(&one, &other), "{index}");
        }
    }
}
