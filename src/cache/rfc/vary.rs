//! `Vary`: by which fields an answer was chosen, and when two requests say the same in them (RFC 9111 section 4.1).

use super::control::trim;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE, VARY},
};
use std::sync::Arc;

/// The request fields that an answer varies by: the names in all lines of `Vary`, sorted and without repetition. `None`
/// where a member is `*` or no field name: such an answer fits no other request.
///
/// ```
/// use http::{HeaderMap, HeaderValue, header};
/// use tower_gateway::cache::rfc::vary_fields;
///
/// let mut answer = HeaderMap::new();
/// answer.append(header::VARY, HeaderValue::from_static("Origin, accept"));
/// assert_eq!(vary_fields(&answer).unwrap(), [header::ACCEPT, header::ORIGIN]);
/// answer.append(header::VARY, HeaderValue::from_static("*"));
/// assert!(vary_fields(&answer).is_none());
/// ```
pub fn vary_fields(headers: &HeaderMap) -> Option<Vec<HeaderName>> {
    let mut names = Vec::new();
    for line in headers.get_all(VARY) {
        for member in line.as_bytes().split(|byte| *byte == b',').map(trim) {
            match member {
                b"" => {}
                b"*" => return None,
                _ => names.push(HeaderName::from_bytes(member).ok()?),
            }
        }
    }
    names.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
    names.dedup();
    Some(names)
}

/// The same as the store wants it: `Some(None)` for an answer that does not vary.
pub(in crate::cache) fn names(headers: &HeaderMap) -> Option<Option<Arc<[HeaderName]>>> {
    let names = vary_fields(headers)?;
    Some((!names.is_empty()).then(|| names.into()))
}

/// In the fields known to be lists, spaces around commas, empty members and the division into lines mean nothing.
/// Order, case and weights stay, as a service may tell them apart; and so does everything where there are quotes.
pub(in crate::cache) fn is_list(name: &HeaderName, request: &HeaderMap) -> bool {
    [ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE].contains(name)
        && !request.get_all(name).iter().any(|line| line.as_bytes().contains(&b'"'))
}

/// The members of one line of a list.
pub(in crate::cache) fn members(line: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    line.as_bytes().split(|byte| *byte == b',').map(trim).filter(|member| !member.is_empty())
}
