//! One call to the service, shared: every reader that waits for it drives it, and all read what it brings.
//!
//! No task of its own and no leader that must stay: the call (future, then body) lies in the flight, and the reader
//! that finds nothing to read takes it out, polls it with the flight's own waker, and puts it back. When the service
//! wakes that waker, every reader is woken; the first one drives, the others read. A reader that goes away takes
//! nothing along, and the last one to go ends the call, unless only the end of the body is left of it, or the cache is
//! set to finish what was begun.

mod land;
mod motor;
mod rider;
mod snapshot;
mod state;
mod table;
mod window;

pub(crate) use land::{How, StreamHead};
pub(crate) use motor::{Call, Motor};
pub(crate) use rider::{Arrived, Rider};
pub(crate) use snapshot::RequestSnapshot;
pub(crate) use state::Own;
pub(crate) use table::{FlightKey, FlightTable};
pub(crate) use window::Segments;

use super::{
    core::Core,
    entry::{Content, Entry},
    reason::NoCacheReason,
    rules::Lookup,
    tier::Lead,
    under_way::{Held, Holder},
};
use crate::{body::BoxError, clock::Timestamp, route::CacheSettings};
use bytes::Bytes;
use land::{After, Eager};
use state::{End, Landing, MotorPlace, Phase, State, Stream};
use std::{
    any::Any,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

/// What a call is for.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) core: Arc<Core>,
    pub(crate) key: FlightKey,
    pub(crate) request: RequestSnapshot,
    pub(crate) settings: CacheSettings,
    /// What a 304 confirms, and what may be served if the service fails.
    pub(crate) entry: Option<Arc<Entry>>,
    pub(crate) started: Timestamp,
    /// Why the service is called.
    pub(crate) reason: NoCacheReason,
    pub(crate) lookup: Lookup,
    /// It is not in the table, where purges would find it.
    pub(crate) is_alone: bool,
    /// The count of purges of its key when the call began ([`Core::purges_of`]).
    pub(crate) purges: u64,
    /// The right to make it for all processes.
    pub(crate) lead: Option<Arc<Lead>>,
    /// Nothing lay under the key when entries under such keys had been changed that often.
    pub(crate) nothing_at: Option<u64>,
}

/// So many frames are read in one poll at most: a service may have any number of them ready, and all may be empty.
const STEPS: usize = 256;

/// The seat of the request that made the call.
const LEADER: usize = 0;

/// A call on its way; see the [module docs](self).
pub(crate) struct Flight {
    job: Job,
    state: Mutex<State>,
    /// The answer is not to be stored: something was purged, or is to be replaced.
    superseded: AtomicBool,
    /// A newer call has its place in the table.
    overtaken: AtomicBool,
    /// How often the service woke us: a wake-up that falls into a poll must not be lost.
    wakes: AtomicU64,
}

impl fmt::Debug for Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight").field("key", &self.job.key).finish_non_exhaustive()
    }
}

