//! Percent-encoding and hexadecimal, the way signatures spell them.

use crate::percent::{Decoded, Plus};
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

pub(super) fn unreserved(byte: u8) -> bool {
    UNRESERVED[usize::from(byte)]
}

/// `%XX`.
pub(super) fn escape(byte: u8) -> [u8; 3] {
    [b'%', CAPITALS[usize::from(byte >> 4)], CAPITALS[usize::from(byte & 15)]]
}

/// The bytes of a text decoded and encoded again: what a canonical query consists of.
#[derive(Clone, Debug)]
pub(super) struct Recoded<'a> {
    bytes: Decoded<'a>,
    /// Digits of an escape still to be given out, last first.
    digits: [u8; 2],
    waiting: u8,
}

impl<'a> Recoded<'a> {
    pub(super) fn new(text: &'a [u8], plus: Plus) -> Self {
        Self { bytes: Decoded::new(text, plus), digits: [0; 2], waiting: 0 }
    }
}

impl Iterator for Recoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        if self.waiting > 0 {
            self.waiting -= 1;
            return Some(self.digits[usize::from(self.waiting)]);
        }
        let byte = self.bytes.next()?;
        if unreserved(byte) {
            return Some(byte);
        }
        let [percent, high, low] = escape(byte);
        (self.digits, self.waiting) = ([low, high], 2);
        Some(percent)
    }
}

impl FusedIterator for Recoded<'_> {}

const EACH: u64 = 0x0101_0101_0101_0101;

/// Where one of some bytes first stands, looked for in eight at a time.
#[inline]
pub(super) fn find<const N: usize>(bytes: &[u8], wanted: [u8; N]) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        if let Some(at) = find_in_word(*word, wanted) {
            return Some(index * 8 + at);
        }
    }
    match bytes.last_chunk() {
        // What it has in common with the word before was not found there.
        Some(last) if !rest.is_empty() => find_in_word(*last, wanted).map(|at| bytes.len() - last.len() + at),
        _ => rest.iter().position(|byte| wanted.contains(byte)),
    }
}

#[inline]
fn find_in_word<const N: usize>(word: [u8; 8], wanted: [u8; N]) -> Option<usize> {
    let word = u64::from_le_bytes(word);
    let marks = wanted.iter().fold(0, |marks, byte| {
        let differs = word ^ (EACH * u64::from(*byte));
        // The lowest mark is at the first byte that differs in nothing; those above it may be wrong.
        marks | differs.wrapping_sub(EACH) & !differs & (EACH << 7)
    });
    (marks != 0).then(|| marks.trailing_zeros() as usize / 8)
}

/// Whether a byte is a space or a control character.
pub(super) fn has_blank(bytes: &[u8]) -> bool {
    let marks = |word: u64| word.wrapping_sub(EACH * 0x21) & !word;
    has_marked(bytes, marks, |byte| byte <= b' ')
}

/// Whether a byte is a capital letter.
pub(super) fn has_capital(bytes: &[u8]) -> bool {
    // Seven bits of each byte, so that nothing is carried into the next; the eighth says that it is no letter.
    let at_least = |word: u64, least: u8| (word & !(EACH << 7)) + EACH * u64::from(0x80 - least);
    let marks = |word: u64| at_least(word, b'A') & !at_least(word, b'Z' + 1) & !word;
    has_marked(bytes, marks, |byte| byte.is_ascii_uppercase())
}

/// Whether there is a byte of some kind, eight looked at together. `marks` sets the highest bit of one of them at least
/// where there is, and none elsewhere.
#[inline]
fn has_marked(bytes: &[u8], marks: impl Fn(u64) -> u64, is_marked: impl Fn(u8) -> bool) -> bool {
    let marks = |word: &[u8; 8]| marks(u64::from_le_bytes(*word)) & (EACH << 7);
    match bytes.last_chunk() {
        Some(last) => bytes.as_chunks().0.iter().fold(marks(last), |all, word| all | marks(word)) != 0,
        None => bytes.iter().any(|byte| is_marked(*byte)),
    }
}

