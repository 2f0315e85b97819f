//! What every store outside of the process has in common: how it is asked, and what happens when it does not answer.

mod error;

pub use error::{StoreError, StoreFuture};
