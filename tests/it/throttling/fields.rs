//! A reader of structured fields (RFC 9651), as strict as the RFC: the judge of the fields we send.

use serde_json::{Value, json};

type Parsed<T> = Result<T, String>;

/// Reads a field of the given kind, `list`, `item` or `dictionary`, into the form of the outside vectors.
pub(super) fn parse(kind: &str, lines: &[&str]) -> Parsed<Value> {
    let text = lines.join(", ");
    let mut reader = Reader { rest: text.trim_start_matches(' ') };
    let value = match kind {
        "list" => reader.members(Reader::member)?,
        "dictionary" => reader.members(Reader::entry)?,
        _ => reader.item()?,
    };
    match reader.rest.trim_start_matches(' ') {
        "" => Ok(value),
        rest => Err(format!("ends with {rest:?}")),
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn eat(&mut self, wanted: char) -> bool {
        let after = self.rest.strip_prefix(wanted);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn expect(&mut self, wanted: char) -> Parsed<()> {
        if self.eat(wanted) { Ok(()) } else { Err(format!("{wanted:?} expected at {:?}", self.rest)) }
    }

    fn take_while(&mut self, accept: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|character| !accept(character)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn members(&mut self, member: impl Fn(&mut Self) -> Parsed<Value>) -> Parsed<Value> {
        let mut members = Vec::new();
        while !self.rest.is_empty() {
            members.push(member(self)?);
            self.take_while(|character| matches!(character, ' ' | '\t'));
            if self.rest.is_empty() {
                break;
            }
            self.expect(',')?;
            self.take_while(|character| matches!(character, ' ' | '\t'));
            if self.rest.is_empty() {
                return Err("a comma ends the field".to_owned());
            }
        }
        Ok(Value::Array(members))
    }

    fn entry(&mut self) -> Parsed<Value> {
        let key = self.key()?;
        let value = if self.eat('=') { self.member()? } else { json!([true, self.parameters()?]) };
        Ok(json!([key, value]))
    }

    fn member(&mut self) -> Parsed<Value> {
        if !self.eat('(') {
            return self.item();
        }
        let mut items = Vec::new();
        loop {
            self.take_while(|character| character == ' ');
            if self.eat(')') {
                return Ok(json!([items, self.parameters()?]));
            }
            items.push(self.item()?);
            if !matches!(self.peek(), Some(' ' | ')')) {
                return Err("an inner list is not closed".to_owned());
            }
        }
    }

    fn item(&mut self) -> Parsed<Value> {
        let bare = self.bare_item()?;
        Ok(json!([bare, self.parameters()?]))
    }

    /// A parameter given twice has its last value at its first place.
    fn parameters(&mut self) -> Parsed<Value> {
        let mut parameters: Vec<(String, Value)> = Vec::new();
        while self.eat(';') {
            self.take_while(|character| character == ' ');
            let key = self.key()?;
            let value = if self.eat('=') { self.bare_item()? } else { json!(true) };
            match parameters.iter_mut().find(|(name, _)| *name == key) {
                Some(known) => known.1 = value,
                None => parameters.push((key, value)),
            }
        }
        Ok(json!(parameters))
    }

    fn key(&mut self) -> Parsed<String> {
        if !self.peek().is_some_and(|first| first.is_ascii_lowercase() || first == '*') {
            return Err(format!("no key at {:?}", self.rest));
        }
        let accept = |character: char| matches!(character, 'a'..='z' | '0'..='9' | '_' | '-' | '.' | '*');
        Ok(self.take_while(accept).to_owned())
    }

    fn bare_item(&mut self) -> Parsed<Value> {
        match self.peek() {
            Some('"') => self.string(),
            Some('?') => self.boolean(),
            Some(':') => self.binary(),
            Some('-' | '0'..='9') => self.number(),
            Some('*' | 'a'..='z' | 'A'..='Z') => {
                let accept = |character: char| {
                    character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~:/".contains(character)
                };
                Ok(json!({ "__type": "token", "value": self.take_while(accept) }))
            }
            _ => Err(format!("no item at {:?}", self.rest)),
        }
    }

    fn string(&mut self) -> Parsed<Value> {
        self.expect('"')?;
        let mut text = String::new();
        loop {
            let next = self.peek().ok_or("a string is not closed")?;
            self.rest = &self.rest[next.len_utf8()..];
            match next {
                '"' => return Ok(json!(text)),
                '\\' => match self.peek().filter(|escaped| matches!(escaped, '"' | '\\')) {
                    Some(escaped) => {
                        self.expect(escaped)?;
                        text.push(escaped);
                    }
                    None => return Err("only quotes and backslashes are escaped".to_owned()),
                },
                ' '..='~' => text.push(next),
                _ => return Err("a string is of visible ASCII".to_owned()),
            }
        }
    }

    fn boolean(&mut self) -> Parsed<Value> {
        self.expect('?')?;
        if self.eat('1') {
            return Ok(json!(true));
        }
        self.expect('0').map(|()| json!(false))
    }

    /// Its content is not decoded: we send none.
    fn binary(&mut self) -> Parsed<Value> {
        self.expect(':')?;
        self.take_while(|character| character.is_ascii_alphanumeric() || "+/=".contains(character));
        self.expect(':').map(|()| json!({ "__type": "binary" }))
    }

    fn number(&mut self) -> Parsed<Value> {
        let negative = self.eat('-');
        let digits = self.take_while(|character| character.is_ascii_digit());
        let sign = if negative { -1 } else { 1 };
        if !self.eat('.') {
            return match digits.len() {
                1..=15 => {
                    digits.parse().map(|number: i64| json!(sign * number)).map_err(|error| error.to_string())
                }
                length => Err(format!("an integer of {length} digits")),
            };
        }
        let fraction = self.take_while(|character| character.is_ascii_digit());
        if !(1..=12).contains(&digits.len()) || !(1..=3).contains(&fraction.len()) {
            return Err("a decimal has 12 and 3 digits at most".to_owned());
        }
        let number: f64 = format!("{digits}.{fraction}").parse().map_err(|_| "no number")?;
        Ok(json!(f64::from(sign as i8) * number))
    }
}
