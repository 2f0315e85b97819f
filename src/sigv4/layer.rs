//! The layer and its settings.

use super::{
    config::{Config, Rules},
    permissions::Permissions,
    replay::ReplayWindow,
    service::{SigV4AuthService, Wrap},
    store::CredentialsStore,
    verifier::SigV4Verifier,
};
use crate::{
    clock::Clock,
    context::ContextConfig,
    error::ConfigError,
    policy::{DenialWording, ExecuteApi, combine::AccountGrant},
    resource_policy::ResourcePolicy,
    route::Routes,
};
use std::{fmt, sync::Arc};
use tower_layer::Layer;

pub use super::config::SignatureRequirement;

/// 10 MiB, what AWS calls 10 MB.
const DEFAULT_BODY_LIMIT: u64 = 10_485_760;
/// The stage of an HTTP API that has no other.
const DEFAULT_STAGE: &str = "$default";

/// Asks for a signature, and for the permission to call; see the [module docs](super).
#[derive(Clone)]
pub struct SigV4AuthLayer {
    config: Arc<Config>,
}

impl SigV4AuthLayer {
    /// Starts a layer that verifies signatures and authorizes calls of one API: the signatures are for `execute-api`
    /// in the API's Region, and policies judge the API's ARNs.
    pub fn builder(store: impl CredentialsStore, api: ExecuteApi) -> SigV4AuthBuilder {
        let verifier = SigV4Verifier::new(api.region(), "execute-api");
        SigV4AuthBuilder::new(store, verifier, Some(api))
    }

    /// Starts a layer that only **authenticates**, for any service: whoever has an access key may do everything, and
    /// policies are not asked. Authorize inside, by [`RequestContext::caller`](crate::context::RequestContext::caller).
    pub fn authenticate_only(store: impl CredentialsStore, verifier: SigV4Verifier) -> SigV4AuthBuilder {
        SigV4AuthBuilder::new(store, Ok(verifier), None)
    }

    /// Whether the verified caller of a request may do `action` with what it is routed to. Nobody may where this layer
    /// only authenticates.
    #[cfg(feature = "cache")]
    pub(crate) fn permits(&self, action: &str, routed: &super::Routed<'_>) -> bool {
        self.config.permissions.as_ref().is_some_and(|permissions| permissions.permits(action, routed))
    }

    /// The layer inside a gateway with a resource policy, by which it judges; the error says why it cannot.
    #[cfg(feature = "gateway")]
    pub(crate) fn with_policy_of(mut self, policy: &ResourcePolicy) -> Result<Self, &'static str> {
        let Some(permissions) = &self.config.permissions else {
            return Err("methods with AWS_IAM are judged by the signature's layer, which only authenticates");
        };
        if permissions.resource_policy.as_ref().is_some_and(|own| !own.is(policy)) {
            return Err("the signature's layer was given another policy; without one it judges by this one");
        }
        if permissions.api != *policy.api() {
            return Err("the policy is attached to another API than that of the signature's layer");
        }
        let permissions = Permissions { resource_policy: Some(policy.clone()), ..permissions.clone() };
        Arc::make_mut(&mut self.config).permissions = Some(permissions);
        Ok(self)
    }

    /// Whether it has a table of its own.
    #[cfg(feature = "gateway")]
    pub(crate) fn has_routes(&self) -> bool {
        self.config.scope.is_some()
    }

    /// Whether it asks for a signature whatever the method says.
    #[cfg(feature = "gateway")]
    pub(crate) fn asks_always(&self) -> bool {
        self.config.rules.requirement == SignatureRequirement::Always
    }

    /// The layer as it stands inside a gateway, where request bodies are `GatewayBody` already: no body changes its
    /// type.
    #[cfg(feature = "gateway")]
    pub(crate) fn in_gateway(self) -> InGateway {
        InGateway { config: self.config }
    }
}

impl fmt::Debug for SigV4AuthLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigV4AuthLayer").field(&self.config).finish()
    }
}

impl<S> Layer<S> for SigV4AuthLayer {
    type Service = SigV4AuthService<S, Wrap>;

    fn layer(&self, inner: S) -> Self::Service {
        SigV4AuthService::new(inner, Arc::clone(&self.config))
    }
}

