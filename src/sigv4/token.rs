//! The session token of temporary credentials, which is verified on its own.

use super::{
    canonical::RequestHead,
    claims::{Claims, session_token},
    credentials::Credentials,
    error::SignatureError,
};

/// What is wrong with a session token.
#[derive(Clone, Copy, Debug)]
pub(super) enum TokenFault {
    Invalid,
    Expired,
}

impl From<TokenFault> for SignatureError {
    fn from(fault: TokenFault) -> Self {
        match fault {
            TokenFault::Invalid => Self::token_invalid(),
            TokenFault::Expired => Self::token_expired(),
        }
    }
}

/// Steps 8 and 9 of the check: the token belongs to the key, and neither has expired. What comes of it counts after the
/// signature, so that only the key's owner learns anything.
pub(super) fn check_token(
    request: &RequestHead<'_>,
    claims: &Claims<'_>,
    credentials: &Credentials,
    now: i64,
) -> Result<(), TokenFault> {
    let sent = session_token(request, claims).map_err(|()| TokenFault::Invalid)?;
    match (credentials.session_token(), sent) {
        (None, None) => Ok(()),
        (Some(own), Some(sent)) if own.is(&sent) => check_expiry(credentials, now),
        _ => Err(TokenFault::Invalid),
    }
}

fn check_expiry(credentials: &Credentials, now: i64) -> Result<(), TokenFault> {
    if credentials.expires_at().is_some_and(|end| now >= end) {
        return Err(TokenFault::Expired);
    }
    Ok(())
}
