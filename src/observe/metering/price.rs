//! Tiers, prices and bills: pure functions.

use super::UsageRow;
use crate::error::ConfigError;
use std::collections::BTreeMap;

/// One step of a price: what each unit costs up to a total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tier {
    /// The last unit of the tier, counted from the first one of the bill; `None`: all that follow.
    up_to: Option<u64>,
    /// What a unit costs, in billionths.
    price_nano: u64,
}

/// Prices of requests and of bytes, each in tiers. Absent is free.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceTable {
    requests: Vec<Tier>,
    bytes_in: Vec<Tier>,
    bytes_out: Vec<Tier>,
}

/// What one key owes for the rows of a bill.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BillLine {
    /// Id of the API key.
    pub key_id: String,
    /// Sum of its requests.
    pub requests: u64,
    /// Sum of its bytes in.
    pub bytes_in: u64,
    /// Sum of its bytes out.
    pub bytes_out: u64,
    /// What that costs, in billionths.
    pub amount_nano: u128,
}

impl PriceTable {
    /// Everything is free.
    pub fn new() -> Self {
        Self::default()
    }

    /// The price of a request, as `(up to, billionths)` in rising order.
    ///
    /// # Errors
    ///
    /// Tiers that do not rise, or one after the open one.
    pub fn requests(
        mut self,
        tiers: impl IntoIterator<Item = (Option<u64>, u64)>,
    ) -> Result<Self, ConfigError> {
        self.requests = checked(tiers)?;
        Ok(self)
    }

    /// The price of a byte of a request's body.
    ///
    /// # Errors
    ///
    /// As [`requests`](Self::requests).
    pub fn bytes_in(
        mut self,
        tiers: impl IntoIterator<Item = (Option<u64>, u64)>,
    ) -> Result<Self, ConfigError> {
        self.bytes_in = checked(tiers)?;
        Ok(self)
    }

    /// The price of a byte of an answer.
    ///
    /// # Errors
    ///
    /// As [`requests`](Self::requests).
    pub fn bytes_out(
        mut self,
        tiers: impl IntoIterator<Item = (Option<u64>, u64)>,
    ) -> Result<Self, ConfigError> {
        self.bytes_out = checked(tiers)?;
        Ok(self)
    }

    /// One line a key, by its id. Tiers run over all rows given, so give those of one billing period.
    pub fn bill(&self, rows: &[UsageRow]) -> Vec<BillLine> {
        let mut keys = BTreeMap::<&str, (u64, u64, u64)>::new();
        for row in rows {
            let (requests, bytes_in, bytes_out) = keys.entry(&row.key_id).or_default();
            *requests = requests.saturating_add(row.requests);
            *bytes_in = bytes_in.saturating_add(row.bytes_in);
            *bytes_out = bytes_out.saturating_add(row.bytes_out);
        }
        keys.into_iter().map(|(key, used)| self.line(key, used)).collect()
    }

    fn line(&self, key: &str, (requests, bytes_in, bytes_out): (u64, u64, u64)) -> BillLine {
        let amount_nano = cost(&self.requests, requests)
            .saturating_add(cost(&self.bytes_in, bytes_in))
            .saturating_add(cost(&self.bytes_out, bytes_out));
        BillLine { key_id: key.to_owned(), requests, bytes_in, bytes_out, amount_nano }
    }
}

fn checked(tiers: impl IntoIterator<Item = (Option<u64>, u64)>) -> Result<Vec<Tier>, ConfigError> {
    let tiers: Vec<_> = tiers.into_iter().map(|(up_to, price_nano)| Tier { up_to, price_nano }).collect();
    for pair in tiers.windows(2) {
        let rises = match (pair[0].up_to, pair[1].up_to) {
            (Some(first), Some(next)) => first < next,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if !rises {
            return Err(ConfigError::new(
                "price tier",
                format!("{:?}", pair[1]),
                "does not rise above the one before",
            ));
        }
    }
    Ok(tiers)
}

/// Units beyond a closed last tier cost what its units cost. The dearest that there can be fits into 128 bits.
fn cost(tiers: &[Tier], units: u64) -> u128 {
    let mut charged = 0;
    let mut sum = 0;
    for (index, tier) in tiers.iter().enumerate() {
        let is_last = index + 1 == tiers.len();
        let end = tier.up_to.filter(|_| !is_last).unwrap_or(u64::MAX).min(units);
        sum += u128::from(end.saturating_sub(charged)) * u128::from(tier.price_nano);
        charged = charged.max(end);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tiers_are_charged_unit_by_unit() {
        let table = PriceTable::new().requests([(Some(10), 5), (Some(20), 3), (None, 1)]).unwrap();
        let amount = |units| cost(&table.requests, units);
        assert_eq!([0, 1, 10, 11, 20, 25].map(amount), [0, 5, 50, 53, 80, 85]);
        assert_eq!(cost(&[], 100), 0);
        assert_eq!(cost(&[Tier { up_to: Some(1), price_nano: 2 }], 100), 200);
        assert!(PriceTable::new().bytes_in([(None, 1), (Some(1), 1)]).is_err());
        assert!(PriceTable::new().bytes_out([(Some(2), 1), (Some(2), 1)]).is_err());
    }

    #[test]
    fn rows_of_a_key_are_billed_together() {
        let table =
            PriceTable::new().requests([(Some(10), 5), (None, 1)]).unwrap().bytes_out([(None, 2)]).unwrap();
        let row = |key, day, requests| UsageRow::new(key, "prod", day, requests, 7, 3);
        let bill =
            table.bill(&[row("b", "2026-11-01", 8), row("a", "2026-11-01", 1), row("b", "2026-11-02", 8)]);
        let amounts: Vec<_> =
            bill.iter().map(|line| (line.key_id.as_str(), line.requests, line.amount_nano)).collect();
        assert_eq!(amounts, [("a", 1, 11), ("b", 16, 68)]);
    }

    #[test]
    fn a_bill_that_nobody_can_pay_is_the_largest_number() {
        let dear = || [(None, u64::MAX)];
        let table = PriceTable::new().requests(dear()).unwrap().bytes_in(dear()).unwrap();
        let row = UsageRow::new("k", "prod", "2026-11-01", u64::MAX, u64::MAX, 0);
        assert_eq!(table.bill(&[row])[0].amount_nano, u128::MAX);
    }

    proptest! {
        #[test]
        fn a_bill_is_the_sum_of_its_units(first in 1..50_u64, second in 51..100_u64, units in 0..200_u64) {
            let tiers = checked([(Some(first), 7), (Some(second), 5), (None, 2)]).unwrap();
            let price = |unit: u64| if unit <= first { 7 } else if unit <= second { 5 } else { 2 };
            prop_assert_eq!(cost(&tiers, units), (1..=units).map(price).sum::<u128>());
        }
    }
}
