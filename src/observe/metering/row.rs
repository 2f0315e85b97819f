//! One row of the journal, and its two text forms.

use super::super::access_log::Escaping;

/// What one key used of one stage on one day.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct UsageRow {
    /// `2026-11-22`, UTC.
    pub day: String,
    /// Id of the API key.
    pub key_id: String,
    /// The stage.
    pub stage: String,
    /// Requests.
    pub requests: u64,
    /// Bytes of their bodies.
    pub bytes_in: u64,
    /// Bytes of the answers.
    pub bytes_out: u64,
}

/// The first line of a CSV export.
pub(super) const CSV_HEAD: &str = "day,keyId,stage,requests,bytesIn,bytesOut\n";

impl UsageRow {
    /// A row, for bills of figures that come from elsewhere.
    pub fn new(key_id: &str, stage: &str, day: &str, requests: u64, bytes_in: u64, bytes_out: u64) -> Self {
        let (day, key_id, stage) = (day.to_owned(), key_id.to_owned(), stage.to_owned());
        Self { day, key_id, stage, requests, bytes_in, bytes_out }
    }

    /// A line of CSV (RFC 4180), without its line end.
    pub fn to_csv(&self) -> String {
        let mut line = format!("{},", self.day);
        for text in [&self.key_id, &self.stage] {
            Escaping::Csv.push(text, &mut line);
            line.push(',');
        }
        line + &format!("{},{},{}", self.requests, self.bytes_in, self.bytes_out)
    }

    /// A JSON object in one line, without its line end.
    pub fn to_json(&self) -> String {
        let mut line = String::from("{");
        for (name, text) in [("day", &self.day), ("keyId", &self.key_id), ("stage", &self.stage)] {
            line.push_str(&format!("\"{name}\":\""));
            Escaping::Json.push(text, &mut line);
            line.push_str("\",");
        }
        let Self { requests, bytes_in, bytes_out, .. } = self;
        line + &format!("\"requests\":{requests},\"bytesIn\":{bytes_in},\"bytesOut\":{bytes_out}}}")
    }
}
