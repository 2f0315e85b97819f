//! Where the token is found: one header or one query parameter.

use super::refusal::Refusal;
use crate::{
    ConfigError,
    context::KnownBy,
    percent::{Decoded, Plus},
};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header::AUTHORIZATION};

/// The identity source of a JWT or Cognito authorizer: exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TokenSource {
    Header(HeaderName),
    Query(Box<str>),
}

impl Default for TokenSource {
    fn default() -> Self {
        Self::Header(AUTHORIZATION)
    }
}

impl TokenSource {
    /// `$request.header.X`, `$request.querystring.X`, `method.request.header.X`, `method.request.querystring.X`.
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        let wrong = || {
            ConfigError::new("identity source", text, "not $request.header.NAME or $request.querystring.NAME")
        };
        let part = ["$request.", "method.request."].iter().find_map(|start| text.strip_prefix(start));
        match part.and_then(|part| part.split_once('.')) {
            Some(("header", name)) => name.parse().map(Self::Header).map_err(|_| wrong()),
            Some(("querystring", name)) if !name.is_empty() => Ok(Self::Query(name.into())),
            _ => Err(wrong()),
        }
    }

    /// What a cache is to take for the caller's credential.
    pub(super) fn known_by(&self) -> KnownBy {
        match self {
            Self::Header(name) => KnownBy { headers: [name.clone()].into(), ..KnownBy::default() },
            Self::Query(name) => KnownBy { parameters: [name.clone()].into(), ..KnownBy::default() },
        }
    }

    /// Nobody behind should print a token.
    pub(super) fn mark_sensitive(&self, headers: &mut HeaderMap) {
        let Self::Header(own) = self else { return };
        if headers.len() > headers.keys_len() {
            let named = headers.iter_mut().filter(|(name, _)| *name == own);
            named.for_each(|(_, value)| value.set_sensitive(true));
        } else if let Some(value) = headers.get_mut(own) {
            value.set_sensitive(true);
        }
    }

    /// What stands there, for an execution log.
    #[cfg(feature = "tracing")]
    pub(super) fn credentials(&self, headers: &HeaderMap, uri: &Uri) -> crate::context::Credentials {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let shown = vec![text(self.token(headers, uri).unwrap_or_default())];
        match self {
            Self::Header(name) => {
                let sent = headers.get_all(name).iter().map(|value| text(value.as_bytes())).collect();
                crate::context::Credentials { shown, sent, parameters: Vec::new() }
            }
            Self::Query(name) => {
                let pairs =
                    uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
                let named = pairs.filter(|(own, _)| is_name(own, name)).map(|(_, value)| value.to_owned());
                crate::context::Credentials { shown, sent: named.collect(), parameters: vec![name.clone()] }
            }
        }
    }

    /// The one token of a request, without its scheme.
    pub(super) fn token<'r>(&self, headers: &'r HeaderMap, uri: &'r Uri) -> Result<&'r [u8], Refusal> {
        let value = match self {
            Self::Header(name) => header(headers, name)?.map(HeaderValue::as_bytes),
            Self::Query(name) => parameter(uri.query().unwrap_or_default(), name)?.map(str::as_bytes),
        };
        value.map(without_scheme).filter(|token| !token.is_empty()).ok_or(Refusal::Missing)
    }
}

fn header<'r>(headers: &'r HeaderMap, name: &HeaderName) -> Result<Option<&'r HeaderValue>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() { Err(Refusal::Repeated) } else { Ok(first) }
}

/// The value as it stands: a token has no character that needs an escape. A name may be escaped.
fn parameter<'r>(query: &'r str, name: &str) -> Result<Option<&'r str>, Refusal> {
    let mut named = query.split('&').filter_map(|pair| {
        let (own, value) = pair.split_once('=').unwrap_or((pair, ""));
        is_name(own, name).then_some(value)
    });
    let first = named.next();
    if named.next().is_some() { Err(Refusal::Repeated) } else { Ok(first) }
}

fn is_name(escaped: &str, name: &str) -> bool {
    Decoded::new(escaped.as_bytes(), Plus::Blank).eq(name.bytes())
}

/// Drops `Bearer` and its space, in any case (which cases AWS takes is unconfirmed); a bare token is one too.
fn without_scheme(value: &[u8]) -> &[u8] {
    match value.split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => token,
        _ if value.eq_ignore_ascii_case(b"bearer") => b"",
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_header(values: &[&'static str]) -> Result<String, Refusal> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_static(value));
        }
        let uri = Uri::from_static("/");
        TokenSource::default().token(&headers, &uri).map(|token| String::from_utf8_lossy(token).into_owned())
    }

    #[test]
    fn bare_or_after_bearer_and_only_once() {
        for value in ["a.b.c", "Bearer a.b.c", "bearer a.b.c", "BEARER a.b.c"] {
            assert_eq!(from_header(&[value]).as_deref(), Ok("a.b.c"));
        }
        assert_eq!(from_header(&["Bearer  a.b.c"]).as_deref(), Ok(" a.b.c"), "and so no token");
        assert_eq!(from_header(&["Basic a"]).as_deref(), Ok("Basic a"), "and so no token");
        for value in ["", "Bearer", "Bearer "] {
            assert_eq!(from_header(&[value]), Err(Refusal::Missing), "{value}");
        }
        assert_eq!(from_header(&[]), Err(Refusal::Missing));
        assert_eq!(from_header(&["a.b.c", "a.b.c"]), Err(Refusal::Repeated));
        assert_eq!(from_header(&["a.b.c", ""]), Err(Refusal::Repeated));
    }

    #[test]
    fn a_query_parameter_by_any_spelling_of_its_name() {
        let source = TokenSource::parse("$request.querystring.token").unwrap();
        let headers = HeaderMap::new();
        let found = |uri: &'static str| {
            source
                .token(&headers, &Uri::from_static(uri))
                .map(|token| String::from_utf8_lossy(token).into_owned())
        };
        assert_eq!(found("/?a=1&token=x.y.z&b").as_deref(), Ok("x.y.z"));
        assert_eq!(found("/?%74oken=x").as_deref(), Ok("x"));
        for uri in ["/?token=a&token=b", "/?token=a&%74oken=b", "/?token=a&token"] {
            assert_eq!(found(uri), Err(Refusal::Repeated), "{uri}");
        }
        for uri in ["/", "/?token", "/?token=", "/?Token=x", "/?%zz=x", "/?%7=x"] {
            assert_eq!(found(uri), Err(Refusal::Missing), "{uri}");
        }
    }

    #[test]
    fn sources_are_spelled_as_on_aws() {
        let header = TokenSource::Header("x-token".parse().unwrap());
        for text in ["$request.header.X-Token", "method.request.header.x-token"] {
            assert_eq!(TokenSource::parse(text).unwrap(), header);
        }
        for text in [
            "",
            "Authorization",
            "$request.path.x",
            "$request.header.",
            "$request.querystring.",
            "$context.x",
        ] {
            assert_eq!(TokenSource::parse(text).unwrap_err().value(), text);
        }
    }
}
