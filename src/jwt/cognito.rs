//! The Cognito authorizer of REST APIs, as a handle.

use super::{
    engine::{Common, Demand, Engine, Provider, common_settings},
    source::JwkSource,
    token_source::TokenSource,
    verifier::{JwtVerifier, check_leeway},
};
use crate::{ConfigError, clock::Clock, expression::whole_match};
use std::{sync::Arc, time::Duration};

/// A Cognito user pool, by what its tokens say in `iss`.
///
/// ```
/// use tower_gateway::jwt::UserPool;
///
/// let pool = UserPool::new("eu-west-1", "eu-west-1_Ab12Cd34E")?;
/// assert_eq!(pool.issuer(), "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Ab12Cd34E");
/// assert!(pool.jwks_url().ends_with("/eu-west-1_Ab12Cd34E/.well-known/jwks.json"));
/// let local = UserPool::at("http://localhost:9229/local_pool")?;
/// assert_eq!(local.jwks_url(), "http://localhost:9229/local_pool/.well-known/jwks.json");
/// # Ok::<(), tower_gateway::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserPool {
    issuer: String,
}

impl UserPool {
    /// A pool on AWS. Its id begins with the Region, `eu-west-1_Ab12Cd34E`.
    ///
    /// # Errors
    ///
    /// The id is not one of a pool of that Region.
    pub fn new(region: &str, id: &str) -> Result<Self, ConfigError> {
        let name = id.strip_prefix(region).and_then(|rest| rest.strip_prefix('_')).unwrap_or_default();
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if region.is_empty() || name.is_empty() || !is_plain(region) || !is_plain(name) {
            return Err(ConfigError::new("user pool", id, format!("not an id of a pool in {region}")));
        }
        Ok(Self { issuer: format!("https://cognito-idp.{region}.{}/{id}", dns_suffix(region)) })
    }

    /// The pool that an ARN names: `arn:aws:cognito-idp:<region>:<account>:userpool/<id>` (`providerARNs`), of any
    /// partition (`aws-us-gov`, `aws-cn`).
    ///
    /// # Errors
    ///
    /// The text is no such ARN.
    pub fn from_arn(arn: &str) -> Result<Self, ConfigError> {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        match parts[..] {
            ["arn", partition, "cognito-idp", region, _account, resource]
                if partition == partition_of(region) && resource.starts_with("userpool/") =>
            {
                Self::new(region, &resource["userpool/".len()..])
            }
            _ => Err(ConfigError::new("user pool", arn, "not the ARN of a user pool")),
        }
    }

    /// A pool that runs elsewhere, by its issuer: what stands in `iss` of its tokens.
    ///
    /// # Errors
    ///
    /// Not an `http` or `https` address.
    pub fn at(issuer: &str) -> Result<Self, ConfigError> {
        let uri: Option<http::Uri> = issuer.parse().ok();
        if !uri.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https"))) {
            return Err(ConfigError::new("user pool", issuer, "not an http or https address"));
        }
        Ok(Self { issuer: issuer.to_owned() })
    }

    /// What stands in `iss` of its tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Where its keys are, for [`RemoteJwks::url`](super::RemoteJwks::url).
    pub fn jwks_url(&self) -> String {
        format!("{}/.well-known/jwks.json", self.issuer.trim_end_matches('/'))
    }
}

/// The partition of a Region, as ARNs name it.
fn partition_of(region: &str) -> &'static str {
    match region {
        region if region.starts_with("cn-") => "aws-cn",
        region if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// Where the services of a Region are found.
fn dns_suffix(region: &str) -> &'static str {
    if partition_of(region) == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" }
}

/// A Cognito authorizer (`COGNITO_USER_POOLS`): one or more user pools, their keys, and the tokens that were
/// verified. A handle: clones share all of it. [`CognitoAuthorizerLayer`](super::CognitoAuthorizerLayer) puts it in
/// front of a service.
#[derive(Clone, Debug)]
pub struct CognitoAuthorizer(pub(super) Arc<Engine>);

impl CognitoAuthorizer {
    /// Starts from AWS's settings: the token is in `Authorization`.
    pub fn builder() -> CognitoAuthorizerBuilder {
        CognitoAuthorizerBuilder {
            pools: Vec::new(),
            validation: None,
            client_ids: Vec::new(),
            leeway: Duration::ZERO,
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

/// Collects the settings of a [`CognitoAuthorizer`].
#[derive(Debug)]
#[must_use]
pub struct CognitoAuthorizerBuilder {
    pools: Vec<(UserPool, JwkSource)>,
    validation: Option<String>,
    client_ids: Vec<String>,
    leeway: Duration,
    common: Common,
}

common_settings!(CognitoAuthorizerBuilder);

impl CognitoAuthorizerBuilder {
    /// One more pool whose tokens pass, with its keys.
    pub fn user_pool(mut self, pool: UserPool, keys: JwkSource) -> Self {
        self.pools.push((pool, keys));
        self
    }

    /// The header with the token: `method.request.header.NAME`. Default: `method.request.header.Authorization`.
    pub fn identity_source(mut self, source: impl Into<String>) -> Self {
        self.common.identity = Some(source.into());
        self
    }

    /// A regular expression that the whole of `aud` must match (`identityValidationExpression`). Access tokens have
    /// no `aud` and so never match, as on AWS. Default: none.
    pub fn identity_validation_expression(mut self, expression: impl Into<String>) -> Self {
        self.validation = Some(expression.into());
        self
    }

    /// One more app client whose tokens pass, by `aud` of an ID token or `client_id` of an access token. AWS has no
    /// such setting: there, every app client of the pool passes, which is the default here too.
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.client_ids.push(id.into());
        self
    }

    /// How far the clocks of pool and gateway may differ. Default: zero; at most 5 minutes.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// No pool, one pool twice, an identity source that is no header, an expression that is none, a leeway above
    /// 5 minutes.
    pub fn build(mut self) -> Result<CognitoAuthorizer, ConfigError> {
        self.check_pools()?;
        check_leeway(self.leeway)?;
        if let Some(text) = &self.common.identity {
            self.common.source = match TokenSource::parse(text)? {
                header @ TokenSource::Header(_) => header,
                TokenSource::Query(_) => {
                    return Err(ConfigError::new(
                        "identity source",
                        text,
                        "a Cognito authorizer takes a header",
                    ));
                }
            };
        }
        let validation = self.validation.as_deref().map(whole_match).transpose()?;
        let provider = |(pool, keys): (UserPool, JwkSource)| {
            let verifier = JwtVerifier::of_user_pool(pool.issuer());
            Provider { verifier: verifier.with_leeway(self.leeway).with_client_ids(&self.client_ids), keys }
        };
        let providers = self.pools.into_iter().map(provider).collect();
        let engine = Engine::new(providers, Demand::UserPool(validation), self.common)?;
        Ok(CognitoAuthorizer(Arc::new(engine)))
    }

    fn check_pools(&self) -> Result<(), ConfigError> {
        if self.pools.is_empty() {
            return Err(ConfigError::new("Cognito authorizer", "", "at least one user pool is needed"));
        }
        let issuers = || self.pools.iter().map(|(pool, _)| pool.issuer());
        let twice = issuers()
            .enumerate()
            .find(|(index, issuer)| issuers().take(*index).any(|known| known == *issuer));
        twice.map_or(Ok(()), |(_, issuer)| Err(ConfigError::new("user pool", issuer, "configured twice")))
    }
}
