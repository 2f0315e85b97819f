//! Settings of an authorizer, checked when it is built.

#[cfg(feature = "redis")]
use super::shared::Sharing;
use super::{
    Authorizer, AuthorizerAnswer, AuthorizerError, AuthorizerEvent,
    answer::AnswerForm,
    cache::ResultCache,
    event::EventForm,
    function::{Function, ServiceFunction},
    handle::{Inner, SingleMethodHook},
    identity::IdentitySource,
};
#[cfg(feature = "redis")]
use crate::store::StoreOptions;
use crate::{clock::Clock, error::ConfigError, expression::whole_match};
use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, atomic::AtomicU64},
    time::Duration,
};
use tower_service::Service;

/// AWS's default and largest `authorizerResultTtlInSeconds`.
const DEFAULT_TTL: Duration = Duration::from_secs(300);
const MAX_TTL: Duration = Duration::from_secs(3600);

/// AWS's fixed limit for HTTP APIs; undocumented for REST.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

const DEFAULT_CAPACITY: usize = 10_000;
const DEFAULT_TOKEN_SOURCE: &str = "method.request.header.Authorization";

/// Which events an HTTP API's authorizer gets (`authorizerPayloadFormatVersion`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PayloadFormat {
    /// `1.0`
    V1,
    /// `2.0`
    V2,
}

/// Collects an authorizer's settings; see [`Authorizer`].
#[must_use]
pub struct AuthorizerBuilder {
    name: String,
    form: EventForm,
    function: Box<dyn Function>,
    sources: Vec<String>,
    validation: Option<String>,
    simple_responses: bool,
    ttl: Duration,
    negative_ttl: Option<Duration>,
    stale_while_revalidate: Duration,
    timeout: Duration,
    capacity: usize,
    secret: Option<[u8; 16]>,
    #[cfg(feature = "redis")]
    shares_answers: bool,
    #[cfg(feature = "redis")]
    store_options: StoreOptions,
    clock: Clock,
    single_method_hook: Option<Box<SingleMethodHook>>,
}

impl Authorizer {
    /// A REST API's TOKEN authorizer: the function gets the value of one header, by default `Authorization`. Answers
    /// are cached for 300 s.
    ///
    /// `function` is a tower service, such as [`authorizer_fn`](super::authorizer_fn) makes of an async closure and
    /// [`LambdaInvoke`](super::LambdaInvoke) is; it is cloned for each call.
    pub fn token<S>(name: impl Into<String>, function: S) -> AuthorizerBuilder
    where
        S: Service<AuthorizerEvent, Response = AuthorizerAnswer> + Clone + Send + 'static,
        S::Error: Into<AuthorizerError>,
        S::Future: Send,
    {
        let builder = AuthorizerBuilder::new(name.into(), EventForm::Token, function, DEFAULT_TTL);
        builder.identity_sources([DEFAULT_TOKEN_SOURCE])
    }

    /// A REST API's REQUEST authorizer: the function gets headers, query string, variables and context. It needs
    /// [`identity_sources`](AuthorizerBuilder::identity_sources) unless its TTL is 0. Answers are cached for 300 s.
    pub fn request<S>(name: impl Into<String>, function: S) -> AuthorizerBuilder
    where
        S: Service<AuthorizerEvent, Response = AuthorizerAnswer> + Clone + Send + 'static,
        S::Error: Into<AuthorizerError>,
        S::Future: Send,
    {
        AuthorizerBuilder::new(name.into(), EventForm::RestRequest, function, DEFAULT_TTL)
    }

    /// An HTTP API's REQUEST authorizer. Answers are not cached unless a [`ttl`](AuthorizerBuilder::ttl) is set, as on
    /// AWS.
    pub fn http_request<S>(name: impl Into<String>, format: PayloadFormat, function: S) -> AuthorizerBuilder
    where
        S: Service<AuthorizerEvent, Response = AuthorizerAnswer> + Clone + Send + 'static,
        S::Error: Into<AuthorizerError>,
        S::Future: Send,
    {
        let form = match format {
            PayloadFormat::V1 => EventForm::Http1,
            PayloadFormat::V2 => EventForm::Http2,
        };
        AuthorizerBuilder::new(name.into(), form, function, Duration::ZERO)
    }
}

