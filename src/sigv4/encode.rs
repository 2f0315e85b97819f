//! Percent-encoding and hexadecimal, the way signatures spell them.

use std::iter::FusedIterator;

/// RFC 3986 section 2.3: everything else is written `%XX`, in capitals.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

static UNRESERVED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = is_unreserved(byte as u8);
        byte += 1;
    }
    table
};

const CAPITALS: &[u8; 16] = b"0123456789ABCDEF";
const LOWER: &[u8; 16] = b"0123456789abcdef";

pub(super) fn unreserved(byte: u8) -> bool {
    UNRESERVED[usize::from(byte)]
}

/// `%XX`.
pub(super) fn escape(byte: u8) -> [u8; 3] {
    [b'%', CAPITALS[usize::from(byte >> 4)], CAPITALS[usize::from(byte & 15)]]
}

/// The byte that an escape at the start of `bytes` stands for.
pub(super) fn escaped(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else { return None };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    Some((digit(high)? * 16 + digit(low)?) as u8)
}

/// What a `+` in a query stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Plus {
    /// Itself, `%2B`.
    #[default]
    Literal,
    /// A blank, `%20`, as in HTML forms.
    Blank,
}

/// The bytes of a text decoded and encoded again: what a canonical query consists of.
#[derive(Clone, Debug)]
pub(super) struct Recoded<'a> {
    rest: &'a [u8],
    plus: Plus,
    /// Digits of an escape still to be given out, last first.
    digits: [u8; 2],
    waiting: u8,
}

impl<'a> Recoded<'a> {
    pub(super) fn new(text: &'a [u8], plus: Plus) -> Self {
        Self { rest: text, plus, digits: [0; 2], waiting: 0 }
    }

    fn decoded_byte(&mut self) -> Option<u8> {
        let (first, tail) = self.rest.split_first()?;
        if let Some(byte) = escaped(self.rest) {
            self.rest = &self.rest[3..];
            return Some(byte);
        }
        self.rest = tail;
        Some(if *first == b'+' && self.plus == Plus::Blank { b' ' } else { *first })
    }
}

impl Iterator for Recoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        if self.waiting > 0 {
            self.waiting -= 1;
            return Some(self.digits[usize::from(self.waiting)]);
        }
        let byte = self.decoded_byte()?;
        if unreserved(byte) {
            return Some(byte);
        }
        let [percent, high, low] = escape(byte);
        (self.digits, self.waiting) = ([low, high], 2);
        Some(percent)
    }
}

impl FusedIterator for Recoded<'_> {}

/// The text without its escapes; `+` stays.
pub(super) fn decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut recoded = Recoded::new(text, Plus::Literal);
    while let Some(byte) = recoded.decoded_byte() {
        out.push(byte);
    }
    out
}

/// The pieces of a text between ASCII separators. On the path of every request, where `str::split` decodes characters.
pub(super) fn pieces(text: &str, is_separator: impl Fn(u8) -> bool) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(at) = text.bytes().position(&is_separator) else { return rest.take() };
        rest = Some(&text[at + 1..]);
        Some(&text[..at])
    })
}

/// 64 lower-case digits.
pub(super) fn hex(digest: &[u8; 32]) -> [u8; 64] {
    let mut out = [0; 64];
    for (pair, byte) in out.chunks_exact_mut(2).zip(digest) {
        pair[0] = LOWER[usize::from(byte >> 4)];
        pair[1] = LOWER[usize::from(byte & 15)];
    }
    out
}

/// The 32 bytes of 64 lower-case digits; capitals are another text, and so another signature.
pub(super) fn unhex(text: &[u8]) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = text.try_into().ok()?;
    let mut out = [0; 32];
    let mut seen = 0;
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let (high, low) = (DIGITS[usize::from(pair[0])], DIGITS[usize::from(pair[1])]);
        seen |= high | low;
        *byte = high << 4 | low;
    }
    (seen <= 15).then_some(out)
}

/// What a lower-case digit stands for; 255 for anything else.
static DIGITS: [u8; 256] = {
    let mut table = [255; 256];
    let mut digit = 0;
    while digit < 16 {
        table[LOWER[digit] as usize] = digit as u8;
        digit += 1;
    }
    table
};

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 of a digest: 43 characters and `=`.
pub(super) fn base64(digest: &[u8; 32]) -> String {
    let mut out = String::with_capacity(44);
    for group in digest.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | usize::from(group.get(at).copied().unwrap_or(0)));
        let characters = (0..=group.len()).map(|at| char::from(BASE64[bits >> (18 - 6 * at) & 63]));
        out.extend(characters);
    }
    out.push('=');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recoded(text: &str, plus: Plus) -> String {
        String::from_utf8(Recoded::new(text.as_bytes(), plus).collect()).unwrap()
    }

    #[test]
    fn queries_are_decoded_and_encoded_again() {
        assert_eq!(recoded("a-._~9", Plus::Literal), "a-._~9");
        assert_eq!(recoded("%61%7e%2f+ ", Plus::Literal), "a~%2F%2B%20");
        assert_eq!(recoded("a+b%2B", Plus::Blank), "a%20b%2B");
        assert_eq!(recoded("\u{1234}", Plus::Literal), "%E1%88%B4");
        assert_eq!(decode(b"a%2Fb+%zz"), b"a/b+%zz");
    }

    #[test]
    fn base64_of_a_digest() {
        use base64::prelude::*;
        for seed in 0..64_u8 {
            let digest: [u8; 32] = std::array::from_fn(|index| (index as u8).wrapping_mul(37) ^ seed);
            assert_eq!(super::base64(&digest), BASE64_STANDARD.encode(digest));
        }
    }

    #[test]
    fn pieces_are_what_split_gives() {
        for text in ["", ";", "a", "a;b", ";a;;b;", "\u{e9};x"] {
            let ours: Vec<_> = pieces(text, |byte| byte == b';').collect();
            assert_eq!(ours, text.split(';').collect::<Vec<_>>());
        }
    }

    #[test]
    fn hexadecimal_is_lower_case_only() {
        let digest: [u8; 32] = std::array::from_fn(|index| (index * 9) as u8);
        let text = hex(&digest);
        assert_eq!(unhex(&text), Some(digest));
        assert_eq!(unhex(&text.to_ascii_uppercase()), None);
        assert_eq!(unhex(&text[1..]), None);
        for byte in 0..=u8::MAX {
            let mut other = text;
            other[63] = byte;
            let is_digit = matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            assert_eq!(unhex(&other).is_some(), is_digit, "{byte}");
        }
    }
}
