//! Token buckets on the wire: how a request's limits are told to `buckets.lua`, and what it answers. Pure.

use super::{
    counters::EXACT,
    error::RedisError,
    names::{Hex, Names},
};
use crate::usage_plan::store::{BucketAsk, BucketId, BucketLevel, Counter, ThrottleAsk, Tokens};

/// Words of a deficit and halves of a product, as the script forms them.
const BASE: u128 = 100_000_000_000_000;
const HALF: u64 = 10_000_000;

const SHADOW: u8 = 1;
const FIELD: u8 = 2;
const PAST: u8 = 4;
/// The field of a bucket that has none of its own.
pub(super) const ONLY: &str = "b";
/// Bytes of a state: see `scripts/buckets.lua`.
const STATE: usize = 32;

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
    names.name(kind, &[&counter.plan, Hex::of(&counter.subject.to_be_bytes()).as_str()])
}

/// All that `throttle.lua` is told, but for the instant from which on it must do nothing.
pub(super) fn encode(ask: &ThrottleAsk) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(19 + ask.buckets.len() * 21);
    bytes.extend_from_slice(&[0; 7]);
    bytes.extend_from_slice(&ask.now.unwrap_or(0).min(EXACT).to_be_bytes()[1..]);
    push_buckets(&mut bytes, ask);
    bytes
}

pub(super) fn set_not_after(bytes: &mut [u8], not_after: Option<i64>) {
    let instant = u64::try_from(not_after.unwrap_or(0)).unwrap_or(0).min(EXACT);
    bytes[..7].copy_from_slice(&instant.to_be_bytes()[1..]);
}

/// What to do to which buckets.
pub(super) fn push_buckets(bytes: &mut Vec<u8>, ask: &ThrottleAsk) {
    let (action, tokens) = match ask.tokens {
        Tokens::Take(tokens) => (0_u8, tokens),
        Tokens::GiveBack(tokens) => (1, tokens),
        Tokens::Overdraw(tokens) => (2, tokens),
    };
    bytes.push(action);
    bytes.extend_from_slice(&tokens.to_be_bytes());
    ask.buckets.iter().for_each(|bucket| push_bucket(bytes, bucket));
}

fn push_bucket(bytes: &mut Vec<u8>, bucket: &BucketAsk) {
    let (method, field) = match bucket.id {
        BucketId::Method(_, method) => (method, FIELD),
        _ => (0, 0),
    };
    let edits = bucket.past.iter().count() as u8;
    let past = if edits > 0 { PAST } else { 0 };
    bytes.push(if bucket.shadow { SHADOW } else { 0 } | field | past);
    push_rate(bytes, bucket.throttle.nano_rate());
    bytes.extend_from_slice(&bucket.throttle.burst_limit().to_be_bytes());
    bytes.extend_from_slice(&method.to_be_bytes());
    if edits > 0 {
        bytes.push(edits);
    }
    for past in bucket.past.iter() {
        let until = u64::try_from(past.until().unix_micros()).unwrap_or(0).min(EXACT);
        bytes.extend_from_slice(&until.to_be_bytes()[1..]);
        push_rate(bytes, past.nano_rate());
    }
}

/// Two halves of the low word, and the high one: a rate is at most 10^18, 10^4 to the base 10^14.
fn push_rate(bytes: &mut Vec<u8>, rate: u64) {
    bytes.extend_from_slice(&((rate % HALF) as u32).to_be_bytes()[1..]);
    bytes.extend_from_slice(&((rate / HALF % HALF) as u32).to_be_bytes()[1..]);
    bytes.extend_from_slice(&((rate / HALF / HALF) as u16).to_be_bytes());
}

/// The server's time in microseconds, and the levels.
pub(super) fn decode(answer: &[u8], buckets: usize) -> Result<(i64, Vec<BucketLevel>), RedisError> {
    let (time, levels) = answer.split_first_chunk::<7>().ok_or(RedisError::Reply)?;
    Ok((number(time) as i64, levels_of(levels, buckets)?))
}

/// Levels in the form of states; what lacks the tokens has 0 in place of the version.
pub(super) fn levels_of(levels: &[u8], buckets: usize) -> Result<Vec<BucketLevel>, RedisError> {
    if levels.len() != buckets * STATE {
        return Err(RedisError::Reply);
    }
    let levels = levels.chunks_exact(STATE);
    Ok(levels.map(|level| BucketLevel { deficit: deficit(&level[1..]), lacked: level[0] == 0 }).collect())
}

/// Three words.
fn deficit(words: &[u8]) -> u128 {
    (number(&words[..6]) * BASE + number(&words[6..12])) * BASE + number(&words[12..18])
}

/// A big-endian number.
fn number(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// What a bucket's value in Redis says: units missing, and when that was, in microseconds since 1970.
pub(super) fn decode_state(value: &[u8]) -> Option<(u128, u64)> {
    let [1, words @ ..] = value else { return None };
    let words: &[u8; STATE - 1] = words.try_into().ok()?;
    Some((deficit(words), number(&words[18..25]) as u64))
}
