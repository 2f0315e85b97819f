//! Heads and bodies as text, without what must not be logged.

use crate::{
    context::RequestContext,
    observe::{
        access_log::{Escaping, is_secret_name, mask},
        secret_path::{mask_path, variables},
    },
    percent::{Plus, decode_lossy},
};
use http::{
    HeaderMap, HeaderValue,
    header::{CONTENT_LOCATION, LOCATION, REFERER},
};
use std::borrow::Cow;

/// Which values are masked.
#[derive(Clone, Debug, Default)]
pub(super) struct Redaction(Vec<Box<str>>);

impl Redaction {
    /// Masks the values of this name too, in any case.
    pub(super) fn add(&mut self, name: &str) {
        self.0.push(name.to_ascii_lowercase().into());
    }

    /// The same, and some more.
    #[cfg(feature = "gateway")]
    pub(super) fn with(&self, names: Vec<Box<str>>) -> Self {
        Self(self.0.iter().cloned().chain(names).collect())
    }

    pub(super) fn masks(&self, name: &str) -> bool {
        is_secret_name(name) || self.0.iter().any(|own| name.eq_ignore_ascii_case(own))
    }

    /// The same of the name of a query parameter, which may be written with escapes.
    fn masks_parameter(&self, name: &str) -> bool {
        self.masks(name) || (name.contains('%') && self.masks(&decode_lossy(name, Plus::Literal)))
    }

    /// `{k=v, k2=v2}`, as Java prints a map. Stops a little beyond `limit` bytes: the line is cut there. The context is
    /// that of the request whose path the fields may repeat.
    pub(super) fn headers(
        &self,
        headers: &HeaderMap,
        context: Option<&RequestContext>,
        limit: usize,
    ) -> String {
        let pairs = headers.iter().map(|(name, found)| {
            let text = String::from_utf8_lossy(found.as_bytes());
            let shown = if found.is_sensitive() || self.masks(name.as_str()) {
                masked(found)
            } else if [CONTENT_LOCATION, LOCATION, REFERER].contains(name) {
                self.reference(&text, context, limit)
            } else {
                text.into_owned()
            };
            (name.as_str().into(), shown)
        });
        map(pairs, limit)
    }

    /// The same of a query string, not decoded.
    pub(super) fn query(&self, query: Option<&str>, limit: usize) -> String {
        map(self.parameters(query.unwrap_or_default()), limit)
    }

    /// Path and query, the values of masked parameters replaced.
    pub(super) fn uri(&self, path: &str, query: Option<&str>, limit: usize) -> String {
        let mut out = path.to_owned();
        for (index, pair) in query.into_iter().flat_map(|query| query.split('&')).enumerate() {
            if out.len() > limit {
                break;
            }
            out.push(if index == 0 { '?' } else { '&' });
            match pair.split_once('=').filter(|(name, _)| self.masks_parameter(name)) {
                Some((name, value)) => out.extend([name, "=", &mask(value)]),
                None => out.push_str(pair),
            }
        }
        out
    }

    /// A URI as a field carries it. A fragment may hold parameters too: what OAuth 2.0's implicit grant answers does.
    fn reference(&self, reference: &str, context: Option<&RequestContext>, limit: usize) -> String {
        let (reference, fragment) = split(reference, '#');
        let (path, query) = split(reference, '?');
        let path = context.map_or(path.into(), |context| mask_path(path, context, |name| self.masks(name)));
        let shown = self.uri(&path, query, limit);
        match fragment {
            Some(fragment) => shown + &self.uri("", Some(fragment), limit).replacen('?', "#", 1),
            None => shown,
        }
    }

    /// A path, or an ARN made of one, with the values of masked variables replaced.
    pub(super) fn path(&self, path: &str, context: &RequestContext) -> String {
        mask_path(path, context, |name| self.masks(name)).into_owned()
    }

    /// `{k=v, k2=v2}` of the variables of the path.
    pub(super) fn path_parameters(&self, context: &RequestContext, limit: usize) -> String {
        let pairs = variables(context).map(|name| {
            let value = context.path_parameter(name).unwrap_or_default();
            (name.into(), if self.masks(name) { mask(value) } else { value.to_owned() })
        });
        map(pairs, limit)
    }

    fn parameters<'a>(&'a self, query: &'a str) -> impl Iterator<Item = (Cow<'a, str>, String)> {
        query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let shown = if self.masks_parameter(name) { mask(value) } else { value.to_owned() };
            (name.into(), shown)
        })
    }
}

/// What stands before a mark, and what behind it.
fn split(text: &str, mark: char) -> (&str, Option<&str>) {
    text.split_once(mark).map_or((text, None), |(before, behind)| (before, Some(behind)))
}

/// The last six characters show what it was to whom knows it; of `Basic` credentials they would be the end of a
/// password.
pub(super) fn masked(value: &HeaderValue) -> String {
    let is_basic = value.as_bytes().get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic "));
    if is_basic { "******".to_owned() } else { mask(&String::from_utf8_lossy(value.as_bytes())) }
}

