//! A reader of a flight: first of its head, then of its body.

use super::{
    Flight, How, Job, LEADER, Rest, STEPS, StreamHead, land,
    state::{End, Landing, Own, Phase, State, Step, Stream},
};
use crate::{
    body::BoxError,
    cache::{entry::Entry, reason::NoCacheReason},
    clock::timer::Sleep,
};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::{
    any::Any,
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

/// A seat in a flight. Dropping it leaves the flight, which goes on for the others.
#[derive(Debug)]
pub(crate) struct Rider {
    flight: Arc<Flight>,
    seat: usize,
    /// It reads for nobody: when it goes, it goes.
    drains: bool,
    /// It begins with the body, however long that may become.
    insists: bool,
}

/// A reader may stand still for so many times the wait for a head while others wait for it: a client that reads slowly
/// takes nothing for a while whenever the buffers of its connection are full.
const STALLS: u32 = 12;

/// How a flight arrived for its readers.
#[derive(Debug)]
pub(crate) enum Arrived {
    Streaming(Arc<StreamHead>),
    Entry(Arc<Entry>, How),
    /// The leader has the answer, the others go for themselves.
    Released(NoCacheReason),
    /// The service failed, or the call was given up before it was made: somebody else tries.
    Failed,
}

/// `waits`: a body that may outgrow an entry is not begun before that is known.
fn arrived(state: &State, job: &Job, is_leader: bool, waits: bool) -> Option<Arrived> {
    Some(match &state.phase {
        Phase::Head => return None,
        // To those who have begun to read it, and to the leader, it is what the service has sent.
        Phase::Streaming(stream) if !is_leader && is_unfinished(stream, job) => Arrived::Failed,
        Phase::Streaming(Stream { overflow: Some(reason), .. }) if waits => Arrived::Released(*reason),
        Phase::Streaming(stream) if waits && stream.may_outgrow() => return None,
        Phase::Streaming(stream) => Arrived::Streaming(Arc::clone(&stream.head)),
        Phase::Landed(Landing::Entry(entry, how)) => Arrived::Entry(Arc::clone(entry), *how),
        Phase::Landed(Landing::Released(reason)) => Arrived::Released(*reason),
        Phase::Landed(Landing::Failed) => Arrived::Failed,
    })
}

/// A body that has ended, and not as it should have.
fn is_unfinished(stream: &Stream, job: &Job) -> bool {
    match stream.end {
        Some(End::Broken) => true,
        Some(End::Complete) => !land::is_whole(job, stream.head.announced, stream.total),
        None => false,
    }
}

impl Rider {
    pub(super) fn new(flight: Arc<Flight>, seat: usize) -> Self {
        Self { flight, seat, drains: false, insists: false }
    }

    pub(crate) fn flight(&self) -> &Flight {
        &self.flight
    }

    pub(crate) fn flight_shared(&self) -> Arc<Flight> {
        Arc::clone(&self.flight)
    }

    /// Whether the call was made for this reader.
    pub(crate) fn is_leader(&self) -> bool {
        self.seat == LEADER
    }

    /// How the flight arrived, and what of it is the leader's, for the leader.
    pub(crate) fn poll_arrival(&self, cx: &Context<'_>) -> Poll<(Arrived, Option<Own>)> {
        self.flight.poll(self.seat, cx, |state| {
            let own = |state: &mut State| if self.is_leader() { state.own.take() } else { None };
            let is_leader = self.is_leader();
            arrived(state, self.flight.job(), is_leader, !is_leader && !self.insists)
                .map(|arrived| (arrived, own(state)))
        })
    }

    /// Whether the head is there, and only the length of the body keeps this reader from it.
    pub(crate) fn is_held(&self) -> bool {
        !self.insists && self.flight.lock().stream().is_some()
    }

    /// Does not wait for the length any longer.
    pub(crate) fn insist(&mut self) {
        self.insists = true;
    }

    /// The service's own `Result`, if this is the leader and it is not shared.
    pub(crate) fn take_raw(&self) -> Option<Box<dyn Any + Send>> {
        if self.is_leader() { self.flight.lock().raw.take() } else { None }
    }

    /// Reads the body that follows a head.
    pub(crate) fn into_body(self, head: &StreamHead) -> SharedBody {
        SharedBody { rider: Some(self), remaining: head.hint, stall: None }
    }

    /// Reads to the end and throws away, in a task of its own. `false`: there is no runtime to do it on.
    pub(crate) fn drain(mut self) -> bool {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return false };
        self.drains = true;
        drop(runtime.spawn(Drain { rider: self, within: None, timer: None }));
        true
    }
}