/// The pieces of a text between ASCII separators. On the path of every request, where `str::split` decodes characters.
#[inline]
pub(super) fn pieces<const N: usize>(text: &str, separators: [u8; N]) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(at) = find(text.as_bytes(), separators) else { return rest.take() };
        rest = Some(&text[at + 1..]);
        Some(&text[..at])
    })
}

/// 64 lower-case digits. No branch, so that all are made at once.
pub(super) fn hex(digest: &[u8; 32]) -> [u8; 64] {
    let mut out = [0; 64];
    for (pair, byte) in out.as_chunks_mut().0.iter_mut().zip(digest) {
        *pair = [digit(byte >> 4), digit(byte & 0x0f)];
    }
    out
}

fn digit(half: u8) -> u8 {
    half + if half < 10 { b'0' } else { b'a' - 10 }
}

/// The 32 bytes of 64 lower-case digits; capitals are another text, and so another signature.
pub(super) fn unhex(text: &[u8]) -> Option<[u8; 32]> {
    let text: &[u8; 64] = text.try_into().ok()?;
    // Without an early end, so that many are looked at together.
    let are_digits = text.iter().fold(true, |all, byte| all & matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mut out = [0; 32];
    for (byte, digits) in out.iter_mut().zip(text.as_chunks().0) {
        *byte = byte_of(u16::from_le_bytes(*digits));
    }
    are_digits.then_some(out)
}

/// What two digits stand for, and anything for other texts. The first is the lower byte of `digits`.
fn byte_of(digits: u16) -> u8 {
    let halves = (digits & 0x0f0f) + (digits >> 6 & 0x0101) * 9;
    (halves << 4 | halves >> 8) as u8
}

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
    use proptest::prelude::*;

    fn recoded(text: &str, plus: Plus) -> String {
        String::from_utf8(Recoded::new(text.as_bytes(), plus).collect()).unwrap()
    }

    #[test]
    fn queries_are_decoded_and_encoded_again() {
        assert_eq!(recoded("a-._~9", Plus::Literal), "a-._~9");
        assert_eq!(recoded("%61%7e%2f+ ", Plus::Literal), "a~%2F%2B%20");
        assert_eq!(recoded("a+b%2B", Plus::Blank), "a%20b%2B");
        assert_eq!(recoded("\u{1234}", Plus::Literal), "%E1%88%B4");
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
        for text in ["", ";", "a", "a;b", ";a;;b;", "\u{e9};x", "content-type;host;x-amz-date", "12345678;9"]
        {
            let ours: Vec<_> = pieces(text, [b';']).collect();
            assert_eq!(ours, text.split(';').collect::<Vec<_>>());
            let ours: Vec<_> = pieces(text, [b'-', b';']).collect();
            assert_eq!(ours, text.split(['-', ';']).collect::<Vec<_>>());
        }
    }

    proptest! {
        #[test]
        fn the_first_of_a_byte_is_found(text in prop::collection::vec(prop_oneof![any::<u8>(), 0u8..4, 0x7fu8..0x83, 0x3fu8..0x43, 0x58u8..0x5d], 0..40), wanted in prop_oneof![any::<u8>(), 0u8..4, 0x7fu8..0x83], other in prop_oneof![any::<u8>(), 0u8..4, 0x7fu8..0x83]) {
            prop_assert_eq!(find(&text, [wanted]), text.iter().position(|byte| *byte == wanted));
            let either = text.iter().position(|byte| *byte == wanted || *byte == other);
            prop_assert_eq!(find(&text, [wanted, other]), either);
            prop_assert_eq!(has_blank(&text), text.iter().any(|byte| *byte <= b' '));
            prop_assert_eq!(has_capital(&text), text.iter().any(u8::is_ascii_uppercase));
        }

        #[test]
        fn digits_are_read_as_they_are_written(digest in any::<[u8; 32]>(), at in 0usize..64, byte in any::<u8>()) {
            let mut text = hex(&digest);
            let expected: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            prop_assert_eq!(std::str::from_utf8(&text).unwrap(), expected);
            prop_assert_eq!(unhex(&text), Some(digest));
            let is_digit = matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            text[at] = byte;
            prop_assert_eq!(unhex(&text).is_some(), is_digit);
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
