//! The layer: which authorizer a request needs, and what follows from its answer.

use super::{
    Authorizer, AuthorizerError, AuthorizerFuture,
    answer::Grant,
    cache::Finished,
    future::Waiting,
    handle::{Question, Reply, Ticket},
    identity::Asked,
    judge::{self, Call, Refusal},
    key::CallKey,
};
use crate::{
    clock::Timestamp,
    context::{ApiKind, AuthorizerRun, ContextConfig, Ingress, Phase, RequestContext},
    error::ConfigError,
    future::Next,
    policy::{DenialWording, ExecuteApi, RequestKeys},
    resource_policy::ResourcePolicy,
    response::{Cause, GatewayError, ResponseType},
    route::{Authorization, Routes, Scope, check_path},
};
use bytes::Bytes;
use http::{Request, Response};
use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};
use tower_layer::Layer;
use tower_service::Service;

/// Lets pass whom an authorizer lets pass; see the [module docs](super).
#[derive(Clone)]
#[must_use]
pub struct AuthorizerLayer {
    config: Arc<Config>,
}

#[derive(Clone)]
pub(super) struct Config {
    /// Also asked about requests that no declared method matches.
    first: Authorizer,
    others: Vec<Authorizer>,
    api: ExecuteApi,
    resource_policy: Option<ResourcePolicy>,
    wording: DenialWording,
    /// The layer's own table, for use without a stage.
    scope: Option<Arc<Scope>>,
    context: ContextConfig,
}

impl AuthorizerLayer {
    /// One authorizer: behind a stage or with [`routes`](Self::routes) for the methods that name it
    /// ([`Authorization::custom`]), otherwise for every request.
    ///
    /// Where no layer outside says which kind of API answers, it is the one that the authorizer is made for: an HTTP API
    /// with [`Authorizer::http_request`], else a REST API.
    pub fn new(authorizer: Authorizer) -> Self {
        // Alone, it answers as the kind of API that its authorizer is made for.
        let kind = Some(ApiKind::Http).filter(|_| authorizer.0.form.event.is_http_api());
        let context = ContextConfig { kind, ..ContextConfig::with_clock(authorizer.0.clock.clone()) };
        let config = Config {
            first: authorizer,
            others: Vec::new(),
            api: ExecuteApi::default(),
            resource_policy: None,
            wording: DenialWording::default(),
            scope: None,
            context,
        };
        Self { config: Arc::new(config) }
    }

    /// Several authorizers, of which each method names one. A request that no declared method matches, or that comes
    /// without a stage and without [`routes`](Self::routes), needs the first.
    ///
    /// # Errors
    ///
    /// No authorizer, or two of one name.
    pub fn of(authorizers: impl IntoIterator<Item = Authorizer>) -> Result<Self, ConfigError> {
        let mut authorizers = authorizers.into_iter();
        let first = authorizers.next().ok_or_else(|| ConfigError::new("authorizers", "", "there is none"))?;
        let mut layer = Self::new(first);
        for authorizer in authorizers {
            if layer.config.named(authorizer.name()).is_some() {
                return Err(ConfigError::new("authorizer name", authorizer.name(), "is given twice"));
            }
            layer = layer.change(|config| config.others.push(authorizer));
        }
        Ok(layer)
    }

    fn change(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }

    /// Asks only where the method of this table says so, when used without a stage. Behind a stage the stage's own
    /// table decides.
    pub fn routes(self, routes: &Routes) -> Self {
        self.change(|config| config.scope = Some(routes.scope()))
    }

    /// Whether it has a table of its own.
    #[cfg(feature = "gateway")]
    pub(crate) fn has_routes(&self) -> bool {
        self.config.scope.is_some()
    }

    /// Region, account and API id of the ARNs that policies are asked about. Default: those of
    /// [`ExecuteApi::default`]. With a resource policy, here or in the gateway around, those of the policy count.
    pub fn api(self, api: ExecuteApi) -> Self {
        self.change(|config| config.api = api)
    }

    /// A resource policy that decides together with the authorizers
    /// ([`combine::lambda_authorizer`](crate::policy::combine::lambda_authorizer)): its explicit deny ends a request
    /// before the function is called, and its allow counts where the authorizer's policy says nothing. Default: none;
    /// calls through a [private](Ingress::private) entry are refused then. The ARNs that it is asked about are of the API
    /// that it is attached to, whatever [`api`](Self::api) says. A gateway gives its own.
    pub fn resource_policy(self, policy: &ResourcePolicy) -> Self {
        self.change(|config| config.resource_policy = Some(policy.clone()))
    }

