//! The tags of an answer: `Surrogate-Key` (separated by spaces) and `Cache-Tag` (separated by commas).

use http::{HeaderMap, HeaderName};

static SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");
static CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");
/// More tags of one answer are left out: they would cost memory that no entry has.
const MOST_TAGS: usize = 256;

/// Reads the tags of a head, and takes the fields off if `strip`.
pub(super) fn take(headers: &mut HeaderMap, strip: bool) -> Box<[Box<str>]> {
    let tags = read(headers);
    if strip {
        remove(headers);
    }
    tags
}

/// Takes the fields off.
pub(super) fn remove(headers: &mut HeaderMap) {
    headers.remove(&SURROGATE_KEY);
    headers.remove(&CACHE_TAG);
}

fn read(headers: &HeaderMap) -> Box<[Box<str>]> {
    let blanks = values(headers, &SURROGATE_KEY).flat_map(str::split_ascii_whitespace);
    let commas = values(headers, &CACHE_TAG).flat_map(|value| value.split(',')).map(str::trim);
    blanks.chain(commas).filter(|tag| !tag.is_empty()).take(MOST_TAGS).map(Box::from).collect()
}

fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn both_forms_are_read_and_taken_off_only_if_asked() {
        let mut headers = HeaderMap::new();
        headers.append("surrogate-key", HeaderValue::from_static("a  b"));
        headers.append("surrogate-key", HeaderValue::from_static("c"));
        headers.append("cache-tag", HeaderValue::from_static("d e, f,,"));
        let tags: Vec<String> = take(&mut headers, false).iter().map(|tag| tag.to_string()).collect();
        assert_eq!(tags, ["a", "b", "c", "d e", "f"]);
        assert_eq!(headers.len(), 3);
        assert_eq!(take(&mut headers, true).len(), 5);
        assert!(headers.is_empty());
    }
}
