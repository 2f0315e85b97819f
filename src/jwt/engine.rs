//! What JWT and Cognito authorizers have in common: issuers with their keys, remembered tokens, one judgement.

use super::{
    cache::{TokenCache, Verified},
    error::JwtError,
    refusal::Refusal,
    source::{JwkSource, Wait},
    token_source::TokenSource,
    verifier::JwtVerifier,
};
use crate::{
    ConfigError,
    clock::{Clock, Timestamp},
    context::{AuthorizerContext, ClaimStyle, Claims, KnownBy, RequestContext},
};
use bytes::Bytes;
use http::Response;
use regex_lite::Regex;
use std::{sync::Arc, time::Duration};

/// Tokens that are remembered unless the builder says otherwise, and for how long at most.
const DEFAULT_CAPACITY: usize = 10_000;
const DEFAULT_CEILING: Duration = Duration::from_secs(300);

/// An issuer and its keys.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) verifier: JwtVerifier,
    pub(super) keys: JwkSource,
}

/// The settings that both builders share.
#[derive(Clone, Debug)]
pub(super) struct Common {
    /// The identity source as it was given.
    pub(super) identity: Option<String>,
    pub(super) source: TokenSource,
    pub(super) capacity: usize,
    pub(super) ceiling: Duration,
    pub(super) clock: Clock,
}

impl Default for Common {
    fn default() -> Self {
        Self {
            identity: None,
            source: TokenSource::default(),
            capacity: DEFAULT_CAPACITY,
            ceiling: DEFAULT_CEILING,
            clock: Clock::system(),
        }
    }
}

/// The methods for [`Common`] that both builders have, with the same words.
macro_rules! common_settings {
    ($builder:ty) => {
        impl $builder {
            /// The longest time for which a verified token is not verified again; never beyond its `exp`, nor beyond a
            /// change of the keys. Default: 5 minutes. Zero: every token is verified every time.
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
        }
    };
}
pub(super) use common_settings;

/// What is asked of a verified token beyond its own soundness.
#[derive(Clone, Debug)]
pub(super) enum Demand {
    /// HTTP API: one of the scopes, where there are any.
    Scopes,
    /// REST API with user pools: an ID token without scopes, an access token with one of them; and the expression on
    /// `aud`.
    UserPool(Option<Regex>),
}

impl Demand {
    /// The expression on `aud`.
    fn expression(&self) -> Option<&str> {
        match self {
            Self::UserPool(Some(expression)) => Some(expression.as_str()),
            Self::UserPool(None) | Self::Scopes => None,
        }
    }
}

/// See the module's first line.
#[derive(Debug)]
pub(super) struct Engine {
    providers: Vec<Provider>,
    demand: Demand,
    cache: TokenCache,
    pub(super) source: TokenSource,
    known_by: Arc<KnownBy>,
    pub(super) clock: Clock,
}

/// The judgement of a token.
pub(super) enum Verdict {
    Pass(Arc<AuthorizerContext>),
    Refuse(Refusal),
    /// Its key is being fetched.
    Wait(Wait),
}

/// One look at a token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// When its request came here.
    pub(super) since: Timestamp,
    pub(super) now: Timestamp,
    /// Its key was fetched for it already; it is not fetched twice.
    pub(super) has_waited: bool,
}

impl Look {
    pub(super) fn first(now: Timestamp) -> Self {
        Self { since: now, now, has_waited: false }
    }

    pub(super) fn again(self, now: Timestamp) -> Self {
        Self { now, has_waited: true, ..self }
    }
}

/// Why a token could not be verified.
enum Stop {
    Refused(JwtError),
    /// The issuer's keys lack the one that the token names.
    NoKey {
        provider: usize,
        kid: Option<String>,
    },
}

impl From<JwtError> for Stop {
    fn from(error: JwtError) -> Self {
        Self::Refused(error)
    }
}

impl Engine {
    pub(super) fn new(providers: Vec<Provider>, demand: Demand, common: Common) -> Result<Self, ConfigError> {
        let cache = TokenCache::new(common.capacity, common.ceiling)?;
        let known_by = Arc::new(common.source.known_by());
        Ok(Self { providers, demand, cache, source: common.source, known_by, clock: common.clock })
    }

    pub(super) fn style(&self) -> ClaimStyle {
        match self.demand {
            Demand::Scopes => ClaimStyle::Http,
            Demand::UserPool(_) => ClaimStyle::Rest,
        }
    }

    /// The answer, with what would have been accepted for operators.
    pub(super) fn refuse<R: From<Bytes>>(
        &self,
        refusal: Refusal,
        scopes: &Arc<[Box<str>]>,
        context: &RequestContext,
        look: Look,
    ) -> Response<R> {
        refusal.note_run(self.style(), scopes, context, self.clock.now().since(look.since));
        refusal.answer(self.style(), scopes, self.wanted(refusal), context)
    }

    fn wanted(&self, refusal: Refusal) -> Vec<String> {
        let verifiers = || self.providers.iter().map(|provider| &provider.verifier);
        match refusal {
            Refusal::Token(JwtError::Issuer) => {
                verifiers().map(|verifier| verifier.issuer().to_owned()).collect()
            }
            Refusal::Token(JwtError::Audience) => {
                let audiences = verifiers().flat_map(JwtVerifier::audiences).map(str::to_owned);
                audiences.chain(self.demand.expression().map(|text| format!("matches {text}"))).collect()
            }
            Refusal::Token(JwtError::Algorithm(_)) => {
                verifiers().flat_map(JwtVerifier::algorithm_names).map(str::to_owned).collect()
            }
            _ => Vec::new(),
        }
    }

