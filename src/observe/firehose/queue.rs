//! The buffer between requests and the delivery, and its settings.

use super::{
    batch::{MAX_CALL, MAX_RECORD, MAX_RECORDS, Record, encoded_len},
    delivery::FirehoseDelivery,
};
use crate::{
    clock::Clock,
    error::ConfigError,
    observe::{LogSink, RequestEvent},
};
use bytes::Bytes;
use http::Uri;
use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::Notify;

/// Bytes that may wait.
const DEFAULT_CAPACITY: usize = 16 << 20;
const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);
const DEFAULT_ATTEMPTS: u32 = 10;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// A sink in front of a Firehose stream; see the [module docs](super). A clone is a reference count.
#[derive(Clone)]
pub struct FirehoseSink(Arc<Handle>);

/// The delivery ends after it.
struct Handle(Arc<Shared>);

/// Counts of records since the sink was made. Every line is in exactly one of them, or waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FirehoseStats {
    /// Firehose took them.
    pub delivered: u64,
    /// For which there was no room, that were too large, or that came after the end.
    pub dropped: u64,
    /// Given up after their last attempt, or with a delivery that was dropped.
    pub failed: u64,
}

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) work: Notify,
    dropped: AtomicU64,
    pub(super) settings: Settings,
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) stream: Box<str>,
    pub(super) endpoint: Uri,
    capacity: usize,
    pub(super) flush_interval: Duration,
    pub(super) max_attempts: u32,
    pub(super) timeout: Duration,
    line_ends: bool,
    pub(super) clock: Clock,
}

#[derive(Debug, Default)]
struct State {
    buffer: Vec<u8>,
    /// Length of each record in the buffer.
    lengths: Vec<u32>,
    encoded: usize,
    taken: u64,
    delivered: u64,
    failed: u64,
    closing: bool,
    gone: bool,
}

impl State {
    /// Whether a call would be full.
    fn is_full(&self) -> bool {
        self.lengths.len() >= MAX_RECORDS || self.encoded >= MAX_CALL
    }
}

/// What the delivery has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Nothing,
    /// Some records gather.
    Some,
    /// Records that must not wait.
    Now,
    /// Nothing will come.
    End,
}

impl Shared {
    /// Nobody panics with the lock held; if so, counts and bytes are still sound.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, line: &str) {
        let length = line.len() + usize::from(self.settings.line_ends);
        let mut state = self.lock();
        let full = state.buffer.len() + length > self.settings.capacity;
        if length > MAX_RECORD || full || state.closing || state.gone {
            drop(state);
            self.dropped.fetch_add(1, Relaxed);
            return;
        }
        let (was_empty, was_full) = (state.lengths.is_empty(), state.is_full());
        state.buffer.extend_from_slice(line.as_bytes());
        if self.settings.line_ends {
            state.buffer.push(b'\n');
        }
        state.lengths.push(length as u32);
        state.encoded += encoded_len(length);
        state.taken += 1;
        let fills = !was_full && state.is_full();
        drop(state);
        if was_empty || fills {
            self.work.notify_one();
        }
    }

    pub(super) fn work(&self) -> Work {
        let state = self.lock();
        match (state.lengths.is_empty(), state.closing) {
            (true, true) => Work::End,
            (true, false) => Work::Nothing,
            (false, closing) if closing || state.is_full() => Work::Now,
            (false, _) => Work::Some,
        }
    }

    /// Moves what has gathered behind `waiting`, unless both together are more than the buffer may hold: then it stays,
    /// and what comes beyond is dropped and counted.
    pub(super) fn take(&self, waiting: &mut VecDeque<Record>) {
        let held: usize = waiting.iter().map(|record| record.data.len()).sum();
        let mut state = self.lock();
        if held > 0 && held + state.buffer.len() > self.settings.capacity {
            return;
        }
        let mut data = Bytes::from(std::mem::take(&mut state.buffer));
        let lengths = std::mem::take(&mut state.lengths);
        state.encoded = 0;
        drop(state);
        let records =
            lengths.into_iter().map(|length| Record { data: data.split_to(length as usize), attempts: 0 });
        waiting.extend(records);
    }

    pub(super) fn settle(&self, delivered: u64, failed: u64) {
        let mut state = self.lock();
        state.delivered += delivered;
        state.failed += failed;
    }

    /// The delivery is gone: what it had not delivered never will be.
    pub(super) fn retire(&self) {
        let mut state = self.lock();
        state.gone = true;
        state.failed = state.taken - state.delivered;
        (state.buffer, state.lengths) = (Vec::new(), Vec::new());
    }

    fn close(&self) {
        self.lock().closing = true;
        self.work.notify_one();
    }

    fn stats(&self) -> FirehoseStats {
        let state = self.lock();
        FirehoseStats {
            delivered: state.delivered,
            dropped: self.dropped.load(Relaxed),
            failed: state.failed,
        }
    }
}

