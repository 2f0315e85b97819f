//! Cache entries in the file: memory answers, the file remembers.

use super::{
    error::StateFileError,
    file::StateFile,
    queue::{Full, Haste},
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
        Arc, Mutex, MutexGuard, PoisonError,
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
/// when the call returns. Encrypted entries are written as they are: the same [key](crate::cache::EncryptionKeys) opens
/// them after a restart, and under another one they are misses. Keys of entries are in the file in the clear, and hold
/// what they are made of: paths, queries, header values that were declared; credentials only as digests, the usual fields
/// and those that [`CacheBuilder::credential`](crate::cache::CacheBuilder::credential) names. An authorizer's own field is to
/// be named there if it is declared in a key.
///
/// The first layer of a cache finds its entries again, and so do layers with a
/// [name](crate::cache::CacheLayer::namespace). Others do not: they are told apart by the order in which a program makes
/// them, which may be another one after a restart. If the first layer of the next program may be another one, name it.
///
/// A crash loses entries of the last batch, which are fetched anew; what was to be dropped in it (by an unsafe method,
/// or an authorized `Cache-Control: max-age=0`) may come back until it expires.
pub struct FileCacheStore {
    memory: MemoryCacheStore,
    file: StateFile,
    clock: Clock,
    rows: Arc<Rows>,
    /// Entries of earlier runs that nobody has asked for yet.
    earlier: Mutex<HashSet<Digest>>,
    has_earlier: AtomicBool,
    /// There were some at the start.
    warm: bool,
    purges: Purges,
}

type Digest = [u8; 32];

/// How much is in the table; only the writer changes it.
#[derive(Debug, Default)]
struct Rows {
    bytes: AtomicU64,
    capacity: u64,
    /// Where room was made last.
    cursor: Mutex<Digest>,
}

impl StateFile {
    /// Where a cache keeps its entries: as many as fit into `capacity` bytes, in memory and once more in the file, each
    /// of up to `largest` bytes.
    ///
    /// # Errors
    ///
    /// The capacity is less than twice the largest entry, or the file cannot be read.
    pub fn cache_store(&self, capacity: u64, largest: u64) -> Result<FileCacheStore, StateFileError> {
        let memory = MemoryCacheStore::new(capacity, largest)?;
        let (earlier, bytes) = self.cached().map_err(|error| self.engine(&error))?;
        let rows = Rows { bytes: bytes.into(), capacity, cursor: Mutex::default() };
        Ok(FileCacheStore {
            memory,
            file: self.clone(),
            clock: Clock::system(),
            rows: Arc::new(rows),
            has_earlier: AtomicBool::new(!earlier.is_empty()),
            warm: !earlier.is_empty(),
            purges: Purges::default(),
            earlier: Mutex::new(earlier),
        })
    }

    fn cached(&self) -> Result<(HashSet<Digest>, u64), Error> {
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
struct Purging<'a>(&'a Purges);

impl Purges {
    fn begin(&self) -> Purging<'_> {
        self.begun.fetch_add(1, SeqCst);
        Purging(self)
    }

    /// How many there were, if none is under way.
    fn quiet(&self) -> Option<u64> {
        let ended = self.ended.load(SeqCst);
        (self.begun.load(SeqCst) == ended).then_some(ended)
    }
}

impl Drop for Purging<'_> {
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

    fn earlier(&self) -> MutexGuard<'_, HashSet<Digest>> {
        self.earlier.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there was an entry of an earlier run; from here on there is not.
    fn take_earlier(&self, digest: &Digest) -> bool {
        if !self.has_earlier.load(Relaxed) {
            return false;
        }
        let mut earlier = self.earlier();
        let taken = earlier.remove(digest);
        self.has_earlier.store(!earlier.is_empty(), Relaxed);
        taken
    }

    /// An entry of an earlier run. What cannot be read is no entry.
    fn recall(&self, key: StoreKey<'_>) -> Option<StoredValue> {
        let digest = digest(key.bytes());
        // While something is purged, what the file still has may be what is being purged.
        let quiet = self.purges.quiet()?;
        if !self.take_earlier(&digest) {
            return None;
        }
        let table = self.file.database().ok()?.begin_read().ok()?.open_table(CACHE).ok()?;
        let bytes = Bytes::copy_from_slice(table.get(&digest).ok()??.value());
        let now = self.clock.now();
        let value = StoredValue::from_bytes(bytes, key.bytes(), StoredFor::WallClock, now);
        let value = value.filter(|value| !value.remaining(now).is_zero());
        match value {
            Some(value) => {
                self.memory.insert(&key.to_stored(), value.clone());
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
        if self.file.push(weight, (Haste::Later, Full::Refuse), work, |_| ()).is_err() {
            self.file.0.counts.dropped.fetch_add(1, Relaxed);
            self.drop_row(digest);
        }
    }

    fn drop_row(&self, digest: Digest) {
        let rows = Arc::clone(&self.rows);
        let work = move |transaction: &WriteTransaction| rows.take_out(transaction, &digest);
        // Refused only by a file that is closed: nothing is kept any more.
        let _closed = self.file.push(64, (Haste::Now, Full::Exceed), work, |_| ());
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
            let (digest, bytes) = (*digest.value(), Bytes::copy_from_slice(bytes.value()));
            let now = self.clock.now();
            match StoredValue::with_key(bytes, StoredFor::WallClock, now) {
                Some((key, value)) => {
                    let soft = value.soft_purges();
                    if !keep(&key, &value) {
                        self.forget(digest);
                    } else if value.soft_purges() != soft {
                        self.write_again(digest, value.to_bytes(&key, now));
                    }
                }
                None => self.forget(digest),
            }
        }
        Ok(())
    }

    fn forget(&self, digest: Digest) {
        self.take_earlier(&digest);
        self.drop_row(digest);
    }

    fn write_again(&self, digest: Digest, bytes: Vec<u8>) {
        let rows = Arc::clone(&self.rows);
        let weight = bytes.len();
        let work = move |transaction: &WriteTransaction| rows.put(transaction, &digest, &bytes);
        let _closed = self.file.push(weight, (Haste::Now, Full::Exceed), work, |_| ());
    }
}

impl Rows {
    fn put(&self, transaction: &WriteTransaction, digest: &Digest, bytes: &[u8]) -> Result<(), Error> {
        let mut table = transaction.open_table(CACHE)?;
        let before = table.insert(digest, bytes)?.map_or(0, |old| old.value().len() as u64);
        let mut total = (self.bytes.load(Relaxed) + bytes.len() as u64).saturating_sub(before);
        if total > self.capacity {
            total -= self.make_room(&mut table, digest, total - self.capacity)?;
        }
        self.bytes.store(total, Relaxed);
        Ok(())
    }

    /// Takes out entries in the order of their digests, which is none.
    fn make_room(
        &self,
        table: &mut ::redb::Table<'_, &'static Digest, &'static [u8]>,
        except: &Digest,
        wanted: u64,
    ) -> Result<u64, Error> {
        let mut cursor = self.cursor.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut victims, mut room) = (Vec::new(), 0);
        for row in table.range::<&Digest>(&*cursor..)?.chain(table.iter()?) {
            let (digest, bytes) = row?;
            if room >= wanted || victims.len() >= 64 {
                break;
            }
            if digest.value() != except && !victims.contains(digest.value()) {
                victims.push(*digest.value());
                room += bytes.value().len() as u64;
            }
        }
        if let Some(last) = victims.last() {
            *cursor = *last;
        }
        for victim in &victims {
            table.remove(victim)?;
        }
        Ok(room)
    }

    fn take_out(&self, transaction: &WriteTransaction, digest: &Digest) -> Result<(), Error> {
        let mut table = transaction.open_table(CACHE)?;
        let before = table.remove(digest)?.map_or(0, |old| old.value().len() as u64);
        self.bytes.store(self.bytes.load(Relaxed).saturating_sub(before), Relaxed);
        Ok(())
    }
}

impl CacheStore for FileCacheStore {
    fn get(&self, key: StoreKey<'_>) -> Option<StoredValue> {
        self.memory.get(key).or_else(|| self.has_earlier.load(Relaxed).then(|| self.recall(key)).flatten())
    }

    fn insert(&self, key: &StoredKey, value: StoredValue) -> bool {
        self.take_earlier(&digest(key.borrowed().bytes()));
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
        let read = self.retain_rows(&seen, keep);
        // What could not be written is counted by the writer, and a closed file keeps nothing.
        let _counted = (flushed, read.map(|()| self.file.flush()));
    }

    fn clear(&self) {
        let _purging = self.purges.begin();
        self.memory.clear();
        self.earlier().clear();
        self.has_earlier.store(false, Relaxed);
        let rows = Arc::clone(&self.rows);
        let _counted = self.file.write_and_wait(64, move |transaction| {
            transaction.delete_table(CACHE)?;
            transaction.open_table(CACHE)?;
            rows.bytes.store(0, Relaxed);
            Ok(())
        });
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
