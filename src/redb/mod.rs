//! State that survives a restart, in one file.
mod cache;
mod error;
mod file;
mod kept;
mod keys;
mod ledger;
mod plans;
mod queue;
mod tables;
mod usage;
mod writer;

pub use cache::FileCacheStore;
pub use error::StateFileError;
pub use file::{StateFile, StateFileBuilder, StateFileStats};
pub use usage::{FileUsageStore, UnknownUsage};

#[cfg(test)]
mod tests;
