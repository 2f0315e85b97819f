//! The canonical path.

use super::super::{
    encode::{escape, unreserved},
    sink::Sink,
};
use crate::percent::escape_at;

/// How the path is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathRule {
    /// Dot segments and repeated slashes are taken out, then the path *as received* is encoded once more (`%20`
    /// becomes `%2520`): every service but S3.
    Normalised,
    /// Encoded once more, but nothing is taken out: what some clients sign by mistake.
    AsSent,
    /// Encoded once, nothing is taken out: S3.
    Single,
}

/// `..` goes above the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AboveRoot;

/// Writes the canonical form of a path that starts with `/`.
pub(super) fn write_path(sink: &mut impl Sink, path: &[u8], rule: PathRule) -> Result<(), AboveRoot> {
    match rule {
        _ if path.is_empty() => sink.put_byte(b'/'),
        PathRule::Single => write_single(sink, path),
        PathRule::Normalised if needs_normalising(path) => return write_normalised(sink, path),
        PathRule::Normalised | PathRule::AsSent => write_encoded(sink, path),
    }
    Ok(())
}

fn needs_normalising(path: &[u8]) -> bool {
    path.windows(2).any(|pair| pair[0] == b'/' && matches!(pair[1], b'/' | b'.'))
}

/// The rare way; the only one that allocates.
fn write_normalised(sink: &mut impl Sink, path: &[u8]) -> Result<(), AboveRoot> {
    let mut kept: Vec<&[u8]> = Vec::new();
    for segment in path.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => kept.pop().map(drop).ok_or(AboveRoot)?,
            other => kept.push(other),
        }
    }
    for segment in &kept {
        sink.put_byte(b'/');
        write_encoded(sink, segment);
    }
    if kept.is_empty() || path.ends_with(b"/") {
        sink.put_byte(b'/');
    }
    Ok(())
}

/// Every byte outside of the unreserved set is escaped, `%` too; slashes stay.
fn write_encoded(sink: &mut impl Sink, mut rest: &[u8]) {
    while let Some(at) = rest.iter().position(|byte| !unreserved(*byte) && *byte != b'/') {
        sink.put(&rest[..at]);
        sink.put(&escape(rest[at]));
        rest = &rest[at + 1..];
    }
    sink.put(rest);
}

fn write_single(sink: &mut impl Sink, mut rest: &[u8]) {
    while let Some((first, tail)) = rest.split_first() {
        let escaped = escape_at(rest);
        let byte = escaped.unwrap_or(*first);
        if unreserved(byte) || (escaped.is_none() && byte == b'/') {
            sink.put_byte(byte);
        } else {
            sink.put(&escape(byte));
        }
        rest = if escaped.is_some() { &rest[3..] } else { tail };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PathRule::{AsSent, Normalised, Single};
    use proptest::prelude::*;

    fn path(text: &str, rule: PathRule) -> Option<String> {
        let mut out = Vec::new();
        write_path(&mut out, text.as_bytes(), rule).ok()?;
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn paths_are_normalised_and_encoded_once_more() {
        for (received, normalised, as_sent, single) in [
            ("", "/", "/", "/"),
            ("/", "/", "/", "/"),
            ("//", "/", "//", "//"),
            ("/a//b/", "/a/b/", "/a//b/", "/a//b/"),
            ("/a/./b", "/a/b", "/a/./b", "/a/./b"),
            ("/a/b/..", "/a", "/a/b/..", "/a/b/.."),
            ("/a/..", "/", "/a/..", "/a/.."),
            ("/.well-known", "/.well-known", "/.well-known", "/.well-known"),
            ("/a%20b%2fc", "/a%2520b%252fc", "/a%2520b%252fc", "/a%20b%2Fc"),
            ("/a b", "/a%20b", "/a%20b", "/a%20b"),
            (
                "/@connections/abc=",
                "/%40connections/abc%3D",
                "/%40connections/abc%3D",
                "/%40connections/abc%3D",
            ),
            ("/%40%7e%zz%", "/%2540%257e%25zz%25", "/%2540%257e%25zz%25", "/%40~%25zz%25"),
            ("/\u{1234}", "/%E1%88%B4", "/%E1%88%B4", "/%E1%88%B4"),
        ] {
            assert_eq!(path(received, Normalised).as_deref(), Some(normalised), "{received}");
            assert_eq!(path(received, AsSent).as_deref(), Some(as_sent), "{received}");
            assert_eq!(path(received, Single).as_deref(), Some(single), "{received}");
        }
    }

    #[test]
    fn nothing_is_above_the_root() {
        for above in ["/..", "/a/../..", "/./..", "//.."] {
            assert_eq!(path(above, Normalised), None, "{above}");
            assert!(path(above, AsSent).is_some());
        }
    }

    proptest! {
        /// Encoding is injective: two paths that differ as sent are signed differently.
        #[test]
        fn two_paths_are_two_texts(one in "/[a/.%2 Fé]{0,8}", two in "/[a/.%2 Fé]{0,8}") {
            prop_assume!(one != two);
            prop_assert_ne!(path(&one, AsSent), path(&two, AsSent));
        }
    }
}
