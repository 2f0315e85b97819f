//! Where keys are looked up: the trait, and what it answers with.

use super::{digest::KeyDigest, format};
use crate::{
    clock::{Clock, Timestamp},
    context::{KeyId, VerifiedApiKey, subject},
};
use std::{fmt, sync::Arc};

/// Where [`ApiKeyLayer`](super::ApiKeyLayer) looks keys up. [`ApiKeys`](super::ApiKeys) is the one in memory.
///
/// # How to add a store
///
/// The look-up is synchronous and on the path of every request, so a store answers from memory: one that lives in
/// a database keeps a snapshot, and renews it in the background. It is given the digest of the value and never the
/// value. An `Arc` of a store is a store.
///
/// Only a layer that is stacked by hand takes a store of your own: the key phase of a `Gateway` is an
/// `ApiKeyLayer<ApiKeys>`.
///
/// ```
/// use std::{collections::HashMap, sync::Arc};
/// use tower_gateway::api_key::{ApiKeyLayer, ApiKeyStore, KeyDigest, KeyEntry};
///
/// struct FromDatabase(HashMap<KeyDigest, KeyEntry>); // compares all 32 bytes, in constant time
///
/// impl ApiKeyStore for FromDatabase {
///     fn lookup(&self, digest: &KeyDigest) -> Option<KeyEntry> {
///         self.0.get(digest).cloned()
///     }
/// }
///
/// let digest = KeyDigest::of(b"k3y-value-of-twenty-or-more");
/// let row = KeyEntry::new(digest, "ab12cd34ef").with_customer_id("acme").with_enabled(true);
/// let store = FromDatabase(HashMap::from([(digest, row)]));
/// let layer = ApiKeyLayer::new(Arc::new(store));
/// ```
pub trait ApiKeyStore: Send + Sync + 'static {
    /// The entry of the key with this digest, disabled and expired ones included: the layer judges them.
    fn lookup(&self, digest: &KeyDigest) -> Option<KeyEntry>;

    /// Whether a value could be a key at all, decided without digest and look-up. The default asks for 20 to 128
    /// visible ASCII characters.
    fn is_plausible(&self, value: &[u8]) -> bool {
        format::has_key_form(value)
    }

    /// The clock that the ends of rotations are set by. Default: the system's.
    fn clock(&self) -> Clock {
        Clock::system()
    }
}

impl<T: ApiKeyStore + ?Sized> ApiKeyStore for Arc<T> {
    fn lookup(&self, digest: &KeyDigest) -> Option<KeyEntry> {
        (**self).lookup(digest)
    }

    fn is_plausible(&self, value: &[u8]) -> bool {
        (**self).is_plausible(value)
    }

    fn clock(&self) -> Clock {
        (**self).clock()
    }
}

/// No end: the key is valid until it is disabled or deleted.
const FOREVER: i64 = i64::MAX;

/// What a request needs to know of one value of a key. Immutable: a change makes a new one. A clone copies 104 bytes
/// and counts a reference to the customer id, if there is one; an id of more than 22 bytes is a reference too.
#[derive(Clone)]
pub struct KeyEntry {
    digest: KeyDigest,
    /// A `u128` in bytes, whose alignment would cost 8 bytes more.
    subject: [u8; 16],
    id: KeyId,
    customer_id: Option<Arc<str>>,
    valid_until: i64,
    enabled: bool,
}

impl KeyEntry {
    /// An entry that is enabled, without customer id and without end.
    pub fn new(digest: KeyDigest, id: &str) -> Self {
        let subject = subject("key", id).to_ne_bytes();
        Self { digest, subject, id: id.into(), customer_id: None, valid_until: FOREVER, enabled: true }
    }

    /// The customer id. Default: none.
    #[must_use]
    pub fn with_customer_id(mut self, customer_id: impl Into<Arc<str>>) -> Self {
        self.customer_id = Some(customer_id.into());
        self
    }

    /// Whether the key may be used. Default: yes.
    #[must_use]
    pub fn with_enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    /// The first millisecond since 1970-01-01T00:00:00Z at which this value is no longer valid. Default: no end.
    #[must_use]
    pub fn with_end_unix_millis(mut self, unix_millis: i64) -> Self {
        self.valid_until = unix_millis;
        self
    }

    pub(super) fn with_digest(mut self, digest: KeyDigest) -> Self {
        self.digest = digest;
        self
    }

    /// The digest of the value.
    pub fn digest(&self) -> &KeyDigest {
        &self.digest
    }

    /// The id of the key.
    pub fn id(&self) -> &str {
        self.id.as_str()
    }

    /// The first millisecond since 1970-01-01T00:00:00Z at which this value is no longer valid; `None` without end.
    pub fn end_unix_millis(&self) -> Option<i64> {
        (self.valid_until != FOREVER).then_some(self.valid_until)
    }

    /// Whether the key may be used. The clock is read only for a value that has an end.
    pub(super) fn is_usable(&self, now: impl FnOnce() -> Timestamp) -> bool {
        self.enabled && (self.valid_until == FOREVER || now().unix_millis() < self.valid_until)
    }

    /// The proof that `value` was looked up and found usable.
    pub(super) fn verified(self, value: &[u8]) -> VerifiedApiKey {
        VerifiedApiKey::new(self.id, self.customer_id, value, u128::from_ne_bytes(self.subject))
    }
}

impl fmt::Debug for KeyEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("KeyEntry");
        out.field("id", &self.id()).field("enabled", &self.enabled).field("end", &self.end_unix_millis());
        out.finish_non_exhaustive()
    }
}
