//! The builder: one optional slot a phase, in any order of calls.

use super::{Gateway, Phases};
use crate::{
    api_key::{ApiKeyLayer, ApiKeys},
    clock::Clock,
    context::{ApiKind, ContextConfig, PeerSource, PrincipalLayer, TrustedProxies},
    cors::CorsLayer,
    error::ConfigError,
    filter::FilterLayer,
    payload_limit::PayloadLimitLayer,
    response::{GatewayResponseLayer, GatewayResponses},
    route::Routes,
    stage::{DEFAULT_STAGE, Stages},
    timeout::TimeoutLayer,
    usage_plan::{UsagePlanLayer, UsagePlans},
};
use http::Extensions;
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
            Self::Config(error) => Some(error),
            Self::Conflict { .. } => None,
        }
    }
}

impl From<ConfigError> for BuildError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

/// Collects the phases; see the [module docs](super). Calls may come in any order, a second call replaces the first.
#[derive(Debug)]
pub struct GatewayBuilder {
    context: ContextConfig,
    stages: Option<Stages>,
    routes: Option<Routes>,
    responses: GatewayResponses,
    cors: Option<CorsLayer>,
    filter: Option<FilterLayer>,
    payload_limit: Option<PayloadLimitLayer>,
    principal: Option<PrincipalLayer>,
    api_key: Option<ApiKeyLayer>,
    usage_plan: Option<UsagePlanLayer>,
    timeout: Option<TimeoutLayer>,
    aws_exact: bool,
}

impl Default for GatewayBuilder {
    fn default() -> Self {
        Self {
            context: ContextConfig::default(),
            stages: None,
            routes: None,
            responses: GatewayResponses::new(),
            cors: None,
            filter: None,
            payload_limit: Some(PayloadLimitLayer::default()),
            principal: None,
            api_key: None,
            usage_plan: None,
            timeout: Some(TimeoutLayer::default()),
            aws_exact: false,
        }
    }
}

impl GatewayBuilder {
    /// Stages with their deployments. Absent: one stage, `$default`, with [`routes`](Self::routes) or everything.
    #[must_use]
    pub fn stages(mut self, stages: Stages) -> Self {
        self.stages = Some(stages);
        self
    }

    /// Resources and methods of an API that has no stages: they are served at the root, as stage `$default`.
    #[must_use]
    pub fn routes(mut self, routes: Routes) -> Self {
        self.routes = Some(routes);
        self
    }

    /// The kind of API. Default: REST.
    #[must_use]
    pub fn api_kind(mut self, kind: ApiKind) -> Self {
        self.context.kind = kind;
        self
    }

    /// Whose word counts for a client's address. Default: nobody's.
    #[must_use]
    pub fn trusted_proxies(mut self, proxies: TrustedProxies) -> Self {
        self.context.proxies = proxies;
        self
    }

    /// Finds the peer's address in another extension than [`PeerAddr`](crate::context::PeerAddr); for axum:
    /// `|extensions| extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip())`.
    #[must_use]
    pub fn peer_addr(mut self, find: impl Fn(&Extensions) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        self.context.peer = PeerSource::new(find);
        self
    }

