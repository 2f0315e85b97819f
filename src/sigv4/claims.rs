//! What a request says about its signature: the `Authorization` field, or the query of a presigned request.

use super::{
    authorization::{Authorization, Credential, Signature},
    canonical::{ALGORITHM, RequestHead, SECURITY_TOKEN, SIGNATURE, pairs, parameter},
    date::SignedTime,
    encode::pieces,
    error::SignatureError,
    fields::{Fields, Found},
};
#[cfg(feature = "stage")]
use crate::response::{Cause, GatewayError};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, DATE},
};
use std::borrow::Cow;

const X_AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
pub(super) const X_AMZ_SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// Where the signature stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Header,
    /// Presigned, and how long it is good for.
    Query {
        expires: Option<u64>,
    },
}

/// A signature and what it claims, not yet believed.
#[derive(Clone, Debug)]
pub(super) struct Claims<'a> {
    pub(super) fields: Fields<'a>,
    pub(super) form: Form,
    pub(super) time: SignedTime,
    pub(super) algorithm: Cow<'a, str>,
    pub(super) credential: Credential<'a>,
    pub(super) signed_headers: Cow<'a, [u8]>,
    pub(super) signature: Signature,
}

impl<'a> Claims<'a> {
    /// Rows 1 to 5 of AWS's order: one form, all parameters, a date. `scope` is what the expected scope ends with.
    pub(super) fn read(request: &RequestHead<'a>, scope: &str) -> Result<Self, SignatureError> {
        let fields = Fields::of(request.headers);
        let presigned = parameter(request.query(), "X-Amz-Algorithm").is_some();
        match (fields.authorization, presigned) {
            (Found::Absent, true) => from_query(request.query(), fields),
            (Found::Absent, false) => Err(SignatureError::missing()),
            (_, true) => Err(SignatureError::header_and_query()),
            (Found::Repeated, false) => Err(SignatureError::repeated_header()),
            (Found::Once(field), false) => from_header(field, fields, request.headers, scope),
        }
    }

    pub(super) fn is_presigned(&self) -> bool {
        self.form != Form::Header
    }
}

/// What an unknown route tells a request whose `Authorization` field is no complete signature (rows 3 and 4).
#[cfg(feature = "stage")]
pub(crate) fn unreadable(request: &RequestHead<'_>) -> Option<GatewayError> {
    if !request.headers.contains_key(AUTHORIZATION) {
        return None;
    }
    let error = Claims::read(request, "").err()?;
    (error.cause() == Cause::SignatureIncomplete).then(|| error.of_no_route())
}

fn from_header<'a>(
    field: &'a HeaderValue,
    fields: Fields<'a>,
    headers: &'a HeaderMap,
    scope: &str,
) -> Result<Claims<'a>, SignatureError> {
    let found = Authorization::read(field.as_bytes(), scope)
        .map_err(|()| SignatureError::no_equal_sign(field.as_bytes()))?;
    let date = date_field(&fields, headers);
    match (found.credential, found.signed_headers, found.signature, &date) {
        (Some(credential), Some(signed_headers), Some(signature), Some(date)) => Ok(Claims {
            fields,
            form: Form::Header,
            time: read_date(date)?,
            algorithm: found.algorithm.into(),
            credential,
            signed_headers: signed_headers.into(),
            signature,
        }),
        (credential, signed_headers, signature, date) => {
            let found = Authorization { credential, signed_headers, signature, ..found };
            let missing = found.missing(date.is_none());
            Err(SignatureError::incomplete_header(&missing, field.as_bytes()))
        }
    }
}

/// `X-Amz-Date`, or else `Date`. A repeated field is read as one list, which is no date.
fn date_field<'a>(fields: &Fields<'a>, headers: &HeaderMap) -> Option<Cow<'a, [u8]>> {
    match (fields.amz_date, fields.date) {
        (Found::Once(field), _) | (Found::Absent, Found::Once(field)) => Some(field.as_bytes().into()),
        (Found::Repeated, _) => Some(list(headers, &X_AMZ_DATE).into()),
        (Found::Absent, Found::Repeated) => Some(list(headers, &DATE).into()),
        (Found::Absent, Found::Absent) => None,
    }
}

fn list(headers: &HeaderMap, name: &HeaderName) -> Vec<u8> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b',')
}

