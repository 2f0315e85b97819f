//! What an authorizer established of the caller: `$context.authorizer`.

#[cfg(feature = "jwt")]
use super::claims::{ClaimStyle, Claims};
use super::{Principal, RequestContext};
use crate::response::json_string;
use http::HeaderName;
use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, OnceLock},
};

/// What an authorizer (Lambda-style, JWT or Cognito) established of the caller. A proof, like
/// [`Principal`](super::Principal): only an authorizer of this crate can make one.
///
/// ```compile_fail
/// let forged = tower_gateway::context::AuthorizerContext::new(Some("root".into()));
/// ```
///
/// `Debug` shows names, not values: a context may hold what a client must not see.
#[derive(Clone, Default)]
pub struct AuthorizerContext {
    principal: Option<Principal>,
    #[cfg_attr(not(feature = "cache"), allow(dead_code, reason = "read by the cache"))]
    known_by: Option<Arc<KnownBy>>,
    values: Entries,
    claims: OnceLock<Entries>,
    scopes: OnceLock<Box<[Box<str>]>>,
    /// What claims and scopes are read from when somebody asks: most requests ask for neither.
    #[cfg(feature = "jwt")]
    token: Option<(Claims, ClaimStyle)>,
}

/// What an authorizer reads of a request: its identity sources.
#[derive(Debug, Default)]
#[cfg_attr(
    not(all(feature = "authorizer", feature = "cache")),
    allow(dead_code, reason = "written by one, read by the other")
)]
pub(crate) struct KnownBy {
    pub(crate) headers: Box<[HeaderName]>,
    pub(crate) parameters: Box<[Box<str>]>,
    /// It goes by something that stands neither in a field nor in the query.
    pub(crate) others: bool,
}

#[cfg(feature = "cache")]
impl KnownBy {
    /// Whether it has no source at all: its function goes by whatever it likes.
    pub(crate) fn is_unsaid(&self) -> bool {
        !self.others && self.headers.is_empty() && self.parameters.is_empty()
    }
}

/// Names and values, in their order.
type Entries = Box<[(Box<str>, AuthorizerValue)]>;

/// One value of an authorizer's context or one claim: its text and its JSON form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizerValue {
    text: Box<str>,
    /// Otherwise the text is JSON as it stands: a number, `true`, an array.
    is_string: bool,
}

impl AuthorizerValue {
    /// A JSON string.
    pub(crate) fn string(text: impl Into<Box<str>>) -> Self {
        Self { text: text.into(), is_string: true }
    }

    /// Any other JSON value, given as its JSON text.
    pub(crate) fn json(text: impl Into<Box<str>>) -> Self {
        Self { text: text.into(), is_string: false }
    }

    #[cfg(all(feature = "redis", feature = "authorizer"))]
    pub(crate) fn is_string(&self) -> bool {
        self.is_string
    }

    /// The text that `$context.authorizer.<key>` shows: `value`, `1`, `true`; arrays and maps as JSON.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The value as JSON, of its own type: `"value"`, `1`, `true`.
    pub fn to_json(&self) -> Cow<'_, str> {
        if self.is_string { json_string(&self.text).into() } else { Cow::Borrowed(&self.text) }
    }
}

impl From<&str> for AuthorizerValue {
    fn from(text: &str) -> Self {
        Self::string(text)
    }
}

impl From<String> for AuthorizerValue {
    fn from(text: String) -> Self {
        Self::string(text)
    }
}

impl From<bool> for AuthorizerValue {
    fn from(flag: bool) -> Self {
        Self::json(flag.to_string())
    }
}

impl From<i32> for AuthorizerValue {
    fn from(number: i32) -> Self {
        Self::json(number.to_string())
    }
}

impl From<i64> for AuthorizerValue {
    fn from(number: i64) -> Self {
        Self::json(number.to_string())
    }
}

impl From<u64> for AuthorizerValue {
    fn from(number: u64) -> Self {
        Self::json(number.to_string())
    }
}

impl AuthorizerContext {
    #[cfg(any(feature = "authorizer", test))]
    pub(crate) fn new(principal_id: Option<&str>) -> Self {
        Self { principal: principal_id.map(Principal::new), ..Self::default() }
    }

    /// By what the caller was known.
    #[cfg(feature = "authorizer")]
    pub(crate) fn set_known_by(&mut self, known_by: &Arc<KnownBy>) {
        self.known_by = Some(Arc::clone(known_by));
    }

