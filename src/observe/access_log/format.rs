//! A format, compiled once into literal text and variables.

use super::{
    Escaping, LogApi, Value, Variable,
    escape::mask,
    names::{is_known_to_http_apis, is_of_phase, is_secret},
};
use crate::{error::ConfigError, observe::event::RequestEvent};
use std::borrow::Cow;

/// Longest format, in bytes: 3 KB.
const MAX_FORMAT: usize = 3 * 1024;

/// A compiled access log format: text and `$context.` variables.
///
/// ```
/// use tower_gateway::observe::{AccessLogFormat, LogApi};
///
/// let format = AccessLogFormat::new(LogApi::Rest, r#"{"id":"$context.requestId","status":$context.status}"#)?;
/// # let _ = format;
/// let error = AccessLogFormat::new(LogApi::Rest, "$context.status").unwrap_err();
/// assert_eq!(
///     error.problem(),
///     "Access Log format must include either $context.requestId or $context.extendedRequestId : '$context.status'"
/// );
/// # Ok::<(), tower_gateway::ConfigError>(())
/// ```
///
/// Unknown and absent variables print as `-`, as on AWS. Values that are credentials print as stars and their last six
/// characters; see [`show_secrets`](Self::show_secrets).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLogFormat {
    segments: Vec<Segment>,
    text: Box<str>,
    escaping: Escaping,
    show_secrets: bool,
    ends_line: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(Box<str>),
    Variable(Field),
}

/// A variable in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    name: Box<str>,
    variable: Variable,
    secret: bool,
    /// Inside of quotes, by the text before it.
    in_string: bool,
    /// JSON already: `error.messageString` and `isCanaryRequest`.
    is_json: bool,
}

impl AccessLogFormat {
    /// Compiles an AWS format string. Values are escaped for JSON where the text starts with `{`, for XML where it
    /// starts with `<`, else as quoted text; [`escaping`](Self::escaping) chooses otherwise.
    ///
    /// # Errors
    ///
    /// AWS's rules, in AWS's words: not empty, at most 3 KB, one line (a line end may close it; not for HTTP
    /// APIs), a request id among the variables, for HTTP APIs only variables that those have. And ours, where AWS would
    /// print the text as it is: `$input`, `$util`, `$stageVariables`.
    pub fn new(api: LogApi, text: &str) -> Result<Self, ConfigError> {
        let format = Self::compile(text, Escaping::of_format(text));
        match format.problem(api, text) {
            Some(problem) => Err(ConfigError::new("access log format", text, problem)),
            None => Ok(format),
        }
    }

    /// A JSON object of `(key, variable)` pairs: numbers as numbers, `null` for what is absent. Variables are named without
    /// `$context.`.
    ///
    /// ```
    /// use tower_gateway::observe::{AccessLogFormat, LogApi};
    ///
    /// let format = AccessLogFormat::json_object([("id", "requestId"), ("ms", "responseLatency")])?;
    /// assert_eq!(format.as_str(), r#"{"id":$context.requestId,"ms":$context.responseLatency}"#);
    /// # Ok::<(), tower_gateway::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new) for REST APIs; a name that no variable can have, and a key that names a variable.
    pub fn json_object<'a>(
        fields: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, ConfigError> {
        let pairs: Result<Vec<_>, _> = fields.into_iter().map(|(key, name)| json_pair(key, name)).collect();
        Self::new(LogApi::Rest, &format!("{{{}}}", pairs?.join(",")))
    }

    /// How values are written.
    #[must_use]
    pub fn escaping(mut self, escaping: Escaping) -> Self {
        self.escaping = escaping;
        self
    }

    /// Writes credentials (`identity.apiKey`, tokens in `authorizer.*`) as they are. Default: masked.
    #[must_use]
    pub fn show_secrets(mut self, show: bool) -> Self {
        self.show_secrets = show;
        self
    }

    /// The text that was compiled.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the text ends in a line end: batches of records need it to keep entries apart.
    pub fn ends_line(&self) -> bool {
        self.ends_line
    }