impl Drop for Rider {
    fn drop(&mut self) {
        let rest = if self.drains { None } else { self.flight.rest(self.seat) };
        let runtime = tokio::runtime::Handle::try_current;
        let Some((rest, runtime)) = rest.and_then(|rest| Some((rest, runtime().ok()?))) else {
            return self.flight.leave(self.seat);
        };
        let within = match rest {
            Rest::Call => None,
            Rest::End => Some(self.flight.job().core.limits.wait),
        };
        let heir = Self { flight: Arc::clone(&self.flight), seat: self.seat, drains: true, insists: true };
        drop(runtime.spawn(Drain { rider: heir, within, timer: None }));
    }
}

/// Finishes a call that nobody waits for.
struct Drain {
    rider: Rider,
    /// Only the end of the body is to come, and is waited for so long.
    within: Option<Duration>,
    timer: Option<Box<Sleep>>,
}

impl Drain {
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let core = &self.rider.flight.job().core;
        let Some(within) = self.within else { return false };
        let timer = self.timer.get_or_insert_with(|| Box::new(core.clock.sleep(within)));
        Pin::new(timer).poll(cx).is_ready()
    }
}

impl Future for Drain {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_over(cx) {
            return Poll::Ready(());
        }
        match self.rider.poll_arrival(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready((Arrived::Streaming(_), _)) => {}
            Poll::Ready(_) => return Poll::Ready(()),
        }
        let Rider { flight, seat, .. } = &self.rider;
        // Nobody waits for it, and others want their turn.
        for _ in 0..STEPS {
            match flight.poll(*seat, cx, |state| state.next(*seat)) {
                Poll::Pending => return Poll::Pending,
                // What the last reader has left unread is passed over; more than was announced is no answer.
                Poll::Ready(Step::Data(_)) if self.within.is_some() && flight.has_more_than_announced() => {
                    return Poll::Ready(());
                }
                Poll::Ready(Step::Data(_) | Step::Trailers(_)) => {}
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The body of an answer that is read by several, or stored while it is read.
#[derive(Debug)]
pub(crate) struct SharedBody {
    rider: Option<Rider>,
    remaining: SizeHint,
    /// Armed while others keep this reader from reading on.
    stall: Option<Sleep>,
}

/// Why a shared body ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SharedBodyError {
    Broken,
    CutOff,
}

impl fmt::Display for SharedBodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broken => "the shared answer broke off",
            Self::CutOff => "the shared answer was read too slowly for its other readers",
        })
    }
}

impl Error for SharedBodyError {}

impl SharedBody {
    /// Arms the timer while reading on has to wait for slower readers, and cuts those off when it rings.
    fn poll_stall(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(Rider { flight, seat, .. }) = &self.rider else { return false };
        let core = &flight.job().core;
        if !flight.lock().stream().is_some_and(|stream| stream.is_full(core.limits.entry)) {
            self.stall = None;
            return false;
        }
        let stall =
            self.stall.get_or_insert_with(|| core.clock.sleep(core.limits.wait.saturating_mul(STALLS)));
        if Pin::new(stall).poll(cx).is_pending() {
            return false;
        }
        self.stall = None;
        flight.cut_laggards(*seat);
        true
    }

    fn take(&mut self, step: Step) -> Option<Result<Frame<Bytes>, BoxError>> {
        self.stall = None;
        match step {
            Step::Data(data) => {
                self.remaining = less(&self.remaining, data.len() as u64);
                Some(Ok(Frame::data(data)))
            }
            Step::Trailers(trailers) => Some(Ok(Frame::trailers(trailers))),
            Step::End => self.end(None),
            Step::Broken(error) => self.end(Some(error.unwrap_or_else(|| SharedBodyError::Broken.into()))),
            Step::CutOff => self.end(Some(SharedBodyError::CutOff.into())),
        }
    }

    fn end(&mut self, error: Option<BoxError>) -> Option<Result<Frame<Bytes>, BoxError>> {
        self.rider = None;
        error.map(Err)
    }
}

fn less(hint: &SizeHint, by: u64) -> SizeHint {
    let mut less = SizeHint::new();
    if let Some(upper) = hint.upper() {
        less.set_upper(upper.saturating_sub(by));
    }
    less.set_lower(hint.lower().saturating_sub(by));
    less
}

impl Body for SharedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            let Some(Rider { flight, seat, .. }) = &self.rider else { return Poll::Ready(None) };
            let seat = *seat;
            if let Poll::Ready(step) = flight.poll(seat, cx, |state| state.next(seat)) {
                return Poll::Ready(self.take(step));
            }
            if !self.poll_stall(cx) {
                return Poll::Pending;
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rider.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.remaining
    }
}
