//! What an authorizer's function answers, and the one strict reader of it.

use super::{AuthorizerError, event::EventForm, memo::AllowedCalls};
use crate::{
    context::{AuthorizerContext, AuthorizerValue, KnownBy},
    policy::{Policy, check_members},
};
use serde_json::{Map, Value};
use std::{fmt, sync::Arc};

#[cfg(feature = "api-key")]
use crate::api_key::UsageIdentifierKey;

/// Largest answer in bytes. AWS documents 8 KB for WebSocket APIs and nothing for the others; unconfirmed.
pub(super) const MAX_ANSWER: usize = 64 * 1024;

/// The answer of an authorizer's function: a principal and a policy, or a plain yes or no.
///
/// Made by hand or from the JSON of a Lambda function; either is read strictly before it is believed.
///
/// ```
/// use tower_gateway::authorizer::AuthorizerAnswer;
///
/// let answer = AuthorizerAnswer::allow("ada", ["arn:aws:execute-api:*:*:*/prod/GET/*"])
///     .context("plan", "gold")
///     .context("seats", 7)
///     .usage_identifier_key("0123456789abcdefghij");
/// let same = AuthorizerAnswer::from_json(
///     r#"{"principalId": "ada",
///         "policyDocument": {"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
///             "Action": "execute-api:Invoke", "Resource": ["arn:aws:execute-api:*:*:*/prod/GET/*"]}]},
///         "context": {"plan": "gold", "seats": 7}, "usageIdentifierKey": "0123456789abcdefghij"}"#,
/// );
/// # let _ = (answer, same);
/// ```
///
/// `Debug` shows nothing of it: it may hold a key.
#[derive(Clone)]
pub struct AuthorizerAnswer {
    body: Body,
    context: Vec<(Box<str>, AuthorizerValue)>,
    usage_identifier_key: Option<String>,
}

#[derive(Clone)]
enum Body {
    Policy { principal_id: String, document: Vec<u8> },
    Simple(bool),
    Json(Vec<u8>),
}

impl AuthorizerAnswer {
    fn new(body: Body) -> Self {
        Self { body, context: Vec::new(), usage_identifier_key: None }
    }

    /// `principal_id` may call (`execute-api:Invoke`) what the ARN patterns name. A cached answer serves every method
    /// behind the authorizer: patterns with wildcards, or the event's own ARN and a TTL of 0.
    pub fn allow<T: Into<String>>(
        principal_id: impl Into<String>,
        resources: impl IntoIterator<Item = T>,
    ) -> Self {
        Self::statement(principal_id.into(), "Allow", &texts(resources))
    }

    /// `principal_id` may not call what the ARN patterns name.
    pub fn deny<T: Into<String>>(
        principal_id: impl Into<String>,
        resources: impl IntoIterator<Item = T>,
    ) -> Self {
        Self::statement(principal_id.into(), "Deny", &texts(resources))
    }

    fn statement(principal_id: String, effect: &str, resources: &[String]) -> Self {
        let statement =
            serde_json::json!({"Effect": effect, "Action": "execute-api:Invoke", "Resource": resources});
        let document = serde_json::json!({"Version": "2012-10-17", "Statement": [statement]});
        Self::policy(principal_id, document.to_string())
    }

    /// A principal and a policy document in JSON.
    pub fn policy(principal_id: impl Into<String>, document: impl Into<Vec<u8>>) -> Self {
        Self::new(Body::Policy { principal_id: principal_id.into(), document: document.into() })
    }

    /// A simple response (HTTP APIs, payload format 2.0): yes or no, for every route behind the authorizer.
    pub fn simple(is_authorized: bool) -> Self {
        Self::new(Body::Simple(is_authorized))
    }

    /// What a Lambda function returned, not read yet.
    pub fn from_json(json: impl Into<Vec<u8>>) -> Self {
        Self::new(Body::Json(json.into()))
    }

    /// A value for `$context.authorizer.<name>` and the handler. A name given twice makes the answer malformed.
    #[must_use]
    pub fn context(mut self, name: impl Into<String>, value: impl Into<AuthorizerValue>) -> Self {
        self.context.push((name.into().into_boxed_str(), value.into()));
        self
    }

    #[cfg(feature = "tracing")]
    pub(super) fn key(&self) -> Option<&str> {
        self.usage_identifier_key.as_deref()
    }

    /// What was added by hand.
    #[cfg(feature = "tracing")]
    pub(super) fn added(&self) -> impl Iterator<Item = (&str, &AuthorizerValue)> {
        self.context.iter().map(|(name, value)| (&**name, value))
    }