impl FirehoseSink {
    /// With the settings as they come; [`builder`](Self::builder) has them all.
    ///
    /// # Errors
    ///
    /// As [`FirehoseBuilder::build`].
    pub fn new(stream: &str, endpoint: &Uri) -> Result<(Self, FirehoseDelivery), ConfigError> {
        Self::builder(stream, endpoint).build()
    }

    /// A sink for `stream`, whose service is at `endpoint`: `https://firehose.eu-west-1.amazonaws.com`.
    pub fn builder(stream: &str, endpoint: &Uri) -> FirehoseBuilder {
        FirehoseBuilder(Settings {
            stream: stream.into(),
            endpoint: endpoint.clone(),
            capacity: DEFAULT_CAPACITY,
            flush_interval: DEFAULT_INTERVAL,
            max_attempts: DEFAULT_ATTEMPTS,
            timeout: DEFAULT_TIMEOUT,
            line_ends: true,
            clock: Clock::system(),
        })
    }

    /// Takes nothing more: the delivery sends what waits, and ends. Further lines count as dropped.
    pub fn close(&self) {
        self.0.0.close();
    }

    /// What became of the records.
    pub fn stats(&self) -> FirehoseStats {
        self.0.0.stats()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl LogSink for FirehoseSink {
    fn write(&self, line: &str, _: &RequestEvent<'_>) {
        self.0.0.push(line);
    }
}

impl fmt::Debug for FirehoseSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { stream, endpoint, .. } = &self.0.0.settings;
        let mut debug = f.debug_struct("FirehoseSink");
        debug.field("stream", stream).field("endpoint", endpoint).field("stats", &self.stats()).finish()
    }
}

/// Settings of a [`FirehoseSink`].
#[derive(Clone, Debug)]
pub struct FirehoseBuilder(Settings);

impl FirehoseBuilder {
    /// Bytes of lines that may wait, and as many again while they are sent. Default: 16 MiB.
    #[must_use]
    pub fn capacity(mut self, bytes: usize) -> Self {
        self.0.capacity = bytes;
        self
    }

    /// How long a line waits for others at most. Default: 1 s.
    #[must_use]
    pub fn flush_interval(mut self, interval: Duration) -> Self {
        self.0.flush_interval = interval;
        self
    }

    /// How often a record is sent before it is given up; at least once. Default: 10, about 40 s with the pauses between.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.0.max_attempts = attempts;
        self
    }

    /// How long an answer is waited for. Default: 30 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout = timeout;
        self
    }

    /// Whether each record ends in a line end. Default: yes.
    #[must_use]
    pub fn line_ends(mut self, end: bool) -> Self {
        self.0.line_ends = end;
        self
    }

    /// The clock of interval, pauses and timeout. Default: the system's, with tokio's timer.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.0.clock = clock;
        self
    }

    /// The sink, and the delivery to be run. Nothing is sent until it is.
    ///
    /// # Errors
    ///
    /// A stream name that is not 1 to 64 letters, digits, `_`, `-` and `.` (that AWS wants `amazon-apigateway-` before it
    /// is AWS's own rule); an endpoint without scheme and host.
    pub fn build(self) -> Result<(FirehoseSink, FirehoseDelivery), ConfigError> {
        let Settings { stream, endpoint, .. } = &self.0;
        let named = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if !(1..=64).contains(&stream.len()) || !stream.bytes().all(named) {
            return Err(ConfigError::new("Firehose stream", stream, "is not a name of 1 to 64 characters"));
        }
        if endpoint.scheme().is_none() || endpoint.authority().is_none() {
            return Err(ConfigError::new("Firehose endpoint", endpoint, "is not a base URL"));
        }
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            work: Notify::new(),
            dropped: AtomicU64::new(0),
            settings: self.0,
        });
        Ok((FirehoseSink(Arc::new(Handle(Arc::clone(&shared)))), FirehoseDelivery::new(shared)))
    }
}