    /// The clock of the context, the limits and the timeout. Keys and plans have their own, set where they are
    /// built. Default: the system's.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.context.clock = clock;
        self
    }

    /// Configured gateway responses. Default: the built-in ones.
    #[must_use]
    pub fn gateway_responses(mut self, responses: GatewayResponses) -> Self {
        self.responses = responses;
        self
    }

    /// CORS. Default: none.
    #[must_use]
    pub fn cors(mut self, cors: CorsLayer) -> Self {
        self.cors = Some(cors);
        self
    }

    /// A request filter of your own. Default: none.
    #[must_use]
    pub fn filter(mut self, filter: FilterLayer) -> Self {
        self.filter = Some(filter);
        self
    }

    /// URL, header and payload limits; `None` for no limits. Default: AWS's.
    #[must_use]
    pub fn payload_limit(mut self, limit: impl Into<Option<PayloadLimitLayer>>) -> Self {
        self.payload_limit = limit.into();
        self
    }

    /// Establishes the principal, for plans that are chosen by it. Default: none.
    #[must_use]
    pub fn principal(mut self, principal: PrincipalLayer) -> Self {
        self.principal = Some(principal);
        self
    }

    /// API keys, read from `x-api-key` on methods that require one. Default: none.
    #[must_use]
    pub fn api_keys(self, keys: ApiKeys) -> Self {
        self.api_key(ApiKeyLayer::new(keys))
    }

    /// API keys with other settings than [`api_keys`](Self::api_keys).
    #[must_use]
    pub fn api_key(mut self, layer: ApiKeyLayer) -> Self {
        self.api_key = Some(layer);
        self
    }

    /// Usage plans, stage and account throttles. Default: none.
    #[must_use]
    pub fn usage_plans(self, plans: UsagePlans) -> Self {
        self.usage_plan(UsagePlanLayer::new(plans))
    }

    /// Usage plans with other settings than [`usage_plans`](Self::usage_plans): weighted costs, reservations, plans
    /// by principal.
    #[must_use]
    pub fn usage_plan(mut self, layer: UsagePlanLayer) -> Self {
        self.usage_plan = Some(layer);
        self
    }

    /// The integration timeout; `None` for none. Default: 29 s.
    #[must_use]
    pub fn timeout(mut self, timeout: impl Into<Option<TimeoutLayer>>) -> Self {
        self.timeout = timeout.into();
        self
    }

    /// Leaves out what AWS does not send: `Retry-After`, `RateLimit`, `RateLimit-Policy`, and the request ids of
    /// the plain-text 413. Default: off.
    #[must_use]
    pub fn aws_exact(mut self, exact: bool) -> Self {
        self.aws_exact = exact;
        self
    }

    /// Checks that the parts make sense together, and assembles them.
    ///
    /// # Errors
    ///
    /// [`BuildError::Conflict`] names the two parts: plans but neither keys nor a choice of plan by principal, a
    /// method that requires a key but no keys, both `stages` and `routes`, plans by principal without a principal.
    /// A deployment that requires keys and comes later, where there are none, is closed: 403 `INVALID_API_KEY`.
    pub fn build(self) -> Result<Gateway, BuildError> {
        self.check()?;
        let routes = self.routes.unwrap_or_else(Routes::catch_all);
        let stages = self.stages.map_or_else(|| Stages::single(DEFAULT_STAGE, routes), Ok)?;
        let (clock, kind) = (self.context.clock.clone(), self.context.kind);
        let responses = GatewayResponseLayer::new(self.responses).clock(clock.clone()).api_kind(kind);
        let phases = Phases {
            context: self.context,
            stages,
            responses: responses.bare_413(self.aws_exact),
            cors: self.cors,
            filter: self.filter,
            payload_limit: self.payload_limit.map(|layer| layer.clock(clock.clone())),
            principal: self.principal,
            api_key: self.api_key,
            usage_plan: self.usage_plan.map(|layer| layer.in_gateway(self.aws_exact, &clock)),
            timeout: self.timeout.map(|layer| layer.clock(clock)),
        };
        Ok(Gateway { phases: Arc::new(phases) })
    }

    fn check(&self) -> Result<(), BuildError> {
        let conflict = |part: String, other, problem| Err(BuildError::Conflict { part, other, problem });
        if self.stages.is_some() && self.routes.is_some() {
            return conflict("routes".into(), "stages", "stages bring their own routes in their deployments");
        }
        if let Some(method) = self.method_with_key().filter(|_| self.api_key.is_none()) {
            return conflict(
                method,
                "api_keys",
                "the method requires a key, and there are no keys to check it by",
            );
        }
        let Some(plans) = &self.usage_plan else { return Ok(()) };
        if plans.is_by_principal() && self.principal.is_none() {
            return conflict("plan by principal".into(), "principal", "nothing establishes a principal");
        }
        match plans.first_plan_id() {
            Some(plan) if self.api_key.is_none() && !plans.is_by_principal() => conflict(
                format!("usage plan `{plan}`"),
                "api_keys or plan_by_principal",
                "a plan applies to keys or, by your choice, to principals, and there are neither",
            ),
            _ => Ok(()),
        }
    }

    /// The first declared method that requires a key.
    fn method_with_key(&self) -> Option<String> {
        let tables = self.stages.as_ref().map(Stages::all_routes).unwrap_or_default();
        let methods = tables.iter().chain(&self.routes).flat_map(Routes::all_declared);
        let mut keyed = methods.filter(|method| method.method.api_key_required);
        keyed.next().map(|method| format!("method `{} {}`", method.verb_name(), method.resource_path))
    }
}
