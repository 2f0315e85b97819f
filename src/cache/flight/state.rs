//! What the readers of a flight share, under its lock.

use super::{
    land::{How, StreamHead},
    motor::Motor,
    window::{Seats, Window},
};
use crate::{
    body::BoxError,
    cache::{
        entry::Entry,
        reason::NoCacheReason,
        under_way::{Held, Kept},
    },
    clock::Timestamp,
};
use bytes::Bytes;
use http::{Extensions, HeaderMap};
use std::{any::Any, sync::Arc, task::Waker};

#[derive(Default)]
pub(super) struct State {
    pub(super) seats: Seats,
    pub(super) motor: MotorPlace,
    pub(super) phase: Phase,
    /// The service's `Result`, for the leader alone.
    pub(super) raw: Option<Box<dyn Any + Send>>,
    /// Of the answer, for the leader alone.
    pub(super) own: Option<Own>,
    wakes_stalled: bool,
}

/// What the request that made the call gets of an answer that is stored or shared: the service's own map and body,
/// without a copy.
#[derive(Debug, Default)]
pub(crate) struct Own {
    pub(crate) headers: HeaderMap,
    /// The whole body, where it came in one piece.
    pub(crate) body: Option<Bytes>,
    pub(crate) extensions: Extensions,
}

/// Where the call is.
#[derive(Default)]
pub(super) enum MotorPlace {
    /// Not made yet: the leader is about to.
    #[default]
    Awaited,
    Ready(Motor),
    /// A reader is polling it.
    Taken,
    Gone,
}

#[derive(Default)]
pub(super) enum Phase {
    #[default]
    Head,
    Streaming(Stream),
    Landed(Landing),
}

/// How a flight ended, where it ended before, or together with, the head of the answer.
#[derive(Clone)]
pub(super) enum Landing {
    Entry(Arc<Entry>, How),
    /// Everybody goes for themselves.
    Released(NoCacheReason),
    /// Somebody should try again.
    Failed,
}

/// A body on its way.
pub(super) struct Stream {
    pub(super) head: Arc<StreamHead>,
    pub(super) window: Window,
    pub(super) total: u64,
    kept: Kept,
    /// Why only what somebody has yet to read is kept, if that is so: it has outgrown an entry, or too much is kept.
    pub(super) overflow: Option<NoCacheReason>,
    pub(super) end: Option<End>,
    pub(super) trailers: Option<Box<HeaderMap>>,
    /// The service's own error, for the leader.
    pub(super) error: Option<BoxError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Complete,
    Broken,
}

/// What a reader of a body reads next.
pub(super) enum Step {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
    /// The service's error where this reader is the leader.
    Broken(Option<BoxError>),
    /// Others have waited too long for this reader.
    CutOff,
}

impl State {
    pub(super) fn takes_readers(&self, now: Timestamp) -> bool {
        let open = match &self.phase {
            Phase::Head => true,
            Phase::Streaming(stream) => {
                let meta = &stream.head.meta;
                let serves = meta.is_fresh(now) && !meta.freshness.always_validate;
                !stream.is_overflowed() && stream.end.is_none() && serves
            }
            Phase::Landed(Landing::Entry(entry, _)) => entry.meta.is_fresh(now),
            Phase::Landed(_) => false,
        };
        open && !self.seats.is_empty()
    }

    /// The call, if it may be polled now, and whether it is past its head.
    pub(super) fn take_motor(&mut self, room: usize) -> Option<(Motor, bool)> {
        let streams = match &self.phase {
            Phase::Head => false,
            Phase::Streaming(stream) if stream.end.is_none() && !stream.is_full(room) => true,
            _ => return None,
        };
        match std::mem::replace(&mut self.motor, MotorPlace::Taken) {
            MotorPlace::Ready(motor) => Some((motor, streams)),
            other => {
                self.motor = other;
                None
            }
        }
    }

    /// Ends the call: what is to be dropped, when no lock is held.
    pub(super) fn stop(&mut self) -> MotorPlace {
        std::mem::replace(&mut self.motor, MotorPlace::Gone)
    }

    pub(super) fn stream(&mut self) -> Option<&mut Stream> {
        match &mut self.phase {
            Phase::Streaming(stream) => Some(stream),
            _ => None,
        }
    }

    /// The next step of a reader, if there is one yet.
    pub(super) fn next(&mut self, seat: usize) -> Option<Step> {
        let Phase::Streaming(stream) = &mut self.phase else { return Some(Step::End) };
        let Some(reader) = self.seats.get(seat) else { return Some(Step::End) };
        if reader.is_cut {
            return Some(Step::CutOff);
        }
        if let Some(data) = stream.window.get(reader.next).cloned() {
            reader.next += 1;
            self.trim();
            return Some(Step::Data(data));
        }
        match stream.end? {
            End::Broken => Some(Step::Broken(if seat == 0 { stream.error.take() } else { None })),
            End::Complete => Some(match &stream.trailers {
                Some(trailers) if reader.next == stream.window.end() => {
                    reader.next += 1;
                    Step::Trailers((**trailers).clone())
                }
                _ => Step::End,
            }),
        }
    }

    /// Drops what everybody has read of a body that is not stored.
    pub(super) fn trim(&mut self) {
        let Phase::Streaming(stream) = &mut self.phase else { return };
        if stream.is_overflowed() {
            let before = stream.window.first();
            stream.window.trim(self.seats.slowest().unwrap_or(u64::MAX));
            self.wakes_stalled |= stream.window.first() != before;
        }
    }

    /// Readers that waited for room in the window.
    pub(super) fn take_wakers_of_stalled(&mut self) -> Vec<Waker> {
        if std::mem::take(&mut self.wakes_stalled) { self.seats.take_wakers() } else { Vec::new() }
    }
}

impl Stream {
    pub(super) fn new(head: Arc<StreamHead>, kept: Kept) -> Self {
        Self {
            head,
            window: Window::default(),
            total: 0,
            kept,
            overflow: None,
            end: None,
            trailers: None,
            error: None,
        }
    }

    /// What comes next.
    pub(super) fn add(&mut self, data: Bytes) {
        let length = data.len() as u64;
        self.total += length;
        self.window.push(data);
        if !self.is_overflowed() {
            self.kept.add(length);
        }
    }

    pub(super) fn held(&self) -> Held {
        self.kept.held()
    }

    pub(super) fn is_overflowed(&self) -> bool {
        self.overflow.is_some()
    }

    /// Keeps no more than what somebody has yet to read. `false`: so it was before.
    pub(super) fn give_up(&mut self, reason: NoCacheReason) -> bool {
        if self.is_overflowed() {
            return false;
        }
        self.overflow = Some(reason);
        self.kept.release();
        true
    }

    /// Whether all bodies on their way are more than may be kept.
    pub(super) fn wants_room(&self) -> bool {
        !self.is_overflowed() && !self.kept.fits()
    }

    /// Whether reading on must wait for the slowest reader.
    pub(super) fn is_full(&self, room: usize) -> bool {
        self.is_overflowed() && self.window.buffered() > room
    }

    /// Whether nobody knows yet that it is not too long for an entry.
    pub(super) fn may_outgrow(&self) -> bool {
        self.head.announced.is_none() && self.end.is_none()
    }

    /// Whether every byte has come that the head has announced.
    pub(super) fn has_all(&self) -> bool {
        self.head.announced == Some(self.total)
    }
}
