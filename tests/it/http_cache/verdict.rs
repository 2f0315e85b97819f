//! What became of a test, and how the results of all tests are counted.

use super::case::{Case, Kind};
use serde_json::Value;
use std::collections::BTreeMap;

/// Why a test did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The cache did what the test says it must not.
    Assertion(String),
    /// The ground for the test could not be laid.
    Setup(String),
    /// The exchange itself failed.
    Harness(String),
}

pub type Verdict = Result<(), Failure>;

pub fn ensure(is_setup: bool, holds: bool, message: impl Fn() -> String) -> Verdict {
    match (holds, is_setup) {
        (true, _) => Ok(()),
        (false, true) => Err(Failure::Setup(message())),
        (false, false) => Err(Failure::Assertion(message())),
    }
}

/// The verdicts of one cache.
#[derive(Debug)]
pub struct Results(BTreeMap<String, Verdict>);

/// How many tests of one kind passed, of how many that ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub passed: usize,
    pub ran: usize,
}

impl Results {
    pub fn new(results: impl IntoIterator<Item = (String, Verdict)>) -> Self {
        Self(results.into_iter().collect())
    }

    /// A peer's published results: `true`, or a kind of failure and a text.
    pub fn of_peer(published: &Value) -> Self {
        let verdict = |value: &Value| match value[0].as_str() {
            None => Ok(()),
            Some("Setup") => Err(Failure::Setup(value[1].to_string())),
            Some(_) => Err(Failure::Assertion(value[1].to_string())),
        };
        Self::new(published.as_object().unwrap().iter().map(|(id, value)| (id.clone(), verdict(value))))
    }

    /// The verdict with regard to the tests this one builds on: where one of them fails, it says nothing. A test that
    /// is not in this part counts as passed.
    pub fn verdict(&self, case: &Case, cases: &[Case]) -> Verdict {
        for name in &case.depends_on {
            let Some(dependency) = cases.iter().find(|other| other.id == *name) else { continue };
            self.verdict(dependency, cases).map_err(|_| Failure::Setup(format!("{name} fails")))?;
        }
        self.0.get(&case.id).cloned().unwrap_or_else(|| Err(Failure::Harness("did not run".to_owned())))
    }

    pub fn count(&self, kind: Kind, cases: &[Case]) -> Count {
        let mut count = Count::default();
        for case in cases.iter().filter(|case| case.kind == kind && self.0.contains_key(&case.id)) {
            count.ran += 1;
            count.passed += usize::from(self.verdict(case, cases).is_ok());
        }
        count
    }
}
