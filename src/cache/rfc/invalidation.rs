//! What an unsafe request makes invalid: its own URI, and those of `Location` and `Content-Location` (RFC 9111 section
//! 4.4).

use http::{
    HeaderMap, HeaderName, Method, StatusCode, Uri,
    header::{CONTENT_LOCATION, HOST, LOCATION},
};

/// A method is unsafe unless it is known to be safe.
pub(super) fn is_unsafe(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

/// The targets that an answer to an unsafe request makes invalid. An error changes nothing.
/// Another origin's URI is none of this service's business.
pub(super) fn targets(uri: &Uri, request: &HeaderMap, status: StatusCode, answer: &HeaderMap) -> Vec<Uri> {
    if !(status.is_success() || status.is_redirection()) {
        return Vec::new();
    }
    let mut targets = vec![uri.clone()];
    targets.extend([LOCATION, CONTENT_LOCATION].iter().filter_map(|name| named(name, uri, request, answer)));
    targets
}

/// In the form of the request's own URI, with or without authority, as `GET`s of the same connection have it.
fn named(name: &HeaderName, uri: &Uri, request: &HeaderMap, answer: &HeaderMap) -> Option<Uri> {
    let reference = answer.get(name)?.to_str().ok()?;
    let host =
        uri.authority().map(|host| host.as_str()).or(request.get(HOST).and_then(|host| host.to_str().ok()));
    let target = resolve(reference, uri, host.unwrap_or_default())?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target.try_into().ok()?);
    Uri::from_parts(parts).ok()
}

/// The path and query that `reference` means at `base` (RFC 3986 section 5.2), if it stays at the same host.
fn resolve(reference: &str, base: &Uri, host: &str) -> Option<String> {
    let reference = reference.split('#').next().unwrap_or_default();
    if let Some(rest) = behind_scheme(reference, base)? {
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let same = without_default_port(authority).eq_ignore_ascii_case(without_default_port(host));
        return same.then(|| normalized(if target.is_empty() { "/" } else { target }, ""));
    }
    Some(match reference.as_bytes().first() {
        None => base.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
        Some(b'?') => format!("{}{reference}", base.path()),
        Some(b'/') => normalized(reference, ""),
        Some(_) => normalized(reference, base.path()),
    })
}

/// What stands behind `scheme://` or `//`; `Some(None)` for a relative reference, `None` for another scheme.
fn behind_scheme<'a>(reference: &'a str, base: &Uri) -> Option<Option<&'a str>> {
    if let Some(rest) = reference.strip_prefix("//") {
        return Some(Some(rest));
    }
    let end = reference.find([':', '/', '?']).filter(|end| reference[*end..].starts_with(':'));
    let Some((scheme, rest)) = end.map(|end| (&reference[..end], &reference[end + 1..])) else {
        return Some(None);
    };
    let known = base.scheme_str().map_or_else(
        || ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)),
        |own| scheme.eq_ignore_ascii_case(own),
    );
    known.then(|| rest.strip_prefix("//").unwrap_or_default()).filter(|rest| !rest.is_empty()).map(Some)
}

fn without_default_port(authority: &str) -> &str {
    authority.strip_suffix(":80").or_else(|| authority.strip_suffix(":443")).unwrap_or(authority)
}

/// The reference behind the last slash of `base`, without dot segments.
fn normalized(reference: &str, base: &str) -> String {
    let (path, query) = reference.split_at(reference.find('?').unwrap_or(reference.len()));
    let directory =
        if path.starts_with('/') { "" } else { base.rsplit_once('/').map_or("", |(head, _)| head) };
    let mut segments: Vec<&str> = Vec::new();
    let joined = [directory.trim_start_matches('/'), path.trim_start_matches('/')];
    let all = joined.iter().filter(|part| !part.is_empty()).flat_map(|part| part.split('/'));
    for segment in all.clone() {
        match segment {
            "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    let tail = if matches!(all.last(), Some("." | "..")) && !segments.is_empty() { "/" } else { "" };
    format!("/{}{tail}{query}", segments.join("/"))
}
