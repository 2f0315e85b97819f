//! Cache settings of a method: AWS's fields of `MethodSetting` (stage) and of the integration (deployment).

use http::HeaderName;
use std::{sync::Arc, time::Duration};

/// Cache settings of a method on a stage (AWS: the `cache...` fields of `MethodSetting`); read by `CacheLayer`.
///
/// Under `*/*` they hold for `GET` only; another method is cached only where its own entry (`path/POST`) says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheSettings {
    /// `cachingEnabled`. Default: yes, since somebody wrote these settings.
    pub enabled: bool,
    /// `cacheTtlInSeconds`: for how long an answer is used. Default: 300 s. AWS allows 0 to 3600 s; any value here.
    /// Zero switches caching off.
    pub ttl: Duration,
    /// `cacheDataEncrypted`: values are kept encrypted. Default: no. Needs keys in the cache
    /// (feature `cache-encryption`).
    pub data_encrypted: bool,
    /// `requireAuthorizationForCacheControl`: a client needs the right to invalidate an entry. Default: yes.
    pub require_authorization: bool,
    /// `unauthorizedCacheControlHeaderStrategy`: what a client without the right is told.
    pub unauthorized_strategy: UnauthorizedCacheControl,
}

/// What a client that wants to invalidate an entry without the right to is told
/// (AWS: `unauthorizedCacheControlHeaderStrategy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnauthorizedCacheControl {
    /// `FAIL_WITH_403`.
    FailWith403,
    /// `SUCCEED_WITH_RESPONSE_HEADER`: the wish is ignored, and the answer says so in a `Warning`.
    #[default]
    SucceedWithResponseHeader,
    /// `SUCCEED_WITHOUT_RESPONSE_HEADER`: the wish is ignored.
    SucceedWithoutResponseHeader,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            ttl: Duration::from_secs(300),
            data_encrypted: false,
            require_authorization: true,
            unauthorized_strategy: UnauthorizedCacheControl::default(),
        }
    }
}

impl CacheSettings {
    /// Caching for 300 s, AWS's defaults otherwise.
    pub fn new() -> Self {
        Self::default()
    }

    /// Switches caching on or off.
    #[must_use]
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    /// How long an answer is used. Zero switches caching off.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Keeps values encrypted.
    #[must_use]
    pub fn data_encrypted(mut self, encrypted: bool) -> Self {
        self.data_encrypted = encrypted;
        self
    }

    /// Whether a client needs the right to invalidate an entry.
    #[must_use]
    pub fn require_authorization(mut self, required: bool) -> Self {
        self.require_authorization = required;
        self
    }

    /// What a client without the right is told.
    #[must_use]
    pub fn unauthorized_strategy(mut self, strategy: UnauthorizedCacheControl) -> Self {
        self.unauthorized_strategy = strategy;
        self
    }
}

/// What tells the entries of one method apart (AWS: `cacheKeyParameters` and `cacheNamespace`); read by `CacheLayer`.
///
/// A new key has host, path and the whole query, byte for byte, so that nothing is shared that the service could
/// tell apart by its URL. The first [`query`](Self::query) narrows the query to the declared parameters.
///
/// A method behind an authorizer needs one thing more: its requests carry credentials, and are not cached while these are
/// not in the key. [`principal`](Self::principal) puts in who is calling (for JWT, function and Cognito authorizers and
/// signatures alike), [`header`](Self::header) the field itself,
/// [`shared_between_callers`](Self::shared_between_callers) leaves the caller out.
///
/// ```
/// use tower_gateway::route::{ApiMethod, Authorization, CacheKey};
///
/// let by_zone = ApiMethod::new().cache_key(CacheKey::new().query("zone"));
/// let by_caller = ApiMethod::new().cache_key(CacheKey::new().header(http::header::AUTHORIZATION));
/// let behind_a_jwt = ApiMethod::new()
///     .authorization(Authorization::jwt("accounts"))
///     .cache_key(CacheKey::new().query("q").principal());
/// let as_on_aws = ApiMethod::new().cache_key(CacheKey::only_declared().path("id"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheKey {
    pub(crate) target: bool,
    pub(crate) whole_query: bool,
    pub(crate) queries: Vec<Box<str>>,
    pub(crate) headers: Vec<HeaderName>,
    pub(crate) paths: Vec<Box<str>>,
    pub(crate) principal: bool,
    pub(crate) shared: bool,
    pub(crate) namespace: Option<Arc<str>>,
}

impl Default for CacheKey {
    fn default() -> Self {
        Self { target: true, whole_query: true, ..Self::only_declared() }
    }
}

impl CacheKey {
    /// Host, path and the whole query.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only what is declared, as on AWS: without parameters every request to the method shares one entry, whatever
    /// its host, path variables and query.
    pub fn only_declared() -> Self {
        Self {
            target: false,
            whole_query: false,
            queries: Vec::new(),
            headers: Vec::new(),
            paths: Vec::new(),
            principal: false,
            shared: false,
            namespace: None,
        }
    }

    /// `method.request.querystring.NAME`: of the query, the declared parameters only. All pairs of that name count,
    /// as received and in their order; a parameter that is absent differs from one that is empty. Names are compared
    /// without regard to case and escapes, so that `Zone=` and `z%6Fne=` are never taken for no `zone`.
    #[must_use]
    pub fn query(mut self, name: impl Into<Box<str>>) -> Self {
        self.whole_query = false;
        self.queries.push(name.into());
        self
    }

    /// Nothing of the query, unless declared.
    #[must_use]
    pub fn without_query(mut self) -> Self {
        self.whole_query = false;
        self
    }

    /// `method.request.header.NAME`: all values as received. A credential (`Authorization`, `Cookie`, ...) that is
    /// declared here is the identity by which answers are kept apart; it is kept in digest.
    #[must_use]
    pub fn header(mut self, name: HeaderName) -> Self {
        self.headers.push(name);
        self
    }

    /// `method.request.path.NAME`: a variable of the resource path. Only of use with
    /// [`only_declared`](Self::only_declared): other keys have the whole path. A name that the path of the method does not
    /// have is an error of [`RoutesBuilder::build`](super::RoutesBuilder::build); where there is no value because no
    /// route was matched, the whole path stands in the key.
    #[must_use]
    pub fn path(mut self, name: impl Into<Box<str>>) -> Self {
        self.paths.push(name.into());
        self
    }

    /// The principal is the identity by which answers are kept apart: requests of one principal share an entry,
    /// whatever token or cookie each of them carries. Requests without a principal but with credentials are not
    /// cached.
    #[must_use]
    pub fn principal(mut self) -> Self {
        self.principal = true;
        self
    }

    /// Answers do not depend on who is asking: credentials and client certificates are not looked at, and **one caller's
    /// answer is served to every other**. As on AWS, where neither principal nor authorizer context can be in a key.
    #[must_use]
    pub fn shared_between_callers(mut self) -> Self {
        self.shared = true;
        self
    }

    /// `cacheNamespace`: methods with the same one share entries. Default: the resource path.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<Arc<str>>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }
}
