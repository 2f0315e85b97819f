//! Resources and methods: which part of the API a request is for.
//!
//! [`Routes`] is an immutable table of resource paths and methods. A `StageRouter` has one per deployment; a layer
//! used alone under `Router::layer` may be given one for its per-method settings.
//!
//! How a request is matched (developer guide, "Methods for REST APIs" and "Set up a proxy integration with a proxy
//! resource"; recorded from AWS):
//!
//! 1. A static segment beats `{name}`, which beats `{name+}`, compared from the left.
//! 2. Path and method are matched together: where the most specific path lacks the method, the next one is tried.
//! 3. An explicit method beats `ANY`, which stands for `DELETE GET HEAD OPTIONS PATCH POST PUT`. `HEAD` is not `GET`.
//!    A layer used alone stands in front of a router of its own rules, which answers a `HEAD` that is not declared by the
//!    handler of `GET`: it asks such a `HEAD` for what `GET` is asked for.
//! 4. A trailing slash is ignored, and so are repeated slashes before the first segment. Other double slashes are
//!    kept: they only match a greedy variable.
//! 5. Escapes of unreserved characters are equal to the characters (`/%61dmin` is `/admin`), `%2F` is not a slash.
//!
//! ```
//! use http::Method;
//! use tower_gateway::route::{ApiMethod, Routes};
//!
//! let routes = Routes::builder()
//!     .method("/pets", Method::GET, ApiMethod::new())
//!     .method("/pets/{id}", Method::GET, ApiMethod::new().api_key_required(true))
//!     .any("/{proxy+}", ApiMethod::new())
//!     .build()?;
//! let found = routes.find(&Method::GET, "/pets/7/").expect("declared");
//! assert_eq!(found.resource_path(), "/pets/{id}");
//! assert_eq!(found.param("id"), Some("7"));
//! assert_eq!(routes.find(&Method::POST, "/pets").expect("falls back").resource_path(), "/{proxy+}");
//! assert!(routes.find(&Method::GET, "/").is_none());
//! # Ok::<(), tower_gateway::ConfigError>(())
//! ```

mod authorization;
mod caching;
#[cfg(feature = "tracing")]
mod logging;
mod params;
mod path;
mod scope;
mod settings;
mod table;
mod template;

pub use authorization::Authorization;
pub use caching::{CacheKey, CacheSettings, UnauthorizedCacheControl};
#[cfg(feature = "tracing")]
pub use logging::{ExecutionLogging, LoggingLevel};
pub use path::{PathError, check_path};
pub use settings::MethodSettings;

pub(crate) use params::PathParams;
#[cfg(feature = "stage")]
pub(crate) use path::decode_unreserved;
#[cfg(feature = "policy")]
pub(crate) use path::{decoded_path, matched_path};
pub(crate) use scope::{MatchedRoute, Scope, StageScope};
pub(crate) use settings::ResolvedSettings;
#[cfg(any(feature = "stage", feature = "usage-plan"))]
pub(crate) use settings::normalise;
#[cfg(feature = "stage")]
pub(crate) use settings::{ALL_METHODS, SettingsMap};

use crate::{error::ConfigError, throttle::SharedBucket};
use http::Method;
use std::{sync::Arc, time::Duration};
use table::{Node, Search};

/// Most variables in one resource path.
const MAX_VARIABLES: usize = 16;

/// A method of a resource, with the settings that belong to the deployment.
#[derive(Clone, Debug, Default)]
pub struct ApiMethod {
    pub(crate) api_key_required: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) payload_limit: Option<u64>,
    pub(crate) authorization: Authorization,
    pub(crate) authorization_scopes: Arc<[Box<str>]>,
    pub(crate) stream_signed_payload: bool,
    pub(crate) cache_key: Option<Arc<CacheKey>>,
}

impl ApiMethod {
    /// A method with no key required and the layers' own limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the method needs an API key (`apiKeyRequired`). Default: no.
    #[must_use]
    pub fn api_key_required(mut self, required: bool) -> Self {
        self.api_key_required = required;
        self
    }

    /// Integration timeout of this method (`timeoutInMillis`), in place of the `TimeoutLayer`'s. Any value;
    /// AWS allows 50 ms to 29 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How the method's callers are authorized (`authorizationType`, `authorizerId`). Default:
    /// [`Authorization::None`]. Each layer that authorizes looks at its own kind and lets the others pass.
    #[must_use]
    pub fn authorization(mut self, authorization: Authorization) -> Self {
        self.authorization = authorization;
        self
    }

