//! What an authenticated caller may do: identity policies, and the resource policy with them.

use super::{caller_keys::CallerKeys, credentials::Credentials, refusal::Refusal};
use crate::{
    context::RequestContext,
    policy::{
        self, AccessDenial, AccessRequest, CallArns, Decision, DenialWording, ExecuteApi, INVOKE, Policy,
        RequestKeys,
        combine::{self, AccountGrant, Outcome, PolicyKind},
        not_authorized,
    },
    response::{Cause, GatewayError},
};
use http::{Extensions, HeaderMap, Method, StatusCode, Uri};

/// The settings of authorization.
#[derive(Clone, Debug)]
pub(super) struct Permissions {
    pub(super) api: ExecuteApi,
    /// Where no `StageRouter` has found one.
    pub(super) stage: String,
    pub(super) resource_policy: Option<Policy>,
    pub(super) account_grant: AccountGrant,
    pub(super) wording: DenialWording,
    pub(super) explain: bool,
}

/// The request as it is routed.
#[derive(Clone, Copy)]
pub(super) struct Routed<'a> {
    pub(super) context: &'a RequestContext,
    pub(super) method: &'a Method,
    pub(super) uri: &'a Uri,
    pub(super) headers: &'a HeaderMap,
    pub(super) extensions: &'a Extensions,
}

/// Longest ARN, in bytes, that AWS judges.
const LONGEST_ARN: usize = 1600;

impl Permissions {
    /// Judges a call by the ARN of the path that is routed, which need not be the one that was signed.
    pub(super) fn decide(&self, routed: &Routed<'_>, credentials: &Credentials) -> Result<(), Refusal> {
        let stage = routed.context.stage().unwrap_or(&self.stage);
        let arns = CallArns::new(&self.api, stage, routed.method.as_str(), routed_path(routed));
        if arns.matched().len() > LONGEST_ARN {
            return Err(arn_too_long().into());
        }
        let request = RequestKeys::new(routed.context, routed.headers, routed.extensions);
        let now = routed.context.arrived().unix_seconds();
        let keys = (CallerKeys { credentials, now }, request);
        let identity =
            arns.decide(|arn| policy::union(credentials.policies(), &question(arn, &keys, credentials)));
        let resource = self.resource_policy.as_ref();
        let resource = resource
            .map(|policy| (policy, arns.decide(|arn| policy.evaluate(&question(arn, &keys, credentials)))));
        let outcome = self.combine(identity.0, resource.map(|(_, (decision, _))| decision), credentials);
        if outcome.is_allowed() {
            return Ok(());
        }
        let (decided_on, policies) = match (decisive(outcome), resource) {
            (PolicyKind::Resource, Some((policy, (_, arn)))) => (arn, std::slice::from_ref(policy)),
            _ => (identity.1, credentials.policies()),
        };
        let denial = self.denial(outcome, policies, &question(decided_on, &keys, credentials), decided_on);
        let user = Some(credentials.caller().user_arn());
        let text = not_authorized(user, INVOKE, arns.matched(), outcome, self.wording);
        Err(Refusal { error: GatewayError::access_denied(cause(outcome), text), denial })
    }

    fn combine(&self, identity: Decision, resource: Option<Decision>, credentials: &Credentials) -> Outcome {
        if credentials.caller().account_id() == self.api.account_id() {
            combine::same_account(identity, resource, self.account_grant)
        } else {
            combine::cross_account(identity, resource)
        }
    }

    /// For operators: of several policies the one that denied, or else the first.
    fn denial(
        &self,
        outcome: Outcome,
        policies: &[Policy],
        request: &AccessRequest<'_>,
        arn: &str,
    ) -> Option<AccessDenial> {
        let denies = |policy: &&Policy| policy.evaluate(request).is_explicit_deny();
        let policy = policies.iter().find(denies).or(policies.first()).filter(|_| self.explain)?;
        Some(AccessDenial::new("SigV4AuthLayer", outcome, arn.to_owned(), policy.explain(request)))
    }
}

fn question<'a>(
    arn: &'a str,
    keys: &'a (CallerKeys<'_>, RequestKeys<'_>),
    credentials: &'a Credentials,
) -> AccessRequest<'a> {
    AccessRequest::new(INVOKE, arn, keys).caller(policy::Caller::Aws(credentials.caller().user_arn()))
}

fn decisive(outcome: Outcome) -> PolicyKind {
    match outcome {
        Outcome::ImplicitlyDenied(kind) | Outcome::ExplicitlyDenied(kind) => kind,
        Outcome::Allowed => PolicyKind::Identity,
    }
}

fn cause(outcome: Outcome) -> Cause {
    match outcome {
        Outcome::ExplicitlyDenied(PolicyKind::Identity) => Cause::IdentityPolicyDenied,
        Outcome::ExplicitlyDenied(PolicyKind::Resource) => Cause::ResourcePolicyDenied,
        Outcome::ImplicitlyDenied(PolicyKind::Resource) => Cause::ResourcePolicySilent,
        Outcome::ImplicitlyDenied(PolicyKind::Identity) | Outcome::Allowed => Cause::IdentityPolicySilent,
    }
}

/// The path that the route match saw, also where a router in between has taken a prefix off.
fn routed_path<'a>(routed: &Routed<'a>) -> &'a str {
    let received = routed.context.received_uri().path();
    let base = routed.context.route().and_then(|route| route.base);
    base.and_then(|base| received.get(base as usize..)).unwrap_or(routed.uri.path())
}

fn arn_too_long() -> GatewayError {
    let (status, text) = (StatusCode::URI_TOO_LONG, "Request URI too long");
    GatewayError::client_error(Cause::ResourceArnTooLong, status, text, "BadRequestException")
}
