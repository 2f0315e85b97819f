//! Settings that a gateway would never read: tables of layers for use alone, CORS of resources that nobody declares, keys
//! of a caller whom nobody names.

use super::{BuildError, Parts, conflict};
#[cfg(feature = "authorizer")]
use crate::authorizer::AuthorizerLayer;
#[cfg(feature = "jwt")]
use crate::jwt::{CognitoAuthorizerLayer, JwtAuthorizerLayer};
#[cfg(feature = "policy")]
use crate::resource_policy::ResourcePolicyLayer;
#[cfg(feature = "sigv4")]
use crate::sigv4::SigV4AuthLayer;
use crate::{
    api_key::ApiKeyLayer,
    cors::CorsLayer,
    payload_limit::PayloadLimitLayer,
    route::{ApiMethod, Authorization, Routes},
    stage::Stages,
    timeout::TimeoutLayer,
    usage_plan::UsagePlanLayer,
};

impl Parts {
    pub(super) fn check_unread(&self) -> Result<(), BuildError> {
        if let Some(part) = self.with_own_table() {
            return conflict(
                format!("{part} with routes"),
                "routes or stages",
                "a layer's own table is for use alone: in a gateway the table of its stages decides",
            );
        }
        let tables = self.tables();
        let is_declared = |path: &str| tables.iter().any(|table| table.iter().any(|(_, own)| own == path));
        if let Some(path) = self.cors.as_ref().and_then(|cors| cors.resource_without(is_declared)) {
            return conflict(
                format!("cors of resource `{path}`"),
                "routes or stages",
                "no deployment declares the resource: the default would apply in its place",
            );
        }
        match self.method_by_nobody() {
            Some(method) => conflict(
                format!("cache key by principal of {method}"),
                "principal",
                "the method has no authorizer, and nothing else establishes a principal",
            ),
            None => Ok(()),
        }
    }

    /// All tables of all deployments, or what there is without any.
    pub(super) fn tables(&self) -> Vec<Routes> {
        let without_stages = || vec![self.routes.clone().unwrap_or_else(Routes::catch_all)];
        self.stages.as_ref().map_or_else(without_stages, Stages::all_routes)
    }

    /// The first part that was given a table.
    fn with_own_table(&self) -> Option<&'static str> {
        let parts = [
            ("cors", self.cors.as_ref().is_some_and(CorsLayer::has_routes)),
            ("payload_limit", self.payload_limit.as_ref().is_some_and(PayloadLimitLayer::has_routes)),
            ("api_key", self.api_key.as_ref().is_some_and(ApiKeyLayer::has_routes)),
            ("usage_plan", self.usage_plan.as_ref().is_some_and(UsagePlanLayer::has_routes)),
            ("cache", self.has_cache_table),
            ("timeout", self.timeout.as_ref().is_some_and(TimeoutLayer::has_routes)),
        ];
        let found = parts.into_iter().find(|(_, has_routes)| *has_routes);
        found.map(|(part, _)| part).or_else(|| self.judge_with_own_table())
    }

    /// Of those that judge who calls.
    fn judge_with_own_table(&self) -> Option<&'static str> {
        #[cfg(feature = "policy")]
        if self.resource_policy.as_ref().is_some_and(ResourcePolicyLayer::has_routes) {
            return Some("resource_policy");
        }
        #[cfg(feature = "sigv4")]
        if self.authorizers.sigv4.as_ref().is_some_and(SigV4AuthLayer::has_routes) {
            return Some("sigv4");
        }
        #[cfg(feature = "authorizer")]
        if self.authorizers.custom.as_ref().is_some_and(AuthorizerLayer::has_routes) {
            return Some("authorizer");
        }
        #[cfg(feature = "jwt")]
        if self.authorizers.jwt.as_ref().is_some_and(JwtAuthorizerLayer::has_routes) {
            return Some("jwt_authorizer");
        }
        #[cfg(feature = "jwt")]
        if self.authorizers.cognito.as_ref().is_some_and(CognitoAuthorizerLayer::has_routes) {
            return Some("cognito_authorizer");
        }
        None
    }

    /// The first method whose stored answers are kept by a principal that it never has.
    fn method_by_nobody(&self) -> Option<String> {
        if !self.is_cached || self.principal.is_some() || self.signs_everything() {
            return None;
        }
        let is_by_principal = |method: &ApiMethod| method.cache_key.as_ref().is_some_and(|key| key.principal);
        self.first_method(|method| method.authorization == Authorization::None && is_by_principal(method))
    }

    #[cfg(feature = "sigv4")]
    fn signs_everything(&self) -> bool {
        self.authorizers.sigv4.as_ref().is_some_and(SigV4AuthLayer::asks_always)
    }

    #[cfg(not(feature = "sigv4"))]
    fn signs_everything(&self) -> bool {
        false
    }
}