    /// The answer without what was added by hand, not judged.
    #[cfg(feature = "tracing")]
    pub(super) fn body_value(&self) -> Option<Value> {
        let parse = |json: &[u8]| serde_json::from_slice(json).ok();
        match &self.body {
            Body::Policy { principal_id, document } => Some(serde_json::json!({
                "principalId": principal_id,
                "policyDocument": parse(document).unwrap_or(Value::Null),
            })),
            Body::Simple(yes) => Some(serde_json::json!({"isAuthorized": yes})),
            Body::Json(json) if json.len() <= MAX_ANSWER => parse(json),
            Body::Json(_) => None,
        }
    }

    /// The API key value (`usageIdentifierKey`) for an `ApiKeyLayer` whose source is the authorizer.
    #[must_use]
    pub fn usage_identifier_key(mut self, key: impl Into<String>) -> Self {
        self.usage_identifier_key = Some(key.into());
        self
    }
}

fn texts<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Vec<String> {
    texts.into_iter().map(Into::into).collect()
}

impl fmt::Debug for AuthorizerAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthorizerAnswer(..)")
    }
}

/// A well-formed answer: what is cached.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) rule: Rule,
    pub(super) context: Arc<AuthorizerContext>,
    #[cfg(feature = "api-key")]
    pub(super) usage_identifier_key: Option<UsageIdentifierKey>,
    /// Of a policy that looks at ARNs only: calls that it was found to allow.
    pub(super) allowed_calls: Option<AllowedCalls>,
    /// Whether it allows anything at all.
    pub(super) allows: bool,
    /// Whether all that it allows is one method, named without a wildcard.
    pub(super) single_method: bool,
}

impl Grant {
    /// By what the caller was known to the authorizer.
    pub(super) fn known_by(mut self, known_by: &Arc<KnownBy>) -> Self {
        Arc::make_mut(&mut self.context).set_known_by(known_by);
        self
    }
}

/// By what a grant decides about a request.
#[derive(Debug)]
pub(super) enum Rule {
    Policy(Policy),
    Simple(bool),
}

impl Rule {
    fn memo(&self) -> Option<AllowedCalls> {
        match self {
            Self::Policy(policy) if policy.decides_by_resource_alone() => Some(AllowedCalls::default()),
            Self::Policy(_) | Self::Simple(_) => None,
        }
    }
}

/// Which answers are well-formed.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnswerForm {
    pub(super) event: EventForm,
    pub(super) simple_responses: bool,
}

/// Why an answer is malformed.
type Malformed = String;

/// Reads an answer, the same whether it was made by hand or by a Lambda function.
pub(super) fn read(answer: AuthorizerAnswer, form: AnswerForm) -> Result<Grant, AuthorizerError> {
    let draft = match answer.body {
        Body::Json(json) => from_json(&json, form),
        Body::Policy { principal_id, document } => from_policy(principal_id, &document, form),
        Body::Simple(yes) => from_simple(yes, form),
    };
    draft
        .and_then(|draft| draft.finish(answer.context, answer.usage_identifier_key))
        .map_err(AuthorizerError::Malformed)
}

/// An answer that has been read, before what was added by hand.
struct Draft {
    principal_id: Option<String>,
    rule: Rule,
    values: Vec<(Box<str>, AuthorizerValue)>,
    usage_identifier_key: Option<String>,
    allows: bool,
    single_method: bool,
}

impl Draft {
    fn new(principal_id: Option<String>, rule: Rule) -> Self {
        let allows = matches!(rule, Rule::Simple(true));
        Self {
            principal_id,
            rule,
            values: Vec::new(),
            usage_identifier_key: None,
            allows,
            single_method: false,
        }
    }

    fn finish(
        mut self,
        added: Vec<(Box<str>, AuthorizerValue)>,
        key: Option<String>,
    ) -> Result<Grant, Malformed> {
        if let Some(key) = key
            && self.usage_identifier_key.replace(key).is_some()
        {
            return Err("two values of usageIdentifierKey".to_owned());
        }
        self.values.extend(added);
        self.values.sort_by(|one, other| one.0.cmp(&other.0));
        if let Some(pair) = self.values.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(format!("two values of context.{}", pair[0].0));
        }
        let context = AuthorizerContext::new(self.principal_id.as_deref()).with_values(self.values);
        Ok(Grant {
            context: Arc::new(context),
            #[cfg(feature = "api-key")]
            usage_identifier_key: self.usage_identifier_key.as_deref().map(UsageIdentifierKey::new),
            allowed_calls: self.rule.memo(),
            allows: self.allows,
            single_method: self.single_method,
            rule: self.rule,
        })
    }
}

