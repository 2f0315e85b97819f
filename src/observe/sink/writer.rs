//! A writer on a thread of its own, behind a bounded buffer.

use super::{LogSink, RequestEvent};
use crate::error::ConfigError;
use std::{
    fmt,
    io::{self, Write},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

/// Bytes that may wait for the writer.
const DEFAULT_CAPACITY: usize = 4 << 20;
/// Most that may be asked for: it is taken twice, and at once.
const MAX_CAPACITY: usize = 1 << 30;
/// How long lines may wait for company before they are written.
const DEFAULT_LINGER: Duration = Duration::from_millis(20);
/// How long the last handle waits for the writer when it is dropped.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(5);

/// Counts of a [`LogWriter`], since it was made. Every line that was handed over is in exactly one of them, or waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogStats {
    /// Lines that the writer took.
    pub written: u64,
    /// Lines for which there was no room, or no thread any more.
    pub dropped: u64,
    /// Lines of batches that the writer gave an error for.
    pub failed: u64,
}

/// A sink in front of any [`Write`]: a request copies its line into a buffer under a short lock and goes on; a thread
/// writes whole batches. A writer that is slow or stuck costs lines, which are counted, never time.
///
/// A clone is a reference count. When the last one is dropped, everything is written first, for at most 5 s.
///
/// ```
/// use std::time::Duration;
/// use tower_gateway::observe::{AccessLog, AccessLogFormat, LogApi, LogPreset, LogWriter};
///
/// let writer = LogWriter::new(std::io::stderr())?;
/// let log = AccessLog::new(AccessLogFormat::preset(LogApi::Rest, LogPreset::Json), writer.clone());
/// assert!(writer.flush(Duration::from_secs(1)));
/// assert_eq!(writer.stats().dropped, 0);
/// # drop(log);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct LogWriter(Arc<Handle>);

/// The thread ends with it.
struct Handle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// The thread waits for lines.
    work: Condvar,
    /// Callers wait for the thread.
    settled: Condvar,
    dropped: AtomicU64,
    capacity: usize,
}

#[derive(Debug, Default)]
struct State {
    buffer: Vec<u8>,
    /// Lines in the buffer.
    lines: u64,
    /// Lines that were taken so far, and those of them that are written or failed.
    taken: u64,
    written: u64,
    failed: u64,
    /// Somebody waits: no lingering.
    urgent: bool,
    closing: bool,
    gone: bool,
}

impl Shared {
    /// Nobody panics with the lock held; if so, counts and bytes are still sound.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &str) {
        let mut state = self.lock();
        let length = state.buffer.len() + line.len() + 1;
        if length > self.capacity || state.closing || state.gone {
            drop(state);
            self.dropped.fetch_add(1, Relaxed);
            return;
        }
        let (was_empty, half) = (state.buffer.is_empty(), self.capacity / 2);
        let fills_half = state.buffer.len() < half && length >= half;
        state.buffer.extend_from_slice(line.as_bytes());
        state.buffer.push(b'\n');
        state.lines += 1;
        state.taken += 1;
        drop(state);
        if was_empty || fills_half {
            self.work.notify_one();
        }
    }

    /// Waits for lines, lets them gather for `linger`, and swaps them out. `None` when there is nothing to come.
    fn next_batch(&self, spare: Vec<u8>, linger: Duration) -> Option<(Vec<u8>, u64)> {
        let idle = |state: &mut State| state.buffer.is_empty() && !state.closing;
        let state = self.work.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        let gathering =
            |state: &mut State| !state.urgent && !state.closing && state.buffer.len() < self.capacity / 2;
        let waited = self.work.wait_timeout_while(state, linger, gathering);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.buffer.is_empty() {
            return None;
        }
        state.urgent = false;
        Some((std::mem::replace(&mut state.buffer, spare), std::mem::take(&mut state.lines)))
    }

    fn settle(&self, lines: u64, result: &io::Result<()>) {
        let mut state = self.lock();
        match result {
            Ok(()) => state.written += lines,
            Err(_) => state.failed += lines,
        }
        drop(state);
        self.settled.notify_all();
    }

    fn run(&self, mut out: impl Write, linger: Duration) {
        let mut spare = Vec::with_capacity(self.capacity);
        while let Some((batch, lines)) = self.next_batch(spare, linger) {
            self.settle(lines, &out.write_all(&batch).and_then(|()| out.flush()));
            spare = batch;
            spare.clear();
        }
    }

    /// What is in the buffer when the thread has gone was never written.
    fn retire(&self) {
        let mut state = self.lock();
        state.gone = true;
        let settled = state.written + state.failed;
        state.failed += state.taken - settled;
        drop(state);
        self.settled.notify_all();
    }

    fn wait(&self, limit: Duration, pending: impl Fn(&State) -> bool) -> bool {
        self.work.notify_one();
        let waited = self.settled.wait_timeout_while(self.lock(), limit, |state| pending(state));
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !pending(&state)
    }
}

