//! Secrets, and the signing keys that are derived from them.

use super::{sha::MacKey, sink::Sink};
use arc_swap::ArcSwapOption;
use std::{fmt, hint::black_box, sync::Arc};
use subtle::ConstantTimeEq;

/// A secret: `Debug` shows nothing, and its bytes are zeroed when it is dropped.
pub(super) struct Secret(Box<[u8]>);

impl Secret {
    pub(super) fn new(text: String) -> Self {
        Self(text.into_bytes().into())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In constant time for texts of one length.
    pub(super) fn is(&self, other: &str) -> bool {
        self.0.ct_eq(other.as_bytes()).into()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.fill(0);
        // Otherwise the compiler may leave the writes out: nobody reads them.
        black_box(&self.0);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The signing key of a scope, `YYYYMMDD/region/service/aws4_request`: four HMACs.
pub(super) fn derive(secret: &Secret, scope: &[u8]) -> MacKey {
    let mut key = Vec::with_capacity(4 + secret.0.len());
    key.extend_from_slice(b"AWS4");
    key.extend_from_slice(&secret.0);
    let start = MacKey::new(&key);
    key.fill(0);
    black_box(&key);
    scope.split(|byte| *byte == b'/').fold(start, |key, part| MacKey::new(&code(&key, part)))
}

fn code(key: &MacKey, text: &[u8]) -> [u8; 32] {
    key.of::<1>(|sink| sink.put(text))
}

/// The last signing keys of one secret. They live and die with it, so that a rotation drops them.
#[derive(Debug, Default)]
pub(super) struct DerivedKeys([ArcSwapOption<SigningKey>; SLOTS]);

/// The seven days for which a presigned request may be valid, and tomorrow, never push one another out.
const SLOTS: usize = 8;

/// The key of a scope.
#[derive(Debug)]
struct SigningKey {
    scope: Box<[u8]>,
    mac: MacKey,
}

impl DerivedKeys {
    /// The signing key of a scope that was checked; `day` counts days.
    pub(super) fn get(&self, secret: &Secret, scope: &[u8], day: i64) -> MacKey {
        let slot = &self.0[day.rem_euclid(SLOTS as i64) as usize];
        if let Some(known) = slot.load().as_ref().filter(|known| *known.scope == *scope) {
            return known.mac;
        }
        let mac = derive(secret, scope);
        slot.store(Some(Arc::new(SigningKey { scope: scope.into(), mac })));
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sigv4::encode::hex;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const SCOPE: &[u8] = b"20261122/us-east-1/execute-api/aws4_request";

    #[test]
    fn a_key_is_derived_once_per_scope_and_signs_the_same_from_the_slot() {
        let (secret, keys) = (Secret::new(SECRET.to_owned()), DerivedKeys::default());
        let sign = |scope: &[u8], day| hex(&code(&keys.get(&secret, scope, day), b"text"));
        let fresh = hex(&code(&derive(&secret, SCOPE), b"text"));
        assert_eq!((sign(SCOPE, 5), sign(SCOPE, 5)), (fresh, fresh));
        let elsewhere = b"20261122/eu-west-1/execute-api/aws4_request";
        assert_ne!(sign(elsewhere, 5), fresh, "the slot is taken by another region");
        assert_eq!(sign(SCOPE, 13), fresh);
    }

    #[test]
    fn secrets_do_not_show() {
        let secret = Secret::new(SECRET.to_owned());
        let text = format!("{secret:?} {:?}", derive(&secret, SCOPE));
        assert_eq!(text, "Secret(..) MacKey(..)");
        assert!(secret.is(SECRET) && !secret.is("x") && !secret.is(&SECRET.to_lowercase()));
    }
}
