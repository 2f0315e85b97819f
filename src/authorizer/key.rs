//! The key of a cached answer: a digest of the identity sources' values and the stage. No token is kept.

use super::identity::{Asked, IdentitySource, Presence, Repeated};
use crate::response::Cause;
use sha2::{Digest, Sha256};
use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hash, Hasher},
};

/// 256 bits under which an answer is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CacheKey([u8; 32]);

/// What a process mixes into its digests, so that nobody outside can choose tokens that fall into one bucket.
#[derive(Clone, Copy)]
pub(super) struct Salt([u8; 16]);

impl Salt {
    /// From the seeds of the standard library's hash maps, which come from the system.
    pub(super) fn random() -> Self {
        let half = || RandomState::new().hash_one(0_u8).to_le_bytes();
        let mut salt = [0; 16];
        salt[..8].copy_from_slice(&half());
        salt[8..].copy_from_slice(&half());
        Self(salt)
    }
}

/// A digest over the identity, to which the stage is still to be added.
#[derive(Clone)]
pub(super) struct IdentityDigest(Sha256);

impl IdentityDigest {
    /// The digest over all sources, or what is wrong with them. Each value has its length before it and each source
    /// its number of values behind it: no two identities are written alike.
    pub(super) fn of(
        salt: Salt,
        sources: &[IdentitySource],
        asked: Asked<'_>,
        repeated: Repeated,
    ) -> Result<Self, Cause> {
        let mut digest = Self(Sha256::new_with_prefix(salt.0));
        for source in sources {
            let mut presence = Presence::default();
            source.visit(asked, |value| {
                presence.see(value);
                digest.add(value);
            })?;
            if !presence.is_there(source, repeated) {
                return Err(Cause::IdentityMissing);
            }
            digest.end_of_source();
        }
        Ok(digest)
    }

    /// The digest of an identity that an operator names: one value for each source.
    pub(super) fn of_values(salt: Salt, values: &[&str]) -> Self {
        let mut digest = Self(Sha256::new_with_prefix(salt.0));
        for value in values {
            digest.add(value);
            digest.end_of_source();
        }
        digest
    }

    fn add(&mut self, value: &str) {
        self.0.update((value.len() as u64).to_le_bytes());
        self.0.update(value.as_bytes());
    }

    /// No value is that long, so it cannot be taken for a length.
    fn end_of_source(&mut self) {
        self.0.update(u64::MAX.to_le_bytes());
    }

    /// The key on a stage.
    pub(super) fn on_stage(mut self, stage: Option<&str>) -> CacheKey {
        if let Some(stage) = stage {
            self.0.update(stage.as_bytes());
        }
        CacheKey(self.0.finalize().into())
    }

    /// The identity whatever the stage, for revocations.
    pub(super) fn anywhere(&self) -> CacheKey {
        CacheKey(self.0.clone().finalize().into())
    }
}

impl Hash for CacheKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut first = [0; 8];
        first.copy_from_slice(&self.0[..8]);
        state.write_u64(u64::from_le_bytes(first));
    }
}

/// Hashes a [`CacheKey`] by taking a part of it: the key is a salted digest already.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TakePart;

/// The hasher of [`TakePart`].
#[derive(Debug, Default)]
pub(super) struct PartHasher(u64);

impl BuildHasher for TakePart {
    type Hasher = PartHasher;

    fn build_hasher(&self) -> PartHasher {
        PartHasher::default()
    }
}

impl Hasher for PartHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, part: u64) {
        self.0 = part;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(values: &[&str], stage: Option<&str>) -> CacheKey {
        IdentityDigest::of_values(Salt([7; 16]), values).on_stage(stage)
    }

    #[test]
    fn no_two_identities_share_a_key() {
        let all = [
            key(&["ab", "c"], None),
            key(&["a", "bc"], None),
            key(&["abc", ""], None),
            key(&["abc"], None),
            key(&["a,b"], None),
            key(&["a", "b"], None),
            key(&["b", "a"], None),
            key(&["abc"], Some("prod")),
            key(&["abc"], Some("test")),
            key(&["abcprod"], None),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(all.iter().skip(index + 1).all(|other| one != other), "{index}");
        }
    }

    #[test]
    fn every_process_has_keys_of_its_own() {
        let with = |salt| IdentityDigest::of_values(salt, &["token"]).on_stage(None);
        assert_ne!(with(Salt::random()), with(Salt::random()));
    }

    proptest! {
        #[test]
        fn keys_are_equal_only_for_equal_identities(
            one in proptest::collection::vec("[ab,]{0,3}", 1..4),
            other in proptest::collection::vec("[ab,]{0,3}", 1..4),
        ) {
            let refs = |values: &[String]| -> Vec<String> { values.to_vec() };
            let (one, other) = (refs(&one), refs(&other));
            let of = |values: &[String]| {
                let borrowed: Vec<&str> = values.iter().map(String::as_str).collect();
                key(&borrowed, Some("prod"))
            };
            prop_assert_eq!(of(&one) == of(&other), one == other);
        }
    }
}
