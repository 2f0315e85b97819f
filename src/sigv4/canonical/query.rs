//! The canonical query, and how a parameter is found in it.

use super::super::{
    encode::{self, Recoded, find, unreserved},
    sink::Sink,
};
use crate::percent::{Plus, decode, escape_at};
use std::{borrow::Cow, cmp::Ordering};

/// A parameter as received: still encoded.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pair<'a> {
    /// The pair as received.
    raw: &'a [u8],
    name: Text<'a>,
    value: Text<'a>,
}

/// A name or a value as received. Most are canonical already, and then compared and written as they are.
#[derive(Clone, Copy, Debug, Default)]
struct Text<'a> {
    raw: &'a [u8],
    is_canonical: bool,
}

impl<'a> Text<'a> {
    fn new(raw: &'a [u8]) -> Self {
        Self { raw, is_canonical: raw.iter().all(|byte| unreserved(*byte)) }
    }

    fn cmp(&self, other: &Self, plus: Plus) -> Ordering {
        if self.is_canonical && other.is_canonical {
            return self.raw.cmp(other.raw);
        }
        Recoded::new(self.raw, plus).cmp(Recoded::new(other.raw, plus))
    }

    fn write(&self, sink: &mut impl Sink, plus: Plus) {
        if self.is_canonical {
            return sink.put(self.raw);
        }
        Recoded::new(self.raw, plus).for_each(|byte| sink.put_byte(byte));
    }

    fn is(&self, name: &str) -> bool {
        self.raw == name.as_bytes()
            || (!self.is_canonical && *decode(self.raw, Plus::Literal) == *name.as_bytes())
    }
}

impl<'a> Pair<'a> {
    fn new(raw: &'a [u8]) -> Self {
        let equals = raw.iter().position(|byte| *byte == b'=');
        let (name, value) = equals.map_or((raw, &raw[raw.len()..]), |at| (&raw[..at], &raw[at + 1..]));
        Self { raw, name: Text::new(name), value: Text::new(value) }
    }

    fn cmp(&self, other: &Self, plus: Plus) -> Ordering {
        self.name.cmp(&other.name, plus).then_with(|| self.value.cmp(&other.value, plus))
    }

    fn write(&self, sink: &mut impl Sink, plus: Plus) {
        self.name.write(sink, plus);
        sink.put_byte(b'=');
        self.value.write(sink, plus);
    }

    /// Whether this is the parameter `name`, however it is encoded.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.is(name)
    }

    /// The pair as received: a piece of a text between ASCII characters.
    pub(crate) fn raw(&self) -> &'a str {
        std::str::from_utf8(self.raw).unwrap_or_default()
    }

    /// The decoded value; bytes that are not UTF-8 become the replacement character, which no valid value has.
    pub(crate) fn value(&self) -> Cow<'a, str> {
        if self.value.is_canonical {
            return String::from_utf8_lossy(self.value.raw);
        }
        Cow::Owned(String::from_utf8_lossy(&decode(self.value.raw, Plus::Literal)).into_owned())
    }
}

/// The parameters in the order received; empty pieces (`&&`) are none.
pub(crate) fn pairs(query: &str) -> impl Iterator<Item = Pair<'_>> {
    pieces(query).filter(|piece| !piece.is_empty()).map(Pair::new)
}

fn pieces(query: &str) -> impl Iterator<Item = &[u8]> {
    encode::pieces(query, [b'&']).map(str::as_bytes)
}

/// The first parameter of that name: a repeated one does not replace it.
pub(crate) fn parameter<'a>(query: &'a str, name: &str) -> Option<Pair<'a>> {
    // However a name is encoded, it is not shorter than itself, and begins like itself or with an escape.
    let may_be = |piece: &&[u8]| {
        piece.len() >= name.len()
            && matches!(piece.first(), Some(first) if *first == b'%' || *first == name.as_bytes()[0])
    };
    pieces(query).filter(may_be).map(Pair::new).find(|pair| pair.is(name))
}

/// A `%` that starts no escape, as AWS words it.
pub(crate) fn check_escapes(query: &str) -> Result<(), String> {
    let mut rest = query.as_bytes();
    while let Some(at) = find(rest, [b'%']) {
        rest = &rest[at..];
        if escape_at(rest).is_none() {
            return Err(escape_fault(rest));
        }
        rest = &rest[3..];
    }
    Ok(())
}

fn escape_fault(rest: &[u8]) -> String {
    match rest.get(1..3) {
        Some(digits) => {
            format!("Illegal hex character in escape % pattern: %{}", String::from_utf8_lossy(digits))
        }
        None => "Incomplete trailing escape % sequence".to_owned(),
    }
}

/// As many parameters as are sorted without an allocation.
const INLINE: usize = 16;

/// Writes the canonical query. The first parameter of each name in `omitted` is left out: a second one is signed like
/// any other, so nothing can be appended to a signed query.
pub(super) fn write_query(sink: &mut impl Sink, query: &str, omitted: &[&str], plus: Plus) {
    if query.is_empty() {
        return;
    }
    if omitted.is_empty() && is_canonical(query.as_bytes()) {
        return sink.put(query.as_bytes());
    }
    let mut inline = [Pair::default(); INLINE];
    let mut spilled = Vec::new();
    let mut open = [true; 2];
    let mut count = 0;
    for pair in pairs(query) {
        let left_out = omitted.iter().zip(&mut open).find(|(name, open)| **open && pair.is(name));
        if let Some((_, open)) = left_out {
            *open = false;
            continue;
        }
        match inline.get_mut(count) {
            Some(slot) => *slot = pair,
            None => spilled.push(pair),
        }
        count += 1;
    }
    if spilled.is_empty() {
        return write_sorted(sink, &mut inline[..count], plus);
    }
    spilled.extend_from_slice(&inline);
    write_sorted(sink, &mut spilled, plus);
}