    #[cfg(feature = "access-log")]
    fn note_verified(&self, context: &RequestContext, look: Look) {
        context.note_verified_token(|| self.clock.now().since(look.since));
    }

    #[cfg(not(feature = "access-log"))]
    fn note_verified(&self, _: &RequestContext, _: Look) {}

    pub(super) fn forget_tokens(&self) {
        self.cache.clear();
    }

    pub(super) fn remembered(&self) -> usize {
        self.cache.len()
    }

    /// Judges a token, and tells the context whether it is one that is remembered, or how long its verification took.
    pub(super) fn judge(
        &self,
        context: &RequestContext,
        token: &[u8],
        scopes: &[Box<str>],
        look: Look,
    ) -> Verdict {
        let now = look.now;
        match self.establish(token, now) {
            Ok((established, remembered)) => {
                if remembered {
                    note_remembered(context);
                }
                if let Err(refusal) = self.meets_demand(&established, scopes) {
                    return Verdict::Refuse(refusal);
                }
                if !remembered {
                    self.note_verified(context, look);
                }
                Verdict::Pass(established)
            }
            Err(Stop::Refused(error)) => Verdict::Refuse(Refusal::Token(error)),
            Err(Stop::NoKey { provider, kid }) => {
                let keys = &self.providers[provider].keys;
                if look.has_waited {
                    return Verdict::Refuse(Refusal::Token(keys.note_absent(kid.as_deref(), now)));
                }
                match keys.await_key(kid.as_deref(), now) {
                    Ok(wait) => Verdict::Wait(wait),
                    Err(error) => Verdict::Refuse(Refusal::Token(error)),
                }
            }
        }
    }

    /// What a token establishes, and whether that was remembered.
    fn establish(&self, token: &[u8], now: Timestamp) -> Result<(Arc<AuthorizerContext>, bool), Stop> {
        let key = self.cache.key(token);
        if let Some(known) =
            key.and_then(|key| self.cache.get(key, now)).filter(|known| self.is_current(known, now))
        {
            return Ok((known.established, true));
        }
        let verified = self.verify(token, now)?;
        let established = Arc::clone(&verified.established);
        if let Some(key) = key {
            self.cache.insert(key, verified);
        }
        Ok((established, false))
    }

    /// Whether the keys that a remembered token was verified with are still in force.
    fn is_current(&self, known: &Verified, now: Timestamp) -> bool {
        let edition = self.providers[known.provider].keys.current(now);
        edition.as_ref().is_some_and(|edition| edition.generation == known.generation)
    }

    fn verify(&self, token: &[u8], now: Timestamp) -> Result<Verified, Stop> {
        let index = self.provider_of(token)?;
        let Provider { verifier, keys } = &self.providers[index];
        let edition = keys.current(now);
        let Some(edition) = edition.as_ref() else {
            return Err(Stop::NoKey { provider: index, kid: verifier.kid(token)? });
        };
        let claims = match verifier.verify(token, &edition.set, now) {
            Ok(claims) => claims,
            Err(JwtError::UnknownKey) => {
                return Err(Stop::NoKey { provider: index, kid: verifier.kid(token)? });
            }
            Err(error) => return Err(error.into()),
        };
        let window = verifier.window(&claims)?;
        let mut established = AuthorizerContext::of_token(claims, verifier.shared_issuer(), self.style());
        established.set_known_by(&self.known_by);
        Ok(Verified {
            established: Arc::new(established),
            provider: index,
            generation: edition.generation,
            window,
            verified_at: now,
        })
    }

    /// With several issuers the token says whose it claims to be; its signature will prove it.
    fn provider_of(&self, token: &[u8]) -> Result<usize, JwtError> {
        let [first, _, ..] = &*self.providers else { return Ok(0) };
        let payload = first.verifier.split(token)?.payload()?;
        let claims = Claims::parse(payload).ok_or(JwtError::Claims)?;
        let issuer = claims.string("iss");
        let found =
            self.providers.iter().position(|provider| issuer.as_deref() == Some(provider.verifier.issuer()));
        found.ok_or(JwtError::Issuer)
    }

    fn meets_demand(&self, established: &AuthorizerContext, scopes: &[Box<str>]) -> Result<(), Refusal> {
        let claims = established.token_claims().ok_or(Refusal::Token(JwtError::Claims))?;
        match &self.demand {
            Demand::Scopes if claims.has_any_scope(scopes) => Ok(()),
            Demand::Scopes => Err(Refusal::Scope),
            Demand::UserPool(audience) => of_user_pool(claims, scopes, audience.as_ref()),
        }
    }
}

#[cfg(feature = "access-log")]
fn note_remembered(context: &RequestContext) {
    context.note_cached_authorizer();
}

#[cfg(not(feature = "access-log"))]
fn note_remembered(_: &RequestContext) {}

fn of_user_pool(claims: &Claims, scopes: &[Box<str>], audience: Option<&Regex>) -> Result<(), Refusal> {
    let token_use = if scopes.is_empty() { "id" } else { "access" };
    if claims.string("token_use").as_deref() != Some(token_use) {
        return Err(Refusal::Token(JwtError::TokenUse));
    }
    if !claims.has_any_scope(scopes) {
        return Err(Refusal::Scope);
    }
    match audience {
        Some(expression) if !claims.names_any("aud", |text| expression.is_match(text)) => {
            Err(Refusal::Token(JwtError::Audience))
        }
        _ => Ok(()),
    }
}