    /// Whether the format names this variable.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.fields().any(|field| &*field.name == name)
    }

    /// Whether the format names what phases came to, or how long they took.
    pub(super) fn asks_for_phases(&self) -> bool {
        self.fields().any(|field| is_of_phase(&field.name))
    }

    fn fields(&self) -> impl Iterator<Item = &Field> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Variable(field) => Some(field),
            Segment::Literal(_) => None,
        })
    }

    pub(super) fn compile(text: &str, escaping: Escaping) -> Self {
        let line = without_line_end(text);
        let mut segments = Vec::new();
        let mut quotes = Quotes::default();
        let mut rest = line;
        while let Some((literal, name, tail)) = next_variable(rest) {
            quotes.pass(literal);
            segments.push(Segment::Literal(literal.into()));
            segments.push(Segment::Variable(Field::new(name, quotes.open)));
            rest = tail;
        }
        segments.push(Segment::Literal(rest.into()));
        segments.retain(|segment| *segment != Segment::Literal("".into()));
        let ends_line = line.len() < text.len();
        Self { segments, text: text.into(), escaping, show_secrets: false, ends_line }
    }

    fn problem(&self, api: LogApi, text: &str) -> Option<Cow<'static, str>> {
        if text.trim().is_empty() {
            return Some("Access Log value must not be empty".into());
        }
        if text.len() > MAX_FORMAT {
            return Some("Access Log format must be at most 3 KB".into());
        }
        if let Some(foreign) = foreign_reference(text) {
            return Some(format!("only $context variables are supported, not {foreign}").into());
        }
        let line_end_allowed = api == LogApi::Rest;
        let line = if line_end_allowed { without_line_end(text) } else { text };
        let prefix =
            if line_end_allowed { "" } else { "The following errors are found in Access Log Format: " };
        if line.contains(['\r', '\n']) {
            let end = if line_end_allowed {
                ", new line character is allowed only at end of the format"
            } else {
                ""
            };
            return Some(format!("{prefix}Access Log format must be single line{end}: '{text}'").into());
        }
        self.variables_problem(api, text, prefix)
    }

    fn variables_problem(&self, api: LogApi, text: &str, prefix: &str) -> Option<Cow<'static, str>> {
        let unsupported: Vec<_> = self
            .fields()
            .filter(|field| api == LogApi::Http && !is_known_to_http_apis(&field.name))
            .map(|field| format!("$context.{}", field.name))
            .collect();
        if !unsupported.is_empty() {
            let names = unsupported.join(", ");
            return Some(format!("The following context variables are not supported: [{names}]").into());
        }
        let identified = self.names("requestId") || self.names("extendedRequestId");
        let ids = "Access Log format must include either $context.requestId or $context.extendedRequestId";
        (!identified).then(|| format!("{prefix}{ids} : '{text}'").into())
    }

    /// Appends the line of one request, without a line end.
    pub fn render(&self, event: &RequestEvent<'_>, out: &mut String) {
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => out.push_str(text),
                Segment::Variable(field) => self.push(field, field.variable.value(event), out),
            }
        }
    }

    fn push(&self, field: &Field, value: Option<Value<'_>>, out: &mut String) {
        let bare = self.escaping == Escaping::Json && !field.in_string;
        match value {
            None => out.push_str(if bare { "null" } else { "-" }),
            Some(Value::Number(number)) => out.push_str(itoa::Buffer::new().format(number)),
            Some(value) if bare && !field.is_json => {
                out.push('"');
                self.push_text(field, &value, self.escaping, out);
                out.push('"');
            }
            // JSON of ours, with its own quotes: only what breaks lines is left to escape.
            Some(value) if bare || self.is_quoted_already(field) => {
                self.push_text(field, &value, Escaping::AwsExact, out)
            }
            Some(value) => self.push_text(field, &value, self.escaping, out),
        }
    }

    fn is_quoted_already(&self, field: &Field) -> bool {
        self.escaping == Escaping::Quoted && field.is_json && !field.in_string
    }

    fn push_text(&self, field: &Field, value: &Value<'_>, escaping: Escaping, out: &mut String) {
        match value {
            Value::Text(text) if field.secret && !self.show_secrets => escaping.push(&mask(text), out),
            Value::Text(text) => escaping.push(text, out),
            other => _ = other.write_plain(out),
        }
    }
}

impl Field {
    fn new(name: &str, in_string: bool) -> Self {
        let is_json = matches!(name, "error.messageString" | "isCanaryRequest");
        Self {
            name: name.into(),
            variable: Variable::named(name),
            secret: is_secret(name),
            in_string,
            is_json,
        }
    }
}

/// Whether a JSON text so far ends inside of a string.
#[derive(Default)]
struct Quotes {
    open: bool,
    escaped: bool,
}

impl Quotes {
    fn pass(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = self.open,
                b'"' => self.open = !self.open,
                _ => {}
            }
        }
    }
}

fn json_pair(key: &str, name: &str) -> Result<String, ConfigError> {
    let reference = format!("$context.{name}");
    if variable_at(&reference) != Some((name, reference.len())) {
        return Err(ConfigError::new("access log variable", name, "is not a name of a $context variable"));
    }
    if next_variable(key).is_some() {
        return Err(ConfigError::new("access log key", key, "names a variable"));
    }
    let mut pair = String::from("\"");
    Escaping::Json.push(key, &mut pair);
    pair.push_str("\":");
    pair.push_str(&reference);
    Ok(pair)
}

/// A text without the line end that may close it, of which there is one.
fn without_line_end(text: &str) -> &str {
    text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line))
}