/// Tells that the thread has gone, also if the writer panicked.
struct Retiring(Arc<Shared>);

impl Drop for Retiring {
    fn drop(&mut self) {
        self.0.retire();
    }
}

impl LogWriter {
    /// With 4 MiB of buffer (twice: one fills while the other is written), of which pages are touched as they are needed.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub fn new(out: impl Write + Send + 'static) -> io::Result<Self> {
        Self::with_settings(out, DEFAULT_CAPACITY, DEFAULT_LINGER)
    }

    /// With `capacity` bytes of buffer (twice), and lines that wait up to `linger` for company: the longer, the fewer
    /// writes. A line longer than `capacity` is dropped.
    ///
    /// # Errors
    ///
    /// The system gives no thread; [`InvalidInput`](io::ErrorKind::InvalidInput) with a [`ConfigError`] for a capacity of
    /// zero, which would drop every line, or of more than 1 GiB.
    pub fn with_settings(
        out: impl Write + Send + 'static,
        capacity: usize,
        linger: Duration,
    ) -> io::Result<Self> {
        if !(1..=MAX_CAPACITY).contains(&capacity) {
            let problem = "is not between 1 byte and 1 GiB";
            let error = ConfigError::new("capacity of a log writer", capacity, problem);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
        }
        let state = State { buffer: Vec::with_capacity(capacity), ..State::default() };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            work: Condvar::new(),
            settled: Condvar::new(),
            dropped: AtomicU64::new(0),
            capacity,
        });
        let retiring = Retiring(Arc::clone(&shared));
        let run = move || retiring.0.run(out, linger);
        thread::Builder::new().name("access-log".to_owned()).spawn(run)?;
        Ok(Self(Arc::new(Handle(shared))))
    }

    /// Waits until what was handed over so far is written, for at most `limit`; whether it is.
    #[must_use]
    pub fn flush(&self, limit: Duration) -> bool {
        let shared = &self.0.0;
        let mut state = shared.lock();
        let target = state.taken;
        state.urgent = !state.buffer.is_empty();
        drop(state);
        shared.wait(limit, |state| state.written + state.failed < target)
    }

    /// Writes what waits, then takes nothing more; for at most `limit`. Whether everything was written. Further lines
    /// count as dropped.
    #[must_use]
    pub fn shut_down(&self, limit: Duration) -> bool {
        self.0.shut_down(limit)
    }

    /// What became of the lines.
    pub fn stats(&self) -> LogStats {
        let shared = &self.0.0;
        let state = shared.lock();
        LogStats { written: state.written, dropped: shared.dropped.load(Relaxed), failed: state.failed }
    }
}

impl Handle {
    fn shut_down(&self, limit: Duration) -> bool {
        self.0.lock().closing = true;
        self.0.wait(limit, |state| !state.gone)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let _stuck_writers_are_left_behind = self.shut_down(DEFAULT_PATIENCE);
    }
}