/// Whether the query is written as it would be: whole pairs in their order, and nothing to encode. Most are.
fn is_canonical(query: &[u8]) -> bool {
    let (mut last, mut rest) = (None, query);
    loop {
        let (Some(name), behind) = unreserved_until(rest, b'=') else { return false };
        let (value, next) = match unreserved_until(behind, b'&') {
            (Some(value), next) => (value, Some(next)),
            (None, []) => (behind, None),
            (None, _) => return false,
        };
        let pair = Some((name, value));
        if name.is_empty() || pair < last {
            return false;
        }
        let Some(next) = next else { return true };
        (last, rest) = (pair, next);
    }
}

/// The unreserved bytes before `end`, and what follows it; without them, what follows the unreserved bytes.
fn unreserved_until(text: &[u8], end: u8) -> (Option<&[u8]>, &[u8]) {
    match text.iter().position(|byte| !unreserved(*byte)) {
        Some(at) if text[at] == end => (Some(&text[..at]), &text[at + 1..]),
        Some(at) => (None, &text[at..]),
        None => (None, &[]),
    }
}

fn write_sorted(sink: &mut impl Sink, pairs: &mut [Pair<'_>], plus: Plus) {
    // Equal pairs are written alike, so it does not matter that their order is lost.
    pairs.sort_unstable_by(|one, two| one.cmp(two, plus));
    for (index, pair) in pairs.iter().enumerate() {
        if index > 0 {
            sink.put_byte(b'&');
        }
        pair.write(sink, plus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn query(text: &str, omitted: &[&str]) -> String {
        let mut out = Vec::new();
        write_query(&mut out, text, omitted, Plus::Literal);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn parameters_are_sorted_by_encoded_name_and_value() {
        assert_eq!(query("b=2&a=x%20y&a=1&empty", &[]), "a=1&a=x%20y&b=2&empty=");
        assert_eq!(query("q=%E1%88%B4&Q=1&q=%2B&q=", &[]), "Q=1&q=&q=%2B&q=%E1%88%B4");
        assert_eq!(query("&&a==&=b&", &[]), "=b&a=%3D");
        assert_eq!(query("", &[]), "");
        // `%` sorts before letters, whatever it stands for.
        assert_eq!(query("b=1&\u{e9}=2", &[]), "%C3%A9=2&b=1");
    }

    #[test]
    fn only_the_first_of_an_omitted_name_is_left_out() {
        let omitted = ["X-Amz-Signature"];
        assert_eq!(query("X-Amz-Signature=1&a=b&X-Amz-Signature=2", &omitted), "X-Amz-Signature=2&a=b");
        assert_eq!(query("X-Amz%2DSignature=1&x-amz-signature=2", &omitted), "x-amz-signature=2");
    }

    #[test]
    fn escapes_are_checked_in_aws_words() {
        assert_eq!(check_escapes("a=%20&b=%fF"), Ok(()));
        assert_eq!(check_escapes("a=%2").unwrap_err(), "Incomplete trailing escape % sequence");
        assert_eq!(check_escapes("a=%2g&b").unwrap_err(), "Illegal hex character in escape % pattern: %2g");
    }

    #[test]
    fn what_is_canonical_stays_as_it_is() {
        for text in ["a=1", "a=&b=", "a=1&a=1&a=2", "Q=1&q=", "a=2&a-=1", "limit=10&status=available"] {
            assert!(is_canonical(text.as_bytes()) && query(text, &[]) == text, "{text}");
        }
        for text in [
            "a", "a&b=1", "=1", "a=1&", "&a=1", "a=1&&b=1", "b=1&a=1", "a-=1&a=2", "a=2&a=1", "a=1=",
            "a=%20", "a=+", "a=\u{e9}",
        ] {
            assert!(!is_canonical(text.as_bytes()), "{text}");
        }
    }

    proptest! {
        /// The short way is taken only where the long one would write the same.
        #[test]
        fn the_short_way_writes_what_the_long_one_does(text in "[abA%=&+1-]{0,12}") {
            if is_canonical(text.as_bytes()) {
                // An omitted name that does not occur sends it the long way.
                prop_assert_eq!(query(&text, &["none"]), text);
            }
        }

        /// Against the obvious way: decode, encode, sort, join.
        #[test]
        fn any_number_of_parameters_in_any_order(list in proptest::collection::vec(("[a-c%+=~é]{0,3}", "[a-c+=~ é]{0,3}"), 0..40)) {
            let encode = |text: &str| -> String { Recoded::new(text.as_bytes(), Plus::Literal).map(char::from).collect() };
            let name = |text: &str| text.replace('%', "%25").replace('=', "%3D");
            let list: Vec<_> = list.iter().map(|(one, two)| (name(one), two.clone())).collect();
            let text: Vec<_> = list.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let mut expected: Vec<_> = list.iter().map(|(name, value)| (encode(name), encode(value))).collect();
            expected.sort();
            let expected: Vec<_> = expected.iter().map(|(name, value)| format!("{name}={value}")).collect();
            prop_assert_eq!(query(&text.join("&"), &[]), expected.join("&"));
        }
    }
}
