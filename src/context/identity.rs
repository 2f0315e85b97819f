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
/// let forged = tower_gateway::context::Principal { id: "root".into() };
/// ```
#[derive(Clone, Debug)]
pub struct Principal {
    id: Arc<str>,
}

impl Principal {
    pub(crate) fn new(id: Arc<str>) -> Self {
        Self { id }
    }

    /// `$context.authorizer.principalId`.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// The 128 bits under which usage of a key id or principal is kept: stable across processes, and too long to be
/// met by chance or by search.
#[cfg(any(feature = "api-key", feature = "usage-plan"))]
pub(crate) fn subject(kind: &str, id: &str) -> u128 {
    use sha2::{Digest, Sha256};
    let digest = Sha256::new().chain_update(kind).chain_update([0]).chain_update(id).finalize();
    digest.iter().take(16).fold(0, |sum, byte| sum << 8 | u128::from(*byte))
}
