//! What an authenticated caller may do: identity policies, and the resource policy with them.

use super::{caller_keys::CallerKeys, refusal::Refusal};
use crate::{
    context::{Caller, CallerIdentity, RequestContext},
    policy::{
        self, AccessDenial, AccessRequest, CallArns, Decision, DenialWording, ExecuteApi, INVOKE, Policy,
        RequestKeys, check_arn_length,
        combine::{self, AccountGrant, Combined, PolicyKind},
        not_authorized,
    },
    resource_policy::ResourcePolicy,
    response::{Cause, GatewayError},
};
use http::{Extensions, HeaderMap, Method, Uri};
use std::sync::Arc;

/// The settings of authorization.
#[derive(Clone, Debug)]
pub(super) struct Permissions {
    pub(super) api: ExecuteApi,
    /// Where no `StageRouter` has found one.
    pub(super) stage: String,
    pub(super) resource_policy: Option<ResourcePolicy>,
    pub(super) account_grant: AccountGrant,
    pub(super) wording: DenialWording,
    pub(super) explain: bool,
}

/// The request as it is routed.
#[derive(Clone, Copy)]
pub(crate) struct Routed<'a> {
    pub(crate) context: &'a RequestContext,
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) extensions: &'a Extensions,
}

/// What a caller's credentials bring along.
#[derive(Debug)]
pub(super) struct Grants {
    pub(super) policies: Vec<Policy>,
    pub(super) is_temporary: bool,
}

/// An authenticated caller, as policies judge it.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) caller: &'a Caller,
    pub(super) grants: &'a Grants,
}

impl<'a> Subject<'a> {
    /// `None`: some other layer proved the identity.
    pub(super) fn of(caller: &'a CallerIdentity) -> Option<Self> {
        Some(Self { caller: caller.caller(), grants: caller.rights::<Arc<Grants>>()? })
    }
}

type Keys<'a> = (CallerKeys<'a>, RequestKeys<'a>);

/// A call, its ARNs, and what conditions may ask.
struct Case<'a> {
    action: &'a str,
    subject: Subject<'a>,
    arns: CallArns,
    keys: Keys<'a>,
}

impl Case<'_> {
    fn question<'b>(&'b self, arn: &'b str) -> AccessRequest<'b> {
        let caller = policy::RequestPrincipal::Aws(self.subject.caller.user_arn());
        AccessRequest::new(self.action, arn, &self.keys).caller(caller).also_spelled(self.arns.spellings())
    }
}

/// What the policies of both kinds decide, each with the ARN that it decided about.
struct Weighed<'a> {
    outcome: Combined,
    identity_arn: &'a str,
    resource: Option<(&'a Policy, &'a str)>,
}

impl Permissions {
    /// Judges a call by the ARN of the path that is routed, which need not be the one that was signed.
    pub(super) fn decide(&self, routed: &Routed<'_>, subject: Subject<'_>) -> Result<(), Refusal> {
        let case = self.case(INVOKE, routed, subject)?;
        let Weighed { outcome, identity_arn, resource } = self.weigh(&case);
        if outcome.is_allowed() {
            return Ok(());
        }
        let (decided_on, policies) = match (decisive(outcome), resource) {
            (PolicyKind::Resource, Some((policy, arn))) => (arn, std::slice::from_ref(policy)),
            _ => (identity_arn, &*subject.grants.policies),
        };
        let denial = self.denial(outcome, policies, &case.question(decided_on), decided_on);
        let user = Some(subject.caller.user_arn());
        let text = not_authorized(user, INVOKE, case.arns.matched(), outcome, self.wording);
        Err(Refusal { error: GatewayError::access_denied(cause(outcome), text), denial })
    }

    /// Whether a caller may do something else with what a call is routed to.
    pub(super) fn permits(&self, action: &str, routed: &Routed<'_>) -> bool {
        let subject = routed.context.caller().and_then(Subject::of);
        let case = subject.and_then(|subject| self.case(action, routed, subject).ok());
        case.is_some_and(|case| self.weigh(&case).outcome.is_allowed())
    }

    /// Fails where the ARN is too long to be judged.
    fn case<'a>(
        &self,
        action: &'a str,
        routed: &Routed<'a>,
        subject: Subject<'a>,
    ) -> Result<Case<'a>, GatewayError> {
        let (stage, method) = (routed.context.stage().unwrap_or(&self.stage), routed.method.as_str());
        let path = routed_path(routed);
        check_arn_length(&self.api, stage, method, path)?;
        let arns = CallArns::new(&self.api, stage, method, path);
        let request = RequestKeys::new(routed.context, routed.headers, routed.extensions);
        let now = routed.context.arrived().unix_seconds();
        Ok(Case { action, subject, arns, keys: (CallerKeys { subject, now }, request) })
    }

    fn weigh<'a>(&'a self, case: &'a Case<'_>) -> Weighed<'a> {
        let decide =
            |policies: &[Policy]| case.arns.decide(|arn| policy::union(policies, &case.question(arn)));
        let (identity, identity_arn) = decide(&case.subject.grants.policies);
        let resource = self.resource_policy.as_ref().map(ResourcePolicy::policy);
        let resource =
            resource.map(|policy| (policy, case.arns.decide(|arn| policy.evaluate(&case.question(arn)))));
        let outcome = self.combine(identity, resource.map(|(_, (decision, _))| decision), case);
        Weighed { outcome, identity_arn, resource: resource.map(|(policy, (_, arn))| (policy, arn)) }
    }

    fn combine(&self, identity: Decision, resource: Option<Decision>, case: &Case<'_>) -> Combined {
        let outcome = if case.subject.caller.account_id() == self.api.account_id() {
            combine::same_account(identity, resource, self.account_grant)
        } else {
            combine::cross_account(identity, resource)
        };
        match case.keys.1.is_private() {
            true => combine::through_private_entry(outcome, resource),
            false => outcome,
        }
    }

    /// For operators: of several policies the one that denied, or else the first.
    fn denial(
        &self,
        outcome: Combined,
        policies: &[Policy],
        request: &AccessRequest<'_>,
        arn: &str,
    ) -> Option<AccessDenial> {
        let denies = |policy: &&Policy| policy.evaluate(request).is_explicit_deny();
        let policy = policies.iter().find(denies).or(policies.first()).filter(|_| self.explain)?;
        Some(AccessDenial::new("SigV4AuthLayer", outcome, arn.to_owned(), policy.explain(request)))
    }
}

fn decisive(outcome: Combined) -> PolicyKind {
    match outcome {
        Combined::ImplicitlyDenied(kind) | Combined::ExplicitlyDenied(kind) => kind,
        Combined::Allowed => PolicyKind::Identity,
    }
}

fn cause(outcome: Combined) -> Cause {
    match outcome {
        Combined::ExplicitlyDenied(PolicyKind::Identity) => Cause::IdentityPolicyDenied,
        Combined::ExplicitlyDenied(PolicyKind::Resource) => Cause::ResourcePolicyDenied,
        Combined::ImplicitlyDenied(PolicyKind::Resource) => Cause::ResourcePolicySilent,
        Combined::ImplicitlyDenied(PolicyKind::Identity) | Combined::Allowed => Cause::IdentityPolicySilent,
    }
}

/// The path that the route match saw, also where a router in between has taken a prefix off.
fn routed_path<'a>(routed: &Routed<'a>) -> &'a str {
    let received = routed.context.received_uri().path();
    let base = routed.context.route().and_then(|route| route.base);
    base.and_then(|base| received.get(base as usize..)).unwrap_or(routed.uri.path())
}
