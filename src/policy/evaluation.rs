//! Why a policy decided as it did: data for operators.

use super::{
    AccessRequest, Decision, Effect, condition::Truth, pattern::Variables, principal::Named,
    statement::Statement,
};

/// A decision with what every statement had to do with it. Never for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    decision: Decision,
    statements: Vec<StatementReport>,
}

/// What one statement had to do with a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatementReport {
    /// Its index in the document, from 0.
    pub index: usize,
    /// Its `Sid`.
    pub sid: Option<String>,
    /// What it does where it applies.
    pub effect: Effect,
    /// What it said: `None` if it did not apply.
    pub said: Option<Decision>,
    /// Whether it names the caller.
    pub names_caller: bool,
    /// Whether it includes the action.
    pub includes_action: bool,
    /// Whether it includes the resource. A `Deny` also applies where an unreadable variable leaves that open.
    pub includes_resource: bool,
    /// The patterns of its `Resource`, or of `NotResource`, short forms written out.
    pub resources: Vec<String>,
    /// Whether it is about every resource but these.
    pub is_not_resource: bool,
    /// The conditions that did not hold or could not be evaluated.
    pub failed_conditions: Vec<ConditionReport>,
}

/// A condition that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConditionReport {
    /// The operator as the policy writes it.
    pub operator: String,
    /// The condition key.
    pub key: String,
    /// What the policy compares with: what would have been accepted (or, to a `Not` operator, refused).
    pub values: Vec<String>,
    /// Why it did not hold.
    pub failure: ConditionFailure,
}

/// Why a condition did not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConditionFailure {
    /// The request does not have the key.
    Absent,
    /// The request's value is not as the policy wants it.
    Mismatch,
    /// It could not be evaluated; a `Deny` applied all the same.
    NotEvaluable,
}

impl Evaluation {
    /// The decision.
    pub fn decision(&self) -> Decision {
        self.decision
    }

    /// A report for every statement, in order.
    pub fn statements(&self) -> &[StatementReport] {
        &self.statements
    }

    /// The statements that made the decision: those that deny if any does, otherwise those that allow.
    pub fn deciding(&self) -> impl Iterator<Item = &StatementReport> {
        self.statements.iter().filter(|report| report.said == Some(self.decision))
    }

    /// The statements that would have allowed, but for one thing: the caller, the action, the resource, or their
    /// conditions. What would have been allowed.
    pub fn near_misses(&self) -> impl Iterator<Item = &StatementReport> {
        self.statements.iter().filter(|report| report.effect == Effect::Allow && report.misses() == 1)
    }
}

impl StatementReport {
    fn misses(&self) -> usize {
        let missed = [
            !self.names_caller,
            !self.includes_action,
            !self.includes_resource,
            !self.failed_conditions.is_empty(),
        ];
        missed.into_iter().filter(|missed| *missed).count()
    }
}

pub(super) fn explain(statements: &[Statement], request: &AccessRequest<'_>) -> Evaluation {
    let each = statements.iter().enumerate();
    let statements: Vec<_> = each.map(|(index, statement)| report(index, statement, request)).collect();
    let said = || statements.iter().filter_map(|report| report.said);
    let decision = match said().any(Decision::is_explicit_deny) {
        true => Decision::ExplicitDeny,
        false => said().min().unwrap_or(Decision::ImplicitDeny),
    };
    Evaluation { decision, statements }
}

fn report(index: usize, statement: &Statement, request: &AccessRequest<'_>) -> StatementReport {
    let variables = Variables::new(request.keys);
    let includes_resource = statement.includes(request, &variables);
    let said = statement.say(request, includes_resource, &variables);
    StatementReport {
        index,
        sid: statement.sid.as_deref().map(str::to_owned),
        effect: statement.effect,
        said,
        names_caller: statement.principals.names(request.caller) != Named::No,
        includes_action: statement.actions.include(request.action, &variables),
        includes_resource: includes_resource == Truth::Yes,
        resources: statement.resources.patterns.iter().map(|pattern| pattern.to_string()).collect(),
        is_not_resource: statement.resources.negated,
        failed_conditions: failed_conditions(statement, request, &variables),
    }
}

fn failed_conditions(
    statement: &Statement,
    request: &AccessRequest<'_>,
    variables: &Variables<'_>,
) -> Vec<ConditionReport> {
    let mut failed = Vec::new();
    for condition in &statement.conditions {
        let failure = match condition.evaluate(variables) {
            Truth::Yes => continue,
            Truth::Unknown => ConditionFailure::NotEvaluable,
            Truth::No if request.keys.value(condition.key()).is_none() => ConditionFailure::Absent,
            Truth::No => ConditionFailure::Mismatch,
        };
        failed.push(ConditionReport {
            operator: condition.operator_name().to_owned(),
            key: condition.key().to_string(),
            values: condition.texts().to_vec(),
            failure,
        });
    }
    failed
}
