//! AWS's words, row by row, and the vectors V1 to V6 of the facts sheet.

use super::{ARN, Raw, SECRET};
use crate::{
    response::Cause,
    sigv4::{Credentials, SigV4Verifier, SignatureError},
};
use std::time::Duration;

/// 2026-11-22T12:34:56Z
const NOW: i64 = 1_795_350_896;
const HOST: &str = "a1b2c3d4e5.execute-api.us-east-1.amazonaws.com";
const SCOPE: &str = "AKIDEXAMPLE/20261122/us-east-1/execute-api/aws4_request";
const V1: &str = "/prod/pets/a%20b%2Fc?b=2&a=x%20y&a=1&empty";
const V1_SIGNATURE: &str = "07580aca0da35b15decc627f2527dc71432bf3076263cc6eaef30cb4d42102e5";
const TOKEN: &str = "FwoGZXIvYXdzEXAMPLETOKEN//////////==";

fn verifier() -> SigV4Verifier {
    SigV4Verifier::new("us-east-1", "execute-api").unwrap()
}

fn credentials(token: Option<(&str, i64)>) -> Credentials {
    let builder = Credentials::builder("AKIDEXAMPLE", SECRET, ARN);
    let token = token.into_iter();
    token.fold(builder, |builder, (token, end)| builder.session_token(token, end)).build().unwrap()
}

fn authorization(scope: &str, headers: &str, signature: &str) -> String {
    format!(
        "Authorization: AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={headers}, Signature={signature}"
    )
}

/// A request with a date, of the given target and further lines.
fn request(start: &str, lines: &[&str]) -> Raw {
    let lines = lines.join("\n");
    Raw::parse(
        format!("{start} HTTP/1.1\nHost: {HOST}\nX-Amz-Date: 20261122T123456Z\n{lines}\n\n").as_bytes(),
    )
}

fn v1() -> Raw {
    request(&format!("GET {V1}"), &[&authorization(SCOPE, "host;x-amz-date", V1_SIGNATURE)])
}

fn presigned(expires: &str) -> Raw {
    let query = format!(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}&X-Amz-Date=20261122T123456Z{expires}\
         &X-Amz-SignedHeaders=host\
         &X-Amz-Signature=474bce941fe28057494139664241e2b0efa31101649c7a5a101cfe9a7c7799db",
        SCOPE.replace('/', "%2F")
    );
    Raw::parse(format!("GET /prod/pets?{query} HTTP/1.1\nHost: {HOST}\n\n").as_bytes())
}

fn outcome(raw: &Raw, now: i64) -> Result<(), SignatureError> {
    raw.verify(&verifier(), now, &credentials(None)).unwrap().map(drop)
}

fn refused(raw: &Raw, cause: Cause, error_type: &str, message: &str) {
    let error = outcome(raw, NOW).unwrap_err();
    assert_eq!((error.cause(), error.error_type(), error.message()), (cause, error_type, message));
}

const INCOMPLETE: &str = "IncompleteSignatureException";
const INVALID: &str = "InvalidSignatureException";

#[test]
fn v1_to_v6_are_accepted() {
    let signed = |start: &str, lines: &[&str], headers: &str, signature: &str| {
        let authorization = authorization(SCOPE, headers, signature);
        let lines: Vec<_> = lines.iter().copied().chain([authorization.as_str()]).collect();
        request(start, &lines)
    };
    let mut v2 = signed(
        "POST /prod/pets",
        &["Content-Type: application/json", &format!("X-Amz-Security-Token: {TOKEN}")],
        "content-type;host;x-amz-date;x-amz-security-token",
        "61c588462bc0835de20ae09d6f9618f8a99b55a89e8fd466956f7c2871fded84",
    );
    v2.body = br#"{"name":"rex"}"#.to_vec();
    let with_token = credentials(Some((TOKEN, i64::MAX)));
    assert!(v2.verify(&verifier(), NOW, &with_token).unwrap().is_ok());
    v2.body = br#"{"name":"rey"}"#.to_vec();
    let error = v2.verify(&verifier(), NOW, &with_token).unwrap().unwrap_err();
    assert_eq!(error.cause(), Cause::SignatureMismatch, "S5");

    let dates = "host;x-amz-date";
    let v4 = "bbf10c0fce3758bb4de958e609e4ead706997851f102cec0905668a8903b6643";
    let v5 = "a013a32227d85b449e82c580f153e8d287b7020957f9be29bbd5bae077a62949";
    let v6 = "20c1aa7548d46ff3368c872d06c6e6f3fd7d6c97a932e2b1ec6fbed1947876d9";
    for raw in [
        v1(),
        presigned("&X-Amz-Expires=300"),
        signed("GET /prod//pets/./cats/../dogs/", &[], dates, v4),
        signed("GET /prod/pets", &["X-Custom:   a   b  \"c   d\"  "], "host;x-amz-date;x-custom", v5),
        signed("GET /?q=%E1%88%B4&Q=1&q=%2B&q=", &[], dates, v6),
    ] {
        assert_eq!(outcome(&raw, NOW), Ok(()), "{raw:?}");
    }
}

