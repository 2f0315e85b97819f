//! How values are written, so that no client can forge a line or a field.

use std::fmt::Write;

/// How the values of a format are written.
///
/// Whatever the choice, no value can end a line or speak to a terminal: control characters, separators of lines and
/// paragraphs and the marks that turn the direction of text are written as `\uXXXX`, also where AWS would insert them
/// raw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Escaping {
    /// As AWS does: quotes and backslashes raw. A client's quote breaks JSON; only for parity.
    AwsExact,
    /// For a JSON format: inside a string values are escaped; a variable outside of one becomes a number, a string with
    /// its quotes, or `null`. The line is valid JSON if the format is.
    Json,
    /// For an XML format: the five entities.
    Xml,
    /// For comma-separated values (RFC 4180): quoted where needed.
    Csv,
    /// For everything else: `\"` and `\\`.
    Quoted,
}

impl Escaping {
    /// By the first character of a format.
    pub(super) fn of_format(text: &str) -> Self {
        match text.trim_start().chars().next() {
            Some('{') => Self::Json,
            Some('<') => Self::Xml,
            _ => Self::Quoted,
        }
    }

    pub(in crate::observe) fn push(self, value: &str, out: &mut String) {
        if value.bytes().all(is_plain) {
            return out.push_str(value);
        }
        let quoted = self == Self::Csv && value.contains([',', '"']);
        if quoted {
            out.push('"');
        }
        value.chars().for_each(|character| self.push_char(character, out));
        if quoted {
            out.push('"');
        }
    }

    fn push_char(self, character: char, out: &mut String) {
        match (self, character) {
            _ if breaks_lines(character) => push_escape(character, out),
            (Self::Json | Self::Quoted, '"' | '\\') => out.extend(['\\', character]),
            // No characters of XML, even as references (XML 1.0, section 2.2).
            (Self::Xml, '\u{fffe}' | '\u{ffff}') => push_escape(character, out),
            (Self::Xml, '<' | '>' | '&' | '"' | '\'') => out.push_str(entity(character)),
            (Self::Csv, '"') => out.push_str("\"\""),
            _ => out.push(character),
        }
    }
}

/// Nothing that any of the forms would change. Letters beyond ASCII are looked at one by one.
const fn is_plain(byte: u8) -> bool {
    const TABLE: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0x20;
        while byte < 0x7f {
            table[byte] = !matches!(byte as u8, b'"' | b'\\' | b'<' | b'>' | b'&' | b'\'' | b',');
            byte += 1;
        }
        table
    };
    TABLE[byte as usize]
}

fn breaks_lines(character: char) -> bool {
    let turns =
        matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    character.is_control() || turns || matches!(character, '\u{2028}' | '\u{2029}')
}

/// All of them are in the basic plane: one escape of four digits.
fn push_escape(character: char, out: &mut String) {
    let _writing_to_a_string_cannot_fail = write!(out, "\\u{:04x}", u32::from(character));
}

fn entity(character: char) -> &'static str {
    match character {
        '<' => "&lt;",
        '>' => "&gt;",
        '&' => "&amp;",
        '"' => "&quot;",
        _ => "&apos;",
    }
}

/// Stars, and the last six characters of what is long enough to keep its secret without them.
pub(in crate::observe) fn mask(secret: &str) -> String {
    const SHOWN: usize = 6;
    const LONG: usize = 20;
    let count = secret.chars().count();
    let shown = if count >= LONG { SHOWN } else { 0 };
    let stars = std::iter::repeat_n('*', count.clamp(6, 64) - shown);
    stars.chain(secret.chars().skip(count - shown)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(escaping: Escaping, value: &str) -> String {
        let mut out = String::new();
        escaping.push(value, &mut out);
        out
    }

    #[test]
    fn each_form_escapes_what_it_must() {
        let nasty = "a\"b\\c<d>&'\r\n\u{1b}[31m\u{9b}\u{2028}\u{202e},e\u{7f}";
        let tail = r"\u000d\u000a\u001b[31m\u009b\u2028\u202e,e\u007f";
        assert_eq!(written(Escaping::AwsExact, nasty), format!(r#"a"b\c<d>&'{tail}"#));
        assert_eq!(written(Escaping::Json, nasty), format!(r#"a\"b\\c<d>&'{tail}"#));
        assert_eq!(written(Escaping::Quoted, nasty), format!(r#"a\"b\\c<d>&'{tail}"#));
        assert_eq!(written(Escaping::Xml, nasty), format!(r"a&quot;b\c&lt;d&gt;&amp;&apos;{tail}"));
        assert_eq!(written(Escaping::Csv, nasty), format!(r#""a""b\c<d>&'{tail}""#));
        assert_eq!(written(Escaping::Csv, "plain ä"), "plain ä");
        assert_eq!(written(Escaping::Xml, "a\u{fffe}\u{ffff}\u{fffd}"), "a\\ufffe\\uffff\u{fffd}");
    }

    #[test]
    fn secrets_keep_their_last_characters_only_if_they_are_long() {
        assert_eq!(mask("0123456789abcdefghij"), "**************efghij");
        assert_eq!(mask("short"), "******");
        assert_eq!(mask(""), "******");
        assert_eq!(mask(&"x".repeat(5_000)).len(), 64);
    }

    proptest! {
        #[test]
        fn json_reads_back_and_no_form_breaks_the_line(text in any::<String>()) {
            let json = written(Escaping::Json, &text);
            let read: String = serde_json::from_str(&format!("\"{json}\"")).unwrap();
            prop_assert_eq!(read, &*text);
            for escaping in [Escaping::AwsExact, Escaping::Xml, Escaping::Csv, Escaping::Quoted, Escaping::Json] {
                prop_assert!(!written(escaping, &text).contains(breaks_lines));
            }
            let xml = written(Escaping::Xml, &text);
            let wrong = ['<', '>', '"', '\'', '\u{fffe}', '\u{ffff}'];
            prop_assert!(!xml.contains(wrong));
        }
    }
}
