//! The decision: what a request is, and what it is answered. No I/O, no tower types.

use super::{
    config::{BackEndHeaders, Cors, is_token},
    origin::{Allowed, Origins, STAR, shared_value},
    touch::Expose,
};
use crate::error::ConfigError;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
        ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
    },
};

pub(super) const TRUE: HeaderValue = HeaderValue::from_static("true");
pub(super) static ALLOW_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");
static REQUEST_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
const VARY_PREFLIGHT: HeaderValue =
    HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
const VARY_PRIVATE_NETWORK: HeaderValue = HeaderValue::from_static(
    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers, Access-Control-Request-Private-Network",
);

/// A compiled [`Cors`].
#[derive(Debug)]
pub(crate) struct Policy {
    origins: Origins,
    preflight: Preflight,
    pub(super) credentials: bool,
    pub(super) expose: Expose,
    pub(super) back_end: BackEndHeaders,
}

/// The two answers to a preflight. Cloning a map costs two allocations at any size.
#[derive(Debug)]
struct Preflight {
    /// Has a place for everything that may have to be filled in.
    allowed: HeaderMap,
    refused: HeaderMap,
    /// `*` with credentials: the requested method stands for it.
    echo_method: bool,
    /// The same for header names.
    echo_names: bool,
    authorization_listed: bool,
    private_network: bool,
}

/// The method that a preflight asks for; `None` if the request is not a preflight.
pub(crate) fn requested_method<'a>(method: &Method, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
    if *method == Method::OPTIONS { Some(preflight(headers)?.1) } else { None }
}

/// Origin and requested method of an `OPTIONS` that is a preflight.
fn preflight(headers: &HeaderMap) -> Option<(&HeaderValue, &HeaderValue)> {
    Some((sole(headers, &ORIGIN)?, headers.get(ACCESS_CONTROL_REQUEST_METHOD)?))
}

/// The value of a field that was sent exactly once.
#[inline]
fn sole<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    // Without a repeat of any name, which is the usual case, one look-up has seen everything.
    if headers.len() == headers.keys_len() {
        return headers.get(name);
    }
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

impl Policy {
    /// The lists have been checked.
    pub(super) fn compile(cors: &Cors) -> Result<Self, ConfigError> {
        let origins = Origins::compile(&cors.origins, cors.credentials)?;
        Ok(Self {
            preflight: Preflight::compile(cors, origins.is_any()),
            origins,
            credentials: cors.credentials,
            expose: Expose::compile(&cors.expose, cors.credentials),
            back_end: cors.back_end,
        })
    }

    /// The headers of the 204 that answers a preflight; `None` if the request is not a preflight.
    #[inline]
    pub(crate) fn answer_preflight(&self, method: &Method, headers: &HeaderMap) -> Option<HeaderMap> {
        if *method == Method::OPTIONS { self.answer_options(headers) } else { None }
    }

    fn answer_options(&self, headers: &HeaderMap) -> Option<HeaderMap> {
        let (origin, requested) = preflight(headers)?;
        Some(match self.origins.allow(origin) {
            Some(origin) => self.preflight.answer(origin, requested, headers),
            None => self.preflight.refused.clone(),
        })
    }

    /// Whose pages may read the answer to an ordinary request.
    #[inline]
    pub(super) fn judge(&self, headers: &HeaderMap) -> Allowed {
        if self.origins.is_any() { Allowed::Everybody } else { self.origins.judge(sole(headers, &ORIGIN)) }
    }

    /// `Access-Control-Allow-Origin` of that answer; `own` is the request's `Origin`.
    pub(super) fn value(&self, allowed: Allowed, own: Option<&HeaderValue>) -> Option<HeaderValue> {
        self.origins.value(allowed, own)
    }

    /// Whether ordinary answers differ by `Origin`.
    pub(super) fn varies(&self) -> bool {
        !self.origins.is_any()
    }
}

