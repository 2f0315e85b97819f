//! The judgement of a token: a function of the token, the keys and the time.

use super::{
    algorithm::{Algorithm, Algorithms},
    error::JwtError,
    jwk_set::JwkSet,
    segments::Segments,
};
use crate::{
    ConfigError,
    clock::Timestamp,
    context::{Claims, json_object::MAX_TEXT},
};
use std::{sync::Arc, time::Duration};

/// The sum of header values that API Gateway takes: no longer token could arrive.
const DEFAULT_MAX_TOKEN_BYTES: usize = 10_240;
/// Audiences of one authorizer (API Gateway quotas).
const MAX_AUDIENCES: usize = 50;

/// What a token must be, without its keys. Pure: [`verify`](Self::verify) reads no clock and asks nobody.
///
/// Checked in this order, which is AWS's (developer guide, "Control access to HTTP APIs with JWT authorizers"):
/// form, algorithm, key, signature, `iss`, `aud` or `client_id`, `token_use`, `exp`, `nbf`, `iat`.
///
/// ```
/// use tower_gateway::{clock::Timestamp, jwt::{JwkSet, JwtError, JwtVerifier}};
///
/// let verifier = JwtVerifier::builder("https://issuer.example").audience("client-1").build()?;
/// let keys = JwkSet::from_json(r#"{"keys":[]}"#)?;
/// let refused = verifier.verify(b"eyJhbGciOiJub25lIn0.e30.", &keys, Timestamp::new(0, 0)).unwrap_err();
/// assert_eq!(refused.description(), "signing method none is invalid");
/// # Ok::<(), tower_gateway::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct JwtVerifier {
    issuer: Arc<str>,
    audience: Audience,
    token_use: Option<Box<str>>,
    algorithms: Algorithms,
    leeway: f64,
    max_token_bytes: usize,
}

/// What is asked of `aud` and `client_id`.
#[derive(Clone, Debug)]
pub(super) enum Audience {
    /// One of these in `aud`; in `client_id` only where there is no `aud`.
    OneOf(Vec<Box<str>>),
    /// Nothing: REST APIs with a Cognito authorizer do not look at it.
    Any,
}

impl JwtVerifier {
    /// Starts from AWS's settings for HTTP APIs: RS256, RS384 and RS512, no leeway, at most 10,240 bytes. `issuer` is
    /// compared exactly, a trailing slash included.
    pub fn builder(issuer: impl Into<String>) -> JwtVerifierBuilder {
        JwtVerifierBuilder {
            issuer: issuer.into(),
            audiences: Vec::new(),
            token_use: None,
            algorithms: Algorithm::AWS_HTTP_API.to_vec(),
            leeway: Duration::ZERO,
            max_token_bytes: DEFAULT_MAX_TOKEN_BYTES,
        }
    }

    /// The verifier of a user pool: RS256, any audience, either use.
    pub(super) fn of_user_pool(issuer: &str) -> Self {
        Self {
            issuer: issuer.into(),
            audience: Audience::Any,
            token_use: None,
            algorithms: Algorithms::of(&[Algorithm::Rs256]),
            leeway: 0.0,
            max_token_bytes: DEFAULT_MAX_TOKEN_BYTES,
        }
    }

    pub(super) fn with_leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway.as_secs_f64();
        self
    }

    pub(super) fn with_client_ids(mut self, ids: &[String]) -> Self {
        if !ids.is_empty() {
            self.audience = Audience::OneOf(ids.iter().map(|id| id.as_str().into()).collect());
        }
        self
    }

    /// The configured issuer.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(super) fn shared_issuer(&self) -> &Arc<str> {
        &self.issuer
    }

    /// The audiences that are accepted; empty where none is asked for.
    pub(super) fn audiences(&self) -> impl Iterator<Item = &str> {
        let audiences = match &self.audience {
            Audience::OneOf(audiences) => audiences.as_slice(),
            Audience::Any => &[],
        };
        audiences.iter().map(|audience| &**audience)
    }

    pub(super) fn algorithm_names(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.algorithms.iter().map(Algorithm::as_str)
    }

    /// The claims of a token that may pass at `now`.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it.
    pub fn verify(&self, token: &[u8], keys: &JwkSet, now: Timestamp) -> Result<Claims, JwtError> {
        let parts = self.split(token)?;
        keys.verify_parts(&parts, self.algorithms)?;
        let claims = Claims::parse(parts.payload()?).ok_or(JwtError::Claims)?;
        self.check(&claims, now)?;
        Ok(claims)
    }

    pub(super) fn split<'t>(&self, token: &'t [u8]) -> Result<Segments<'t>, JwtError> {
        if token.len() > self.max_token_bytes {
            return Err(JwtError::TooLong);
        }
        Segments::split(token)
    }

    fn check(&self, claims: &Claims, now: Timestamp) -> Result<(), JwtError> {
        if claims.string("iss").as_deref() != Some(&*self.issuer) {
            return Err(JwtError::Issuer);
        }
        if !self.audience.is_in(claims) {
            return Err(JwtError::Audience);
        }
        if self.token_use.is_some() && claims.string("token_use").as_deref() != self.token_use.as_deref() {
            return Err(JwtError::TokenUse);
        }
        self.check_dates(claims, now)
    }

    fn check_dates(&self, claims: &Claims, now: Timestamp) -> Result<(), JwtError> {
        let window = self.window(claims)?;
        let now = seconds(now);
        match window {
            Window { expires, .. } if now >= expires => Err(JwtError::Expired),
            Window { not_before, .. } if now < not_before => Err(JwtError::NotYetValid),
            Window { issued, .. } if now < issued => Err(JwtError::IssuedInFuture),
            _ => Ok(()),
        }
    }

    /// When the token may be used. One without `exp` never may: AWS lists it among the claims that are checked, and
    /// a token for ever is no token.
    pub(super) fn window(&self, claims: &Claims) -> Result<Window, JwtError> {
        let date = |name| claims.date(name).map_err(|_| JwtError::Claims);
        let expires = date("exp")?.ok_or(JwtError::Expired)? + self.leeway;
        let not_before = date("nbf")?.unwrap_or(f64::MIN) - self.leeway;
        let issued = date("iat")?.unwrap_or(f64::MIN) - self.leeway;
        Ok(Window { expires, not_before, issued })
    }

    /// The algorithm and key that the token names, for a look before there are keys.
    pub(super) fn kid(&self, token: &[u8]) -> Result<Option<String>, JwtError> {
        self.split(token)?.with_header(|header| {
            header.algorithm(|algorithm| self.algorithms.contains(algorithm))?;
            Ok(header.kid()?.map(|kid| kid.into_owned()))
        })
    }
}

