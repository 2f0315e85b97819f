//! The parameters of an `Authorization` field.

use super::{
    canonical::ALGORITHM,
    encode::{find, pieces, unhex},
};
use std::borrow::Cow;

/// As far as they are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Authorization<'a> {
    pub(super) algorithm: &'a str,
    pub(super) credential: Option<Credential<'a>>,
    pub(super) signed_headers: Option<&'a [u8]>,
    pub(super) signature: Option<Signature>,
}

/// Which key was used: `access key/day/region/service/aws4_request`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Credential<'a> {
    /// Of the expected Region and service. `scope` begins with the eight digits of the day.
    Expected {
        access_key: &'a str,
        scope: &'a [u8],
    },
    Text(Cow<'a, str>),
}

impl Credential<'_> {
    /// What stands before the first slash.
    pub(super) fn access_key(&self) -> &str {
        match self {
            Self::Expected { access_key, .. } => access_key,
            Self::Text(text) => text.split_once('/').map_or(text, |(access_key, _)| access_key),
        }
    }

    /// What follows it.
    pub(super) fn scope(&self) -> &[u8] {
        match self {
            Self::Expected { scope, .. } => scope,
            Self::Text(text) => text.split_once('/').map_or(b"", |(_, scope)| scope.as_bytes()),
        }
    }
}

/// What was sent as the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signature {
    Digest([u8; 32]),
    /// Something else than 64 digits in lower case, which fits no request.
    Other,
}

impl Signature {
    pub(super) fn new(text: &str) -> Self {
        unhex(text.as_bytes()).map_or(Self::Other, Self::Digest)
    }
}

impl<'a> Authorization<'a> {
    /// `Err` where a piece is no parameter. `scope` is what the scope of most clients ends with.
    pub(super) fn read(field: &'a [u8], scope: &str) -> Result<Self, ()> {
        match Self::usual(field, scope) {
            Some(read) => Ok(read),
            None => Self::any(field),
        }
    }

    /// Nearly every client writes the parameters in this order and with these separators, and nearly all of them sign
    /// for one scope. What is read here means what [`Self::any`] would read.
    fn usual(field: &'a [u8], scope: &str) -> Option<Self> {
        let rest = field.strip_prefix(ALGORITHM.as_bytes())?.strip_prefix(b" Credential=")?;
        let (access_key, rest) = until(b'/', rest)?;
        let access_key = std::str::from_utf8(access_key).ok()?;
        let (day, _) =
            rest.split_first_chunk::<DAY>().filter(|(day, _)| day.iter().all(u8::is_ascii_digit))?;
        let (scope, rest) = rest
            .split_at_checked(day.len() + scope.len())
            .filter(|(own, _)| own[DAY..] == *scope.as_bytes())?;
        let (signed_headers, rest) = until(b',', rest.strip_prefix(b", SignedHeaders=")?)?;
        let signature = unhex(rest.strip_prefix(b" Signature=")?)?;
        Some(Self {
            algorithm: ALGORITHM,
            credential: Some(Credential::Expected { access_key, scope }),
            signed_headers: Some(signed_headers),
            signature: Some(Signature::Digest(signature)),
        })
    }

    /// Pieces between commas and spaces, each with `=`; of a repeated name the last counts, unknown ones do not.
    fn any(field: &'a [u8]) -> Result<Self, ()> {
        let text = ascii(field).ok_or(())?.trim_ascii();
        // A bare token is no algorithm without parameters: AWS reads it as a parameter.
        let (algorithm, rest) = match find(text.as_bytes(), [b' ']) {
            Some(blank) => (&text[..blank], &text[blank + 1..]),
            None => ("", text),
        };
        let mut found = Self { algorithm, ..Self::default() };
        pieces(rest, [b',', b' ']).try_for_each(|piece| found.note(piece))?;
        Ok(found)
    }

    fn note(&mut self, piece: &'a str) -> Result<(), ()> {
        if piece.is_empty() {
            return Ok(());
        }
        let equals = find(piece.as_bytes(), [b'=']).ok_or(())?;
        let (name, value) = (&piece[..equals], &piece[equals + 1..]);
        match name {
            "Credential" => self.credential = Some(Credential::Text(value.into())),
            "SignedHeaders" => self.signed_headers = Some(value.as_bytes()),
            "Signature" => self.signature = Some(Signature::new(value)),
            _ => {}
        }
        Ok(())
    }

    /// Sentences about what is missing, the date with it.
    pub(super) fn missing(&self, no_date: bool) -> Vec<&'static str> {
        let checks = [
            (self.credential.is_none(), "Authorization header requires 'Credential' parameter."),
            (self.signature.is_none(), "Authorization header requires 'Signature' parameter."),
            (self.signed_headers.is_none(), "Authorization header requires 'SignedHeaders' parameter."),
            (no_date, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."),
        ];
        checks.into_iter().filter(|check| check.0).map(|check| check.1).collect()
    }
}

