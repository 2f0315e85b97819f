//! The policy: compiled once, asked per request.

use super::{
    AccessRequest, Decision, Effect, Evaluation, ExecuteApi, PolicyError,
    condition::Truth,
    document::{self, Reading},
    evaluation,
    index::{Entry, PrefixIndex},
    json::Node,
    pattern::Variables,
    statement::Statement,
};
use std::{fmt, sync::Arc};

/// A policy document, compiled. Immutable; a clone is a reference count. See the [module docs](super).
#[derive(Clone)]
pub struct Policy(Arc<Compiled>);

struct Compiled {
    statements: Box<[Statement]>,
    index: PrefixIndex,
    /// No conditions, no variables.
    #[cfg(feature = "authorizer")]
    by_resource_alone: bool,
}

impl Policy {
    /// Reads an identity policy: what is attached to a user, a role or credentials, or what a Lambda authorizer
    /// returns. It applies to its holder and names no principal.
    ///
    /// # Errors
    ///
    /// What is not a policy, and what this engine does not know: nothing is skipped.
    pub fn identity(document: impl AsRef<[u8]>) -> Result<Self, PolicyError> {
        Self::read(document.as_ref(), Reading { names_principals: false, api: None })
    }

    /// Reads an identity policy, in which `execute-api:/stage/METHOD/path` stands for the given API.
    ///
    /// # Errors
    ///
    /// As [`identity`](Self::identity).
    pub fn identity_for(api: &ExecuteApi, document: impl AsRef<[u8]>) -> Result<Self, PolicyError> {
        Self::read(document.as_ref(), Reading { names_principals: false, api: Some(api) })
    }

    /// Reads a resource policy: every statement says for whom.
    ///
    /// # Errors
    ///
    /// As [`identity`](Self::identity).
    pub fn resource(document: impl AsRef<[u8]>) -> Result<Self, PolicyError> {
        Self::read(document.as_ref(), Reading { names_principals: true, api: None })
    }

    /// Whether a document has at most `limit` characters, spaces included.
    pub(crate) fn check_length(document: &[u8], limit: usize) -> Result<(), PolicyError> {
        let length = String::from_utf8_lossy(document).chars().count();
        if length <= limit {
            return Ok(());
        }
        Err(PolicyError::new("", format!("{length} characters"), super::PolicyProblem::TooLong))
    }

    /// Reads the resource policy of an API, in which `execute-api:/stage/METHOD/path` stands for it, as AWS expands
    /// it when the policy is saved.
    ///
    /// # Errors
    ///
    /// As [`identity`](Self::identity).
    pub fn resource_of(api: &ExecuteApi, document: impl AsRef<[u8]>) -> Result<Self, PolicyError> {
        Self::read(document.as_ref(), Reading { names_principals: true, api: Some(api) })
    }

    /// The identity policy inside a document that has been read already. Repeated members are gone by then: the
    /// reader has kept one of them.
    #[cfg(any(feature = "authorizer", test))]
    pub(crate) fn identity_from_value(document: &serde_json::Value) -> Result<Self, PolicyError> {
        Self::compile(&document.into(), Reading { names_principals: false, api: None })
    }

    fn read(document: &[u8], reading: Reading<'_>) -> Result<Self, PolicyError> {
        Self::compile(&document::parse(document)?, reading)
    }

    fn compile(document: &Node, reading: Reading<'_>) -> Result<Self, PolicyError> {
        let statements = document::read(document, reading)?;
        let index = PrefixIndex::new(entries(&statements));
        Ok(Self(Arc::new(Compiled {
            #[cfg(feature = "authorizer")]
            by_resource_alone: statements.iter().all(Statement::decides_by_resource_alone),
            statements: statements.into(),
            index,
        })))
    }

    /// What the policy says to a request. Allocates nothing; its cost grows with the statements whose resources begin
    /// like the request's, not with all of them.
    pub fn evaluate(&self, request: &AccessRequest<'_>) -> Decision {
        let variables = Variables::new(request.keys);
        let mut decision = Decision::ImplicitDeny;
        for entry in self.0.index.candidates(request.resource) {
            let statement = &self.0.statements[entry.statement as usize];
            if decision == Decision::Allow && statement.effect == Effect::Allow {
                continue;
            }
            let includes = includes(statement, entry.pattern, request, &variables);
            match statement.say(request, includes, &variables) {
                Some(Decision::ExplicitDeny) => return Decision::ExplicitDeny,
                Some(said) => decision = decision.min(said),
                None => {}
            }
        }
        decision
    }

    /// The same decision with its reasons, for operators. Allocates; not for every request.
    pub fn explain(&self, request: &AccessRequest<'_>) -> Evaluation {
        evaluation::explain(&self.0.statements, request)
    }

    /// Whether caller, action and resource are all that it looks at: of one holder and one action, what it says about
    /// an ARN it always says.
    #[cfg(feature = "authorizer")]
    pub(crate) fn decides_by_resource_alone(&self) -> bool {
        self.0.by_resource_alone
    }

    /// How many statements there are.
    pub fn statements(&self) -> usize {
        self.0.statements.len()
    }
}

fn includes(
    statement: &Statement,
    pattern: Option<u32>,
    request: &AccessRequest<'_>,
    variables: &Variables<'_>,
) -> Truth {
    let Some(index) = pattern else { return statement.includes(request, variables) };
    let pattern = &statement.resources.patterns[index as usize];
    Truth::of_match(pattern.matches_behind_prefix(request.resource, variables), variables)
}

/// Each pattern under its literal prefix; `NotResource` under the empty one, since it is about every other resource.
fn entries(statements: &[Statement]) -> Vec<(&str, Entry)> {
    let mut entries = Vec::new();
    for (number, statement) in statements.iter().enumerate() {
        let entry = |pattern| Entry { statement: number as u32, pattern };
        if statement.resources.negated {
            entries.push(("", entry(None)));
            continue;
        }
        let patterns = statement.resources.patterns.iter().enumerate();
        entries
            .extend(patterns.map(|(index, pattern)| (pattern.literal_prefix(), entry(Some(index as u32)))));
    }
    entries
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policy({} statements)", self.statements())
    }
}
