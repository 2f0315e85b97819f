//! Metering: what each key used, as the seed of a bill.
//!
//! [`UsageJournal`], an [`Observer`](super::Observer), counts requests and bytes by API key, stage and day (UTC, by
//! arrival). It exports them as CSV or JSON lines, and a [`PriceTable`] of yours makes a bill of them: a pure function
//! of rows and prices, so that a month can be computed again from what was exported ([`UsageRow::read_csv`]).
//!
//! 1. Only answered requests of a verified key are counted; refusals are free ([`UsageJournal::with_refusals`] counts
//!    them too).
//! 2. Bytes in are what was read of the request's body, whatever its length was announced to be; bytes out are what was
//!    handed over of the answer. A body is counted by [`Gateway`](crate::gateway) or by a `PayloadLimitLayer` inside of the
//!    observer; without either, bytes in stay 0.
//! 3. Money is whole billionths of your currency's unit; nothing is rounded before the end.
//!
//! ```
//! use tower_gateway::observe::metering::{PriceTable, UsageRow};
//!
//! // A million requests at 3.50, every further one at 2.80 the million.
//! let prices = PriceTable::new().requests([(Some(1_000_000), 3_500), (None, 2_800)])?;
//! let row = UsageRow::new("partner", "prod", "2026-11-22", 1_500_000, 0, 0);
//! let bill = prices.bill(&[row]);
//! assert_eq!(bill[0].key_id, "partner");
//! assert_eq!(bill[0].amount_nano, 4_900_000_000);
//!
//! // Tiers rise, and nothing comes after the open one.
//! assert!(PriceTable::new().requests([(Some(2_000_000), 3_500), (Some(1_000_000), 2_800)]).is_err());
//! assert!(PriceTable::new().requests([(None, 3_500), (Some(1_000_000), 2_800)]).is_err());
//! # Ok::<(), tower_gateway::ConfigError>(())
//! ```

mod journal;
mod price;
mod row;

pub use journal::UsageJournal;
pub use price::{BillLine, PriceTable};
pub use row::UsageRow;
