//! The layer: which phase a request is in, and the judgement.

use super::{
    ResourcePolicy,
    attached::{Call, Manner},
};
use crate::{
    clock::Clock,
    context::{ContextConfig, RequestContext},
    future::{ResponseFuture, Untouched},
    policy::{
        AccessDenial, Decision, DenialWording, RequestKeys,
        combine::{self, Combined},
    },
    response::GatewayError,
    route::{Authorization, Routes, Scope, check_path},
};
use bytes::Bytes;
use http::{Request, Response};
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tower_layer::Layer;
use tower_service::Service;

/// How much of the policy's answer is final.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// By the method's authorization; see the table of the [module](super).
    #[default]
    PerMethod,
    /// All of it: no authorizer stands behind.
    Final,
    /// Explicit denies: an authorizer behind decides together with the policy.
    BeforeAuthorizer,
}

/// Judges requests by a resource policy; see the [module docs](super).
#[derive(Clone, Debug)]
#[must_use]
pub struct ResourcePolicyLayer {
    config: Arc<Config>,
}

#[derive(Clone, Debug)]
struct Config {
    policy: ResourcePolicy,
    manner: Manner,
    phase: Phase,
    /// The layer's own table, for use without a stage.
    scope: Option<Arc<Scope>>,
    context: ContextConfig,
}

impl ResourcePolicyLayer {
    /// Judges every request by the policy.
    pub fn new(policy: ResourcePolicy) -> Self {
        let (manner, phase, context) = <(Manner, Phase, ContextConfig)>::default();
        Self { config: Arc::new(Config { policy, manner, phase, scope: None, context }) }
    }

    fn change(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }

    /// The table that says each method's authorization, when used without a stage. Behind a stage the stage's own table
    /// decides. Without either, no method has an authorizer, and every answer is final.
    pub fn routes(self, routes: &Routes) -> Self {
        self.change(|config| config.scope = Some(routes.scope()))
    }

    /// Whether it has a table of its own.
    #[cfg(feature = "gateway")]
    pub(crate) fn has_routes(&self) -> bool {
        self.config.scope.is_some()
    }

    /// How much of the policy's answer is final. Default: [`Phase::PerMethod`].
    pub fn phase(self, phase: Phase) -> Self {
        self.change(|config| config.phase = phase)
    }

    /// The stage segment of ARNs where no `StageRouter` has matched. Default: `$default`.
    pub fn stage(self, name: &str) -> Self {
        self.change(|config| config.manner.stage = name.into())
    }

    /// How much a refusal by this layer says. Default: [`Classic`](DenialWording::Classic).
    pub fn denial_wording(self, wording: DenialWording) -> Self {
        self.change(|config| config.manner.wording = wording)
    }

    /// Whether refusals by this layer carry an [`AccessDenial`] for operators. It costs a look at every statement, and
    /// allocates, on refusals only. Default: yes.
    pub fn explain_denials(self, explain: bool) -> Self {
        self.change(|config| config.manner.explain = explain)
    }

    /// The clock that `aws:CurrentTime` is read from, where this is the first of our layers. Default: the system's.
    pub fn clock(self, clock: Clock) -> Self {
        self.change(|config| config.context.clock = clock)
    }
}

#[cfg(feature = "gateway")]
impl ResourcePolicyLayer {
    #[cfg(any(feature = "authorizer", feature = "sigv4"))]
    pub(crate) fn policy(&self) -> &ResourcePolicy {
        &self.config.policy
    }

    /// The phase of `Gateway`: the answer to a request that is refused.
    pub(crate) fn admit<B, R: From<Bytes>>(
        &self,
        context: &RequestContext,
        request: &Request<B>,
    ) -> Result<(), Response<R>> {
        self.config.decide(context, request).map_err(|refusal| refuse(context, refusal))
    }
}

type Refusal = (GatewayError, Option<AccessDenial>);

impl Config {
    fn decide<B>(&self, context: &RequestContext, request: &Request<B>) -> Result<(), Refusal> {
        let path = request.uri().path();
        // A stage has refused them already.
        if context.route().is_none_or(|route| route.scope.stage.is_none()) {
            check_path(path).map_err(|error| (GatewayError::bad_path(error), None))?;
        }
        let declared = context.method_or_match(self.scope.as_ref(), request.method(), path);
        let Some(combine) = self.combination(declared.map(|method| &method.authorization)) else {
            return Ok(());
        };
        let call = Call { stage: context.stage(), method: request.method().as_str(), path };
        let keys = RequestKeys::new(context, request.headers(), request.extensions());
        self.policy.judge(&self.manner, call, &keys, combine)
    }

    /// What makes an outcome of the policy's decision; `None` where others judge.
    fn combination(&self, method: Option<&Authorization>) -> Option<fn(Option<Decision>) -> Combined> {
        match (self.phase, method) {
            (Phase::Final, _) | (Phase::PerMethod, None | Some(Authorization::None)) => {
                Some(combine::no_authorizer)
            }
            (Phase::BeforeAuthorizer, _) | (Phase::PerMethod, Some(Authorization::Custom(_))) => {
                Some(combine::before_authorizer)
            }
            (Phase::PerMethod, Some(Authorization::CognitoUserPools(_) | Authorization::Jwt(_))) => {
                Some(combine::cognito)
            }
            (Phase::PerMethod, Some(Authorization::AwsIam)) => None,
        }
    }
}

fn refuse<R: From<Bytes>>(context: &RequestContext, (error, denial): Refusal) -> Response<R> {
    error.refuse_for(context, denial)
}

impl<S> Layer<S> for ResourcePolicyLayer {
    type Service = ResourcePolicyService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ResourcePolicyService { inner, config: Arc::clone(&self.config) }
    }
}

/// The service of [`ResourcePolicyLayer`].
#[derive(Clone, Debug)]
pub struct ResourcePolicyService<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S, B, R> Service<Request<B>> for ResourcePolicyService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<Bytes>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, Untouched, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let context = self.config.context.find_or_create(&mut request);
        match self.config.decide(&context, &request) {
            Ok(()) => ResponseFuture::forwarded(self.inner.call(request), Untouched),
            Err(refusal) => ResponseFuture::refused(refuse(&context, refusal)),
        }
    }
}