    /// The `context` of a Lambda-style answer.
    #[cfg(any(feature = "authorizer", test))]
    pub(crate) fn with_values(mut self, values: Vec<(Box<str>, AuthorizerValue)>) -> Self {
        self.values = values.into();
        self
    }

    /// Claims and scopes without a token.
    #[cfg(test)]
    fn with_claims(mut self, claims: Vec<(Box<str>, AuthorizerValue)>, scopes: Vec<Box<str>>) -> Self {
        self.claims = OnceLock::from(claims.into_boxed_slice());
        self.scopes = OnceLock::from(scopes.into_boxed_slice());
        self
    }

    /// A verified token of an issuer.
    #[cfg(feature = "jwt")]
    pub(crate) fn of_token(claims: Claims, issuer: &Arc<str>, style: ClaimStyle) -> Self {
        let principal = claims.string("sub").map(|subject| Principal::of_issuer(&subject, issuer));
        Self { principal, token: Some((claims, style)), ..Self::default() }
    }
}

impl AuthorizerContext {
    /// `$context.authorizer.principalId`; none for a token without a subject.
    pub fn principal_id(&self) -> Option<&str> {
        self.principal.as_ref().map(Principal::id)
    }

    pub(super) fn principal(&self) -> Option<&Principal> {
        self.principal.as_ref()
    }

    /// By what the caller was known, as far as the authorizer says.
    #[cfg(feature = "cache")]
    pub(crate) fn known_by(&self) -> Option<&KnownBy> {
        self.known_by.as_deref()
    }

    /// `$context.authorizer.<name>`: a value of a Lambda-style authorizer's context.
    pub fn value(&self, name: &str) -> Option<&AuthorizerValue> {
        find(&self.values, name)
    }

    /// Names and values of a Lambda-style authorizer's context, in the order of their names.
    pub fn values(&self) -> impl Iterator<Item = (&str, &AuthorizerValue)> {
        self.values.iter().map(|(name, value)| (&**name, value))
    }

    /// `$context.authorizer.claims.<name>`: a claim of the token.
    pub fn claim(&self, name: &str) -> Option<&AuthorizerValue> {
        find(self.all_claims(), name)
    }

    /// Names and values of the token's claims; empty for a Lambda-style authorizer.
    pub fn claims(&self) -> impl Iterator<Item = (&str, &AuthorizerValue)> {
        self.all_claims().iter().map(|(name, value)| (&**name, value))
    }

    /// Scopes of the token.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.scopes.get_or_init(|| self.token_scopes()).iter().map(|scope| &**scope)
    }

    /// The claims as the token carried them, with their types; `None` for a Lambda-style authorizer.
    #[cfg(feature = "jwt")]
    pub fn token_claims(&self) -> Option<&Claims> {
        self.token.as_ref().map(|(claims, _)| claims)
    }

    /// Whether it was read from a token here, and not answered by a function.
    #[cfg(feature = "jwt")]
    pub(super) fn is_of_token(&self) -> bool {
        self.token.is_some()
    }

    #[cfg(not(feature = "jwt"))]
    pub(super) fn is_of_token(&self) -> bool {
        false
    }

    fn all_claims(&self) -> &[(Box<str>, AuthorizerValue)] {
        self.claims.get_or_init(|| self.claim_texts())
    }

    #[cfg(feature = "jwt")]
    fn claim_texts(&self) -> Entries {
        let Some((claims, style)) = &self.token else { return Box::default() };
        let text = |(name, value): (Cow<'_, str>, &str)| {
            let text = AuthorizerValue::string(style.render(&name, value));
            (name.into(), text)
        };
        claims.iter().map(text).collect()
    }

    #[cfg(not(feature = "jwt"))]
    fn claim_texts(&self) -> Entries {
        Box::default()
    }

    #[cfg(feature = "jwt")]
    fn token_scopes(&self) -> Box<[Box<str>]> {
        let scopes = self.token.as_ref().map(|(claims, _)| claims.scopes()).unwrap_or_default();
        scopes.into_iter().map(String::into_boxed_str).collect()
    }

    #[cfg(not(feature = "jwt"))]
    fn token_scopes(&self) -> Box<[Box<str>]> {
        Box::default()
    }
}

fn find<'a>(entries: &'a [(Box<str>, AuthorizerValue)], name: &str) -> Option<&'a AuthorizerValue> {
    entries.iter().find(|(own, _)| **own == *name).map(|(_, value)| value)
}

