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
    /// A pattern that matches decides, whatever variable of another could not be read.
    pub(super) fn include(&self, arn: &str, variables: &Variables<'_>) -> Truth {
        let mut outcome = Truth::No;
        for pattern in &self.patterns {
            match Truth::of_match(pattern.matches(arn, variables), variables) {
                Truth::Yes => return if self.negated { Truth::No } else { Truth::Yes },
                Truth::Unknown => outcome = Truth::Unknown,
                Truth::No => {}
            }
        }
        if outcome == Truth::No && self.negated { Truth::Yes } else { outcome }
    }
}

impl Statement {
    /// What the statement says, given whether its resources include the request's. `None`: nothing.
    pub(super) fn say(
        &self,
        request: &AccessRequest<'_>,
        includes_resource: Truth,
        variables: &Variables<'_>,
    ) -> Option<Decision> {
        if includes_resource == Truth::No || !self.actions.include(request.action, variables) {
            return None;
        }
        let named = self.principals.names(request.caller);
        if named == Named::No {
            return None;
        }
        match (self.effect, includes_resource.and(|| self.all_conditions(variables)), named) {
            (Effect::Deny, Truth::Yes | Truth::Unknown, _) => Some(Decision::ExplicitDeny),
            (Effect::Allow, Truth::Yes, Named::ByAccount) => Some(Decision::AllowAccount),
            (Effect::Allow, Truth::Yes, _) => Some(Decision::Allow),
            _ => None,
        }
    }

    /// Whether its resources include the request's. What an `Allow` excepts by `NotResource` it must not let in by
    /// another spelling: all of them must be outside.
    pub(super) fn includes(&self, request: &AccessRequest<'_>, variables: &Variables<'_>) -> Truth {
        let included = self.resources.include(request.resource, variables);
        if !self.resources.negated || self.effect == Effect::Deny {
            return included;
        }
        let others = request.spellings.iter().flatten();
        others.fold(included, |truth, arn| truth.and(|| self.resources.include(arn, variables)))
    }

    /// No condition and no variable: the request's keys are not asked.
    #[cfg(feature = "authorizer")]
    pub(super) fn decides_by_resource_alone(&self) -> bool {
        self.conditions.is_empty() && !self.resources.patterns.iter().any(ResourcePattern::has_variables)
    }

    /// All must hold. One that does not hold decides, whatever else is unknown.
    fn all_conditions(&self, variables: &Variables<'_>) -> Truth {
        let each = self.conditions.iter();
        each.fold(Truth::Yes, |truth, condition| truth.and(|| condition.evaluate(variables)))
    }
}

impl Truth {
    /// Whether a pattern matched; not to be told if a variable in it was unreadable.
    pub(super) fn of_match(matched: bool, variables: &Variables<'_>) -> Self {
        match (matched, variables.take_unreadable()) {
            (true, _) => Self::Yes,
            (false, true) => Self::Unknown,
            (false, false) => Self::No,
        }
    }

    fn and(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::No => Self::No,
            Self::Yes => other(),
            Self::Unknown if other() == Self::No => Self::No,
            Self::Unknown => Self::Unknown,
        }
    }
}
