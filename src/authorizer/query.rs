//! The query string as events and identity sources show it: decoded pairs, in order.

use crate::percent::{Plus, decode};
use std::borrow::Cow;

/// Name and value of every parameter, decoded. Nothing is allocated where nothing is escaped.
pub(super) fn pairs(query: Option<&str>) -> impl Iterator<Item = (Cow<'_, [u8]>, Cow<'_, [u8]>)> {
    let parts = query.unwrap_or_default().split('&').filter(|part| !part.is_empty());
    parts.map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (decode(name.as_bytes(), Plus::Blank), decode(value.as_bytes(), Plus::Blank))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_and_keep_their_order() {
        let read = |query| -> Vec<(String, String)> {
            let text = |bytes: Cow<'_, [u8]>| String::from_utf8(bytes.into_owned()).unwrap();
            pairs(Some(query)).map(|(name, value)| (text(name), text(value))).collect()
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(read("b=1&a=2&b=3"), [pair("b", "1"), pair("a", "2"), pair("b", "3")]);
        assert_eq!(read("%74oken=a%2Bb+c&&x"), [pair("token", "a+b c"), pair("x", "")]);
        assert_eq!(read("a=%&b=%4&c=%zz=1"), [pair("a", "%"), pair("b", "%4"), pair("c", "%zz=1")]);
        assert_eq!(pairs(None).count(), 0);
        assert!(matches!(decode(b"plain", Plus::Blank), Cow::Borrowed(_)));
        assert_eq!(&*decode(b"%ff+", Plus::Literal), b"\xff+");
    }
}
