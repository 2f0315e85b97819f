//! A sink that is stuck costs counted lines, and no request time.

use crate::support::is_long;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::Full;
use std::{
    convert::Infallible,
    io::{self, Write},
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};
use tower::{Layer, Service, service_fn};
use tower_gateway::observe::{
    AccessLog, AccessLogFormat, AccessLogLayer, LogApi, LogPreset, LogSink, LogWriter, RequestEvent,
};

/// About a millisecond: shorter than the turns that a busy machine gives a thread, so that some rounds are not interrupted.
const PER_ROUND: u32 = 50;
const ROUNDS: u64 = 400;

/// Does not return from a write while it is shut.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<Inside>, Condvar)>);

#[derive(Default)]
struct Inside {
    shut: bool,
    waits: bool,
    lines: u64,
}

impl Gate {
    fn set_shut(&self, shut: bool) {
        self.0.0.lock().unwrap().shut = shut;
        self.0.1.notify_all();
    }

    /// Until the writer's thread stands before the gate.
    fn until_blocked(&self) {
        let inside = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(inside, |inside| !inside.waits).unwrap());
    }
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut inside = self.0.0.lock().unwrap();
        inside.waits = true;
        self.0.1.notify_all();
        inside = self.0.1.wait_while(inside, |inside| inside.shut).unwrap();
        inside.waits = false;
        inside.lines += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn writer(out: impl Write + Send + 'static) -> LogWriter {
    LogWriter::with_settings(out, 64 << 10, Duration::ZERO).unwrap()
}

fn logged(
    sink: impl LogSink,
) -> impl Service<Request<()>, Response: Send, Error = Infallible, Future: Future> {
    let log = AccessLog::new(AccessLogFormat::preset(LogApi::Rest, LogPreset::Json), sink);
    let inner = service_fn(|_: Request<()>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
    });
    AccessLogLayer::new(log).layer(inner)
}

/// Time per request of one round.
#[allow(clippy::disallowed_methods, reason = "measures")]
fn round<S: Service<Request<()>, Error = Infallible>>(service: &mut S) -> Duration {
    let start = std::time::Instant::now();
    for _ in 0..PER_ROUND {
        assert!(service.call(Request::new(())).now_or_never().is_some(), "answers at once");
    }
    start.elapsed() / PER_ROUND
}

/// The best of many alternating rounds each: what else the machine does only makes rounds longer. With `LONG=1` the
/// writer stays blocked for a minute.
#[test]
#[allow(clippy::disallowed_methods, reason = "measures")]
fn a_blocked_writer_adds_at_most_a_microsecond_and_counts_what_it_drops() {
    let mut without = logged(|_: &str, _: &RequestEvent<'_>| ());
    let open_writer = writer(io::sink());
    let mut open = logged(open_writer.clone());
    let gate = Gate::default();
    gate.set_shut(true);
    let stuck_writer = writer(gate.clone());
    let mut blocked = logged(stuck_writer.clone());
    round(&mut blocked);
    gate.until_blocked();
    let blocked_since = std::time::Instant::now();
    let blocked_for = Duration::from_secs(if is_long() { 60 } else { 0 });
    let mut best = [Duration::MAX; 3];
    let mut rounds = 0;
    while rounds < ROUNDS || blocked_since.elapsed() < blocked_for {
        rounds += 1;
        let times = [round(&mut without), round(&mut open), round(&mut blocked)];
        best = std::array::from_fn(|index| best[index].min(times[index]));
    }
    let stuck = stuck_writer.stats();
    assert_eq!((stuck.written, stuck.failed), (0, 0));
    assert!(!stuck_writer.flush(Duration::ZERO), "still blocked");
    println!(
        "a request takes {:?} without a sink, {:?} with an open and {:?} with a blocked one ({rounds} rounds)",
        best[0], best[1], best[2]
    );
    assert!(best[2] <= best[0] + Duration::from_micros(1), "{best:?}");

    gate.set_shut(false);
    assert!(stuck_writer.shut_down(Duration::from_secs(60)));
    let (stats, all) = (stuck_writer.stats(), u64::from(PER_ROUND) * (rounds + 1));
    assert_eq!((stats.written + stats.dropped, stats.failed), (all, 0));
    assert_eq!(stats.dropped, stuck.dropped, "nothing was dropped after the gate had opened");
    assert_eq!(gate.0.0.lock().unwrap().lines, stats.written, "no line that was taken is lost");
    assert!(stats.dropped > all / 2, "{stats:?}");
    assert!(open_writer.shut_down(Duration::from_secs(60)));
    let stats = open_writer.stats();
    assert_eq!(stats.written + stats.dropped, u64::from(PER_ROUND) * rounds);
}
