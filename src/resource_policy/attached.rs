//! A policy attached to an API: the pure judgement of a call.

use crate::policy::{
    AccessDenial, AccessRequest, CallArns, ConditionKeys, Decision, DenialWording, ExecuteApi, INVOKE,
    Policy, PolicyError, RequestPrincipal,
    combine::{Combined, PolicyKind},
    not_authorized,
};
use crate::response::{Cause, GatewayError};
use std::sync::Arc;

/// The stage of a call where there is none: the name of the stage that serves everything else.
const NO_STAGE: &str = "$default";

/// The resource policy of an API. Immutable; a clone is a reference count. See the [module docs](super).
#[derive(Clone, Debug)]
#[must_use]
pub struct ResourcePolicy {
    config: Arc<Attached>,
}

#[derive(Clone, Debug)]
struct Attached {
    api: ExecuteApi,
    policy: Policy,
}

/// How a layer asks, and what it tells whom it refuses.
#[derive(Clone, Debug)]
pub(super) struct Manner {
    /// Of ARNs where there is no stage.
    pub(super) stage: Box<str>,
    pub(super) wording: DenialWording,
    pub(super) explain: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self { stage: NO_STAGE.into(), wording: DenialWording::default(), explain: true }
    }
}

/// One call of the API, as it is routed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) stage: Option<&'a str>,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
}

impl ResourcePolicy {
    /// How long a document may be on AWS, in characters. Whether AWS counts spaces is not documented; here they count.
    pub const MAX_CHARACTERS: usize = 8_192;

    /// Reads a policy document of at most [`MAX_CHARACTERS`](Self::MAX_CHARACTERS) and attaches it to the API, whose ARN
    /// `execute-api:/stage/METHOD/path` stands for.
    ///
    /// # Errors
    ///
    /// What is too long, or not a resource policy; nothing is skipped.
    pub fn new(api: &ExecuteApi, document: impl AsRef<[u8]>) -> Result<Self, PolicyError> {
        Self::with_limit(api, document, Self::MAX_CHARACTERS)
    }

    /// The same with another limit of characters, or with `None` for a document of any length.
    ///
    /// ```
    /// use tower_gateway::{policy::{ExecuteApi, PolicyProblem}, resource_policy::ResourcePolicy};
    ///
    /// let api = ExecuteApi::default();
    /// let statement = r#"{"Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "*"}"#;
    /// let document = format!(r#"{{"Statement": [{}]}}"#, [statement; 100].join(","));
    /// let error = ResourcePolicy::new(&api, &document).unwrap_err();
    /// assert_eq!(error.problem(), PolicyProblem::TooLong);
    /// assert!(ResourcePolicy::with_limit(&api, &document, None).is_ok());
    /// ```
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_limit(
        api: &ExecuteApi,
        document: impl AsRef<[u8]>,
        limit: impl Into<Option<usize>>,
    ) -> Result<Self, PolicyError> {
        if let Some(limit) = limit.into() {
            Policy::check_length(document.as_ref(), limit)?;
        }
        let policy = Policy::resource_of(api, document)?;
        Ok(Self { config: Arc::new(Attached { api: api.clone(), policy }) })
    }

    /// Whether it is the same policy, and not just one that says the same.
    #[cfg(all(feature = "gateway", any(feature = "authorizer", feature = "sigv4")))]
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.config, &other.config)
    }

    /// The API that the policy is attached to.
    pub fn api(&self) -> &ExecuteApi {
        &self.config.api
    }

    /// The policy itself, for the authorizers that decide together with it.
    pub fn policy(&self) -> &Policy {
        &self.config.policy
    }

    /// Judges an anonymous call: what the policy says, put through `combine`. The refusal comes with its explanation.
    pub(super) fn judge(
        &self,
        manner: &Manner,
        call: Call<'_>,
        keys: &dyn ConditionKeys,
        combine: fn(Option<Decision>) -> Combined,
    ) -> Result<(), (GatewayError, Option<AccessDenial>)> {
        let config = &*self.config;
        let stage = call.stage.unwrap_or(&manner.stage);
        let arns = CallArns::new(&config.api, stage, call.method, call.path);
        let (decision, decided_on) = arns.decide(|arn| config.policy.evaluate(&question(&arns, arn, keys)));
        let outcome = combine(Some(decision));
        if outcome.is_allowed() {
            return Ok(());
        }
        let denial = manner.explain.then(|| {
            let evaluation = config.policy.explain(&question(&arns, decided_on, keys));
            AccessDenial::new("ResourcePolicyLayer", outcome, decided_on.to_owned(), evaluation)
        });
        Err((refusal(arns.matched(), outcome, manner.wording), denial))
    }
}

fn refusal(arn: &str, outcome: Combined, wording: DenialWording) -> GatewayError {
    let cause = match outcome {
        Combined::ExplicitlyDenied(PolicyKind::Resource) => Cause::ResourcePolicyDenied,
        _ => Cause::ResourcePolicySilent,
    };
    GatewayError::access_denied(cause, not_authorized(None, INVOKE, arn, outcome, wording))
}

fn question<'a>(arns: &'a CallArns, arn: &'a str, keys: &'a dyn ConditionKeys) -> AccessRequest<'a> {
    AccessRequest::new(INVOKE, arn, keys).caller(RequestPrincipal::Anonymous).also_spelled(arns.spellings())
}
