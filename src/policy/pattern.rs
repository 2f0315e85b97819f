//! Patterns of a policy: text, the wildcards `*` and `?`, and policy variables, compiled once.

use super::{ConditionKey, ConditionKeys, ConditionValue};
use std::{cell::Cell, fmt};

/// A compiled pattern. Matching allocates nothing and goes back only to the last `*`.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Box<[Piece]>);

#[derive(Clone, Debug)]
enum Piece {
    Text(Box<str>),
    /// `?`
    One,
    /// `*`
    Run,
    Variable(Variable),
}

/// `${key}` or `${key, 'default'}`.
#[derive(Clone, Debug)]
pub(super) struct Variable {
    key: ConditionKey,
    default: Option<Box<str>>,
}

/// What is special in the text of a pattern.
#[derive(Clone, Copy, Debug)]
pub(super) struct Syntax {
    pub(super) wildcards: bool,
    pub(super) variables: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    Sensitive,
    Insensitive,
}

/// The variables of one request. Notes when one of them could not be read, so that the statement which used it
/// counts as not evaluable.
pub(super) struct Variables<'a> {
    pub(super) keys: &'a dyn ConditionKeys,
    unreadable: Cell<bool>,
}

impl<'a> Variables<'a> {
    pub(super) fn new(keys: &'a dyn ConditionKeys) -> Self {
        Self { keys, unreadable: Cell::new(false) }
    }

    /// Whether a variable was unreadable since the last question.
    pub(super) fn take_unreadable(&self) -> bool {
        self.unreadable.take()
    }
}

impl Variable {
    /// The whole text as one variable; `None` if it is anything else.
    pub(super) fn alone(text: &str) -> Option<Self> {
        let (content, rest) = variable_content(text.strip_prefix("${")?)?;
        if rest.is_empty() { Self::parse(content) } else { None }
    }

    fn parse(content: &str) -> Option<Self> {
        let (name, default) = match content.split_once(',') {
            None => (content, None),
            Some((name, rest)) => {
                let quoted = rest.trim().strip_prefix('\'')?.strip_suffix('\'')?;
                (name, Some(quoted.into()))
            }
        };
        let name = name.trim();
        let plain = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || "${}*?'\"".contains(c));
        plain.then(|| Self { key: ConditionKey::new(name), default })
    }

    /// Calls `then` with the variable's value, or its default; `None` for a null variable.
    pub(super) fn with_value<T>(
        &self,
        variables: &Variables<'_>,
        then: impl FnOnce(ConditionValue<'_>) -> T,
    ) -> Option<T> {
        match variables.keys.value(&self.key) {
            Some(ConditionValue::Unreadable) => {
                variables.unreadable.set(true);
                None
            }
            // Keys with several values cannot be policy variables.
            Some(value) if !matches!(value, ConditionValue::List(_)) => Some(then(value)),
            _ => self.default.as_deref().map(|text| then(ConditionValue::Text(text))),
        }
    }
}

/// What stands between `${` and its `}`, and what follows. A `}` inside quotes does not end it.
fn variable_content(text: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let end = text.find(|character| {
        quoted ^= character == '\'';
        character == '}' && !quoted
    })?;
    Some((&text[..end], &text[end + 1..]))
}

/// Cuts at the first five colons outside of variables: the parts of an ARN pattern, or fewer.
pub(super) fn split_parts(text: &str, variables: bool) -> Vec<&str> {
    let (mut parts, mut start, mut at) = (Vec::new(), 0, 0);
    while parts.len() < 5
        && let Some(found) = text[at..].find([':', '$']).map(|offset| at + offset)
    {
        at = found + 1;
        if text[found..].starts_with(':') {
            parts.push(&text[start..found]);
            start = at;
        } else if variables
            && let Some((content, _)) = text[at..].strip_prefix('{').and_then(variable_content)
        {
            at += content.len() + 2;
        }
    }
    parts.push(&text[start..]);
    parts
}

