//! What is wrong with a configuration, found when it is built.

use std::{borrow::Cow, error::Error, fmt};

/// A configuration that cannot work: where the fault stands, the offending value, and a sentence.
///
/// Every builder of this crate answers with it (or wraps it, see `gateway::BuildError`), so that nothing is
/// left to fail while serving.
///
/// ```
/// use tower_gateway::route::{ApiMethod, Routes};
///
/// let error = Routes::builder().any("/pets/{id", ApiMethod::new()).build().unwrap_err();
/// assert_eq!(error.location(), "resource path");
/// assert_eq!(error.value(), "/pets/{id");
/// assert_eq!(error.to_string(), "resource path `/pets/{id`: a segment is neither text, `{name}` nor `{name+}`");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    location: Cow<'static, str>,
    value: String,
    problem: Cow<'static, str>,
}

impl ConfigError {
    pub(crate) fn new(
        location: impl Into<Cow<'static, str>>,
        value: impl fmt::Display,
        problem: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { location: location.into(), value: value.to_string(), problem: problem.into() }
    }

    /// Which setting is at fault, in words.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// The offending value as it was given. Never a secret: key values are left out.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Why it cannot work.
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`: {}", self.location, self.value, self.problem)
    }
}

impl Error for ConfigError {}
