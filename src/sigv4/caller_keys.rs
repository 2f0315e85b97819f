//! The condition keys of a signed caller.

use super::permissions::Subject;
use crate::{
    context::Caller,
    policy::{ConditionKey, ConditionKeys, ConditionValue},
};

/// What policies may ask about the caller; everything is borrowed.
pub(super) struct CallerKeys<'a> {
    pub(super) subject: Subject<'a>,
    /// Seconds since 1970.
    pub(super) now: i64,
}

impl ConditionKeys for CallerKeys<'_> {
    fn value<'a>(&'a self, key: &ConditionKey) -> Option<ConditionValue<'a>> {
        let caller = self.subject.caller;
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
}

impl CallerKeys<'_> {
    /// Of temporary credentials only.
    fn of_session(&self, key: &ConditionKey) -> Option<ConditionValue<'_>> {
        let caller = Some(self.subject.caller).filter(|_| self.subject.grants.is_temporary)?;
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
