//! Counts by key, stage and day.

use super::{
    super::{event::RequestEvent, layer::Observer},
    row::{CSV_HEAD, UsageRow},
};
use crate::context::civil_from_days;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Requests and bytes by key, stage and day; see the [module docs](super). A clone is a reference count.
///
/// One row takes about 150 bytes and its names; take finished days out with [`take_before`](Self::take_before).
#[derive(Clone, Debug, Default)]
pub struct UsageJournal {
    days: Arc<Mutex<Days>>,
    refusals: bool,
}

/// Per day, then per key and stage.
type Days = HashMap<i64, HashMap<String, HashMap<String, Used>>>;

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

    /// Every row, by day, key and stage.
    pub fn rows(&self) -> Vec<UsageRow> {
        rows_of(&self.days.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the rows of all days before `unix_seconds` out: they are yours now, and not counted again.
    pub fn take_before(&self, unix_seconds: i64) -> Vec<UsageRow> {
        let first_kept = unix_seconds.div_euclid(86_400);
        let mut days = self.days.lock().unwrap_or_else(PoisonError::into_inner);
        let (taken, kept) = std::mem::take(&mut *days).into_iter().partition(|(day, _)| *day < first_kept);
        *days = kept;
        drop(days);
        rows_of(&taken)
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

fn rows_of(days: &Days) -> Vec<UsageRow> {
    let keys = days.iter().flat_map(|(day, keys)| keys.iter().map(move |(key, stages)| (day, key, stages)));
    let mut rows: Vec<_> = keys
        .flat_map(|(day, key, stages)| stages.iter().map(move |(stage, used)| row(*day, key, stage, used)))
        .collect();
    rows.sort();
    rows
}

fn row(day: i64, key: &str, stage: &str, used: &Used) -> UsageRow {
    let (year, month, day) = civil_from_days(day);
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
        let mut days = self.days.lock().unwrap_or_else(PoisonError::into_inner);
        let day = days.entry(context.arrived().unix_seconds().div_euclid(86_400)).or_default();
        let used = entry(entry(day, key.id()), stage);
        used.requests += 1;
        used.bytes_in = used.bytes_in.saturating_add(event.request_length().unwrap_or(0));
        used.bytes_out = used.bytes_out.saturating_add(event.response_length());
    }
}

/// The value of a name, made where it is new.
fn entry<'a, V: Default>(map: &'a mut HashMap<String, V>, name: &str) -> &'a mut V {
    map.entry(name.to_owned()).or_default()
}
