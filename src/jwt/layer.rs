//! The two layers: which requests are asked for a token, by which authorizer, and for which scopes.

use super::{
    CognitoAuthorizer, JwtAuthorizer,
    engine::{Engine, Look, Verdict},
    refusal::Refusal,
    service::TokenService,
};
use crate::{
    clock::Clock,
    context::{ApiKind, ContextConfig, RequestContext},
    error::ConfigError,
    policy::{ExecuteApi, check_arn_length},
    route::{ApiMethod, Authorization, Routes, Scope, check_path},
};
use http::{Method, Request};
use std::{fmt, sync::Arc};
use tower_layer::Layer;

/// The stage segment of an ARN where there is no stage.
const NO_STAGE: &str = "$default";

/// Which layer's methods are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Jwt,
    Cognito,
}

/// What both layers are made of.
#[derive(Clone)]
pub(super) struct Config {
    kind: Kind,
    /// By name; the first is asked where no method says which.
    engines: Vec<(Box<str>, Arc<Engine>)>,
    /// For use without a table of methods.
    scopes: Arc<[Box<str>]>,
    scope: Option<Arc<Scope>>,
    /// Whose ARNs may not be too long. No policy names them, so it is nobody's in particular.
    api: ExecuteApi,
    pub(super) context: ContextConfig,
}

/// What a request is asked for.
pub(super) enum Asked {
    Nothing,
    Token(Arc<Engine>, Arc<[Box<str>]>),
    /// For nothing that could help.
    Refused(Refusal, Arc<[Box<str>]>),
}

impl Config {
    fn new(kind: Kind, name: &str, engine: Arc<Engine>) -> Arc<Self> {
        let api_kind = if kind == Kind::Jwt { ApiKind::Http } else { ApiKind::Rest };
        let clock = engine.clock.clone();
        Arc::new(Self {
            kind,
            engines: vec![(name.into(), engine)],
            scopes: Arc::new([]),
            scope: None,
            api: ExecuteApi::default(),
            context: ContextConfig { kind: Some(api_kind), clock, ..ContextConfig::default() },
        })
    }

    pub(super) fn asked(&self, context: &RequestContext, method: &Method, path: &str) -> Asked {
        match self.asked_of(context, method, path) {
            Asked::Token(_, scopes) if self.is_too_long(context, method, path) => {
                Asked::Refused(Refusal::TooLong, scopes)
            }
            asked => asked,
        }
    }

    fn is_too_long(&self, context: &RequestContext, method: &Method, path: &str) -> bool {
        let stage = context.stage().unwrap_or(NO_STAGE);
        check_arn_length(&self.api, stage, method.as_str(), path).is_err()
    }

    fn asked_of(&self, context: &RequestContext, method: &Method, path: &str) -> Asked {
        let on_stage = context.route().is_some_and(|route| route.scope.stage.is_some());
        if !on_stage && self.scope.is_none() {
            return Asked::Token(Arc::clone(&self.engines[0].1), Arc::clone(&self.scopes));
        }
        // A stage has refused them already.
        if !on_stage && let Err(error) = check_path(path) {
            return Asked::Refused(Refusal::Path(error), Arc::clone(&self.scopes));
        }
        match context.method_or_match(self.scope.as_ref(), method, path) {
            Some(method) => self.asked_by(method),
            // A route that was forgotten stays closed.
            None => Asked::Token(Arc::clone(&self.engines[0].1), Arc::clone(&self.scopes)),
        }
    }

    fn asked_by(&self, method: &ApiMethod) -> Asked {
        let name = match (&method.authorization, self.kind) {
            (Authorization::Jwt(name), Kind::Jwt)
            | (Authorization::CognitoUserPools(name), Kind::Cognito) => name,
            _ => return Asked::Nothing,
        };
        let scopes = Arc::clone(&method.authorization_scopes);
        match self.engines.iter().find(|(own, _)| **own == **name) {
            Some((_, engine)) => Asked::Token(Arc::clone(engine), scopes),
            None => Asked::Refused(Refusal::Unknown, scopes),
        }
    }

    pub(super) fn style(&self) -> crate::context::ClaimStyle {
        self.engines[0].1.style()
    }
}

/// Judges the token of a request.
pub(super) fn judge<B>(
    engine: &Engine,
    context: &RequestContext,
    scopes: &[Box<str>],
    request: &Request<B>,
    look: Look,
) -> Verdict {
    match engine.source.token(request.headers(), request.uri()) {
        Ok(token) => engine.judge(context, token, scopes, look),
        Err(refusal) => Verdict::Refuse(refusal),
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.engines.iter().map(|(name, _)| name).collect();
        f.debug_struct("Config")
            .field("kind", &self.kind)
            .field("authorizers", &names)
            .finish_non_exhaustive()
    }
}

macro_rules! settings {
    ($layer:ident, $authorizer:ty, $kind:expr) => {
        impl $layer {
            /// Asks the authorizer about every request; behind a stage or with [`routes`](Self::routes), where the
            /// method names it.
            pub fn new(name: &str, authorizer: $authorizer) -> Self {
                Self { config: Config::new($kind, name, authorizer.0) }
            }

            fn change(mut self, change: impl FnOnce(&mut Config)) -> Self {
                change(Arc::make_mut(&mut self.config));
                self
            }

            /// One more authorizer, for the methods that name it.
            ///
            /// # Errors
            ///
            /// A name that another one has.
            pub fn authorizer(self, name: &str, authorizer: $authorizer) -> Result<Self, ConfigError> {
                if self.config.engines.iter().any(|(own, _)| **own == *name) {
                    return Err(ConfigError::new("authorizer name", name, "is given twice"));
                }
                Ok(self.change(|config| config.engines.push((name.into(), authorizer.0))))
            }

            /// Scopes of which a token needs one, where no method says which. Default: none.
            pub fn scopes<T: Into<Box<str>>>(self, scopes: impl IntoIterator<Item = T>) -> Self {
                let scopes = scopes.into_iter().map(Into::into).collect();
                self.change(|config| config.scopes = scopes)
            }

            /// The methods that say which authorizer and which scopes, when used without a stage. Behind a stage the
            /// stage's own table decides.
            pub fn routes(self, routes: &Routes) -> Self {
                self.change(|config| config.scope = Some(routes.scope()))
            }

            /// Whether it has a table of its own.
            #[cfg(feature = "gateway")]
            pub(crate) fn has_routes(&self) -> bool {
                self.config.scope.is_some()
            }

            /// The clock of the request context, where this layer makes it. Default: the authorizer's.
            pub fn clock(self, clock: Clock) -> Self {
                self.change(|config| config.context.clock = clock)
            }
        }

        impl<S> Layer<S> for $layer {
            type Service = TokenService<S>;

            fn layer(&self, inner: S) -> Self::Service {
                TokenService::new(inner, Arc::clone(&self.config))
            }
        }
    };
}

/// Asks for a JWT, as HTTP APIs do; see the [module docs](super).
#[derive(Clone, Debug)]
#[must_use]
pub struct JwtAuthorizerLayer {
    config: Arc<Config>,
}

settings!(JwtAuthorizerLayer, JwtAuthorizer, Kind::Jwt);

/// Asks for a token of a user pool, as REST APIs do; see the [module docs](super).
#[derive(Clone, Debug)]
#[must_use]
pub struct CognitoAuthorizerLayer {
    config: Arc<Config>,
}

settings!(CognitoAuthorizerLayer, CognitoAuthorizer, Kind::Cognito);