    /// Scopes of which a token must carry one (`authorizationScopes`). Read by JWT and Cognito authorizers, as on
    /// AWS; with any other [`authorization`](Self::authorization) they have no effect. Default: none needed.
    #[must_use]
    pub fn authorization_scopes<T: Into<Box<str>>>(mut self, scopes: impl IntoIterator<Item = T>) -> Self {
        self.authorization_scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// Whether `SigV4AuthLayer` passes a body on while it arrives, if the request names its hash
    /// (`X-Amz-Content-Sha256`), instead of collecting it first. **Weaker**: the service has seen all of a body but its
    /// last frame before it is known to be the signed one. See the layer's page. Default: no.
    #[must_use]
    pub fn stream_signed_payload(mut self, stream: bool) -> Self {
        self.stream_signed_payload = stream;
        self
    }

    /// Largest request body of this method in bytes, in place of the `PayloadLimitLayer`'s.
    #[must_use]
    pub fn payload_limit(mut self, bytes: u64) -> Self {
        self.payload_limit = Some(bytes);
        self
    }

    /// What tells this method's cache entries apart, in place of the `Cache`'s own key.
    #[must_use]
    pub fn cache_key(mut self, key: CacheKey) -> Self {
        self.cache_key = Some(Arc::new(key));
        self
    }
}

/// A declared method: where it stands in the table.
#[derive(Debug)]
pub(crate) struct Declared {
    pub(crate) resource_path: Arc<str>,
    /// `None` is `ANY`.
    pub(crate) verb: Option<Method>,
    pub(crate) variables: Vec<Box<str>>,
    pub(crate) method: ApiMethod,
}

/// An immutable table of resources and methods; see the [module docs](self). Cheap to clone.
#[derive(Clone, Debug)]
pub struct Routes {
    table: Arc<Table>,
}

#[derive(Debug, Default)]
struct Table {
    root: Node,
    declared: Vec<Declared>,
    /// For layers that are used alone; clones of the table share the buckets.
    settings: Box<[settings::ResolvedSettings]>,
}

impl Routes {
    /// Starts an empty table.
    pub fn builder() -> RoutesBuilder {
        RoutesBuilder::default()
    }

    /// A table that takes every request: `ANY /` and `ANY /{proxy+}`, what a stage without resources acts as.
    pub fn catch_all() -> Self {
        let mut builder = Self::builder();
        for path in ["/", "/{proxy+}"] {
            builder.methods.push((path.to_owned(), None, ApiMethod::new()));
        }
        builder.build().unwrap_or_else(|_| Self::empty())
    }

    fn empty() -> Self {
        Self { table: Arc::new(Table::default()) }
    }

    /// The method that serves `method path`; `path` starts with `/` and is without stage or query.
    pub fn find<'a>(&'a self, method: &Method, path: &'a str) -> Option<RouteMatch<'a>> {
        let (index, params) = self.search(Some(method), path)?;
        Some(RouteMatch { declared: &self.table.declared[index as usize], path, params })
    }

    /// Every declared pair of method (`ANY` for any) and resource path, in order of declaration.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.table.declared.iter().map(|method| (method.verb_name(), &*method.resource_path))
    }

    /// How often the throttle of a method (`pets/GET`), or of all (`*/*`), would have refused in shadow mode, for
    /// layers that are used alone with this table.
    pub fn shadow_count(&self, method_path: &str) -> u64 {
        let key = settings::normalise(method_path);
        let each = self.table.settings.iter().zip(&self.table.declared);
        each.map(|(settings, method)| settings.shadowed(method, &key)).sum()
    }

    pub(crate) fn search(&self, method: Option<&Method>, path: &str) -> Option<(u32, PathParams)> {
        let trimmed = path.strip_suffix('/').unwrap_or(path);
        let start = trimmed.find(|character| character != '/').unwrap_or(trimmed.len());
        let rest = (start < trimmed.len()).then_some(start);
        let mut search = Search { path: trimmed, method, params: PathParams::default() };
        let index = self.table.root.find(&mut search, rest)?;
        Some((index, search.params))
    }

    pub(crate) fn declared(&self, index: u32) -> &Declared {
        &self.table.declared[index as usize]
    }

