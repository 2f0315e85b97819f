//! The call of the function as an execution log's data trace shows it: what identifies the caller is masked.

use super::{AuthorizerAnswer, AuthorizerEvent, function::Answered, query};
use crate::context::{CallTexts, EndpointTexts, Redact, RequestContext};
use http::Request;
use serde_json::Value;
use std::sync::Arc;

/// Members of events and answers that are masked, whatever the log's own names are: keys, and who the caller is, as in
/// the line that names the principal.
const MASKED: [&str; 3] = ["apiKey", "usageIdentifierKey", "principalId"];

/// The redaction of the log that wants the call, if one does.
fn redaction(event: &AuthorizerEvent) -> Option<&Arc<dyn Redact>> {
    let record = event.request_context().execution().filter(|record| record.traces_data())?;
    Some(record.redact())
}

/// A function behind HTTP is about to be called.
pub(super) fn called<B>(event: &AuthorizerEvent, request: &Request<B>) {
    let Some(redact) = redaction(event) else { return };
    let uri = request.uri();
    let base = uri.to_string();
    let base = redact.path(base.split('?').next().unwrap_or_default(), event.request_context());
    let uri = redact.target(&base, uri.query());
    event.notes().called(EndpointTexts { uri, headers: redact.headers(request.headers()) });
}

/// The call that is over, where it is traced.
pub(super) fn texts(event: &AuthorizerEvent, answered: &Answered) -> Option<CallTexts> {
    let redact = redaction(event)?;
    let identity: Vec<&str> = event.identity().collect();
    let identity = format!(",{},", identity.join(","));
    let redactor = Redactor { redact: &**redact, context: event.request_context(), identity };
    let answer = answered.as_ref().ok().map(|answer| match answer.shown() {
        Some(shown) => redactor.text(shown),
        // Without names nobody knows what of it is secret.
        None => "[Not JSON]".to_owned(),
    });
    Some(CallTexts { endpoint: event.notes().take_endpoint(), event: redactor.text(event.shown()), answer })
}

/// Masks what stands in a document under a secret's name, and the caller's credentials wherever they stand.
struct Redactor<'a> {
    redact: &'a dyn Redact,
    context: &'a RequestContext,
    /// All values of all sources, with a comma before and behind each.
    identity: String,
}

impl Redactor<'_> {
    fn text(&self, mut value: Value) -> String {
        self.redact_value(&mut value, false);
        self.redact.cut(value.to_string())
    }

    fn redact_value(&self, value: &mut Value, secret: bool) {
        match value {
            Value::String(text) if secret || self.identifies(text) => *text = self.redact.mask(text),
            // Paths and ARNs hold the variables of the path, under whatever name: so do policies that an answer makes.
            Value::String(text) => *text = self.redact.path(text, self.context),
            Value::Array(items) => items.iter_mut().for_each(|item| self.redact_value(item, secret)),
            Value::Object(members) => {
                for (name, member) in members {
                    self.redact_member(name, member, secret);
                }
            }
            number if secret && number.is_number() => *number = self.redact.mask(&number.to_string()).into(),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn redact_member(&self, name: &str, member: &mut Value, secret: bool) {
        match member {
            Value::String(query) if name == "rawQueryString" => *query = self.query(query),
            _ => self.redact_value(member, secret || MASKED.contains(&name) || self.redact.masks(name)),
        }
    }

    /// Without the values that identify the caller, whatever their names, and those of secrets' names.
    fn query(&self, query: &str) -> String {
        let masked = |pair: &str| {
            let (_, value) = query::pairs(Some(pair)).next()?;
            let (name, sent) = pair.split_once('=')?;
            let identifies = self.identifies(&String::from_utf8_lossy(&value));
            identifies.then(|| format!("{name}={}", self.redact.mask(sent)))
        };
        let pairs = query.split('&').map(|pair| masked(pair).unwrap_or_else(|| pair.to_owned()));
        let query = pairs.collect::<Vec<_>>().join("&");
        self.redact.target("", Some(&query)).trim_start_matches('?').to_owned()
    }

    /// Whether it is one of the values, or some of them joined.
    fn identifies(&self, text: &str) -> bool {
        !text.is_empty() && self.identity.contains(&format!(",{text},"))
    }
}

impl AuthorizerAnswer {
    /// The answer as a document; `None` where it is none.
    fn shown(&self) -> Option<Value> {
        let mut shown = self.body_value()?;
        let members = shown.as_object_mut()?;
        if let Some(key) = self.key() {
            members.insert("usageIdentifierKey".to_owned(), key.into());
        }
        for (name, value) in self.added() {
            let value = serde_json::from_str(&value.to_json()).unwrap_or(Value::Null);
            members.entry("context").or_insert_with(|| Value::Object(Default::default()))[name] = value;
        }
        Some(shown)
    }
}
