//! The judgement of a grant, and of a resource policy with it: pure, and made anew for every request.

use super::{
    AuthorizerError,
    answer::{Grant, Rule},
};
use crate::{
    context::RequestContext,
    policy::{
        AccessRequest, ConditionKey, ConditionKeys, ConditionValue, Decision, DenialWording, ExecuteApi,
        ExecuteApiArn, INVOKE, Policy,
        combine::{self, Outcome},
        not_authorized, not_authorized_by_authorizer,
    },
    response::{Cause, GatewayError},
    route::matched_path,
};
use http::{HeaderMap, HeaderName, header};

/// The stage segment of an ARN where there is no stage.
const NO_STAGE: &str = "$default";

/// The ARN of a call, from the path that is routed, in the one spelling that all its spellings share.
pub(super) fn arn(api: &ExecuteApi, context: &RequestContext, path: &str) -> ExecuteApiArn {
    let stage = context.stage().unwrap_or(NO_STAGE);
    api.arn(stage, context.method().as_str(), &matched_path(path))
}

/// What of a request the conditions of a policy can look at.
pub(super) struct RequestKeys<'a> {
    pub(super) context: &'a RequestContext,
    pub(super) headers: &'a HeaderMap,
}

impl ConditionKeys for RequestKeys<'_> {
    fn value<'a>(&'a self, key: &ConditionKey) -> Option<ConditionValue<'a>> {
        let arrived = self.context.arrived();
        match key {
            ConditionKey::SourceIp => self.context.source_ip().map(ConditionValue::Ip),
            ConditionKey::CurrentTime | ConditionKey::EpochTime => {
                Some(ConditionValue::Time(arrived.unix_seconds()))
            }
            ConditionKey::UserAgent => self.header(&header::USER_AGENT),
            ConditionKey::Referer => self.header(&header::REFERER),
            _ => None,
        }
    }
}

impl RequestKeys<'_> {
    /// Two fields, or bytes that are no text, cannot be judged: a `Deny` applies, an `Allow` does not.
    fn header(&self, name: &HeaderName) -> Option<ConditionValue<'_>> {
        let mut fields = self.headers.get_all(name).iter();
        let first = fields.next()?;
        let text = std::str::from_utf8(first.as_bytes()).ok().filter(|_| fields.next().is_none());
        Some(text.map_or(ConditionValue::Unreadable, ConditionValue::Text))
    }
}

/// A call of the API, as policies are asked about it.
pub(super) struct Call<'a> {
    pub(super) arn: &'a str,
    pub(super) keys: RequestKeys<'a>,
    pub(super) resource_policy: Option<&'a Policy>,
    pub(super) wording: DenialWording,
}

impl Call<'_> {
    fn ask(&self, policy: &Policy) -> Decision {
        policy.evaluate(&AccessRequest::new(INVOKE, self.arn, &self.keys))
    }

    /// Phase one: an explicit deny of the resource policy, before anybody is asked.
    pub(super) fn before_authorizer(&self) -> Result<(), GatewayError> {
        match combine::before_authorizer(self.resource_policy.map(|policy| self.ask(policy))) {
            Outcome::Allowed => Ok(()),
            outcome => {
                let message = not_authorized(None, INVOKE, self.arn, outcome, self.wording);
                Err(GatewayError::access_denied(Cause::AuthorizerExplicitDeny, message))
            }
        }
    }

    /// Phase two: what the grant and the resource policy say together.
    pub(super) fn judge(&self, grant: &Grant) -> Result<(), GatewayError> {
        let decision = match &grant.rule {
            Rule::Simple(true) => Decision::Allow,
            Rule::Simple(false) => Decision::ExplicitDeny,
            Rule::Policy(policy) => self.ask(policy),
        };
        let resource = self.resource_policy.map(|policy| self.ask(policy));
        match combine::lambda_authorizer(decision, resource) {
            Outcome::Allowed => Ok(()),
            outcome => Err(denied(outcome, self.wording)),
        }
    }
}

fn denied(outcome: Outcome, wording: DenialWording) -> GatewayError {
    let cause = match outcome {
        Outcome::ExplicitlyDenied(_) => Cause::AuthorizerExplicitDeny,
        _ => Cause::AuthorizerImplicitDeny,
    };
    GatewayError::access_denied(cause, not_authorized_by_authorizer(outcome, wording))
}

/// The refusal of a request that was not even asked about.
pub(super) fn refuse_identity(cause: Cause) -> GatewayError {
    GatewayError::new(crate::response::ResponseType::Unauthorized, cause)
}

/// The refusal where the function panicked in another request that waited for the same call.
pub(super) fn crashed() -> AuthorizerError {
    AuthorizerError::Failed("the authorizer panicked".to_owned())
}
