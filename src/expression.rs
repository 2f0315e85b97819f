//! Validation expressions of authorizers (`identityValidationExpression`): a regular expression for a whole text.

use crate::error::ConfigError;
use regex_lite::Regex;
use std::fmt;

/// The expression for the whole text, as Java's `matches` has it. Looking at what was found instead would not do: of
/// `a|ab` the first alternative that fits is found, and `ab` would not match.
pub(crate) fn whole_match(expression: &str) -> Result<Regex, ConfigError> {
    let fail = |error: &dyn fmt::Display| {
        ConfigError::new("identity validation expression", expression, error.to_string())
    };
    // Alone first: what only compiles inside the group below, such as `)|(`, is no expression.
    Regex::new(expression).map_err(|error| fail(&error))?;
    Regex::new(&format!("^(?:{expression})$")).map_err(|error| fail(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_text_by_any_alternative() {
        let expression = whole_match("a|ab").unwrap();
        for (text, expected) in
            [("a", true), ("ab", true), ("b", false), ("abc", false), ("xa", false), ("a\n", false)]
        {
            assert_eq!(expression.is_match(text), expected, "{text:?}");
        }
        for text in ["(", ")|("] {
            assert_eq!(whole_match(text).unwrap_err().value(), text);
        }
    }
}
