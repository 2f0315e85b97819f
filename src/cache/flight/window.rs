//! The part of a body that is kept for its readers, and where each of them stands.

use bytes::Bytes;
use std::{collections::VecDeque, task::Waker};

/// Segments of a body, numbered from its start.
#[derive(Debug, Default)]
pub(super) struct Window {
    first: u64,
    segments: VecDeque<Bytes>,
    buffered: usize,
}

impl Window {
    pub(super) fn push(&mut self, data: Bytes) {
        self.buffered += data.len();
        self.segments.push_back(data);
    }

    pub(super) fn get(&self, number: u64) -> Option<&Bytes> {
        self.segments.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// The number that the next segment will have.
    pub(super) fn end(&self) -> u64 {
        self.first + self.segments.len() as u64
    }

    pub(super) fn buffered(&self) -> usize {
        self.buffered
    }

    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// Drops what everybody has read.
    pub(super) fn trim(&mut self, before: u64) {
        while self.first < before
            && let Some(segment) = self.segments.pop_front()
        {
            self.buffered -= segment.len();
            self.first += 1;
        }
    }

    /// Every segment, counted once more and not copied.
    pub(super) fn segments(&self) -> Segments {
        let mut all = Segments::default();
        self.segments.iter().for_each(|segment| all.push(segment.clone()));
        all
    }
}

/// Segments of a whole body: most have one, which asks for no memory.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    first: Option<Bytes>,
    more: Vec<Bytes>,
    length: usize,
}

impl Segments {
    pub(crate) fn push(&mut self, data: Bytes) {
        self.length += data.len();
        match self.first {
            None => self.first = Some(data),
            Some(_) => self.more.push(data),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.first.iter().chain(&self.more)
    }

    pub(crate) fn into_iter(self) -> impl Iterator<Item = Bytes> {
        self.first.into_iter().chain(self.more)
    }

    /// In bytes.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// The body, where it came in one piece.
    pub(crate) fn into_only(self) -> Option<Bytes> {
        if self.more.is_empty() { self.first } else { None }
    }

    /// The whole body in one piece of exactly its length: a segment may be a small part of a large buffer.
    pub(crate) fn concat(&self) -> Bytes {
        if self.length == 0 {
            return Bytes::new();
        }
        let mut whole = Vec::with_capacity(self.length);
        self.iter().for_each(|segment| whole.extend_from_slice(segment));
        Bytes::from_owner(whole)
    }
}

/// One reader.
#[derive(Debug, Default)]
pub(super) struct Seat {
    /// The segment it reads next.
    pub(super) next: u64,
    /// It kept the others waiting for too long.
    pub(super) is_cut: bool,
    waker: Option<Waker>,
}

/// The readers of a flight. Seat 0 is the leader's, who most often is alone.
#[derive(Debug)]
pub(super) struct Seats {
    leader: Option<Seat>,
    others: Vec<Option<Seat>>,
    free: Vec<usize>,
    taken: usize,
    /// Somebody may wait. Most calls are over before anybody does.
    is_watched: bool,
}

/// The leader has a seat.
impl Default for Seats {
    fn default() -> Self {
        Self {
            leader: Some(Seat::default()),
            others: Vec::new(),
            free: Vec::new(),
            taken: 1,
            is_watched: false,
        }
    }
}

impl Seats {
    pub(super) fn take_seat(&mut self) -> usize {
        self.taken += 1;
        let number = self.free.pop().unwrap_or_else(|| {
            self.others.push(None);
            self.others.len()
        });
        self.others[number - 1] = Some(Seat::default());
        number
    }

    fn place(&mut self, number: usize) -> Option<&mut Option<Seat>> {
        match number.checked_sub(1) {
            None => Some(&mut self.leader),
            Some(index) => self.others.get_mut(index),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Seat> {
        self.leader.iter().chain(self.others.iter().flatten())
    }

    /// The leader's seat stays empty: who sits there owns the call. What is given back is not for dropping under a
    /// lock.
    pub(super) fn leave(&mut self, number: usize) -> Option<Seat> {
        let seat = self.place(number)?.take()?;
        self.taken -= 1;
        self.free.extend((number != 0).then_some(number));
        Some(seat)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.taken == 0
    }

    /// Whether nobody else sits here.
    pub(super) fn is_last(&mut self, number: usize) -> bool {
        self.taken == 1 && self.get(number).is_some()
    }

    pub(super) fn get(&mut self, number: usize) -> Option<&mut Seat> {
        self.place(number)?.as_mut()
    }

    /// Gives back the waker that is replaced: dropping it may run foreign code, and is not for under a lock.
    pub(super) fn watch(&mut self, number: usize, waker: &Waker) -> Option<Waker> {
        let seat = self.get(number)?;
        if seat.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            return None;
        }
        let replaced = seat.waker.replace(waker.clone());
        self.is_watched = true;
        replaced
    }

    /// Everybody who waits, to be woken when no lock is held.
    pub(super) fn take_wakers(&mut self) -> Vec<Waker> {
        if !std::mem::take(&mut self.is_watched) {
            return Vec::new();
        }
        let others = self.others.iter_mut().flatten();
        self.leader.iter_mut().chain(others).filter_map(|seat| seat.waker.take()).collect()
    }

    /// The oldest segment that somebody still has to read.
    pub(super) fn slowest(&self) -> Option<u64> {
        self.all().filter(|seat| !seat.is_cut).map(|seat| seat.next).min()
    }

    /// Cuts off everybody who stands at `number`, but not `except`.
    pub(super) fn cut(&mut self, number: u64, except: usize) {
        let seats = std::iter::once(&mut self.leader).chain(&mut self.others);
        for (index, seat) in seats.enumerate() {
            if let Some(seat) = seat.as_mut().filter(|seat| index != except && seat.next == number) {
                seat.is_cut = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_keeps_what_somebody_has_to_read() {
        let mut window = Window::default();
        ["a", "bc", "d"].iter().for_each(|text| window.push(Bytes::from_static(text.as_bytes())));
        assert_eq!(
            (window.segments().concat(), window.end(), window.buffered()),
            (Bytes::from_static(b"abcd"), 3, 4)
        );
        window.trim(2);
        assert_eq!(
            (window.get(1), window.get(2), window.get(3)),
            (None, Some(&Bytes::from_static(b"d")), None)
        );
        assert_eq!((window.first(), window.buffered()), (2, 1));
        window.trim(9);
        assert_eq!((window.first(), window.end(), window.buffered()), (3, 3, 0));
    }

    #[test]
    fn seats_are_reused_but_the_leader_s() {
        let mut seats = Seats::default();
        assert_eq!([seats.take_seat(), seats.take_seat()], [1, 2]);
        seats.leave(0);
        seats.leave(1);
        seats.leave(1);
        assert_eq!([seats.take_seat(), seats.take_seat()], [1, 3]);
        (1..4).for_each(|number| drop(seats.leave(number)));
        assert!(seats.is_empty());
    }

    #[test]
    fn who_is_cut_off_holds_nobody_back() {
        let mut seats = Seats::default();
        let (slow, fast) = (0, seats.take_seat());
        seats.get(fast).unwrap().next = 5;
        assert_eq!(seats.slowest(), Some(0));
        seats.cut(0, fast);
        assert!(seats.get(slow).unwrap().is_cut);
        assert_eq!(seats.slowest(), Some(5));
        seats.cut(5, fast);
        assert!(!seats.get(fast).unwrap().is_cut);
    }
}
