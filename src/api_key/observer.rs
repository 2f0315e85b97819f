//! Who is told of changes to the keys: stores outside of the process.
//!
//! The seam, in three steps:
//!
//! * `ApiKeys::observe` attaches a [`KeyObserver`]. Its `start` function is given the keys that there are and answers
//!   with the changes that make them those of the store, in the same critical section: no change falls in between.
//! * Every change that is made through the handle is told to the observers first, one step with all its keys. Only
//!   when all have agreed is it visible to requests and acknowledged; an error refuses it, and nothing has changed.
//! * `ApiKeys::apply` makes a change that comes from a store, and tells nobody.
//!
//! Observers are called under the lock of the records, one change at a time and in order. They may wait (for a disk),
//! since no request asks for that lock; they must not call the handle.

use super::image::KeyImage;
use crate::error::ConfigError;
use std::sync::Arc;

/// One key, after the change.
#[derive(Clone, Debug)]
pub(crate) enum KeyChange {
    /// Added, or in place of the one with its id.
    Put(KeyImage),
    Delete(Arc<str>),
}

/// Is told of every change before it counts; see the [module docs](self).
pub(crate) trait KeyObserver: Send + Sync {
    /// An error refuses the change.
    fn changing(&self, changes: &[KeyChange]) -> Result<(), ConfigError>;
}
