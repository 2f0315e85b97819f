//! Names of condition keys, recognised once when a policy is compiled.

use std::fmt;

/// A condition key as a policy names it. Names are case-insensitive; the global keys that exist around `execute-api`
/// are variants of their own, so that a provider answers with a `match` and compares no text per request.
///
/// AWS: "AWS condition keys that can be used in API Gateway resource policies" and "AWS global condition context
/// keys".
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConditionKey {
    /// `aws:CurrentTime`
    CurrentTime,
    /// `aws:EpochTime`
    EpochTime,
    /// `aws:Referer`
    Referer,
    /// `aws:UserAgent`
    UserAgent,
    /// `aws:SecureTransport`
    SecureTransport,
    /// `aws:SourceIp`
    SourceIp,
    /// `aws:VpcSourceIp`
    VpcSourceIp,
    /// `aws:SourceVpc`
    SourceVpc,
    /// `aws:SourceVpce`
    SourceVpce,
    /// `aws:SourceArn`
    SourceArn,
    /// `aws:PrincipalAccount`
    PrincipalAccount,
    /// `aws:PrincipalArn`
    PrincipalArn,
    /// `aws:PrincipalType`
    PrincipalType,
    /// `aws:PrincipalOrgID`
    PrincipalOrgId,
    /// `aws:PrincipalOrgPaths`
    PrincipalOrgPaths,
    /// `aws:PrincipalTag/<name>`; the name as the policy writes it, to be compared without case.
    PrincipalTag(Box<str>),
    /// `aws:userid`
    UserId,
    /// `aws:username`
    Username,
    /// `aws:TokenIssueTime`
    TokenIssueTime,
    /// `aws:MultiFactorAuthPresent`
    MultiFactorAuthPresent,
    /// `aws:MultiFactorAuthAge`
    MultiFactorAuthAge,
    /// Any other key, as the policy writes it, to be compared without case ([`is`](Self::is)).
    Other(Box<str>),
}

const PRINCIPAL_TAG: &str = "aws:PrincipalTag/";

static GLOBAL: [(&str, ConditionKey); 20] = [
    ("aws:CurrentTime", ConditionKey::CurrentTime),
    ("aws:EpochTime", ConditionKey::EpochTime),
    ("aws:Referer", ConditionKey::Referer),
    ("aws:UserAgent", ConditionKey::UserAgent),
    ("aws:SecureTransport", ConditionKey::SecureTransport),
    ("aws:SourceIp", ConditionKey::SourceIp),
    ("aws:VpcSourceIp", ConditionKey::VpcSourceIp),
    ("aws:SourceVpc", ConditionKey::SourceVpc),
    ("aws:SourceVpce", ConditionKey::SourceVpce),
    ("aws:SourceArn", ConditionKey::SourceArn),
    ("aws:PrincipalAccount", ConditionKey::PrincipalAccount),
    ("aws:PrincipalArn", ConditionKey::PrincipalArn),
    ("aws:PrincipalType", ConditionKey::PrincipalType),
    ("aws:PrincipalOrgID", ConditionKey::PrincipalOrgId),
    ("aws:PrincipalOrgPaths", ConditionKey::PrincipalOrgPaths),
    ("aws:userid", ConditionKey::UserId),
    ("aws:username", ConditionKey::Username),
    ("aws:TokenIssueTime", ConditionKey::TokenIssueTime),
    ("aws:MultiFactorAuthPresent", ConditionKey::MultiFactorAuthPresent),
    ("aws:MultiFactorAuthAge", ConditionKey::MultiFactorAuthAge),
];

impl ConditionKey {
    /// The key of that name, whatever its case.
    pub fn new(name: &str) -> Self {
        if let Some((_, key)) = GLOBAL.iter().find(|(global, _)| global.eq_ignore_ascii_case(name)) {
            return key.clone();
        }
        match name.split_at_checked(PRINCIPAL_TAG.len()) {
            Some((prefix, tag)) if prefix.eq_ignore_ascii_case(PRINCIPAL_TAG) => {
                Self::PrincipalTag(tag.into())
            }
            _ => Self::Other(name.into()),
        }
    }

    /// Whether this is the key of that name, whatever its case.
    pub fn is(&self, name: &str) -> bool {
        match self {
            Self::Other(own) => own.eq_ignore_ascii_case(name),
            Self::PrincipalTag(own) => match name.split_at_checked(PRINCIPAL_TAG.len()) {
                Some((prefix, tag)) => {
                    prefix.eq_ignore_ascii_case(PRINCIPAL_TAG) && own.eq_ignore_ascii_case(tag)
                }
                None => false,
            },
            global => global.global_name().eq_ignore_ascii_case(name),
        }
    }

    fn global_name(&self) -> &'static str {
        GLOBAL.iter().find(|(_, key)| key == self).map_or("", |(name, _)| name)
    }
}

/// The name in AWS's spelling.
impl fmt::Display for ConditionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(name) => f.write_str(name),
            Self::PrincipalTag(name) => write!(f, "{PRINCIPAL_TAG}{name}"),
            global => f.write_str(global.global_name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_case() {
        assert_eq!(ConditionKey::new("AWS:SOURCEIP"), ConditionKey::SourceIp);
        assert_eq!(ConditionKey::new("aws:principaltag/Team"), ConditionKey::PrincipalTag("Team".into()));
        assert!(ConditionKey::new("aws:PrincipalTag/Team").is("AWS:principalTag/tEAM"));
        assert!(!ConditionKey::new("aws:PrincipalTag/Team").is("aws:PrincipalTag/Teams"));
        assert!(ConditionKey::new("my:Key").is("MY:kEY") && !ConditionKey::new("my:Key").is("aws:SourceIp"));
        for (name, key) in &GLOBAL {
            assert!(key.is(&name.to_uppercase()) && key.to_string() == *name);
        }
    }
}