/// Digits of a day.
pub(super) const DAY: usize = 8;

/// What stands before `end` and before every separator, all of it ASCII, and what follows `end`.
fn until(end: u8, text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (value, rest) = text.split_at(find(text, [end, b',', b' '])?);
    Some((Some(value).filter(|value| value.is_ascii())?, rest.strip_prefix(&[end])?))
}

/// What `HeaderValue::to_str` gives, several bytes at a time: of control characters only tabs get into a field.
fn ascii(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIGNATURE: &str = "07580aca0da35b15decc627f2527dc71432bf3076263cc6eaef30cb4d42102e5";
    const SCOPE: &str = "/us-east-1/execute-api/aws4_request";

    fn field(signature: &str) -> String {
        let credential = format!("AKID/20261122{SCOPE}");
        format!("{ALGORITHM} Credential={credential}, SignedHeaders=host;x-amz-date, Signature={signature}")
    }

    fn read(field: &str) -> Result<Authorization<'_>, ()> {
        Authorization::read(field.as_bytes(), SCOPE)
    }

    fn usual(field: &str) -> Option<Authorization<'_>> {
        Authorization::usual(field.as_bytes(), SCOPE)
    }

    fn any(field: &str) -> Result<Authorization<'_>, ()> {
        Authorization::any(field.as_bytes())
    }

    /// What the parameters mean, however they were read.
    fn meaning(read: Result<Authorization<'_>, ()>) -> Option<impl PartialEq + std::fmt::Debug> {
        let read = read.ok()?;
        let credential = read.credential.map(|credential| {
            (credential.access_key().to_owned(), String::from_utf8(credential.scope().to_vec()).unwrap())
        });
        let signed_headers = read.signed_headers.map(<[u8]>::to_owned);
        Some((read.algorithm.to_owned(), credential, signed_headers, read.signature))
    }

    #[test]
    fn the_usual_form_is_read_by_its_places() {
        let text = field(SIGNATURE);
        let read = usual(&text).unwrap();
        assert_eq!(
            read.credential,
            Some(Credential::Expected {
                access_key: "AKID",
                scope: b"20261122/us-east-1/execute-api/aws4_request"
            })
        );
        assert_eq!(read.signed_headers, Some(&b"host;x-amz-date"[..]));
        assert_eq!(read.signature, Some(Signature::new(SIGNATURE)));
        assert_eq!(meaning(Ok(read)), meaning(any(&text)));
    }

    #[test]
    fn other_forms_are_read_piece_by_piece() {
        let text = field(SIGNATURE);
        for other in [
            text.replace(", ", ","),
            text.replace(", ", " ,  "),
            format!(" {text} "),
            format!("{text}, Other=1"),
            text.replace("Credential", "Signature=1,Credential"),
            format!(
                "{ALGORITHM} Signature={SIGNATURE}, SignedHeaders=host;x-amz-date, Credential=AKID/20261122{SCOPE}"
            ),
        ] {
            assert_eq!(usual(&other), None, "{other}");
            assert_eq!(meaning(read(&other)), meaning(read(&text)), "{other}");
        }
        for elsewhere in [
            text.replace("us-east-1", "eu-west-1"),
            text.replace("20261122", "2026112x"),
            text.replace("AKID", "A/K"),
        ] {
            assert_eq!(usual(&elsewhere), None, "{elsewhere}");
        }
        for broken in
            ["a b", "AWS4-HMAC-SHA256", &text.replace("AKID", "A ID"), &text.replace("AKID", "\u{e9}")]
        {
            assert_eq!(read(broken), Err(()), "{broken}");
        }
    }

    #[test]
    fn a_signature_is_64_digits_in_lower_case() {
        for other in ["", "0", &SIGNATURE.to_uppercase(), &SIGNATURE[1..], &format!("{SIGNATURE}0")] {
            assert_eq!(read(&field(other)).unwrap().signature, Some(Signature::Other), "{other}");
        }
    }

    proptest! {
        /// The short way is taken only where the long one would read the same.
        #[test]
        fn the_short_way_reads_what_the_long_one_does(
            place in 0usize..220,
            piece in prop_oneof![Just(" "), Just(","), Just("="), Just("/"), Just(", Signature=1"), Just("\u{e9}"), Just("\t"), Just("a"), Just("7"), Just("")],
            cut in 0usize..3,
        ) {
            let mut text = field(SIGNATURE);
            let start = place.min(text.len());
            text.replace_range(start..(start + cut).min(text.len()), piece);
            if let Some(read) = usual(&text) {
                prop_assert_eq!(meaning(Ok(read)), meaning(any(&text)));
            }
        }
    }
}