#[test]
fn five_minutes_both_ways() {
    assert_eq!((outcome(&v1(), NOW + 300), outcome(&v1(), NOW - 300)), (Ok(()), Ok(())));
    let late = outcome(&v1(), NOW + 301).unwrap_err();
    assert_eq!(late.cause(), Cause::SignatureExpired);
    assert_eq!(
        late.message(),
        "Signature expired: 20261122T123456Z is now earlier than 20261122T123457Z (20261122T123957Z - 5 min.)"
    );
    let early = outcome(&v1(), NOW - 301).unwrap_err();
    assert_eq!(early.cause(), Cause::SignatureNotYetCurrent);
    assert_eq!(
        early.message(),
        "Signature not yet current: 20261122T123456Z is still later than 20261122T123455Z (20261122T122955Z + 5 min.)"
    );
    let wide = verifier().clock_skew(Duration::from_millis(901_999));
    assert!(v1().verify(&wide, NOW + 901, &credentials(None)).unwrap().is_ok());
    let error = v1().verify(&wide, NOW + 902, &credentials(None)).unwrap().unwrap_err();
    assert!(error.message().ends_with(" - 901 sec.)"), "{error}");
}

#[test]
fn presigned_requests_live_as_long_as_they_say() {
    let raw = presigned("&X-Amz-Expires=300");
    assert_eq!(outcome(&raw, NOW + 300), Ok(()));
    assert_eq!(outcome(&raw, NOW + 301).unwrap_err().cause(), Cause::SignatureExpired);
    assert_eq!(outcome(&raw, NOW - 301).unwrap_err().cause(), Cause::SignatureNotYetCurrent);
    let absent = outcome(&presigned(""), NOW + 301).unwrap_err();
    assert_eq!(absent.cause(), Cause::SignatureExpired, "without a lifetime, the skew counts");
    let week = "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less \
        than 604800 seconds";
    for (value, message) in [
        ("604801", week),
        ("99999999999999999999999", week),
        ("0", "X-Amz-Expires must be greater than zero seconds"),
        ("-1", "X-Amz-Expires should be a number"),
        ("", "X-Amz-Expires should be a number"),
        ("%2B5", "X-Amz-Expires should be a number"),
        ("1e3", "X-Amz-Expires should be a number"),
    ] {
        refused(
            &presigned(&format!("&X-Amz-Expires={value}")),
            Cause::SignatureDateMalformed,
            INCOMPLETE,
            message,
        );
    }
    let mismatch = outcome(&presigned("&X-Amz-Expires=604800"), NOW + 604_800).unwrap_err();
    assert_eq!(mismatch.cause(), Cause::SignatureMismatch);
}

#[test]
fn rows_1_and_2_one_signature() {
    let both = request(
        "GET /?X-Amz-Algorithm=AWS4-HMAC-SHA256",
        &[&authorization(SCOPE, "host;x-amz-date", V1_SIGNATURE)],
    );
    let text = "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.";
    refused(&both, Cause::SignatureAmbiguous, INVALID, text);
    let missing = "MissingAuthenticationTokenException";
    refused(&request("GET /", &[]), Cause::SignatureMissing, missing, "Missing Authentication Token");
    let twice = authorization(SCOPE, "host;x-amz-date", V1_SIGNATURE);
    let twice = request(&format!("GET {V1}"), &[&twice, &twice]);
    refused(&twice, Cause::SignatureAmbiguous, INCOMPLETE, "Authorization header must not be repeated.");
}

