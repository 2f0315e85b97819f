//! What an access key stands for: a secret, a caller, and what the caller may do.

use super::{
    key::{DerivedKeys, Secret},
    permissions::{Grants, Subject},
};
use crate::{
    context::{Caller, CallerIdentity},
    error::ConfigError,
    policy::Policy,
};
use std::{fmt, sync::Arc};

/// An access key with its secret, its caller's identity and its identity policies. A clone is a reference count.
///
/// Signing keys that were derived from the secret are kept in here: a store that answers with clones of one value
/// has them derived once a day, and one that makes a value anew for each look-up each time. A rotation, which makes a
/// new value, drops them with the old one. `Debug` never shows the secret or the token, and both are zeroed in the end.
///
/// ```
/// use tower_gateway::sigv4::Credentials;
///
/// let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// let ada = Credentials::builder("AKIDEXAMPLE", secret, "arn:aws:iam::111122223333:user/ada").build()?;
/// assert_eq!(ada.caller().account_id(), "111122223333");
/// assert!(!format!("{ada:?}").contains("wJalr"));
///
/// let wrong = Credentials::builder("AKIDEXAMPLE", secret, "ada").build();
/// assert_eq!(wrong.unwrap_err().value(), "ada");
/// # Ok::<(), tower_gateway::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Credentials(Arc<Inner>);

struct Inner {
    secret: Secret,
    session_token: Option<Secret>,
    /// Seconds since 1970; of temporary credentials.
    expires_at: Option<i64>,
    caller: CallerIdentity,
    /// In the identity too, for layers inside that ask.
    grants: Arc<Grants>,
    keys: DerivedKeys,
}

impl Credentials {
    /// Starts with what every access key has. `arn` is the caller's: a user, the account's root, an assumed role's
    /// session or a federated user (IAM user guide, "IAM identifiers").
    pub fn builder(
        access_key_id: impl Into<String>,
        secret_access_key: impl Into<String>,
        arn: impl Into<String>,
    ) -> CredentialsBuilder {
        CredentialsBuilder {
            caller: Caller { access_key: access_key_id.into(), arn: arn.into(), ..Caller::default() },
            secret: Secret::new(secret_access_key.into()),
            session_token: None,
            expires_at: None,
            policies: Vec::new(),
        }
    }

    /// The access key id.
    pub fn access_key_id(&self) -> &str {
        self.0.caller.access_key()
    }

    /// Who the caller is once a signature has been verified.
    pub fn caller(&self) -> &Caller {
        self.0.caller.caller()
    }

    pub(super) fn proof(&self) -> &CallerIdentity {
        &self.0.caller
    }

    /// The caller as policies judge it.
    pub(super) fn subject(&self) -> Subject<'_> {
        Subject { caller: self.caller(), grants: &self.0.grants }
    }

    pub(super) fn secret(&self) -> &Secret {
        &self.0.secret
    }

    pub(super) fn keys(&self) -> &DerivedKeys {
        &self.0.keys
    }

    pub(super) fn session_token(&self) -> Option<&Secret> {
        self.0.session_token.as_ref()
    }

    /// The first second at which temporary credentials are no longer valid.
    pub(super) fn expires_at(&self) -> Option<i64> {
        self.0.expires_at
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Credentials");
        out.field("caller", self.caller()).field("expires_at", &self.0.expires_at).finish_non_exhaustive()
    }
}

/// Collects [`Credentials`].
#[derive(Debug)]
pub struct CredentialsBuilder {
    caller: Caller,
    secret: Secret,
    session_token: Option<Secret>,
    expires_at: Option<i64>,
    policies: Vec<Policy>,
}

impl CredentialsBuilder {
    fn caller(mut self, change: impl FnOnce(&mut Caller)) -> Self {
        change(&mut self.caller);
        self
    }

    /// `$context.identity.user` and `caller`: the unique id, `AIDA...`, or `AROA...:session` of an assumed role.
    /// Default: what stands last in the ARN.
    #[must_use]
    pub fn user_id(self, id: impl Into<String>) -> Self {
        self.caller(|caller| caller.user_id = id.into())
    }

