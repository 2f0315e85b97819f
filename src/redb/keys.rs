//! API keys in the file: merged with those that are configured, and written before they change.

use super::{
    error::StateFileError,
    file::StateFile,
    kept::{Counts, Row, seed_of, which},
    tables::KEYS,
};
use crate::{
    api_key::{ApiKeys, KeyChange, KeyImage, KeyObserver},
    error::{ConfigError, ConfigErrorKind},
};
use ::redb::{Error, ReadableDatabase, ReadableTable, WriteTransaction};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::Ordering::SeqCst},
};

impl StateFile {
    /// Keeps the keys of a handle: those of the file come into it, and every change that is made through it from here
    /// on is on the disk before it counts and before the call returns. Digests are written, never values.
    ///
    /// The keys that the handle has already are its configuration. Where the file knows a key, what was changed last
    /// counts: a key that was disabled, rotated or deleted while the process ran stays so, until its configuration is
    /// another one than at the last start; one that is no longer configured is deleted. Keys that were added through
    /// the handle stay until they are deleted through it. So give the same configuration at each start, and add what
    /// is to be added once through the handle, afterwards.
    ///
    /// Calls of the handle that change keys wait for the disk, a few milliseconds; many keys of one
    /// [`add_all`](ApiKeys::add_all) or import wait once. Requests never wait.
    ///
    /// # Errors
    ///
    /// The file cannot be read or written, a record in it is damaged, two keys have the same value, or the file keeps
    /// the keys of a handle already. The handle is then as it was.
    pub fn keep_keys(&self, keys: &ApiKeys) -> Result<(), StateFileError> {
        self.once(&self.0.keeps_keys, "API keys")?;
        let kept = keys.observe(Arc::new(Keeper(self.clone())), |configured| {
            let rows = self.key_rows()?;
            let merged = merge(rows, configured)?;
            check_values(&merged.keys)?;
            if !merged.writes.is_empty() {
                self.write_key_rows(merged.writes)?;
            }
            Ok(merged.changes)
        });
        if kept.is_err() {
            self.0.keeps_keys.store(false, SeqCst);
        }
        kept
    }

    pub(super) fn once(
        &self,
        kept: &std::sync::atomic::AtomicBool,
        what: &'static str,
    ) -> Result<(), StateFileError> {
        if kept.swap(true, SeqCst) {
            let path = self.0.path.display();
            let error = ConfigError::new("state file", path, format!("keeps {what} already"));
            return Err(error.with_kind(ConfigErrorKind::InUse).into());
        }
        Ok(())
    }

    fn key_rows(&self) -> Result<BTreeMap<String, KeptKey>, StateFileError> {
        let read = || -> Result<Vec<(String, Vec<u8>)>, Error> {
            let transaction = self.database_or_closed()?.begin_read()?;
            let table = transaction.open_table(KEYS)?;
            table
                .iter()?
                .map(|row| row.map(|(id, row)| (id.value().to_owned(), row.value().to_vec())))
                .collect::<Result<_, _>>()
                .map_err(Error::from)
        };
        let rows = read().map_err(|error| self.engine(&error))?;
        rows.into_iter().map(|(id, row)| self.key_row(id, &row)).collect()
    }

    fn key_row(&self, id: String, bytes: &[u8]) -> Result<(String, KeptKey), StateFileError> {
        let damaged = || StateFileError::damaged(&self.0.path, format!("the record of API key {id}"));
        let row = Row::from_bytes(bytes).ok_or_else(damaged)?;
        let image = row
            .record
            .as_deref()
            .map(|record| KeyImage::from_bytes(record).ok_or_else(damaged))
            .transpose()?;
        if image.as_ref().is_some_and(|image| **image.id() != *id) {
            return Err(damaged());
        }
        Ok((id, KeptKey { row, image }))
    }

    fn write_key_rows(&self, rows: Vec<(String, Option<Row>)>) -> Result<(), StateFileError> {
        let weight = rows.iter().map(|(id, row)| id.len() + row.as_ref().map_or(0, weight_of)).sum();
        self.write_and_wait(weight, move |transaction| {
            let mut table = transaction.open_table(KEYS)?;
            for (id, row) in &rows {
                match row {
                    Some(row) => drop(table.insert(&**id, row.to_bytes().as_slice())?),
                    None => drop(table.remove(&**id)?),
                }
            }
            Ok(())
        })
    }
}

