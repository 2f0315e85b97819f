//! Counts by key, stage and day.

use super::{
    super::{event::RequestEvent, layer::Observer},
    row::{CSV_HEAD, UsageRow},
};
use crate::context::civil_from_days;
use std::{
    array,
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Locks that keys share. Who reads holds one of them at a time, while a few words of each of its rows are copied, so that
/// the requests of a hundred thousand keys are not held up until all are read.
const SHARDS: usize = 64;

/// Requests and bytes by key, stage and day; see the [module docs](super). A clone is a reference count.
///
/// One row takes about 150 bytes and its names; take finished days out with [`take_before`](Self::take_before).
#[derive(Clone, Debug, Default)]
pub struct UsageJournal {
    counts: Arc<Counts>,
    refusals: bool,
}

/// All counts, spread by key.
#[derive(Debug)]
struct Counts {
    shards: [Mutex<Days>; SHARDS],
    hash: RandomState,
}

type Days = HashMap<i64, Keys>;

/// Per key, then per stage.
type Keys = HashMap<Arc<str>, HashMap<Arc<str>, Used>>;

/// Day, key and stage, and what was used.
type Count = (i64, Arc<str>, Arc<str>, Used);

#[derive(Clone, Copy, Debug, Default)]
struct Used {
    requests: u64,
    bytes_in: u64,
    bytes_out: u64,
}

impl UsageJournal {
    /// Without refused requests.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts refused requests too. Default: they are free.
    #[must_use]
    pub fn with_refusals(mut self, counted: bool) -> Self {
        self.refusals = counted;
        self
    }

    /// Every row, by day, key and stage: each as it stood at some moment of the call. Requests go on meanwhile.
    pub fn rows(&self) -> Vec<UsageRow> {
        rows_of(self.counts.all(|days| days.iter().flat_map(|(day, keys)| counts_of(*day, keys)).collect()))
    }

    /// Takes the rows of all days before `unix_seconds` out: they are yours now, and not counted again.
    pub fn take_before(&self, unix_seconds: i64) -> Vec<UsageRow> {
        let first_kept = unix_seconds.div_euclid(86_400);
        let taken = self.counts.all(|days| days.extract_if(|day, _| *day < first_kept).collect());
        rows_of(taken.iter().flat_map(|(day, keys)| counts_of(*day, keys)).collect())
    }

    /// All rows as CSV with a head.
    pub fn to_csv(&self) -> String {
        self.rows().iter().fold(CSV_HEAD.to_owned(), |text, row| text + &row.to_csv() + "\n")
    }

    /// All rows as JSON lines.
    pub fn to_json_lines(&self) -> String {
        self.rows().iter().fold(String::new(), |text, row| text + &row.to_json() + "\n")
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self { shards: array::from_fn(|_| Mutex::default()), hash: RandomState::new() }
    }
}

impl Counts {
    fn of_key(&self, key: &str) -> MutexGuard<'_, Days> {
        let shard = self.hash.hash_one(key) as usize % SHARDS;
        lock(&self.shards[shard])
    }

    /// What `take` gives of each shard, one after the other.
    fn all<T>(&self, take: impl Fn(&mut Days) -> Vec<T>) -> Vec<T> {
        self.shards.iter().flat_map(|shard| take(&mut lock(shard))).collect()
    }
}

fn lock(shard: &Mutex<Days>) -> MutexGuard<'_, Days> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn counts_of(day: i64, keys: &Keys) -> impl Iterator<Item = Count> {
    let count = move |key: &Arc<str>, (stage, used): (&Arc<str>, &Used)| {
        (day, Arc::clone(key), Arc::clone(stage), *used)
    };
    keys.iter().flat_map(move |(key, stages)| stages.iter().map(move |of_stage| count(key, of_stage)))
}

/// Sorted and written out: behind all locks.
fn rows_of(mut counts: Vec<Count>) -> Vec<UsageRow> {
    counts.sort_by(|one, other| (one.0, &one.1, &one.2).cmp(&(other.0, &other.1, &other.2)));
    counts.iter().map(row).collect()
}

fn row((day, key, stage, used): &Count) -> UsageRow {
    let (year, month, day) = civil_from_days(*day);
    let date = format!("{year:04}-{month:02}-{day:02}");
    UsageRow::new(key, stage, &date, used.requests, used.bytes_in, used.bytes_out)
}

impl Observer for UsageJournal {
    fn ended(&self, event: &RequestEvent<'_>) {
        let context = event.context();
        let Some(key) = context.api_key() else { return };
        let counted = event.status().is_some() && (self.refusals || event.error().is_none());
        if !counted {
            return;
        }
        let stage = context.stage().unwrap_or("-");
        let mut days = self.counts.of_key(key.id());
        let day = days.entry(context.arrived().unix_seconds().div_euclid(86_400)).or_default();
        let used = entry(entry(day, key.id()), stage);
        used.requests += 1;
        used.bytes_in = used.bytes_in.saturating_add(event.request_length().unwrap_or(0));
        used.bytes_out = used.bytes_out.saturating_add(event.response_length());
    }
}

/// The value of a name, which is copied where it is new alone.
fn entry<'a, V: Default>(map: &'a mut HashMap<Arc<str>, V>, name: &str) -> &'a mut V {
    let name = map.get_key_value(name).map_or_else(|| name.into(), |(known, _)| Arc::clone(known));
    map.entry(name).or_default()
}
