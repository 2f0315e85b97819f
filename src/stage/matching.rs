//! The route match of one request: what goes into the context, and what is taken off the URI.

use super::{Stages, config::NoRoute, snapshot::leading_slashes};
use crate::{
    context::{HostText, RequestContext, Unrouted, without_port},
    response::{Cause, GatewayError, ResponseType},
    route::{MatchedRoute, check_path},
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Uri,
    header::{ACCESS_CONTROL_REQUEST_METHOD, HOST},
    uri::PathAndQuery,
};
use std::sync::Arc;

/// Where a request goes, found before a context is made of it.
#[derive(Default)]
pub(crate) struct StageMatch {
    pub(crate) route: Option<MatchedRoute>,
    pub(crate) host: Option<HostText>,
    /// Of a request that has no route in its stage, and of a preflight.
    unrouted: Option<Box<Unrouted>>,
    base_path: Option<Arc<str>>,
    /// Where the routed path begins in the path as received.
    path_start: usize,
    pub(crate) refusal: Option<Box<GatewayError>>,
}

impl StageMatch {
    /// Notes in the context what is not in it yet, and takes stage and base path off the request's URI.
    pub(crate) fn note<B>(&mut self, context: &RequestContext, request: &mut Request<B>) {
        if let Some(host) = self.host.take() {
            context.set_host(host);
        }
        if let Some(base_path) = self.base_path.take() {
            context.set_base_path(base_path);
        }
        if let Some(unrouted) = self.unrouted.take() {
            context.set_unrouted(unrouted);
        }
        if let Some(mut route) = self.route.take() {
            // Where a router outside has taken a prefix off, the routed path begins later in the path as received.
            let routed = route.base.and_then(|base| request.uri().path().get(base as usize..));
            let prefix = routed.and_then(|routed| context.received_uri().path().strip_suffix(routed));
            route.base = prefix.map(|prefix| prefix.len() as u32);
            context.set_stage_route(route);
        }
        strip(request.uri_mut(), self.path_start);
    }
}

impl Stages {
    /// Matches a request; nothing is changed yet. What was found before a refusal is there all the same.
    pub(crate) fn match_request<B>(&self, request: &Request<B>) -> StageMatch {
        let mut matched = StageMatch::default();
        if let Err(error) = self.find(request, &mut matched) {
            matched.refusal = Some(Box::new(error));
        }
        matched
    }

    fn find<B>(&self, request: &Request<B>, matched: &mut StageMatch) -> Result<(), GatewayError> {
        let received = request.uri().path();
        check_path(received).map_err(GatewayError::bad_path)?;
        let snapshot = self.snapshot();
        let field = host_field(request.uri(), request.headers())?.and_then(|field| field.to_str().ok());
        matched.host = field.map(HostText::from);
        let host = request.uri().host().or(field.map(without_port));
        let target = snapshot.target(host, received).ok_or_else(GatewayError::unknown_stage)?;
        matched.base_path = target.base_path.map(Arc::from);
        matched.path_start = target.path_start;
        let scope = target.stage.choose(|| fastrand::u32(..));
        let path = routed_path(&received[target.path_start..]);
        matched.route = MatchedRoute::find(scope, Some(request.method()), path, received);
        let requested = requested_method(request);
        if matched.route.is_none() || requested.is_some() {
            let find = |verb: Option<&Method>| MatchedRoute::find(scope, verb, path, received);
            let resource = resource_of(requested.flatten().as_ref(), find);
            matched.unrouted = Some(Box::new(Unrouted { scope: Arc::clone(scope), resource }));
        }
        if matched.route.is_some() { Ok(()) } else { Err(no_route(snapshot.no_route, request)) }
    }
}

/// The resource of a preflight by the method it asks for, or by the path alone, whether or not it declares `OPTIONS`. By
/// the path alone, too, that of a request whose method the resource does not declare: its refusal is the resource's.
fn resource_of(
    requested: Option<&Method>,
    find: impl Fn(Option<&Method>) -> Option<MatchedRoute>,
) -> Option<MatchedRoute> {
    requested.and_then(|method| find(Some(method))).or_else(|| find(None))
}

/// The method that a preflight asks for, `Some(None)` if it is none; `None` if the request is not a preflight.
fn requested_method<B>(request: &Request<B>) -> Option<Option<Method>> {
    if request.method() != Method::OPTIONS {
        return None;
    }
    let requested = request.headers().get(ACCESS_CONTROL_REQUEST_METHOD)?;
    Some(Method::from_bytes(requested.as_bytes()).ok())
}

fn no_route<B>(answer: NoRoute, request: &Request<B>) -> GatewayError {
    match answer {
        NoRoute::MissingAuthenticationToken => {
            let missing = || GatewayError::new(ResponseType::MissingAuthenticationToken, Cause::NoRoute);
            unreadable_signature(request).unwrap_or_else(missing)
        }
        NoRoute::NotFound => GatewayError::new(ResponseType::ResourceNotFound, Cause::NoRoute),
    }
}

/// To a REST API an unknown route is an `AWS_IAM` method of nothing: an `Authorization` field is read as a signature, and
/// its holder told what it lacks.
#[cfg(feature = "sigv4")]
fn unreadable_signature<B>(request: &Request<B>) -> Option<GatewayError> {
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    crate::sigv4::unreadable(&crate::sigv4::RequestHead { method, uri, headers })
}

#[cfg(not(feature = "sigv4"))]
fn unreadable_signature<B>(_: &Request<B>) -> Option<GatewayError> {
    None
}

/// The `Host` field where the URI names no host; two are refused whatever the URI says (RFC 9112 section 3.2).
fn host_field<'a>(uri: &Uri, headers: &'a HeaderMap) -> Result<Option<&'a HeaderValue>, GatewayError> {
    // Without a repeat of any name, which is the usual case, one look-up has seen everything.
    if headers.len() > headers.keys_len() && headers.get_all(HOST).iter().nth(1).is_some() {
        return Err(GatewayError::bad_request(Cause::HostRepeated));
    }
    Ok(if uri.host().is_some() { None } else { headers.get(HOST) })
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
