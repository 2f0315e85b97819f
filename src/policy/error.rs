//! Why a policy document is refused, and where the fault stands.

use crate::error::ConfigError;
use std::{error::Error, fmt};

/// A policy document that cannot be used: where the fault stands, the offending text, and what is wrong.
///
/// ```
/// use tower_gateway::policy::{Policy, PolicyProblem};
///
/// let document = r#"{"Statement": {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*",
///     "Condition": {"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "10.0.0.0/99"]}}}}"#;
/// let error = Policy::identity(document).unwrap_err();
/// assert_eq!((error.statement(), error.member()), (Some(0), "Condition.IpAddress.aws:SourceIp[1]"));
/// assert_eq!(error.problem(), PolicyProblem::InvalidAddress);
/// assert_eq!(error.value(), "10.0.0.0/99");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    statement: Option<usize>,
    member: String,
    value: String,
    problem: PolicyProblem,
}

/// What is wrong with a policy document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PolicyProblem {
    /// Not JSON; the value holds the reader's words.
    Json,
    /// More characters than a resource policy may have.
    TooLong,
    /// A member stands twice in one object.
    RepeatedMember,
    /// A member that the policy language does not have.
    UnknownMember,
    /// A member that must be there is not.
    MissingMember,
    /// A value of another JSON type than the language has here.
    WrongType,
    /// A list or object that must not be empty is.
    Empty,
    /// Both `X` and `NotX`, of which a statement has one.
    BothForms,
    /// Neither `2012-10-17` nor `2008-10-17`.
    UnknownVersion,
    /// Neither `Allow` nor `Deny`, in exactly this spelling.
    UnknownEffect,
    /// Two statements with the same `Sid`.
    RepeatedSid,
    /// Neither `*` nor `service:action`.
    InvalidAction,
    /// Neither `*` nor an ARN pattern.
    InvalidResource,
    /// `execute-api:/stage/METHOD/path` in a policy that was read without an API to expand it with.
    ShortFormWithoutApi,
    /// Not a principal: account, ARN, service, provider or canonical user without wildcards, or `*` alone.
    InvalidPrincipal,
    /// `Principal` or `NotPrincipal` in an identity policy, which applies to whoever it is attached to.
    PrincipalInIdentityPolicy,
    /// A statement of a resource policy that says for nobody.
    PrincipalMissing,
    /// `NotPrincipal` with `Allow` would allow everybody else, anonymous callers included.
    NotPrincipalWithAllow,
    /// A condition operator that the language does not have.
    UnknownOperator,
    /// A condition key without a name.
    InvalidKey,
    /// Not a number.
    InvalidNumber,
    /// Neither an ISO 8601 date nor seconds since 1970.
    InvalidDate,
    /// Neither `true` nor `false`.
    InvalidBoolean,
    /// Neither an address nor a network in CIDR notation.
    InvalidAddress,
    /// Not base64.
    InvalidBase64,
    /// `${` without an end or without a name, a variable where none is allowed, or not alone where it must be.
    InvalidVariable,
}

impl PolicyProblem {
    fn words(self) -> &'static str {
        match self {
            Self::Json => "is not JSON",
            Self::TooLong => "is more than a resource policy may have",
            Self::RepeatedMember => "stands twice",
            Self::UnknownMember => "is not a member of the policy language",
            Self::MissingMember => "is missing",
            Self::WrongType => "is of the wrong type",
            Self::Empty => "is empty",
            Self::BothForms => "stands beside its opposite; a statement has one of them",
            Self::UnknownVersion => "is neither 2012-10-17 nor 2008-10-17",
            Self::UnknownEffect => "is neither Allow nor Deny",
            Self::RepeatedSid => "is the Sid of two statements",
            Self::InvalidAction => "is neither * nor service:action",
            Self::InvalidResource => "is neither * nor an ARN",
            Self::ShortFormWithoutApi => "is a short form, and no API is given to expand it with",
            Self::InvalidPrincipal => "is not a principal",
            Self::PrincipalInIdentityPolicy => "does not belong in an identity policy",
            Self::PrincipalMissing => "is missing; a resource policy says for whom",
            Self::NotPrincipalWithAllow => "with Allow would allow everybody else",
            Self::UnknownOperator => "is not a condition operator",
            Self::InvalidKey => "is not a condition key",
            Self::InvalidNumber => "is not a number",
            Self::InvalidDate => "is neither an ISO 8601 date nor seconds since 1970",
            Self::InvalidBoolean => "is neither true nor false",
            Self::InvalidAddress => "is neither an address nor a network",
            Self::InvalidBase64 => "is not base64",
            Self::InvalidVariable => "is not a policy variable that may stand here",
        }
    }
}

impl fmt::Display for PolicyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

impl PolicyError {
    pub(super) fn new(member: impl Into<String>, value: impl Into<String>, problem: PolicyProblem) -> Self {
        Self { statement: None, member: member.into(), value: value.into(), problem }
    }

    pub(super) fn in_statement(mut self, index: usize) -> Self {
        self.statement = Some(index);
        self
    }

    /// The index of the statement, from 0; `None` for a fault outside of the statements.
    pub fn statement(&self) -> Option<usize> {
        self.statement
    }

    /// Which member, as a path below the statement or the document: `Condition.IpAddress.aws:SourceIp[1]`.
    pub fn member(&self) -> &str {
        &self.member
    }

    /// The offending text.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// What is wrong.
    pub fn problem(&self) -> PolicyProblem {
        self.problem
    }

    /// The same as a configuration error, for the builders of this crate.
    pub(crate) fn into_config_error(self) -> ConfigError {
        ConfigError::new(format!("policy, {}", self.place()), &self.value, self.problem.words())
    }

    fn place(&self) -> String {
        match self.statement {
            Some(index) => format!("statement {index}, {}", self.member),
            None if self.member.is_empty() => "document".to_owned(),
            None => self.member.clone(),
        }
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: `{}` {}", self.place(), self.value, self.problem)
    }
}

impl Error for PolicyError {}

impl From<PolicyError> for ConfigError {
    fn from(error: PolicyError) -> Self {
        error.into_config_error()
    }
}
