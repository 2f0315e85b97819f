//! Leases: how a quota that many processes share is spent by each of them without asking. Pure: no I/O, no clock.

mod book;
mod hand;
mod holding;
mod ledger;
mod manner;
mod pace;
mod uses;

pub(super) use hand::Terms;
pub(super) use holding::{After, Ends, Holding, Usable};
pub use ledger::LeaseLedger;
#[cfg(feature = "redb")]
pub(crate) use ledger::{HolderRecord, PeriodLedger};
pub(super) use manner::{Manner, Names};

#[cfg(test)]
mod tests;