fn read_date(text: &[u8]) -> Result<SignedTime, SignatureError> {
    let time = SignedTime::parse_basic(text)
        .or_else(|| SignedTime::parse_http_date(std::str::from_utf8(text).ok()?));
    time.ok_or_else(|| SignatureError::date(&String::from_utf8_lossy(text)))
}

/// The parameters of a presigned request, in the order in which AWS complains about them.
const REQUIRED: [&str; 5] =
    ["X-Amz-Algorithm", "X-Amz-Credential", SIGNATURE, "X-Amz-SignedHeaders", "X-Amz-Date"];

fn from_query<'a>(query: &'a str, fields: Fields<'a>) -> Result<Claims<'a>, SignatureError> {
    let mut found: [Option<Cow<'_, str>>; 5] = Default::default();
    let mut expires = None;
    for pair in pairs(query) {
        // Of a repeated name the first counts.
        if let Some(at) = REQUIRED.iter().position(|name| pair.is(name)) {
            found[at].get_or_insert_with(|| pair.value());
        } else if pair.is("X-Amz-Expires") {
            expires.get_or_insert_with(|| pair.value());
        }
    }
    let found = found.map(|value| value.filter(|value| !value.is_empty()));
    let [Some(algorithm), Some(credential), Some(signature), Some(signed_headers), Some(date)] = found else {
        let missing = REQUIRED.iter().zip(&found).filter(|(_, value)| value.is_none());
        let missing: Vec<_> = missing.map(|(name, _)| *name).collect();
        return Err(SignatureError::incomplete_query(&missing));
    };
    let time = SignedTime::parse_basic(date.as_bytes()).ok_or_else(|| SignatureError::date(&date))?;
    let expires = expires.as_deref().map(read_expires).transpose()?;
    Ok(Claims {
        fields,
        form: Form::Query { expires },
        time,
        algorithm,
        credential: Credential::Text(credential),
        signed_headers: into_bytes(signed_headers),
        signature: Signature::new(&signature),
    })
}

fn into_bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => text.as_bytes().into(),
        Cow::Owned(text) => text.into_bytes().into(),
    }
}

/// 7 days.
const LONGEST: u64 = 604_800;

fn read_expires(text: &str) -> Result<u64, SignatureError> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number {
        return Err(SignatureError::expires_not_a_number());
    }
    // A number too long to count is out of range as well.
    let seconds = text.parse().unwrap_or(u64::MAX);
    if (1..=LONGEST).contains(&seconds) {
        Ok(seconds)
    } else {
        Err(SignatureError::expires_out_of_range(seconds))
    }
}

/// The session token: in the query of a presigned request, or in a header field. `Err` where it is repeated.
pub(super) fn session_token<'a>(
    request: &RequestHead<'a>,
    claims: &Claims<'a>,
) -> Result<Option<Cow<'a, str>>, ()> {
    let in_query = match claims.form {
        Form::Header => None,
        Form::Query { .. } => parameter(request.query(), SECURITY_TOKEN).map(|pair| pair.value()),
    };
    match (claims.fields.security_token, in_query) {
        (Found::Absent, in_query) => Ok(in_query),
        (Found::Once(field), None) => Ok(Some(String::from_utf8_lossy(field.as_bytes()))),
        (Found::Once(_), Some(_)) | (Found::Repeated, _) => Err(()),
    }
}

/// The five parts of a credential: access key, date, region, service, terminator.
pub(super) fn credential_parts<'a>(credential: &'a str) -> Result<[&'a str; 5], SignatureError> {
    let mut parts = pieces(credential, [b'/']);
    let five: [Option<&'a str>; 5] = std::array::from_fn(|_| parts.next());
    match (five, parts.next()) {
        ([Some(key), Some(date), Some(region), Some(service), Some(terminator)], None) => {
            Ok([key, date, region, service, terminator])
        }
        _ => Err(SignatureError::credential(credential)),
    }
}

/// Row 8: one algorithm.
pub(super) fn check_algorithm(claims: &Claims<'_>, headers: &HeaderMap) -> Result<(), SignatureError> {
    if claims.algorithm == ALGORITHM {
        return Ok(());
    }
    let header = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    Err(SignatureError::algorithm(&claims.algorithm, header))
}
