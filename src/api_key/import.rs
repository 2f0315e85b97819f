//! AWS's key file: columns, records, and what an import of them will do.

use super::{
    csv::{self, Record, fault},
    digest::KeyDigest,
    format::generate_id,
    record::{ApiKey, EXISTS},
};
use crate::error::ConfigError;
use std::collections::HashMap;

/// How strict an import is.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct ImportOptions {
    fail_on_warnings: bool,
}

impl ImportOptions {
    /// What cannot be read is skipped, with a warning.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing is imported if there is a warning (`failonwarnings`). Default: `false`, records that break a
    /// limit are skipped.
    #[must_use]
    pub fn fail_on_warnings(self, fail_on_warnings: bool) -> Self {
        Self { fail_on_warnings }
    }
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportReport {
    /// The ids of the keys, new and overwritten, in the order of the file.
    pub ids: Vec<String>,
    /// What was skipped or read as false, one sentence each. Never a key value.
    pub warnings: Vec<String>,
    /// The usage plans that the file names for a key, by key id; keys without plans are left out.
    pub plan_ids: Vec<(String, Vec<String>)>,
}

/// A record, read but not yet judged against the keys that exist.
#[derive(Debug)]
struct Row {
    line: usize,
    /// Counted from 1, without the header.
    number: usize,
    enabled_is_odd: bool,
    plans: Vec<String>,
    key: ApiKey,
    /// What is wrong with the record by itself.
    check: Result<(), ConfigError>,
}

/// A file, read.
#[derive(Debug)]
pub(super) struct File {
    rows: Vec<Row>,
    faults: Vec<Fault>,
}

/// Something to warn of.
#[derive(Debug)]
struct Fault {
    line: usize,
    warning: String,
    problem: String,
}

impl Fault {
    fn skipped(line: usize, number: usize, problem: &str) -> Self {
        let warning = format!("Skipped invalid record: {number}. {problem} (line {line})");
        Self { line, warning, problem: problem.to_owned() }
    }
}

/// Whose value it is.
#[derive(Debug)]
pub(super) enum Owner {
    Nobody,
    Key(String),
    /// A value that was rotated away: it is nobody's to take.
    Rotated,
}

/// A key to insert, or to overwrite by its id.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) key: ApiKey,
    pub(super) digest: KeyDigest,
    pub(super) existing: bool,
}

/// What an import will do.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) keys: Vec<Planned>,
    pub(super) report: ImportReport,
}

/// Where the known columns stand.
#[derive(Debug, Default)]
struct Columns {
    name: Option<usize>,
    key: Option<usize>,
    description: Option<usize>,
    enabled: Option<usize>,
    plans: Option<usize>,
    count: usize,
}

impl Columns {
    fn read(header: &Record) -> Result<Self, ConfigError> {
        let mut columns = Self { count: header.fields.len(), ..Self::default() };
        for (index, name) in header.fields.iter().enumerate() {
            let Some(column) = columns.by_name(name) else { continue };
            if column.replace(index).is_some() {
                return Err(fault(header.line, "a column is named twice"));
            }
        }
        if columns.name.is_none() || columns.key.is_none() {
            return Err(fault(header.line, "the columns `Name` and `Key` are required"));
        }
        Ok(columns)
    }

    fn by_name(&mut self, name: &str) -> Option<&mut Option<usize>> {
        match &*name.to_ascii_lowercase() {
            "name" => Some(&mut self.name),
            "key" => Some(&mut self.key),
            "description" => Some(&mut self.description),
            "enabled" => Some(&mut self.enabled),
            "usageplanids" => Some(&mut self.plans),
            _ => None,
        }
    }
}

/// Reads a file; `check` judges each record by itself.
pub(super) fn read(
    text: &str,
    check: impl Fn(&ApiKey) -> Result<(), ConfigError>,
) -> Result<File, ConfigError> {
    let mut records = csv::records(text)?.into_iter();
    let header = records.next().ok_or_else(|| fault(1, "the file is empty"))?;
    let columns = Columns::read(&header)?;
    let mut file = File { rows: Vec::new(), faults: Vec::new() };
    for (number, record) in (1..).zip(records) {
        if record.fields.len() > columns.count {
            file.faults.push(Fault::skipped(record.line, number, "more fields than the header names"));
        } else {
            file.rows.push(row(&columns, record, number, &check));
        }
    }
    Ok(file)
}

