//! Whatever a signer signs is accepted, and nothing that was changed on the way.

use super::{ARN, Raw, SECRET};
use crate::sigv4::{CanonicalTexts, Credentials, Payload, RequestHead, SigV4Verifier};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign},
    sign::v4,
};
use http::HeaderName;
use proptest::prelude::*;
use std::time::{Duration, UNIX_EPOCH};

const NOW: i64 = 1_795_350_896;
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

fn verifier() -> SigV4Verifier {
    SigV4Verifier::new("eu-west-1", "execute-api").unwrap()
}

fn credentials() -> Credentials {
    Credentials::builder("AKIDEXAMPLE", SECRET, ARN).build().unwrap()
}

/// Has AWS's own signer sign: in header fields or in the query.
fn signed(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8], presign: bool) -> Raw {
    let identity = aws_credential_types::Credentials::new("AKIDEXAMPLE", SECRET, None, None, "test").into();
    let mut settings = SigningSettings::default();
    if presign {
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(Duration::from_secs(300));
    }
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("eu-west-1")
        .name("execute-api")
        .time(UNIX_EPOCH + Duration::from_secs(NOW as u64))
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let uri = format!("http://api.example:8080{target}");
    let host = [("host", "api.example:8080")];
    let fields = headers.iter().copied().chain(host);
    let request = SignableRequest::new(method, uri.clone(), fields, SignableBody::Bytes(body)).unwrap();
    let (instructions, _) = sign(request, &params).unwrap().into_parts();
    let mut request = http::Request::builder().method(method).uri(uri);
    for (name, value) in headers.iter().copied().chain(host) {
        request = request.header(name, value);
    }
    let mut request = request.body(()).unwrap();
    instructions.apply_to_request_http1x(&mut request);
    let headers = request.headers().iter().map(|(name, value)| (name.clone(), value.as_bytes().to_vec()));
    Raw {
        method: request.method().clone(),
        target: request.uri().path_and_query().unwrap().as_str().as_bytes().to_vec(),
        headers: headers.collect(),
        body: body.to_vec(),
    }
}

/// A signed request of either form.
pub(super) fn example(presigned: bool) -> Raw {
    signed("GET", "/pets/a%20b?limit=10&name=x%2Fy", &[("x-custom", "a  b")], b"", presigned)
}

/// What a request says that it has signed.
pub(super) fn texts(raw: &Raw) -> CanonicalTexts {
    let (uri, headers) = (raw.uri().unwrap(), raw.header_map().unwrap());
    let head = RequestHead { method: &raw.method, uri: &uri, headers: &headers };
    verifier().canonical_texts(&head, Payload::of(&raw.body)).unwrap()
}

pub(super) fn is_accepted(raw: &Raw) -> bool {
    raw.verify(&verifier(), NOW, &credentials()).is_some_and(|outcome| outcome.is_ok())
}

fn target() -> impl Strategy<Value = String> {
    let segment = "([a-zA-Z0-9_~:@!$&'()*,;=-]|%20|%2F|%E1%88%B4|\\.[a-z]){0,4}[a-z]";
    let name = "([a-zA-Z0-9_.~-]|%20|%2B|%26|%3D){0,4}";
    let path = proptest::collection::vec(segment, 0..4).prop_map(|parts| format!("/{}", parts.join("/")));
    let pairs = proptest::collection::vec((name, name), 0..20).prop_map(|pairs| {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("&")
    });
    (path, pairs).prop_map(|(path, query)| if query.is_empty() { path } else { format!("{path}?{query}") })
}

/// The places at which one byte of a request can be changed.
enum Place {
    Target(usize),
    Header(usize, usize),
    Body(usize),
}

fn places(raw: &Raw) -> Vec<Place> {
    let signed = raw.header("authorization").unwrap_or_default();
    // Every field that is signed, and the signature itself; nothing else is protected, nor claims to be.
    let is_protected = |name: &HeaderName| {
        name == "authorization"
            || name == "host"
            || signed.contains(&format!(";{name}"))
            || signed.contains(&format!("={name}"))
    };
    let targets = (0..raw.target.len()).map(Place::Target);
    let fields = raw.headers.iter().enumerate().filter(|(_, (name, _))| is_protected(name));
    let fields =
        fields.flat_map(|(field, (_, value))| (0..value.len()).map(move |at| Place::Header(field, at)));
    targets.chain(fields).chain((0..raw.body.len()).map(Place::Body)).collect()
}

/// The request with one byte changed; `None` where both spellings are one by the documented rule: the case of an escape's
/// digit in the query, which is decoded and encoded again, and commas and spaces between `Authorization`'s parameters
/// (the space behind the algorithm is none of them).
fn altered(raw: &Raw, place: &Place, to: u8) -> Option<Raw> {
    let mut altered = raw.clone();
    let byte = match place {
        Place::Target(at) => &mut altered.target[*at],
        Place::Header(field, at) => &mut altered.headers[*field].1[*at],
        Place::Body(at) => &mut altered.body[*at],
    };
    let was = std::mem::replace(byte, to);
    let is_digit_s_case = was.is_ascii_hexdigit() && was.eq_ignore_ascii_case(&to);
    let is_separator = |byte: u8| matches!(byte, b' ' | b',');
    let follows_algorithm = |at: usize| at > ALGORITHM.len();
    let means_nothing = match place {
        Place::Target(at) => is_digit_s_case && in_escape_of_query(&raw.target, *at),
        Place::Header(field, at) => {
            let in_parameters = raw.headers[*field].0 == "authorization" && follows_algorithm(*at);
            in_parameters && is_separator(was) && is_separator(to)
        }
        Place::Body(_) => false,
    };
    (was != to && !means_nothing).then_some(altered)
}

