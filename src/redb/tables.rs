//! What is in the file, and the version of its format.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | `format` | `tower-gateway` and the version of the format, 4 bytes |
//! | `meta` | `run` | how often the file was opened, 8 bytes |
//! | `meta` | `account` | the account's throttle: whether there is one, the configuration it came from, rate, burst and shadow |
//! | `meta` | `ended` | when the last process closed it, in milliseconds since 1970, 8 bytes; absent while it is open, and after a crash |
//! | `keys` | id | whether it exists, the configuration it came from, the record with digests |
//! | `plans` | id | the same, the plan |
//! | `attachments` | plan, key | whether it exists, whether it was configured |
//! | `usage` | plan, 128 bits of the digest of the key's id | days, periods, what is held and what is unknown |
//! | `cache` | SHA-256 digest of the whole key | the value in the form of `StoredValue::to_bytes` |
//!
//! Every value has a version of its own in front.

use super::error::StateFileError;
use ::redb::{
    Database, Error, MultimapTableHandle, ReadableDatabase, ReadableTable, TableDefinition, TableHandle,
    WriteTransaction,
};
use std::path::Path;

/// The format that is written.
pub(super) const FORMAT: u32 = 1;
const PROGRAM: &[u8] = b"tower-gateway";

pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
pub(super) const KEYS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("keys");
pub(super) const PLANS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("plans");
pub(super) const ATTACHMENTS: TableDefinition<'_, (&str, &str), u8> = TableDefinition::new("attachments");
pub(super) const USAGE: TableDefinition<'_, (&str, u128), &[u8]> = TableDefinition::new("usage");
pub(super) const CACHE: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("cache");

/// How a file was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    /// How often it was opened, this time included.
    pub(super) run: u64,
    /// When the process before closed it, in milliseconds since 1970; `None` if there was none, or it died.
    pub(super) ended: Option<i64>,
}

/// Checks whose file it is before anything is written, marks a new one, and counts the run.
pub(super) fn start(database: &Database, path: &Path) -> Result<Start, StateFileError> {
    let engine = |error: Error| StateFileError::engine(path, &error);
    match format_of(database).map_err(engine)? {
        Some(FORMAT) | None => count_run(database).map_err(engine)?.ok_or_else(|| foreign(path)),
        Some(0) => Err(foreign(path)),
        Some(found) => Err(StateFileError::Version { path: path.to_owned(), found, newest: FORMAT }),
    }
}

fn foreign(path: &Path) -> StateFileError {
    StateFileError::Foreign { path: path.to_owned() }
}

/// `None`: the database is empty. 0: it is not ours.
fn format_of(database: &Database) -> Result<Option<u32>, Error> {
    let transaction = database.begin_read()?;
    let mut names: Vec<_> = transaction.list_tables()?.map(|table| table.name().to_owned()).collect();
    names.extend(transaction.list_multimap_tables()?.map(|table| table.name().to_owned()));
    if names.is_empty() {
        return Ok(None);
    }
    let Ok(meta) = transaction.open_table(META) else { return Ok(Some(0)) };
    let format = meta.get("format")?;
    let version = format.as_ref().and_then(|value| value.value().strip_prefix(PROGRAM));
    let version = version.and_then(|version| version.try_into().ok()).map(u32::from_le_bytes);
    Ok(Some(version.unwrap_or(0)))
}

/// How often the file was opened by a process.
pub(super) fn run_of(database: &Database) -> Result<Option<u64>, Error> {
    let meta = database.begin_read()?.open_table(META)?;
    Ok(meta.get("run")?.and_then(|run| run.value().try_into().ok().map(u64::from_le_bytes)))
}

fn count_run(database: &Database) -> Result<Option<Start>, Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_two_phase_commit(true);
    let start = {
        let mut meta = transaction.open_table(META)?;
        meta.insert("format", [PROGRAM, &FORMAT.to_le_bytes()].concat().as_slice())?;
        let before =
            meta.get("run")?.map_or(Some(0), |run| run.value().try_into().ok().map(u64::from_le_bytes));
        let Some(before) = before else { return Ok(None) };
        meta.insert("run", (before + 1).to_le_bytes().as_slice())?;
        let ended =
            meta.remove("ended")?.and_then(|ended| ended.value().try_into().ok().map(i64::from_le_bytes));
        Start { run: before + 1, ended }
    };
    for table in [KEYS, PLANS] {
        transaction.open_table(table)?;
    }
    transaction.open_table(ATTACHMENTS)?;
    super::usage::sweep(&transaction, start.run, super::usage::system_micros())?;
    transaction.open_table(CACHE)?;
    transaction.commit()?;
    Ok(Some(start))
}

/// The process ends, and knows it.
pub(super) fn end(transaction: &WriteTransaction, unix_millis: i64) -> Result<(), Error> {
    transaction.open_table(META)?.insert("ended", unix_millis.to_le_bytes().as_slice())?;
    Ok(())
}

/// A file of another version, for tests.
#[cfg(test)]
pub(super) fn write_format(path: &Path, format: u32) {
    let database = Database::create(path).unwrap();
    let transaction = database.begin_write().unwrap();
    let value = [PROGRAM, &format.to_le_bytes()].concat();
    transaction.open_table(META).unwrap().insert("format", value.as_slice()).unwrap();
    transaction.commit().unwrap();
}