/// The layer inside a gateway.
#[cfg(feature = "gateway")]
#[derive(Clone, Debug)]
pub(crate) struct InGateway {
    config: Arc<Config>,
}

#[cfg(feature = "gateway")]
impl<S> Layer<S> for InGateway {
    type Service = SigV4AuthService<S, super::Keep>;

    fn layer(&self, inner: S) -> Self::Service {
        SigV4AuthService::new(inner, Arc::clone(&self.config))
    }
}

/// Collects the settings of a [`SigV4AuthLayer`].
pub struct SigV4AuthBuilder {
    store: Arc<dyn CredentialsStore>,
    verifier: Result<SigV4Verifier, ConfigError>,
    permissions: Option<Permissions>,
    /// The first setting that a layer which only authenticates does not have.
    unasked: Option<&'static str>,
    /// The API of a resource policy that is not this one's.
    foreign: Option<ExecuteApi>,
    rules: Rules,
    routes: Option<Routes>,
    clock: Clock,
}

impl SigV4AuthBuilder {
    fn new(
        store: impl CredentialsStore,
        verifier: Result<SigV4Verifier, ConfigError>,
        api: Option<ExecuteApi>,
    ) -> Self {
        let permissions = api.map(|api| Permissions {
            api,
            stage: DEFAULT_STAGE.to_owned(),
            resource_policy: None,
            account_grant: AccountGrant::Allows,
            wording: DenialWording::default(),
            explain: true,
        });
        let rules = Rules {
            body_limit: DEFAULT_BODY_LIMIT,
            long_mismatch: false,
            keep_query: false,
            dot_segments: false,
            requirement: SignatureRequirement::default(),
            replay: None,
        };
        let store = Arc::new(store);
        let clock = Clock::system();
        Self { store, verifier, permissions, unasked: None, foreign: None, rules, routes: None, clock }
    }

    /// Other rules of verification than the default ones: another service or Region, skew, leniency.
    #[must_use]
    pub fn verifier(mut self, verifier: SigV4Verifier) -> Self {
        self.verifier = Ok(verifier);
        self
    }

    fn rules(mut self, change: impl FnOnce(&mut Rules)) -> Self {
        change(&mut self.rules);
        self
    }

    fn permissions(mut self, setting: &'static str, change: impl FnOnce(&mut Permissions)) -> Self {
        match &mut self.permissions {
            Some(permissions) => change(permissions),
            None => self.unasked = self.unasked.or(Some(setting)),
        }
        self
    }

    /// The API's resource policy, which decides together with the caller's identity policies: either must allow for a
    /// caller of the API's own account, both for others; a deny in any denies. Give the same to a
    /// [`ResourcePolicyLayer`](crate::resource_policy), if there is one: it leaves `AWS_IAM` methods to this layer. A
    /// gateway gives its own. Default: none.
    #[must_use]
    pub fn resource_policy(mut self, policy: &ResourcePolicy) -> Self {
        let is_ours = self.permissions.as_ref().is_none_or(|permissions| permissions.api == *policy.api());
        self.foreign = (!is_ours).then(|| policy.api().clone());
        self.permissions("resource_policy", |permissions| permissions.resource_policy = Some(policy.clone()))
    }

    /// What a resource policy that names the caller by the account alone grants. Default:
    /// [`Allows`](AccountGrant::Allows), as API Gateway's table A says; with [`Delegates`](AccountGrant::Delegates) an
    /// identity policy must allow as well, as with other services.
    #[must_use]
    pub fn account_grant(self, grant: AccountGrant) -> Self {
        self.permissions("account_grant", |permissions| permissions.account_grant = grant)
    }

    /// How much a refusal by policy says. Default: [`Classic`](DenialWording::Classic).
    #[must_use]
    pub fn denial_wording(self, wording: DenialWording) -> Self {
        self.permissions("denial_wording", |permissions| permissions.wording = wording)
    }

    /// The stage in ARNs where no `StageRouter` outside has found one. Default: `$default`.
    #[must_use]
    pub fn stage(self, stage: impl Into<String>) -> Self {
        self.permissions("stage", |permissions| permissions.stage = stage.into())
    }

    /// Whether refusals by policies carry an [`AccessDenial`](crate::policy::AccessDenial) for operators. It costs a look
    /// at every statement, and allocates, on refusals only. Default: yes.
    #[must_use]
    pub fn explain_denials(self, explain: bool) -> Self {
        self.permissions("explain_denials", |permissions| permissions.explain = explain)
    }

