//! Targeted fields such as `CDN-Cache-Control` (RFC 9213): a dictionary of structured fields (RFC 9651).

use super::{
    control::ResponseControl,
    lexer::{Directive, MAX_DELTA, Value, is_token},
};
use http::{HeaderMap, HeaderName};

/// What the first field of `targets` that is present, not empty and well-formed says; `None` where there is none, and
/// `Cache-Control` and `Expires` count.
pub(super) fn control(headers: &HeaderMap, targets: &[HeaderName]) -> Option<ResponseControl> {
    targets.iter().find_map(|name| {
        let mut lines = headers.get_all(name).iter().map(|line| line.as_bytes());
        parse_targeted(&lines.next()?.iter().copied().chain(lines.flat_map(joined)).collect::<Vec<_>>())
    })
}

fn joined(line: &[u8]) -> impl Iterator<Item = u8> {
    [b','].into_iter().chain(line.iter().copied())
}

/// Reads one targeted field, its lines joined by commas. `None` where it is empty or not a dictionary, or where a
/// duration is no integer: then the field is as good as absent.
///
/// ```
/// use tower_gateway::cache::rfc::parse_targeted;
///
/// assert_eq!(parse_targeted(b"foobar, max-age=3600").unwrap().max_age, Some(3600));
/// assert!(parse_targeted(b"max-age=10000, &&&&&").is_none());
/// assert!(parse_targeted(b"MAX-AGE=1").is_none());
/// ```
pub fn parse_targeted(field: &[u8]) -> Option<ResponseControl> {
    let mut control = ResponseControl::default();
    let mut reader = Reader(field);
    reader.skip_spaces();
    if reader.0.is_empty() {
        return None;
    }
    loop {
        let key = reader.key()?;
        let item = if reader.byte(b'=') { reader.member()? } else { Item::Boolean(true) };
        reader.parameters()?;
        apply(&mut control, key, item)?;
        if !reader.comma()? {
            return Some(control);
        }
    }
}

/// The last of repeated keys counts (RFC 9651 section 4.2.2). A switch is on unless it is `?0`: a value that nobody
/// defined must not make an answer more shareable.
fn apply(control: &mut ResponseControl, key: &[u8], item: Item<'_>) -> Option<()> {
    if let Some(duration) = control.duration(key) {
        let Item::Integer(value) = item else { return None };
        *duration = Some(value.clamp(0, i64::from(MAX_DELTA)) as u32);
    } else if item != Item::Boolean(false) {
        let value = if let Item::String(text) = item { Value::Text(text) } else { Value::None };
        control.switch(&Directive { name: key, value });
    }
    Some(())
}

/// A bare item; only what a directive can be is told apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Item<'a> {
    Integer(i64),
    Boolean(bool),
    String(&'a [u8]),
    Other,
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self, wanted: u8) -> bool {
        let found = self.0.first() == Some(&wanted);
        if found {
            self.0 = &self.0[1..];
        }
        found
    }

    fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|byte| !wanted(*byte)).unwrap_or(self.0.len());
        let (head, rest) = self.0.split_at(end);
        self.0 = rest;
        head
    }

    fn skip_spaces(&mut self) {
        self.take_while(|byte| byte == b' ');
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        let starts = self.0.first().is_some_and(|byte| byte.is_ascii_lowercase() || *byte == b'*');
        starts.then(|| {
            self.take_while(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte)
            })
        })
    }

    /// `Some(true)` behind a comma with a member after it, `Some(false)` at the end.
    fn comma(&mut self) -> Option<bool> {
        self.take_while(|byte| matches!(byte, b' ' | b'\t'));
        if self.0.is_empty() {
            return Some(false);
        }
        let comma = self.byte(b',');
        self.take_while(|byte| matches!(byte, b' ' | b'\t'));
        (comma && !self.0.is_empty()).then_some(true)
    }

    fn member(&mut self) -> Option<Item<'a>> {
        if self.byte(b'(') { self.inner_list() } else { self.bare_item() }
    }

    fn inner_list(&mut self) -> Option<Item<'a>> {
        loop {
            self.skip_spaces();
            if self.byte(b')') {
                return Some(Item::Other);
            }
            self.bare_item()?;
            self.parameters()?;
            if !matches!(self.0.first(), Some(b' ' | b')')) {
                return None;
            }
        }
    }

    fn parameters(&mut self) -> Option<()> {
        while self.byte(b';') {
            self.skip_spaces();
            self.key()?;
            if self.byte(b'=') {
                self.bare_item()?;
            }
        }
        Some(())
    }

    fn bare_item(&mut self) -> Option<Item<'a>> {
        match self.0.first()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string(),
            b'?' => self.boolean(),
            b':' => self.bytes(),
            b'@' => {
                self.byte(b'@');
                matches!(self.number()?, Item::Integer(_)).then_some(Item::Other)
            }
            b'*' | b'a'..=b'z' | b'A'..=b'Z' => {
                self.take_while(|byte| is_token(byte) || byte == b':' || byte == b'/');
                Some(Item::Other)
            }
            _ => None,
        }
    }

    /// At most 15 digits; a decimal has at most 12 before and 1 to 3 behind the point.
    fn number(&mut self) -> Option<Item<'a>> {
        let sign = if self.byte(b'-') { -1 } else { 1 };
        let whole = self.take_while(|byte| byte.is_ascii_digit());
        if whole.is_empty() || whole.len() > 15 {
            return None;
        }
        if !self.byte(b'.') {
            return Some(Item::Integer(
                sign * whole.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')),
            ));
        }
        let fraction = self.take_while(|byte| byte.is_ascii_digit());
        (whole.len() <= 12 && (1..=3).contains(&fraction.len())).then_some(Item::Other)
    }

    fn string(&mut self) -> Option<Item<'a>> {
        self.byte(b'"');
        let inside = self.0;
        loop {
            match *self.0 {
                [b'"', ..] => break,
                [b'\\', b'"' | b'\\', ref rest @ ..]
                | [b' '..=b'!' | b'#'..=b'[' | b']'..=b'~', ref rest @ ..] => {
                    self.0 = rest;
                }
                _ => return None,
            }
        }
        let length = inside.len() - self.0.len();
        self.byte(b'"');
        Some(Item::String(&inside[..length]))
    }

    fn boolean(&mut self) -> Option<Item<'a>> {
        self.byte(b'?');
        let value = self.byte(b'1');
        (value || self.byte(b'0')).then_some(Item::Boolean(value))
    }

    fn bytes(&mut self) -> Option<Item<'a>> {
        self.byte(b':');
        self.take_while(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
        self.byte(b':').then_some(Item::Other)
    }
}
