//! `Vary`: by which fields an answer was chosen, and when two requests say the same in them (RFC 9111 section 4.1).

use super::control::trim;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE, VARY},
};
use std::sync::Arc;

/// The names in all lines of the field, sorted and without repetition; `Some(None)` for none. `None` where a member is
/// `*` or no field name: such an answer fits no other request.
pub(super) fn names(headers: &HeaderMap) -> Option<Option<Arc<[HeaderName]>>> {
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