/// Text before the next `$context.name` or `${context.name}`, the name, and what follows.
fn next_variable(text: &str) -> Option<(&str, &str, &str)> {
    let dollars = text.match_indices('$').map(|(at, _)| at);
    dollars.into_iter().find_map(|at| {
        let (name, length) = variable_at(&text[at..])?;
        Some((&text[..at], name, &text[at + length..]))
    })
}

/// The name at a dollar sign, and the length of the whole reference.
fn variable_at(text: &str) -> Option<(&str, usize)> {
    if let Some(braced) = text.strip_prefix("${context.") {
        let (name, _) = braced.split_once('}')?;
        let valid = !name.is_empty() && name.bytes().all(is_name_byte);
        return valid.then_some((name, "${context.}".len() + name.len()));
    }
    let rest = text.strip_prefix("$context.")?;
    let end = rest.bytes().position(|byte| !is_name_byte(byte)).unwrap_or(rest.len());
    // A dot at the end is the sentence's.
    let name = rest[..end].trim_end_matches(['.', '-']);
    (!name.is_empty()).then_some((name, "$context.".len() + name.len()))
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// A reference that works in mapping templates but not in access logs.
fn foreign_reference(text: &str) -> Option<&'static str> {
    ["$input", "$util", "$stageVariables"].into_iter().find(|name| text.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(api: LogApi, text: &str) -> String {
        AccessLogFormat::new(api, text).unwrap_err().problem().to_owned()
    }

    #[test]
    fn the_rules_are_told_in_awss_words() {
        use LogApi::{Http, Rest};
        assert_eq!(problem(Rest, " "), "Access Log value must not be empty");
        assert_eq!(
            problem(Rest, "$context.requestId\nx"),
            "Access Log format must be single line, new line character is allowed only at end of the format: '$context.requestId\nx'"
        );
        for ends in ["$context.requestId\n\n", "$context.requestId\r", "$context.requestId\n\r\n"] {
            assert!(problem(Rest, ends).contains("must be single line, new line"), "{ends:?}");
        }
        assert!(AccessLogFormat::new(Rest, "$context.requestId\r\n").unwrap().ends_line());
        let prefix = "The following errors are found in Access Log Format: ";
        assert_eq!(
            problem(Http, "$context.requestId\n"),
            format!("{prefix}Access Log format must be single line: '$context.requestId\n'")
        );
        assert_eq!(
            problem(Http, "$context.status"),
            format!(
                "{prefix}Access Log format must include either $context.requestId or $context.extendedRequestId : '$context.status'"
            )
        );
        assert_eq!(
            problem(Http, "$context.requestId $context.resourceId $context.resourcePath ${context.nope}"),
            "The following context variables are not supported: [$context.resourceId, $context.resourcePath, $context.nope]"
        );
        assert!(problem(Rest, "$context.requestId $input.body").contains("not $input"));
        assert!(problem(Rest, &format!("$context.requestId{}", "x".repeat(3 * 1024))).contains("3 KB"));
        assert!(AccessLogFormat::new(Rest, "$context.requestId $context.nope\n").unwrap().ends_line());
    }

    #[test]
    fn an_object_has_keys_and_names_that_make_json() {
        let refused = |key, name| {
            let error = AccessLogFormat::json_object([("id", "requestId"), (key, name)]).unwrap_err();
            error.value().to_owned()
        };
        for name in ["$context.status", "identity source", "", "status,", "status.", "a\"b", "status}"] {
            assert_eq!(refused("key", name), name);
        }
        assert_eq!(refused("$context.status", "status"), "$context.status");
        let odd = AccessLogFormat::json_object([("a\"b", "requestId")]).unwrap();
        assert_eq!(odd.as_str(), r#"{"a\"b":$context.requestId}"#);
    }

    #[test]
    fn text_and_variables_in_turn() {
        let format =
            AccessLogFormat::compile("a $context.stage. ${context.path}$ $context. $x", Escaping::Quoted);
        let literal = |text: &str| Segment::Literal(text.into());
        let variable = |name| Segment::Variable(Field::new(name, false));
        let wanted =
            [literal("a "), variable("stage"), literal(". "), variable("path"), literal("$ $context. $x")];
        assert_eq!(format.segments, wanted);
    }

    #[test]
    fn every_preset_passes_its_own_rules() {
        for api in [LogApi::Rest, LogApi::Http] {
            for preset in [
                super::super::LogPreset::Clf,
                super::super::LogPreset::Json,
                super::super::LogPreset::Xml,
                super::super::LogPreset::Csv,
            ] {
                let format = AccessLogFormat::preset(api, preset);
                assert_eq!(format.problem(api, format.as_str()), None, "{api:?} {preset:?}");
            }
        }
    }
}