fn row(
    columns: &Columns,
    mut record: Record,
    number: usize,
    check: impl Fn(&ApiKey) -> Result<(), ConfigError>,
) -> Row {
    let mut field = |column: Option<usize>| {
        column.and_then(|index| record.fields.get_mut(index)).map(std::mem::take).unwrap_or_default()
    };
    let (enabled, odd) = boolean(&field(columns.enabled));
    let plans = field(columns.plans);
    let plans = plans.split(',').map(str::trim).filter(|plan| !plan.is_empty());
    let key = ApiKey::new(UNNAMED).value(field(columns.key)).name(field(columns.name));
    let key = key.description(field(columns.description)).enabled(enabled);
    Row {
        line: record.line,
        number,
        enabled_is_odd: odd,
        plans: plans.map(str::to_owned).collect(),
        check: check(&key),
        key,
    }
}

/// Stands for the id until the key gets one.
const UNNAMED: &str = "imported";

/// The value, and whether it is to be warned of. No text is the default, true.
fn boolean(text: &str) -> (bool, bool) {
    match &*text.trim().to_ascii_lowercase() {
        "" | "true" => (true, false),
        "false" => (false, false),
        _ => (false, true),
    }
}

/// Decides what happens to each record. Nothing has changed when it answers with an error.
pub(super) fn plan(
    file: File,
    options: ImportOptions,
    owner: impl Fn(&KeyDigest) -> Owner,
    is_taken: impl Fn(&str) -> bool,
) -> Result<Plan, ConfigError> {
    let mut faults = file.faults;
    let mut accepted: Vec<(Planned, Vec<String>)> = Vec::new();
    let mut places: HashMap<KeyDigest, usize> = HashMap::new();
    for row in file.rows {
        let (line, number, odd) = (row.line, row.number, row.enabled_is_odd);
        match judge(row, &owner, &is_taken)? {
            Err(problem) => faults.push(Fault::skipped(line, number, &problem)),
            Ok((planned, plans)) => {
                faults.extend(odd.then(|| odd_boolean(line, number)));
                overwrite_or_push(&mut accepted, &mut places, planned, plans);
            }
        }
    }
    faults.sort_by_key(|fault| fault.line);
    if let Some(first) = faults.first().filter(|_| options.fail_on_warnings) {
        return Err(ConfigError::new("API key file", format!("line {}", first.line), first.problem.clone()));
    }
    Ok(report(accepted, faults))
}

type Judged = Result<(Planned, Vec<String>), String>;

/// The outer error is a fault of the machine, the inner one of the record.
fn judge(
    row: Row,
    owner: impl Fn(&KeyDigest) -> Owner,
    is_taken: impl Fn(&str) -> bool,
) -> Result<Judged, ConfigError> {
    if let Err(error) = row.check {
        return Ok(Err(error.problem().to_owned()));
    }
    let mut key = row.key;
    let digest = KeyDigest::of(key.value.as_bytes());
    let owner = owner(&digest);
    let existing = matches!(owner, Owner::Key(_));
    key.id = match owner {
        Owner::Nobody => free_id(is_taken)?,
        Owner::Key(id) => id,
        Owner::Rotated => return Ok(Err(EXISTS.to_owned())),
    };
    Ok(Ok((Planned { key, digest, existing }, row.plans)))
}

fn free_id(is_taken: impl Fn(&str) -> bool) -> Result<String, ConfigError> {
    loop {
        let id = generate_id()?;
        if !is_taken(&id) {
            return Ok(id);
        }
    }
}

fn odd_boolean(line: usize, number: usize) -> Fault {
    let problem = "`Enabled` is neither true nor false and counts as false";
    Fault { line, warning: format!("Record {number}: {problem} (line {line})"), problem: problem.to_owned() }
}

/// The last record of a value wins; it keeps the place and the id of the first.
fn overwrite_or_push(
    accepted: &mut Vec<(Planned, Vec<String>)>,
    places: &mut HashMap<KeyDigest, usize>,
    mut planned: Planned,
    plans: Vec<String>,
) {
    match places.get(&planned.digest).and_then(|place| accepted.get_mut(*place)) {
        Some(earlier) => {
            planned.key.id = std::mem::take(&mut earlier.0.key.id);
            *earlier = (planned, plans);
        }
        None => {
            places.insert(planned.digest, accepted.len());
            accepted.push((planned, plans));
        }
    }
}

fn report(accepted: Vec<(Planned, Vec<String>)>, faults: Vec<Fault>) -> Plan {
    let warnings = faults.into_iter().map(|fault| fault.warning).collect();
    let mut report = ImportReport { warnings, ..ImportReport::default() };
    let mut keys = Vec::with_capacity(accepted.len());
    for (planned, plans) in accepted {
        report.ids.push(planned.key.id.clone());
        if !plans.is_empty() {
            report.plan_ids.push((planned.key.id.clone(), plans));
        }
        keys.push(planned);
    }
    Plan { keys, report }
}