/// The dates of a token in Unix seconds, leeway included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) expires: f64,
    pub(super) not_before: f64,
    pub(super) issued: f64,
}

/// With fractions: a NumericDate may have them (RFC 7519 section 2).
fn seconds(now: Timestamp) -> f64 {
    now.unix_millis() as f64 / 1000.0
}

impl Window {
    pub(super) fn contains(&self, now: Timestamp) -> bool {
        let now = seconds(now);
        self.not_before <= now && self.issued <= now && now < self.expires
    }
}

impl Audience {
    fn is_in(&self, claims: &Claims) -> bool {
        let Self::OneOf(ours) = self else { return true };
        let is_ours = |text: &str| ours.iter().any(|own| **own == *text);
        match claims.json("aud") {
            Some(_) => claims.names_any("aud", is_ours),
            None => claims.string("client_id").is_some_and(|id| is_ours(&id)),
        }
    }
}

/// Collects what a token must be; see [`JwtVerifier`].
#[derive(Clone, Debug)]
#[must_use]
pub struct JwtVerifierBuilder {
    issuer: String,
    audiences: Vec<String>,
    token_use: Option<String>,
    algorithms: Vec<Algorithm>,
    leeway: Duration,
    max_token_bytes: usize,
}

impl JwtVerifierBuilder {
    /// One more audience that may stand in `aud`, or in `client_id` of a token without `aud`. At least one is needed.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// The algorithms that tokens may be signed with. The key decides which one it is, the token never. Default:
    /// [`Algorithm::AWS_HTTP_API`].
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    /// The `token_use` that is asked for: Cognito's `id` or `access`. Default: none, as HTTP APIs do.
    pub fn token_use(mut self, token_use: impl Into<String>) -> Self {
        self.token_use = Some(token_use.into());
        self
    }

    /// How far the clocks of issuer and gateway may differ, for `exp`, `nbf` and `iat`. Default: zero (AWS documents
    /// none); at most 5 minutes.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// The longest token in bytes. Default: 10,240; at most 65,535.
    pub fn max_token_bytes(mut self, bytes: usize) -> Self {
        self.max_token_bytes = bytes;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// No issuer, no audience or more than 50, no algorithm, secret and public algorithms mixed, a leeway or a
    /// length beyond its limit.
    pub fn build(self) -> Result<JwtVerifier, ConfigError> {
        self.check()?;
        Ok(JwtVerifier {
            issuer: self.issuer.into(),
            audience: Audience::OneOf(self.audiences.into_iter().map(Into::into).collect()),
            token_use: self.token_use.map(Into::into),
            algorithms: Algorithms::of(&self.algorithms),
            leeway: self.leeway.as_secs_f64(),
            max_token_bytes: self.max_token_bytes,
        })
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.issuer.is_empty() {
            return Err(ConfigError::new("JWT issuer", &self.issuer, "empty"));
        }
        let audiences = self.audiences.len();
        if audiences == 0 || audiences > MAX_AUDIENCES || self.audiences.iter().any(String::is_empty) {
            let given = self.audiences.join(", ");
            return Err(ConfigError::new("JWT audience", given, "1 to 50 are needed, none of them empty"));
        }
        let secret = self.algorithms.iter().filter(|algorithm| algorithm.is_symmetric()).count();
        if self.algorithms.is_empty() || (secret > 0 && secret < self.algorithms.len()) {
            let names = self.algorithms.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(ConfigError::new(
                "JWT algorithms",
                names,
                "at least one, and HS* not beside public-key ones",
            ));
        }
        check_leeway(self.leeway)?;
        if self.max_token_bytes > MAX_TEXT {
            return Err(ConfigError::new("JWT max_token_bytes", self.max_token_bytes, "at most 65535"));
        }
        Ok(())
    }
}

pub(super) fn check_leeway(leeway: Duration) -> Result<(), ConfigError> {
    if leeway > Duration::from_secs(300) {
        return Err(ConfigError::new("JWT leeway", format!("{leeway:?}"), "at most 5 minutes"));
    }
    Ok(())
}