    /// How much a refusal says. Default: [`DenialWording::Classic`].
    pub fn denial_wording(self, wording: DenialWording) -> Self {
        self.change(|config| config.wording = wording)
    }
}

#[cfg(feature = "gateway")]
impl AuthorizerLayer {
    /// The layer inside a gateway with a resource policy, which it decides together with; the error says why it cannot.
    pub(crate) fn with_policy_of(self, policy: &ResourcePolicy) -> Result<Self, &'static str> {
        if self.config.resource_policy.as_ref().is_some_and(|own| !own.is(policy)) {
            return Err(
                "the authorizer was given another policy; without one it decides together with this one",
            );
        }
        let is_told = self.config.api != ExecuteApi::default();
        if is_told && self.config.api != *policy.api() {
            return Err("the policy is attached to another API than the authorizer's");
        }
        Ok(self.resource_policy(policy))
    }
}

impl fmt::Debug for AuthorizerLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.describe("AuthorizerLayer", f)
    }
}

/// How a request goes on.
enum Step {
    Pass,
    Wait(Ticket, Timestamp),
}

impl Config {
    fn describe(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.all().map(Authorizer::name).collect();
        f.debug_struct(name).field("authorizers", &names).field("api", self.api()).finish_non_exhaustive()
    }

    /// The API of the ARNs: a policy has statements about its own.
    fn api(&self) -> &ExecuteApi {
        self.resource_policy.as_ref().map_or(&self.api, ResourcePolicy::api)
    }

    fn all(&self) -> impl Iterator<Item = &Authorizer> {
        std::iter::once(&self.first).chain(&self.others)
    }

    fn named(&self, name: &str) -> Option<&Authorizer> {
        self.all().find(|authorizer| authorizer.name() == name)
    }

    /// The authorizer that a request needs, if it needs one. A name that nobody has is refused, not let through.
    fn authorizer<B>(
        &self,
        context: &RequestContext,
        request: &Request<B>,
    ) -> Result<Option<&Authorizer>, GatewayError> {
        let on_stage = context.route().is_some_and(|route| route.scope.stage.is_some());
        if !on_stage && self.scope.is_none() {
            return Ok(Some(&self.first));
        }
        let declared = context.method_or_match(self.scope.as_ref(), request.method(), request.uri().path());
        match declared.map(|method| &method.authorization) {
            None => Ok(Some(&self.first)),
            Some(Authorization::Custom(name)) => {
                let unknown = || {
                    GatewayError::new(ResponseType::AuthorizerConfigurationError, Cause::AuthorizerUnknown)
                };
                self.named(name).ok_or_else(unknown).map(Some)
            }
            Some(_) => Ok(None),
        }
    }

    fn call<'a, B>(&'a self, context: &'a RequestContext, request: &'a Request<B>) -> Call<'a> {
        Call {
            arns: judge::arns(self.api(), context, request.method(), request.uri().path()),
            keys: RequestKeys::new(context, request.headers(), request.extensions()),
            resource_policy: self.resource_policy.as_ref().map(ResourcePolicy::policy),
            wording: self.wording,
        }
    }

    fn decide<B>(&self, context: &RequestContext, request: &mut Request<B>) -> Result<Step, Refusal> {
        // A stage has refused them already: what is authorized would not be what is served.
        if context.stage().is_none() {
            check_path(request.uri().path()).map_err(|error| unexplained(GatewayError::bad_path(error)))?;
        }
        let Some(authorizer) = self.authorizer(context, request).map_err(unexplained)? else {
            return Ok(Step::Pass);
        };
        judge::check_length(self.api(), context, request.method(), request.uri().path())
            .map_err(unexplained)?;
        authorizer.0.mark_credentials(request.headers_mut());
        if self.resource_policy.is_some() || is_private(request) {
            let before = self.call(context, request).before_authorizer();
            before.inspect_err(|_| context.refused_early(Phase::Authorize))?;
        }
        let asked = Asked { headers: request.headers(), query: request.uri().query(), context };
        #[cfg(feature = "tracing")]
        context.note_identity(|| authorizer.0.credentials(asked));
        let question =
            Question { asked, method: request.method(), path: request.uri().path(), api: self.api() };
        match authorizer.reply(question).map_err(no_identity)? {
            Reply::Ticket(ticket) => Ok(Step::Wait(ticket, self.context.clock.now())),
            Reply::Known(entry, call) => {
                #[cfg(feature = "access-log")]
                context.note_cached_authorizer();
                match &entry.grant {
                    Some(grant) => self.settle(context, request, grant, Some(call)).map(|()| Step::Pass),
                    None => Err(unexplained(AuthorizerError::Unauthorized.refusal())),
                }
            }
        }
    }

    /// Judges a grant. What it establishes is noted before: a gateway response may show `$context.authorizer.*` of a
    /// caller that is denied.
    fn settle<B>(
        &self,
        context: &RequestContext,
        request: &mut Request<B>,
        grant: &Grant,
        call: Option<CallKey>,
    ) -> Result<(), Refusal> {
        context.set_authorizer(&grant.context);
        self.judge(context, request, grant, call)?;
        #[cfg(feature = "api-key")]
        if let Some(key) = &grant.usage_identifier_key {
            request.extensions_mut().insert(key.clone());
        }
        Ok(())
    }

    /// Lets a call pass at once that this very policy is known to allow, where no other policy has a say.
    fn judge<B>(
        &self,
        context: &RequestContext,
        request: &Request<B>,
        grant: &Grant,
        call: Option<CallKey>,
    ) -> Result<(), Refusal> {
        let memo = grant.allowed_calls.as_ref().zip(call).filter(|_| self.resource_policy.is_none());
        context.in_phase(Phase::Authorize, &self.context.clock, || {
            match memo.is_some_and(|(memo, call)| memo.holds(self.api(), call)) {
                true => Ok(()),
                false => self.call(context, request).judge(grant),
            }
        })?;
        if let Some((memo, call)) = memo {
            memo.note(self.api(), call);
        }
        Ok(())
    }

    /// The same after a call, of which there is nothing where the function panicked in another request.
    pub(super) fn settle_call<B>(
        &self,
        context: &RequestContext,
        request: &mut Request<B>,
        finished: Option<&Finished>,
        since: Timestamp,
    ) -> Result<(), Refusal> {
        let panicked = Err(AuthorizerError::Failed("panicked".to_owned()));
        let outcome = finished.map_or(panicked.as_ref(), |finished| finished.outcome.as_ref());
        self.note_run(context, finished, outcome.err(), since);
        match outcome {
            Ok(grant) => self.settle(context, request, grant, None),
            Err(error) => Err(unexplained(error.refusal())),
        }
    }
}

