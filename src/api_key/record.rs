//! The record of a key: what is given to make one, what is kept, and the limits of AWS.

use super::format::{MAX_VALUE, MIN_VALUE, generate_id};
use crate::error::ConfigError;
use std::{collections::BTreeMap, fmt, sync::Arc};

const MAX_NAME: usize = 1024;
const MAX_DESCRIPTION: usize = 125_000;
const MAX_ID: usize = 128;

/// A key to be added. Given to [`ApiKeys::add`](super::ApiKeys::add) or
/// [`ApiKeysBuilder::key`](super::ApiKeysBuilder::key), which check the limits.
///
/// ```
/// use tower_gateway::api_key::ApiKey;
///
/// let key = ApiKey::new("gold-1").name("Acme, production").value("0123456789abcdefghij").tag("team", "pets");
/// assert!(!format!("{key:?}").contains("0123456789abcdefghij"), "the value stays out of Debug");
/// ```
#[derive(Clone)]
#[must_use]
pub struct ApiKey {
    pub(super) id: String,
    pub(super) value: String,
    pub(super) created: Option<i64>,
    pub(super) fields: Fields,
}

/// What a record keeps of the words of its owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) enabled: bool,
    pub(super) customer_id: Option<String>,
    pub(super) tags: BTreeMap<String, String>,
}

impl ApiKey {
    /// A key with this id, enabled, with a generated value. An id is 1 to 128 visible ASCII characters; it is public
    /// (logs and `$context.identity.apiKeyId` show it), so it must not be the value.
    pub fn new(id: impl Into<String>) -> Self {
        let fields = Fields { enabled: true, ..Fields::default() };
        Self { id: id.into(), value: String::new(), created: None, fields }
    }

    /// A key with a random id of 10 characters, as AWS makes them.
    ///
    /// # Errors
    ///
    /// The system gives no random bytes.
    pub fn with_random_id() -> Result<Self, ConfigError> {
        Ok(Self::new(generate_id()?))
    }

    /// The secret: 20 to 128 visible ASCII characters, as random as a password. Default, and where empty: generated.
    pub fn value(mut self, value: impl Into<String>) -> Self {
        self.value = value.into();
        self
    }

    /// A name of at most 1,024 characters; several keys may have the same. Default: none.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.fields.name = name.into();
        self
    }

    /// A description of at most 125,000 characters. Default: none.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.fields.description = description.into();
        self
    }

    /// Whether the key may be used. Default: `true`. (AWS's `CreateApiKey` has the default `false`; its CSV import
    /// has `true`.)
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.fields.enabled = enabled;
        self
    }

    /// The customer's id in the AWS Marketplace, or in your own books. Default, and where empty: none.
    pub fn customer_id(mut self, customer_id: impl Into<String>) -> Self {
        self.fields.customer_id = Some(customer_id.into()).filter(|id| !id.is_empty());
        self
    }

    /// A tag; the last value of a name counts.
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.fields.tags.insert(name.into(), value.into());
        self
    }

    /// When the key was made, in seconds since 1970-01-01T00:00:00Z, for keys that come from elsewhere. Default: the
    /// time at which it is added.
    pub fn created_unix_seconds(mut self, seconds: i64) -> Self {
        self.created = Some(seconds);
        self
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        check_id(&self.id)?;
        check_name(&self.fields.name)?;
        check_description(&self.fields.description)
    }
}

/// Shows the length of the value only.
impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("ApiKey");
        out.field("id", &self.id).field("value_len", &self.value.len()).field("fields", &self.fields);
        out.finish()
    }
}

fn check_id(id: &str) -> Result<(), ConfigError> {
    let visible = id.bytes().all(|byte| byte.is_ascii_graphic());
    if visible && (1..=MAX_ID).contains(&id.len()) {
        return Ok(());
    }
    let shown: String = id.chars().take(MAX_ID).collect();
    Err(ConfigError::new("API key id", shown, INVALID_ID))
}

pub(super) const INVALID_ID: &str = "Invalid API Key identifier specified";
pub(super) const EXISTS: &str = "API Key already exists";

pub(super) fn check_name(name: &str) -> Result<(), ConfigError> {
    let message = "Invalid API Key name, can be at most 1024 characters.";
    check_length("API key name", name, MAX_NAME, message)
}

