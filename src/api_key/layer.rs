//! The layer: where the key comes from, whether one is needed, and the judgement.

use super::{ApiKeys, digest::KeyDigest, store::ApiKeyStore, store::KeyEntry};
use crate::{
    clock::Clock,
    context::{ContextConfig, RequestContext},
    future::{ResponseFuture, Untouched},
    response::{Cause, GatewayError, Remains, ResponseType},
    route::{Routes, Scope},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};
use tower_layer::Layer;
use tower_service::Service;

static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Where the key value is found (`apiKeySource`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApiKeySource {
    /// The request header `x-api-key`.
    #[default]
    Header,
    /// The `usageIdentifierKey` of the authorizer's result; the header is ignored. A `Gateway` without a Lambda-style
    /// authorizer is a `BuildError` then.
    Authorizer,
}

/// For which requests a key is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyRequirement {
    /// For every request.
    Always,
    /// Where [`ApiMethod::api_key_required`](crate::route::ApiMethod::api_key_required) says so. A request that no
    /// declared method matches needs one: a route that was forgotten stays closed.
    PerMethod,
}

/// The key value that an authorizer found (`usageIdentifierKey`). A proof, made by the authorizers of this crate:
///
/// ```compile_fail
/// let forged = tower_gateway::api_key::UsageIdentifierKey::new("0123456789abcdefghij");
/// ```
#[derive(Clone)]
#[doc(hidden)]
pub struct UsageIdentifierKey(HeaderValue);

impl UsageIdentifierKey {
    /// A text that no header could carry becomes the empty one, which is no key either.
    #[allow(dead_code, reason = "made by authorizers")]
    pub(crate) fn new(value: &str) -> Self {
        Self(HeaderValue::from_str(value).unwrap_or(HeaderValue::from_static("")))
    }
}

/// Shows nothing: it is the key.
impl fmt::Debug for UsageIdentifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UsageIdentifierKey(..)")
    }
}

/// Asks for an API key; see the [module docs](super).
#[derive(Clone)]
#[must_use]
pub struct ApiKeyLayer<K = ApiKeys> {
    config: Arc<Config<K>>,
}

#[derive(Clone)]
struct Config<K> {
    keys: K,
    source: ApiKeySource,
    requirement: Option<KeyRequirement>,
    /// The layer's own table, for use without a stage.
    scope: Option<Arc<Scope>>,
    context: ContextConfig,
}

impl<K: ApiKeyStore + Clone> ApiKeyLayer<K> {
    /// A key in the `x-api-key` header is needed: behind a stage where the method says so, otherwise always.
    /// `keys` is a handle, [`ApiKeys`] or an `Arc` of another [`ApiKeyStore`].
    pub fn new(keys: K) -> Self {
        let context = ContextConfig::with_clock(keys.clock());
        let config = Config { keys, source: ApiKeySource::Header, requirement: None, scope: None, context };
        Self { config: Arc::new(config) }
    }

    fn change(mut self, change: impl FnOnce(&mut Config<K>)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }

    /// Asks for a key only where the method of this table says so, when used without a stage. Behind a stage the
    /// stage's own table decides.
    pub fn routes(self, routes: &Routes) -> Self {
        self.change(|config| config.scope = Some(routes.scope()))
    }

    /// Whether it has a table of its own.
    #[cfg(feature = "gateway")]
    pub(crate) fn has_routes(&self) -> bool {
        self.config.scope.is_some()
    }

    /// For which requests a key is needed. Default: [`PerMethod`](KeyRequirement::PerMethod) behind a stage or with
    /// [`routes`](Self::routes), otherwise [`Always`](KeyRequirement::Always).
    pub fn require(self, requirement: KeyRequirement) -> Self {
        self.change(|config| config.requirement = Some(requirement))
    }

    /// Where the key value is found. Default: [`ApiKeySource::Header`].
    pub fn source(self, source: ApiKeySource) -> Self {
        self.change(|config| config.source = source)
    }

    /// The clock that ends of rotations are compared with. Default: that of the keys.
    pub fn clock(self, clock: Clock) -> Self {
        self.change(|config| config.context.clock = clock)
    }
}

impl<K: ApiKeyStore> ApiKeyLayer<K> {
    /// In a gateway: whatever the method says.
    #[cfg(feature = "gateway")]
    pub(crate) fn asks_always(&self) -> bool {
        self.config.requirement == Some(KeyRequirement::Always)
    }

    #[cfg(feature = "gateway")]
    pub(crate) fn reads_authorizer(&self) -> bool {
        self.config.source == ApiKeySource::Authorizer
    }

    /// The phase of `Gateway`: a verified key in the context, or the answer to a request that is refused.
    #[cfg(feature = "gateway")]
    pub(crate) fn admit<B, R: From<Bytes>>(
        &self,
        context: &RequestContext,
        request: &mut Request<B>,
    ) -> Result<(), Response<R>> {
        self.config.decide(context, request).map_err(|cause| refuse(context, cause, request))
    }
}

impl<K: fmt::Debug> fmt::Debug for ApiKeyLayer<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.describe("ApiKeyLayer", f)
    }
}

