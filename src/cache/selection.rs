//! Which of the answers under one key is meant: the request fields named by `Vary`, and their values.

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
/// absent differs from one that is empty.
fn digest(names: &[HeaderName], request: &HeaderMap) -> [u8; 32] {
    let mut hash = Sha256::new();
    for name in names {
        for value in request.get_all(name) {
            hash.update([1]);
            hash.update((value.len() as u64).to_le_bytes());
            hash.update(value.as_bytes());
        }
        hash.update([0]);
    }
    hash.finalize().into()
}
