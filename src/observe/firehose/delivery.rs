//! The task that sends what has gathered.

use super::{
    batch::{Answer, Record, body, read, take},
    queue::{Shared, Work},
};
use crate::clock::timer::Sleep;
use bytes::{Buf, Bytes};
use http::{HeaderName, HeaderValue, Method, Request, Response, header::CONTENT_TYPE};
use http_body::Body;
use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tower_service::Service;

static X_AMZ_TARGET: HeaderName = HeaderName::from_static("x-amz-target");

/// Longest answer that is read; one about 500 records has about 100 KB.
const MAX_ANSWER: usize = 1 << 20;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Sends the records of a [`FirehoseSink`](super::FirehoseSink). Dropped before its end, it counts what is left as failed.
#[derive(Debug)]
#[must_use = "nothing is sent until it is run"]
pub struct FirehoseDelivery {
    shared: Arc<Shared>,
    /// In the order in which they are sent.
    waiting: VecDeque<Record>,
    /// Failures in a row.
    failures: u32,
}

impl FirehoseDelivery {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, waiting: VecDeque::new(), failures: 0 }
    }

    /// Sends until the sink is closed and everything is settled. `C` is any HTTP client that is a tower service; it
    /// connects and signs. `B` is its request body.
    pub async fn run<C, B, R>(mut self, mut client: C)
    where
        C: Service<Request<B>, Response = Response<R>>,
        B: From<Bytes>,
        R: Body,
    {
        while self.gather().await {
            self.shared.take(&mut self.waiting);
            while !self.waiting.is_empty() {
                let records = take(&mut self.waiting);
                let answer = self.send(&mut client, &records).await;
                self.settle(records, &answer);
                if self.failures > 0 {
                    self.sleep(pause(self.failures)).await;
                    // Newer ones go along with those that failed.
                    self.shared.take(&mut self.waiting);
                }
            }
        }
    }

    /// Waits for records and lets them gather; whether there are any.
    async fn gather(&self) -> bool {
        while self.shared.work() == Work::Nothing {
            self.shared.work.notified().await;
        }
        let mut interval = self.sleep(self.shared.settings.flush_interval);
        while self.shared.work() == Work::Some {
            if expires(&mut interval, pin!(self.shared.work.notified())).await.is_none() {
                break;
            }
        }
        self.shared.work() != Work::End
    }

    async fn send<C, B, R>(&self, client: &mut C, records: &[Record]) -> Answer
    where
        C: Service<Request<B>, Response = Response<R>>,
        B: From<Bytes>,
        R: Body,
    {
        let request = self.request(records);
        let call = async {
            poll_fn(|cx| client.poll_ready(cx)).await.ok()?;
            let response = client.call(request).await.ok()?;
            let status = response.status();
            Some(read(status, &collect(response.into_body()).await?, records.len()))
        };
        let mut timeout = self.sleep(self.shared.settings.timeout);
        expires(&mut timeout, pin!(call)).await.flatten().unwrap_or(Answer::Retry)
    }

    fn request<B: From<Bytes>>(&self, records: &[Record]) -> Request<B> {
        let settings = &self.shared.settings;
        let mut request = Request::new(B::from(Bytes::from(body(&settings.stream, records))));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = settings.endpoint.clone();
        let fields = [
            (&CONTENT_TYPE, "application/x-amz-json-1.1"),
            (&X_AMZ_TARGET, "Firehose_20150804.PutRecordBatch"),
        ];
        for (name, value) in fields {
            request.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        request
    }

    /// What failed is next again, in its order, unless it has failed too often.
    fn settle(&mut self, records: Vec<Record>, answer: &Answer) {
        let count = records.len() as u64;
        let fails = |index: usize| match answer {
            Answer::Each(failed) => failed[index],
            Answer::Retry | Answer::GiveUp => true,
        };
        let failed: Vec<_> = records.into_iter().enumerate().filter(|(index, _)| fails(*index)).collect();
        let delivered = count - failed.len() as u64;
        self.failures = if failed.is_empty() || *answer == Answer::GiveUp { 0 } else { self.failures + 1 };
        let mut given_up = 0;
        for (_, mut record) in failed.into_iter().rev() {
            record.attempts += 1;
            if *answer == Answer::GiveUp || record.attempts >= self.shared.settings.max_attempts {
                given_up += 1;
            } else {
                self.waiting.push_front(record);
            }
        }
        self.shared.settle(delivered, given_up);
    }

    fn sleep(&self, delay: Duration) -> Sleep {
        self.shared.settings.clock.sleep(delay)
    }
}

impl Drop for FirehoseDelivery {
    fn drop(&mut self) {
        self.shared.retire();
    }
}

/// 100 ms after the first failure, then twice as long each time, at most 10 s.
pub(super) fn pause(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_PAUSE)
}

/// The future's output; `None` where the timer rang first.
async fn expires<F: Future>(timer: &mut Sleep, mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|cx: &mut Context<'_>| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Pin::new(&mut *timer).poll(cx).map(|()| None),
    })
    .await
}

/// `None` where it breaks off or is too long.
async fn collect<R: Body>(body: R) -> Option<Vec<u8>> {
    let mut body = pin!(body);
    let mut collected = Vec::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let Ok(mut data) = frame.ok()?.into_data() else { continue };
        if collected.len() + data.remaining() > MAX_ANSWER {
            return None;
        }
        while data.has_remaining() {
            let chunk = data.chunk();
            collected.extend_from_slice(chunk);
            let length = chunk.len();
            data.advance(length);
        }
    }
    Some(collected)
}