impl AuthorizerBuilder {
    fn new<S>(name: String, form: EventForm, function: S, ttl: Duration) -> Self
    where
        S: Service<AuthorizerEvent, Response = AuthorizerAnswer> + Clone + Send + 'static,
        S::Error: Into<AuthorizerError>,
        S::Future: Send,
    {
        Self {
            name,
            form,
            function: Box::new(ServiceFunction(Mutex::new(function))),
            sources: Vec::new(),
            validation: None,
            simple_responses: false,
            ttl,
            negative_ttl: None,
            stale_while_revalidate: Duration::ZERO,
            timeout: DEFAULT_TIMEOUT,
            capacity: DEFAULT_CAPACITY,
            secret: None,
            #[cfg(feature = "redis")]
            shares_answers: true,
            #[cfg(feature = "redis")]
            store_options: StoreOptions::new(),
            clock: Clock::system(),
            single_method_hook: None,
        }
    }

    /// Where the identity is found (`identitySource`), in order; replaces the default. A request that lacks one is
    /// refused with 401 and the function is not called. Together they are the key of the cache, with the stage.
    ///
    /// `method.request.header.X`, `method.request.querystring.X`, `stageVariables.X`, `context.X`, or in the words of
    /// HTTP APIs `$request.header.X`, `$request.querystring.X`, `$stageVariables.X`, `$context.X`. A text may hold
    /// several with commas between, as AWS writes them.
    pub fn identity_sources<T: AsRef<str>>(mut self, sources: impl IntoIterator<Item = T>) -> Self {
        let split = |list: T| -> Vec<String> {
            list.as_ref().split(',').map(|source| source.trim().to_owned()).collect()
        };
        self.sources = sources.into_iter().flat_map(split).collect();
        self
    }

    /// What a TOKEN authorizer's token must look like (`identityValidationExpression`): a regular expression that
    /// must match the whole token, or the answer is 401 and the function is not called.
    ///
    /// The engine is `regex-lite`: linear in the token's length whatever the expression, without look-around and
    /// back references, which Java's engine (AWS's) has.
    pub fn identity_validation_expression(mut self, expression: impl Into<String>) -> Self {
        self.validation = Some(expression.into());
        self
    }

    /// Whether the function answers yes or no in place of a policy (`enableSimpleResponses`, HTTP APIs with payload
    /// format 2.0). Default: no.
    pub fn simple_responses(mut self, enabled: bool) -> Self {
        self.simple_responses = enabled;
        self
    }

    /// For how long an answer is used (`authorizerResultTtlInSeconds`), from its call on: 0 (never) to 3600 s.
    /// Default: 300 s for REST, 0 for HTTP APIs. What is kept is the policy; each request is judged by it anew.
    ///
    /// With 0 every request has a call of its own. Otherwise requests of one identity share the call in flight.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// For how long an answer that allows nothing is used: `Unauthorized`, a simple no, a policy without `Allow`.
    /// Default, as on AWS: `Unauthorized` is asked anew each time, the others have the [`ttl`](Self::ttl). Failures
    /// and malformed answers are never kept. Without a TTL nothing is kept, so that it needs one.
    pub fn negative_ttl(mut self, ttl: Duration) -> Self {
        self.negative_ttl = Some(ttl);
        self
    }

    /// For how long after its TTL an answer that allows is still used while a call for a new one runs in a tokio task of
    /// its own; where there is no tokio runtime the request waits for it. Default: 0, as on AWS. If the call fails the
    /// old answer stays until this time is over; if it says `Unauthorized` it goes at once.
    pub fn stale_while_revalidate(mut self, period: Duration) -> Self {
        self.stale_while_revalidate = period;
        self
    }

    /// How long the function may take. Default: 10 s. Afterwards its future is dropped and the answer is 500
    /// `AUTHORIZER_FAILURE`. The timers of the system's clock are tokio's.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Most answers that are cached; the least used go first. Default: 10,000. An answer takes about as much memory
    /// as its JSON has bytes, of which 65,536 are the most.
    pub fn capacity(mut self, answers: usize) -> Self {
        self.capacity = answers;
        self
    }

    /// What processes that share answers and revocations know identities by and encrypt answers with: the same 16 random
    /// bytes in all of them (see `redis::Fleet::share_authorizer`). It is a secret: who knows it can read and forge
    /// answers where they are kept, and try tokens. Somebody who does not, and can write there, can put an old answer
    /// back to its place, until its TTL and 60 s are over since its call. Default: random, and every process its own.
    pub fn shared_secret(mut self, secret: [u8; 16]) -> Self {
        self.secret = Some(secret);
        self
    }

    /// Whether processes that share this authorizer (`redis::Fleet::share_authorizer`) share its answers too, or its
    /// revocations only. Default: its answers too.
    #[cfg(feature = "redis")]
    pub fn share_answers(mut self, share: bool) -> Self {
        self.shares_answers = share;
        self
    }

