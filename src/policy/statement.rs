//! A compiled statement: whom it names, what, where, and under which conditions.

use super::{
    AccessRequest, Decision, Effect,
    arn::ResourcePattern,
    condition::{Condition, Truth},
    pattern::{Case, Pattern, Variables},
    principal::{Named, Principals},
};

#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) sid: Option<Box<str>>,
    pub(super) effect: Effect,
    pub(super) principals: Principals,
    pub(super) actions: Actions,
    pub(super) resources: Resources,
    pub(super) conditions: Box<[Condition]>,
}

/// `Action` or `NotAction`.
#[derive(Clone, Debug)]
pub(super) struct Actions {
    pub(super) patterns: Box<[Pattern]>,
    pub(super) negated: bool,
}

impl Actions {
    pub(super) fn include(&self, action: &str, variables: &Variables<'_>) -> bool {
        let any = self.patterns.iter().any(|pattern| pattern.matches(action, Case::Insensitive, variables));
        any != self.negated
    }
}

/// `Resource` or `NotResource`.
#[derive(Clone, Debug)]
pub(super) struct Resources {
    pub(super) patterns: Box<[ResourcePattern]>,
    pub(super) negated: bool,
}

impl Resources {
    pub(super) fn include(&self, arn: &str, variables: &Variables<'_>) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(arn, variables)) != self.negated
    }
}

impl Statement {
    /// What the statement says, given whether its resources include the request's. `None`: nothing.
    ///
    /// A resource with an unreadable variable counts as included to a `Deny`.
    pub(super) fn say(
        &self,
        request: &AccessRequest<'_>,
        includes_resource: bool,
        variables: &Variables<'_>,
    ) -> Option<Decision> {
        let unreadable = variables.take_unreadable();
        if !includes_resource && !unreadable || !self.actions.include(request.action, variables) {
            return None;
        }
        let named = self.principals.names(request.caller);
        if named == Named::No {
            return None;
        }
        let conditions = self.all_conditions(variables);
        let truth = if unreadable { conditions.and_unknown() } else { conditions };
        match (self.effect, truth, named) {
            (Effect::Deny, Truth::Yes | Truth::Unknown, _) => Some(Decision::ExplicitDeny),
            (Effect::Allow, Truth::Yes, Named::ByAccount) => Some(Decision::AllowAccount),
            (Effect::Allow, Truth::Yes, _) => Some(Decision::Allow),
            _ => None,
        }
    }

    /// All must hold. One that does not hold decides, whatever else is unknown.
    fn all_conditions(&self, variables: &Variables<'_>) -> Truth {
        let mut outcome = Truth::Yes;
        for condition in &self.conditions {
            match condition.evaluate(variables) {
                Truth::No => return Truth::No,
                Truth::Unknown => outcome = Truth::Unknown,
                Truth::Yes => {}
            }
        }
        outcome
    }
}

impl Truth {
    fn and_unknown(self) -> Self {
        if self == Self::No { Self::No } else { Self::Unknown }
    }
}