fn from_simple(yes: bool, form: AnswerForm) -> Result<Draft, Malformed> {
    match form.simple_responses {
        true => Ok(Draft::new(None, Rule::Simple(yes))),
        false => Err("a simple response, which is not enabled".to_owned()),
    }
}

fn from_policy(principal_id: String, document: &[u8], form: AnswerForm) -> Result<Draft, Malformed> {
    if form.simple_responses {
        return Err("a policy where simple responses are enabled".to_owned());
    }
    let document = parse(document)?;
    draft_policy(principal_id, &document)
}

fn from_json(json: &[u8], form: AnswerForm) -> Result<Draft, Malformed> {
    let Value::Object(mut members) = parse(json)? else { return Err("not a JSON object".to_owned()) };
    let mut draft = if form.simple_responses { simple(&members)? } else { policy(&mut members)? };
    draft.values = context(members.remove("context"), form.event)?;
    draft.usage_identifier_key = match members.remove("usageIdentifierKey") {
        None | Some(Value::Null) => None,
        Some(Value::String(key)) => Some(key),
        Some(_) => return Err("usageIdentifierKey is not a string".to_owned()),
    };
    Ok(draft)
}

/// The size is looked at first, and members that stand twice before the reader forgets one of them.
fn parse(json: &[u8]) -> Result<Value, Malformed> {
    if json.len() > MAX_ANSWER {
        return Err(format!("longer than {MAX_ANSWER} bytes"));
    }
    check_members(json).map_err(|error| error.to_string())?;
    serde_json::from_slice(json).map_err(|error| error.to_string())
}

fn simple(members: &Map<String, Value>) -> Result<Draft, Malformed> {
    if members.contains_key("policyDocument") {
        return Err("a policy where simple responses are enabled".to_owned());
    }
    let yes = members.get("isAuthorized").and_then(Value::as_bool).ok_or("isAuthorized is not a boolean")?;
    Ok(Draft::new(None, Rule::Simple(yes)))
}

fn policy(members: &mut Map<String, Value>) -> Result<Draft, Malformed> {
    let Some(Value::String(principal_id)) = members.remove("principalId") else {
        return Err("principalId is not a string".to_owned());
    };
    draft_policy(principal_id, members.get("policyDocument").ok_or("no policyDocument")?)
}

fn draft_policy(principal_id: String, document: &Value) -> Result<Draft, Malformed> {
    if principal_id.is_empty() {
        return Err("principalId is empty".to_owned());
    }
    let policy = Policy::identity_from_value(document).map_err(|error| format!("policyDocument: {error}"))?;
    let mut draft = Draft::new(Some(principal_id), Rule::Policy(policy));
    let allowing: Vec<_> = statements(document).filter(|statement| statement["Effect"] == "Allow").collect();
    draft.allows = !allowing.is_empty();
    draft.single_method = names_one_method(&allowing);
    Ok(draft)
}

fn statements(document: &Value) -> impl Iterator<Item = &Value> {
    one_or_many(&document["Statement"])
}

fn one_or_many(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice).iter()
}

/// The classic defect: the policy names only the method that happened to be called first.
fn names_one_method(allowing: &[&Value]) -> bool {
    let mut resources =
        allowing.iter().flat_map(|statement| one_or_many(&statement["Resource"])).map(Value::as_str);
    let Some(Some(first)) = resources.next() else { return false };
    !first.contains(['*', '?']) && resources.all(|resource| resource == Some(first))
}

/// Scalars only, but for payload format 2.0.
fn context(member: Option<Value>, form: EventForm) -> Result<Vec<(Box<str>, AuthorizerValue)>, Malformed> {
    let members = match member {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Object(members)) => members,
        Some(_) => return Err("context is not an object".to_owned()),
    };
    if form == EventForm::Http1 && members.contains_key("claims") {
        return Err("context.claims is reserved".to_owned());
    }
    members.into_iter().map(|(name, value)| Ok((name.as_str().into(), scalar(&name, value, form)?))).collect()
}

fn scalar(name: &str, value: Value, form: EventForm) -> Result<AuthorizerValue, Malformed> {
    match value {
        Value::String(text) => Ok(AuthorizerValue::string(text)),
        Value::Number(_) | Value::Bool(_) => Ok(AuthorizerValue::json(value.to_string())),
        other if form == EventForm::Http2 => Ok(AuthorizerValue::json(other.to_string())),
        _ => Err(format!("context.{name} is neither string, number nor boolean")),
    }
}

#[cfg(feature = "redis")]
mod bytes;
#[cfg(test)]
mod tests;
