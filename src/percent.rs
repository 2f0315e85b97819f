//! Percent-encoding (RFC 3986 section 2.1), read in one place: what one layer takes for a name, all do.
//!
//! A `%` that begins no escape stands for itself. A caller that refuses such a text does so before it comes here.

use std::{borrow::Cow, iter::FusedIterator};

/// What a `+` stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Plus {
    /// Itself, as in a path.
    #[default]
    Literal,
    /// A space, as in HTML forms.
    Blank,
}

/// The byte that an escape at the start of `bytes` stands for.
pub(crate) fn escape_at(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else { return None };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    Some((digit(high)? * 16 + digit(low)?) as u8)
}

/// The bytes that a text stands for, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Decoded<'a> {
    rest: &'a [u8],
    plus: Plus,
}

impl<'a> Decoded<'a> {
    pub(crate) const fn new(text: &'a [u8], plus: Plus) -> Self {
        Self { rest: text, plus }
    }
}

impl Iterator for Decoded<'_> {
    type Item = u8;

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let (first, tail) = self.rest.split_first()?;
        let escaped = escape_at(self.rest);
        self.rest = if escaped.is_some() { &tail[2..] } else { tail };
        let plain = if *first == b'+' && self.plus == Plus::Blank { b' ' } else { *first };
        Some(escaped.unwrap_or(plain))
    }
}

impl FusedIterator for Decoded<'_> {}

/// What a text stands for; borrowed where it stands for itself.
pub(crate) fn decode(text: &[u8], plus: Plus) -> Cow<'_, [u8]> {
    let means_other = |byte: &u8| *byte == b'%' || (*byte == b'+' && plus == Plus::Blank);
    if !text.iter().any(means_other) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    bytes.extend(Decoded::new(text, plus));
    Cow::Owned(bytes)
}

/// The same of a text, where what is no UTF-8 becomes U+FFFD.
pub(crate) fn decode_lossy(text: &str, plus: Plus) -> Cow<'_, str> {
    match decode(text.as_bytes(), plus) {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        Cow::Owned(bytes) => Cow::Owned(
            String::from_utf8(bytes)
                .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_are_undone_once_and_what_is_none_stays() {
        let cases: [(&[u8], &[u8], &[u8]); 8] = [
            (b"a%2Fb%20", b"a/b ", b"a/b "),
            (b"%2541", b"%41", b"%41"),
            (b"a+b", b"a+b", b"a b"),
            (b"%2B", b"+", b"+"),
            (b"%", b"%", b"%"),
            (b"%4", b"%4", b"%4"),
            (b"%+5%g1%1g", b"%+5%g1%1g", b"% 5%g1%1g"),
            (b"%c3%A9\xff", b"\xc3\xa9\xff", b"\xc3\xa9\xff"),
        ];
        for (text, literal, blank) in cases {
            assert_eq!(decode(text, Plus::Literal), literal, "{text:?}");
            assert_eq!(decode(text, Plus::Blank), blank, "{text:?}");
        }
        assert!(matches!(decode(b"a+b", Plus::Literal), Cow::Borrowed(_)));
        assert_eq!(decode_lossy("%FFe", Plus::Literal), "\u{fffd}e");
    }

    proptest! {
        #[test]
        fn what_was_escaped_is_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let escaped: String = bytes.iter().map(|byte| format!("%{byte:02x}")).collect();
            for plus in [Plus::Literal, Plus::Blank] {
                let read = decode(escaped.as_bytes(), plus);
                prop_assert_eq!(&*read, bytes.as_slice());
            }
        }
    }
}
