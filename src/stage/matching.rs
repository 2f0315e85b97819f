//! The route match of one request: fills the context, takes stage and base path off the URI.

use super::{
    Stages,
    config::NoRoute,
    snapshot::{Snapshot, Target, leading_slashes},
};
use crate::{
    context::RequestContext,
    response::{Cause, GatewayError, ResponseType},
    route::{MatchedRoute, PathError, Scope, check_path},
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode, Uri,
    header::{ACCESS_CONTROL_REQUEST_METHOD, HOST},
    uri::PathAndQuery,
};
use std::sync::Arc;

impl Stages {
    /// Matches a request. What is found goes into the context; the error is what the router refuses with.
    pub(crate) fn match_request<B>(
        &self,
        context: &RequestContext,
        request: &mut Request<B>,
    ) -> Result<(), GatewayError> {
        check_path(request.uri().path()).map_err(bad_path)?;
        let snapshot = self.snapshot();
        if let Some(host) = host_field(request.uri(), request.headers())? {
            context.set_host(host.clone());
        }
        let target = snapshot
            .target(context.domain_name(), request.uri().path())
            .ok_or_else(GatewayError::unknown_stage)?;
        if let Some(base_path) = target.base_path {
            context.set_base_path(base_path.into());
        }
        let scope = target.stage.choose(|| fastrand::u32(..));
        let found = find(context, request, &target, scope, &snapshot);
        strip(request.uri_mut(), target.path_start);
        found
    }
}

/// Matches resource and method. A preflight asks on behalf of another method, and of a path at least: CORS goes by
/// that resource, whether or not it declares `OPTIONS`.
fn find<B>(
    context: &RequestContext,
    request: &Request<B>,
    target: &Target<'_>,
    scope: &Arc<Scope>,
    snapshot: &Snapshot,
) -> Result<(), GatewayError> {
    let path = routed_path(&request.uri().path()[target.path_start..]);
    let received = context.received_uri().path();
    if let Some(requested) = requested_method(request) {
        let by_method = requested.and_then(|method| MatchedRoute::find(scope, Some(&method), path, received));
        if let Some(found) = by_method.or_else(|| MatchedRoute::find(scope, None, path, received)) {
            context.set_preflight_route(found);
        }
    }
    if let Some(found) = MatchedRoute::find(scope, Some(request.method()), path, received) {
        context.set_route(found);
        return Ok(());
    }
    Err(no_route(snapshot.no_route))
}

/// The method that a preflight asks for, `Some(None)` if it is none; `None` if the request is not a preflight.
fn requested_method<B>(request: &Request<B>) -> Option<Option<Method>> {
    if request.method() != Method::OPTIONS {
        return None;
    }
    let requested = request.headers().get(ACCESS_CONTROL_REQUEST_METHOD)?;
    Some(Method::from_bytes(requested.as_bytes()).ok())
}

fn no_route(answer: NoRoute) -> GatewayError {
    match answer {
        NoRoute::MissingAuthenticationToken => {
            GatewayError::new(ResponseType::MissingAuthenticationToken, Cause::NoRoute)
        }
        NoRoute::NotFound => GatewayError::new(ResponseType::ResourceNotFound, Cause::NoRoute),
    }
}

fn bad_path(error: PathError) -> GatewayError {
    GatewayError::bad_request(match error {
        PathError::DotSegment => Cause::DotSegment,
        PathError::InvalidEscape => Cause::InvalidEscape,
    })
}

/// The `Host` field where the URI names no host; two are refused, since it decides which stage is served.
fn host_field<'a>(uri: &Uri, headers: &'a HeaderMap) -> Result<Option<&'a HeaderValue>, GatewayError> {
    if uri.host().is_some() {
        return Ok(None);
    }
    let mut fields = headers.get_all(HOST).iter();
    match (fields.next(), fields.next()) {
        (Some(_), Some(_)) => {
            let words = ("Bad Request", "BadRequestException");
            Err(GatewayError::client_error(Cause::UnknownStage, StatusCode::BAD_REQUEST, words.0, words.1))
        }
        (first, _) => Ok(first),
    }
}

/// The path that resources are matched against: one slash at its start.
fn routed_path(rest: &str) -> &str {
    if rest.is_empty() { "/" } else { &rest[leading_slashes(rest)..] }
}

/// Takes the first `start` bytes off the path; what is left begins with exactly one slash.
fn strip(uri: &mut Uri, start: usize) {
    let Some(all) = uri.path_and_query().map(PathAndQuery::as_str) else { return };
    let start = start + leading_slashes(&all[start..]);
    if start == 0 {
        return;
    }
    let rest = shared_path(&all[start..]);
    let mut parts = std::mem::take(uri).into_parts();
    parts.path_and_query = PathAndQuery::from_maybe_shared(rest).ok();
    // Parts of a valid URI with another path are a valid URI.
    *uri = Uri::from_parts(parts).unwrap_or_default();
}

/// Most paths fit; longer ones go to the heap twice.
const SHORT: usize = 112;

/// A short path beside its reference count: one allocation, and none when routers clone the URI.
struct ShortPath {
    bytes: [u8; SHORT],
    length: usize,
}

impl AsRef<[u8]> for ShortPath {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// The path and query, with a slash at its start.
fn shared_path(rest: &str) -> Bytes {
    let slash = if rest.starts_with('/') { "" } else { "/" };
    let length = slash.len() + rest.len();
    if length > SHORT {
        return Bytes::from(format!("{slash}{rest}"));
    }
    let mut bytes = [0; SHORT];
    bytes[..slash.len()].copy_from_slice(slash.as_bytes());
    bytes[slash.len()..length].copy_from_slice(rest.as_bytes());
    Bytes::from_owner(ShortPath { bytes, length })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stripping_keeps_query_scheme_and_one_slash() {
        let strip = |text: &str, start| {
            let mut uri: Uri = text.parse().unwrap();
            strip(&mut uri, start);
            uri.to_string()
        };
        assert_eq!(strip("/prod/pets?x=1", 5), "/pets?x=1");
        assert_eq!(strip("/prod?x=1", 5), "/?x=1");
        assert_eq!(strip("/prod", 5), "/");
        let long = format!("/{}", "x".repeat(200));
        assert_eq!(strip(&format!("/prod{long}"), 5), long);
        assert_eq!(strip("/prod//a//b/", 5), "/a//b/");
        assert_eq!(strip("/a//b", 0), "/a//b");
        assert_eq!(strip("https://h:1/prod/pets?y", 5), "https://h:1/pets?y");
    }
}
