//! Other processes that must hear of revocations, and whose revocations count here.

use super::{Authorizer, handle::Inner, key::CacheKey};

/// What is revoked, as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Revocation {
    All,
    Principal(String),
    /// Known by the shared secret.
    Identity([u8; 16]),
}

impl Revocation {
    #[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "for the fleet"))]
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::All => vec![b'a'],
            Self::Principal(id) => [b"p", id.as_bytes()].concat(),
            Self::Identity(identity) => [&b"i"[..], identity].concat(),
        }
    }

    /// What cannot be read revokes everything.
    #[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "for the fleet"))]
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        match bytes.split_first() {
            Some((b'p', id)) => {
                std::str::from_utf8(id).map_or(Self::All, |id| Self::Principal(id.to_owned()))
            }
            Some((b'i', identity)) => identity.try_into().map_or(Self::All, Self::Identity),
            _ => Self::All,
        }
    }
}

/// How other processes are told.
pub(crate) trait Peers: Send + Sync {
    /// Whether no revocation of theirs can have been missed. If not, no cached answer is used.
    fn is_current(&self) -> bool;

    /// Called when it is in force here.
    fn revoked(&self, revocation: &Revocation);
}

impl Inner {
    /// Whether cached answers may be used.
    pub(super) fn is_current(&self) -> bool {
        self.peers.get().is_none_or(|peers| peers.is_current())
    }

    /// Forgets what a revocation names; how many answers that were.
    pub(super) fn forget(&self, revocation: &Revocation) -> usize {
        match revocation {
            Revocation::All => self.cache.revoke(|_| true),
            Revocation::Principal(id) => self.cache.revoke(|entry| {
                entry.grant.as_ref().is_some_and(|grant| grant.context.principal_id() == Some(id))
            }),
            Revocation::Identity(identity) => {
                let identity = CacheKey::from_bytes(*identity);
                self.cache.revoke(|entry| entry.identity == identity)
            }
        }
    }
}

impl Authorizer {
    /// Here, and then everywhere.
    pub(super) fn revoke(&self, revocation: &Revocation) -> usize {
        let revoked = self.0.forget(revocation);
        self.0.peers.get().into_iter().for_each(|peers| peers.revoked(revocation));
        revoked
    }
}

/// For the fleet.
#[cfg(feature = "redis")]
impl Authorizer {
    /// Forgets what another process has revoked.
    pub(crate) fn forget(&self, revocation: &Revocation) {
        self.0.forget(revocation);
    }

    /// Whether identities are known by a secret that others may share.
    pub(crate) fn is_shareable(&self) -> bool {
        self.0.is_shareable
    }

    /// `false`: it has some already.
    pub(crate) fn set_peers(&self, peers: std::sync::Arc<dyn Peers>) -> bool {
        self.0.peers.set(peers).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revocation_travels_and_nonsense_revokes_all() {
        let all = [Revocation::All, Revocation::Principal("ada".into()), Revocation::Identity([7; 16])];
        for revocation in all {
            assert_eq!(Revocation::from_bytes(&revocation.to_bytes()), revocation);
        }
        for nonsense in [&b""[..], b"x", b"i123", b"p\xff"] {
            assert_eq!(Revocation::from_bytes(nonsense), Revocation::All);
        }
    }
}
