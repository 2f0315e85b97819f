//! A case of the suite: its exchanges, and what the suite's headers mean.

use serde_json::Value;

/// One test of `tests.json`.
#[derive(Debug)]
pub struct Case {
    pub id: String,
    pub name: String,
    pub kind: Kind,
    pub depends_on: Vec<String>,
    pub requests: Vec<Value>,
}

/// What a failure of the test means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It breaks the RFC.
    Required,
    /// A missed optimisation.
    Optimal,
    /// It describes a behaviour.
    Check,
}

/// The tests that are for shared caches.
pub fn cases(suites: &Value) -> Vec<Case> {
    let tests = suites.as_array().unwrap().iter().flat_map(|suite| suite["tests"].as_array().unwrap());
    tests.filter(|test| test["browser_only"] != true).map(Case::read).collect()
}

impl Case {
    fn read(test: &Value) -> Self {
        let kind = match test["kind"].as_str() {
            None | Some("required") => Kind::Required,
            Some("optimal") => Kind::Optimal,
            Some("check") => Kind::Check,
            Some(other) => panic!("unknown kind {other}"),
        };
        Self {
            id: text(&test["id"]),
            name: text(&test["name"]),
            kind,
            depends_on: list(&test["depends_on"]).iter().map(text).collect(),
            requests: list(&test["requests"]).to_vec(),
        }
    }
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// A list, or an empty one where there is nothing.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Whether a failure of this check would be the set-up's.
pub fn is_setup(request: &Value, check: &str) -> bool {
    request["setup"] == true || list(&request["setup_tests"]).iter().any(|name| name == check)
}

/// The value of a header as the suite writes it: numbers in date fields are seconds from `now_ms`, and locations are
/// put behind `base_url` where the exchange asks for that.
pub fn value_of(header: &Value, request: &Value, now_ms: i64, base_url: &str) -> String {
    let name = text(&header[0]).to_ascii_lowercase();
    let dates = ["date", "expires", "last-modified", "if-modified-since", "if-unmodified-since"];
    if let (true, Some(offset)) = (dates.contains(&name.as_str()), header[1].as_i64()) {
        let rfc850 = list(&request["rfc850date"]).iter().any(|listed| *listed == name.as_str());
        return date(now_ms + offset * 1000, rfc850);
    }
    let value = header[1].as_str().map_or_else(|| header[1].to_string(), str::to_owned);
    let is_location = ["location", "content-location"].contains(&name.as_str());
    match (is_location && request["magic_locations"] == true, value.as_str()) {
        (false, _) => value,
        (true, "") => base_url.to_owned(),
        (true, _) => format!("{base_url}/{value}"),
    }
}

fn date(unix_ms: i64, rfc850: bool) -> String {
    let format = if rfc850 { "%A, %d-%b-%y %H:%M:%S GMT" } else { "%a, %d %b %Y %H:%M:%S GMT" };
    jiff::Timestamp::from_millisecond(unix_ms).unwrap().strftime(format).to_string()
}

/// The suite runs on the real clock, which the caches it was written for do as well.
#[allow(clippy::disallowed_methods, reason = "the suite's own time is real")]
pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

#[allow(clippy::disallowed_methods, reason = "the suite's own pauses are real time")]
pub async fn pause(seconds: f64) {
    tokio::time::sleep(std::time::Duration::from_secs_f64(seconds)).await;
}

/// JavaScript's view of the bytes of a header: each is a character.
pub fn from_latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// The reverse.
pub fn to_latin1(text: &str) -> Vec<u8> {
    text.chars().map(|character| u8::try_from(u32::from(character)).unwrap()).collect()
}