pub(super) fn weight_of(row: &Row) -> usize {
    64 + row.record.as_ref().map_or(0, Vec::len)
}

/// A row, read.
struct KeptKey {
    row: Row,
    image: Option<KeyImage>,
}

/// What follows from the file and the configuration.
#[derive(Default)]
struct Merged {
    /// To the handle.
    changes: Vec<KeyChange>,
    /// To the file; `None` is taken out.
    writes: Vec<(String, Option<Row>)>,
    /// What there is afterwards.
    keys: Vec<KeyImage>,
}

fn merge(
    mut rows: BTreeMap<String, KeptKey>,
    configured: &mut dyn Iterator<Item = &KeyImage>,
) -> Result<Merged, StateFileError> {
    let mut merged = Merged::default();
    for image in configured {
        let seed = seed_of(&image.configured_bytes());
        let kept = rows.remove(&**image.id());
        match (which(kept.as_ref().map(|kept| kept.row.seed), Some(seed)), kept) {
            (Counts::File, Some(KeptKey { image: Some(kept), .. })) => merged.put(kept),
            (Counts::File, _) => merged.changes.push(KeyChange::Delete(Arc::clone(image.id()))),
            _ => {
                let row = Row { seed: Some(seed), record: Some(image.to_bytes()) };
                merged.writes.push((image.id().to_string(), Some(row)));
                merged.keys.push(image.clone());
            }
        }
    }
    for (id, kept) in rows {
        match (which(Some(kept.row.seed), None), kept.image) {
            (Counts::File, Some(image)) => merged.put(image),
            _ => merged.writes.push((id, None)),
        }
    }
    Ok(merged)
}

impl Merged {
    fn put(&mut self, image: KeyImage) {
        self.changes.push(KeyChange::Put(image.clone()));
        self.keys.push(image);
    }
}

/// A value is one key's.
fn check_values(keys: &[KeyImage]) -> Result<(), StateFileError> {
    let mut owners = HashMap::new();
    for key in keys {
        for digest in key.digests() {
            if let Some(owner) = owners.insert(*digest, key.id()).filter(|owner| *owner != key.id()) {
                let problem = format!("has the same value as API key {owner}");
                let error = ConfigError::new("API key id", key.id(), problem);
                return Err(error.with_kind(ConfigErrorKind::Exists).into());
            }
        }
    }
    Ok(())
}

/// Writes changes of the handle.
struct Keeper(StateFile);

impl KeyObserver for Keeper {
    fn changing(&self, changes: &[KeyChange]) -> Result<(), ConfigError> {
        let changes: Vec<_> = changes.iter().map(record_of).collect();
        let weight =
            changes.iter().map(|(id, record)| 64 + id.len() + record.as_ref().map_or(0, Vec::len)).sum();
        let written = self.0.write_and_wait(weight, move |transaction| write(transaction, &changes));
        written.map_err(ConfigError::from)
    }
}

fn record_of(change: &KeyChange) -> (Arc<str>, Option<Vec<u8>>) {
    match change {
        KeyChange::Put(image) => (Arc::clone(image.id()), Some(image.to_bytes())),
        KeyChange::Delete(id) => (Arc::clone(id), None),
    }
}

fn write(transaction: &WriteTransaction, changes: &[(Arc<str>, Option<Vec<u8>>)]) -> Result<(), Error> {
    let mut table = transaction.open_table(KEYS)?;
    for (id, record) in changes {
        // The configuration that it came from stays beside it.
        let seed = table.get(&**id)?.and_then(|row| Row::from_bytes(row.value())).and_then(|row| row.seed);
        match (seed, record) {
            (None, None) => drop(table.remove(&**id)?),
            (seed, record) => {
                let row = Row { seed, record: record.clone() };
                table.insert(&**id, row.to_bytes().as_slice())?;
            }
        }
    }
    Ok(())
}
