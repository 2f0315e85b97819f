//! AWS's dialect of comma-separated values: fields in `"` or `'`.

use crate::error::ConfigError;

/// One record: where it starts, and its fields.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) line: usize,
    pub(super) fields: Vec<String>,
}

/// All records; empty lines are none. Fields without quotes lose the spaces around them.
pub(super) fn records(text: &str) -> Result<Vec<Record>, ConfigError> {
    let mut reader = Reader { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1 };
    let mut records = Vec::new();
    while !reader.rest.is_empty() {
        let record = reader.record()?;
        if record.fields != [""] {
            records.push(record);
        }
    }
    Ok(records)
}

#[derive(Debug)]
struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

const BLANKS: [char; 2] = [' ', '\t'];

impl Reader<'_> {
    fn record(&mut self) -> Result<Record, ConfigError> {
        let mut record = Record { line: self.line, fields: Vec::new() };
        loop {
            record.fields.push(self.field()?);
            if !self.skip_comma()? {
                return Ok(record);
            }
        }
    }

    fn field(&mut self) -> Result<String, ConfigError> {
        self.rest = self.rest.trim_start_matches(BLANKS);
        match self.rest.chars().next() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote),
            _ => Ok(self.plain()),
        }
    }

    fn plain(&mut self) -> String {
        let end = self.rest.find([',', '\n', '\r']).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        text.trim_end_matches(BLANKS).to_owned()
    }

    fn quoted(&mut self, quote: char) -> Result<String, ConfigError> {
        let start = self.line;
        let mut text = String::new();
        loop {
            self.rest = &self.rest[1..];
            let Some(end) = self.rest.find(quote) else {
                return Err(fault(start, "a quoted field is not closed"));
            };
            self.line += line_ends(&self.rest[..end]);
            text.push_str(&self.rest[..end]);
            self.rest = &self.rest[end + 1..];
            if !self.rest.starts_with(quote) {
                self.rest = self.rest.trim_start_matches(BLANKS);
                return Ok(text);
            }
            text.push(quote);
        }
    }

    /// Whether another field follows; otherwise the end of the line is skipped.
    fn skip_comma(&mut self) -> Result<bool, ConfigError> {
        if let Some(rest) = self.rest.strip_prefix(',') {
            self.rest = rest;
            return Ok(true);
        }
        let Some(rest) = ["\r\n", "\n", "\r"].iter().find_map(|end| self.rest.strip_prefix(end)) else {
            let at_end = self.rest.is_empty();
            return at_end.then_some(false).ok_or_else(|| fault(self.line, "text follows a closing quote"));
        };
        self.rest = rest;
        self.line += 1;
        Ok(false)
    }
}

fn line_ends(text: &str) -> usize {
    text.matches('\n').count() + text.matches('\r').count() - text.matches("\r\n").count()
}

/// The text stays out of it: it may be a key.
pub(super) fn fault(line: usize, problem: &'static str) -> ConfigError {
    ConfigError::new("API key file", format!("line {line}"), problem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(text: &str) -> Vec<Vec<String>> {
        records(text).unwrap().into_iter().map(|record| record.fields).collect()
    }

    #[test]
    fn quotes_blanks_and_line_ends() {
        assert_eq!(fields("a, b ,c\r\n1,,3\n\n \r4"), [vec!["a", "b", "c"], vec!["1", "", "3"], vec!["4"]]);
        assert_eq!(fields("\u{feff}\"a,\"\"b\"\"\" , 'c,''d' ,"), [["a,\"b\"", "c,'d", ""]]);
        assert_eq!(fields("Bob's,\" \"\n"), [["Bob's", " "]]);
        assert!(fields("").is_empty());
    }

    #[test]
    fn lines_are_counted_through_quoted_line_ends() {
        let read = records("a\n\"1\r\n2\r3\n4\"\nb").unwrap();
        assert_eq!(read.iter().map(|record| record.line).collect::<Vec<_>>(), [1, 2, 6]);
    }

    #[test]
    fn broken_quotes_are_named_by_line_and_never_by_text() {
        for (text, line, problem) in [
            ("a\n\"secret", "line 2", "a quoted field is not closed"),
            ("a\nb\n'x'secret", "line 3", "text follows a closing quote"),
        ] {
            let error = records(text).unwrap_err();
            assert_eq!((error.value(), error.problem()), (line, problem));
            assert!(!format!("{error} {error:?}").contains("secret"));
        }
    }

    /// Fields as a spreadsheet would write them, in either quote.
    fn written(rows: &[Vec<String>], quote: char, end: &str) -> String {
        let double = format!("{quote}{quote}");
        let field = |text: &String| format!("{quote}{}{quote}", text.replace(quote, &double));
        let line = |row: &Vec<String>| row.iter().map(field).collect::<Vec<_>>().join(",") + end;
        rows.iter().map(line).collect()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            rows in proptest::collection::vec(proptest::collection::vec(".*|[\"',\r\n ]*", 2..5), 0..6),
            quote in prop_oneof![Just('"'), Just('\'')],
            end in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
        ) {
            prop_assert_eq!(fields(&written(&rows, quote, end)), rows);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "([a-c,\"' \r\n\u{fe}]|.)*") {
            let _read = records(&text);
        }
    }
}
