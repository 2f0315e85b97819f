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
/// recording for API Gateway: `SigV4AuthLayer` follows its table A, for which it is, unless it is told otherwise. Other
/// services ask for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AccountGrant {
    /// An identity policy must allow as well.
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
pub enum Combined {
    /// The call goes on.
    Allowed,
    /// No policy of this kind allows, where one had to.
    ImplicitlyDenied(PolicyKind),
    /// A policy of this kind denies.
    ExplicitlyDenied(PolicyKind),
}

impl Combined {
    /// Whether the call goes on.
    pub fn is_allowed(self) -> bool {
        self == Self::Allowed
    }
}

/// An explicit deny of either; the identity policy's is named first.
fn denied(identity: Decision, resource: Option<Decision>) -> Option<Combined> {
    if identity.is_explicit_deny() {
        return Some(Combined::ExplicitlyDenied(PolicyKind::Identity));
    }
    let denies = resource.is_some_and(Decision::is_explicit_deny);
    denies.then_some(Combined::ExplicitlyDenied(PolicyKind::Resource))
}

fn allows(decision: Decision) -> bool {
    matches!(decision, Decision::Allow | Decision::AllowAccount)
}

/// A caller of the API's own account: either policy allows (table A).
pub fn same_account(identity: Decision, resource: Option<Decision>, grant: AccountGrant) -> Combined {
    let by_resource = match resource {
        Some(Decision::Allow) => true,
        Some(Decision::AllowAccount) => grant == AccountGrant::Allows,
        _ => false,
    };
    denied(identity, resource).unwrap_or(match allows(identity) || by_resource {
        true => Combined::Allowed,
        false => Combined::ImplicitlyDenied(PolicyKind::Identity),
    })
}

/// A caller of another account: both must allow (table B).
pub fn cross_account(identity: Decision, resource: Option<Decision>) -> Combined {
    denied(identity, resource).unwrap_or(match (allows(identity), resource.is_some_and(allows)) {
        (true, true) => Combined::Allowed,
        (false, _) => Combined::ImplicitlyDenied(PolicyKind::Identity),
        (true, false) => Combined::ImplicitlyDenied(PolicyKind::Resource),
    })
}

/// A Lambda authorizer's policy together with the resource policy, after the authorizer has run (table A). An
/// authorizer that says nothing about the method is overruled by a resource policy that allows, as documented.
pub fn lambda_authorizer(authorizer: Decision, resource: Option<Decision>) -> Combined {
    same_account(authorizer, resource, AccountGrant::Delegates)
}

/// Before a Lambda authorizer runs: only an explicit deny counts.
pub fn before_authorizer(resource: Option<Decision>) -> Combined {
    match resource {
        Some(Decision::ExplicitDeny) => Combined::ExplicitlyDenied(PolicyKind::Resource),
        _ => Combined::Allowed,
    }
}

/// What an outcome is where the call came through a private entry (a VPC endpoint): of an API without a resource policy
/// it is a refusal, whoever calls.
pub fn through_private_entry(outcome: Combined, resource: Option<Decision>) -> Combined {
    match (outcome, resource) {
        (Combined::Allowed, None) => Combined::ImplicitlyDenied(PolicyKind::Resource),
        (outcome, _) => outcome,
    }
}

/// A method without authorizer: the resource policy, where there is one, must allow.
pub fn no_authorizer(resource: Option<Decision>) -> Combined {
    match resource {
        None | Some(Decision::Allow) => Combined::Allowed,
        Some(Decision::ExplicitDeny) => Combined::ExplicitlyDenied(PolicyKind::Resource),
        Some(_) => Combined::ImplicitlyDenied(PolicyKind::Resource),
    }
}

/// A Cognito user pool has accepted the caller: the resource policy, where there is one, must allow too. The titles of
/// AWS's tables count Cognito among their cases, the text asks for an explicit allow; the text is stricter.
pub fn cognito(resource: Option<Decision>) -> Combined {
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
        let closed = Combined::ImplicitlyDenied(PolicyKind::Resource);
        assert_eq!(through_private_entry(same_account(Allow, None, AccountGrant::Allows), None), closed);
        assert_eq!(through_private_entry(no_authorizer(None), None), closed);
        assert!(through_private_entry(Combined::Allowed, Some(ImplicitDeny)).is_allowed());
        let denied = Combined::ExplicitlyDenied(PolicyKind::Identity);
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
