//! Leases: how a quota that many processes share is spent by each of them without asking. Pure: no I/O, no clock.

mod book;
mod hand;
mod holding;
mod ledger;
mod pace;
mod uses;

pub(super) use hand::Terms;
pub(super) use holding::{After, Holding, Manner, Names, Usable};
pub use ledger::LeaseLedger;
#[cfg(feature = "redb")]
pub(crate) use ledger::{HolderRecord, PeriodLedger};

#[cfg(test)]
mod tests;