impl LogSink for LogWriter {
    fn write(&self, line: &str, _: &RequestEvent<'_>) {
        self.0.0.push(line);
    }
}

impl fmt::Debug for LogWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogWriter").field(&self.stats()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const LONG: Duration = Duration::from_secs(30);

    /// Keeps what is written; each write waits for a token where a gate is given.
    struct Gated {
        gate: Option<mpsc::Receiver<()>>,
        entered: mpsc::Sender<()>,
        kept: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _nobody_may_listen = self.entered.send(());
            if let Some(gate) = &self.gate {
                let _opened = gate.recv();
            }
            self.kept.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated(gate: Option<mpsc::Receiver<()>>) -> (Gated, mpsc::Receiver<()>, Arc<Mutex<Vec<u8>>>) {
        let (entered, has_entered) = mpsc::channel();
        let kept = Arc::new(Mutex::new(Vec::new()));
        (Gated { gate, entered, kept: Arc::clone(&kept) }, has_entered, kept)
    }

    #[test]
    fn a_blocked_writer_costs_counted_lines_and_nothing_else() {
        let (open, gate) = mpsc::channel();
        let (out, has_entered, kept) = gated(Some(gate));
        let writer = LogWriter::with_settings(out, 100, Duration::ZERO).unwrap();
        let shared = &writer.0.0;
        shared.push("first");
        has_entered.recv().unwrap();
        // The writer is stuck with the first line: ten lines of ten bytes fit, no more.
        (0..25).for_each(|_| shared.push("123456789"));
        assert_eq!(writer.stats(), LogStats { written: 0, dropped: 15, failed: 0 });
        assert!(!writer.flush(Duration::ZERO));
        drop(open);
        assert!(writer.flush(LONG));
        assert_eq!(writer.stats(), LogStats { written: 11, dropped: 15, failed: 0 });
        assert_eq!(kept.lock().unwrap().len(), "first\n".len() + 100);
    }

    #[test]
    fn a_buffer_for_nothing_or_for_all_memory_is_refused() {
        for capacity in [0, MAX_CAPACITY + 1, usize::MAX] {
            let error = LogWriter::with_settings(io::sink(), capacity, Duration::ZERO).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains(&capacity.to_string()), "{error}");
        }
    }

    #[test]
    fn dropping_the_last_handle_writes_everything() {
        let (out, _has_entered, kept) = gated(None);
        let writer = LogWriter::with_settings(out, 1 << 20, LONG).unwrap();
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let writer = writer.clone();
                thread::spawn(move || {
                    for line in 0..1_000 {
                        writer.0.0.push(&format!("{thread} {line}"));
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        drop(writer);
        let text = String::from_utf8(kept.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 4_000);
        for thread in 0..4 {
            let lines: Vec<_> = text.lines().filter(|line| line.starts_with(&thread.to_string())).collect();
            let wanted: Vec<_> = (0..1_000).map(|line| format!("{thread} {line}")).collect();
            assert_eq!(lines, wanted, "in order");
        }
    }

    #[test]
    fn lines_after_the_end_are_dropped_and_errors_are_counted() {
        struct Broken;
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::other("disk full"))
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let writer = LogWriter::with_settings(Broken, 100, Duration::ZERO).unwrap();
        writer.0.0.push("lost");
        assert!(writer.shut_down(LONG));
        writer.0.0.push("late");
        assert_eq!(writer.stats(), LogStats { written: 0, dropped: 1, failed: 1 });
    }

    #[test]
    fn a_writer_that_panics_ends_the_thread_but_not_the_service() {
        struct Panics;
        impl Write for Panics {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                std::panic::resume_unwind(Box::new("no message on stderr"))
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let writer = LogWriter::with_settings(Panics, 100, Duration::ZERO).unwrap();
        writer.0.0.push("lost");
        assert!(writer.flush(LONG));
        assert!(writer.shut_down(LONG));
        writer.0.0.push("late");
        assert_eq!(writer.stats(), LogStats { written: 0, dropped: 1, failed: 1 });
    }
}