impl<K: fmt::Debug> Config<K> {
    fn describe(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct(name);
        out.field("keys", &self.keys).field("source", &self.source);
        out.field("requirement", &self.requirement).finish_non_exhaustive()
    }
}

impl<K: ApiKeyStore> Config<K> {
    fn decide<B>(&self, context: &RequestContext, request: &mut Request<B>) -> Result<(), Cause> {
        context.note_key_seen();
        if !self.is_required(context, request.method(), request.uri().path()) {
            mark(request.headers_mut());
            return Ok(());
        }
        let value = self.value(request)?.ok_or(Cause::ApiKeyMissing)?;
        let entry = judge(&self.keys, &self.context.clock, value.as_bytes())?;
        context.set_api_key(entry.verified(value.as_bytes()));
        Ok(())
    }

    fn value<'a, B>(&self, request: &'a mut Request<B>) -> Result<Option<&'a HeaderValue>, Cause> {
        match self.source {
            ApiKeySource::Header => header_value(request.headers_mut()),
            ApiKeySource::Authorizer => {
                mark(request.headers_mut());
                Ok(request.extensions().get::<UsageIdentifierKey>().map(|key| &key.0))
            }
        }
    }

    fn is_required(&self, context: &RequestContext, method: &Method, path: &str) -> bool {
        let on_stage = context.route().is_some_and(|route| route.scope.stage.is_some());
        match self.requirement {
            Some(KeyRequirement::Always) => true,
            None if !on_stage && self.scope.is_none() => true,
            Some(KeyRequirement::PerMethod) | None => {
                // A route that was forgotten stays closed.
                let declared = context.method_or_match(self.scope.as_ref(), method, path);
                declared.is_none_or(|method| method.api_key_required)
            }
        }
    }
}

/// The one `x-api-key`, if there is one. It goes on to the service, marked as sensitive.
fn header_value(headers: &mut HeaderMap) -> Result<Option<&HeaderValue>, Cause> {
    if has_repeats(headers) {
        mark(headers);
        if headers.get_all(&X_API_KEY).iter().nth(1).is_some() {
            return Err(Cause::ApiKeyRepeated);
        }
    }
    let Some(value) = headers.get_mut(&X_API_KEY) else { return Ok(None) };
    value.set_sensitive(true);
    Ok(Some(value))
}

/// Whether any name stands twice; without one, the first look-up has seen everything.
fn has_repeats(headers: &HeaderMap) -> bool {
    headers.len() > headers.keys_len()
}

/// Marks every `x-api-key` as sensitive, so that nobody behind prints one.
fn mark(headers: &mut HeaderMap) {
    if has_repeats(headers) {
        let named = headers.iter_mut().filter(|(name, _)| **name == X_API_KEY);
        named.for_each(|(_, value)| value.set_sensitive(true));
    } else if let Some(value) = headers.get_mut(&X_API_KEY) {
        value.set_sensitive(true);
    }
}

/// The decision about a value. Unknown and disabled keys take the same way through digest and look-up, so that time
/// tells them apart as little as the answer does.
fn judge(keys: &impl ApiKeyStore, clock: &Clock, value: &[u8]) -> Result<KeyEntry, Cause> {
    if !keys.is_plausible(value) {
        return Err(Cause::ApiKeyMalformed);
    }
    let entry = keys.lookup(&KeyDigest::of(value)).ok_or(Cause::ApiKeyUnknown)?;
    if !entry.is_usable(|| clock.now()) {
        return Err(Cause::ApiKeyDisabled);
    }
    Ok(entry)
}

fn refuse<B, R: From<Bytes>>(
    context: &RequestContext,
    cause: Cause,
    request: &mut Request<B>,
) -> Response<R> {
    GatewayError::new(ResponseType::InvalidApiKey, cause).refuse_with(context, Remains::of(request))
}

impl<S, K> Layer<S> for ApiKeyLayer<K> {
    type Service = ApiKeyService<S, K>;

    fn layer(&self, inner: S) -> Self::Service {
        ApiKeyService { inner, config: Arc::clone(&self.config) }
    }
}

/// The service of [`ApiKeyLayer`].
pub struct ApiKeyService<S, K = ApiKeys> {
    inner: S,
    config: Arc<Config<K>>,
}

impl<S: Clone, K> Clone for ApiKeyService<S, K> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), config: Arc::clone(&self.config) }
    }
}

impl<S, K: fmt::Debug> fmt::Debug for ApiKeyService<S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.describe("ApiKeyService", f)
    }
}

impl<S, K, B, R> Service<Request<B>> for ApiKeyService<S, K>
where
    S: Service<Request<B>, Response = Response<R>>,
    K: ApiKeyStore,
    R: From<Bytes>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, Untouched, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let config = &*self.config;
        let context = config.context.find_or_create(&mut request);
        if let Err(cause) = config.decide(&context, &mut request) {
            return ResponseFuture::refused(refuse(&context, cause, &mut request));
        }
        // What lives across the call has the future copied; see `future`.
        drop(context);
        ResponseFuture::forwarded(self.inner.call(request), Untouched)
    }
}

#[cfg(test)]
mod tests;
