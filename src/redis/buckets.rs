//! Token buckets on the wire: how a request's limits are told to `throttle.lua`, and what it answers. Pure.

use super::{error::RedisError, names::Names};
use crate::usage_plan::store::{BucketAsk, BucketId, BucketLevel, Counter, ThrottleAsk, Tokens};

/// Words of a deficit and halves of a product, as the script forms them.
const BASE: u128 = 100_000_000_000_000;
const HALF: u64 = 10_000_000;

const SHADOW: u8 = 1;
const FIELD: u8 = 2;

/// The key of a bucket. All method buckets of a caller lie in one hash, so that they can be forgotten together.
pub(super) fn key(names: &Names, id: &BucketId) -> String {
    match id {
        BucketId::Key(counter) => of_counter(names, "bucket", counter),
        BucketId::Method(counter, _) => of_counter(names, "methods", counter),
        BucketId::Stage(stage, method) => names.name("stage", &[stage, &format!("{method:016x}")]),
        BucketId::Account => names.name("account", &[]),
    }
}

/// The name of something that belongs to a caller on a plan.
pub(super) fn of_counter(names: &Names, kind: &str, counter: &Counter) -> String {
    names.name(kind, &[&counter.plan, &format!("{:032x}", counter.subject)])
}

/// What to do to which buckets, in one argument.
pub(super) fn encode(ask: &ThrottleAsk) -> Vec<u8> {
    let (action, tokens) = match ask.tokens {
        Tokens::Take(tokens) => (0_u8, tokens),
        Tokens::GiveBack(tokens) => (1, tokens),
        Tokens::Overdraw(tokens) => (2, tokens),
    };
    let mut bytes = Vec::with_capacity(5 + ask.buckets.len() * 21);
    bytes.push(action);
    bytes.extend_from_slice(&tokens.to_be_bytes());
    ask.buckets.iter().for_each(|bucket| push_bucket(&mut bytes, bucket));
    bytes
}

fn push_bucket(bytes: &mut Vec<u8>, bucket: &BucketAsk) {
    let (method, field) = match bucket.id {
        BucketId::Method(_, method) => (method, FIELD),
        _ => (0, 0),
    };
    bytes.push(if bucket.shadow { SHADOW } else { 0 } | field);
    let rate = bucket.throttle.nano_rate();
    bytes.extend_from_slice(&((rate % HALF) as u32).to_be_bytes()[1..]);
    bytes.extend_from_slice(&((rate / HALF % HALF) as u32).to_be_bytes()[1..]);
    // A rate is at most 10^18: 10^4 to the base 10^14.
    bytes.extend_from_slice(&((rate / HALF / HALF) as u16).to_be_bytes());
    bytes.extend_from_slice(&bucket.throttle.burst_limit().to_be_bytes());
    bytes.extend_from_slice(&method.to_be_bytes());
}

/// The server's time in microseconds, and the levels.
pub(super) fn decode(answer: &[u8], buckets: usize) -> Result<(i64, Vec<BucketLevel>), RedisError> {
    let (time, levels) = answer.split_first_chunk::<7>().ok_or(RedisError::Reply)?;
    if levels.len() != buckets * 19 {
        return Err(RedisError::Reply);
    }
    let levels = levels.chunks_exact(19).map(|level| BucketLevel {
        lacked: level[0] == 1,
        deficit: (number(&level[1..7]) * BASE + number(&level[7..13])) * BASE + number(&level[13..]),
    });
    Ok((number(time) as i64, levels.collect()))
}

/// A big-endian number.
fn number(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// What a bucket's value in Redis says: units missing, and when that was, in microseconds since 1970.
pub(super) fn decode_state(value: &[u8]) -> Option<(u128, u64)> {
    let [1, words @ ..] = value else { return None };
    let words: &[u8; 25] = words.try_into().ok()?;
    let deficit = (number(&words[..6]) * BASE + number(&words[6..12])) * BASE + number(&words[12..18]);
    Some((deficit, number(&words[18..]) as u64))
}
