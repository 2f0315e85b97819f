//! Leases: how a quota that many processes share is spent by each of them without asking. Pure: no I/O, no clock.

mod ledger;

pub use ledger::LeaseLedger;
