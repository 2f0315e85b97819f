//! How answers lie in a store that others may read: under digests, encrypted.
//!
//! Somebody without the secret learns neither who was asked about nor what was said, and can put nothing there that
//! would be believed: policies and keys' values are in it. Every place has a key of its own, so that no value is taken for
//! another's, and random nonces are far from meeting.

use crate::authorizer::key::CacheKey;
use aes_gcm::{Aes256Gcm, KeyInit, aead::AeadInOut};
use bytes::Bytes;
use sha2::{Digest, Sha256};

/// Where an answer lies: a keyed digest of identity and stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place([u8; 32]);

impl Place {
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The keys of one authorizer.
pub(super) struct Seal {
    places: [u8; 32],
    values: [u8; 32],
}

const NONCE: usize = 12;
const VERSION: u8 = 1;

/// Each use has a label of its own, all of one length, and a key of a fixed length: so no two lists are written alike.
fn digest(label: &[u8; 9], key: &[u8], of: &[u8]) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(b"tower-gateway authorizer answers");
    [label, key, of].into_iter().for_each(|part| digest.update(part));
    digest.finalize().into()
}

impl Seal {
    pub(super) fn new(secret: &[u8; 16], authorizer: &str) -> Self {
        let key = |label| digest(label, secret, authorizer.as_bytes());
        Self { places: key(b"place-key"), values: key(b"value-key") }
    }

    pub(super) fn place(&self, key: CacheKey) -> Place {
        Place(digest(b"one-place", &self.places, &key.to_bytes()))
    }

    fn cipher(&self, place: Place) -> Aes256Gcm {
        Aes256Gcm::new(&digest(b"one-value", &self.values, &place.0).into())
    }

    /// `None`: the machine has no random numbers.
    pub(super) fn seal(&self, place: Place, text: &[u8]) -> Option<Bytes> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).ok()?;
        let mut text = text.to_vec();
        self.cipher(place).encrypt_in_place(&nonce.into(), &[VERSION], &mut text).ok()?;
        Some([&[VERSION], &nonce[..], &text].concat().into())
    }

    /// `None`: not what was sealed for that place.
    pub(super) fn open(&self, place: Place, sealed: &[u8]) -> Option<Vec<u8>> {
        let (&VERSION, rest) = sealed.split_first()? else { return None };
        let (nonce, text) = rest.split_first_chunk::<NONCE>()?;
        let mut text = text.to_vec();
        self.cipher(place).decrypt_in_place(&(*nonce).into(), &[VERSION], &mut text).ok()?;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(seal: &Seal, number: u8) -> Place {
        seal.place(CacheKey::from_bytes([number; 16]))
    }

    #[test]
    fn only_the_same_secret_authorizer_and_place_open_it() {
        let seal = Seal::new(&[1; 16], "pets");
        let sealed = seal.seal(place(&seal, 1), b"ada may").unwrap();
        assert_eq!(seal.open(place(&seal, 1), &sealed).as_deref(), Some(&b"ada may"[..]));
        assert_eq!(seal.open(place(&seal, 2), &sealed), None, "another's place");
        for other in [Seal::new(&[2; 16], "pets"), Seal::new(&[1; 16], "shop")] {
            assert_ne!(place(&other, 1), place(&seal, 1));
            assert_eq!(other.open(place(&seal, 1), &sealed), None);
            assert_eq!(other.open(place(&other, 1), &sealed), None);
        }
        assert!(!sealed.windows(3).any(|window| window == b"ada"));
        assert_ne!(seal.seal(place(&seal, 1), b"ada may").unwrap(), sealed, "nonces are random");
    }

    proptest! {
        #[test]
        fn whatever_is_changed_is_noticed(at in 0_usize..36, flip in 1_u8.., garbage in proptest::collection::vec(any::<u8>(), 0..60)) {
            let seal = Seal::new(&[1; 16], "pets");
            let mut sealed = seal.seal(place(&seal, 1), b"ada may").unwrap().to_vec();
            prop_assert_eq!(sealed.len(), 36);
            sealed[at] ^= flip;
            prop_assert_eq!(seal.open(place(&seal, 1), &sealed), None);
            prop_assert_eq!(seal.open(place(&seal, 1), &garbage), None);
        }
    }
}
