//! The JWT authorizer of HTTP APIs, as a handle.

use super::{
    engine::{Common, Demand, Engine, Provider},
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
        JwtAuthorizerBuilder {
            provider: Provider { verifier, keys },
            identity: None,
            common: Common::default(),
        }
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
    identity: Option<String>,
    common: Common,
}

impl JwtAuthorizerBuilder {
    /// Where the token is: `$request.header.NAME` or `$request.querystring.NAME`, exactly one. Default:
    /// `$request.header.Authorization`.
    pub fn identity_source(mut self, source: impl Into<String>) -> Self {
        self.identity = Some(source.into());
        self
    }

    /// The longest time for which a verified token is not verified again; never beyond its `exp`, nor beyond a change
    /// of the keys. Default: 5 minutes. Zero: every token is verified every time.
    pub fn remember_for(mut self, ceiling: Duration) -> Self {
        self.common.ceiling = ceiling;
        self
    }

    /// How many verified tokens are remembered, at some 1.5 KB for a common one. Default: 10,000. Zero: none.
    pub fn remember_at_most(mut self, tokens: usize) -> Self {
        self.common.capacity = tokens;
        self
    }

    /// The clock that tokens are compared with. Default: the machine's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.common.clock = clock;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// The identity source is none.
    pub fn build(mut self) -> Result<JwtAuthorizer, ConfigError> {
        if let Some(text) = &self.identity {
            self.common.source = TokenSource::parse(text)?;
        }
        let engine = Engine::new(vec![self.provider], Demand::Scopes, self.common)?;
        Ok(JwtAuthorizer(Arc::new(engine)))
    }
}
