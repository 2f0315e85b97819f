//! `CorsLayer` and its service: which configuration applies, and moving the data.

use super::{
    config::Cors,
    future::CorsFuture,
    origin::Allowed,
    policy::{Policy, requested_method},
    touch::Touch,
};
use crate::{
    context::RequestContext,
    error::ConfigError,
    route::{ApiMethod, Routes},
};
use bytes::Bytes;
use http::{Method, Request, Response, header::ORIGIN};
use std::{
    mem::ManuallyDrop,
    sync::Arc,
    task::{Context, Poll},
};
use tower_layer::Layer;
use tower_service::Service;

/// Answers preflights and puts CORS headers on answers; see the [module docs](super).
///
/// Stands outside of everything that refuses, so that preflights need no credentials and refusals can be read by pages.
///
/// # Per resource
///
/// ```
/// use http::Method;
/// use tower_gateway::{cors::{Cors, CorsLayer}, route::{ApiMethod, Routes}};
///
/// let routes = Routes::builder()
///     .method("/pets/{id}", Method::GET, ApiMethod::new())
///     .any("/admin", ApiMethod::new())
///     .any("/{proxy+}", ApiMethod::new())
///     .build()?;
/// let shop = Cors::new().allow_origins(["https://shop.example"]);
/// let partner = Cors::new().allow_origins(["https://partner.example"]);
/// let layer = CorsLayer::new(shop)?.resource("/pets/{id}", partner)?.resource_off("/admin")?.routes(&routes)?;
/// # let _ = layer;
/// # Ok::<(), tower_gateway::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct CorsLayer {
    pub(super) config: Arc<Config>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Config {
    /// For resources without an entry, and for requests that match none. `None` is off.
    default: Option<Arc<Policy>>,
    /// Sorted by resource path.
    pub(super) resources: Vec<(Box<str>, Option<Arc<Policy>>)>,
    routes: Option<Routes>,
}

impl CorsLayer {
    /// One configuration for every resource.
    ///
    /// # Errors
    ///
    /// See [`Cors::build`].
    pub fn new(cors: Cors) -> Result<Self, ConfigError> {
        let default = Some(Arc::new(cors.compile()?));
        Ok(Self { config: Arc::new(Config { default, ..Config::default() }) })
    }

    /// CORS off, to be switched on for single resources.
    pub fn off() -> Self {
        Self { config: Arc::default() }
    }

    /// Another configuration for one resource, given by its template (`/pets/{id}`). It takes the place of the default as
    /// a whole.
    ///
    /// The resource of a request is the one that an outer layer matched, or is found in [`routes`](Self::routes); for a
    /// preflight by the method it asks for, and where no declared method fits, by the path alone.
    ///
    /// # Errors
    ///
    /// See [`Cors::build`]; a path that is not a template, configured twice, or not in `routes`. A gateway refuses one
    /// that no deployment declares.
    pub fn resource(self, resource_path: &str, cors: Cors) -> Result<Self, ConfigError> {
        let policy = Arc::new(cors.compile()?);
        self.with_resource(resource_path, Some(policy))
    }

    /// Switches one resource off: its preflights reach the service, and its answers pass untouched.
    ///
    /// # Errors
    ///
    /// A path that is not a template, configured twice, or not in `routes`.
    pub fn resource_off(self, resource_path: &str) -> Result<Self, ConfigError> {
        self.with_resource(resource_path, None)
    }

    /// The resources of the API, where no outer layer matches requests.
    ///
    /// # Errors
    ///
    /// A resource has a configuration and is not among them.
    pub fn routes(mut self, routes: &Routes) -> Result<Self, ConfigError> {
        for (path, _) in &self.config.resources {
            check_declared(routes, path)?;
        }
        Arc::make_mut(&mut self.config).routes = Some(routes.clone());
        Ok(self)
    }

    /// Whether it has a table of its own.
    #[cfg(feature = "gateway")]
    pub(crate) fn has_routes(&self) -> bool {
        self.config.routes.is_some()
    }

    /// The first resource with a configuration of its own that is not declared.
    #[cfg(feature = "gateway")]
    pub(crate) fn resource_without(&self, is_declared: impl Fn(&str) -> bool) -> Option<&str> {
        let mut paths = self.config.resources.iter().map(|(path, _)| &**path);
        paths.find(|path| !is_declared(path))
    }

