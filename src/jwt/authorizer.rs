//! The JWT authorizer of HTTP APIs, as a handle.

use super::{
    engine::{Common, Demand, Engine, Provider, common_settings},
    source::JwkSource,
    token_source::TokenSource,
    verifier::JwtVerifier,
};
use crate::{ConfigError, clock::Clock};
use std::{sync::Arc, time::Duration};

/// A JWT authorizer: a verifier, the issuer's keys, and the tokens that were verified. A handle: clones share all of
/// it. [`JwtAuthorizerLayer`](super::JwtAuthorizerLayer) puts it in front of a service.
#[derive(Clone, Debug)]
pub struct JwtAuthorizer(pub(super) Arc<Engine>);

impl JwtAuthorizer {
    /// Starts from AWS's settings: the token is in `Authorization`.
    pub fn builder(verifier: JwtVerifier, keys: JwkSource) -> JwtAuthorizerBuilder {
        JwtAuthorizerBuilder { provider: Provider { verifier, keys }, common: Common::default() }
    }

    /// Forgets every token that was verified: the next request with it has it verified again.
    pub fn forget_tokens(&self) {
        self.0.forget_tokens();
    }

    /// How many verified tokens are remembered.
    pub fn remembered_tokens(&self) -> usize {
        self.0.remembered()
    }
}

/// Collects the settings of a [`JwtAuthorizer`].
#[derive(Debug)]
#[must_use]
pub struct JwtAuthorizerBuilder {
    provider: Provider,
    common: Common,
}

common_settings!(JwtAuthorizerBuilder);

impl JwtAuthorizerBuilder {
    /// Where the token is: `$request.header.NAME` or `$request.querystring.NAME`, exactly one. Default:
    /// `$request.header.Authorization`.
    pub fn identity_source(mut self, source: impl Into<String>) -> Self {
        self.common.identity = Some(source.into());
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// The identity source is none.
    pub fn build(mut self) -> Result<JwtAuthorizer, ConfigError> {
        if let Some(text) = &self.common.identity {
            self.common.source = TokenSource::parse(text)?;
        }
        let engine = Engine::new(vec![self.provider], Demand::Scopes, self.common)?;
        Ok(JwtAuthorizer(Arc::new(engine)))
    }
}
