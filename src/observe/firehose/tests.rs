//! Batches, answers and counts, without a network.

use super::{
    batch::{Answer, MAX_CALL, MAX_RECORD, MAX_RECORDS, Record, body, encoded_len, read, take},
    delivery::pause,
    *,
};
use bytes::Bytes;
use http::StatusCode;
use proptest::prelude::*;
use std::{collections::VecDeque, time::Duration};

fn records(lengths: impl IntoIterator<Item = usize>) -> VecDeque<Record> {
    lengths.into_iter().map(|length| Record { data: vec![b'x'; length].into(), attempts: 0 }).collect()
}

#[test]
fn a_call_takes_500_records_or_4_mib() {
    let mut many = records([10; 1_001]);
    assert_eq!([take(&mut many).len(), take(&mut many).len(), take(&mut many).len()], [500, 500, 1]);
    let mut large = records([MAX_RECORD; 7]);
    let first = take(&mut large);
    assert_eq!((first.len(), large.len()), (3, 4));
    assert!(
        body("s", &first).len() <= MAX_CALL && body("s", &first).len() + encoded_len(MAX_RECORD) > MAX_CALL
    );
    assert!(take(&mut VecDeque::new()).is_empty());
}

#[test]
fn the_body_is_what_firehose_reads() {
    let one = |data: &'static str| Record { data: Bytes::from(data), attempts: 0 };
    assert_eq!(
        body("amazon-apigateway-pets", &[one("cat\n"), one("dog\n")]),
        r#"{"DeliveryStreamName":"amazon-apigateway-pets","Records":[{"Data":"Y2F0Cg=="},{"Data":"ZG9nCg=="}]}"#
    );
}

#[test]
fn an_answer_is_read_record_by_record() {
    let ok = |text: &str, count| read(StatusCode::OK, text.as_bytes(), count);
    let half = r#"{"FailedPutCount":1,"RequestResponses":[{"RecordId":"1"},{"ErrorCode":"ServiceUnavailableException","ErrorMessage":"Slow down."}]}"#;
    assert_eq!(ok(half, 2), Answer::Each(vec![false, true]));
    assert_eq!(ok(half, 3), Answer::Retry, "an answer to another call");
    assert_eq!(ok(r#"{"FailedPutCount":0,"RequestResponses":[]}"#, 2), Answer::Each(vec![false, false]));
    assert_eq!(ok("<html>", 2), Answer::Retry);
    assert_eq!(ok("{}", 2), Answer::Retry);
    for (status, answer) in [
        (503, Answer::Retry),
        (500, Answer::Retry),
        (429, Answer::Retry),
        (400, Answer::GiveUp),
        (403, Answer::GiveUp),
    ] {
        assert_eq!(read(StatusCode::from_u16(status).unwrap(), b"{}", 1), answer, "{status}");
    }
}

#[test]
fn pauses_double_up_to_ten_seconds() {
    let millis = [1, 2, 3, 7, 8, 1_000].map(|failures| pause(failures).as_millis());
    assert_eq!(millis, [100, 200, 400, 6_400, 10_000, 10_000]);
    let all: Duration = (1..10).map(pause).sum();
    assert_eq!(all, Duration::from_millis(32_700));
}

#[test]
fn what_cannot_be_is_refused_when_built() {
    let endpoint = "https://firehose.eu-west-1.amazonaws.com".parse().unwrap();
    for name in ["", "a b", "a\"b", &"x".repeat(65)] {
        assert_eq!(FirehoseSink::new(name, &endpoint).unwrap_err().value(), name);
    }
    assert!(FirehoseSink::new("s", &"/path".parse().unwrap()).is_err());
    let (sink, delivery) = FirehoseSink::new("s", &endpoint).unwrap();
    drop(delivery);
    assert_eq!(sink.stats(), FirehoseStats::default());
}

proptest! {
    #[test]
    fn every_batch_is_within_the_limits_and_nothing_is_lost(lengths in proptest::collection::vec(0..=MAX_RECORD, 0..60)) {
        let mut waiting = records(lengths.iter().copied());
        let mut sent = 0;
        while !waiting.is_empty() {
            let batch = take(&mut waiting);
            prop_assert!(!batch.is_empty() && batch.len() <= MAX_RECORDS);
            let size: usize = batch.iter().map(|record| encoded_len(record.data.len())).sum();
            prop_assert!(size + 256 <= MAX_CALL);
            sent += batch.len();
        }
        prop_assert_eq!(sent, lengths.len());
    }
}
