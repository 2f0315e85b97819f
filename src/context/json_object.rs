//! One JSON object as spans of its text: nothing is copied, no name may stand twice.

use serde::{
    Deserializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt, ops::Range};

/// Most members of an object: comparing names takes quadratic time, and headers are read before any signature.
const MAX_MEMBERS: usize = 128;
/// As many as tokens commonly have stand in place.
const IN_PLACE: usize = 24;
/// Longest text: spans are counted in 16 bits.
pub(crate) const MAX_TEXT: usize = u16::MAX as usize;

/// The members of an object whose text is kept elsewhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct Members {
    in_place: [Member; IN_PLACE],
    count: usize,
    rest: Vec<Member>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Member {
    name: Span,
    value: Span,
}

#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u16,
    end: u16,
}

impl Span {
    fn range(self) -> Range<usize> {
        usize::from(self.start)..usize::from(self.end)
    }

    /// Where `part` lies in `text`.
    fn of(part: &str, text: &str) -> Option<Self> {
        let start = (part.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
        let end = start.checked_add(part.len()).filter(|end| *end <= text.len())?;
        Some(Self { start: u16::try_from(start).ok()?, end: u16::try_from(end).ok()? })
    }
}

impl Members {
    /// The members of the one object that `text` is; `None` for everything else, duplicate names included.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let members = reader.deserialize_map(Reader { text }).ok()?;
        reader.end().ok()?;
        Some(members)
    }

    fn iter_spans(&self) -> impl Iterator<Item = &Member> {
        self.in_place[..self.count.min(IN_PLACE)].iter().chain(&self.rest)
    }

    /// The value of a member, as its JSON text.
    pub(crate) fn get<'t>(&self, text: &'t str, name: &str) -> Option<&'t str> {
        let member = self.iter_spans().find(|member| is_name(&text[member.name.range()], name))?;
        text.get(member.value.range())
    }

    /// Every name (unescaped) and value (as JSON text), in the order of the text.
    pub(crate) fn iter<'t>(&self, text: &'t str) -> impl Iterator<Item = (Cow<'t, str>, &'t str)> {
        self.iter_spans()
            .map(move |member| (unescaped(&text[member.name.range()]), &text[member.value.range()]))
    }

    fn push(&mut self, member: Member) {
        match self.in_place.get_mut(self.count) {
            Some(place) => *place = member,
            None => self.rest.push(member),
        }
        self.count += 1;
    }

    fn has(&self, text: &str, quoted: &str) -> bool {
        if quoted.contains('\\') {
            return self.get(text, &unescaped(quoted)).is_some();
        }
        self.get(text, &quoted[1..quoted.len() - 1]).is_some()
    }
}

/// Whether a JSON string, with its quotes, is `name`.
fn is_name(quoted: &str, name: &str) -> bool {
    unescaped(quoted) == name
}

/// The content of a JSON string with its quotes. One that stands for no text (half a surrogate pair) stays as it is.
pub(crate) fn unescaped(quoted: &str) -> Cow<'_, str> {
    let plain = &quoted[1..quoted.len() - 1];
    if !plain.contains('\\') {
        return Cow::Borrowed(plain);
    }
    serde_json::from_str::<String>(quoted).map_or(Cow::Borrowed(plain), Cow::Owned)
}

/// The text of a JSON value that is a string.
pub(crate) fn string(value: &str) -> Option<Cow<'_, str>> {
    if !value.starts_with('"') {
        return None;
    }
    if value.contains('\\') {
        return serde_json::from_str::<String>(value).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(&value[1..value.len() - 1]))
}

struct Reader<'t> {
    text: &'t str,
}

impl<'de> Visitor<'de> for Reader<'de> {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Members::default();
        while let Some((name, value)) = map.next_entry::<&'de RawValue, &'de RawValue>()? {
            if members.count == MAX_MEMBERS || members.has(self.text, name.get()) {
                return Err(A::Error::custom("too many members, or one twice"));
            }
            let spans = Span::of(name.get(), self.text).zip(Span::of(value.get(), self.text));
            let (name, value) = spans.ok_or_else(|| A::Error::custom("too long"))?;
            members.push(Member { name, value });
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn get(text: &str, name: &str) -> Option<String> {
        Members::parse(text)?.get(text, name).map(str::to_owned)
    }

    #[test]
    fn members_are_found_as_they_stand() {
        let text = r#" { "a" : 1 , "b":[1, {"a":2}],"\u0063":"\"", "":null } "#;
        assert_eq!(get(text, "a").as_deref(), Some("1"));
        assert_eq!(get(text, "b").as_deref(), Some(r#"[1, {"a":2}]"#));
        assert_eq!(get(text, "c").as_deref(), Some(r#""\"""#));
        assert_eq!(get(text, "").as_deref(), Some("null"));
        assert_eq!(get(text, "d"), None);
        // What stands there is not what it stands for.
        let slashes = r#"{"\\":1}"#;
        assert_eq!((get(slashes, r"\").as_deref(), get(slashes, r"\\")), (Some("1"), None));
    }

    #[test]
    fn a_name_twice_is_refused_however_it_is_written() {
        for text in
            [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":2}"#, r#"{"\u0061":1,"a":2}"#, r#"{"\/":1,"/":2}"#]
        {
            assert!(Members::parse(text).is_none(), "{text}");
        }
        assert!(Members::parse(r#"{"a":1,"A":1,"a ":1}"#).is_some());
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(20_000), "]".repeat(20_000));
        assert!(Members::parse(&deep).is_some(), "skipped without recursion");
        for text in
            ["", "[]", "1", "null", "{}{}", "{} x", r#"{"a"}"#, r#"{"a":1,}"#, r#"{'a':1}"#, "{\"a\":\u{1}}"]
        {
            assert!(Members::parse(text).is_none(), "{text}");
        }
        let many = |count: usize| {
            let members: Vec<_> = (0..count).map(|index| format!(r#""{index}":0"#)).collect();
            format!("{{{}}}", members.join(","))
        };
        assert!(
            Members::parse(&many(MAX_MEMBERS)).is_some() && Members::parse(&many(MAX_MEMBERS + 1)).is_none()
        );
        let text = many(40);
        assert_eq!(Members::parse(&text).unwrap().iter(&text).count(), 40);
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(MAX_TEXT));
        assert!(Members::parse(&long).is_none());
    }

    proptest! {
        #[test]
        fn agrees_with_serde(names in prop::collection::btree_map(any::<String>(), any::<i32>(), 0..30), noise in any::<String>()) {
            let text = serde_json::to_string(&names).unwrap();
            let members = Members::parse(&text).unwrap();
            for (name, value) in &names {
                let value = value.to_string();
                prop_assert_eq!(members.get(&text, name), Some(value.as_str()));
            }
            let _no_panic = Members::parse(&noise);
        }
    }
}
