//! What every store outside of the process has in common: how it is asked, and what happens when it does not answer.

mod acknowledgement;
mod error;

pub use acknowledgement::Acknowledgement;
pub use error::{StoreError, StoreFuture};