#[test]
fn rows_3_and_4_what_the_header_lacks() {
    // base64 of the SHA-256 of `Bearer abc`, by another tool.
    let hash = "w1Xc6WwWEogNEZQP/dkBTThsJT4MNlKmzQanIm970rY=";
    let bearer = request("GET /", &["Authorization: Bearer abc"]);
    let error = outcome(&bearer, NOW).unwrap_err();
    assert_eq!(error.cause(), Cause::SignatureIncomplete);
    let start = "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and \
        encoded with Base64): '";
    assert_eq!(error.message(), format!("{start}{hash}'."));
    for bare in
        ["Authorization: abc", "Authorization: AWS4-HMAC-SHA256", "Authorization: AWS4-HMAC-SHA256 a=b, c"]
    {
        assert!(outcome(&request("GET /", &[bare]), NOW).unwrap_err().message().starts_with(start), "{bare}");
    }
    let mut no_date = request("GET /", &["Authorization: Basic dXNlcjpwYXNz="]);
    no_date.headers.retain(|(name, _)| name != "x-amz-date");
    let message = outcome(&no_date, NOW).unwrap_err().message().to_owned();
    assert!(
        message.starts_with(
            "Authorization header requires 'Credential' parameter. \
             Authorization header requires 'Signature' parameter. \
             Authorization header requires 'SignedHeaders' parameter. \
             Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. \
             (Hashed with SHA-256 and encoded with Base64) Authorization="
        ),
        "{message}"
    );
    assert!(!message.contains("dXNlcjpwYXNz"));
    let case =
        request("GET /", &["Authorization: AWS4-HMAC-SHA256 credential=a, SignedHeaders=b, Signature=c"]);
    let message = outcome(&case, NOW).unwrap_err().message().to_owned();
    assert!(
        message.starts_with("Authorization header requires 'Credential' parameter. (Hashed"),
        "{message}"
    );
}

#[test]
fn row_4q_what_the_query_lacks() {
    let raw =
        Raw::parse(format!("GET /?X-Amz-Algorithm=&X-Amz-Date=x HTTP/1.1\nHost: {HOST}\n\n").as_bytes());
    let text = "AWS query-string parameters must include 'X-Amz-Algorithm'. \
        AWS query-string parameters must include 'X-Amz-Credential'. \
        AWS query-string parameters must include 'X-Amz-Signature'. \
        AWS query-string parameters must include 'X-Amz-SignedHeaders'. \
        Re-examine the query-string parameters.";
    refused(&raw, Cause::SignatureIncomplete, INCOMPLETE, text);
}

#[test]
fn row_5_dates() {
    for (date, shown) in [
        ("X-Amz-Date: 2026-11-22T12:34:56Z", "2026-11-22T12:34:56Z"),
        ("X-Amz-Date: 20261122T123456Z\nX-Amz-Date: 20261122T123456Z", "20261122T123456Z,20261122T123456Z"),
        ("Date: yesterday", "yesterday"),
        ("X-Amz-Date: yesterday\nDate: Sun, 22 Nov 2026 12:34:56 GMT", "yesterday"),
    ] {
        let authorization = authorization(SCOPE, "host", V1_SIGNATURE);
        let raw = Raw::parse(format!("GET / HTTP/1.1\nHost: {HOST}\n{date}\n{authorization}\n\n").as_bytes());
        let text = format!(
            "Date must be in ISO-8601 'basic format'. Got '{shown}'. See http://en.wikipedia.org/wiki/ISO_8601"
        );
        refused(&raw, Cause::SignatureDateMalformed, INCOMPLETE, &text);
    }
}

#[test]
fn rows_7_to_10_host_algorithm_credential_and_scope() {
    let signed =
        |scope: &str, headers: &str| request("GET /", &[&authorization(scope, headers, V1_SIGNATURE)]);
    let host = "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.";
    refused(&signed("not/five", "x-amz-date"), Cause::SignatureHostUnsigned, INVALID, host);
    refused(&signed(SCOPE, "Host;x-amz-date"), Cause::SignatureHostUnsigned, INVALID, host);

    let other =
        authorization(SCOPE, "host", V1_SIGNATURE).replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256");
    let message = outcome(&request("GET /", &[&other]), NOW).unwrap_err().message().to_owned();
    let start = "Unsupported AWS 'algorithm': 'AWS4-ECDSA-P256-SHA256' (only AWS4-HMAC-SHA256 for now). (Hashed with ";
    assert!(message.starts_with(start), "{message}");

    for credential in ["AKIDEXAMPLE", "a/b/c/d", "a/b/c/d/e/f"] {
        let text = format!(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got \
             '{credential}'"
        );
        refused(&signed(credential, "host"), Cause::SignatureIncomplete, INCOMPLETE, &text);
    }
    for (scope, text) in [
        (
            "20261122/us-west-2/s3/aws4_request",
            "Credential should be scoped to a valid region, not 'us-west-2'. \
             Credential should be scoped to correct service: 'execute-api'.",
        ),
        (
            "b/us-east-1/execute-api/e",
            "Credential should be scoped with a valid terminator: 'aws4_request', not 'e'. \
             Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: \
             'b' != '20261122', from '20261122T123456Z'.",
        ),
    ] {
        refused(&signed(&format!("AKIDEXAMPLE/{scope}"), "host"), Cause::SignatureScope, INVALID, text);
    }
}

