//! Where an issuer's keys come from, and the edition of them that is in force.

mod client;
mod file;
#[cfg(feature = "jwks-http")]
mod https;
mod remote;

pub use client::JwksClient;
pub use remote::RemoteJwks;

use super::{error::JwtError, jwk::Kind, jwk_set::JwkSet};
use crate::{ConfigError, clock::Timestamp};
use arc_swap::{ArcSwapOption, Guard};
use file::WatchedFile;
use remote::{KeyWait, Remote};
use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

pub(super) use remote::KeyWait as Wait;

/// The keys of an issuer, wherever they come from. A handle: clones are the same source, and what one changes all
/// see at once.
///
/// | source | when keys change |
/// |---|---|
/// | [`fixed`](Self::fixed) | by [`replace`](Self::replace) |
/// | [`file`](Self::file) | within a second of a change of the file, or by [`reload`](Self::reload) |
/// | [`remote`](Self::remote) | see [`RemoteJwks`] |
#[derive(Clone)]
pub struct JwkSource(Arc<Inner>);

struct Inner {
    current: ArcSwapOption<Edition>,
    changes: Mutex<Changes>,
    origin: Origin,
}

/// Held while an edition is put in force.
#[derive(Default)]
struct Changes {
    next_generation: u64,
    /// Editions that were put in force by hand.
    by_hand: u64,
}

enum Origin {
    Fixed,
    File(WatchedFile),
    Remote(Box<Remote>),
}

/// A set of keys with its number: tokens that were verified with another edition are verified again.
#[derive(Debug)]
pub(super) struct Edition {
    pub(super) set: JwkSet,
    pub(super) generation: u64,
    /// When it was fetched, or first looked at after it was put in force by hand; it stays usable for a time that only
    /// remote sources limit.
    fetched_at: OnceLock<Timestamp>,
}

impl Edition {
    fn age(&self, now: Timestamp) -> Duration {
        now.since(*self.fetched_at.get_or_init(|| now))
    }
}

impl JwkSource {
    fn new(set: Option<JwkSet>, origin: Origin) -> Self {
        let inner = Inner { current: ArcSwapOption::empty(), changes: Mutex::default(), origin };
        if let Some(set) = set {
            inner.install(set, None);
        }
        Self(Arc::new(inner))
    }

    /// Keys that are known already.
    pub fn fixed(set: JwkSet) -> Self {
        Self::new(Some(set), Origin::Fixed)
    }

    /// A file that holds a JWK set of public keys. It is read now, and again when its time of modification or its
    /// length changes; that is looked at once a second at most, by the request that comes then. A file that cannot
    /// be read or is no JWK set any more changes nothing.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is no JWK set.
    pub fn file(path: impl Into<PathBuf>) -> Result<Self, ConfigError> {
        let (file, set) = WatchedFile::open(path.into(), Kind::Public)?;
        Ok(Self::new(Some(set), Origin::File(file)))
    }

    /// Like [`file`](Self::file), for shared secrets; see [`JwkSet::secrets_from_json`].
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is no JWK set.
    pub fn secrets_file(path: impl Into<PathBuf>) -> Result<Self, ConfigError> {
        let (file, set) = WatchedFile::open(path.into(), Kind::Secret)?;
        Ok(Self::new(Some(set), Origin::File(file)))
    }

    /// Keys that are fetched over HTTP.
    pub fn remote(remote: RemoteJwks) -> Self {
        Self::new(None, Origin::Remote(Box::new(remote.into_remote())))
    }

    /// Puts other keys in force, at once and for every clone. What a file or an issuer says later replaces them; a fetch
    /// that had begun before changes nothing.
    pub fn replace(&self, set: JwkSet) {
        let mut changes = self.0.changes();
        changes.by_hand += 1;
        self.0.put(&mut changes, set, None);
    }

    /// Reads a file again, now.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is no JWK set; the keys in force stay. Sources of other kinds have nothing to
    /// read.
    pub fn reload(&self) -> Result<(), ConfigError> {
        match &self.0.origin {
            Origin::File(file) => {
                self.0.install(file.read()?, None);
                Ok(())
            }
            _ => Err(ConfigError::new("JWK source", "reload", "only a file is read again")),
        }
    }

    /// The keys in force, if there are any.
    pub fn current_set(&self) -> Option<JwkSet> {
        self.0.current.load().as_ref().map(|edition| edition.set.clone())
    }

    /// The edition in force at `now`. Looks after its renewal on the way.
    pub(super) fn current(&self, now: Timestamp) -> Guard<Option<Arc<Edition>>> {
        match &self.0.origin {
            Origin::Fixed => {}
            Origin::File(file) => {
                if let Some(set) = file.changed(now) {
                    self.0.install(set, Some(now));
                }
            }
            Origin::Remote(remote) => {
                let current = self.0.current.load();
                let age = current.as_ref().map(|edition| edition.age(now));
                if age.is_some_and(|age| age >= remote.refresh_after) {
                    remote.refresh(&self.0, now);
                }
                if age.is_some_and(|age| age >= remote.usable_for) {
                    return Guard::from_inner(None);
                }
                return current;
            }
        }
        self.0.current.load()
    }

    /// What to do about a key that is not there: wait for the keys that are being fetched, or refuse.
    pub(super) fn await_key(&self, kid: Option<&str>, now: Timestamp) -> Result<KeyWait, JwtError> {
        match &self.0.origin {
            Origin::Remote(remote) => remote.await_key(&self.0, kid, now),
            Origin::Fixed | Origin::File(_) => Err(JwtError::UnknownKey),
        }
    }

    /// Notes that a key was not there although the keys were just fetched, and says why to refuse.
    pub(super) fn note_absent(&self, kid: Option<&str>, now: Timestamp) -> JwtError {
        match &self.0.origin {
            Origin::Remote(remote) => remote.note_absent(kid, now),
            Origin::Fixed | Origin::File(_) => JwtError::UnknownKey,
        }
    }
}

impl Inner {
    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn install(&self, set: JwkSet, fetched_at: Option<Timestamp>) {
        self.put(&mut self.changes(), set, fetched_at);
    }

    /// How many editions were put in force by hand until now.
    fn by_hand(&self) -> u64 {
        self.changes().by_hand
    }

    /// What was fetched, unless keys were put in force by hand since the fetch began: it may be older than they are.
    fn install_fetched(&self, set: JwkSet, begun: Timestamp, by_hand: u64) {
        let mut changes = self.changes();
        if changes.by_hand == by_hand {
            self.put(&mut changes, set, Some(begun));
        }
    }

    /// The same document again keeps its number, so that what was verified stays verified.
    fn put(&self, changes: &mut Changes, set: JwkSet, fetched_at: Option<Timestamp>) {
        let fetched_at = fetched_at.map_or_else(OnceLock::new, OnceLock::from);
        let current = self.current.load();
        let same = current.as_ref().filter(|edition| edition.set.is_same_document(&set));
        let edition = match same {
            Some(known) => Edition { set: known.set.clone(), generation: known.generation, fetched_at },
            None => Edition { set, generation: changes.next(), fetched_at },
        };
        self.current.store(Some(Arc::new(edition)));
    }
}

impl Changes {
    fn next(&mut self) -> u64 {
        self.next_generation += 1;
        self.next_generation
    }
}

impl fmt::Debug for JwkSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("JwkSource");
        match &self.0.origin {
            Origin::Fixed => out.field("origin", &"fixed"),
            Origin::File(file) => out.field("origin", &file.path()),
            Origin::Remote(remote) => out.field("origin", &remote.location()),
        };
        out.field("keys", &self.current_set()).finish()
    }
}
