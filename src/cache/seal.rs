//! Encryption of stored values: AES-256-GCM, with keys that rotate.

use super::{
    codec,
    entry::{Content, Entry},
};
use crate::error::ConfigError;
use aes_gcm::{Aes256Gcm, KeyInit, aead::AeadInOut};
use bytes::{Buf, BufMut, Bytes};
use http::HeaderMap;
use sha2::{Digest, Sha256};
use std::{
    fmt,
    mem::size_of,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

/// The keys that values are encrypted with: the newest encrypts, all of them decrypt. A clone is a reference count,
/// so that keys rotate while traffic flows.
///
/// A value says by which key it is sealed, in a digest of the key: another process that has the key reads it, and so does
/// the next one, in whatever order each was given its keys.
///
/// Each value has a nonce of 96 random bits; NIST SP 800-38D allows 2^32 of them for a key, so rotate before that
/// many answers were stored.
///
/// ```
/// use tower_gateway::cache::EncryptionKeys;
///
/// let keys = EncryptionKeys::new(&[7; 32])?;
/// keys.rotate(&[8; 32])?; // new values; what the first key encrypted is still read
/// keys.retire_old(); // what it encrypted is fetched anew
/// # Ok::<(), tower_gateway::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct EncryptionKeys(Arc<RwLock<Ring>>);

/// Newest last.
struct Ring {
    keys: Vec<(KeyId, Aes256Gcm)>,
}

/// The beginning of a digest of the key. Two keys may have the same one: then each is tried.
type KeyId = [u8; 4];

const NONCE: usize = 12;
const PREFIX: usize = size_of::<KeyId>() + NONCE;
/// So that the id is of no use to whoever meets the digest of the same key elsewhere.
const KEY_ID: &[u8] = b"tower-gateway, the id of a cache key: ";

impl fmt::Debug for EncryptionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncryptionKeys({} keys)", self.read().keys.len())
    }
}

fn cipher(key: &[u8]) -> Result<(KeyId, Aes256Gcm), ConfigError> {
    // The value is a secret: only its length is told.
    let problem =
        |_| ConfigError::new("encryption key", format!("of {} bytes", key.len()), "must have 32 bytes");
    let cipher = Aes256Gcm::new_from_slice(key).map_err(problem)?;
    let digest: [u8; 32] = Sha256::new().chain_update(KEY_ID).chain_update(key).finalize().into();
    Ok((digest.first_chunk().copied().unwrap_or_default(), cipher))
}

impl EncryptionKeys {
    /// One key, of 32 bytes.
    ///
    /// # Errors
    ///
    /// The key has another length.
    pub fn new(key: &[u8]) -> Result<Self, ConfigError> {
        Ok(Self(Arc::new(RwLock::new(Ring { keys: vec![cipher(key)?] }))))
    }

    fn read(&self) -> RwLockReadGuard<'_, Ring> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Encrypts with a new key from here on. Values under older keys are still read.
    ///
    /// # Errors
    ///
    /// The key does not have 32 bytes.
    pub fn rotate(&self, key: &[u8]) -> Result<(), ConfigError> {
        let key = cipher(key)?;
        self.0.write().unwrap_or_else(PoisonError::into_inner).keys.push(key);
        Ok(())
    }

    /// Forgets every key but the newest: values under the others are misses, and are fetched anew.
    pub fn retire_old(&self) {
        let mut ring = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let old = ring.keys.len().saturating_sub(1);
        ring.keys.drain(..old);
    }

    /// `None`: the machine has no random numbers. The value is bound to its key in the cache, so that it cannot be
    /// put under another.
    pub(super) fn seal(&self, key: &[u8], entry: &Entry) -> Option<Entry> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).ok()?;
        let mut text = encode(&entry.content);
        let ring = self.read();
        let (id, cipher) = ring.keys.last()?;
        cipher.encrypt_in_place(&nonce.into(), key, &mut text).ok()?;
        let mut sealed = Vec::with_capacity(PREFIX + text.len());
        sealed.put_slice(id);
        sealed.put_slice(&nonce);
        sealed.put_slice(&text);
        let content = Content { headers: HeaderMap::new(), body: Bytes::from_owner(sealed), trailers: None };
        Some(Entry { is_sealed: true, ..Entry::new(entry.meta.clone(), content) })
    }

    /// `None`: no such key any more, or not what was sealed.
    pub(super) fn open(&self, key: &[u8], entry: &Entry) -> Option<Entry> {
        let mut sealed = entry.content.body.clone();
        if sealed.len() < PREFIX {
            return None;
        }
        let id = sealed.split_to(size_of::<KeyId>());
        let nonce: [u8; NONCE] = sealed.split_to(NONCE).as_ref().try_into().ok()?;
        let ring = self.read();
        let own = ring.keys.iter().filter(|(own, _)| *own == *id);
        let text = own.map(|(_, cipher)| opened(cipher, &nonce, key, &sealed)).find_map(|text| text)?;
        Some(Entry::new(entry.meta.clone(), decode(text.into())?))
    }
}

fn opened(cipher: &Aes256Gcm, nonce: &[u8; NONCE], key: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let mut text = sealed.to_vec();
    cipher.decrypt_in_place(&(*nonce).into(), key, &mut text).ok()?;
    Some(text)
}

