//! Who signed the request: `$context.identity.*` of an IAM caller.

use super::Principal;
#[cfg(feature = "sigv4")]
use crate::error::ConfigError;
use std::{any::Any, ops::Deref, sync::Arc};

/// What is known of an IAM caller. As a value of its own it proves nothing; [`CallerIdentity`] does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    pub(crate) access_key: String,
    pub(crate) arn: String,
    pub(crate) account_id: String,
    pub(crate) kind: CallerKind,
    pub(crate) user_id: String,
    /// Of IAM users only.
    pub(crate) user_name: Option<String>,
    /// `aws:PrincipalArn`: of an assumed role the role's.
    pub(crate) principal_arn: String,
    pub(crate) org_id: Option<String>,
    pub(crate) org_paths: Vec<String>,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) issued_at: Option<i64>,
    pub(crate) mfa_at: Option<i64>,
    pub(crate) cognito_identity_id: Option<String>,
    pub(crate) cognito_identity_pool_id: Option<String>,
    pub(crate) cognito_authentication_type: Option<String>,
    pub(crate) cognito_authentication_provider: Option<String>,
}

/// What kind of caller an ARN names (`aws:PrincipalType`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallerKind {
    /// `arn:aws:iam::111122223333:user/ada`
    #[default]
    User,
    /// `arn:aws:iam::111122223333:root`
    Account,
    /// `arn:aws:sts::111122223333:assumed-role/role/session`
    AssumedRole,
    /// `arn:aws:sts::111122223333:federated-user/ada`
    FederatedUser,
}

impl CallerKind {
    /// The value of `aws:PrincipalType`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Account => "Account",
            Self::AssumedRole => "AssumedRole",
            Self::FederatedUser => "FederatedUser",
        }
    }
}

impl Caller {
    /// `$context.identity.accessKey`: the access key id.
    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    /// `$context.identity.accountId`.
    pub fn account_id(&self) -> &str {
        &self.account_id
    }

    /// `$context.identity.userArn`; of an assumed role the session's.
    pub fn user_arn(&self) -> &str {
        &self.arn
    }

    /// `$context.identity.user` and `$context.identity.caller`: the unique id, of an assumed role with `:session`.
    pub fn user(&self) -> &str {
        &self.user_id
    }

    /// The name of an IAM user (`aws:username`).
    pub fn user_name(&self) -> Option<&str> {
        self.user_name.as_deref()
    }

    /// What kind of caller it is.
    pub fn kind(&self) -> CallerKind {
        self.kind
    }

    /// `$context.identity.principalOrgId`.
    pub fn principal_org_id(&self) -> Option<&str> {
        self.org_id.as_deref()
    }

    /// The tags that `aws:PrincipalTag/<key>` stands for.
    pub fn tags(&self) -> &[(String, String)] {
        &self.tags
    }

    /// A field of `$context.identity`.
    pub(super) fn variable(&self, field: &str) -> Option<&str> {
        match field {
            "accessKey" => Some(&self.access_key),
            "accountId" => Some(&self.account_id),
            "caller" | "user" => Some(&self.user_id),
            "userArn" => Some(&self.arn),
            "principalOrgId" => self.org_id.as_deref(),
            "cognitoIdentityId" => self.cognito_identity_id.as_deref(),
            "cognitoIdentityPoolId" => self.cognito_identity_pool_id.as_deref(),
            "cognitoAuthenticationType" => self.cognito_authentication_type.as_deref(),
            "cognitoAuthenticationProvider" => self.cognito_authentication_provider.as_deref(),
            _ => None,
        }
    }

    /// Fills what the ARN says: account, kind, name, and the ids that have none of their own.
    #[cfg(feature = "sigv4")]
    pub(crate) fn read_arn(&mut self) -> Result<(), ConfigError> {
        let arn = std::mem::take(&mut self.arn);
        let problem = "is no ARN of a user, root, assumed role session or federated user";
        let found = parse_arn(&arn).ok_or_else(|| ConfigError::new("caller ARN", &arn, problem))?;
        self.account_id = found.account.to_owned();
        self.kind = found.kind;
        self.user_name = (found.kind == CallerKind::User).then(|| found.name.to_owned());
        if self.user_id.is_empty() {
            found.name.clone_into(&mut self.user_id);
        }
        self.principal_arn = match found.role {
            Some(role) => format!("arn:{}:iam::{}:role/{role}", found.partition, found.account),
            None => arn.clone(),
        };
        self.arn = arn;
        Ok(())
    }
}

#[cfg(feature = "sigv4")]
struct ParsedArn<'a> {
    partition: &'a str,
    account: &'a str,
    kind: CallerKind,
    name: &'a str,
    role: Option<&'a str>,
}

