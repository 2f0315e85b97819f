//! What an authenticated caller may do: identity policies, and the resource policy with them.

use super::{credentials::Credentials, keys::RequestKeys};
use crate::{
    context::RequestContext,
    policy::{
        self, AccessRequest, Decision, DenialWording, ExecuteApi, INVOKE, Policy,
        combine::{self, AccountGrant, Outcome, PolicyKind},
        not_authorized,
    },
    response::{Cause, GatewayError, ResponseType},
    route::decode_unreserved,
};
use http::{HeaderMap, Method, StatusCode, Uri};
use std::borrow::Cow;

/// The settings of authorization.
#[derive(Clone, Debug)]
pub(super) struct Authorization {
    pub(super) api: ExecuteApi,
    /// Where no `StageRouter` has found one.
    pub(super) stage: String,
    pub(super) resource_policy: Option<Policy>,
    pub(super) account_grant: AccountGrant,
    pub(super) wording: DenialWording,
    pub(super) secure_transport: bool,
}

/// The request as it is routed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Routed<'a> {
    pub(super) context: &'a RequestContext,
    pub(super) method: &'a Method,
    pub(super) uri: &'a Uri,
    pub(super) headers: &'a HeaderMap,
    pub(super) now: i64,
}

/// Longest ARN, in bytes, that AWS judges.
const LONGEST_ARN: usize = 1600;

impl Authorization {
    /// Judges a call by the ARN of the path that is routed, which need not be the one that was signed.
    pub(super) fn decide(&self, routed: &Routed<'_>, credentials: &Credentials) -> Result<(), GatewayError> {
        let path = routed_path(routed);
        self.decide_path(routed, credentials, &path)?;
        // `/admin/` is routed as `/admin`: what forbids the one forbids the other.
        match path.strip_suffix('/') {
            Some(shorter) if !shorter.is_empty() => self.deny_path(routed, credentials, shorter),
            _ => Ok(()),
        }
    }

    fn decide_path(
        &self,
        routed: &Routed<'_>,
        credentials: &Credentials,
        path: &str,
    ) -> Result<(), GatewayError> {
        let arn = self.arn(routed, path);
        if arn.as_str().len() > LONGEST_ARN {
            return Err(arn_too_long());
        }
        let outcome = self.outcome(routed, credentials, arn.as_str());
        self.answer(outcome, credentials, arn.as_str())
    }

    /// Only an explicit deny counts.
    fn deny_path(
        &self,
        routed: &Routed<'_>,
        credentials: &Credentials,
        path: &str,
    ) -> Result<(), GatewayError> {
        let arn = self.arn(routed, path);
        match self.outcome(routed, credentials, arn.as_str()) {
            denied @ Outcome::ExplicitlyDenied(_) => self.answer(denied, credentials, arn.as_str()),
            _ => Ok(()),
        }
    }

    fn arn(&self, routed: &Routed<'_>, path: &str) -> policy::ExecuteApiArn {
        let stage = routed.context.stage().unwrap_or(&self.stage);
        self.api.arn(stage, routed.method.as_str(), path)
    }

    fn outcome(&self, routed: &Routed<'_>, credentials: &Credentials, arn: &str) -> Outcome {
        let keys = RequestKeys {
            caller: credentials.caller(),
            is_temporary: credentials.session_token().is_some(),
            context: routed.context,
            headers: routed.headers,
            now: routed.now,
            secure_transport: self.secure_transport,
        };
        let caller = policy::Caller::Aws(credentials.caller().user_arn());
        let request = AccessRequest::new(INVOKE, arn, &keys).caller(caller);
        let identity = policy::union(credentials.policies(), &request);
        let resource = self.resource_policy.as_ref().map(|policy| policy.evaluate(&request));
        self.combine(identity, resource, credentials)
    }

    fn combine(&self, identity: Decision, resource: Option<Decision>, credentials: &Credentials) -> Outcome {
        if credentials.caller().account_id() == self.api.account_id() {
            combine::same_account(identity, resource, self.account_grant)
        } else {
            combine::cross_account(identity, resource)
        }
    }

    fn answer(&self, outcome: Outcome, credentials: &Credentials, arn: &str) -> Result<(), GatewayError> {
        let cause = match outcome {
            Outcome::Allowed => return Ok(()),
            Outcome::ImplicitlyDenied(PolicyKind::Identity) => Cause::IdentityPolicySilent,
            Outcome::ImplicitlyDenied(PolicyKind::Resource) => Cause::ResourcePolicySilent,
            Outcome::ExplicitlyDenied(PolicyKind::Identity) => Cause::IdentityPolicyDenied,
            Outcome::ExplicitlyDenied(PolicyKind::Resource) => Cause::ResourcePolicyDenied,
        };
        let user = Some(credentials.caller().user_arn());
        let text = not_authorized(user, INVOKE, arn, outcome, self.wording);
        let kind = ResponseType::AccessDenied;
        Err(GatewayError::new(kind, cause).with_words(text, kind.error_type()))
    }
}

/// The path that the route match saw, with one slash at its start and in the one spelling that the match knows
/// (`/%61dmin` is `/admin`): a policy must not be avoided by another spelling.
fn routed_path<'a>(routed: &Routed<'a>) -> Cow<'a, str> {
    let received = routed.context.received_uri().path();
    let base = routed.context.route().and_then(|route| route.base);
    let path = base.and_then(|base| received.get(base as usize..)).unwrap_or(routed.uri.path());
    let slashes = path.bytes().take_while(|byte| *byte == b'/').count();
    let path = &path[slashes.saturating_sub(1)..];
    match decode_unreserved(path) {
        Cow::Borrowed(_) => Cow::Borrowed(path),
        // Only escapes of ASCII are decoded.
        Cow::Owned(bytes) => String::from_utf8(bytes).map_or(Cow::Borrowed(path), Cow::Owned),
    }
}

fn arn_too_long() -> GatewayError {
    let (status, text) = (StatusCode::URI_TOO_LONG, "Request URI too long");
    GatewayError::client_error(Cause::ResourceArnTooLong, status, text, "BadRequestException")
}