    /// `$context.identity.principalOrgId`, and `aws:PrincipalOrgID` in policies. Default: in no organisation.
    #[must_use]
    pub fn org_id(self, id: impl Into<String>) -> Self {
        self.caller(|caller| caller.org_id = Some(id.into()))
    }

    /// A value of `aws:PrincipalOrgPaths` in policies.
    #[must_use]
    pub fn org_path(self, path: impl Into<String>) -> Self {
        self.caller(|caller| caller.org_paths.push(path.into()))
    }

    /// A tag of the caller, `aws:PrincipalTag/<key>` in policies.
    #[must_use]
    pub fn tag(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.caller(|caller| caller.tags.push((key.into(), value.into())))
    }

    /// The identity comes from an Amazon Cognito identity pool: `$context.identity.cognitoIdentityId` and
    /// `cognitoIdentityPoolId`.
    #[must_use]
    pub fn cognito_identity(self, identity_id: impl Into<String>, pool_id: impl Into<String>) -> Self {
        self.caller(|caller| {
            caller.cognito_identity_id = Some(identity_id.into());
            caller.cognito_identity_pool_id = Some(pool_id.into());
        })
    }

    /// `$context.identity.cognitoAuthenticationType` (`authenticated`, `unauthenticated`) and
    /// `cognitoAuthenticationProvider`.
    #[must_use]
    pub fn cognito_authentication(self, kind: impl Into<String>, provider: impl Into<String>) -> Self {
        self.caller(|caller| {
            caller.cognito_authentication_type = Some(kind.into());
            caller.cognito_authentication_provider = Some(provider.into());
        })
    }

    /// Temporary credentials: every request must carry this token (`X-Amz-Security-Token`), until that second
    /// since 1970-01-01T00:00:00Z. Without it, a request that carries any token is refused.
    #[must_use]
    pub fn session_token(mut self, token: impl Into<String>, expires_at_unix_seconds: i64) -> Self {
        self.session_token = Some(Secret::new(token.into()));
        self.expires_at = Some(expires_at_unix_seconds);
        self
    }

    /// When temporary credentials were issued, in seconds since 1970 (`aws:TokenIssueTime`), and when the
    /// caller had given a second factor, if at all: how long ago that is, is `aws:MultiFactorAuthAge`.
    #[must_use]
    pub fn issued_at(self, unix_seconds: i64, mfa_unix_seconds: Option<i64>) -> Self {
        self.caller(|caller| {
            caller.issued_at = Some(unix_seconds);
            caller.mfa_at = mfa_unix_seconds;
        })
    }

    /// An identity policy; all that are given count together. Without any, nothing is allowed but what a resource
    /// policy allows.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policies.push(policy);
        self
    }

    /// Checks and makes the credentials.
    ///
    /// # Errors
    ///
    /// An access key id that is empty or holds something else than letters, digits, `-`, `_` and `.`; an empty secret
    /// or token; an ARN that names no caller.
    pub fn build(mut self) -> Result<Credentials, ConfigError> {
        let id = &self.caller.access_key;
        let is_id = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if id.is_empty() || !id.bytes().all(is_id) {
            return Err(ConfigError::new(
                "access key id",
                id,
                "is empty or has other characters than A-Za-z0-9-_.",
            ));
        }
        if self.secret.is_empty() || self.session_token.as_ref().is_some_and(Secret::is_empty) {
            return Err(ConfigError::new("credentials", id, "have an empty secret or session token"));
        }
        self.caller.read_arn()?;
        let is_temporary = self.session_token.is_some();
        let grants = Arc::new(Grants { policies: self.policies, is_temporary });
        let caller = CallerIdentity::new(self.caller, Arc::clone(&grants));
        Ok(Credentials(Arc::new(Inner {
            secret: self.secret,
            session_token: self.session_token,
            expires_at: self.expires_at,
            caller,
            grants,
            keys: DerivedKeys::default(),
        })))
    }
}
