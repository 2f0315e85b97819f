//! What stands in Redis about one caller, for operators: nothing is changed, and nothing is settled.

use super::{Redis, RedisError, buckets};
use crate::{context::subject, usage_plan::store::Counter};
use ::redis::Value;
use std::time::Duration;

/// What is counted for a key on a plan, and who holds what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// Units used by day, counted from 1970-01-01; what is held is not in them.
    pub days: Vec<(i32, i64)>,
    /// Periods that are remembered.
    pub periods: Vec<InspectedPeriod>,
    /// Tokens missing from the plan's general bucket, in units of 10^-18, and when that was, in microseconds since 1970.
    /// `None`: it is full.
    pub bucket: Option<(u128, u64)>,
}

/// One period of a quota.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct InspectedPeriod {
    /// First second, since 1970-01-01T00:00:00Z.
    pub start: i64,
    /// Used, less what was granted on top, plus all that is held.
    pub charged: i64,
    /// Who holds units, or has.
    pub leases: Vec<InspectedLease>,
}

/// What one process holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InspectedLease {
    /// The process's random number.
    pub holder: u128,
    /// Units in its hand: some may be used already.
    pub held: u64,
    /// When they count as used, in microseconds since 1970.
    pub until: u64,
}

impl Redis {
    /// What is counted for an API key, by its id, on a plan.
    ///
    /// # Errors
    ///
    /// Redis did not answer in time, or what it holds was written by a later version.
    pub async fn inspect(
        &self,
        plan_id: &str,
        key_id: &str,
        within: Duration,
    ) -> Result<Inspection, RedisError> {
        let counter = Counter { plan: plan_id.into(), subject: subject("key", key_id) };
        let key = |kind| buckets::of_counter(self.names(), kind, &counter);
        let days = self.call(::redis::cmd("HGETALL").arg(key("days")), within).await?;
        let mut days: Vec<(i32, i64)> = pairs(days)?;
        days.sort_unstable();
        let fields = self.call(::redis::cmd("HGETALL").arg(key("counter")), within).await?;
        let periods = periods_of(&pairs::<Vec<u8>, Vec<u8>>(fields)?).ok_or(RedisError::Reply)?;
        let bucket =
            match self.call(::redis::cmd("HGET").arg(key("bucket")).arg(buckets::ONLY), within).await? {
                Value::BulkString(state) => Some(buckets::decode_state(&state).ok_or(RedisError::Reply)?),
                _ => None,
            };
        Ok(Inspection { days, periods, bucket })
    }
}

fn pairs<K, V>(answer: Value) -> Result<Vec<(K, V)>, RedisError>
where
    K: ::redis::FromRedisValue,
    V: ::redis::FromRedisValue,
{
    ::redis::from_redis_value(answer).map_err(|_| RedisError::Reply)
}

/// See `scripts/settle.lua` for the fields.
fn periods_of(fields: &[(Vec<u8>, Vec<u8>)]) -> Option<Vec<InspectedPeriod>> {
    let mut periods = Vec::new();
    for (field, value) in fields {
        if let Some(start) = field.strip_prefix(b"p") {
            let start = std::str::from_utf8(start).ok()?.parse().ok()?;
            let charged = value.get(7..14)?.try_into().ok().map(signed)?;
            periods.push(InspectedPeriod { start, charged, leases: Vec::new() });
        }
    }
    periods.sort_unstable_by_key(|period| period.start);
    for (field, value) in fields {
        let Some(name) = field.strip_prefix(b"h") else { continue };
        let colon = name.iter().position(|byte| *byte == b':')?;
        let start: i64 = std::str::from_utf8(&name[..colon]).ok()?.parse().ok()?;
        let lease = InspectedLease {
            holder: u128::from_be_bytes(name.get(colon + 1..)?.try_into().ok()?),
            until: unsigned(value.get(7..14)?.try_into().ok()?),
            held: unsigned(value.get(14..21)?.try_into().ok()?),
        };
        periods
            .iter_mut()
            .filter(|period| period.start == start)
            .for_each(|it| it.leases.push(lease.clone()));
    }
    Some(periods)
}

fn unsigned(bytes: [u8; 7]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn signed(bytes: [u8; 7]) -> i64 {
    (unsigned(bytes) << 8) as i64 >> 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_below_zero_are_read() {
        assert_eq!(signed([255; 7]), -1);
        assert_eq!(signed([0, 0, 0, 0, 0, 1, 2]), 258);
    }

    #[test]
    fn what_a_later_version_wrote_is_not_guessed() {
        assert_eq!(periods_of(&[(b"p12".to_vec(), vec![0; 3])]), None);
        assert_eq!(periods_of(&[(b"h12".to_vec(), vec![0; 21])]), None);
        assert_eq!(periods_of(&[]), Some(Vec::new()));
    }
}