impl Pattern {
    /// `None` if a variable is malformed.
    pub(super) fn compile(text: &str, syntax: Syntax) -> Option<Self> {
        let mut pieces = Pieces::default();
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            let after = &rest[character.len_utf8()..];
            rest = after;
            match character {
                '*' if syntax.wildcards => pieces.run(),
                '?' if syntax.wildcards => pieces.push(Piece::One),
                '$' if syntax.variables && after.starts_with('{') => {
                    let (content, behind) = variable_content(&after[1..])?;
                    pieces.variable(content)?;
                    rest = behind;
                }
                other => pieces.text.push(other),
            }
        }
        Some(Self(pieces.finish()))
    }

    /// The text that everything that matches begins with.
    pub(super) fn literal_prefix(&self) -> &str {
        match self.0.first() {
            Some(Piece::Text(text)) => text,
            _ => "",
        }
    }

    /// Whether the pattern is one text.
    pub(super) fn is_literal(&self) -> bool {
        self.0.iter().all(|piece| matches!(piece, Piece::Text(_)))
    }

    pub(super) fn has_variables(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Variable(_)))
    }

    pub(super) fn matches(&self, text: &str, case: Case, variables: &Variables<'_>) -> bool {
        run(&self.0, text, case, variables)
    }

    /// Matches a text that is known to begin with [`Self::literal_prefix`].
    pub(super) fn matches_behind_prefix(&self, text: &str, variables: &Variables<'_>) -> bool {
        match &*self.0 {
            [Piece::Text(prefix), rest @ ..] => run(rest, &text[prefix.len()..], Case::Sensitive, variables),
            pieces => run(pieces, text, Case::Sensitive, variables),
        }
    }
}

/// As a policy writes it; of `${*}` and its like only the character.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(text),
            Piece::One => f.write_str("?"),
            Piece::Run => f.write_str("*"),
            Piece::Variable(Variable { key, default: None }) => write!(f, "${{{key}}}"),
            Piece::Variable(Variable { key, default: Some(text) }) => write!(f, "${{{key}, '{text}'}}"),
        })
    }
}

#[derive(Default)]
struct Pieces {
    done: Vec<Piece>,
    text: String,
}

impl Pieces {
    fn push(&mut self, piece: Piece) {
        if !self.text.is_empty() {
            let text = std::mem::take(&mut self.text);
            self.done.push(Piece::Text(text.into()));
        }
        self.done.push(piece);
    }

    /// Several `*` are one.
    fn run(&mut self) {
        if !self.text.is_empty() || !matches!(self.done.last(), Some(Piece::Run)) {
            self.push(Piece::Run);
        }
    }

    fn variable(&mut self, content: &str) -> Option<()> {
        match content {
            "*" | "?" | "$" => self.text.push_str(content),
            _ => self.push(Piece::Variable(Variable::parse(content)?)),
        }
        Some(())
    }

    fn finish(mut self) -> Box<[Piece]> {
        if !self.text.is_empty() {
            self.done.push(Piece::Text(self.text.into()));
        }
        self.done.into()
    }
}

/// The matcher. Where it fails it lets the last `*` take one character more: an earlier one need not change.
fn run(pieces: &[Piece], text: &str, case: Case, variables: &Variables<'_>) -> bool {
    let (mut piece, mut at) = (0, 0);
    let mut last_run: Option<(usize, usize)> = None;
    loop {
        match pieces.get(piece) {
            Some(Piece::Run) if piece + 1 == pieces.len() => return true,
            Some(Piece::Run) => {
                piece += 1;
                last_run = Some((piece, at));
                continue;
            }
            Some(single) => {
                if let Some(length) = step(single, &text[at..], case, variables) {
                    piece += 1;
                    at += length;
                    continue;
                }
            }
            None if at == text.len() => return true,
            None => {}
        }
        let Some((resume, start)) = last_run else { return false };
        let Some(skipped) = text[start..].chars().next() else { return false };
        at = start + skipped.len_utf8();
        piece = resume;
        if let (Some(Piece::Text(literal)), Case::Sensitive) = (pieces.get(resume), case) {
            let Some(offset) = next_start(&text[at..], literal) else { return false };
            at += offset;
        }
        last_run = Some((resume, at));
    }
}

/// How far it is to where `literal` may begin: to its first byte. No literal is empty.
fn next_start(text: &str, literal: &str) -> Option<usize> {
    let first = literal.bytes().next()?;
    text.bytes().position(|byte| byte == first)
}

/// How many bytes of `text` the piece takes at its start.
fn step(piece: &Piece, text: &str, case: Case, variables: &Variables<'_>) -> Option<usize> {
    match piece {
        Piece::Text(literal) => prefix_length(text, literal, case),
        Piece::One => text.chars().next().map(char::len_utf8),
        Piece::Variable(variable) => {
            let taken = |value: ConditionValue<'_>| value.with_text(|value| prefix_length(text, value, case));
            variable.with_value(variables, taken)??
        }
        Piece::Run => None,
    }
}

fn prefix_length(text: &str, prefix: &str, case: Case) -> Option<usize> {
    match case {
        Case::Sensitive => text.starts_with(prefix).then_some(prefix.len()),
        Case::Insensitive => prefix_length_without_case(text, prefix),
    }
}