    pub(crate) fn all_declared(&self) -> &[Declared] {
        &self.table.declared
    }

    /// Whether a method has this normalised key: its resource path, a space, its verb or, of `ANY`, any verb.
    #[cfg(feature = "gateway")]
    pub(crate) fn declares(&self, key: &str) -> bool {
        self.all_declared().iter().any(|method| settings::is_key_of(key, method))
    }

    /// The scope of a layer that is used alone with this table: no stage.
    pub(crate) fn scope(&self) -> Arc<Scope> {
        Arc::new(Scope { stage: None, routes: self.clone(), settings: self.table.settings.clone() })
    }
}

impl Declared {
    pub(crate) fn verb_name(&self) -> &str {
        self.verb.as_ref().map_or("ANY", Method::as_str)
    }

    /// A variable of a routed path that was matched to this method.
    fn variable<'a>(&self, name: &str, params: &PathParams, path: &'a str) -> Option<&'a str> {
        let index = self.variables.iter().position(|variable| **variable == *name)?;
        path.get(params.range(index)?)
    }
}

/// A request's place in a [`Routes`] table.
#[derive(Clone, Debug)]
pub struct RouteMatch<'a> {
    declared: &'a Declared,
    path: &'a str,
    params: PathParams,
}

impl RouteMatch<'_> {
    /// The template that matched, `/pets/{id}`.
    pub fn resource_path(&self) -> &str {
        &self.declared.resource_path
    }

    /// The declared method, `GET`, or `ANY`.
    pub fn method(&self) -> &str {
        self.declared.verb_name()
    }

    /// A path variable, as received (not percent-decoded).
    pub fn param(&self, name: &str) -> Option<&str> {
        self.declared.variable(name, &self.params, self.path)
    }
}

/// Collects resources and methods; see [`Routes`].
#[derive(Debug, Default)]
pub struct RoutesBuilder {
    methods: Vec<(String, Option<Method>, ApiMethod)>,
    settings: settings::SettingsMap,
}

impl RoutesBuilder {
    /// Declares one method of a resource.
    #[must_use]
    pub fn method(mut self, resource_path: &str, verb: Method, method: ApiMethod) -> Self {
        self.methods.push((resource_path.to_owned(), Some(verb), method));
        self
    }

    /// Declares `ANY` of a resource.
    #[must_use]
    pub fn any(mut self, resource_path: &str, method: ApiMethod) -> Self {
        self.methods.push((resource_path.to_owned(), None, method));
        self
    }

    /// Settings of a method (`pets/GET`, `/pets/GET`, `~1pets/GET`) or of all (`*/*`) for layers that are used
    /// alone; a stage has its own, which take their place.
    #[must_use]
    pub fn settings(mut self, method_path: &str, settings: MethodSettings) -> Self {
        self.settings.insert(method_path, settings);
        self
    }

    /// Compiles the table.
    ///
    /// # Errors
    ///
    /// A malformed template, two variables at one place, a method declared twice, a cache key with a path variable that
    /// the template does not have, settings of a method that is not declared.
    pub fn build(self) -> Result<Routes, ConfigError> {
        let mut table = Table::default();
        for (path, verb, method) in self.methods {
            table.declare(&path, verb, method)?;
        }
        self.settings.check(&[&table.declared])?;
        table.settings = self.settings.resolve(&table.declared, |_, throttle| SharedBucket::new(throttle));
        Ok(Routes { table: Arc::new(table) })
    }
}

impl Table {
    fn declare(&mut self, path: &str, verb: Option<Method>, method: ApiMethod) -> Result<(), ConfigError> {
        let segments = template::parse(path)?;
        let index = self.declared.len() as u32;
        let place = || format!("{} {path}", verb.as_ref().map_or("ANY", Method::as_str));
        let inserted = self.root.insert(&segments, (verb.clone(), index));
        inserted.map_err(|problem| ConfigError::new("resource", place(), problem))?;
        let variables: Vec<Box<str>> =
            segments.iter().filter_map(template::Segment::name).map(Into::into).collect();
        let declared = method.cache_key.iter().flat_map(|key| &key.paths);
        if let Some(unknown) = declared.into_iter().find(|name| !variables.contains(name)) {
            let problem = format!("no variable of {path}");
            return Err(ConfigError::new("cache key path variable", &**unknown, problem));
        }
        self.declared.push(Declared { resource_path: path.into(), verb, variables, method });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
