//! Which kind of authorization a method asks for.

use std::sync::Arc;

/// How a method finds out whether its caller may call it (`authorizationType`, with the name of the authorizer in
/// place of `authorizerId`).
///
/// Scopes are a setting of the method beside it, as on AWS:
/// [`ApiMethod::authorization_scopes`](super::ApiMethod::authorization_scopes).
///
/// ```
/// use tower_gateway::route::{ApiMethod, Authorization};
///
/// let open = ApiMethod::new();
/// let custom = ApiMethod::new().authorization(Authorization::custom("pets"));
/// let scoped = ApiMethod::new().authorization(Authorization::jwt("accounts")).authorization_scopes(["pets/read"]);
/// assert_eq!(Authorization::jwt("accounts").authorizer(), Some("accounts"));
/// # let _ = (open, custom, scoped);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Authorization {
    /// `NONE`: nobody is asked.
    #[default]
    None,
    /// `AWS_IAM`: a SigV4 signature.
    AwsIam,
    /// `CUSTOM`: the Lambda-style authorizer of this name.
    Custom(Arc<str>),
    /// `COGNITO_USER_POOLS`: the Cognito authorizer of this name (REST APIs).
    CognitoUserPools(Arc<str>),
    /// `JWT`: the JWT authorizer of this name (HTTP APIs).
    Jwt(Arc<str>),
}

impl Authorization {
    /// [`Custom`](Self::Custom) by the authorizer's name.
    pub fn custom(authorizer: impl Into<Arc<str>>) -> Self {
        Self::Custom(authorizer.into())
    }

    /// [`CognitoUserPools`](Self::CognitoUserPools) by the authorizer's name.
    pub fn cognito_user_pools(authorizer: impl Into<Arc<str>>) -> Self {
        Self::CognitoUserPools(authorizer.into())
    }

    /// [`Jwt`](Self::Jwt) by the authorizer's name.
    pub fn jwt(authorizer: impl Into<Arc<str>>) -> Self {
        Self::Jwt(authorizer.into())
    }

    /// AWS's name, `CUSTOM`.
    pub fn authorization_type(&self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::AwsIam => "AWS_IAM",
            Self::Custom(_) => "CUSTOM",
            Self::CognitoUserPools(_) => "COGNITO_USER_POOLS",
            Self::Jwt(_) => "JWT",
        }
    }

    /// The name of the authorizer, where the kind has one.
    pub fn authorizer(&self) -> Option<&str> {
        match self {
            Self::None | Self::AwsIam => None,
            Self::Custom(name) | Self::CognitoUserPools(name) | Self::Jwt(name) => Some(name),
        }
    }
}
