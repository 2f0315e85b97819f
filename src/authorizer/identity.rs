//! Where the identity of a request is found: header, query string, stage variable, context.

use super::query;
use crate::{
    context::{KnownBy, RequestContext},
    error::ConfigError,
    response::Cause,
};
use http::{HeaderMap, HeaderName};

/// One identity source, in either spelling of AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum IdentitySource {
    Header(HeaderName),
    Query(Box<str>),
    StageVariable(Box<str>),
    Context(Box<str>),
}

/// What identity sources are read from.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) headers: &'a HeaderMap,
    pub(super) query: Option<&'a str>,
    pub(super) context: &'a RequestContext,
}

/// How several values under one name are one value of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeated {
    /// Headers joined with `,`, query parameters: the last (REST).
    LastParameter,
    /// Both joined with `,` (HTTP).
    Joined,
}

/// Context variables that every caller of a method shares.
const OF_THE_CALL: [&str; 7] =
    ["routeKey", "resourcePath", "httpMethod", "stage", "deploymentId", "apiId", "accountId"];

const NOT_ALLOWED: &str = "is none of header, querystring, stageVariables and context, or has no name";

impl IdentitySource {
    /// `method.request.header.X`, `$request.header.X`, `route.request.header.X`; likewise `querystring`;
    /// `stageVariables.X`, `context.X`, with or without `$`.
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        let wrong = || ConfigError::new("identity source", text, NOT_ALLOWED);
        let bare = text.strip_prefix('$').unwrap_or(text);
        let request = ["method.request.", "route.request.", "request."].iter();
        let part = request.filter_map(|prefix| bare.strip_prefix(prefix)).next().unwrap_or(bare);
        let (place, name) = part.split_once('.').ok_or_else(wrong)?;
        if name.is_empty() {
            return Err(wrong());
        }
        match (place, part.len() < bare.len()) {
            ("header", true) => name.parse().map(Self::Header).map_err(|_| wrong()),
            ("querystring", true) => Ok(Self::Query(name.into())),
            ("stageVariables", false) => Ok(Self::StageVariable(name.into())),
            ("context", false) => Ok(Self::Context(name.into())),
            _ => Err(wrong()),
        }
    }

    /// What a cache is to take for the caller's credentials.
    pub(super) fn known_by(sources: &[Self]) -> KnownBy {
        KnownBy {
            headers: sources.iter().filter_map(Self::header).cloned().collect(),
            parameters: sources.iter().filter_map(Self::parameter).map(Into::into).collect(),
            others: sources.iter().any(Self::tells_callers_apart_by_itself),
        }
    }

    /// Whether it is neither in a field nor in the query, and another one for another caller. What a call is for (its
    /// route, its stage with the variables) is in every key of a cache.
    fn tells_callers_apart_by_itself(&self) -> bool {
        matches!(self, Self::Context(name) if !OF_THE_CALL.contains(&&**name))
    }

    pub(super) fn header(&self) -> Option<&HeaderName> {
        match self {
            Self::Header(name) => Some(name),
            _ => None,
        }
    }

    pub(super) fn parameter(&self) -> Option<&str> {
        match self {
            Self::Query(name) => Some(name),
            _ => None,
        }
    }

    /// What a client has sent under the name, as it stands there: escapes of a query are not decoded.
    #[cfg(feature = "tracing")]
    pub(super) fn sent(&self, asked: Asked<'_>) -> Vec<String> {
        match self {
            Self::Header(name) => {
                let fields = asked.headers.get_all(name).iter();
                fields.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
            }
            Self::Query(name) => {
                let pairs = asked.query.unwrap_or_default().split('&');
                let named = |pair: &&str| {
                    query::pairs(Some(pair)).next().is_some_and(|(own, _)| *own == *name.as_bytes())
                };
                pairs.filter(named).filter_map(|pair| Some(pair.split_once('=')?.1.to_owned())).collect()
            }
            Self::StageVariable(_) | Self::Context(_) => Vec::new(),
        }
    }

    /// Hands every value under the name to `each`, in order; a cache key must tell apart what the function can.
    pub(super) fn visit(&self, asked: Asked<'_>, mut each: impl FnMut(&str)) -> Result<(), Cause> {
        match self {
            Self::Header(name) => {
                for value in asked.headers.get_all(name) {
                    each(std::str::from_utf8(value.as_bytes()).map_err(|_| Cause::IdentityMalformed)?);
                }
            }
            Self::Query(name) => {
                for (_, value) in query::pairs(asked.query).filter(|(own, _)| **own == *name.as_bytes()) {
                    each(std::str::from_utf8(&value).map_err(|_| Cause::IdentityMalformed)?);
                }
            }
            Self::StageVariable(name) => asked.context.stage_variable(name).into_iter().for_each(each),
            Self::Context(name) => asked.context.variable(name).into_iter().for_each(|value| each(&value)),
        }
        Ok(())
    }

    /// The value that the function is told, for a source that is there.
    pub(super) fn value(&self, asked: Asked<'_>, repeated: Repeated) -> Result<String, Cause> {
        let mut values: Vec<String> = Vec::new();
        self.visit(asked, |value| values.push(value.to_owned()))?;
        match (self, repeated) {
            (Self::Query(_), Repeated::LastParameter) => Ok(values.pop().unwrap_or_default()),
            _ => Ok(values.join(",")),
        }
    }
}

/// Whether a source counts as there, from its values one by one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Presence {
    any: bool,
    filled: bool,
    last_filled: bool,
}

impl Presence {
    pub(super) fn see(&mut self, value: &str) {
        self.any = true;
        self.last_filled = !value.trim().is_empty();
        self.filled |= self.last_filled;
    }

    /// REST: an empty value is as good as none. HTTP: only absence counts (seen in emulators, unconfirmed).
    pub(super) fn is_there(self, source: &IdentitySource, repeated: Repeated) -> bool {
        match (repeated, source) {
            (Repeated::Joined, _) => self.any,
            (Repeated::LastParameter, IdentitySource::Query(_)) => self.last_filled,
            (Repeated::LastParameter, _) => self.filled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_mean_the_same_and_path_parameters_are_refused() {
        let header = IdentitySource::Header("x-token".parse().unwrap());
        for text in
            ["method.request.header.X-Token", "$request.header.x-token", "route.request.header.X-TOKEN"]
        {
            assert_eq!(IdentitySource::parse(text).unwrap(), header, "{text}");
        }
        let query = IdentitySource::Query("aToken".into());
        for text in ["method.request.querystring.aToken", "$request.querystring.aToken"] {
            assert_eq!(IdentitySource::parse(text).unwrap(), query, "{text}");
        }
        for text in ["stageVariables.x", "$stageVariables.x"] {
            assert_eq!(IdentitySource::parse(text).unwrap(), IdentitySource::StageVariable("x".into()));
        }
        let context = IdentitySource::Context("identity.sourceIp".into());
        for text in ["context.identity.sourceIp", "$context.identity.sourceIp"] {
            assert_eq!(IdentitySource::parse(text).unwrap(), context);
        }
        for text in [
            "method.request.path.id",
            "$request.path.id",
            "method.request.header.",
            "method.request.header.a b",
            "method.request.stageVariables.x",
            "header.x",
            "context",
            "Authorization",
            "",
        ] {
            let error = IdentitySource::parse(text).unwrap_err();
            assert_eq!((error.location(), error.value()), ("identity source", text));
        }
    }
}
