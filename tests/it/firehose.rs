//! The Firehose sink against a Firehose of our own: batches, retries of what failed, a blocked one, an orderly end.

#[cfg(feature = "sigv4")]
mod signing;

use crate::support::run;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::Semaphore;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_gateway::{
    clock::ManualClock,
    observe::{
        AccessLog, AccessLogFormat, AccessLogLayer, LogApi, RequestEvent,
        firehose::{FirehoseBuilder, FirehoseDelivery, FirehoseSink},
    },
};

const STREAM: &str = "amazon-apigateway-pets";

/// How the next call is answered: which records fail, or the status of the whole answer.
#[derive(Clone, Debug)]
enum Plan {
    Fail(Vec<usize>),
    Status(u16),
    /// 400 with an error of this type.
    Error(&'static str),
}

/// Takes records, and says of each call how many came.
#[derive(Clone)]
struct Firehose {
    records: Arc<Mutex<Vec<String>>>,
    calls: Arc<Mutex<Vec<usize>>>,
    plans: Arc<Mutex<VecDeque<Plan>>>,
    /// Calls wait for a permit.
    gate: Arc<Semaphore>,
}

impl Firehose {
    fn new(plans: impl IntoIterator<Item = Plan>) -> Self {
        let plans = Arc::new(Mutex::new(plans.into_iter().collect()));
        let gate = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        Self { records: Arc::default(), calls: Arc::default(), plans, gate }
    }

    fn calls(&self) -> Vec<usize> {
        self.calls.lock().unwrap().clone()
    }

    fn records(&self) -> Vec<String> {
        self.records.lock().unwrap().clone()
    }

    async fn answer(self, request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
        assert_eq!(request.method(), "POST");
        assert_eq!(request.headers()["content-type"], "application/x-amz-json-1.1");
        assert_eq!(request.headers()["x-amz-target"], "Firehose_20150804.PutRecordBatch");
        assert_eq!(request.uri(), "https://firehose.eu-west-1.amazonaws.com/");
        let body = request.into_body().collect().await.unwrap().to_bytes();
        assert!(body.len() <= 4 << 20);
        let call: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(call["DeliveryStreamName"], STREAM);
        let sent: Vec<_> = call["Records"]
            .as_array()
            .unwrap()
            .iter()
            .map(|record| {
                let data = BASE64_STANDARD.decode(record["Data"].as_str().unwrap()).unwrap();
                String::from_utf8(data).unwrap()
            })
            .collect();
        self.calls.lock().unwrap().push(sent.len());
        self.gate.acquire().await.unwrap().forget();
        let plan = self.plans.lock().unwrap().pop_front();
        Ok(self.take(sent, plan.unwrap_or(Plan::Fail(Vec::new()))))
    }

    fn take(&self, sent: Vec<String>, plan: Plan) -> Response<Full<Bytes>> {
        let failing = match plan {
            Plan::Status(status) => {
                let answer = Response::builder().status(StatusCode::from_u16(status).unwrap());
                return answer.body(Full::from("{}")).unwrap();
            }
            Plan::Error(kind) => {
                let body =
                    format!(r#"{{"__type":"com.amazon.coral.service#{kind}","message":"Rate exceeded"}}"#);
                return Response::builder().status(400).body(Full::from(body)).unwrap();
            }
            Plan::Fail(failing) => failing,
        };
        let mut records = self.records.lock().unwrap();
        let mut each = Vec::new();
        for (index, record) in sent.into_iter().enumerate() {
            if failing.contains(&index) {
                each.push(json!({"ErrorCode": "ServiceUnavailableException", "ErrorMessage": "Slow down."}));
            } else {
                each.push(json!({"RecordId": records.len().to_string()}));
                records.push(record);
            }
        }
        let answer = json!({"FailedPutCount": failing.len(), "RequestResponses": each});
        Response::new(Full::from(answer.to_string()))
    }
}

/// Delivered, dropped, failed.
fn counts(sink: &FirehoseSink) -> [u64; 3] {
    let stats = sink.stats();
    [stats.delivered, stats.dropped, stats.failed]
}

fn builder() -> FirehoseBuilder {
    FirehoseSink::builder(STREAM, &"https://firehose.eu-west-1.amazonaws.com".parse().unwrap())
}

/// Logs `line` once: its only way into the sink is that of a request.
async fn log(sink: &FirehoseSink, line: &str) {
    let format = AccessLogFormat::new(LogApi::Rest, "$context.requestId").unwrap();
    let (sink, line) = (sink.clone(), line.to_owned());
    let write = move |_: &str, event: &RequestEvent<'_>| {
        tower_gateway::observe::LogSink::write(&sink, &line, event);
    };
    let service =
        AccessLogLayer::new(AccessLog::new(format, write)).layer(service_fn(|_: Request<()>| async {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }));
    service.oneshot(Request::new(())).await.unwrap();
}

fn deliver(delivery: FirehoseDelivery, firehose: &Firehose) -> tokio::task::JoinHandle<()> {
    let firehose = firehose.clone();
    tokio::spawn(delivery.run(service_fn(move |request| firehose.clone().answer(request))))
}

/// Lets the other task do all that it can without time passing.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| format!("line {number}\n")).collect()
}