impl Config {
    /// An answer that another process was given is a cached one.
    fn note_run(
        &self,
        context: &RequestContext,
        finished: Option<&Finished>,
        error: Option<&AuthorizerError>,
        since: Timestamp,
    ) {
        let call = finished.map(|finished| finished.call.clone());
        #[cfg(feature = "access-log")]
        if matches!(call, Some(None)) {
            return context.note_cached_authorizer();
        }
        context.set_authorizer_run(AuthorizerRun {
            latency: self.context.clock.now().since(since),
            call: call.flatten(),
            status: error.map_or(200, |error| error.refusal().status().as_u16()),
            error: error.map(|error| error.to_string().into()),
        });
    }
}

/// Whether a call came through a private entry, which is closed without a resource policy.
fn is_private<B>(request: &Request<B>) -> bool {
    request.extensions().get::<Ingress>().is_some_and(Ingress::is_private)
}

fn unexplained(error: GatewayError) -> Refusal {
    (error, None)
}

/// The refusal of a request that nobody was asked about.
fn no_identity(cause: Cause) -> Refusal {
    unexplained(GatewayError::new(ResponseType::Unauthorized, cause))
}

/// The answer, with the explanation for operators in its extensions.
pub(super) fn refuse<R: From<Bytes>>(context: &RequestContext, (error, denial): Refusal) -> Response<R> {
    error.refuse_for(context, denial)
}

impl<S> Layer<S> for AuthorizerLayer {
    type Service = AuthorizerService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AuthorizerService { inner, config: Arc::clone(&self.config) }
    }
}

/// The service of [`AuthorizerLayer`].
#[derive(Clone)]
pub struct AuthorizerService<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S> fmt::Debug for AuthorizerService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.describe("AuthorizerService", f)
    }
}

impl<S, B, R> Service<Request<B>> for AuthorizerService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    R: From<Bytes>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = AuthorizerFuture<S, B, S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let context = self.config.context.establish(&mut request);
        match self.config.decide(&context, &mut request) {
            Ok(Step::Pass) => {}
            Err(refusal) => return AuthorizerFuture::new(Next::Refuse(refuse(&context, refusal))),
            Ok(Step::Wait(ticket, since)) => {
                // The service that was polled ready waits with the request; its clone takes its place.
                let clone = self.inner.clone();
                let service = std::mem::replace(&mut self.inner, clone);
                let config = Arc::clone(&self.config);
                let waiting = Waiting { ticket, since, service, request, context, config };
                return AuthorizerFuture::new(Next::Wait(waiting));
            }
        }
        // What lived across the call would have the service's future copied.
        drop(context);
        AuthorizerFuture::forwarded(self.inner.call(request))
    }
}
