//! The builder: one optional slot a phase, in any order of calls.

mod checks;
mod unread;

use super::{Cached, Gateway, Phases, Uncached, authorizers::Authorizers};
#[cfg(feature = "authorizer")]
use crate::authorizer::AuthorizerLayer;
#[cfg(feature = "jwt")]
use crate::jwt::{CognitoAuthorizerLayer, JwtAuthorizerLayer};
#[cfg(feature = "mtls")]
use crate::mtls::MutualTlsLayer;
#[cfg(feature = "policy")]
use crate::resource_policy::ResourcePolicyLayer;
#[cfg(feature = "sigv4")]
use crate::sigv4::SigV4AuthLayer;
use crate::{
    api_key::{ApiKeyLayer, ApiKeys},
    cache::CacheLayer,
    clock::Clock,
    context::{ApiKind, ContextConfig, PeerSource, PrincipalLayer, TrustedProxies},
    cors::CorsLayer,
    error::ConfigError,
    filter::FilterLayer,
    observe::{ApiInfo, ObserveLayer},
    payload_limit::PayloadLimitLayer,
    response::{GatewayResponseLayer, GatewayResponses},
    route::{ApiMethod, Routes},
    stage::{DEFAULT_STAGE, Stages},
    timeout::TimeoutLayer,
    usage_plan::{UsagePlanLayer, UsagePlans},
};
use http::{Extensions, HeaderName};
use std::{error::Error, fmt, net::IpAddr, sync::Arc};

/// Why a gateway cannot be built.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// One part is at fault.
    Config(ConfigError),
    /// Two parts do not make sense together.
    Conflict {
        /// The part that needs something.
        part: String,
        /// The part that would give it, and does not.
        other: &'static str,
        /// A sentence.
        problem: &'static str,
    },
}

/// Two parts that make no sense together: the answer of a check.
pub(super) fn conflict(
    part: impl Into<String>,
    other: &'static str,
    problem: &'static str,
) -> Result<(), BuildError> {
    Err(BuildError::Conflict { part: part.into(), other, problem })
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Conflict { part, other, problem } => write!(f, "{part} and {other}: {problem}"),
        }
    }
}

impl Error for BuildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Config(error) => error.source(),
            Self::Conflict { .. } => None,
        }
    }
}

impl From<ConfigError> for BuildError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

/// Collects the phases; see the [module docs](super). Calls may come in any order, and a second call replaces the first;
/// `api_keys` and `api_key` set the same phase, and so do `usage_plans` and `usage_plan`. `cache` is called once.
///
/// `C` is [`Uncached`](super::Uncached) or, after `cache`, `Cached`: a cache asks more of the service than the rest does.
#[derive(Debug)]
pub struct GatewayBuilder<C = Uncached> {
    parts: Box<Parts>,
    cache: C,
}

/// What does not depend on the cache.
#[derive(Debug)]
struct Parts {
    context: ContextConfig,
    stages: Option<Stages>,
    routes: Option<Routes>,
    observe: Option<ObserveLayer>,
    responses: GatewayResponses,
    #[cfg(any(feature = "tracing", feature = "xray"))]
    trace: Option<crate::observe::trace::TraceLayer>,
    #[cfg(feature = "mtls")]
    mutual_tls: Option<MutualTlsLayer>,
    cors: Option<CorsLayer>,
    filter: Option<FilterLayer>,
    payload_limit: Option<PayloadLimitLayer>,
    #[cfg(feature = "policy")]
    resource_policy: Option<ResourcePolicyLayer>,
    authorizers: Authorizers,
    principal: Option<PrincipalLayer>,
    api_key: Option<ApiKeyLayer>,
    usage_plan: Option<UsagePlanLayer>,
    timeout: Option<TimeoutLayer>,
    is_cached: bool,
    has_cache_table: bool,
    /// There is a cache, and it has no keys to encrypt with.
    cannot_encrypt: bool,
    aws_exact: bool,
    explanation_id: Option<HeaderName>,
}

impl Default for GatewayBuilder {
    fn default() -> Self {
        Self { parts: Box::default(), cache: Uncached }
    }
}

