//! Who asks a store for units, and how.

use super::super::store::Counter;
use std::time::Duration;

/// Who asks: names that no other process or time has.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Names {
    pub(in super::super) holder: u128,
    pub(in super::super) seq: u64,
}

/// How an ask is to be made.
#[derive(Clone, Debug)]
pub(in super::super) struct Manner {
    pub(in super::super) counter: Counter,
    pub(in super::super) names: Names,
    pub(in super::super) epoch: Duration,
    pub(in super::super) day: i32,
    pub(in super::super) now: u64,
    pub(in super::super) virtual_now: Option<u64>,
}
