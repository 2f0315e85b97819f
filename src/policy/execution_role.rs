//! Execution roles: what a stage may call on behalf of its requests.

use super::{AccessRequest, ConditionKeys, Decision, Evaluation, Policy, PolicyError};

/// `lambda:InvokeFunction`, what a Lambda integration needs.
pub const INVOKE_FUNCTION: &str = "lambda:InvokeFunction";

/// The policy that an integration's credentials carry (`credentials`, an IAM role): which functions and services a
/// stage may call. Nothing is allowed that it does not allow.
///
/// ```
/// use tower_gateway::policy::{ExecutionRole, INVOKE_FUNCTION};
///
/// let role = ExecutionRole::new(r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow",
///     "Action": "lambda:InvokeFunction", "Resource": "arn:aws:lambda:*:111122223333:function:pets-*"}}"#)?;
/// assert!(role.allows(INVOKE_FUNCTION, "arn:aws:lambda:eu-west-1:111122223333:function:pets-list", &()));
/// assert!(!role.allows(INVOKE_FUNCTION, "arn:aws:lambda:eu-west-1:111122223333:function:billing", &()));
/// assert!(!role.allows("sqs:SendMessage", "arn:aws:lambda:eu-west-1:111122223333:function:pets-list", &()));
/// # Ok::<(), tower_gateway::policy::PolicyError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ExecutionRole {
    policies: Vec<Policy>,
}

impl ExecutionRole {
    /// A role with one policy.
    ///
    /// # Errors
    ///
    /// What is not an identity policy.
    pub fn new(document: impl AsRef<[u8]>) -> Result<Self, PolicyError> {
        Ok(Self { policies: vec![Policy::identity(document)?] })
    }

    /// Attaches a further policy.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policies.push(policy);
        self
    }

    /// Whether the role may take `action` on `resource`, the ARN of what the integration calls.
    pub fn allows(&self, action: &str, resource: &str, keys: &dyn ConditionKeys) -> bool {
        self.decide(&AccessRequest::new(action, resource, keys)).is_allow()
    }

    /// The decision of all policies together.
    pub fn decide(&self, request: &AccessRequest<'_>) -> Decision {
        union(&self.policies, request)
    }

    /// The same with reasons, one evaluation for each policy.
    pub fn explain(&self, request: &AccessRequest<'_>) -> Vec<Evaluation> {
        self.policies.iter().map(|policy| policy.explain(request)).collect()
    }
}

/// Several policies of one kind act as one: any deny denies, any allow allows.
pub fn union<'p>(policies: impl IntoIterator<Item = &'p Policy>, request: &AccessRequest<'_>) -> Decision {
    let mut decision = Decision::ImplicitDeny;
    for policy in policies {
        match policy.evaluate(request) {
            Decision::ExplicitDeny => return Decision::ExplicitDeny,
            said => decision = decision.min(said),
        }
    }
    decision
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deny_in_any_policy_wins() {
        let policy = |effect: &str| {
            let statement = format!(r#"{{"Effect": "{effect}", "Action": "a:*", "Resource": "*"}}"#);
            Policy::identity(format!(r#"{{"Statement": {statement}}}"#)).unwrap()
        };
        let request = AccessRequest::new("a:b", "arn:aws:a:::b", &());
        assert_eq!(union(&[], &request), Decision::ImplicitDeny);
        assert_eq!(union(&[policy("Allow"), policy("Allow")], &request), Decision::Allow);
        assert_eq!(union(&[policy("Allow"), policy("Deny")], &request), Decision::ExplicitDeny);
    }
}
