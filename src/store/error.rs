//! Why a store did not answer.

use std::{error::Error, fmt, future::Future, pin::Pin};

/// An answer of a store, some time. It borrows nothing, so that a caller may stop waiting at any moment.
pub type StoreFuture<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// A store could not be asked, or its answer could not be used. What then happens to requests is not the store's to
/// say: see `FailurePolicy`.
#[derive(Debug)]
pub struct StoreError {
    what: &'static str,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// What could not be done, in a few words for operators: `"the connection is closed"`. Nothing secret.
    pub fn new(what: &'static str) -> Self {
        Self { what, source: None }
    }

    /// The same, and what it came from.
    pub fn caused_by(what: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { what, source: Some(source.into()) }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn Error + 'static))
    }
}
