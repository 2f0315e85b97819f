//! One row of the journal, its two text forms, and what is read back.

use super::super::access_log::Escaping;
use crate::error::ConfigError;
use std::borrow::Cow;

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

    /// Reads what [`UsageJournal::to_csv`](super::UsageJournal::to_csv) has written, of one day or of many, one export
    /// after the other: to make a month's bill again. Control characters in names, which an export writes as `\u000a`, are
    /// not turned back.
    ///
    /// # Errors
    ///
    /// A line that is neither a head nor a row.
    pub fn read_csv(text: &str) -> Result<Vec<Self>, ConfigError> {
        let lines = text.lines().enumerate();
        let rows = lines.filter(|(_, line)| !line.is_empty() && *line != CSV_HEAD.trim_end());
        let read = |(index, line)| {
            let problem = "is not a row of an export";
            Self::of_csv(line)
                .ok_or_else(|| ConfigError::new("usage journal", format!("line {}", index + 1), problem))
        };
        rows.map(read).collect()
    }

    fn of_csv(line: &str) -> Option<Self> {
        let mut rest = Some(line);
        let mut next = || {
            let (field, behind) = field(rest?)?;
            rest = behind;
            Some(field)
        };
        let (day, key_id, stage) = (next()?, next()?, next()?);
        let mut number = || next()?.parse().ok();
        let (requests, bytes_in, bytes_out) = (number()?, number()?, number()?);
        let row = Self::new(&key_id, &stage, &day, requests, bytes_in, bytes_out);
        rest.is_none().then_some(row)
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

/// The first field of a line, and what stands behind its comma, if there is one.
fn field(line: &str) -> Option<(Cow<'_, str>, Option<&str>)> {
    let Some(mut rest) = line.strip_prefix('"') else {
        let (field, behind) = line.split_once(',').map_or((line, None), |(field, rest)| (field, Some(rest)));
        return Some((field.into(), behind));
    };
    let mut text = String::new();
    loop {
        let (part, behind) = rest.split_once('"')?;
        text.push_str(part);
        rest = match behind.strip_prefix('"') {
            Some(more) => more,
            None if behind.is_empty() => return Some((text.into(), None)),
            None => return Some((text.into(), Some(behind.strip_prefix(',')?))),
        };
        text.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_row_is_named_by_its_line() {
        let row = "2026-11-22,\"a,\"\"b\",prod,1,2,3";
        let text = format!("{CSV_HEAD}{row}\r\n\n{CSV_HEAD}{row}\n");
        let read = UsageRow::read_csv(&text).unwrap();
        assert_eq!(read, vec![UsageRow::new("a,\"b", "prod", "2026-11-22", 1, 2, 3); 2]);
        for wrong in ["x", "a,b,c,1,2", "a,b,c,1,2,3,4", "a,b,c,1,2,-3", "a,\"b,c,1,2,3", "a,\"b\"x,c,1,2,3"]
        {
            let error = UsageRow::read_csv(&format!("{row}\n{wrong}")).unwrap_err();
            assert_eq!(error.value(), "line 2", "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn an_export_is_read_back_as_it_was(
            names in proptest::collection::vec(("[ -~äß]{0,12}", "[ -~]{0,12}"), 0..6),
            numbers in any::<(u64, u64, u64)>(),
        ) {
            let (requests, bytes_in, bytes_out) = numbers;
            let rows: Vec<_> = names
                .iter()
                .map(|(key, stage)| UsageRow::new(key, stage, "2026-11-22", requests, bytes_in, bytes_out))
                .collect();
            let text = rows.iter().fold(CSV_HEAD.to_owned(), |text, row| text + &row.to_csv() + "\n");
            prop_assert_eq!(UsageRow::read_csv(&text).unwrap(), rows);
        }

        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            let _ = UsageRow::read_csv(&text);
        }
    }
}