    /// For which requests a signature is needed. Default: [`Always`](SignatureRequirement::Always).
    #[must_use]
    pub fn require(self, requirement: SignatureRequirement) -> Self {
        self.rules(|rules| rules.requirement = requirement)
    }

    /// Largest body in bytes that is collected for its hash. Default: 10 485 760, AWS's 10 MB. A method's own limit
    /// ([`ApiMethod::payload_limit`](crate::route::ApiMethod::payload_limit)) takes its place.
    #[must_use]
    pub fn body_limit(self, bytes: u64) -> Self {
        self.rules(|rules| rules.body_limit = bytes)
    }

    /// Authorization and limits per method for a layer used alone: the table is matched where no `StageRouter` has
    /// matched before.
    #[must_use]
    pub fn routes(mut self, routes: &Routes) -> Self {
        self.routes = Some(routes.clone());
        self
    }

    /// Tells a client whose signature does not fit what was signed here: canonical request and string to sign, as AWS
    /// was recorded to do in 2020. It **shows every signed header field**, a session token too. For development.
    /// Default: off.
    #[must_use]
    pub fn explain_mismatch(self, explain: bool) -> Self {
        self.rules(|rules| rules.long_mismatch = explain)
    }

    /// Leaves `X-Amz-Signature` and `X-Amz-Security-Token` in the query that the service sees. Default: they are taken
    /// off. The `Authorization` field of a verified request is always taken off, as on AWS.
    #[must_use]
    pub fn keep_query_credentials(self, keep: bool) -> Self {
        self.rules(|rules| rules.keep_query = keep)
    }

    /// Lets paths with dot segments pass. A signature for `/a/b` also fits `/a/x/../b`: what is authorized need not be
    /// what a service behind makes of it. Default: they are refused with 400, as by `StageRouter`.
    #[must_use]
    pub fn allow_dot_segments(self, allow: bool) -> Self {
        self.rules(|rules| rules.dot_segments = allow)
    }

    /// Accepts each signature in an `Authorization` field once only, remembering `capacity` of them (about 80 bytes each;
    /// at least one) for as long as they would be accepted, twice the clock skew at most; with more, requests are refused
    /// with 429. Presigned requests are meant to be used again and not remembered. Clients that send the same request
    /// twice within a second sign it alike, and are refused the second time. Default: off.
    #[must_use]
    pub fn refuse_replays(self, capacity: usize) -> Self {
        self.rules(|rules| rules.replay = Some(Arc::new(ReplayWindow::new(capacity))))
    }

    /// The clock of skew and expiry. Default: the system's.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Checks and makes the layer.
    ///
    /// # Errors
    ///
    /// A Region or service that no credential scope can hold; a stage that is empty or has a slash; a resource policy of
    /// another API; `resource_policy`, `account_grant`, `denial_wording`, `stage` or `explain_denials` of a layer that
    /// [only authenticates](SigV4AuthLayer::authenticate_only).
    pub fn build(self) -> Result<SigV4AuthLayer, ConfigError> {
        if let Some(setting) = self.unasked {
            let problem = "means nothing to a layer that only authenticates";
            return Err(ConfigError::new("signature setting", setting, problem));
        }
        let stage = self.permissions.as_ref().map(|permissions| &permissions.stage);
        if let Some(stage) = stage.filter(|stage| stage.is_empty() || stage.contains('/')) {
            return Err(ConfigError::new("stage", stage, "is empty or has a slash"));
        }
        if let Some(foreign) = self.foreign {
            let problem = "is attached to another API";
            return Err(ConfigError::new("resource policy", foreign.api_id(), problem));
        }
        let config = Config {
            verifier: self.verifier?,
            store: self.store,
            permissions: self.permissions,
            rules: self.rules,
            scope: self.routes.map(|routes| routes.scope()),
            context: ContextConfig::with_clock(self.clock),
        };
        Ok(SigV4AuthLayer { config: Arc::new(config) })
    }
}

impl fmt::Debug for SigV4AuthBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("SigV4AuthBuilder");
        out.field("verifier", &self.verifier).field("permissions", &self.permissions);
        out.field("rules", &self.rules).finish_non_exhaustive()
    }
}