impl fmt::Debug for AuthorizerContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |entries: &[(Box<str>, AuthorizerValue)]| -> Vec<String> {
            entries.iter().map(|(name, _)| name.to_string()).collect()
        };
        f.debug_struct("AuthorizerContext")
            .field("principal_id", &self.principal_id())
            .field("values", &names(&self.values))
            .field("claims", &names(self.all_claims()))
            .finish_non_exhaustive()
    }
}

impl RequestContext {
    /// What the authorizer established; `None` while none has answered. It is there, too, for a caller whom the
    /// authorizer's policy then denies: for gateway responses and logs.
    pub fn authorizer(&self) -> Option<&AuthorizerContext> {
        let own = self.0.authorizer.get().map(|established| &**established);
        own.or_else(|| self.outer()?.authorizer())
    }

    /// Notes what an authorizer established, and its principal. The first writer wins.
    #[cfg(any(feature = "authorizer", test))]
    pub(crate) fn set_authorizer(&self, established: &Arc<AuthorizerContext>) {
        self.keep_principal();
        let _first_writer_wins = self.0.authorizer.set(Arc::clone(established));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::ContextConfig;

    fn context() -> RequestContext {
        ContextConfig::default().find_or_create(&mut http::Request::new(()))
    }

    fn established(principal: &str, plan: &str) -> Arc<AuthorizerContext> {
        let values = vec![
            ("plan".into(), AuthorizerValue::string(plan)),
            ("seats".into(), AuthorizerValue::json("7")),
            ("principalId".into(), AuthorizerValue::string("forged")),
        ];
        let claims = vec![("email".into(), AuthorizerValue::string(format!("{principal}@example.com")))];
        let context = AuthorizerContext::new(Some(principal)).with_values(values);
        Arc::new(context.with_claims(claims, vec!["read".into()]))
    }

    #[test]
    fn two_callers_have_their_own_variables_and_the_first_writer_wins() {
        for (principal, plan) in [("ada", "gold"), ("bob", "say \"basic\"")] {
            let context = context();
            assert_eq!(context.variable("authorizer.principalId"), None);
            context.set_authorizer(&established(principal, plan));
            context.set_authorizer(&established("eve", "none"));
            let variable = |name: &str| context.variable(name).map(Cow::into_owned);
            assert_eq!(variable("authorizer.principalId").as_deref(), Some(principal));
            assert_eq!(variable("authorizer.plan").as_deref(), Some(plan));
            assert_eq!(variable("authorizer.seats").as_deref(), Some("7"));
            assert_eq!(variable("authorizer.claims.email"), Some(format!("{principal}@example.com")));
            assert_eq!(variable("authorizer.claims"), None);
            assert_eq!(variable("authorizer.integrationLatency").as_deref(), Some("0"));
            assert_eq!(context.principal().unwrap().id(), principal);
        }
    }

    #[test]
    fn the_principal_is_who_was_named_first() {
        let principal = |id: &str| Principal::new(id);
        let id = |context: &RequestContext| context.principal().map(|principal| principal.id().to_owned());
        let first = context();
        first.set_principal(principal("own"));
        first.set_authorizer(&established("ada", "gold"));
        assert_eq!(id(&first).as_deref(), Some("own"));
        let last = context();
        last.set_authorizer(&established("ada", "gold"));
        last.set_principal(principal("own"));
        assert_eq!(id(&last).as_deref(), Some("ada"));
        let unnamed = context();
        unnamed.set_authorizer(&Arc::new(AuthorizerContext::new(None)));
        assert_eq!(id(&unnamed), None);
        unnamed.set_principal(principal("own"));
        assert_eq!(id(&unnamed).as_deref(), Some("own"));
    }

    #[test]
    #[cfg(feature = "sigv4")]
    fn a_signature_names_a_principal_before_an_authorizer_does() {
        let caller = || {
            let arn = "arn:aws:iam::111122223333:user/ada".to_owned();
            super::super::CallerIdentity::new(super::super::Caller { arn, ..Default::default() }, ())
        };
        let context = context();
        context.set_caller(caller());
        context.set_authorizer(&established("bob", "gold"));
        assert_eq!(context.principal().map(Principal::id), Some("arn:aws:iam::111122223333:user/ada"));
    }

    #[test]
    fn json_keeps_the_type_and_debug_no_values() {
        assert_eq!(AuthorizerValue::string("a\"b").to_json(), r#""a\"b""#);
        assert_eq!(AuthorizerValue::json("[1]").to_json(), "[1]");
        let text = format!("{:?}", established("ada", "gold"));
        assert!(text.contains("ada") && text.contains("plan") && !text.contains("gold"), "{text}");
    }
}
