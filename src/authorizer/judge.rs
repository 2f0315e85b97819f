//! The judgement of a grant, and of a resource policy with it: pure, and made anew for every request.

use super::answer::{Grant, Rule};
use crate::{
    context::RequestContext,
    policy::{
        AccessDenial, AccessRequest, CallArns, Decision, DenialWording, ExecuteApi, INVOKE, Policy,
        RequestKeys, check_arn_length,
        combine::{self, Combined, PolicyKind},
        not_authorized, not_authorized_by_authorizer,
    },
    response::{Cause, GatewayError},
};
use http::Method;

/// The stage segment of an ARN where there is no stage.
const NO_STAGE: &str = "$default";

/// The refusal, with its explanation where a policy refused.
pub(super) type Refusal = (GatewayError, Option<AccessDenial>);

/// The ARNs of a call, from method and path as they reach the service.
pub(super) fn arns(api: &ExecuteApi, context: &RequestContext, method: &Method, path: &str) -> CallArns {
    CallArns::new(api, context.stage().unwrap_or(NO_STAGE), method.as_str(), path)
}

/// Refuses what AWS asks no authorizer about.
pub(super) fn check_length(
    api: &ExecuteApi,
    context: &RequestContext,
    method: &Method,
    path: &str,
) -> Result<(), GatewayError> {
    check_arn_length(api, context.stage().unwrap_or(NO_STAGE), method.as_str(), path)
}

/// A call of the API, as policies are asked about it.
pub(super) struct Call<'a> {
    pub(super) arns: CallArns,
    pub(super) keys: RequestKeys<'a>,
    pub(super) resource_policy: Option<&'a Policy>,
    pub(super) wording: DenialWording,
}

impl Call<'_> {
    fn ask(&self, policy: &Policy) -> (Decision, &str) {
        self.arns.decide(|arn| policy.evaluate(&self.question(arn)))
    }

    fn question<'a>(&'a self, arn: &'a str) -> AccessRequest<'a> {
        AccessRequest::new(INVOKE, arn, &self.keys).also_spelled(self.arns.spellings())
    }

    /// Phase one: an explicit deny of the resource policy, or a private entry without one, before anybody is asked.
    pub(super) fn before_authorizer(&self) -> Result<(), Refusal> {
        let resource = self.resource_policy.map(|policy| self.ask(policy).0);
        let outcome = match combine::before_authorizer(resource) {
            passed if self.keys.is_private() => combine::through_private_entry(passed, resource),
            outcome => outcome,
        };
        if outcome.is_allowed() {
            return Ok(());
        }
        let message = not_authorized(None, INVOKE, self.arns.matched(), outcome, self.wording);
        Err(self.refuse(outcome, message, self.resource_policy))
    }

    /// Phase two: what the grant and the resource policy say together.
    pub(super) fn judge(&self, grant: &Grant) -> Result<(), Refusal> {
        let (decision, policy) = match &grant.rule {
            Rule::Simple(true) => (Decision::Allow, None),
            Rule::Simple(false) => (Decision::ExplicitDeny, None),
            Rule::Policy(policy) => (self.ask(policy).0, Some(policy)),
        };
        let resource = self.resource_policy.map(|policy| self.ask(policy).0);
        let outcome = combine::lambda_authorizer(decision, resource);
        let decisive = match outcome {
            Combined::Allowed => return Ok(()),
            Combined::ExplicitlyDenied(PolicyKind::Resource) => self.resource_policy,
            Combined::ExplicitlyDenied(_) | Combined::ImplicitlyDenied(_) => policy,
        };
        Err(self.refuse(outcome, not_authorized_by_authorizer(outcome, self.wording), decisive))
    }

    /// The refusal, and what the decisive policy's statements had to do with it.
    fn refuse(&self, outcome: Combined, message: String, decisive: Option<&Policy>) -> Refusal {
        let cause = match outcome {
            Combined::ExplicitlyDenied(_) => Cause::AuthorizerExplicitDeny,
            Combined::ImplicitlyDenied(PolicyKind::Resource) => Cause::ResourcePolicySilent,
            Combined::ImplicitlyDenied(_) | Combined::Allowed => Cause::AuthorizerImplicitDeny,
        };
        let denial = decisive.map(|policy| {
            let (_, arn) = self.ask(policy);
            let evaluation = policy.explain(&self.question(arn));
            AccessDenial::new("AuthorizerLayer", outcome, arn.to_owned(), evaluation)
        });
        (GatewayError::access_denied(cause, message), denial)
    }
}
