//! Paths as they arrive: what is refused before anything looks at them, and how they are cut into segments.

use crate::percent::{self, Plus, escape_at};
use std::borrow::Cow;

/// Why a path is refused before routing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathError {
    /// A `.` or `..` segment, plain or percent-encoded: what is authorised would not be what is served.
    DotSegment,
    /// `%` without two hexadecimal digits, or an encoded NUL.
    InvalidEscape,
}

/// Refuses what must not be routed. Double slashes pass as received.
///
/// ```
/// use tower_gateway::route::{PathError, check_path};
///
/// assert_eq!(check_path("/pets//1%2F2"), Ok(()));
/// assert_eq!(check_path("/pets/%2e%2E/admin"), Err(PathError::DotSegment));
/// assert_eq!(check_path("/100%"), Err(PathError::InvalidEscape));
/// ```
///
/// # Errors
///
/// A [`PathError`] that names the first fault.
pub fn check_path(path: &str) -> Result<(), PathError> {
    let bytes = path.as_bytes();
    if !bytes.iter().any(|byte| matches!(byte, b'.' | b'%')) {
        return Ok(());
    }
    check_escapes(bytes)?;
    // A backslash is a slash to some back ends, so it ends a segment here as well.
    if path.split(['/', '\\']).any(is_dot_segment) { Err(PathError::DotSegment) } else { Ok(()) }
}

fn check_escapes(bytes: &[u8]) -> Result<(), PathError> {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        match rest[at + 1..] {
            [b'0', b'0', ..] => return Err(PathError::InvalidEscape),
            [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => rest = &rest[at + 3..],
            _ => return Err(PathError::InvalidEscape),
        }
    }
    Ok(())
}

/// `.`, `..` and every encoding of them, also where an encoded slash or backslash ends the segment.
fn is_dot_segment(segment: &str) -> bool {
    let may_be = |bytes: &[u8]| bytes[0] == b'.' || escape_at(bytes) == Some(b'.');
    if !(0..segment.len()).any(|at| may_be(&segment.as_bytes()[at..])) {
        return false;
    }
    let decoded = percent::decode(segment.as_bytes(), Plus::Literal);
    decoded.split(|byte| matches!(byte, b'/' | b'\\')).any(|part| matches!(part, b"." | b".."))
}

/// Decodes the escapes of *unreserved* characters only (RFC 3986 section 6.2.2.2), so that `/%61dmin` is matched as
/// `/admin` while `%2F` stays inside its segment.
pub(crate) fn decode_unreserved(segment: &str) -> Cow<'_, [u8]> {
    decode(segment, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'))
}

/// A path as policies see it: the one spelling of all that are routed alike. One slash at its start, none at its end,
/// unreserved characters plain, the digits of other escapes in upper case. A policy that names `/admin` is then about
/// `/%61dmin/` too, as the router is.
#[cfg(feature = "policy")]
#[allow(dead_code, reason = "not every feature set has a layer that authorizes")]
pub(crate) fn matched_path(path: &str) -> Cow<'_, str> {
    let trimmed = path.strip_suffix('/').unwrap_or(path).trim_start_matches('/');
    let start = path.len() - path.trim_start_matches('/').len();
    let whole = match start {
        1.. => &path[start - 1..(start + trimmed.len()).max(start)],
        0 => trimmed,
    };
    let decoded = decode_unreserved(whole);
    if matches!(decoded, Cow::Borrowed(_)) && !has_lower_case_escape(whole.as_bytes()) {
        return Cow::Borrowed(whole);
    }
    let mut spelled = decoded.into_owned();
    let mut rest = &mut spelled[..];
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        let end = rest.len().min(at + 3);
        rest[at..end].make_ascii_uppercase();
        rest = &mut rest[end..];
    }
    String::from_utf8(spelled).map_or(Cow::Borrowed(whole), Cow::Owned)
}

/// A path with every escape decoded: what a service that decodes before it routes would see.
#[cfg(feature = "policy")]
pub(crate) fn decoded_path(path: &str) -> Cow<'_, str> {
    percent::decode_lossy(path, Plus::Literal)
}

#[cfg(feature = "policy")]
fn has_lower_case_escape(bytes: &[u8]) -> bool {
    let is_lower = |escape: &[u8]| escape[0] == b'%' && escape.iter().any(u8::is_ascii_lowercase);
    bytes.windows(3).any(is_lower)
}

fn decode(segment: &str, wanted: impl Fn(u8) -> bool) -> Cow<'_, [u8]> {
    let bytes = segment.as_bytes();
    let is_wanted = |at| escape_at(&bytes[at..]).is_some_and(&wanted);
    if !bytes.contains(&b'%') || !(0..bytes.len()).any(is_wanted) {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        match escape_at(&bytes[index..]).filter(|byte| wanted(*byte)) {
            Some(byte) => {
                out.push(byte);
                index += 3;
            }
            None => {
                out.push(bytes[index]);
                index += 1;
            }
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_spelling_of_a_dot_segment_is_refused() {
        for path in [
            "/..",
            "/a/../b",
            "/a/./b",
            "/%2e",
            "/a/%2E%2e/b",
            "/.%2e/",
            "/a/..%2fb",
            "/%2e%2e%5Cb",
            "/a\\..\\b",
        ] {
            assert_eq!(check_path(path), Err(PathError::DotSegment), "{path}");
        }
        for path in ["/", "/...", "/a..b", "/.well-known/x", "//a//b/", "/a%2Fb", "/%C3%A9"] {
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
        for path in ["/%", "/%4", "/%zz", "/a%00b"] {
            assert_eq!(check_path(path), Err(PathError::InvalidEscape), "{path}");
        }
    }

    #[cfg(feature = "policy")]
    #[test]
    fn all_spellings_of_a_path_are_one_for_policies() {
        for path in ["/admin", "/admin/", "//admin", "/%61dmin", "///%61%64min/"] {
            assert_eq!(matched_path(path), "/admin", "{path}");
        }
        for (path, seen) in [
            ("/", "/"),
            ("//", "/"),
            ("", ""),
            ("/a//b/", "/a//b"),
            ("/a//", "/a/"),
            ("/a%2fb%c3%a9", "/a%2Fb%C3%A9"),
            ("/%7Euser/%zz%4", "/~user/%ZZ%4"),
        ] {
            assert_eq!(matched_path(path), seen, "{path}");
        }
    }

    proptest! {
        #[test]
        fn an_accepted_path_has_no_dot_segment_after_full_decoding(path in "/[a./%2eE5cC\\\\]{0,12}") {
            if check_path(&path).is_ok() {
                let decoded = String::from_utf8_lossy(&decode(&path, |_| true)).into_owned();
                prop_assert!(!decoded.split(['/', '\\']).any(|part| part == "." || part == ".."));
            }
        }
    }
}