#[test]
fn rows_11_and_12_unknown_and_wrong() {
    let unknown = SCOPE.replace("AKIDEXAMPLE", "AKIDOTHER");
    let raw = request("GET /", &[&authorization(&unknown, "host", "garbage")]);
    let text = "The security token included in the request is invalid.";
    refused(&raw, Cause::AccessKeyUnknown, "UnrecognizedClientException", text);
    let mismatch = "The request signature we calculated does not match the signature you provided. Check your AWS \
        Secret Access Key and signing method. Consult the service documentation for details.";
    let upper = V1_SIGNATURE.to_uppercase();
    for (headers, signature) in [
        ("host;x-amz-date", V1_SIGNATURE.replacen('0', "1", 1).as_str()),
        ("host;x-amz-date", &upper),
        ("host;x-amz-date", "0758"),
        ("host;x-amz-date", ""),
        ("host;x-amz-date;x-absent", V1_SIGNATURE),
        ("x-amz-date;host", V1_SIGNATURE),
        ("host;host;x-amz-date", V1_SIGNATURE),
        ("host;X-Amz-Date", V1_SIGNATURE),
        ("host;;x-amz-date", V1_SIGNATURE),
    ] {
        let raw = request(&format!("GET {V1}"), &[&authorization(SCOPE, headers, signature)]);
        refused(&raw, Cause::SignatureMismatch, INVALID, mismatch);
    }
}

#[test]
fn rows_13_and_14_tokens() {
    let with_token = |line: &[&str], token: Option<(&str, i64)>| {
        let mut raw = v1();
        for line in line {
            raw.headers.push(super::header(line.as_bytes()));
        }
        raw.verify(&verifier(), NOW, &credentials(token))
            .unwrap()
            .map(drop)
            .map_err(|error| error.message().to_owned())
    };
    let sent = format!("X-Amz-Security-Token: {TOKEN}");
    let invalid = Err("The security token included in the request is invalid".to_owned());
    assert_eq!(with_token(&[&sent], Some((TOKEN, NOW + 1))), Ok(()), "unsigned, and verified on its own");
    assert_eq!(with_token(&[], Some((TOKEN, NOW + 1))), invalid);
    assert_eq!(with_token(&[&sent], None), invalid);
    assert_eq!(with_token(&[&sent], Some(("other", NOW + 1))), invalid);
    assert_eq!(with_token(&[&sent, &sent], Some((TOKEN, NOW + 1))), invalid);
    let expired = Err("The security token included in the request is expired".to_owned());
    assert_eq!(with_token(&[&sent], Some((TOKEN, NOW))), expired);
}

#[test]
fn escapes_that_are_none() {
    for (query, text) in [
        ("a=%2", "Incomplete trailing escape % sequence"),
        ("a=%zz", "Illegal hex character in escape % pattern: %zz"),
    ] {
        let raw =
            request(&format!("GET /?{query}"), &[&authorization(SCOPE, "host;x-amz-date", V1_SIGNATURE)]);
        refused(&raw, Cause::SignatureIncomplete, INCOMPLETE, text);
    }
}

#[test]
fn only_settings_open_what_is_closed() {
    let mut unsigned = v1();
    unsigned.headers.push(super::header(b"X-Amz-Meta: 1"));
    assert_eq!(outcome(&unsigned, NOW), Ok(()));
    let strict = verifier().require_signed_amz_headers(true);
    let error = unsigned.verify(&strict, NOW, &credentials(None)).unwrap().unwrap_err();
    assert_eq!(error.cause(), Cause::SignatureHeaderUnsigned);
    assert!(v1().verify(&strict, NOW, &credentials(None)).unwrap().is_ok());
    assert_eq!(SigV4Verifier::new("us/east", "s").unwrap_err().value(), "us/east");
    assert_eq!(SigV4Verifier::new("us-east-1", "").unwrap_err().location(), "service");
}
