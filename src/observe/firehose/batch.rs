//! One `PutRecordBatch`: which records go into it, its body, and what its answer says of each. Pure.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;
use std::collections::VecDeque;

/// Most records of a call.
pub(super) const MAX_RECORDS: usize = 500;
/// Largest body of a call; AWS does not say whether it counts before or after encoding, so the stricter counts.
pub(super) const MAX_CALL: usize = 4 << 20;
/// Largest record, before it is encoded.
pub(super) const MAX_RECORD: usize = 1_000 * 1_024;

/// What stands around the data of a record: `{"Data":""},`.
const AROUND: usize = 12;
/// Room for the stream's name and what is around the records.
const FRAME: usize = 256;

/// A line on its way, and how often it was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) data: Bytes,
    pub(super) attempts: u32,
}

/// What a record takes of a call.
pub(super) fn encoded_len(length: usize) -> usize {
    length.div_ceil(3) * 4 + AROUND
}

/// The first records that fit into one call.
pub(super) fn take(waiting: &mut VecDeque<Record>) -> Vec<Record> {
    let mut size = FRAME;
    let fitting = waiting.iter().take(MAX_RECORDS).take_while(|record| {
        size += encoded_len(record.data.len());
        size <= MAX_CALL
    });
    let count = fitting.count();
    waiting.drain(..count).collect()
}

/// `stream` has characters of names only.
pub(super) fn body(stream: &str, records: &[Record]) -> String {
    let size: usize = records.iter().map(|record| encoded_len(record.data.len())).sum();
    let mut out = String::with_capacity(FRAME + size);
    out.push_str("{\"DeliveryStreamName\":\"");
    out.push_str(stream);
    out.push_str("\",\"Records\":[");
    for (index, record) in records.iter().enumerate() {
        out.push_str(if index == 0 { "{\"Data\":\"" } else { ",{\"Data\":\"" });
        BASE64_STANDARD.encode_string(&record.data, &mut out);
        out.push_str("\"}");
    }
    out.push_str("]}");
    out
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// For each record whether it is to be sent again.
    Each(Vec<bool>),
    /// All are to be sent again.
    Retry,
    /// It would fail again.
    GiveUp,
}

/// Errors that AWS answers with 400 and that another try may not meet ("Common Error Types" of the Firehose API).
const PASSING: [&str; 3] = ["ThrottlingException", "RequestExpired", "ExpiredTokenException"];

fn may_pass(body: &[u8]) -> bool {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    // `com.amazon.coral.service#ThrottlingException`, or without the part before.
    let kind = answer["__type"].as_str().and_then(|kind| kind.rsplit('#').next());
    kind.is_some_and(|kind| PASSING.contains(&kind))
}

/// Reads an answer to `count` records.
pub(super) fn read(status: StatusCode, body: &[u8], count: usize) -> Answer {
    if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
        return Answer::Retry;
    }
    if !status.is_success() {
        return if may_pass(body) { Answer::Retry } else { Answer::GiveUp };
    }
    let Ok(answer) = serde_json::from_slice::<Value>(body) else { return Answer::Retry };
    if answer["FailedPutCount"].as_u64() == Some(0) {
        return Answer::Each(vec![false; count]);
    }
    match answer["RequestResponses"].as_array() {
        Some(each) if each.len() == count => Answer::Each(
            each.iter().map(|one| one.get("ErrorCode").is_some_and(|code| !code.is_null())).collect(),
        ),
        _ => Answer::Retry,
    }
}