    fn with_resource(mut self, path: &str, policy: Option<Arc<Policy>>) -> Result<Self, ConfigError> {
        // A table of its own, because it knows what a template is.
        Routes::builder().any(path, ApiMethod::new()).build()?;
        if let Some(routes) = &self.config.routes {
            check_declared(routes, path)?;
        }
        match self.config.find(path) {
            Ok(_) => Err(ConfigError::new("cors resource", path, "is configured twice")),
            Err(at) => {
                Arc::make_mut(&mut self.config).resources.insert(at, (path.into(), policy));
                Ok(self)
            }
        }
    }
}

fn check_declared(routes: &Routes, path: &str) -> Result<(), ConfigError> {
    let declared = routes.iter().any(|(_, resource)| resource == path);
    declared.then_some(()).ok_or_else(|| ConfigError::new("cors resource", path, "is not in the routes"))
}

impl Config {
    fn find(&self, resource_path: &str) -> Result<usize, usize> {
        self.resources.binary_search_by(|(path, _)| (**path).cmp(resource_path))
    }

    /// The configuration of a resource; `None` for the path: no resource matched. `None` as the answer: off.
    fn policy(&self, resource_path: Option<&str>) -> Option<&Arc<Policy>> {
        self.policy_at(self.place(resource_path))
    }

    /// Where the configuration of a resource stands.
    pub(super) fn place(&self, resource_path: Option<&str>) -> Place {
        let found = resource_path.and_then(|path| self.find(path).ok());
        found.map_or(Place::Default, Place::Resource)
    }

    pub(super) fn policy_at(&self, place: Place) -> Option<&Arc<Policy>> {
        match place {
            Place::Default => self.default.as_ref(),
            Place::Resource(at) => self.resources[at].1.as_ref(),
        }
    }

    /// Without entries nobody has to know the resource.
    #[inline]
    fn policy_of<B>(&self, request: &Request<B>) -> Option<&Arc<Policy>> {
        if self.resources.is_empty() {
            self.default.as_ref()
        } else {
            self.policy(self.resource_path(request))
        }
    }

    /// What an outer layer matched, or our own table says.
    fn resource_path<'a, B>(&'a self, request: &'a Request<B>) -> Option<&'a str> {
        let matched = RequestContext::of(request.extensions()).and_then(RequestContext::cors_resource_path);
        matched.or_else(|| own_match(self.routes.as_ref()?, request))
    }
}

/// A place in a [`Config`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Default,
    Resource(usize),
}

/// A preflight asks on behalf of another method, and of a path at least: no answer may depend on whether the resource
/// declares `OPTIONS`.
fn own_match<'a, B>(routes: &'a Routes, request: &Request<B>) -> Option<&'a str> {
    let path = request.uri().path();
    let requested = requested_method(request.method(), request.headers());
    let requested = requested.and_then(|method| Method::from_bytes(method.as_bytes()).ok());
    let method = requested.as_ref().unwrap_or(request.method());
    let (index, _) = routes.search(Some(method), path).or_else(|| routes.search(None, path))?;
    Some(&routes.declared(index).resource_path)
}

impl<S> Layer<S> for CorsLayer {
    type Service = CorsService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CorsService { inner, config: Arc::clone(&self.config) }
    }
}

/// The service of [`CorsLayer`].
#[derive(Clone, Debug)]
pub struct CorsService<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S, B, R> Service<Request<B>> for CorsService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<Bytes>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = CorsFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let policy = self.config.policy_of(&request);
        let mut allowed = Allowed::Nobody;
        if let Some(policy) = policy {
            if let Some(headers) = policy.answer_preflight(request.method(), request.headers()) {
                return CorsFuture::preflight(headers);
            }
            allowed = policy.judge(request.headers());
            if allowed == Allowed::Itself {
                let own = Touch::new(policy, allowed, request.headers().get(ORIGIN).cloned());
                return touched(&mut self.inner, request, own);
            }
        }
        // What must be dropped if the call panics has the future copied; see `future`. All that is lost with this one then
        // is a count of a configuration.
        let touch = ManuallyDrop::new(policy.map(|policy| Touch::new(policy, allowed, None)));
        CorsFuture::actual(self.inner.call(request), ManuallyDrop::into_inner(touch))
    }
}

/// Calls the service with a touch that has a value of the request: only where origins are allowed by their scheme.
#[inline(never)]
fn touched<S: Service<Request<B>>, B>(
    inner: &mut S,
    request: Request<B>,
    own: Touch,
) -> CorsFuture<S::Future> {
    CorsFuture::actual(inner.call(request), Some(own))
}