impl Preflight {
    fn compile(cors: &Cors, constant: bool) -> Self {
        let lists_star = |list: &[String]| cors.credentials && list.iter().any(|item| item == "*");
        let refused = refused_answer(cors, constant);
        Self {
            allowed: allowed_answer(cors, refused.clone()),
            refused,
            echo_method: lists_star(&cors.methods),
            echo_names: lists_star(&cors.headers),
            authorization_listed: cors.headers.iter().any(|name| name.eq_ignore_ascii_case("authorization")),
            private_network: cors.private_network,
        }
    }

    fn answer(&self, origin: HeaderValue, requested: &HeaderValue, headers: &HeaderMap) -> HeaderMap {
        let mut answer = self.allowed.clone();
        fill(&mut answer, &ACCESS_CONTROL_ALLOW_ORIGIN, Some(origin));
        if self.echo_method {
            let method = is_name(requested.as_bytes()).then(|| requested.clone());
            fill(&mut answer, &ACCESS_CONTROL_ALLOW_METHODS, method);
        }
        if self.echo_names {
            fill(&mut answer, &ACCESS_CONTROL_ALLOW_HEADERS, self.requested_names(headers));
        }
        if self.private_network {
            let asked = headers.get(&REQUEST_PRIVATE_NETWORK).is_some_and(|value| value == "true");
            fill(&mut answer, &ALLOW_PRIVATE_NETWORK, asked.then_some(TRUE));
        }
        answer
    }

    /// The requested names that are names; `Authorization` only if it is listed.
    fn requested_names(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let mut names = String::new();
        let requested =
            headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter().filter_map(|value| value.to_str().ok());
        for name in requested.flat_map(|list| list.split(',')).map(str::trim) {
            let listed = self.authorization_listed || !name.eq_ignore_ascii_case("authorization");
            if listed && is_name(name.as_bytes()) {
                push_item(&mut names, name);
            }
        }
        (!names.is_empty()).then(|| HeaderValue::try_from(names).ok()).flatten()
    }
}

/// What may be echoed: a token, and never the wildcard.
fn is_name(text: &[u8]) -> bool {
    text != b"*" && is_token(text)
}

/// Puts a value into its prepared place, or closes the place.
fn fill(answer: &mut HeaderMap, name: &HeaderName, value: Option<HeaderValue>) {
    match (value, answer.get_mut(name)) {
        (Some(value), Some(place)) => *place = value,
        (Some(value), None) => {
            answer.insert(name.clone(), value);
        }
        (None, _) => {
            answer.remove(name);
        }
    }
}

fn refused_answer(cors: &Cors, constant: bool) -> HeaderMap {
    let mut answer = HeaderMap::new();
    if cors.private_network {
        answer.insert(VARY, VARY_PRIVATE_NETWORK);
    } else if !constant {
        answer.insert(VARY, VARY_PREFLIGHT);
    }
    answer
}

fn allowed_answer(cors: &Cors, mut answer: HeaderMap) -> HeaderMap {
    answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, STAR);
    let max_age = cors.max_age.map(|seconds| seconds.to_string());
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_METHODS, joined(&cors.methods)),
        (ACCESS_CONTROL_ALLOW_HEADERS, joined(&cors.headers)),
        (ACCESS_CONTROL_MAX_AGE, max_age.as_deref().and_then(shared_value)),
        (ACCESS_CONTROL_ALLOW_CREDENTIALS, cors.credentials.then_some(TRUE)),
        (ALLOW_PRIVATE_NETWORK.clone(), cors.private_network.then_some(TRUE)),
    ] {
        if let Some(value) = value {
            answer.insert(name, value);
        }
    }
    answer
}

/// A list as configured, joined by commas; `None` if it is empty.
pub(super) fn joined(items: &[String]) -> Option<HeaderValue> {
    (!items.is_empty()).then(|| shared_value(&items.join(","))).flatten()
}

/// Appends an item to a list that is joined by commas.
pub(super) fn push_item(list: &mut String, item: &str) {
    if !list.is_empty() {
        list.push(',');
    }
    list.push_str(item);
}
