//! Gateway-response templates and parameters: plain substitution, no VTL.

use super::names::is_known;
use crate::{
    context::RequestContext,
    error::ConfigError,
    percent::{Plus, decode_lossy},
};
use http::HeaderMap;
use std::{borrow::Cow, fmt};

/// The request's parts that a template may name, kept only where one does.
pub(crate) struct RequestHead {
    pub(super) headers: HeaderMap,
    pub(super) query: String,
}

/// Nothing of it: credentials are among the fields.
impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead").finish_non_exhaustive()
    }
}

/// What no request tells: how the API is called.
#[derive(Clone, Debug, Default)]
pub(super) struct ApiNames {
    pub(super) api_id: Option<String>,
    pub(super) account_id: Option<String>,
}

impl ApiNames {
    fn variable(&self, name: &str) -> Option<&str> {
        match name {
            "apiId" => self.api_id.as_deref(),
            "accountId" => self.account_id.as_deref(),
            _ => None,
        }
    }
}

/// What references are read from.
#[derive(Clone, Copy)]
pub(super) struct Values<'a> {
    pub(super) context: &'a RequestContext,
    pub(super) head: Option<&'a RequestHead>,
    pub(super) api: &'a ApiNames,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Literal(String),
    Context(String),
    StageVariable(String),
    Header(String),
    Path(String),
    Query(String),
}

/// How a name becomes a source.
type Form = fn(String) -> Source;

impl Source {
    /// A reference without `$`: `context.requestId`, `stageVariables.v`, `method.request.header.Origin`.
    fn reference(text: &str) -> Option<Self> {
        const FORMS: [(&str, Form); 5] = [
            ("context.", Source::Context),
            ("stageVariables.", Source::StageVariable),
            ("method.request.header.", Source::Header),
            ("method.request.path.", Source::Path),
            ("method.request.querystring.", Source::Query),
        ];
        let named = |prefix| text.strip_prefix(prefix).filter(|name: &&str| !name.is_empty());
        FORMS.iter().find_map(|(prefix, form)| named(*prefix).map(|name| form(name.to_owned())))
    }

    /// A parameter's right-hand side: `'literal'` or a reference.
    pub(super) fn parameter(text: &str) -> Result<Self, ConfigError> {
        let quoted = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
        let fault = |problem: &'static str| ConfigError::new("gateway response parameter", text, problem);
        let source =
            quoted.map(|literal| Self::Literal(literal.to_owned())).or_else(|| Self::reference(text));
        match source {
            Some(Self::Context(name)) if !is_known(&name) => Err(fault("names no variable of `$context`")),
            Some(source) => Ok(source),
            None => Err(fault("is neither 'quoted' text nor a known reference")),
        }
    }

    pub(super) fn needs_request(&self) -> bool {
        matches!(self, Self::Header(_) | Self::Query(_))
    }

    /// The value, `None` where there is none.
    pub(super) fn resolve<'a>(&'a self, values: Values<'a>) -> Option<Cow<'a, str>> {
        let Values { context, head, api } = values;
        match self {
            Self::Literal(text) => Some(text.into()),
            Self::Context(name) => context.variable(name).or_else(|| api.variable(name).map(Cow::Borrowed)),
            Self::StageVariable(name) => context.stage_variable(name).map(Cow::Borrowed),
            // Repeated single-value headers and query parameters: the last value wins.
            Self::Header(name) => {
                head?.headers.get_all(name).iter().next_back()?.to_str().ok().map(Cow::Borrowed)
            }
            Self::Path(name) => context.path_parameter(name).map(Cow::Borrowed),
            Self::Query(name) => query_value(&head?.query, name),
        }
    }
}

/// The last value of a query parameter, percent-decoded, `+` as a space.
fn query_value<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let pairs = query.split(['&', ';']).rev().map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs
        .map(|(key, value)| (decode_lossy(key, Plus::Blank), value))
        .find(|(key, _)| key == name)
        .map(|(_, value)| decode_lossy(value, Plus::Blank))
}

/// A compiled template: literal text and references in turn. What is no reference stays text (`#if` is emitted).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Source>);

impl Template {
    pub(super) fn compile(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            literal.push_str(&rest[..dollar]);
            rest = &rest[dollar..];
            let (length, source) = reference_at(rest);
            match source {
                Some(source) => parts.extend([Source::Literal(std::mem::take(&mut literal)), source]),
                None => literal.push_str(&rest[..length]),
            }
            rest = &rest[length..];
        }
        literal.push_str(rest);
        parts.push(Source::Literal(literal));
        parts.retain(|part| *part != Source::Literal(String::new()));
        Self(parts)
    }

    pub(super) fn needs_request(&self) -> bool {
        self.0.iter().any(Source::needs_request)
    }

    /// References without a value render as nothing (unconfirmed on AWS).
    pub(super) fn render(&self, values: Values<'_>) -> String {
        self.0.iter().filter_map(|part| part.resolve(values)).collect()
    }
}

/// The reference at the start of `text` (which starts with `$`), `$name` or `${name}`, and how long it is.
fn reference_at(text: &str) -> (usize, Option<Source>) {
    if let Some(braced) = text.strip_prefix("${") {
        let source =
            braced.split_once('}').and_then(|(name, _)| Some((name.len() + 3, Source::reference(name)?)));
        return source.map_or((1, None), |(length, source)| (length, Some(source)));
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let end = text.bytes().skip(1).position(|byte| !is_name(byte)).map_or(text.len(), |at| at + 1);
    let name = text[1..end].trim_end_matches(['.', '-']);
    (name.len() + 1, Source::reference(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_and_text_in_turn() {
        let literal = |text: &str| Source::Literal(text.into());
        let compiled = Template::compile(
            "{\"m\":$context.error.messageString, #if($x) ${stageVariables.v}$ $method.request.header.X-A.\n}",
        );
        assert_eq!(
            compiled.0,
            [
                literal("{\"m\":"),
                Source::Context("error.messageString".into()),
                literal(", #if($x) "),
                Source::StageVariable("v".into()),
                literal("$ "),
                Source::Header("X-A".into()),
                literal(".\n}"),
            ]
        );
        assert!(compiled.needs_request());
        assert!(!Template::compile("$context.stage ${broken $util.x()").needs_request());
    }

    #[test]
    fn parameters_are_quoted_or_references() {
        assert_eq!(Source::parameter("'*'").unwrap(), Source::Literal("*".into()));
        assert_eq!(Source::parameter("context.requestId").unwrap(), Source::Context("requestId".into()));
        for wrong in
            ["$context.requestId", "context.requestIdd", "context.authorizer.", "context.", "header.a"]
        {
            assert_eq!(Source::parameter(wrong).unwrap_err().value(), wrong);
        }
        let names = "apiId authorizer.claims.sub error.validationErrorString identity.clientCert.subjectDN \
            identity.userAgent waf.latency cache.status";
        for name in names.split_whitespace() {
            assert!(Source::parameter(&format!("context.{name}")).is_ok(), "{name}");
        }
    }

    #[test]
    fn query_values_are_decoded_and_the_last_wins() {
        assert_eq!(query_value("a=1&b=x%2By+z&a=2", "a").unwrap(), "2");
        assert_eq!(query_value("a=1;b=x%2By+z%", "b").unwrap(), "x+y z%");
        assert_eq!(query_value("a=%+f%-1%2", "a").unwrap(), "% f%-1%2", "a sign is no hexadecimal digit");
        assert_eq!(query_value("a", "a").unwrap(), "");
        assert_eq!(query_value("a", "b"), None);
    }
}
