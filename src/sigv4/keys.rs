//! The condition keys of a signed request.

use crate::{
    context::{Caller, RequestContext},
    policy::{ConditionKey, ConditionKeys, ConditionValue},
};
use http::{
    HeaderMap, HeaderName,
    header::{REFERER, USER_AGENT},
};

/// What policies may ask about; everything is borrowed.
pub(super) struct RequestKeys<'a> {
    pub(super) caller: &'a Caller,
    /// Whether the credentials are temporary.
    pub(super) is_temporary: bool,
    pub(super) context: &'a RequestContext,
    pub(super) headers: &'a HeaderMap,
    /// Seconds since 1970.
    pub(super) now: i64,
    pub(super) secure_transport: bool,
}

impl ConditionKeys for RequestKeys<'_> {
    fn value<'a>(&'a self, key: &ConditionKey) -> Option<ConditionValue<'a>> {
        match key {
            ConditionKey::CurrentTime => Some(ConditionValue::Time(self.now)),
            ConditionKey::EpochTime => Some(ConditionValue::Integer(self.now)),
            ConditionKey::SecureTransport => Some(ConditionValue::Bool(self.secure_transport)),
            ConditionKey::SourceIp => self.context.source_ip().map(ConditionValue::Ip),
            ConditionKey::UserAgent => self.header(USER_AGENT),
            ConditionKey::Referer => self.header(REFERER),
            other => self.of_caller(other),
        }
    }
}

impl RequestKeys<'_> {
    /// One field that is text. A client that sends two has no value that can be told.
    fn header(&self, name: HeaderName) -> Option<ConditionValue<'_>> {
        let mut fields = self.headers.get_all(name).iter();
        let text = fields.next()?.to_str().ok().filter(|_| fields.next().is_none());
        Some(text.map_or(ConditionValue::Unreadable, ConditionValue::Text))
    }

    fn of_caller(&self, key: &ConditionKey) -> Option<ConditionValue<'_>> {
        let caller = self.caller;
        let text = match key {
            ConditionKey::PrincipalAccount => &caller.account_id,
            ConditionKey::PrincipalArn => &caller.principal_arn,
            ConditionKey::PrincipalType => caller.kind.as_str(),
            ConditionKey::UserId => &caller.user_id,
            ConditionKey::Username => caller.user_name.as_deref()?,
            ConditionKey::PrincipalOrgId => caller.org_id.as_deref()?,
            ConditionKey::PrincipalOrgPaths => return Some(ConditionValue::List(&caller.org_paths)),
            ConditionKey::PrincipalTag(tag) => tag_of(caller, tag)?,
            other => return self.of_session(other),
        };
        Some(ConditionValue::Text(text))
    }

    /// Of temporary credentials only.
    fn of_session(&self, key: &ConditionKey) -> Option<ConditionValue<'_>> {
        let caller = Some(self.caller).filter(|_| self.is_temporary)?;
        match key {
            ConditionKey::TokenIssueTime => caller.issued_at.map(ConditionValue::Time),
            ConditionKey::MultiFactorAuthPresent => Some(ConditionValue::Bool(caller.mfa_at.is_some())),
            ConditionKey::MultiFactorAuthAge => Some(ConditionValue::Integer(self.now - caller.mfa_at?)),
            _ => None,
        }
    }
}

fn tag_of<'a>(caller: &'a Caller, name: &str) -> Option<&'a str> {
    let found = caller.tags.iter().find(|(own, _)| own.eq_ignore_ascii_case(name))?;
    Some(&found.1)
}