impl Default for Parts {
    fn default() -> Self {
        Self {
            context: ContextConfig::default(),
            stages: None,
            routes: None,
            observe: None,
            responses: GatewayResponses::new(),
            #[cfg(any(feature = "tracing", feature = "xray"))]
            trace: None,
            #[cfg(feature = "mtls")]
            mutual_tls: None,
            cors: None,
            filter: None,
            payload_limit: Some(PayloadLimitLayer::default()),
            #[cfg(feature = "policy")]
            resource_policy: None,
            authorizers: Authorizers::default(),
            principal: None,
            api_key: None,
            usage_plan: None,
            timeout: Some(TimeoutLayer::default()),
            is_cached: false,
            has_cache_table: false,
            cannot_encrypt: false,
            aws_exact: false,
            explanation_id: None,
        }
    }
}

impl<C> GatewayBuilder<C> {
    /// Stages with their deployments. Absent: one stage, `$default`, with [`routes`](Self::routes) or everything.
    #[must_use]
    pub fn stages(mut self, stages: Stages) -> Self {
        self.parts.stages = Some(stages);
        self
    }

    /// Resources and methods of an API that has no stages: they are served at the root, as stage `$default`.
    #[must_use]
    pub fn routes(mut self, routes: Routes) -> Self {
        self.parts.routes = Some(routes);
        self
    }

    /// The kind of API, unless a layer around the gateway was told another. Default: REST.
    #[must_use]
    pub fn api_kind(mut self, kind: ApiKind) -> Self {
        self.parts.context.kind = Some(kind);
        self
    }

    /// The proxies that are believed about a client's address, unless a layer around the gateway was told of some and knows
    /// the connection's peer. Default: none.
    #[must_use]
    pub fn trusted_proxies(mut self, proxies: TrustedProxies) -> Self {
        self.parts.context.proxies = Some(proxies);
        self
    }

    /// Finds the peer's address in another extension than [`PeerAddr`](crate::context::PeerAddr), unless a layer around
    /// the gateway has found one; for axum:
    /// `|extensions| extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip())`.
    #[must_use]
    pub fn peer_addr(mut self, find: impl Fn(&Extensions) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        self.parts.context.peer = PeerSource::new(find);
        self
    }