fn prefix_length_without_case(text: &str, prefix: &str) -> Option<usize> {
    // Actions, and nearly every other text, are ASCII.
    if text.as_bytes().get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix.as_bytes())) {
        return Some(prefix.len());
    }
    if text.is_ascii() && prefix.is_ascii() {
        return None;
    }
    let mut rest = text.chars();
    for expected in prefix.chars() {
        let found = rest.next()?;
        if found != expected && !found.to_lowercase().eq(expected.to_lowercase()) {
            return None;
        }
    }
    Some(text.len() - rest.as_str().len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: Syntax = Syntax { wildcards: true, variables: true };

    fn matches(pattern: &str, text: &str) -> bool {
        let keys = [("aws:username", ConditionValue::Text("b*b")), ("n", ConditionValue::Integer(7))];
        Pattern::compile(pattern, ALL).unwrap().matches(text, Case::Sensitive, &Variables::new(&keys))
    }

    #[test]
    fn wildcards_and_variables() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("a*", "a/b/c", true),
            ("*c", "a/b/c", true),
            ("a?c", "a\u{e9}c", true),
            ("a?c", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "xxbxxa", false),
            ("**", "x", true),
            ("/${aws:username}/*", "/b*b/x", true),
            ("/${aws:username}/*", "/bob/x", false),
            ("*${AWS:UserName}", "b*bb*b", true),
            ("${n}", "7", true),
            ("${absent}", "", false),
            ("${absent, 'all, of}us'}!", "all, of}us!", true),
            ("${n,'x'}", "7", true),
            ("a${*}b", "a*b", true),
            ("a${*}b", "axb", false),
            ("${?}${$}", "?$", true),
            ("$", "$", true),
            ("$x{", "$x{", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn malformed_variables() {
        for text in
            ["${", "${}", "${a", "a${ }", "${a,}", "${a, x}", "${a b}", "${${a}}", "${a, 'x}", "${, 'x'}"]
        {
            assert!(Pattern::compile(text, ALL).is_none(), "{text}");
            let plain = Syntax { wildcards: true, variables: false };
            let literal = Pattern::compile(text, plain).unwrap();
            assert!(literal.matches(text, Case::Sensitive, &Variables::new(&())), "{text}");
        }
    }

    #[test]
    fn case_folds_beyond_ascii() {
        let pattern = Pattern::compile("\u{c9}t\u{c9}*", ALL).unwrap();
        let variables = Variables::new(&());
        assert!(pattern.matches("\u{e9}T\u{e9}x", Case::Insensitive, &variables));
        assert!(!pattern.matches("\u{e9}T\u{e9}x", Case::Sensitive, &variables));
    }

    #[test]
    fn parts_are_cut_outside_of_variables() {
        assert_eq!(
            split_parts("arn:aws:s3:::b/${aws:x}:y", true),
            ["arn", "aws", "s3", "", "", "b/${aws:x}:y"]
        );
        assert_eq!(split_parts("arn:${aws:x, ':}'}:$", true), ["arn", "${aws:x, ':}'}", "$"]);
        assert_eq!(split_parts("a:${b:c}", false), ["a", "${b", "c}"]);
        assert_eq!(split_parts("", true), [""]);
    }

    #[test]
    fn an_unreadable_variable_is_noted() {
        let keys = [("k", ConditionValue::Unreadable)];
        let variables = Variables::new(&keys);
        let pattern = Pattern::compile("a${k, 'x'}", ALL).unwrap();
        assert!(!pattern.matches("ax", Case::Sensitive, &variables));
        assert!(variables.take_unreadable() && !variables.take_unreadable());
    }

    /// The definition itself, exponential and plain.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match (pattern.first(), text.first()) {
            (None, None) => true,
            (Some('*'), _) => naive(&pattern[1..], text) || (!text.is_empty() && naive(pattern, &text[1..])),
            (Some('?'), Some(_)) => naive(&pattern[1..], &text[1..]),
            (Some(expected), Some(found)) => expected == found && naive(&pattern[1..], &text[1..]),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn the_matcher_is_the_definition(pattern in "[ab*?\u{e9}]{0,9}", text in "[ab\u{e9}]{0,10}") {
            let compiled = Pattern::compile(&pattern, ALL).unwrap();
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let expected = naive(&chars(&pattern), &chars(&text));
            let variables = Variables::new(&());
            prop_assert_eq!(compiled.matches(&text, Case::Sensitive, &variables), expected);
            let begins = text.starts_with(compiled.literal_prefix());
            prop_assert!(begins || !expected);
            if begins {
                prop_assert_eq!(compiled.matches_behind_prefix(&text, &variables), expected);
            }
        }

        #[test]
        fn no_text_panics(text in any::<String>(), near in "[${}*?', a:]{0,12}") {
            for text in [text, near] {
                split_parts(&text, true);
                if let Some(pattern) = Pattern::compile(&text, ALL) {
                    pattern.matches(&text, Case::Insensitive, &Variables::new(&()));
                }
            }
        }
    }
}
