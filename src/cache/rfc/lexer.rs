//! The list of directives in one line of `Cache-Control`: names and values, quoted strings whole (RFC 9111 section 5.2).

/// One directive as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Directive<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: Value<'a>,
}

/// What follows a directive's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// Nothing.
    None,
    /// A token, or the inside of a quoted string with its escapes.
    Text(&'a [u8]),
    /// Something that is neither: an empty value, spaces around `=`, or more text behind the value.
    Invalid,
    /// A quoted string without an end. It has swallowed every directive that may stand behind it.
    Unterminated,
}

/// The directives of one line. What does not begin with a name is passed over up to the next comma.
#[derive(Clone, Debug)]
pub(super) struct Directives<'a>(&'a [u8]);

impl<'a> Directives<'a> {
    pub(super) fn new(line: &'a [u8]) -> Self {
        Self(line)
    }

    fn take_while(&mut self, wanted: fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|byte| !wanted(*byte)).unwrap_or(self.0.len());
        self.advance(end)
    }

    fn advance(&mut self, by: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(by);
        self.0 = rest;
        head
    }

    fn value(&mut self) -> Value<'a> {
        match self.0 {
            [b'=', b'"', ..] => {
                self.advance(2);
                self.quoted()
            }
            [b'=', ..] => {
                self.advance(1);
                let token = self.take_while(is_token);
                if token.is_empty() { Value::Invalid } else { Value::Text(token) }
            }
            _ => Value::None,
        }
    }

    /// The rest of a quoted string whose opening quote is taken.
    fn quoted(&mut self) -> Value<'a> {
        let mut escaped = false;
        let end = self.0.iter().position(|byte| {
            let is_end = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            is_end
        });
        match end {
            Some(end) => {
                let inside = self.advance(end);
                self.advance(1);
                Value::Text(inside)
            }
            None => {
                self.advance(self.0.len());
                Value::Unterminated
            }
        }
    }

    /// Goes behind the next comma outside of quotes; tells whether only space stood before it.
    fn skip_to_next(&mut self) -> Gap {
        self.take_while(is_space);
        let mut gap = Gap::Clean;
        while let [first, ..] = self.0 {
            self.advance(1);
            match first {
                b',' => return gap,
                b'"' if self.quoted() == Value::Unterminated => return Gap::Unterminated,
                _ => gap = Gap::Text,
            }
        }
        gap
    }
}

#[derive(PartialEq, Eq)]
enum Gap {
    Clean,
    Text,
    Unterminated,
}

impl<'a> Iterator for Directives<'a> {
    type Item = Directive<'a>;

    fn next(&mut self) -> Option<Directive<'a>> {
        loop {
            self.take_while(|byte| is_space(byte) || byte == b',');
            if self.0.is_empty() {
                return None;
            }
            let name = self.take_while(is_token);
            let value = self.value();
            let value = match self.skip_to_next() {
                Gap::Clean => value,
                Gap::Text => Value::Invalid,
                Gap::Unterminated => Value::Unterminated,
            };
            if !name.is_empty() || value == Value::Unterminated {
                return Some(Directive { name, value });
            }
        }
    }
}

/// `tchar` of RFC 9110 section 5.6.2.
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// A delta-seconds (RFC 9111 section 1.2.2): digits only, at most 2^31, `None` where it is none.
pub(super) fn delta_seconds(text: &[u8]) -> Option<u32> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits.then(|| {
        text.iter().fold(0, |value: u32, digit| {
            value.saturating_mul(10).saturating_add(u32::from(digit - b'0')).min(MAX_DELTA)
        })
    })
}

/// The largest delta-seconds a cache needs to tell apart.
pub(super) const MAX_DELTA: u32 = 1 << 31;
