//! The tags of an answer: `Surrogate-Key` (separated by spaces) and `Cache-Tag` (separated by commas).
//!
//! All of them, whatever they are made of: a tag that is left out is an entry that its purge misses.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::str;

static SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");
static CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");

/// Takes the fields off.
pub(super) fn remove(headers: &mut HeaderMap) {
    headers.remove(&SURROGATE_KEY);
    headers.remove(&CACHE_TAG);
}

/// The tags of a head.
pub(super) fn read(headers: &HeaderMap) -> Box<[Box<str>]> {
    let blanks = values(headers, &SURROGATE_KEY).flat_map(|value| value.split(u8::is_ascii_whitespace));
    let commas = values(headers, &CACHE_TAG).flat_map(|value| value.split(|byte| *byte == b','));
    let tags = blanks.chain(commas).map(<[u8]>::trim_ascii).filter(|tag| !tag.is_empty());
    tags.map(text).collect()
}

fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes)
}

/// UTF-8, or ISO 8859-1, which fields were written in before (RFC 9110 section 5.5).
fn text(tag: &[u8]) -> Box<str> {
    match str::from_utf8(tag) {
        Ok(tag) => tag.into(),
        Err(_) => tag.iter().copied().map(char::from).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(fields: &[(&'static str, &[u8])]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        read(&headers).iter().map(|tag| tag.to_string()).collect()
    }

    #[test]
    fn both_forms_are_read() {
        let fields: [(_, &[u8]); 3] =
            [("surrogate-key", b"a  b"), ("surrogate-key", b"c"), ("cache-tag", b"d e, f,,")];
        assert_eq!(tags(&fields), ["a", "b", "c", "d e", "f"]);
    }

    #[test]
    fn what_is_no_ascii_is_a_tag_too_and_costs_none_of_its_neighbours() {
        for name in ["cache-tag", "surrogate-key"] {
            let split = if name == "cache-tag" { "," } else { " " };
            for coffee in [&b"caf\xc3\xa9"[..], b"caf\xe9"] {
                let line = [coffee, b"pet-7"].join(split.as_bytes());
                assert_eq!(tags(&[(name, &line)]), ["caf\u{e9}", "pet-7"]);
            }
        }
    }

    #[test]
    fn there_may_be_any_number_of_them() {
        let many: Vec<String> = (0..70_000).map(|number| number.to_string()).collect();
        let many = many.join(" ");
        let fields: [(_, &[u8]); 2] = [("surrogate-key", many.as_bytes()), ("cache-tag", b"last")];
        let read = tags(&fields);
        assert_eq!((read.len(), read[69_999].as_str(), read[70_000].as_str()), (70_001, "69999", "last"));
    }
}
