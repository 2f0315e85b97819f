//! What the answer to an unsafe request makes invalid: the entries of its targets, whoever they were stored for.

use super::{
    credentials::Credentials,
    flight::RequestSnapshot,
    key::{KeyBuffer, KeyScope, StoreKey, encode},
    plan::LayerState,
    purge::Purge,
    rules::{RequestView, ResponseView},
};
use crate::{
    context::RequestContext,
    route::{CacheKey, MatchedRoute, Scope},
};
use http::{HeaderMap, HeaderValue, Method, Uri, header::HOST};
use std::{collections::BTreeSet, sync::Arc};

/// One target, as its `GET` would see it.
struct Target<'a> {
    request: RequestView<'a>,
    scope: KeyScope<'a>,
    key: &'a CacheKey,
    credentials: &'a Credentials,
}

impl LayerState {
    /// Drops what an answer to another request has made invalid.
    pub(super) fn invalidate(&self, request: &RequestSnapshot, response: ResponseView<'_>) {
        let targets = self.core.rules.invalidates(request.view(), response);
        if targets.is_empty() {
            return;
        }
        let prefix = prefix(request);
        for uri in &targets {
            self.invalidate_target(request, uri, prefix);
            // The service may name what is its own as clients do.
            if let Some(inner) = prefix.and_then(|prefix| below(prefix, uri)) {
                self.invalidate_target(request, &inner, prefix);
            }
        }
    }

    fn invalidate_target(&self, request: &RequestSnapshot, uri: &Uri, prefix: Option<&str>) {
        let scope = request.context.as_ref().and_then(RequestContext::route).map(|route| &route.scope);
        let scope = scope.or(self.scope.as_ref());
        let received = format!("{}{}", prefix.unwrap_or_default(), uri.path());
        let route =
            scope.and_then(|scope| MatchedRoute::find(scope, Some(&Method::GET), uri.path(), &received));
        let key = route.as_ref().and_then(|route| route.declared().method.cache_key.as_deref());
        let target = Target {
            request: RequestView { method: &Method::GET, uri, ..request.view() },
            scope: KeyScope { instance: self.instance.bytes(), route: route.as_ref(), received: &received },
            key: key.unwrap_or(&self.core.key),
            credentials: &self.core.credentials,
        };
        match prefix.and_then(|_| target.keys()).filter(|_| !self.has_keys_beside(scope, target.key)) {
            Some(keys) => {
                for key in &keys {
                    self.core.invalidate_key(StoreKey::new(self.core.hash(key), key));
                }
            }
            None => self.core.purge_behind(&target.everything()),
        }
    }

    /// Whether there may be entries of the target under keys that nobody can make from this request: of other callers,
    /// for other values of declared fields, of the other release of a canary, and of another deployment of the stage, which
    /// a roll back would serve again.
    fn has_keys_beside(&self, scope: Option<&Arc<Scope>>, key: &CacheKey) -> bool {
        let has_others = scope.and_then(|scope| scope.stage.as_ref()).is_some_and(|stage| {
            let releases = self.core.releases();
            stage.canary.is_some()
                || releases.are_of_others(stage.name.as_bytes(), stage.deployment_id.as_bytes())
        });
        has_others || !key.headers.is_empty() || self.core.has_identities()
    }
}

impl Target<'_> {
    /// Its keys at the request's own host. `None`: they are the caller's, and others have theirs.
    fn keys(&self) -> Option<BTreeSet<Vec<u8>>> {
        let mut keys = BTreeSet::from([self.key_of(self.request)?]);
        let mut headers = self.request.headers.clone();
        let path = self.request.uri.path_and_query().map_or("/", |path| path.as_str());
        let Ok(uri) = path.parse::<Uri>() else { return Some(keys) };
        for host in hosts(self.request.uri, self.request.headers) {
            headers.insert(HOST, host);
            keys.insert(self.key_of(RequestView { uri: &uri, headers: &headers, ..self.request })?);
        }
        Some(keys)
    }

    fn key_of(&self, request: RequestView<'_>) -> Option<Vec<u8>> {
        let mut buffer = KeyBuffer::new();
        encode(&mut buffer, self.scope, (self.key, self.credentials), request, Method::GET.as_str());
        (!buffer.has_identity()).then(|| buffer.bytes().to_vec())
    }

    /// All entries of its path; where keys have none, those of its resource.
    fn everything(&self) -> Purge {
        let all = Purge::all().method(&Method::GET);
        match self.key.target {
            true => all.path(self.request.uri.path()),
            false => all.path("").resource(self.scope.namespace(self.key)),
        }
    }
}

/// What outer layers have taken off the path as received. `None`: they have written another.
fn prefix(request: &RequestSnapshot) -> Option<&str> {
    match &request.context {
        Some(context) => context.received_uri().path().strip_suffix(request.view().uri.path()),
        None => Some(""),
    }
}

/// What a target that begins with the prefix is behind it.
fn below(prefix: &str, uri: &Uri) -> Option<Uri> {
    let inner = uri.path_and_query()?.as_str().strip_prefix(prefix).filter(|_| !prefix.is_empty())?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(inner.parse().ok().filter(|_| inner.starts_with('/'))?);
    Uri::from_parts(parts).ok()
}

/// A host, with and without what may be a default port: by which scheme a request came is not always known.
fn hosts(uri: &Uri, headers: &HeaderMap) -> Vec<HeaderValue> {
    let field = || headers.get(HOST).and_then(|host| host.to_str().ok());
    let Some(host) = uri.authority().map(|authority| authority.as_str()).or_else(field) else {
        return Vec::new();
    };
    let bare = [":80", ":443"].iter().find_map(|port| host.strip_suffix(port)).unwrap_or(host);
    let ports = ["", ":80", ":443"].into_iter();
    ports.filter_map(|port| HeaderValue::try_from(format!("{bare}{port}")).ok()).collect()
}
