//! A file of keys, read again when it changes.

use crate::{
    ConfigError,
    clock::Timestamp,
    jwt::{jwk::Kind, jwk_set::JwkSet},
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::SystemTime,
};

/// How often the file is looked at, at most.
const LOOK_EVERY_NANOS: u64 = 1_000_000_000;

/// What tells one state of the file from another.
type Stamp = (Option<SystemTime>, u64);

/// See the module's first line.
pub(super) struct WatchedFile {
    path: PathBuf,
    kind: Kind,
    next_look: AtomicU64,
    stamp: Mutex<Stamp>,
}

impl WatchedFile {
    pub(super) fn open(path: PathBuf, kind: Kind) -> Result<(Self, JwkSet), ConfigError> {
        let stamp = stamp(&path).unwrap_or_default();
        let file = Self { path, kind, next_look: AtomicU64::new(0), stamp: Mutex::new(stamp) };
        let set = file.read()?;
        Ok((file, set))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn read(&self) -> Result<JwkSet, ConfigError> {
        let path = self.path.display();
        let text = fs::read_to_string(&self.path)
            .map_err(|error| ConfigError::of_system("JWKS file", &path, "cannot be read", error))?;
        JwkSet::parse(&text, self.kind)
            .ok_or_else(|| ConfigError::new("JWKS file", &path, "not a JSON object with an array `keys`"))
    }

    /// The new keys, if it is time to look and there are any. One request looks, the others go on.
    pub(super) fn changed(&self, now: Timestamp) -> Option<JwkSet> {
        let (now, due) = (now.monotonic_nanos(), self.next_look.load(Relaxed));
        let next = now.saturating_add(LOOK_EVERY_NANOS);
        if now < due || self.next_look.compare_exchange(due, next, Relaxed, Relaxed).is_err() {
            return None;
        }
        let found = stamp(&self.path)?;
        let mut known = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == found {
            return None;
        }
        // Half-written files are met: the stamp is only noted once the content was a key set.
        let set = self.read().ok()?;
        *known = found;
        Some(set)
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok(), metadata.len()))
}
