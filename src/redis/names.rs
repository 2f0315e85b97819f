//! How keys and channels are named, so that what is decided together lies on one slot of a cluster.

use crate::error::ConfigError;
use std::{fmt::Write as _, sync::Arc};

/// The names of one gateway: everything starts with `{prefix}`. The braces are a hash tag, so all of it lies on one
/// slot; several prefixes spread over several.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// `{prefix}:`
    start: Arc<str>,
}

impl Names {
    /// # Errors
    ///
    /// An empty prefix, or one with a brace, a space or a control character.
    pub(super) fn new(prefix: &str) -> Result<Self, ConfigError> {
        let odd = |letter: char| matches!(letter, '{' | '}') || letter.is_whitespace() || letter.is_control();
        if prefix.is_empty() || prefix.contains(odd) {
            let problem = "must be some letters without braces and spaces";
            return Err(ConfigError::new("Redis key prefix", prefix, problem));
        }
        Ok(Self { start: format!("{{{prefix}}}:").into() })
    }

    /// `{prefix}:kind` followed by the parts, each after a colon. A part's own colons and percent signs are escaped,
    /// so that no two lists of parts have one name.
    pub(crate) fn name(&self, kind: &str, parts: &[&str]) -> String {
        let length = parts.iter().map(|part| part.len() + 1).sum::<usize>();
        let mut name = String::with_capacity(self.start.len() + kind.len() + length);
        name.push_str(&self.start);
        name.push_str(kind);
        for part in parts {
            name.push(':');
            push_escaped(&mut name, part);
        }
        name
    }
}

/// Two hexadecimal digits for each byte, as a part of a name.
pub(super) struct Hex<const BYTES: usize>([[u8; 2]; BYTES]);

impl<const BYTES: usize> Hex<BYTES> {
    pub(super) fn of(bytes: &[u8; BYTES]) -> Self {
        let digit = |half: u8| b"0123456789abcdef"[usize::from(half)];
        Self(bytes.map(|byte| [digit(byte >> 4), digit(byte & 15)]))
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(self.0.as_flattened()).unwrap_or_default()
    }
}

fn push_escaped(name: &mut String, part: &str) {
    if !part.contains([':', '%']) {
        return name.push_str(part);
    }
    for letter in part.chars() {
        match letter {
            ':' | '%' => drop(write!(name, "%{:02X}", letter as u32)),
            letter => name.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_in_digits() {
        assert_eq!(Hex::of(&[0, 0x0f, 0xf0, 0x9a]).as_str(), "000ff09a");
        assert_eq!(Hex::of(&[]).as_str(), "");
    }

    #[test]
    fn names_start_with_one_hash_tag_and_are_told_apart() {
        let names = Names::new("shop").unwrap();
        assert_eq!(names.name("account", &[]), "{shop}:account");
        assert_eq!(names.name("quota", &["gold", "0a1b"]), "{shop}:quota:gold:0a1b");
        assert_eq!(names.name("quota", &["a:b", "c%3A"]), "{shop}:quota:a%3Ab:c%253A");
        assert_ne!(names.name("quota", &["a:b"]), names.name("quota", &["a", "b"]));
    }

    #[test]
    fn a_prefix_that_would_break_the_hash_tag_is_refused() {
        for prefix in ["", "a}b", "{", "a b", "a\n"] {
            assert_eq!(Names::new(prefix).unwrap_err().location(), "Redis key prefix");
        }
    }
}
