//! Cache entries in the file: memory answers, the file remembers.

use super::{
    error::StateFileError,
    file::StateFile,
    queue::{Full, Haste},
    rows::{Digest, Fate, Keep, Rows, Walk},
    tables::CACHE,
};
use crate::{
    cache::{CacheStore, MemoryCacheStore, StoreKey, StoreUsage, StoredFor, StoredKey, StoredValue},
    clock::Clock,
};
use ::redb::{Error, ReadableDatabase, ReadableTable, WriteTransaction};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use std::{
    collections::HashSet,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
};

/// A cache store that survives a restart: `Cache::builder().store(file.cache_store(64 << 20, 2 << 20)?)`.
///
/// Requests are answered from memory. What is stored is written behind, without waiting; after a restart an entry is
/// read from the file when it is first asked for. A purge or flush counts in memory at once, and has reached the disk
/// when the call returns, unless the disk fails: then nothing that an earlier run has stored is served any more, and what
/// was purged leaves the file with the first transaction that the disk takes again. (If it takes none before the process
/// ends, the next one finds what could not be taken out.) Encrypted entries are written as they are: the same
/// [key](crate::cache::EncryptionKeys) opens them after a restart, and under another one they are misses. Keys of entries
/// are in the file in the clear, and hold what they are made of: paths, queries, header values that were declared;
/// credentials only as digests: the usual fields, those that
/// [`CacheBuilder::credential`](crate::cache::CacheBuilder::credential) names, and what an authorizer outside went by.
///
/// The first layer of a cache finds its entries again, and so do layers with a
/// [name](crate::cache::CacheLayer::namespace). Others do not: they are told apart by the order in which a program makes
/// them, which may be another one after a restart. If the first layer of the next program may be another one, name it.
///
/// A request that purges waits for no disk: what an unsafe method makes invalid counts in memory at once, and nothing of
/// earlier runs is served until it has left the file.
///
/// A crash loses entries of the last batch, which are fetched anew; what was to be dropped in it (by an unsafe method,
/// or an authorized `Cache-Control: max-age=0`) may come back until it expires.
pub struct FileCacheStore {
    memory: MemoryCacheStore,
    file: StateFile,
    clock: Clock,
    rows: Arc<Rows>,
    earlier: Arc<Earlier>,
    /// There were some at the start.
    warm: bool,
    purges: Arc<Purges>,
}

/// Entries of earlier runs that nobody has asked for yet.
#[derive(Debug)]
struct Earlier {
    digests: Mutex<HashSet<Digest>>,
    is_any: AtomicBool,
}

impl Earlier {
    fn new(digests: HashSet<Digest>) -> Self {
        Self { is_any: AtomicBool::new(!digests.is_empty()), digests: Mutex::new(digests) }
    }

    fn is_any(&self) -> bool {
        self.is_any.load(Relaxed)
    }

    fn change<T>(&self, change: impl FnOnce(&mut HashSet<Digest>) -> T) -> T {
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        let out = change(&mut digests);
        self.is_any.store(!digests.is_empty(), Relaxed);
        out
    }

    /// Whether there was an entry; from here on there is not.
    fn take(&self, digest: &Digest) -> bool {
        self.is_any() && self.change(|digests| digests.remove(digest))
    }

    fn forget_all(&self) {
        self.change(HashSet::clear);
    }
}

impl StateFile {
    /// Where a cache keeps its entries: as many as fit into `capacity` bytes, in memory and once more in the file, each
    /// of up to `largest` bytes. Stores of one file share its table, which has as much as the largest of them has room for.
    ///
    /// # Errors
    ///
    /// The capacity is less than twice the largest entry, or the file cannot be read.
    pub fn cache_store(&self, capacity: u64, largest: u64) -> Result<FileCacheStore, StateFileError> {
        let memory = MemoryCacheStore::new(capacity, largest)?;
        let (earlier, bytes) = self.cached().map_err(|error| self.engine(&error))?;
        let rows = self.0.engine.rows(bytes);
        rows.make_capacity(capacity);
        Ok(FileCacheStore {
            memory,
            file: self.clone(),
            clock: Clock::system(),
            rows,
            warm: !earlier.is_empty(),
            purges: Arc::default(),
            earlier: Arc::new(Earlier::new(earlier)),
        })
    }