impl Flight {
    /// A flight whose call is still to be made, and the leader's seat in it.
    pub(crate) fn new(job: Job) -> (Arc<Self>, Rider) {
        let flight = Arc::new(Self {
            job,
            state: Mutex::default(),
            superseded: AtomicBool::new(false),
            overtaken: AtomicBool::new(false),
            wakes: AtomicU64::new(0),
        });
        let rider = Rider::new(Arc::clone(&flight), LEADER);
        (flight, rider)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn key(&self) -> &FlightKey {
        &self.job.key
    }

    pub(crate) fn job(&self) -> &Job {
        &self.job
    }

    /// A seat in a flight that has not ended.
    pub(crate) fn join(self: &Arc<Self>, now: Timestamp) -> Option<Rider> {
        let mut state = self.lock();
        if !state.takes_readers(now) {
            return None;
        }
        let seat = state.seats.take_seat();
        drop(state);
        Some(Rider::new(Arc::clone(self), seat))
    }

    /// Whether it has been waiting for its head for longer than others should wait.
    pub(crate) fn is_late(&self, now: Timestamp) -> bool {
        let waits = matches!(self.lock().phase, Phase::Head);
        waits && now.since(self.job.started) > self.job.core.limits.lock_age
    }

    /// The answer will not be stored. Its readers are not affected.
    pub(crate) fn supersede(&self) {
        self.superseded.store(true, SeqCst);
    }

    /// A newer call takes its place in the table. The answer is stored if it comes before that of the newer one.
    pub(crate) fn overtake(&self) {
        self.overtaken.store(true, SeqCst);
    }

    fn is_overtaken(&self) -> bool {
        self.overtaken.load(SeqCst)
    }

    /// Of a call that purges do not find, any purge may mean the answer.
    fn is_superseded(&self) -> bool {
        let Job { core, key, purges, is_alone, .. } = &self.job;
        self.superseded.load(SeqCst) || *is_alone && core.purges_of(key.primary.borrowed()) != *purges
    }

    /// The tags of the answer, once its head is there.
    pub(crate) fn has_tag(&self, tag: &str) -> bool {
        match &self.lock().phase {
            Phase::Streaming(stream) => stream.head.meta.tags.iter().any(|own| **own == *tag),
            // Not known yet: better not stored than stored after its purge.
            Phase::Head => true,
            Phase::Landed(_) => false,
        }
    }

    /// The call was made: from here on readers drive it.
    pub(crate) fn start(&self, motor: Motor) {
        let mut state = self.lock();
        state.motor = MotorPlace::Ready(motor);
        let wakers = state.seats.take_wakers();
        drop(state);
        wake_all(wakers);
    }

    fn wake_readers(&self) {
        let wakers = self.lock().seats.take_wakers();
        wake_all(wakers);
    }

    /// What `ready` finds for a seat; drives the call while it finds nothing.
    fn poll<T>(
        self: &Arc<Self>,
        seat: usize,
        cx: &Context<'_>,
        mut ready: impl FnMut(&mut State) -> Option<T>,
    ) -> Poll<T> {
        let mut left = STEPS;
        loop {
            let mut state = self.lock();
            if let Some(out) = ready(&mut state) {
                let wakers = state.take_wakers_of_stalled();
                drop(state);
                wake_all(wakers);
                return Poll::Ready(out);
            }
            if left == 0 {
                drop(state);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let Some((motor, streams)) = state.take_motor(self.job.core.limits.entry) else {
                let replaced = state.seats.watch(seat, cx.waker());
                drop(state);
                drop(replaced);
                return Poll::Pending;
            };
            drop(state);
            if !self.drive(motor, streams, (seat, cx.waker()), &mut left) {
                return Poll::Pending;
            }
        }
    }

    /// Polls the call. `false`: it is not ready, and will wake the readers, with `reader`, who drives.
    fn drive(
        self: &Arc<Self>,
        motor: Motor,
        mut streams: bool,
        reader: (usize, &Waker),
        left: &mut usize,
    ) -> bool {
        let waker = Waker::from(Arc::clone(self));
        let mut cx = Context::from_waker(&waker);
        let (mut next, mut advanced) = (Some(motor), false);
        while let Some(motor) = next.take() {
            let wakes = self.wakes.load(SeqCst);
            // Fails the flight if the service panics.
            let guard = Unwinding(self);
            let after = land::step(self, motor, streams, &mut cx);
            std::mem::forget(guard);
            let is_pending = matches!(after, After::Pending(_));
            let is_landed = matches!(after, After::Landed { .. });
            advanced |= !is_pending;
            next = self.settle(after, reader);
            streams = true;
            *left = left.saturating_sub(1);
            if *left == 0 {
                next.take().into_iter().for_each(|motor| self.put_back(motor));
            }
            // A wake-up during the poll woke readers that found the call taken, and not yet who drives.
            if !is_landed && (!is_pending || self.wakes.load(SeqCst) != wakes) {
                self.wake_readers();
            }
        }
        advanced
    }

    /// Writes down what a poll brought. Gives the call back where it should be polled at once: all of its bytes are
    /// there, and no reader might come back to see its end.
    fn settle(self: &Arc<Self>, after: After, (seat, waker): (usize, &Waker)) -> Option<Motor> {
        match after {
            After::Pending(motor) => {
                let mut state = self.lock();
                state.motor = MotorPlace::Ready(motor);
                let replaced = state.seats.watch(seat, waker);
                drop(state);
                drop(replaced);
            }
            After::Landed { landing, raw, own } => self.landed(landing, raw, own),
            After::Opened { motor, head, own, read } => return self.opened(motor, head, own, read),
            After::Data(motor, data) => return self.push(motor, data),
            After::Trailers(motor, trailers) => {
                if let Some(stream) = self.lock().stream() {
                    stream.trailers = Some(trailers);
                    land::strip_trailers(&mut stream.trailers, &stream.head.private);
                }
                self.put_back(motor);
            }
            After::Ended(end, error) => self.ended(end, error),
        }
        None
    }

    fn opened(self: &Arc<Self>, motor: Motor, head: Arc<StreamHead>, own: Own, read: Eager) -> Option<Motor> {
        let mut stream = Stream::new(head, self.job.core.keeping(Arc::downgrade(self) as Weak<_>));
        read.segments.into_iter().for_each(|data| stream.add(data));
        stream.trailers = read.trailers;
        let has_all = stream.has_all();
        let mut state = self.lock();
        state.phase = Phase::Streaming(stream);
        state.own = state.seats.get(LEADER).map(|_| own);
        if let Some(error) = read.error {
            drop(state);
            self.ended(End::Broken, Some(error));
            return None;
        }
        self.keep_within(state);
        self.go_on(motor, has_all)
    }

    fn put_back(&self, motor: Motor) {
        self.lock().motor = MotorPlace::Ready(motor);
    }

    fn go_on(&self, motor: Motor, at_once: bool) -> Option<Motor> {
        if at_once || motor.is_end_stream() {
            return Some(motor);
        }
        self.put_back(motor);
        None
    }

    /// Ends with the head, and wakes everybody.
    fn landed(&self, landing: Landing, raw: Option<Box<dyn Any + Send>>, own: Option<Own>) {
        self.job.core.flights.remove(self);
        let mut state = self.lock();
        state.phase = Phase::Landed(landing);
        let motor = state.stop();
        let unclaimed = match state.seats.get(LEADER) {
            Some(_) => {
                (state.raw, state.own) = (raw, own);
                None
            }
            None => Some((raw, own)),
        };
        let wakers = state.seats.take_wakers();
        drop(state);
        drop((motor, unclaimed));
        wake_all(wakers);
    }

    fn push(&self, motor: Motor, data: Bytes) -> Option<Motor> {
        if data.is_empty() {
            return self.go_on(motor, false);
        }
        let mut state = self.lock();
        let stream = state.stream()?;
        stream.add(data);
        let has_all = stream.has_all();
        self.keep_within(state);
        self.go_on(motor, has_all)
    }

    /// Whether what has come is too much, for an entry or with all others.
    fn keep_within(&self, mut state: MutexGuard<'_, State>) {
        let core = &self.job.core;
        let Some(stream) = state.stream() else { return };
        let outgrows = stream.total > core.limits.entry as u64 && stream.give_up(NoCacheReason::TooLarge);
        let wants_room = stream.wants_room();
        drop(state);
        if outgrows {
            self.overflow(NoCacheReason::TooLarge);
        }
        if wants_room {
            core.make_room();
        }
    }

    /// The answer is kept no longer: nobody joins any more, other processes do not wait for it, and if it has outgrown
    /// an entry, the next ones do not wait for each other.
    #[cold]
    fn overflow(&self, reason: NoCacheReason) {
        let Job { core, key, request, lead, started, .. } = &self.job;
        core.flights.remove(self);
        core.counters.not_stored(reason);
        if reason == NoCacheReason::TooLarge {
            core.mark_pass(&key.primary, &request.headers(), (reason, *started), lead.as_ref());
        }
        if let Some(lead) = lead {
            lead.release();
        }
    }

    fn ended(&self, end: End, error: Option<BoxError>) {
        if end == End::Complete {
            self.store();
        } else {
            self.job.core.counters.not_stored(NoCacheReason::Incomplete);
        }
        self.job.core.flights.remove(self);
        let mut state = self.lock();
        let motor = state.stop();
        if let Some(stream) = state.stream() {
            stream.end = Some(end);
            stream.error = error;
        }
        drop(state);
        drop(motor);
    }

    /// Stores a body that has streamed to its end.
    fn store(&self) {
        let mut state = self.lock();
        let Some(stream) = state.stream().filter(|stream| !stream.is_overflowed()) else { return };
        let (head, trailers) = (Arc::clone(&stream.head), stream.trailers.clone());
        let segments = stream.window.segments();
        drop(state);
        let content = Content { headers: head.headers.clone(), body: segments.concat(), trailers };
        land::complete(self, head.meta.clone(), content, head.announced);
    }

    /// Nothing comes any more, and nothing was decided.
    fn fail(&self) {
        self.job.core.flights.remove(self);
        let mut state = self.lock();
        let motor = state.stop();
        match state.stream() {
            Some(stream) => stream.end = Some(End::Broken),
            None => state.phase = Phase::Landed(Landing::Failed),
        }
        drop(state);
        drop(motor);
        self.wake_readers();
    }

    /// Cuts off the readers for which `seat` has waited too long.
    fn cut_laggards(&self, seat: usize) {
        let mut state = self.lock();
        let Some(oldest) = state.stream().map(|stream| stream.window.first()) else { return };
        state.seats.cut(oldest, seat);
        state.trim();
        drop(state);
        self.wake_readers();
    }

    /// A reader goes away.
    fn leave(&self, seat: usize) {
        let mut state = self.lock();
        let left = state.seats.leave(seat);
        let leaders = (seat == LEADER).then(|| (state.raw.take(), state.own.take()));
        let is_last = state.seats.is_empty();
        let never_made = seat == LEADER && matches!(state.motor, MotorPlace::Awaited);
        let has_all =
            is_last && state.stream().is_some_and(|stream| stream.end.is_none() && stream.has_all());
        let motor = has_all.then(|| state.stop());
        let is_over = match &state.phase {
            Phase::Landed(_) => true,
            Phase::Streaming(stream) => stream.end.is_some(),
            Phase::Head => false,
        };
        state.trim();
        let wakers = state.take_wakers_of_stalled();
        drop(state);
        drop((left, leaders));
        wake_all(wakers);
        // Trailers may follow all bytes that were announced.
        let is_complete = matches!(&motor, Some(MotorPlace::Ready(motor)) if motor.is_end_stream());
        drop(motor);
        if is_complete {
            self.ended(End::Complete, None);
        } else if (is_last || never_made) && !is_over {
            self.abandon();
        }
    }

    #[cold]
    fn abandon(&self) {
        self.job.core.counters.not_stored(NoCacheReason::Abandoned);
        self.fail();
    }

    fn has_more_than_announced(&self) -> bool {
        self.lock().stream().is_some_and(|stream| !stream.has_all())
    }

    /// What is to be finished all the same when `seat` goes away, if it is the last.
    fn rest(&self, seat: usize) -> Option<Rest> {
        let mut state = self.lock();
        if !state.seats.is_last(seat) {
            return None;
        }
        let (goes_on, has_all) = match &state.phase {
            Phase::Head => (matches!(state.motor, MotorPlace::Ready(_)), false),
            Phase::Streaming(stream) => {
                (stream.end.is_none() && !stream.is_overflowed(), stream.end.is_none() && stream.has_all())
            }
            Phase::Landed(_) => (false, false),
        };
        match &state.motor {
            _ if goes_on && self.job.core.limits.finish_abandoned => Some(Rest::Call),
            MotorPlace::Ready(motor) if has_all && !motor.is_end_stream() => Some(Rest::End),
            _ => None,
        }
    }
}

impl Holder for Flight {
    fn held(&self) -> Held {
        self.lock().stream().map_or_else(Held::default, |stream| stream.held())
    }

    fn give_up(&self) {
        let mut state = self.lock();
        let Some(stream) = state.stream() else { return };
        let has_ended = stream.end.is_some();
        if !stream.give_up(NoCacheReason::OutOfRoom) {
            return;
        }
        state.trim();
        let wakers = state.seats.take_wakers();
        drop(state);
        // What has ended is stored, and is kept for those alone who still read it.
        if !has_ended {
            self.overflow(NoCacheReason::OutOfRoom);
        }
        wake_all(wakers);
    }
}

/// What is left of a call.
enum Rest {
    /// All that is left of it, because the cache is set to finish calls.
    Call,
    /// The end of a body all of whose bytes are there. A server stops reading at that point, and trailers may follow.
    End,
}

fn wake_all(wakers: Vec<Waker>) {
    if !wakers.is_empty() {
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Fails a flight whose service panicked: its readers are let go.
struct Unwinding<'a>(&'a Flight);

impl Drop for Unwinding<'_> {
    fn drop(&mut self) {
        self.0.fail();
    }
}

impl Wake for Flight {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wakes.fetch_add(1, SeqCst);
        self.wake_readers();
    }
}
