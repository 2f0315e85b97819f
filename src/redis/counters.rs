//! Counters on the wire: what `lease.lua`, `usage.lua` and `remaining.lua` are told and what they answer. Pure.

use super::error::RedisError;
use crate::usage_plan::store::{
    Counter, DayUse, Lease, LeaseAsk, Period, RemainingAsk, Standing, StoredUsage, UsageAsk,
};
use ::redis::Value;

/// Lua's numbers are exact up to here.
pub(super) const EXACT: u64 = (1 << 53) - 1;

/// A limit and what else is counted: what is larger counts as this. Sums of several are still exact, and nobody uses
/// a quadrillion in a period.
pub(super) const MOST_UNITS: u64 = 1 << 50;

/// Arguments of a script, written one after the other.
#[derive(Debug, Default)]
pub(super) struct Arguments(Vec<Vec<u8>>);

impl Arguments {
    /// The first is always the present instant, where time is virtual.
    pub(super) fn at(now: Option<u64>) -> Self {
        let mut arguments = Self::default();
        arguments.push(now.map_or_else(String::new, |now| now.min(EXACT).to_string()));
        arguments
    }

    pub(super) fn push(&mut self, argument: impl Into<Vec<u8>>) {
        self.0.push(argument.into());
    }

    fn number(&mut self, number: impl Into<i64>) {
        self.push(number.into().to_string());
    }

    fn units(&mut self, units: u64) {
        self.push(units.min(MOST_UNITS).to_string());
    }

    fn exact(&mut self, number: u64) {
        self.push(number.min(EXACT).to_string());
    }

    fn limit(&mut self, limit: Option<u64>) {
        self.push(limit.map_or_else(String::new, |limit| limit.min(MOST_UNITS).to_string()));
    }

    fn period(&mut self, period: &Period) {
        self.number(period.start);
        self.exact(u64::try_from(period.end).unwrap_or(0).saturating_mul(1_000_000));
        self.number(period.first_day);
        self.number(period.end_day);
    }

    pub(super) fn slices(&self) -> Vec<&[u8]> {
        self.0.iter().map(Vec::as_slice).collect()
    }
}

/// `buckets`: what to do to them, if there are any.
pub(super) fn lease_arguments(ask: &LeaseAsk, channel: &str, recall: Vec<u8>, buckets: Vec<u8>) -> Arguments {
    let mut arguments = Arguments::at(ask.now);
    arguments.period(&ask.period);
    arguments.limit(ask.limit);
    arguments.push(ask.holder.to_be_bytes());
    arguments.exact(ask.seq);
    arguments.number(u8::from(ask.fresh));
    [ask.hold, ask.need, ask.least, ask.want].into_iter().for_each(|units| arguments.units(units));
    arguments.exact(u64::try_from(ask.epoch.as_micros()).unwrap_or(u64::MAX));
    arguments.push(channel);
    arguments.push(recall);
    arguments.push(buckets);
    for used in &ask.used {
        arguments.number(used.day);
        arguments.number(used.units);
    }
    arguments
}

pub(super) fn usage_arguments(ask: &UsageAsk) -> Arguments {
    let mut arguments = Arguments::at(ask.now);
    arguments.number(ask.period.start);
    arguments.limit(ask.limit);
    arguments.number(ask.first_day);
    arguments.number(ask.last_day);
    arguments
}

pub(super) fn remaining_arguments(ask: &RemainingAsk, channel: &str, change: Vec<u8>) -> Arguments {
    let mut arguments = Arguments::at(ask.now);
    arguments.period(&ask.period);
    arguments.units(ask.limit);
    arguments.units(ask.remaining);
    arguments.push(channel);
    arguments.push(change);
    arguments
}

/// Integers of an answer; the first is the server's time.
pub(super) fn integers(answer: Value) -> Result<Vec<i64>, RedisError> {
    let integers: Vec<i64> = ::redis::from_redis_value(answer).map_err(|_| RedisError::Reply)?;
    if integers.is_empty() { Err(RedisError::Reply) } else { Ok(integers) }
}

pub(super) fn lease_of(integers: &[i64]) -> Result<Lease, RedisError> {
    let [_, standing, granted, pool, out, holders] = integers else { return Err(RedisError::Reply) };
    let standing = match standing {
        0 => Standing::Current,
        1 => Standing::Stale,
        2 => Standing::Settled,
        3 => Standing::Lost,
        _ => return Err(RedisError::Reply),
    };
    let [granted, pool, out, holders] = [granted, pool, out, holders].map(|units| units.unsigned_abs());
    Ok(Lease { standing, granted, pool, out, holders })
}

pub(super) fn usage_of(integers: &[i64]) -> Result<StoredUsage, RedisError> {
    let [_, unknown, remaining, days @ ..] = integers else { return Err(RedisError::Reply) };
    let days = days.chunks_exact(2).map(|day| DayUse { day: day[0] as i32, units: day[1] });
    let mut days: Vec<_> = days.collect();
    days.sort_unstable_by_key(|used| used.day);
    Ok(StoredUsage { days, remaining: u64::try_from(*remaining).ok(), unknown: unknown.unsigned_abs() })
}

/// What is published of a counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Somebody waits for units that others hold; the number is of the store that asked, and is not told.
    Recalled(Counter, u64),
    Changed(Counter),
}

impl News {
    pub(super) fn encode(&self) -> Vec<u8> {
        let (kind, sender, counter) = match self {
            Self::Recalled(counter, sender) => (b'r', *sender, counter),
            Self::Changed(counter) => (b'c', 0, counter),
        };
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&sender.to_be_bytes());
        bytes.extend_from_slice(&counter.subject.to_be_bytes());
        bytes.extend_from_slice(counter.plan.as_bytes());
        bytes
    }

    /// `None` for what a later version may publish.
    pub(super) fn decode(message: &[u8]) -> Option<Self> {
        let (kind, rest) = message.split_first()?;
        let (sender, rest) = rest.split_first_chunk::<8>()?;
        let (subject, plan) = rest.split_first_chunk::<16>()?;
        let plan = std::str::from_utf8(plan).ok()?.into();
        let counter = Counter { plan, subject: u128::from_be_bytes(*subject) };
        match kind {
            b'r' => Some(Self::Recalled(counter, u64::from_be_bytes(*sender))),
            b'c' => Some(Self::Changed(counter)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_are_read_as_they_are_written() {
        let counter = Counter { plan: "gold:é".into(), subject: u128::MAX - 5 };
        for news in [News::Recalled(counter.clone(), 7), News::Changed(counter)] {
            assert_eq!(News::decode(&news.encode()), Some(news));
        }
        for odd in [&b""[..], b"r", b"x\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0gold"] {
            assert_eq!(News::decode(odd), None);
        }
    }

    #[test]
    fn an_answer_of_another_shape_is_an_error() {
        assert_eq!(lease_of(&[1, 0, 5, 6, 7, 8]).unwrap().granted, 5);
        assert_eq!(lease_of(&[1, 9, 0, 0, 0, 0]), Err(RedisError::Reply));
        assert_eq!(lease_of(&[1]), Err(RedisError::Reply));
        assert_eq!(usage_of(&[1, 2]), Err(RedisError::Reply));
        let usage = usage_of(&[1, 2, -1, 9, 4, 8, 3]).unwrap();
        assert_eq!((usage.remaining, usage.unknown), (None, 2));
        assert_eq!(usage.days, [DayUse { day: 8, units: 3 }, DayUse { day: 9, units: 4 }]);
        assert_eq!(integers(Value::Okay), Err(RedisError::Reply));
    }
}
