//! How a resource policy and another policy decide together: pure functions over two [`Decision`]s.
//!
//! | the other policy | resource policy | [`same_account`], [`lambda_authorizer`] | [`cross_account`] |
//! |---|---|---|---|
//! | Allow | Allow | Allow | Allow |
//! | Allow | silent | Allow | implicit deny |
//! | silent | Allow | Allow | implicit deny |
//! | silent | silent | implicit deny | implicit deny |
//! | Deny in either | | explicit deny | explicit deny |
//!
//! AWS: "How API Gateway resource policies affect authorization workflow", tables A and B. The resource policy is an
//! `Option` because an API may have none: then only the other policy counts, and a caller of another account, whom
//! nothing but a resource policy could let in, is refused.
//!
//! An [`AllowAccount`](Decision::AllowAccount) of the resource policy delegates: inside the account the identity policy
//! must allow as well ([`AccountGrant`]).

use super::Decision;

/// What a resource policy that names a caller by its account alone grants inside that account. AWS documents that it
/// "delegates authority to the account"; whether that is enough without an identity policy is not confirmed by a
/// recording for API Gateway. Other services ask for both, which is the default here; `SigV4AuthLayer` follows table A
/// unless it is told otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AccountGrant {
    /// An identity policy must allow as well.
    #[default]
    Delegates,
    /// It is enough.
    Allows,
}

/// Which kind of policy made a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PolicyKind {
    /// The caller's identity policies, or what an authorizer returned.
    Identity,
    /// The resource policy of the API.
    Resource,
}

/// What several policies decided together, and which of them was decisive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The call goes on.
    Allowed,
    /// No policy of this kind allows, where one had to.
    ImplicitlyDenied(PolicyKind),
    /// A policy of this kind denies.
    ExplicitlyDenied(PolicyKind),
}

impl Outcome {
    /// Whether the call goes on.
    pub fn is_allowed(self) -> bool {
        self == Self::Allowed
    }
}

/// An explicit deny of either; the identity policy's is named first.
fn denied(identity: Decision, resource: Option<Decision>) -> Option<Outcome> {
    if identity.is_explicit_deny() {
        return Some(Outcome::ExplicitlyDenied(PolicyKind::Identity));
    }
    let denies = resource.is_some_and(Decision::is_explicit_deny);
    denies.then_some(Outcome::ExplicitlyDenied(PolicyKind::Resource))
}

fn allows(decision: Decision) -> bool {
    matches!(decision, Decision::Allow | Decision::AllowAccount)
}

/// A caller of the API's own account: either policy allows (table A).
pub fn same_account(identity: Decision, resource: Option<Decision>, grant: AccountGrant) -> Outcome {
    let by_resource = match resource {
        Some(Decision::Allow) => true,
        Some(Decision::AllowAccount) => grant == AccountGrant::Allows,
        _ => false,
    };
    denied(identity, resource).unwrap_or(match allows(identity) || by_resource {
        true => Outcome::Allowed,
        false => Outcome::ImplicitlyDenied(PolicyKind::Identity),
    })
}

/// A caller of another account: both must allow (table B).
pub fn cross_account(identity: Decision, resource: Option<Decision>) -> Outcome {
    denied(identity, resource).unwrap_or(match (allows(identity), resource.is_some_and(allows)) {
        (true, true) => Outcome::Allowed,
        (false, _) => Outcome::ImplicitlyDenied(PolicyKind::Identity),
        (true, false) => Outcome::ImplicitlyDenied(PolicyKind::Resource),
    })
}

/// A Lambda authorizer's policy together with the resource policy, after the authorizer has run (table A). An
/// authorizer that says nothing about the method is overruled by a resource policy that allows, as documented.
pub fn lambda_authorizer(authorizer: Decision, resource: Option<Decision>) -> Outcome {
    same_account(authorizer, resource, AccountGrant::Delegates)
}

/// Before a Lambda authorizer runs: only an explicit deny counts.
pub fn before_authorizer(resource: Option<Decision>) -> Outcome {
    match resource {
        Some(Decision::ExplicitDeny) => Outcome::ExplicitlyDenied(PolicyKind::Resource),
        _ => Outcome::Allowed,
    }
}

/// What an outcome is where the call came through a private entry (a VPC endpoint): of an API without a resource policy
/// it is a refusal, whoever calls.
pub fn through_private_entry(outcome: Outcome, resource: Option<Decision>) -> Outcome {
    match (outcome, resource) {
        (Outcome::Allowed, None) => Outcome::ImplicitlyDenied(PolicyKind::Resource),
        (outcome, _) => outcome,
    }
}

/// A method without authorizer: the resource policy, where there is one, must allow.
pub fn no_authorizer(resource: Option<Decision>) -> Outcome {
    match resource {
        None | Some(Decision::Allow) => Outcome::Allowed,
        Some(Decision::ExplicitDeny) => Outcome::ExplicitlyDenied(PolicyKind::Resource),
        Some(_) => Outcome::ImplicitlyDenied(PolicyKind::Resource),
    }
}

/// A Cognito user pool has accepted the caller: the resource policy, where there is one, must allow too. The titles of
/// AWS's tables count Cognito among their cases, the text asks for an explicit allow; the text is stricter.
pub fn cognito(resource: Option<Decision>) -> Outcome {
    no_authorizer(resource)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Decision::{Allow, AllowAccount, ExplicitDeny, ImplicitDeny};

    #[test]
    fn an_account_delegates() {
        let same = |identity, grant| same_account(identity, Some(AllowAccount), grant);
        assert!(same(Allow, AccountGrant::Delegates).is_allowed());
        assert!(!same(ImplicitDeny, AccountGrant::Delegates).is_allowed());
        assert!(same(ImplicitDeny, AccountGrant::Allows).is_allowed());
        assert!(!same(ExplicitDeny, AccountGrant::Allows).is_allowed());
        assert!(cross_account(Allow, Some(AllowAccount)).is_allowed());
        assert!(!no_authorizer(Some(AllowAccount)).is_allowed());
    }

    #[test]
    fn without_a_resource_policy_the_other_counts() {
        assert!(same_account(Allow, None, AccountGrant::Delegates).is_allowed());
        assert!(!same_account(ImplicitDeny, None, AccountGrant::Delegates).is_allowed());
        assert!(!cross_account(Allow, None).is_allowed());
        assert!(lambda_authorizer(Allow, None).is_allowed());
        assert!(no_authorizer(None).is_allowed() && cognito(None).is_allowed());
    }

    #[test]
    fn a_private_entry_is_closed_without_a_resource_policy() {
        let closed = Outcome::ImplicitlyDenied(PolicyKind::Resource);
        assert_eq!(through_private_entry(same_account(Allow, None, AccountGrant::Allows), None), closed);
        assert_eq!(through_private_entry(no_authorizer(None), None), closed);
        assert!(through_private_entry(Outcome::Allowed, Some(ImplicitDeny)).is_allowed());
        let denied = Outcome::ExplicitlyDenied(PolicyKind::Identity);
        assert_eq!(through_private_entry(denied, None), denied);
    }

    #[test]
    fn phase_one_knows_denials_only() {
        for (decision, allowed) in
            [(Allow, true), (AllowAccount, true), (ImplicitDeny, true), (ExplicitDeny, false)]
        {
            assert_eq!(before_authorizer(Some(decision)).is_allowed(), allowed, "{decision:?}");
        }
        assert!(before_authorizer(None).is_allowed());
    }
}