#[test]
fn lines_gather_for_the_interval_and_full_calls_go_at_once() {
    run(async {
        let manual = ManualClock::at_unix_seconds(0);
        let firehose = Firehose::new([]);
        let (sink, delivery) = builder().clock(manual.clock()).build().unwrap();
        let task = deliver(delivery, &firehose);
        for number in 0..3 {
            log(&sink, &format!("line {number}")).await;
        }
        settle().await;
        manual.advance(Duration::from_millis(999));
        settle().await;
        assert_eq!(firehose.calls(), [0; 0]);
        manual.advance(Duration::from_millis(1));
        settle().await;
        assert_eq!(firehose.calls(), [3]);
        for number in 3..1_103 {
            log(&sink, &format!("line {number}")).await;
        }
        settle().await;
        assert_eq!(firehose.calls(), [3, 500, 500, 100]);
        assert_eq!(firehose.records(), numbered(0..1_103), "in order");
        drop(sink);
        task.await.unwrap();
    });
}

#[test]
fn only_what_failed_is_sent_again() {
    run(async {
        let manual = ManualClock::at_unix_seconds(0);
        let firehose = Firehose::new([Plan::Fail(vec![1, 3]), Plan::Fail(vec![0]), Plan::Status(503)]);
        let (sink, delivery) = builder().clock(manual.clock()).build().unwrap();
        let task = deliver(delivery, &firehose);
        for number in 0..5 {
            log(&sink, &format!("line {number}")).await;
        }
        sink.close();
        settle().await;
        assert_eq!(firehose.calls(), [5]);
        for (pause, calls) in [(100, vec![5, 2]), (200, vec![5, 2, 1]), (400, vec![5, 2, 1, 1])] {
            manual.advance(Duration::from_millis(pause - 1));
            settle().await;
            assert_eq!(firehose.calls(), calls[..calls.len() - 1], "not before its pause");
            manual.advance(Duration::from_millis(1));
            settle().await;
            assert_eq!(firehose.calls(), calls);
        }
        task.await.unwrap();
        let order = [0, 2, 4, 3, 1].map(|number| format!("line {number}\n"));
        assert_eq!(firehose.records(), order);
        assert_eq!(counts(&sink), [5, 0, 0]);
    });
}

#[test]
fn what_cannot_be_delivered_is_given_up_and_counted() {
    run(async {
        let manual = ManualClock::at_unix_seconds(0);
        let firehose = Firehose::new([Plan::Status(400), Plan::Status(429), Plan::Status(500)]);
        let (sink, delivery) = builder().clock(manual.clock()).max_attempts(2).build().unwrap();
        let task = deliver(delivery, &firehose);
        log(&sink, "refused").await;
        settle().await;
        manual.advance(Duration::from_secs(1));
        settle().await;
        assert_eq!(counts(&sink), [0, 0, 1]);
        log(&sink, "tried twice").await;
        settle().await;
        for _ in 0..3 {
            manual.advance(Duration::from_secs(10));
            settle().await;
        }
        assert_eq!(firehose.calls(), [1, 1, 1]);
        assert_eq!(counts(&sink), [0, 0, 2]);
        log(&sink, &"x".repeat(1_024_000)).await;
        assert_eq!(sink.stats().dropped, 1, "with its line end it is longer than 1,000 KiB");
        sink.close();
        log(&sink, "late").await;
        task.await.unwrap();
        assert_eq!(counts(&sink), [0, 2, 2]);
    });
}