#[cfg(feature = "sigv4")]
fn parse_arn(arn: &str) -> Option<ParsedArn<'_>> {
    let mut parts = arn.strip_prefix("arn:")?.splitn(5, ':');
    let (partition, service, region) = (parts.next()?, parts.next()?, parts.next()?);
    let (account, resource) = (parts.next()?, parts.next()?);
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    if partition.is_empty() || !region.is_empty() || !is_account {
        return None;
    }
    let (kind, name, role) = match (service, resource.split_once('/')) {
        ("iam", None) if resource == "root" => (CallerKind::Account, account, None),
        ("iam", Some(("user", path))) => (CallerKind::User, path.rsplit('/').next()?, None),
        ("sts", Some(("federated-user", name))) => (CallerKind::FederatedUser, name, None),
        ("sts", Some(("assumed-role", rest))) => {
            let (role, session) = rest.split_once('/')?;
            (CallerKind::AssumedRole, session, Some(role).filter(|role| !role.is_empty()))
        }
        _ => return None,
    };
    let lacks_role = kind == CallerKind::AssumedRole && role.is_none();
    (!name.is_empty() && !lacks_role).then_some(ParsedArn { partition, account, kind, name, role })
}

/// The caller whose signature [`SigV4AuthLayer`](crate::sigv4) has verified. A proof: it cannot be built outside this
/// crate. A clone is a reference count.
///
/// ```compile_fail
/// fn forge(caller: tower_gateway::context::Caller) -> tower_gateway::context::CallerIdentity {
///     tower_gateway::context::CallerIdentity::new(caller)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct CallerIdentity(Arc<Proven>);

#[derive(Debug)]
struct Proven {
    caller: Caller,
    /// By the ARN.
    principal: Principal,
    /// What the layer that proved it knows of the caller's rights: its own, and opaque to everybody else.
    #[cfg_attr(not(feature = "sigv4"), allow(dead_code, reason = "read by the layer that wrote it"))]
    rights: Box<dyn Any + Send + Sync>,
}

impl CallerIdentity {
    #[cfg(feature = "sigv4")]
    pub(crate) fn new(caller: Caller, rights: impl Any + Send + Sync) -> Self {
        let principal = Principal::new(caller.arn.as_str());
        Self(Arc::new(Proven { caller, principal, rights: Box::new(rights) }))
    }

    #[cfg(feature = "sigv4")]
    pub(crate) fn rights<T: Any>(&self) -> Option<&T> {
        self.0.rights.downcast_ref()
    }

    pub(super) fn principal(&self) -> &Principal {
        &self.0.principal
    }

    /// The same without the proof.
    pub fn caller(&self) -> &Caller {
        &self.0.caller
    }
}

impl Deref for CallerIdentity {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.0.caller
    }
}

#[cfg(all(test, feature = "sigv4"))]
mod tests {
    use super::*;

    fn read(arn: &str) -> Option<Caller> {
        let mut caller = Caller { arn: arn.to_owned(), ..Caller::default() };
        caller.read_arn().ok().map(|()| caller)
    }

    #[test]
    fn four_kinds_of_callers() {
        let user = read("arn:aws:iam::111122223333:user/staff/ada").unwrap();
        assert_eq!((user.kind().as_str(), user.user(), user.user_name()), ("User", "ada", Some("ada")));
        let root = read("arn:aws:iam::111122223333:root").unwrap();
        assert_eq!((root.kind().as_str(), root.user(), root.user_name()), ("Account", "111122223333", None));
        let role = read("arn:aws-cn:sts::111122223333:assumed-role/reader/s1").unwrap();
        assert_eq!(
            (role.kind().as_str(), role.user(), role.account_id()),
            ("AssumedRole", "s1", "111122223333")
        );
        assert_eq!(role.principal_arn, "arn:aws-cn:iam::111122223333:role/reader");
        assert!(read("arn:aws:sts::111122223333:federated-user/ada").is_some());
    }

    #[test]
    fn other_arns_name_no_caller() {
        for arn in [
            "",
            "ada",
            "arn:aws:iam::111122223333:role/reader",
            "arn:aws:iam::1111:user/ada",
            "arn:aws:iam::111122223333:user/",
            "arn:aws:iam:us-east-1:111122223333:user/ada",
            "arn:aws:sts::111122223333:assumed-role/reader",
            "arn:aws:sts::111122223333:assumed-role//s1",
            "arn:aws:iam::*:root",
        ] {
            assert!(read(arn).is_none(), "{arn}");
        }
    }
}
