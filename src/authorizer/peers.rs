//! Other processes that must hear of revocations, and whose revocations count here.

use super::{
    Authorizer,
    cache::Entry,
    handle::Inner,
    key::{self, CacheKey},
};
use crate::keyed_hash::KeyedHash;

/// What is revoked, as it travels: by keyed hashes, of the secret that processes share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Revocation {
    All,
    Principal(CacheKey),
    Identity(CacheKey),
}

impl Revocation {
    #[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "for the fleet"))]
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::All => vec![b'a'],
            Self::Principal(principal) => [&b"p"[..], &principal.to_bytes()].concat(),
            Self::Identity(identity) => [&b"i"[..], &identity.to_bytes()].concat(),
        }
    }

    /// What cannot be read revokes everything.
    #[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "for the fleet"))]
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let Some((kind, Ok(hash))) = bytes.split_first().map(|(kind, hash)| (kind, hash.try_into())) else {
            return Self::All;
        };
        let key = CacheKey::from_bytes(hash);
        match kind {
            b'p' => Self::Principal(key),
            b'i' => Self::Identity(key),
            _ => Self::All,
        }
    }

    /// Whether it is about an answer.
    pub(super) fn means(self, hash: &KeyedHash, entry: &Entry) -> bool {
        match self {
            Self::All => true,
            Self::Principal(principal) => {
                let id = entry.grant.as_ref().and_then(|grant| grant.context.principal_id());
                id.is_some_and(|id| key::principal(hash, id) == principal)
            }
            Self::Identity(identity) => entry.identity == identity,
        }
    }
}

/// How other processes are told.
pub(crate) trait Peers: Send + Sync {
    /// Whether no revocation of theirs can have been missed. If not, no cached answer is used.
    fn is_current(&self) -> bool;

    /// Called before it is in force here: from then on it is known to be on its way.
    fn revoked(&self, revocation: Revocation);
}

impl Inner {
    /// Whether cached answers may be used.
    pub(super) fn is_current(&self) -> bool {
        self.peers.get().is_none_or(|peers| peers.is_current())
    }

    /// Forgets what a revocation names; how many answers that were.
    pub(super) fn forget(&self, revocation: Revocation) -> usize {
        #[cfg(feature = "redis")]
        self.sharing.revoking();
        self.cache.revoke(|entry| revocation.means(&self.cache.hash, entry))
    }
}

impl Authorizer {
    /// Here, and then everywhere.
    pub(super) fn revoke(&self, revocation: Revocation) -> usize {
        self.0.peers.get().into_iter().for_each(|peers| peers.revoked(revocation));
        self.0.forget(revocation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revocation_travels_and_nonsense_revokes_all() {
        let key = CacheKey::from_bytes([7; 16]);
        let all = [Revocation::All, Revocation::Principal(key), Revocation::Identity(key)];
        for revocation in all {
            assert_eq!(Revocation::from_bytes(&revocation.to_bytes()), revocation);
        }
        for nonsense in [&b""[..], b"x", b"i123", b"p", b"x0123456789abcdef", b"p0123456789abcdef."] {
            assert_eq!(Revocation::from_bytes(nonsense), Revocation::All);
        }
    }
}