fn in_escape_of_query(target: &[u8], at: usize) -> bool {
    let question = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
    at > question && target[at.saturating_sub(2)..at].contains(&b'%')
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_aws_sigv4_signs_is_accepted(
        method in "GET|POST|PUT|DELETE|PATCH",
        target in target(),
        value in "[a-z\"]{0,5} {0,3}[a-z]{0,5}",
        body in proptest::collection::vec(any::<u8>(), 0..64),
        presign: bool,
    ) {
        let raw = signed(&method, &target, &[("x-custom", &value), ("content-type", "text/plain")], &body, presign);
        let outcome = raw.verify(&verifier(), NOW, &credentials());
        prop_assert!(outcome.as_ref().is_some_and(Result::is_ok), "{:?} {:?}", raw, outcome);
    }

    #[test]
    fn one_changed_byte_is_refused(target in target(), body in "[a-z]{1,8}", presign: bool, pick: prop::sample::Index, to: u8) {
        let raw = signed("POST", &target, &[("x-custom", "a b")], body.as_bytes(), presign);
        prop_assert!(is_accepted(&raw));
        let places = places(&raw);
        let place = &places[pick.index(places.len())];
        if let Some(altered) = altered(&raw, place, to) {
            prop_assert!(!is_accepted(&altered), "{:?}\n{:?}", raw, altered);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever stands in the field, the query and the date: an answer, and never yes.
    #[test]
    fn garbage_is_refused_and_nothing_panics(
        field in "(AWS4-HMAC-SHA256 )?((Credential|SignedHeaders|Signature|[A-Za-z]{0,3})=?[ -~]{0,12}[, ]{0,2}){0,5}",
        credential in "(AKIDEXAMPLE/20261122/eu-west-1/execute-api/aws4_request|[a-z/]{0,9})",
        query in "((X-Amz-(Algorithm|Credential|Date|Expires|SignedHeaders|Signature|Security-Token)|a)=?(AWS4-HMAC-SHA256|20261122T123456Z|host|[a-f0-9%+]{0,9})&?){0,8}",
        date in "(20261122T123456Z|[0-9TZ]{0,16}|[ -~]{0,20})",
        with_field: bool,
    ) {
        let field = field.replace("Credential=", &format!("Credential={credential},"));
        let mut raw = Raw::parse(format!("GET /a?{query} HTTP/1.1\nHost: h\nX-Amz-Date: {date}\n\n").as_bytes());
        if with_field {
            raw.headers.push((http::header::AUTHORIZATION, field.into_bytes()));
        }
        for lenient in [false, true] {
            let verifier = verifier().lenient(lenient).allow_unsigned_query_token(lenient);
            if let Some(outcome) = raw.verify(&verifier, NOW, &credentials()) {
                prop_assert!(!outcome.unwrap_err().message().is_empty());
            }
        }
    }
}

/// What the tests of changed bytes leave out, each for itself.
#[test]
fn the_two_spellings_that_are_one() {
    let raw = signed("GET", "/a%2fb?name=x%2Fy", &[], b"", false);
    let respelled = |from: &str, to: &str| {
        let field = raw.headers.iter().position(|(name, _)| name == "authorization").unwrap();
        let (mut changed, replace) = (raw.clone(), |text: &[u8]| {
            String::from_utf8(text.to_vec()).unwrap().replace(from, to).into_bytes()
        });
        changed.target = replace(&raw.target);
        changed.headers[field].1 = replace(&raw.headers[field].1);
        assert_ne!((&changed.target, &changed.headers), (&raw.target, &raw.headers), "{from}");
        is_accepted(&changed)
    };
    assert!(respelled("x%2Fy", "x%2fy"), "parameters are decoded");
    assert!(!respelled("/a%2fb", "/a%2Fb"), "the path is signed as it was received");
    assert!(respelled(", SignedHeaders", " ,SignedHeaders") && respelled(", Signature", "  Signature"));
    for to in ["AWS4-HMAC-SHA256,Credential", "AWS4-HMAC-SHA256Credential"] {
        assert!(!respelled("AWS4-HMAC-SHA256 Credential", to), "{to}");
    }
}

#[test]
fn every_byte_with_every_bit_flipped_is_refused() {
    for presign in [false, true] {
        let target = "/prod/a%20b/%2Fc/@connections/abc=?b=2&a=x%20y&a=1&empty=&plus=%2B";
        let raw = signed("POST", target, &[("x-custom", "a b")], b"{\"name\":\"rex\"}", presign);
        assert!(is_accepted(&raw));
        let mut judged = 0;
        for place in places(&raw) {
            let was = match &place {
                Place::Target(at) => raw.target[*at],
                Place::Header(field, at) => raw.headers[*field].1[*at],
                Place::Body(at) => raw.body[*at],
            };
            for bit in 0..8 {
                if let Some(altered) = altered(&raw, &place, was ^ (1 << bit)) {
                    assert!(!is_accepted(&altered), "{altered:?}");
                    judged += 1;
                }
            }
        }
        assert!(judged > 2000, "{judged}");
    }
}
