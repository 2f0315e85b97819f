//! What is wrong with a configuration, found when it is built, or with a change to it while it serves.

use std::{borrow::Cow, error::Error, fmt, sync::Arc};

/// A configuration that cannot work, or a change that was not made: of what kind, where the fault stands, the offending
/// value, and a sentence. After an error everything is as it was before.
///
/// Every builder of this crate answers with it (or wraps it, see `gateway::BuildError`), so that nothing is
/// left to fail while serving; and so does every handle by which keys, plans and stages are changed at run time. What an
/// endpoint of yours answers with is told by the [`kind`](Self::kind), not by the sentence.
///
/// ```
/// use tower_gateway::{ConfigErrorKind, route::{ApiMethod, Routes}};
///
/// let error = Routes::builder().any("/pets/{id", ApiMethod::new()).build().unwrap_err();
/// assert_eq!(error.kind(), ConfigErrorKind::Invalid);
/// assert_eq!(error.location(), "resource path");
/// assert_eq!(error.value(), "/pets/{id");
/// assert_eq!(error.to_string(), "resource path `/pets/{id`: a segment is neither text, `{name}` nor `{name+}`");
/// ```
///
/// Two errors are equal if they say the same; what they came from is not compared.
#[derive(Clone, Debug)]
pub struct ConfigError {
    kind: ConfigErrorKind,
    location: Cow<'static, str>,
    value: String,
    problem: Cow<'static, str>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// What kind of fault a [`ConfigError`] tells of.
///
/// ```
/// # #[cfg(feature = "api-key")] {
/// use tower_gateway::{ConfigErrorKind, api_key::{ApiKey, ApiKeys}};
///
/// let status = |kind| match kind {
///     ConfigErrorKind::NotFound => 404,
///     ConfigErrorKind::Exists | ConfigErrorKind::InUse => 409,
///     ConfigErrorKind::Store | ConfigErrorKind::System => 503,
///     _ => 400,
/// };
/// let keys = ApiKeys::new();
/// keys.add(ApiKey::new("k1")).expect("the first");
/// assert_eq!(status(keys.add(ApiKey::new("k1")).unwrap_err().kind()), 409);
/// assert_eq!(status(keys.add(ApiKey::new("k2").value("short")).unwrap_err().kind()), 400);
/// assert_eq!(status(keys.delete("k3").unwrap_err().kind()), 404);
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConfigErrorKind {
    /// The value cannot be: it is malformed, outside of AWS's limits, or does not fit what else is configured.
    Invalid,
    /// What is named is not there: no such key, plan, attachment, stage, deployment, canary, variable, setting or
    /// domain.
    NotFound,
    /// What is to be added is there already: the id of a key or its value, a plan, a stage, a deployment, a domain.
    Exists,
    /// Something that is there stands against it: a deployment that a stage points to, a key that is in another plan of
    /// the stage, a stage with a canary.
    InUse,
    /// The store that keeps changes did not take it. It may later; the [source](ConfigError::source) says why.
    Store,
    /// The machine failed: a file that cannot be read or opened, no random bytes. The [source](ConfigError::source) says
    /// why.
    System,
}

impl ConfigError {
    /// A value that cannot be.
    pub(crate) fn new(
        location: impl Into<Cow<'static, str>>,
        value: impl fmt::Display,
        problem: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            kind: ConfigErrorKind::Invalid,
            location: location.into(),
            value: value.to_string(),
            problem: problem.into(),
            source: None,
        }
    }

    /// What the machine refused, and in its words why.
    pub(crate) fn of_system(
        location: impl Into<Cow<'static, str>>,
        value: impl fmt::Display,
        problem: impl Into<Cow<'static, str>>,
        source: impl Error + Send + Sync + 'static,
    ) -> Self {
        Self::new(location, value, problem).with_kind(ConfigErrorKind::System).with_source(source)
    }

    pub(crate) fn with_kind(self, kind: ConfigErrorKind) -> Self {
        Self { kind, ..self }
    }

    pub(crate) fn with_source(self, source: impl Error + Send + Sync + 'static) -> Self {
        Self { source: Some(Arc::new(source)), ..self }
    }

    /// What kind of fault it is.
    pub fn kind(&self) -> ConfigErrorKind {
        self.kind
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

impl PartialEq for ConfigError {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.location, &self.value, &self.problem)
            == (other.kind, &other.location, &other.value, &other.problem)
    }
}

impl Eq for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`: {}", self.location, self.value, self.problem)
    }
}

impl Error for ConfigError {
    /// What it came from, in the words of the file system, the store or a parser. Its text is not part of this
    /// error's own.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
