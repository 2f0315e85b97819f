//! What is kept of a key value: its SHA-256 digest.

use crate::sha256::short_sha256;
use sha2::{Digest, Sha256};
use std::{
    fmt,
    hash::{BuildHasher, Hash, Hasher, RandomState},
};
use subtle::ConstantTimeEq;

/// The SHA-256 digest of a key value. Equality is decided in constant time over all 32 bytes.
///
/// A plain digest and not a slow password hash: key values are long and random (40 characters when generated), so
/// there is nothing to guess, and a look-up happens on every request. A value of your own must be as random.
#[derive(Clone, Copy, Eq)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// The digest of a key value.
    pub fn of(value: &[u8]) -> Self {
        Self(short_sha256(value).unwrap_or_else(|| Sha256::digest(value).into()))
    }

    /// A digest that was computed elsewhere, such as the one a database holds.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes, to look a key up in a database.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn words(&self) -> impl Iterator<Item = u64> {
        self.0.as_chunks().0.iter().copied().map(u64::from_ne_bytes)
    }
}

impl PartialEq for KeyDigest {
    fn eq(&self, other: &Self) -> bool {
        // By words: byte by byte it costs as much as half of the digest itself.
        let difference = self.words().zip(other.words()).fold(0, |sum, (one, two)| sum | (one ^ two));
        difference.ct_eq(&0).into()
    }
}

impl Hash for KeyDigest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

/// Prints nothing of the digest: who has seen it could search for a weak value.
impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(..)")
    }
}

/// Spreads digests over a table. They are uniform already; the random multiplier of the process keeps a customer who
/// may choose values from aiming many keys at one place.
#[derive(Clone, Debug)]
pub(super) struct DigestHashing {
    seed: u64,
}

impl Default for DigestHashing {
    fn default() -> Self {
        Self { seed: RandomState::new().hash_one("digest") }
    }
}

impl BuildHasher for DigestHashing {
    type Hasher = DigestHasher;

    fn build_hasher(&self) -> DigestHasher {
        DigestHasher(self.seed)
    }
}

/// Folds the first 16 bytes of a digest with the seed; see [`DigestHashing`].
#[derive(Debug)]
pub(super) struct DigestHasher(u64);

impl Hasher for DigestHasher {
    fn write(&mut self, digest: &[u8]) {
        for word in digest.as_chunks().0.iter().take(2) {
            let product = u128::from(self.0 ^ u64::from_ne_bytes(*word)) * 0x9e37_79b9_7f4a_7c15;
            self.0 = product as u64 ^ (product >> 64) as u64;
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_sha_256_and_stays_out_of_debug() {
        let digest = KeyDigest::of(b"abc");
        assert_eq!(digest.as_bytes()[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert_eq!(KeyDigest::from_bytes(*digest.as_bytes()), digest);
        for byte in 0..32 {
            let mut other = *digest.as_bytes();
            other[byte] ^= 1 << (byte % 8);
            assert_ne!(KeyDigest::from_bytes(other), digest, "every byte counts");
        }
        assert_eq!(format!("{digest:?}"), "KeyDigest(..)");
    }

    #[test]
    fn values_of_every_length_have_their_sha_256() {
        for length in 0..300 {
            let value: Vec<u8> = (0..length).map(|index| index as u8).collect();
            let expected: [u8; 32] = Sha256::digest(&value).into();
            assert_eq!(KeyDigest::of(&value).as_bytes(), &expected, "{length}");
            assert_eq!(short_sha256(&value).is_some(), length <= 183, "{length}");
        }
    }

    #[test]
    fn hashes_differ_with_the_digest_and_with_the_seed() {
        let (one, other) = (DigestHashing::default(), DigestHashing::default());
        let digest = KeyDigest::of(b"abc");
        assert_eq!(one.hash_one(digest), one.hash_one(digest));
        assert_ne!(one.hash_one(digest), other.hash_one(digest));
        assert_ne!(one.hash_one(digest), one.hash_one(KeyDigest::of(b"abd")));
    }
}
