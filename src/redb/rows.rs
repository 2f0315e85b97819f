//! The table of cache entries: what the writer does to it, within its capacity, and what it owes after a failure.

use super::{error::StateFileError, tables::CACHE};
use crate::{
    cache::{KeepValue, StoredFor, StoredValue},
    clock::Timestamp,
};
use ::redb::{Error, ReadableTable, WriteTransaction};
use bytes::Bytes;
use std::{
    collections::HashSet,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Of a key.
pub(super) type Digest = [u8; 32];

/// The table, of all stores of the file. How much is in it, only the writer changes.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// In the transaction that is under way.
    bytes: AtomicU64,
    /// On the disk.
    committed: AtomicU64,
    capacity: AtomicU64,
    /// Where room was made last.
    cursor: Mutex<Digest>,
    owed: Mutex<Owed>,
    /// Purges of the transaction that is under way.
    walks: Mutex<Vec<Walk>>,
}

/// Says what is to stay.
pub(super) type Keep = Arc<KeepValue>;

/// One look at all rows.
#[derive(Clone)]
pub(super) struct Walk {
    pub(super) keep: Keep,
    pub(super) now: Timestamp,
}

impl fmt::Debug for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Walk")
    }
}

/// What is to be done about a row.
pub(super) enum Fate {
    Stays,
    Goes,
    /// It was purged softly.
    Becomes(Vec<u8>),
}

impl Fate {
    /// What cannot be read goes.
    pub(super) fn of(
        bytes: &[u8],
        now: Timestamp,
        mut keep: impl FnMut(&[u8], &StoredValue) -> bool,
    ) -> Self {
        let bytes = Bytes::copy_from_slice(bytes);
        let Some((key, value)) = StoredValue::with_key(bytes, StoredFor::WallClock, now) else {
            return Self::Goes;
        };
        let soft = value.soft_purges();
        match keep(&key, &value) {
            false => Self::Goes,
            true if value.soft_purges() != soft => Self::Becomes(value.to_bytes(&key, now)),
            true => Self::Stays,
        }
    }
}

/// Rows that are to leave the table, which the disk has refused.
#[derive(Debug, Default)]
struct Owed {
    due: Due,
    /// In the transaction that is under way, or the last one, if that has failed.
    in_payment: Due,
}

#[derive(Debug, Default)]
struct Due {
    rows: HashSet<Digest>,
    /// Whatever there is.
    all: bool,
}

/// More rows than that are all of them: an answer can be fetched anew.
const MOST_DUE: usize = 65_536;

impl Due {
    fn add(&mut self, digest: Digest) {
        self.rows.insert(digest);
        self.all |= self.rows.len() > MOST_DUE;
        if self.all {
            self.rows.clear();
        }
    }

    fn join(&mut self, other: Self) {
        self.all |= other.all;
        other.rows.into_iter().for_each(|digest| self.add(digest));
    }
}

/// What is to be done about those that do not simply stay.
fn fates(
    transaction: &WriteTransaction,
    now: Timestamp,
    keep: impl Fn(&[u8], &StoredValue) -> bool,
) -> Result<Vec<(Digest, Fate)>, Error> {
    let mut fates = Vec::new();
    for row in transaction.open_table(CACHE)?.iter()? {
        let (digest, bytes) = row?;
        match Fate::of(bytes.value(), now, &keep) {
            Fate::Stays => {}
            fate => fates.push((*digest.value(), fate)),
        }
    }
    Ok(fates)
}

impl Rows {
    /// What the disk has refused before: each transaction begins with it.
    pub(super) fn pay(&self, transaction: &WriteTransaction) -> Result<(), Error> {
        // Of a transaction that failed.
        self.walks().clear();
        self.bytes.store(self.committed.load(Relaxed), Relaxed);
        let mut owed = self.owed();
        let due = std::mem::take(&mut owed.due);
        owed.in_payment.join(due);
        match owed.in_payment.all {
            true => self.take_all_out(transaction),
            false => owed.in_payment.rows.iter().try_for_each(|digest| self.take_out(transaction, digest)),
        }
    }

    /// After all pieces of the batch: one walk for all purges that came together, after what was stored before them.
    pub(super) fn end(&self, transaction: &WriteTransaction) -> Result<(), Error> {
        let walks = std::mem::take(&mut *self.walks());
        let Some(Walk { now, .. }) = walks.last() else { return Ok(()) };
        let keep = |key: &[u8], value: &StoredValue| walks.iter().all(|walk| (walk.keep)(key, value));
        for (digest, fate) in fates(transaction, *now, keep)? {
            match fate {
                Fate::Stays => {}
                Fate::Goes => self.take_out(transaction, &digest)?,
                Fate::Becomes(bytes) => self.put(transaction, &digest, &bytes)?,
            }
        }
        Ok(())
    }

    /// What was done last is on the disk.
    pub(super) fn paid(&self) {
        self.committed.store(self.bytes.load(Relaxed), Relaxed);
        self.owed().in_payment = Due::default();
    }

    pub(super) fn new(bytes: u64) -> Self {
        Self { committed: bytes.into(), ..Self::default() }
    }

    /// The largest store says how much there may be.
    pub(super) fn make_capacity(&self, capacity: u64) {
        self.capacity.fetch_max(capacity, Relaxed);
    }

    #[cfg(test)]
    pub(super) fn committed(&self) -> u64 {
        self.committed.load(Relaxed)
    }

    fn walks(&self) -> MutexGuard<'_, Vec<Walk>> {
        self.walks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// At the end of the transaction that is under way.
    pub(super) fn walk(&self, walk: Walk) {
        self.walks().push(walk);
    }

    /// All that there is, with the next transaction.
    pub(super) fn owe_all(&self) {
        self.owed().due = Due { all: true, ..Due::default() };
    }

    fn owed(&self) -> MutexGuard<'_, Owed> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After a write that failed: what the row had before is not to come back.
    pub(super) fn owing(
        self: &Arc<Self>,
        digest: Digest,
    ) -> impl FnOnce(Result<(), StateFileError>) + Send + 'static {
        let rows = Arc::clone(self);
        move |outcome| outcome.unwrap_or_else(|_failed| rows.owed().due.add(digest))
    }

    fn take_all_out(&self, transaction: &WriteTransaction) -> Result<(), Error> {
        transaction.delete_table(CACHE)?;
        transaction.open_table(CACHE)?;
        self.bytes.store(0, Relaxed);
        Ok(())
    }

    pub(super) fn put(
        &self,
        transaction: &WriteTransaction,
        digest: &Digest,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let mut table = transaction.open_table(CACHE)?;
        let before = table.insert(digest, bytes)?.map_or(0, |old| old.value().len() as u64);
        let mut total = (self.bytes.load(Relaxed) + bytes.len() as u64).saturating_sub(before);
        let excess = total.saturating_sub(self.capacity.load(Relaxed));
        if excess > 0 {
            total = total.saturating_sub(self.make_room(&mut table, digest, excess)?);
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
        for row in table.range::<&Digest>(&*cursor..)?.chain(table.range::<&Digest>(..&*cursor)?) {
            if room >= wanted {
                break;
            }
            let (digest, bytes) = row?;
            if digest.value() != except {
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

    pub(super) fn take_out(&self, transaction: &WriteTransaction, digest: &Digest) -> Result<(), Error> {
        let mut table = transaction.open_table(CACHE)?;
        let before = table.remove(digest)?.map_or(0, |old| old.value().len() as u64);
        self.bytes.store(self.bytes.load(Relaxed).saturating_sub(before), Relaxed);
        Ok(())
    }
}