    /// How the store of shared answers is asked. Without its answer the function is asked, whatever the
    /// [`failure policy`](StoreOptions::failure). Default: [`StoreOptions::new`].
    #[cfg(feature = "redis")]
    pub fn store_options(mut self, options: StoreOptions) -> Self {
        self.store_options = options;
        self
    }

    /// The clock of TTLs and timeouts. Default: the system's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Called once with the authorizer's name when an answer is cached whose policy allows a single method: behind an
    /// authorizer of several methods the next one would be refused until the TTL is over. See
    /// [`Authorizer::single_method_policies`] for the count. With the feature `tracing` a warning is written besides.
    pub fn on_single_method_policy(mut self, warn: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.single_method_hook = Some(Box::new(warn));
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// An empty name, an identity source of an unknown form, none where answers are cached, other than one header for
    /// TOKEN, a validation expression that does not compile or belongs to no TOKEN authorizer, simple responses without
    /// payload format 2.0, a TTL above 3600 s, a stale period or a negative TTL without a TTL, a timeout or capacity of
    /// 0; a system without randomness.
    pub fn build(self) -> Result<Authorizer, ConfigError> {
        let sources =
            self.sources.iter().map(|text| IdentitySource::parse(text)).collect::<Result<Vec<_>, _>>()?;
        self.check_form(&sources)?;
        self.check_times(&sources)?;
        let validation = self.validation.as_deref().map(whole_match).transpose()?;
        Ok(Authorizer(Arc::new(Inner {
            name: self.name.into(),
            form: AnswerForm { event: self.form, simple_responses: self.simple_responses },
            known_by: Arc::new(IdentitySource::known_by(&sources)),
            sources: sources.into(),
            validation,
            ttl: self.ttl,
            negative_ttl: self.negative_ttl,
            stale_while_revalidate: self.stale_while_revalidate,
            timeout: self.timeout,
            clock: self.clock,
            function: self.function,
            cache: Arc::new(ResultCache::new(self.capacity, self.secret)?),
            peers: OnceLock::new(),
            #[cfg(feature = "redis")]
            sharing: Sharing::new(self.secret, self.shares_answers, self.store_options),
            single_method_hook: self.single_method_hook,
            single_method_policies: AtomicU64::new(0),
            calls: AtomicU64::new(0),
        })))
    }

    fn check_form(&self, sources: &[IdentitySource]) -> Result<(), ConfigError> {
        let fail = |location: &'static str, value: &str, problem: &'static str| {
            Err(ConfigError::new(location, value, problem))
        };
        if self.name.is_empty() {
            return fail("authorizer name", "", "must not be empty");
        }
        let one_header = matches!(sources, [IdentitySource::Header(_)]);
        match self.form {
            EventForm::Token if !one_header => {
                fail("identity sources", &self.sources.join(","), "a TOKEN authorizer has exactly one header")
            }
            form if form != EventForm::Token && self.validation.is_some() => {
                let expression = self.validation.as_deref().unwrap_or_default();
                fail("identity validation expression", expression, "is for TOKEN authorizers")
            }
            form if form != EventForm::Http2 && self.simple_responses => {
                fail("simple responses", "true", "are for HTTP APIs with payload format 2.0")
            }
            _ => Ok(()),
        }
    }

    fn check_times(&self, sources: &[IdentitySource]) -> Result<(), ConfigError> {
        let fail = |location: &'static str, time: Duration, problem: &'static str| {
            Err(ConfigError::new(location, format!("{time:?}"), problem))
        };
        if !self.ttl.is_zero() && sources.is_empty() {
            return fail("authorizer TTL", self.ttl, "answers cannot be cached without an identity source");
        }
        for ttl in [self.ttl, self.negative_ttl.unwrap_or_default()] {
            if ttl > MAX_TTL {
                return fail("authorizer TTL", ttl, "is longer than 3600 s");
            }
        }
        if self.ttl.is_zero() && !self.stale_while_revalidate.is_zero() {
            return fail("stale-while-revalidate", self.stale_while_revalidate, "needs a TTL");
        }
        if let Some(negative) = self.negative_ttl.filter(|negative| self.ttl.is_zero() && !negative.is_zero())
        {
            return fail("negative TTL", negative, "needs a TTL: with 0 no answer is kept");
        }
        if self.timeout.is_zero() {
            return fail("authorizer timeout", self.timeout, "must not be 0");
        }
        if self.capacity == 0 {
            return Err(ConfigError::new("authorizer cache capacity", 0, "must not be 0"));
        }
        Ok(())
    }
}

impl fmt::Debug for AuthorizerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("AuthorizerBuilder");
        out.field("name", &self.name)
            .field("sources", &self.sources)
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}
