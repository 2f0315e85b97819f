//! Which origins are allowed, and what a serialised origin looks like.

use crate::error::ConfigError;
use bytes::Bytes;
use http::HeaderValue;
use std::cmp::Ordering;

pub(super) const STAR: HeaderValue = HeaderValue::from_static("*");

const NOT_SERIALISED: &str =
    "is not `scheme://host[:port]` in lower case, without path, user and default port, as browsers send it";
const STRAY_WILDCARD: &str = "a wildcard is `*`, `https://*` or `http://*`; other patterns are not supported";
/// AWS's words (`BadRequestException` of `CreateApi`).
const STAR_WITH_CREDENTIALS: &str = "allow-credentials is not supported if 'allow-origin' is *";
const NULL_WITH_CREDENTIALS: &str =
    "any sandboxed page has the origin `null`: not supported with credentials";

/// The allowed origins, compiled.
#[derive(Debug)]
pub(super) enum Origins {
    /// `*`: the answer is the same for everybody.
    Any,
    Listed(Listed),
}

/// Whose pages may read an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowed {
    Nobody,
    Everybody,
    /// Those of the origin at this place in the list.
    Listed(usize),
    /// Those of the request's own origin, whose scheme is allowed.
    Itself,
}

#[derive(Debug, Default)]
pub(super) struct Listed {
    /// Sorted by length, then bytes; a binary search is immune to chosen values.
    exact: Vec<HeaderValue>,
    any_https: bool,
    any_http: bool,
}

impl Origins {
    pub(super) fn compile(origins: &[String], credentials: bool) -> Result<Self, ConfigError> {
        let mut listed = Listed::default();
        let mut any = false;
        for origin in origins {
            let fault = |problem: &'static str| ConfigError::new("allow_origins", origin, problem);
            match origin.as_str() {
                "*" if credentials => return Err(fault(STAR_WITH_CREDENTIALS)),
                "*" => any = true,
                "https://*" => listed.any_https = true,
                "http://*" => listed.any_http = true,
                "null" if credentials => return Err(fault(NULL_WITH_CREDENTIALS)),
                exact => listed.exact.push(exact_origin(exact).map_err(fault)?),
            }
        }
        listed.exact.sort_unstable_by(|one, other| order(one.as_bytes(), other.as_bytes()));
        Ok(if any { Self::Any } else { Self::Listed(listed) })
    }

    pub(super) fn is_any(&self) -> bool {
        matches!(self, Self::Any)
    }

    /// For a request with this one `Origin`, which does not matter where everybody may read the answer.
    pub(super) fn judge(&self, origin: Option<&HeaderValue>) -> Allowed {
        match (self, origin) {
            (Self::Any, _) => Allowed::Everybody,
            (Self::Listed(listed), Some(origin)) => listed.judge(origin.as_bytes()),
            (Self::Listed(_), None) => Allowed::Nobody,
        }
    }

    /// `Access-Control-Allow-Origin`. The listed value is cloned rather than the request's: that never allocates.
    pub(super) fn value(&self, allowed: Allowed, own: Option<&HeaderValue>) -> Option<HeaderValue> {
        match (allowed, self) {
            (Allowed::Everybody, _) => Some(STAR),
            (Allowed::Listed(place), Self::Listed(listed)) => listed.exact.get(place).cloned(),
            (Allowed::Itself, _) => own.cloned(),
            (Allowed::Nobody | Allowed::Listed(_), _) => None,
        }
    }

    /// `Access-Control-Allow-Origin` for a preflight with this one `Origin`.
    pub(super) fn allow(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        if self.is_any() && origin.as_bytes().contains(&b',') {
            return None;
        }
        self.value(self.judge(Some(origin)), Some(origin))
    }
}

impl Listed {
    fn judge(&self, origin: &[u8]) -> Allowed {
        match self.find(origin) {
            Some(place) => Allowed::Listed(place),
            None if self.has_allowed_scheme(origin) => Allowed::Itself,
            None => Allowed::Nobody,
        }
    }

    fn find(&self, origin: &[u8]) -> Option<usize> {
        match &*self.exact {
            [only] => (only.as_bytes() == origin).then_some(0),
            many => many.binary_search_by(|listed| order(listed.as_bytes(), origin)).ok(),
        }
    }

    fn has_allowed_scheme(&self, origin: &[u8]) -> bool {
        (self.any_https && origin.starts_with(b"https://") || self.any_http && origin.starts_with(b"http://"))
            && is_serialised(origin)
    }
}

/// Most origins differ in length, which costs no look at the text.
fn order(one: &[u8], other: &[u8]) -> Ordering {
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

fn exact_origin(text: &str) -> Result<HeaderValue, &'static str> {
    if text.contains('*') {
        return Err(STRAY_WILDCARD);
    }
    if text != "null" && !is_serialised(text.as_bytes()) {
        return Err(NOT_SERIALISED);
    }
    shared_value(text).ok_or(NOT_SERIALISED)
}

/// A header value whose clones are reference counts from the first one on.
pub(super) fn shared_value(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_maybe_shared(Bytes::from_owner(text.to_owned().into_bytes())).ok()
}

/// Whether a browser could have sent this as the origin of a page with a host.
pub(super) fn is_serialised(origin: &[u8]) -> bool {
    let Some(colon) = origin.iter().position(|byte| *byte == b':') else { return false };
    let (scheme, rest) = origin.split_at(colon);
    let Some(authority) = rest.strip_prefix(b"://") else { return false };
    is_scheme(scheme) && is_authority(authority, default_port(scheme))
}

fn is_scheme(scheme: &[u8]) -> bool {
    scheme.first().is_some_and(u8::is_ascii_lowercase)
        && scheme.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.'))
}

fn default_port(scheme: &[u8]) -> &'static [u8] {
    match scheme {
        b"https" => b"443",
        b"http" => b"80",
        _ => b"",
    }
}

fn is_authority(authority: &[u8], default_port: &[u8]) -> bool {
    let host_end = match authority.first() {
        Some(b'[') => authority.iter().position(|byte| *byte == b']').map_or(0, |at| at + 1),
        _ => authority.iter().position(|byte| *byte == b':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(host_end);
    is_host(host) && (port.is_empty() || is_port(port, default_port))
}

fn is_host(host: &[u8]) -> bool {
    match host {
        [b'[', address @ .., b']'] => is_ipv6(address),
        name => !name.is_empty() && name.iter().all(|byte| is_host_byte(*byte)),
    }
}

fn is_ipv6(address: &[u8]) -> bool {
    !address.iter().any(u8::is_ascii_uppercase)
        && std::str::from_utf8(address).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok())
}

/// Browsers send names in punycode and lower case.
fn is_host_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_')
}

/// `port` with its colon.
fn is_port(port: &[u8], default_port: &[u8]) -> bool {
    let Some(digits) = port.strip_prefix(b":") else { return false };
    let number = std::str::from_utf8(digits).ok().and_then(|text| text.parse::<u16>().ok());
    digits.first().is_some_and(|first| matches!(first, b'1'..=b'9'))
        && number.is_some()
        && digits != default_port
}
