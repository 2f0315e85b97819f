//! Why an execution failed, in AWS's words where some are known.

use super::lines::Execution;
#[cfg(feature = "usage-plan")]
use crate::context::{LimitNumbers, RefusedLimit};
use crate::{
    context::RequestContext,
    response::{Cause, GatewayError, ResponseType},
    route::Authorization,
};

/// How far a request came. What is left of the place of its refusal was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reached {
    Entry,
    Authorizer,
    UsagePlan,
    Execution,
}

impl Reached {
    pub(super) fn of(context: &RequestContext) -> Self {
        let (Some(error), Some(layer)) = (context.error(), context.refusing_layer()) else {
            return Self::Execution;
        };
        match (error.cause(), layer) {
            // Bodies are read while a signature is verified, else while the service works on them.
            (Cause::BodyTooLarge | Cause::BodyTooSlow, _) if !awaits_signature(context) => Self::Execution,
            (Cause::BodyTooLarge | Cause::BodyTooSlow, _) => Self::Authorizer,
            (_, "ApiKeyLayer" | "UsagePlanLayer") => Self::UsagePlan,
            (_, "SigV4AuthLayer") => Self::Authorizer,
            (_, layer) if layer.ends_with("AuthorizerLayer") => Self::Authorizer,
            (_, "TimeoutLayer" | "CacheLayer") => Self::Execution,
            _ => Self::Entry,
        }
    }
}

/// Whether the method wants a signature, and none was verified.
fn awaits_signature(context: &RequestContext) -> bool {
    let declared = context.route().map(|route| &route.declared().method.authorization);
    matches!(declared, Some(Authorization::AwsIam)) && context.caller().is_none()
}

impl Execution<'_> {
    /// The line of what went wrong, if something did.
    pub(super) fn failure(&self) -> Option<String> {
        let integration = self.event.integration_error().map(str::to_owned);
        integration.or_else(|| self.event.error().map(|error| self.refusal(error)))
    }

    fn refusal(&self, error: &GatewayError) -> String {
        let context = self.event.context();
        match error.response_type() {
            ResponseType::Throttled | ResponseType::QuotaExceeded => self.exceeded(error),
            ResponseType::InvalidApiKey => self.key_refused(error.cause()),
            ResponseType::Unauthorized => format!("Unauthorized request: {}", context.request_id()),
            ResponseType::AccessDenied => "The client is not authorized to perform this operation.".into(),
            ResponseType::AuthorizerConfigurationError | ResponseType::AuthorizerFailure => {
                format!("Execution failed due to configuration error: {}", authorizer_error(context, error))
            }
            _ => {
                let layer = context.refusing_layer().unwrap_or("-");
                format!("Execution failed: {layer} refused with {:?}", error.cause())
            }
        }
    }

    fn key_refused(&self, cause: Cause) -> String {
        let (key, method, stage) = (&self.key, &self.method_key, &self.api_stage);
        let why = match cause {
            Cause::ApiKeyMissing => "no API Key was sent".to_owned(),
            Cause::ApiKeyRepeated => "more than one API Key was sent".to_owned(),
            Cause::ApiKeyDisabled => "API Key is disabled".to_owned(),
            // What AWS says of unknown keys too.
            _ => format!(
                "API Key is not associated with a Usage Plan for API Stage {stage}: No Usage Plan found for key and API Stage"
            ),
        };
        format!("API Key {key} not authorized because method '{method}' requires API Key and {why}")
    }

    #[cfg(feature = "usage-plan")]
    fn exceeded(&self, error: &GatewayError) -> String {
        match self.event.context().refused_limit() {
            Some(limit) => self.exceeded_limit(limit, error.cause()),
            None => format!("Key limit exceeded for API Stage {}", self.api_stage),
        }
    }

    #[cfg(not(feature = "usage-plan"))]
    fn exceeded(&self, _: &GatewayError) -> String {
        format!("Key limit exceeded for API Stage {}", self.api_stage)
    }

    #[cfg(feature = "usage-plan")]
    fn exceeded_limit(&self, limit: &RefusedLimit, cause: Cause) -> String {
        let (key, stage) = (&self.key, &self.api_stage);
        let plan = limit.plan_id.as_deref();
        let numbers = match limit.numbers {
            LimitNumbers::Throttle { rate, burst } => format!("Limit: {rate:.2} Burst: {burst}"),
            LimitNumbers::Quota { limit, period } => format!("Limit: {limit} Period: {period}"),
        };
        match (plan, limit.numbers) {
            (Some(plan), LimitNumbers::Quota { .. }) => format!(
                "API Key {key} exceeded quota limit for API Stage {stage}: Key quota exhausted for Usage Plan ID {plan}. {numbers}"
            ),
            (Some(plan), LimitNumbers::Throttle { .. }) => format!(
                "API Key {key} exceeded throttle limit for API Stage {stage}: Key throttle limit exceeded for Usage Plan ID {plan}, {}. {numbers}",
                self.method_place()
            ),
            (None, _) if cause == Cause::AccountThrottle => {
                format!("Throttle limit exceeded for Account. {numbers}")
            }
            (None, _) => format!("Key throttle limit exceeded for {}. {numbers}", self.method_place()),
        }
    }

    #[cfg(feature = "usage-plan")]
    fn method_place(&self) -> String {
        let context = self.event.context();
        let (api, stage) = self.api_stage.split_once('/').unwrap_or((&self.api_stage, "-"));
        let resource = context.resource_path().unwrap_or("-");
        format!("RestApi {api}, Stage {stage}, Resource {resource}, HttpMethod {}", context.method())
    }
}

/// What the authorizer's own failure was; otherwise the cause.
fn authorizer_error(context: &RequestContext, error: &GatewayError) -> String {
    let own = context.variable("authorizer.error").map(|text| text.into_owned());
    own.unwrap_or_else(|| format!("{:?}", error.cause()))
}