#[test]
fn a_throttled_call_is_made_again_and_a_wrong_one_is_not() {
    run(async {
        let manual = ManualClock::at_unix_seconds(0);
        let plans =
            [Plan::Error("ThrottlingException"), Plan::Fail(vec![]), Plan::Error("ValidationException")];
        let firehose = Firehose::new(plans);
        let (sink, delivery) = builder().clock(manual.clock()).build().unwrap();
        let task = deliver(delivery, &firehose);
        for line in ["throttled", "wrong"] {
            log(&sink, line).await;
            for _ in 0..3 {
                settle().await;
                manual.advance(Duration::from_secs(10));
            }
            settle().await;
        }
        assert_eq!(firehose.records(), ["throttled\n"]);
        assert_eq!(counts(&sink), [1, 0, 1]);
        sink.close();
        task.await.unwrap();
    });
}

#[test]
fn a_firehose_that_is_away_never_holds_more_than_twice_the_capacity() {
    run(async {
        let manual = ManualClock::at_unix_seconds(0);
        let firehose = Firehose::new((0..1_000).map(|_| Plan::Status(503)));
        let capacity = 10_000;
        let build = builder().capacity(capacity).max_attempts(1_000).clock(manual.clock());
        let (sink, delivery) = build.build().unwrap();
        let task = deliver(delivery, &firehose);
        let line = "x".repeat(99);
        for _ in 0..10 {
            for _ in 0..100 {
                log(&sink, &line).await;
            }
            settle().await;
            manual.advance(Duration::from_secs(10));
            settle().await;
        }
        let [delivered, dropped, failed] = counts(&sink);
        assert_eq!((delivered, failed), (0, 0));
        let held = 1_000 - dropped as usize;
        assert!(held * 100 <= 2 * capacity, "{held} records of 100 bytes are held");
        task.abort();
    });
}

#[test]
fn a_blocked_firehose_costs_counted_records_and_nothing_is_lost_at_the_end() {
    run(async {
        let firehose = Firehose::new([]);
        let held = firehose.gate.forget_permits(usize::MAX);
        assert_eq!(held, Semaphore::MAX_PERMITS);
        let manual = ManualClock::at_unix_seconds(0);
        let capacity = numbered(10..20).concat().len();
        let (sink, delivery) = builder().capacity(capacity).clock(manual.clock()).build().unwrap();
        let task = deliver(delivery, &firehose);
        log(&sink, "line 0").await;
        settle().await;
        manual.advance(Duration::from_secs(1));
        settle().await;
        assert_eq!(firehose.calls(), [1], "and it does not answer");
        for number in 10..35 {
            log(&sink, &format!("line {number}")).await;
        }
        assert_eq!(counts(&sink), [0, 15, 0]);
        sink.close();
        firehose.gate.add_permits(2);
        task.await.unwrap();
        assert_eq!(counts(&sink), [11, 15, 0]);
        assert_eq!(firehose.records().len(), 11);
    });
}

#[test]
fn an_answer_that_does_not_come_is_a_failure_and_a_dropped_delivery_is_counted() {
    run(async {
        let firehose = Firehose::new([]);
        firehose.gate.forget_permits(usize::MAX);
        let manual = ManualClock::at_unix_seconds(0);
        let (sink, delivery) = builder().clock(manual.clock()).build().unwrap();
        let task = deliver(delivery, &firehose);
        log(&sink, "line 0").await;
        settle().await;
        for seconds in [1, 30, 1] {
            manual.advance(Duration::from_secs(seconds));
            settle().await;
        }
        assert_eq!(firehose.calls(), [1, 1], "after 30 s it was sent again");
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        log(&sink, "too late").await;
        assert_eq!(counts(&sink), [0, 1, 1]);
    });
}
