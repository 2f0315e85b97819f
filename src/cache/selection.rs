//! Which of the answers under one key is meant: the request fields named by `Vary`, and their values.

use super::rfc::vary;
use http::{HeaderMap, HeaderName};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The fields an answer varies by, and the values of the request that brought it, in digest: they may be credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selection {
    names: Arc<[HeaderName]>,
    values: [u8; 32],
}

impl Selection {
    /// `names` in a fixed order (sorted, without repetition).
    pub(crate) fn of(names: Arc<[HeaderName]>, request: &HeaderMap) -> Self {
        let values = digest(&names, request);
        Self { names, values }
    }

    /// What was written down of one.
    pub(crate) fn from_parts(names: Arc<[HeaderName]>, values: [u8; 32]) -> Self {
        Self { names, values }
    }

    pub(crate) fn names(&self) -> &Arc<[HeaderName]> {
        &self.names
    }

    pub(crate) fn values(&self) -> &[u8; 32] {
        &self.values
    }

    /// Whether a request has the same values.
    pub(crate) fn matches(&self, request: &HeaderMap) -> bool {
        digest(&self.names, request) == self.values
    }
}

/// Every value of every named field, with lengths, so that no two sets of values look the same. A field that is
/// absent differs from one that is empty; of a field that is known to be a list, each member is a value.
fn digest(names: &[HeaderName], request: &HeaderMap) -> [u8; 32] {
    let mut hash = Sha256::new();
    for name in names {
        let is_list = vary::is_list(name, request);
        for line in request.get_all(name) {
            if is_list {
                vary::members(line).for_each(|member| add(&mut hash, member));
            } else {
                add(&mut hash, line.as_bytes());
            }
        }
        hash.update([if request.contains_key(name) { 2 } else { 0 }]);
    }
    hash.finalize().into()
}

fn add(hash: &mut Sha256, value: &[u8]) {
    hash.update([1]);
    hash.update((value.len() as u64).to_le_bytes());
    hash.update(value);
}