    /// The clock of the context, the filter, the payload limit, the observers, the gateway responses and the timeout,
    /// whatever clocks those were given. Keys, plans, cache, signatures, authorizers and tokens have clocks of their own,
    /// set where they are built: a test gives one [`ManualClock`](crate::clock::ManualClock) to all. Default: the
    /// system's.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.parts.context.clock = clock;
        self
    }

    /// What is told of every request at its end: an access log, metrics. The gateway makes the request's context, unless a
    /// layer outside has, with its own clock, kind and proxies, and measures the integration; what the layer says about
    /// those does not count. Default: nothing.
    #[must_use]
    pub fn observe(mut self, observe: impl Into<ObserveLayer>) -> Self {
        self.parts.observe = Some(observe.into());
        self
    }

    /// Continues the trace of each request, or begins one, once its stage is known: sampling rules may name it. Nothing is
    /// done where a `TraceLayer` stands around the gateway. Default: headers of traces pass as they are.
    #[cfg(any(feature = "tracing", feature = "xray"))]
    #[must_use]
    pub fn trace(mut self, trace: crate::observe::trace::TraceLayer) -> Self {
        self.parts.trace = Some(trace);
        self
    }

    /// Configured gateway responses. Default: the built-in ones.
    #[must_use]
    pub fn gateway_responses(mut self, responses: GatewayResponses) -> Self {
        self.parts.responses = responses;
        self
    }

    /// The header field in which every refusal names its explanation; see
    /// [`GatewayResponseLayer::explanation_id`](crate::response::GatewayResponseLayer::explanation_id). Default: none.
    #[must_use]
    pub fn explanation_id(mut self, name: HeaderName) -> Self {
        self.parts.explanation_id = Some(name);
        self
    }

    /// Asks for a client certificate before anything else. Refusals have request ids and stand in the access log, which
    /// those of a layer around the gateway do not. Default: none is asked for.
    #[cfg(feature = "mtls")]
    #[must_use]
    pub fn mutual_tls(mut self, layer: MutualTlsLayer) -> Self {
        self.parts.mutual_tls = Some(layer);
        self
    }

    /// CORS. Default: none.
    #[must_use]
    pub fn cors(mut self, cors: CorsLayer) -> Self {
        self.parts.cors = Some(cors);
        self
    }

    /// A request filter of your own. Default: none.
    #[must_use]
    pub fn filter(mut self, filter: FilterLayer) -> Self {
        self.parts.filter = Some(filter);
        self
    }

    /// URL, header and payload limits; `None` for no limits. Default: AWS's.
    #[must_use]
    pub fn payload_limit(mut self, limit: impl Into<Option<PayloadLimitLayer>>) -> Self {
        self.parts.payload_limit = limit.into();
        self
    }

    /// Which callers may call from where. Judged before the authorizer; an [`authorizer`](Self::authorizer) decides
    /// together with this policy. For methods with `AWS_IAM` the signature comes first, and the layer of
    /// [`sigv4`](Self::sigv4) judges by this policy. Both are given it, and neither may have another. Default: none.
    #[cfg(feature = "policy")]
    #[must_use]
    pub fn resource_policy(mut self, policy: ResourcePolicyLayer) -> Self {
        self.parts.resource_policy = Some(policy);
        self
    }

    /// Verifies signatures. Built with [`SignatureRequirement::PerMethod`](crate::sigv4::SignatureRequirement), it asks
    /// for one where the method has [`Authorization::AwsIam`](crate::route::Authorization::AwsIam); as it comes, it asks
    /// every request, whatever else the method wants. Default: none.
    #[cfg(feature = "sigv4")]
    #[must_use]
    pub fn sigv4(mut self, layer: SigV4AuthLayer) -> Self {
        self.parts.authorizers.sigv4 = Some(layer);
        self
    }

    /// The TOKEN and REQUEST authorizers of methods with
    /// [`Authorization::Custom`](crate::route::Authorization::Custom). Default: none.
    #[cfg(feature = "authorizer")]
    #[must_use]
    pub fn authorizer(mut self, layer: AuthorizerLayer) -> Self {
        self.parts.authorizers.custom = Some(layer);
        self
    }

    /// The JWT authorizers of methods with [`Authorization::Jwt`](crate::route::Authorization::Jwt). Default: none.
    #[cfg(feature = "jwt")]
    #[must_use]
    pub fn jwt_authorizer(mut self, layer: JwtAuthorizerLayer) -> Self {
        self.parts.authorizers.jwt = Some(layer);
        self
    }

    /// The user pools of methods with
    /// [`Authorization::CognitoUserPools`](crate::route::Authorization::CognitoUserPools). Default: none.
    #[cfg(feature = "jwt")]
    #[must_use]
    pub fn cognito_authorizer(mut self, layer: CognitoAuthorizerLayer) -> Self {
        self.parts.authorizers.cognito = Some(layer);
        self
    }

    /// Establishes the principal, for plans that are chosen by it. Default: none.
    #[must_use]
    pub fn principal(mut self, principal: PrincipalLayer) -> Self {
        self.parts.principal = Some(principal);
        self
    }

    /// API keys, read from `x-api-key` on methods that require one
    /// ([`ApiMethod::api_key_required`](crate::route::ApiMethod::api_key_required)), and on no others: without such a
    /// method nobody is asked for a key. Default: none.
    #[must_use]
    pub fn api_keys(self, keys: ApiKeys) -> Self {
        self.api_key(ApiKeyLayer::new(keys))
    }

    /// API keys with other settings than [`api_keys`](Self::api_keys).
    #[must_use]
    pub fn api_key(mut self, layer: ApiKeyLayer) -> Self {
        self.parts.api_key = Some(layer);
        self
    }

    /// Usage plans, stage and account throttles. A plan's limits are of keys that were asked for, or of principals by
    /// [`UsagePlanLayer::plan_by_principal`]: who has neither is limited by stage and account alone. Default: none.
    #[must_use]
    pub fn usage_plans(self, plans: UsagePlans) -> Self {
        self.usage_plan(UsagePlanLayer::new(plans))
    }

    /// Usage plans with other settings than [`usage_plans`](Self::usage_plans): weighted costs, reservations, plans
    /// by principal.
    #[must_use]
    pub fn usage_plan(mut self, layer: UsagePlanLayer) -> Self {
        self.parts.usage_plan = Some(layer);
        self
    }

    /// The integration timeout; `None` for none. Default: 29 s.
    #[must_use]
    pub fn timeout(mut self, timeout: impl Into<Option<TimeoutLayer>>) -> Self {
        self.parts.timeout = timeout.into();
        self
    }

    /// Leaves out what AWS does not send: `Retry-After`, `RateLimit`, `RateLimit-Policy`, and the request ids of
    /// the plain-text 413. Default: off.
    #[must_use]
    pub fn aws_exact(mut self, exact: bool) -> Self {
        self.parts.aws_exact = exact;
        self
    }

    /// Checks that the parts make sense together, and assembles them.
    ///
    /// # Errors
    ///
    /// [`BuildError::Conflict`] names the two parts: plans but neither keys nor a choice of plan by principal, a method
    /// that requires a key but no keys, both `stages` and `routes`, plans by principal without a principal, a method
    /// whose authorization nobody serves, signatures asked of a method with another authorizer, a resource policy beside
    /// another one or another API of the layers of signatures or authorizers, or beside a layer of signatures that only
    /// authenticates, keys from an authorizer that is not there, a part with a table of its own (`routes`), CORS of a
    /// resource that no deployment declares, a cache key by principal of a method that has none, a plan or a plan's
    /// method throttle for a stage that does not exist, a method throttle for a method that no deployment declares, a
    /// plan with attached keys where no method requires a key. Plans that a state file or a fleet keeps are not held
    /// against stages: theirs may be created yet. A principal that a layer around the gateway establishes is not known
    /// here: say it again with [`principal`](Self::principal).
    ///
    /// [`BuildError::Config`] names an `explanation_id` that is the HTTP server's.
    ///
    /// A method of a later deployment that needs a part which is not there is closed: 403 `INVALID_API_KEY` for keys, 500
    /// `AUTHORIZER_CONFIGURATION_ERROR` for authorizers.
    pub fn build(self) -> Result<Gateway<C>, BuildError> {
        self.parts.check()?;
        let cannot_encrypt = self.parts.cannot_encrypt;
        let phases = Arc::new(self.parts.assemble()?);
        phases.check_plans()?;
        if cannot_encrypt {
            phases.check_encryption()?;
        }
        Ok(Gateway { phases, cache: self.cache })
    }
}

