//! The claims of a token: its JSON text, and where each claim stands. Values are read when they are asked for.

use super::{
    json_object::{self, MAX_TEXT, Members},
    variables::utc_text,
};
use std::{borrow::Cow, fmt};

/// The claims of a verified token (RFC 7519 section 4).
///
/// A proof: only a verification makes one. `Debug` shows the names of the claims, not their values.
///
/// ```compile_fail
/// let forged = tower_gateway::context::Claims::parse(b"{}".to_vec());
/// ```
#[derive(Clone)]
pub struct Claims {
    json: Box<str>,
    members: Members,
}

impl Claims {
    /// `None` for what is not one JSON object in UTF-8, and where a name stands twice.
    pub(crate) fn parse(payload: Vec<u8>) -> Option<Self> {
        let json = String::from_utf8(payload).ok()?.into_boxed_str();
        let members = (json.len() <= MAX_TEXT).then(|| Members::parse(&json)).flatten()?;
        Some(Self { json, members })
    }

    /// The payload as the token carried it: one JSON object.
    pub fn as_json(&self) -> &str {
        &self.json
    }

    /// The JSON text of a claim's value.
    pub fn json(&self, name: &str) -> Option<&str> {
        self.members.get(&self.json, name)
    }

    /// A claim that is a string.
    pub fn string(&self, name: &str) -> Option<Cow<'_, str>> {
        json_object::string(self.json(name)?)
    }

    /// Every claim: its name and the JSON text of its value, in the order of the token.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'_, str>, &str)> {
        self.members.iter(&self.json)
    }

    /// The token's scopes: `scope`, or `scp` where there is none; a string, taken apart at spaces, or an array of
    /// strings. A claim of another type grants nothing.
    pub fn scopes(&self) -> Vec<String> {
        let mut scopes = Vec::new();
        self.find_scope(|scope| {
            scopes.push(scope.to_owned());
            false
        });
        scopes
    }

    /// Whether the token has at least one of `required`; one of none is not asked for.
    pub(crate) fn has_any_scope<T: AsRef<str>>(&self, required: &[T]) -> bool {
        required.is_empty() || self.find_scope(|scope| required.iter().any(|wanted| wanted.as_ref() == scope))
    }

    /// Shows the scopes to `is_wanted` until it says yes.
    fn find_scope(&self, mut is_wanted: impl FnMut(&str) -> bool) -> bool {
        let Some(value) = self.json("scope").or_else(|| self.json("scp")) else { return false };
        if let Some(text) = json_object::string(value) {
            // Only spaces separate (RFC 6749 section 3.3).
            return text.split(' ').filter(|scope| !scope.is_empty()).any(is_wanted);
        }
        let list: Vec<Cow<'_, str>> = serde_json::from_str(value).unwrap_or_default();
        list.iter().any(|scope| is_wanted(scope))
    }

    /// The value of a claim as `$context.authorizer.claims.<name>` shows it: a text for every type.
    pub fn text(&self, name: &str, style: ClaimStyle) -> Option<Cow<'_, str>> {
        Some(style.render(name, self.json(name)?))
    }

    /// A NumericDate (RFC 7519 section 2); `Err` where the claim is something else.
    pub(crate) fn date(&self, name: &str) -> Result<Option<f64>, NotADate> {
        let Some(value) = self.json(name) else { return Ok(None) };
        serde_json::from_str(value).map(Some).map_err(|_| NotADate)
    }

    /// Whether the claim is, or as an array of strings contains, a text that `is_wanted`.
    pub(crate) fn names_any(&self, name: &str, is_wanted: impl Fn(&str) -> bool) -> bool {
        let Some(value) = self.json(name) else { return false };
        match json_object::string(value) {
            Some(text) => is_wanted(&text),
            None => {
                let list: Vec<Cow<'_, str>> = serde_json::from_str(value).unwrap_or_default();
                list.iter().any(|text| is_wanted(text))
            }
        }
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Claims")?;
        f.debug_set().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

/// A claim that should be a NumericDate is something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotADate;

/// How claims that are no strings become text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClaimStyle {
    /// As HTTP APIs hand them on: numbers as they stand, arrays as `[a b]`.
    Http,
    /// As Cognito authorizers of REST APIs do: arrays joined by commas, `exp`, `iat` and `auth_time` as
    /// `Sun Nov 22 12:34:56 UTC 2026`.
    Rest,
}