/// `{k=v, k2=v2}`.
pub(super) fn map<'a>(pairs: impl Iterator<Item = (Cow<'a, str>, String)>, limit: usize) -> String {
    let mut out = String::from("{");
    for (name, value) in pairs {
        if out.len() > limit {
            return out;
        }
        if out.len() > 1 {
            out.push_str(", ");
        }
        out.push_str(&name);
        out.push('=');
        out.push_str(&value);
    }
    out.push('}');
    out
}

/// The beginning of a body. What was cut in the middle of a character is text still.
pub(super) fn body_text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => {
            String::from_utf8_lossy(&bytes[..error.valid_up_to()])
        }
        Err(_) => "[Binary Data]".into(),
    }
}

/// One line of at most `limit` bytes, and ` [TRUNCATED]` where that is not all.
pub(super) fn cut(mut line: String, mut is_cut: bool, limit: usize) -> String {
    if line.contains(|character: char| character.is_control() || !character.is_ascii()) {
        let mut escaped = String::with_capacity(line.len() + 16);
        Escaping::AwsExact.push(&line, &mut escaped);
        line = escaped;
    }
    if line.len() > limit {
        let end = (0..=limit).rev().find(|end| line.is_char_boundary(*end));
        line.truncate(end.unwrap_or(0));
        is_cut = true;
    }
    if is_cut {
        line.push_str(" [TRUNCATED]");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn credentials_are_stars_wherever_they_stand() {
        let mut redaction = Redaction::default();
        redaction.add("X-Internal");
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("accept", "*/*"),
            ("authorization", "Bearer 0123456789abcdef7c8ada"),
            ("cookie", "a=b"),
            ("x-goog-api-key", "AIzaSy"),
            ("x-api-key", "0123456789abcdefF0yrv6"),
            ("x-amz-security-token", "FQoDYXdzEBoaDK2AeMcZ"),
            ("x-internal", "1"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        let mut marked = HeaderValue::from_static("shown nowhere");
        marked.set_sensitive(true);
        headers.append("x-marked", marked);
        assert_eq!(
            redaction.headers(&headers, None, 1_000),
            "{accept=*/*, authorization=***********************7c8ada, cookie=******, x-goog-api-key=******, \
             x-api-key=****************F0yrv6, x-amz-security-token=**************2AeMcZ, x-internal=******, \
             x-marked=*************}"
        );
        redaction.add("card[number]");
        assert_eq!(redaction.uri("/p", Some("card%5Bnumber%5D=4111"), 100), "/p?card%5Bnumber%5D=******");
        assert_eq!(redaction.query(Some("%74oken=t&%=1"), 100), "{%74oken=******, %=1}");
        let query = Some("a=1&X-Amz-Signature=0011&access_token=t&flag&x-internal=2");
        assert_eq!(
            redaction.query(query, 1_000),
            "{a=1, X-Amz-Signature=******, access_token=******, flag=, x-internal=******}"
        );
        assert_eq!(redaction.uri("/p", Some("a=1&flag&token=t"), 1_000), "/p?a=1&flag&token=******");
        assert_eq!(redaction.query(None, 10), "{}");
        for (reference, shown) in [
            ("https://app/cb#access_token=t&page=2", "https://app/cb#access_token=******&page=2"),
            ("https://shop/?api_key=k&page=2#top", "https://shop/?api_key=******&page=2#top"),
            ("/pets/7?#", "/pets/7?#"),
            ("/pets/7#a?b", "/pets/7#a?b"),
        ] {
            for name in [LOCATION, CONTENT_LOCATION, REFERER] {
                let headers = HeaderMap::from_iter([(name.clone(), reference.parse().unwrap())]);
                assert_eq!(redaction.headers(&headers, None, 1_000), format!("{{{name}={shown}}}"));
            }
        }
        let basic = HeaderValue::from_static("basic YWRhOmEgdmVyeSBsb25nIHBhc3N3b3Jk");
        assert_eq!(masked(&basic), "******");
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        assert_eq!(cut("abc".into(), false, 3), "abc");
        assert_eq!(cut("abä".into(), false, 3), "ab [TRUNCATED]");
        assert_eq!(cut("a\nb".into(), true, 100), "a\\u000ab [TRUNCATED]");
        assert_eq!(body_text("aä".as_bytes().split_last().unwrap().1), "a");
        assert_eq!(body_text(b"\xff"), "[Binary Data]");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_one_line_within_the_limit(text in any::<String>(), limit in 0_usize..200) {
            let line = cut(text, false, limit);
            prop_assert!(line.len() <= limit + " [TRUNCATED]".len());
            let breaks = |character: char| {
                character.is_control() || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202e}')
            };
            prop_assert!(!line.contains(breaks));
        }
    }
}