fn encode(content: &Content) -> Vec<u8> {
    let mut text = Vec::with_capacity(content.body.len() + 64 * content.headers.len() + 16);
    codec::put_fields(&mut text, &content.headers);
    text.put_u8(u8::from(content.trailers.is_some()));
    content.trailers.iter().for_each(|trailers| codec::put_fields(&mut text, trailers));
    text.put_slice(&content.body);
    text
}

fn decode(mut text: Bytes) -> Option<Content> {
    let headers = codec::take_fields(&mut text)?;
    let has_trailers = text.try_get_u8().ok()? != 0;
    let trailers = if has_trailers { Some(Box::new(codec::take_fields(&mut text)?)) } else { None };
    Some(Content { headers, body: text, trailers })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cache::entry::{Freshness, Meta},
        clock::Timestamp,
    };
    use http::{HeaderValue, StatusCode};

    fn entry() -> Entry {
        let now = Timestamp::new(0, 0);
        let meta = Meta::new(StatusCode::OK, (now, now), Freshness::default(), None, Box::default());
        let mut headers = HeaderMap::new();
        headers.append("a", HeaderValue::from_static("secret words"));
        headers.append("a", HeaderValue::from_bytes(b"\xff").unwrap());
        headers.get_mut("a").unwrap().set_sensitive(true);
        let trailers = Some(Box::new(headers.clone()));
        Entry::new(meta, Content { headers, body: Bytes::from_static(b"secret words"), trailers })
    }

    #[test]
    fn what_is_sealed_opens_again_and_says_nothing_until_then() {
        let keys = EncryptionKeys::new(&[1; 32]).unwrap();
        let sealed = keys.seal(b"key", &entry()).unwrap();
        assert!(sealed.is_sealed && sealed.content.headers.is_empty());
        assert!(!sealed.content.body.windows(6).any(|window| window == b"secret"));
        let opened = keys.open(b"key", &sealed).unwrap();
        assert_eq!(opened.content.headers, entry().content.headers);
        assert!(opened.content.headers["a"].is_sensitive());
        assert_eq!(opened.content.trailers, entry().content.trailers);
        assert_eq!(opened.content.body, "secret words");
        assert_ne!(sealed.content.body, keys.seal(b"key", &entry()).unwrap().content.body);
    }

    #[test]
    fn under_another_key_or_changed_it_stays_shut() {
        let keys = EncryptionKeys::new(&[1; 32]).unwrap();
        let mut sealed = keys.seal(b"key", &entry()).unwrap();
        assert!(keys.open(b"other", &sealed).is_none());
        let mut bytes = sealed.content.body.to_vec();
        for at in [0, PREFIX - 1, PREFIX, bytes.len() - 1] {
            bytes[at] ^= 1;
            sealed.content.body = bytes.clone().into();
            assert!(keys.open(b"key", &sealed).is_none(), "{at}");
            bytes[at] ^= 1;
        }
        for length in 0..bytes.len() {
            sealed.content.body = bytes[..length].to_vec().into();
            assert!(keys.open(b"key", &sealed).is_none(), "{length}");
        }
    }

    #[test]
    fn keys_rotate_and_retire() {
        let keys = EncryptionKeys::new(&[1; 32]).unwrap();
        let old = keys.seal(b"key", &entry()).unwrap();
        keys.rotate(&[2; 32]).unwrap();
        let new = keys.seal(b"key", &entry()).unwrap();
        assert!(keys.open(b"key", &old).is_some() && keys.open(b"key", &new).is_some());
        keys.retire_old();
        assert!(keys.open(b"key", &old).is_none() && keys.open(b"key", &new).is_some());
        assert_eq!(format!("{keys:?}"), "EncryptionKeys(1 keys)");
        assert_eq!(EncryptionKeys::new(&[0; 16]).unwrap_err().value(), "of 16 bytes");
        assert!(keys.rotate(&[0; 31]).is_err());
    }

    #[test]
    fn a_key_opens_what_it_sealed_whatever_was_there_beside_it() {
        let rotated = EncryptionKeys::new(&[1; 32]).unwrap();
        rotated.rotate(&[2; 32]).unwrap();
        let sealed = rotated.seal(b"key", &entry()).unwrap();
        let alone = EncryptionKeys::new(&[2; 32]).unwrap();
        assert!(alone.open(b"key", &sealed).is_some(), "the next process");
        assert!(rotated.open(b"key", &alone.seal(b"key", &entry()).unwrap()).is_some(), "another one");
        assert!(EncryptionKeys::new(&[1; 32]).unwrap().open(b"key", &sealed).is_none());
        let begins = |entry: &Entry| entry.content.body.slice(..4);
        assert_ne!(
            begins(&sealed),
            begins(&EncryptionKeys::new(&[1; 32]).unwrap().seal(b"key", &entry()).unwrap())
        );
    }

    #[test]
    fn of_two_keys_with_the_same_id_each_is_tried() {
        let (first, second) = (cipher(&[1; 32]).unwrap(), cipher(&[2; 32]).unwrap());
        let ring = |keys| EncryptionKeys(Arc::new(RwLock::new(Ring { keys })));
        let sealed = ring(vec![(first.0, second.1.clone())]).seal(b"key", &entry()).unwrap();
        let both = ring(vec![first.clone(), (first.0, second.1)]);
        assert!(both.open(b"key", &sealed).is_some());
        assert!(ring(vec![first]).open(b"key", &sealed).is_none());
    }
}