impl ClaimStyle {
    pub(super) fn render(self, name: &str, value: &str) -> Cow<'static, str> {
        if let Some(text) = json_object::string(value) {
            return text.into_owned().into();
        }
        let is_date = self == Self::Rest && matches!(name, "exp" | "iat" | "auth_time");
        if let Some(seconds) = value.parse().ok().filter(|_| is_date) {
            return utc_text(seconds).into();
        }
        match serde_json::from_str::<Vec<serde_json::Value>>(value) {
            Ok(list) => self.join(&list).into(),
            Err(_) => value.to_owned().into(),
        }
    }

    fn join(self, list: &[serde_json::Value]) -> String {
        let texts: Vec<String> = list.iter().map(plain).collect();
        match self {
            Self::Http => format!("[{}]", texts.join(" ")),
            Self::Rest => texts.join(","),
        }
    }
}

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(json: &str) -> Claims {
        Claims::parse(json.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn scopes_come_from_scope_or_scp() {
        let has = |json: &str, wanted: &[&str]| claims(json).has_any_scope(wanted);
        for json in [r#"{"scope":"a b"}"#, r#"{"scp":"b a"}"#, r#"{"scp":["x","a"]}"#, r#"{"scope":["a"]}"#] {
            assert!(
                has(json, &["a"]) && has(json, &["z", "a"]) && !has(json, &["z"]) && has(json, &[]),
                "{json}"
            );
        }
        for json in [
            "{}",
            r#"{"scope":"a\tb"}"#,
            r#"{"scope":"ab"}"#,
            r#"{"scope":"A"}"#,
            r#"{"scope":1}"#,
            r#"{"scope":null,"scp":"a"}"#,
            r#"{"scope":["a",1]}"#,
            r#"{"scope":{"a":"a"}}"#,
        ] {
            assert!(!has(json, &["a"]), "{json}");
        }
        assert!(!has(r#"{"scope":" "}"#, &[""]), "an empty scope is none");
        assert_eq!(claims(r#"{"scope":"a  b"}"#).scopes(), ["a", "b"]);
        assert!(claims(r#"{"scope":1}"#).scopes().is_empty());
    }

    #[test]
    fn claims_show_as_text() {
        let claims =
            claims(r#"{"s":"a\"b","n":1800000000.5,"t":true,"l":["a","b",1],"o":{"a":1},"exp":1795350896}"#);
        for (name, http, rest) in [
            ("s", "a\"b", "a\"b"),
            ("n", "1800000000.5", "1800000000.5"),
            ("t", "true", "true"),
            ("l", "[a b 1]", "a,b,1"),
            ("o", r#"{"a":1}"#, r#"{"a":1}"#),
            ("exp", "1795350896", "Sun Nov 22 12:34:56 UTC 2026"),
        ] {
            assert_eq!(claims.text(name, ClaimStyle::Http).as_deref(), Some(http), "{name}");
            assert_eq!(claims.text(name, ClaimStyle::Rest).as_deref(), Some(rest), "{name}");
        }
        assert_eq!(claims.text("x", ClaimStyle::Http), None);
        let shown = format!("{claims:?}");
        assert!(shown.contains("exp") && !shown.contains("1795350896"), "{shown}");
    }

    #[test]
    fn dates_are_numbers() {
        let claims = claims(r#"{"a":1,"b":1.5,"c":"1","d":null,"e":1e400,"f":true}"#);
        assert_eq!(
            (claims.date("a"), claims.date("b"), claims.date("z")),
            (Ok(Some(1.0)), Ok(Some(1.5)), Ok(None))
        );
        for name in ["c", "d", "e", "f"] {
            assert_eq!(claims.date(name), Err(NotADate), "{name}");
        }
    }
}