impl GatewayBuilder<Uncached> {
    /// A response cache behind the quota and in front of the integration timeout: a hit is charged like any other
    /// request. Entries are kept by principal and verified API key. Default: none.
    ///
    /// It asks more of the service: its future, error and body are `Send + 'static`.
    #[must_use]
    pub fn cache(mut self, cache: CacheLayer) -> GatewayBuilder<Cached> {
        self.parts.is_cached = true;
        self.parts.has_cache_table = cache.has_routes();
        self.parts.cannot_encrypt = !cache.can_encrypt();
        GatewayBuilder { parts: self.parts, cache: Cached(cache) }
    }
}

impl Parts {
    fn assemble(self) -> Result<Phases, BuildError> {
        let routes = self.routes.unwrap_or_else(Routes::catch_all);
        let stages = self.stages.map_or_else(|| Stages::single(DEFAULT_STAGE, routes), Ok)?;
        let clock = self.context.clock.clone();
        #[cfg(any(feature = "sigv4", feature = "authorizer"))]
        let authorizers = self.authorizers.judging_by(self.resource_policy.as_ref())?;
        #[cfg(not(any(feature = "sigv4", feature = "authorizer")))]
        let authorizers = self.authorizers;
        let api = self.observe.as_ref().map(ObserveLayer::api_info);
        let responses =
            self.responses.or_named(api.and_then(ApiInfo::api_id), api.and_then(ApiInfo::account));
        let responses = GatewayResponseLayer::new(responses).clock(clock.clone());
        let responses = match self.explanation_id {
            Some(name) => responses.explanation_id(name)?,
            None => responses,
        };
        let context = self.context.complete();
        // An authorizer may have waited, so that the arrival is not the present.
        let undelayed = Some(&context).filter(|_| authorizers.is_empty());
        let usage_plan = self.usage_plan.map(|layer| layer.in_gateway(self.aws_exact, undelayed));
        Ok(Phases {
            context,
            stages,
            observers: self.observe.map(|observe| observe.clock(clock.clone()).observers()),
            responses: responses.bare_413(self.aws_exact),
            #[cfg(any(feature = "tracing", feature = "xray"))]
            trace: self.trace,
            #[cfg(feature = "mtls")]
            mutual_tls: self.mutual_tls,
            cors: self.cors,
            filter: self.filter,
            payload_limit: self.payload_limit.map(|layer| layer.clock(clock.clone())),
            #[cfg(feature = "policy")]
            resource_policy: self.resource_policy,
            principal: self.principal,
            api_key: self.api_key,
            usage_plan,
            authorizers,
            timeout: self.timeout.map(|layer| layer.clock(clock)),
        })
    }

    fn first_method(&self, is: impl Fn(&ApiMethod) -> bool) -> Option<String> {
        let tables = self.tables();
        let mut methods = tables.iter().flat_map(Routes::all_declared);
        let found = methods.find(|method| is(&method.method))?;
        Some(format!("method `{} {}`", found.verb_name(), found.resource_path))
    }
}