    pub(super) fn cached(&self) -> Result<(HashSet<Digest>, u64), Error> {
        let table = self.database_or_closed()?.begin_read()?.open_table(CACHE)?;
        let (mut digests, mut bytes) = (HashSet::new(), 0);
        for row in table.iter()? {
            let (digest, value) = row?;
            digests.insert(*digest.value());
            bytes += value.value().len() as u64;
        }
        Ok((digests, bytes))
    }
}

fn digest(key: &[u8]) -> Digest {
    Sha256::digest(key).into()
}

/// How many purges have begun and ended.
#[derive(Debug, Default)]
struct Purges {
    begun: AtomicU64,
    ended: AtomicU64,
}

/// Lasts as long as a purge.
struct Purging(Arc<Purges>);

impl Purges {
    fn begin(self: &Arc<Self>) -> Purging {
        self.begun.fetch_add(1, SeqCst);
        Purging(Arc::clone(self))
    }

    /// How many there were, if none is under way.
    fn quiet(&self) -> Option<u64> {
        let ended = self.ended.load(SeqCst);
        (self.begun.load(SeqCst) == ended).then_some(ended)
    }
}

impl Drop for Purging {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, SeqCst);
    }
}

impl FileCacheStore {
    /// The clock of the cache. Default: the system's.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// An entry of an earlier run. What cannot be read is no entry.
    fn recall(&self, key: StoreKey<'_>) -> Option<StoredValue> {
        let digest = digest(key.bytes());
        // While something is purged, what the file still has may be what is being purged.
        let quiet = self.purges.quiet()?;
        if !self.earlier.take(&digest) {
            return None;
        }
        let table = self.file.database().ok()?.begin_read().ok()?.open_table(CACHE).ok()?;
        let bytes = Bytes::copy_from_slice(table.get(&digest).ok()??.value());
        let now = self.clock.now();
        let value = StoredValue::from_bytes(bytes, key.bytes(), StoredFor::WallClock, now);
        let value = value.filter(|value| !value.remaining(now).is_zero());
        match value {
            Some(value) => {
                // Whoever came meanwhile and found nothing may have stored something newer.
                let value = self.memory.insert_if_absent(&key.to_stored(), value);
                if self.purges.quiet() != Some(quiet) {
                    self.memory.remove(key);
                    self.drop_row(digest);
                    return None;
                }
                Some(value)
            }
            None => {
                self.drop_row(digest);
                None
            }
        }
    }

    /// Writes behind; what finds no room is dropped from the file, so that nothing older comes back.
    fn write_row(&self, key: &StoredKey, value: StoredValue) {
        let (key, clock, rows) = (key.clone(), self.clock.clone(), Arc::clone(&self.rows));
        let digest = digest(key.borrowed().bytes());
        let weight = value.weight(key.borrowed().bytes().len()) as usize;
        let work = move |transaction: &WriteTransaction| {
            let bytes = value.to_bytes(key.borrowed().bytes(), clock.now());
            rows.put(transaction, &digest, &bytes)
        };
        let done = self.rows.owing(digest);
        if self.file.push(weight, (Haste::Later, Full::Refuse), work, done).is_err() {
            self.file.0.counts.dropped.fetch_add(1, Relaxed);
            self.drop_row(digest);
        }
    }

    fn drop_row(&self, digest: Digest) {
        let rows = Arc::clone(&self.rows);
        self.change_row(digest, 64, move |transaction| rows.take_out(transaction, &digest));
    }

    /// Soon, however much is waiting: what a purge has changed.
    fn change_row(
        &self,
        digest: Digest,
        weight: usize,
        work: impl FnMut(&WriteTransaction) -> Result<(), Error> + Send + 'static,
    ) {
        // Refused only by a file that is closed: nothing is kept any more.
        let _closed = self.file.push(weight, (Haste::Now, Full::Exceed), work, self.rows.owing(digest));
    }

