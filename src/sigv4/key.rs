//! Secrets, and the signing keys that are derived from them.

use super::{
    canonical::{Scope, TERMINATOR},
    sha::MacKey,
    sink::Sink,
};
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

/// The signing key of a scope: four HMACs.
pub(super) fn derive(secret: &Secret, scope: &Scope<'_>) -> MacKey {
    let mut key = Vec::with_capacity(4 + secret.0.len());
    key.extend_from_slice(b"AWS4");
    key.extend_from_slice(&secret.0);
    let start = code(&MacKey::new(&key), scope.date);
    key.fill(0);
    black_box(&key);
    let parts = [scope.region, scope.service, TERMINATOR];
    MacKey::new(&parts.iter().fold(start, |key, part| code(&MacKey::new(&key), part)))
}

fn code(key: &MacKey, text: &str) -> [u8; 32] {
    key.of::<1>(|sink| sink.put(text.as_bytes()))
}

/// The last signing keys of one secret. They live and die with it, so that a rotation drops them.
#[derive(Debug, Default)]
pub(super) struct DerivedKeys([ArcSwapOption<Derived>; SLOTS]);

/// The seven days for which a presigned request may be valid, and tomorrow, never push one another out.
const SLOTS: usize = 8;

#[derive(Debug)]
struct Derived {
    date: [u8; 8],
    region: Box<str>,
    service: Box<str>,
    mac: MacKey,
}

impl Derived {
    fn is_for(&self, scope: &Scope<'_>) -> bool {
        self.date == *scope.date.as_bytes()
            && *self.region == *scope.region
            && *self.service == *scope.service
    }
}

impl DerivedKeys {
    /// The signing key of a scope whose date is valid; `day` counts days.
    pub(super) fn get(&self, secret: &Secret, scope: &Scope<'_>, day: i64) -> MacKey {
        let slot = &self.0[day.rem_euclid(SLOTS as i64) as usize];
        if let Some(derived) = slot.load().as_ref().filter(|derived| derived.is_for(scope)) {
            return derived.mac;
        }
        let mac = derive(secret, scope);
        if let Ok(date) = scope.date.as_bytes().try_into() {
            let (region, service) = (scope.region.into(), scope.service.into());
            slot.store(Some(Arc::new(Derived { date, region, service, mac })));
        }
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sigv4::encode::hex;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const SCOPE: Scope<'static> = Scope { date: "20261122", region: "us-east-1", service: "execute-api" };

    #[test]
    fn a_key_is_derived_once_per_scope_and_signs_the_same_from_the_slot() {
        let (secret, keys) = (Secret::new(SECRET.to_owned()), DerivedKeys::default());
        let sign = |scope: &Scope<'_>, day| hex(&code(&keys.get(&secret, scope, day), "text"));
        let fresh = hex(&code(&derive(&secret, &SCOPE), "text"));
        assert_eq!((sign(&SCOPE, 5), sign(&SCOPE, 5)), (fresh, fresh));
        let elsewhere = Scope { region: "eu-west-1", ..SCOPE };
        assert_ne!(sign(&elsewhere, 5), fresh, "the slot is taken by another region");
        assert_eq!(sign(&SCOPE, 13), fresh);
    }

    #[test]
    fn secrets_do_not_show() {
        let secret = Secret::new(SECRET.to_owned());
        let text = format!("{secret:?} {:?}", derive(&secret, &SCOPE));
        assert_eq!(text, "Secret(..) MacKey(..)");
        assert!(secret.is(SECRET) && !secret.is("x") && !secret.is(&SECRET.to_lowercase()));
    }
}