pub(super) fn check_description(description: &str) -> Result<(), ConfigError> {
    let message = "Invalid API Key description specified.";
    check_length("API key description", description, MAX_DESCRIPTION, message)
}

fn check_length(
    place: &'static str,
    text: &str,
    longest: usize,
    message: &'static str,
) -> Result<(), ConfigError> {
    match text.chars().count() {
        length if length > longest => Err(ConfigError::new(place, format!("{length} characters"), message)),
        _ => Ok(()),
    }
}

/// The limits of a value. The error names the key's id and never the value.
pub(super) fn check_value(id: &str, value: &str) -> Result<(), ConfigError> {
    let length = value.chars().count();
    let problem = if length < MIN_VALUE {
        "API Key value should be at least 20 characters"
    } else if length > MAX_VALUE {
        "API Key value exceeds maximum size of 128 characters"
    } else if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        "the value may hold visible ASCII characters only"
    } else {
        return Ok(());
    };
    Err(value_error(id, problem))
}

pub(super) fn value_error(id: &str, problem: &'static str) -> ConfigError {
    ConfigError::new("value of API key", id, problem)
}

/// What is kept of a key, without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyRecord {
    pub(super) id: Arc<str>,
    pub(super) fields: Fields,
    pub(super) created: i64,
    pub(super) updated: i64,
    pub(super) previous_until: Option<i64>,
}

impl ApiKeyRecord {
    /// The id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The name, if there is one.
    pub fn name(&self) -> Option<&str> {
        Some(&*self.fields.name).filter(|name| !name.is_empty())
    }

    /// The description, if there is one.
    pub fn description(&self) -> Option<&str> {
        Some(&*self.fields.description).filter(|description| !description.is_empty())
    }

    /// Whether the key may be used.
    pub fn enabled(&self) -> bool {
        self.fields.enabled
    }

    /// The customer id, if there is one.
    pub fn customer_id(&self) -> Option<&str> {
        self.fields.customer_id.as_deref()
    }

    /// The tags, by name.
    pub fn tags(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.tags.iter().map(|(name, value)| (&**name, &**value))
    }

    /// When the key was made (`createdDate`), in seconds since 1970-01-01T00:00:00Z.
    pub fn created_unix_seconds(&self) -> i64 {
        self.created
    }

    /// When the record was last changed (`lastUpdatedDate`), in seconds since 1970-01-01T00:00:00Z.
    pub fn updated_unix_seconds(&self) -> i64 {
        self.updated
    }

    /// The first millisecond since 1970-01-01T00:00:00Z at which the value before the last rotation is no longer
    /// valid; `None` if the key was never rotated.
    pub fn previous_value_ends_unix_millis(&self) -> Option<i64> {
        self.previous_until
    }
}

/// Changes to a record, for [`ApiKeys::update`](super::ApiKeys::update). What is not named stays.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct KeyUpdate {
    name: Option<String>,
    description: Option<String>,
    customer_id: Option<String>,
}

impl KeyUpdate {
    /// Changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The new name; empty for none.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The new description; empty for none.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// The new customer id; empty for none.
    pub fn customer_id(mut self, customer_id: impl Into<String>) -> Self {
        self.customer_id = Some(customer_id.into());
        self
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        check_name(self.name.as_deref().unwrap_or_default())?;
        check_description(self.description.as_deref().unwrap_or_default())
    }

    pub(super) fn apply(self, fields: &mut Fields) {
        fields.name = self.name.unwrap_or(std::mem::take(&mut fields.name));
        fields.description = self.description.unwrap_or(std::mem::take(&mut fields.description));
        if let Some(customer_id) = self.customer_id {
            fields.customer_id = Some(customer_id).filter(|id| !id.is_empty());
        }
    }
}

/// A value that was just set, shown this once: only its digest is kept.
#[derive(Clone)]
#[must_use = "the value cannot be read again"]
pub struct NewKey {
    pub(super) id: Arc<str>,
    pub(super) value: String,
}

impl NewKey {
    /// The id of the key.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The secret.
    pub fn expose_value(&self) -> &str {
        &self.value
    }

    /// The secret, without a copy.
    pub fn into_value(self) -> String {
        self.value
    }
}

/// Shows the id only.
impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewKey").field("id", &self.id).finish_non_exhaustive()
    }
}
