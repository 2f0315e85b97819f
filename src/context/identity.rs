//! Who is calling: proofs that only our own layers can make (design D6).

use super::short_text::ShortText;
use std::{fmt, sync::Arc};

/// An API key that [`ApiKeyLayer`](crate::api_key) found valid.
///
/// A proof: it cannot be built outside this crate, so a layer or handler that holds one knows that the key was
/// looked up.
///
/// ```compile_fail
/// let forged = tower_gateway::context::VerifiedApiKey { id: "k1".into() };
/// ```
#[derive(Clone)]
pub struct VerifiedApiKey {
    id: KeyId,
    customer_id: Option<Arc<str>>,
    value: ShortText<46>,
    /// A number of 16 bytes, without its alignment.
    subject: [u8; 16],
}

/// A key id; AWS's have 10 characters.
pub(crate) type KeyId = ShortText<22>;

impl VerifiedApiKey {
    #[cfg(feature = "api-key")]
    pub(crate) fn new(id: KeyId, customer_id: Option<Arc<str>>, value: &[u8], subject: u128) -> Self {
        let value = std::str::from_utf8(value).unwrap_or_default().into();
        Self { id, customer_id, value, subject: subject.to_ne_bytes() }
    }

    /// `$context.identity.apiKeyId`.
    pub fn id(&self) -> &str {
        self.id.as_str()
    }

    /// The customer id of the key's record.
    pub fn customer_id(&self) -> Option<&str> {
        self.customer_id.as_deref()
    }

    /// `$context.identity.apiKey`: the secret itself. The one accessor that shows it.
    pub fn expose_value(&self) -> &str {
        self.value.as_str()
    }

    /// The id in the form that usage tables are keyed by.
    pub(crate) fn subject(&self) -> u128 {
        u128::from_ne_bytes(self.subject)
    }
}

impl fmt::Debug for VerifiedApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedApiKey").field("id", &self.id()).finish_non_exhaustive()
    }
}

/// Who an authorizer established, or the user's own authentication through
/// [`PrincipalLayer`](super::PrincipalLayer). A proof, like [`VerifiedApiKey`]: only a layer of this crate can make one.
///
/// ```compile_fail
/// let forged = tower_gateway::context::Principal::new("root");
/// ```
#[derive(Clone, Debug)]
pub struct Principal(Arc<Named>);

#[derive(Debug)]
struct Named {
    id: ShortText<46>,
    issuer: Option<Arc<str>>,
}

impl Principal {
    pub(crate) fn new(id: &str) -> Self {
        Self(Arc::new(Named { id: id.into(), issuer: None }))
    }

    /// The subject of a token.
    #[cfg(feature = "jwt")]
    pub(crate) fn of_issuer(id: &str, issuer: &Arc<str>) -> Self {
        Self(Arc::new(Named { id: id.into(), issuer: Some(Arc::clone(issuer)) }))
    }

    /// `$context.authorizer.principalId`.
    pub fn id(&self) -> &str {
        self.0.id.as_str()
    }

    /// Who vouches for the id: the issuer of the token, or the user pool. The same id at two issuers is two callers: to the
    /// cache and in the usage that plans count. `None` for callers that no token names.
    pub fn issuer(&self) -> Option<&str> {
        self.0.issuer.as_deref()
    }
}

/// The 128 bits under which usage of a key id or principal is kept: stable across processes, and too long to be
/// met by chance or by search.
#[cfg(any(feature = "api-key", feature = "usage-plan"))]
pub(crate) fn subject(kind: &str, id: &str) -> u128 {
    subject_of(kind, [id.as_bytes()])
}

#[cfg(any(feature = "api-key", feature = "usage-plan"))]
fn subject_of<const N: usize>(kind: &str, parts: [&[u8]; N]) -> u128 {
    use sha2::{Digest, Sha256};
    let hash = Sha256::new().chain_update(kind).chain_update([0]);
    let digest = parts.into_iter().fold(hash, |hash, part| hash.chain_update(part)).finalize();
    digest.iter().take(16).fold(0, |sum, byte| sum << 8 | u128::from(*byte))
}

#[cfg(feature = "usage-plan")]
impl Principal {
    /// Under which usage is kept.
    pub(crate) fn subject(&self) -> u128 {
        match self.issuer() {
            None => subject("principal", self.id()),
            // The length says where the id begins.
            Some(issuer) => {
                let length = (issuer.len() as u64).to_le_bytes();
                subject_of("principal of issuer", [&length, issuer.as_bytes(), self.id().as_bytes()])
            }
        }
    }
}

#[cfg(all(test, feature = "usage-plan", feature = "jwt"))]
mod tests {
    use super::*;

    #[test]
    fn usage_is_kept_by_id_and_issuer() {
        let of = |issuer: &str, id: &str| Principal::of_issuer(id, &issuer.into()).subject();
        assert_eq!(of("https://one", "ada"), of("https://one", "ada"));
        let all =
            [of("https://one", "ada"), of("https://two", "ada"), of("https://on", "eada"), of("", "ada")];
        let all = all.into_iter().chain([Principal::new("ada").subject(), Principal::new("bob").subject()]);
        assert_eq!(all.collect::<std::collections::HashSet<_>>().len(), 6);
    }
}
