//! What no implementation can do without, written by hand for nothing else.

mod counted;
mod limited;

pub use counted::Counted;
pub use limited::Limited;
