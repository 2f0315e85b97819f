//! ARNs: cut into their parts, and the patterns of `Resource` and of the ARN operators.

use super::pattern::{Case, Pattern, Syntax, Variables, split_parts};
use std::fmt;

/// The six parts of an ARN: `arn`, partition, service, Region, account, resource. The resource may hold colons.
pub(super) fn split(text: &str) -> Option<[&str; 6]> {
    let mut split = [text; 6];
    let mut rest = text;
    for part in &mut split[..5] {
        // By bytes: `splitn` looks for characters, which takes as long as all matching.
        let colon = rest.bytes().position(|byte| byte == b':')?;
        *part = &rest[..colon];
        rest = &rest[colon + 1..];
    }
    split[5] = rest;
    (split[0] == "arn").then_some(split)
}

/// A pattern whose six parts are matched one by one, so that a wildcard never reaches across a colon: a client that
/// writes colons into its path does not get into another part.
#[derive(Clone, Debug)]
pub(super) struct ArnPattern(Box<[Pattern; 6]>);

impl ArnPattern {
    /// `None` if a variable is malformed; `Some(None)` if the text has not the parts of an ARN.
    pub(super) fn compile(text: &str, variables: bool) -> Option<Option<Self>> {
        let syntax = Syntax { wildcards: true, variables };
        let parts = split_parts(text, variables);
        let compiled: Vec<_> =
            parts.iter().map(|part| Pattern::compile(part, syntax)).collect::<Option<_>>()?;
        Some(compiled.try_into().ok().map(|parts| Self(Box::new(parts))))
    }

    pub(super) fn matches(&self, text: &str, variables: &Variables<'_>) -> bool {
        let Some(parts) = split(text) else { return false };
        self.0.iter().zip(parts).all(|(pattern, part)| pattern.matches(part, Case::Sensitive, variables))
    }

    fn has_plain_head(&self) -> bool {
        self.0[..5].iter().all(Pattern::is_literal)
    }

    fn has_variable_in_head(&self) -> bool {
        self.0[..5].iter().any(Pattern::has_variables)
    }
}

/// A value of `Resource` or `NotResource`.
#[derive(Clone, Debug)]
pub(super) struct ResourcePattern {
    whole: Pattern,
    /// Present where a wildcard stands before the fifth colon, so that the parts must be looked at one by one.
    parts: Option<ArnPattern>,
}

/// As a policy writes it.
impl fmt::Display for ResourcePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.whole.fmt(f)
    }
}

/// Why a text is no resource pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResourceFault {
    NotAnArn,
    Variable,
}

impl ResourcePattern {
    /// `*`, or an ARN with wildcards, and with variables in its resource part. A pattern of fewer parts
    /// (`arn:aws:execute-api:*`) matches the whole ARN, as its last `*` is documented to reach across colons.
    pub(super) fn compile(text: &str, variables: bool) -> Result<Self, ResourceFault> {
        let all = !text.is_empty() && text.bytes().all(|byte| byte == b'*');
        if !all && !text.starts_with("arn:") {
            return Err(ResourceFault::NotAnArn);
        }
        let syntax = Syntax { wildcards: true, variables };
        let whole = Pattern::compile(text, syntax).ok_or(ResourceFault::Variable)?;
        let parts = ArnPattern::compile(text, variables).ok_or(ResourceFault::Variable)?;
        let misplaced = match &parts {
            Some(parts) => parts.has_variable_in_head(),
            None => whole.has_variables(),
        };
        if misplaced {
            return Err(ResourceFault::Variable);
        }
        Ok(Self { whole, parts: parts.filter(|parts| !parts.has_plain_head()) })
    }

    #[cfg(feature = "authorizer")]
    pub(super) fn has_variables(&self) -> bool {
        self.whole.has_variables()
    }

    pub(super) fn literal_prefix(&self) -> &str {
        self.whole.literal_prefix()
    }

    pub(super) fn matches(&self, arn: &str, variables: &Variables<'_>) -> bool {
        match &self.parts {
            Some(parts) => parts.matches(arn, variables),
            None => self.whole.matches(arn, Case::Sensitive, variables),
        }
    }

    /// Matches an ARN that is known to begin with [`Self::literal_prefix`].
    pub(super) fn matches_behind_prefix(&self, arn: &str, variables: &Variables<'_>) -> bool {
        match &self.parts {
            Some(parts) => parts.matches(arn, variables),
            None => self.whole.matches_behind_prefix(arn, variables),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(pattern: &str, arn: &str) -> bool {
        let compiled = ResourcePattern::compile(pattern, true).unwrap();
        let whole = compiled.matches(arn, &Variables::new(&()));
        if arn.starts_with(compiled.literal_prefix()) {
            assert_eq!(compiled.matches_behind_prefix(arn, &Variables::new(&())), whole, "{pattern} {arn}");
        }
        whole
    }

    #[test]
    fn wildcards_stay_inside_their_part() {
        let arn = "arn:aws:execute-api:eu-west-1:111122223333:a1/v1/GET/pets";
        for pattern in [
            "*",
            "arn:aws:execute-api:*:*:*",
            "arn:aws:execute-api:*",
            "arn:aws:execute-api:eu-*:*:a1/*/pets",
        ] {
            assert!(resource(pattern, arn), "{pattern}");
        }
        let forged = "arn:aws:execute-api:eu-west-1:111122223333:a1/v1/GET/x:999900001111:b2/v1/GET/pets";
        assert!(!resource("arn:aws:execute-api:*:999900001111:b2/*", forged));
        assert!(resource("arn:aws:execute-api:*:111122223333:a1/*", forged));
        assert!(!resource("arn:aws:execute-api:*:1:*", "not an arn"));
    }

    #[test]
    fn what_is_no_resource() {
        let fault = |text: &str| ResourcePattern::compile(text, true).unwrap_err();
        for text in ["", "pets", "a*", "execute-api:/*", "?"] {
            assert_eq!(fault(text), ResourceFault::NotAnArn, "{text}");
        }
        for text in ["arn:${a}:s3:::b", "arn:aws:${a}", "arn:aws:s3:::${", "arn:aws:s3:${a}::b"] {
            assert_eq!(fault(text), ResourceFault::Variable, "{text}");
        }
        assert!(ResourcePattern::compile("arn:aws:s3:::${aws:username}", true).is_ok());
        assert!(ResourcePattern::compile("arn:aws:s3:::${", false).is_ok());
    }
}