    /// Entries that are in the file and not in memory, by what a function says of them.
    fn retain_rows(
        &self,
        seen: &HashSet<Digest>,
        keep: &mut dyn FnMut(&[u8], &StoredValue) -> bool,
    ) -> Result<(), Error> {
        let table = self.file.database_or_closed()?.begin_read()?.open_table(CACHE)?;
        for row in table.iter()? {
            let (digest, bytes) = row?;
            if seen.contains(digest.value()) {
                continue;
            }
            let digest = *digest.value();
            match Fate::of(bytes.value(), self.clock.now(), &mut *keep) {
                Fate::Stays => {}
                Fate::Goes => self.forget(digest),
                Fate::Becomes(bytes) => self.write_again(digest, bytes),
            }
        }
        Ok(())
    }

    fn forget(&self, digest: Digest) {
        self.earlier.take(&digest);
        self.drop_row(digest);
    }

    fn write_again(&self, digest: Digest, bytes: Vec<u8>) {
        let rows = Arc::clone(&self.rows);
        let weight = bytes.len();
        self.change_row(digest, weight, move |transaction| rows.put(transaction, &digest, &bytes));
    }

    /// The file cannot be read, and what is to stay cannot be told from what is to go.
    fn distrust(&self) {
        self.earlier.forget_all();
        self.rows.owe_all();
    }
}

impl CacheStore for FileCacheStore {
    fn get(&self, key: StoreKey<'_>) -> Option<StoredValue> {
        self.memory.get(key).or_else(|| self.earlier.is_any().then(|| self.recall(key)).flatten())
    }

    fn insert(&self, key: &StoredKey, value: StoredValue) -> bool {
        self.earlier.take(&digest(key.borrowed().bytes()));
        let fits = self.memory.insert(key, value.clone());
        match fits && value.has_answers() {
            true => self.write_row(key, value),
            false => self.drop_row(digest(key.borrowed().bytes())),
        }
        fits
    }

    fn remove(&self, key: StoreKey<'_>) {
        let _purging = self.purges.begin();
        self.memory.remove(key);
        self.forget(digest(key.bytes()));
    }

    fn retain(&self, keep: &mut dyn FnMut(&[u8], &StoredValue) -> bool) {
        let _purging = self.purges.begin();
        // Before the file is read, so that it has what memory may already have pushed out.
        let flushed = self.file.flush();
        let mut seen = HashSet::new();
        self.memory.retain(&mut |key, value| {
            let digest = digest(key);
            seen.insert(digest);
            let soft = value.soft_purges();
            let kept = keep(key, value);
            if !kept {
                self.forget(digest);
            } else if value.soft_purges() != soft {
                self.write_again(digest, value.to_bytes(key, self.clock.now()));
            }
            kept
        });
        if self.retain_rows(&seen, keep).is_err() {
            self.distrust();
        }
        // What could not be written is owed and counted, and a closed file keeps nothing.
        let _owed = (flushed, self.file.flush());
    }

    fn retain_behind(&self, keep: Keep) {
        let purging = self.purges.begin();
        self.memory.retain(&mut |key, value| keep(key, value));
        let walk = Walk { keep, now: self.clock.now() };
        let (rows, owing, earlier) =
            (Arc::clone(&self.rows), Arc::clone(&self.rows), Arc::clone(&self.earlier));
        let work = move |_: &WriteTransaction| {
            rows.walk(walk.clone());
            Ok(())
        };
        let done = move |outcome: Result<(), StateFileError>| {
            if outcome.is_err() {
                earlier.forget_all();
                owing.owe_all();
            }
            // Until then nothing of an earlier run is served.
            drop(purging);
        };
        if self.file.push(64, (Haste::Now, Full::Exceed), work, done).is_err() {
            // It is being closed, and can be read until the writer has ended.
            self.earlier.forget_all();
        }
    }

    fn usage(&self) -> StoreUsage {
        self.memory.usage()
    }

    fn is_warm(&self) -> bool {
        self.warm
    }
}

impl fmt::Debug for FileCacheStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileCacheStore")
            .field("memory", &self.memory)
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}
