//! What waits to be written: bounded in bytes, in order, and taken in batches.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How soon something is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Haste {
    /// Somebody waits for it.
    Now,
    /// With the next batch, whenever that is.
    Later,
}

/// What to do when the queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// Wait: the caller is an operator.
    Wait,
    /// Give it back: the caller is a request.
    Refuse,
    /// Take it all the same: it is small, and must not be lost.
    Exceed,
}

/// Why something was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Full,
    Closed,
}

/// The queue in front of the writer.
#[derive(Debug)]
pub(super) struct Queue<T> {
    waiting: Mutex<Waiting<T>>,
    changed: Condvar,
    room: Condvar,
    capacity: usize,
}

#[derive(Debug)]
struct Waiting<T> {
    items: VecDeque<T>,
    weight: usize,
    urgent: bool,
    closed: bool,
}

impl<T> Queue<T> {
    /// Room for `capacity` bytes; a single item may be larger.
    pub(super) fn new(capacity: usize) -> Self {
        let waiting = Waiting { items: VecDeque::new(), weight: 0, urgent: false, closed: false };
        Self { waiting: Mutex::new(waiting), changed: Condvar::new(), room: Condvar::new(), capacity }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, item: T, weight: usize, haste: Haste, full: Full) -> Result<(), Refused> {
        let mut waiting = self.lock();
        let is_full = |waiting: &mut Waiting<T>| {
            !waiting.closed && !waiting.items.is_empty() && waiting.weight + weight > self.capacity
        };
        if full == Full::Wait {
            waiting = self.room.wait_while(waiting, is_full).unwrap_or_else(PoisonError::into_inner);
        }
        if waiting.closed {
            return Err(Refused::Closed);
        }
        if full == Full::Refuse && is_full(&mut waiting) {
            return Err(Refused::Full);
        }
        let was_empty = waiting.items.is_empty();
        waiting.items.push_back(item);
        waiting.weight += weight;
        waiting.urgent |= haste == Haste::Now || waiting.weight > self.capacity / 2;
        if was_empty || waiting.urgent {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// All that waits, as soon as somebody waits for it, or `pause` after the first of it came. `None`: it is closed,
    /// and all was taken.
    pub(super) fn take(&self, pause: Duration) -> Option<VecDeque<T>> {
        let nothing = |waiting: &mut Waiting<T>| waiting.items.is_empty() && !waiting.closed;
        let waiting = self.changed.wait_while(self.lock(), nothing).unwrap_or_else(PoisonError::into_inner);
        let may_pause = |waiting: &mut Waiting<T>| !waiting.urgent && !waiting.closed;
        let (mut waiting, _) = self
            .changed
            .wait_timeout_while(waiting, pause, may_pause)
            .unwrap_or_else(PoisonError::into_inner);
        (waiting.weight, waiting.urgent) = (0, false);
        let items = std::mem::take(&mut waiting.items);
        self.room.notify_all();
        (!items.is_empty()).then_some(items)
    }

    /// Takes nothing more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
        self.room.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn what_somebody_waits_for_takes_all_before_it_along() {
        let queue = Queue::new(1000);
        queue.push(1, 10, Haste::Later, Full::Refuse).unwrap();
        queue.push(2, 10, Haste::Now, Full::Wait).unwrap();
        assert_eq!(queue.take(LONG).unwrap(), [1, 2]);
        queue.push(3, 10, Haste::Later, Full::Refuse).unwrap();
        assert_eq!(queue.take(Duration::ZERO).unwrap(), [3]);
    }

    #[test]
    fn it_is_bounded_for_requests_and_half_full_is_reason_enough() {
        let queue = Queue::new(100);
        queue.push(1, 500, Haste::Later, Full::Refuse).unwrap();
        assert_eq!(queue.push(2, 1, Haste::Later, Full::Refuse), Err(Refused::Full));
        queue.push(3, 1, Haste::Later, Full::Exceed).unwrap();
        assert_eq!(queue.take(LONG).unwrap(), [1, 3]);
        queue.push(4, 40, Haste::Later, Full::Refuse).unwrap();
        queue.push(5, 20, Haste::Later, Full::Refuse).unwrap();
        assert_eq!(queue.take(LONG).unwrap(), [4, 5]);
    }

    #[test]
    fn closing_lets_the_rest_be_taken_and_nobody_wait() {
        let queue = Queue::new(10);
        queue.push(1, 10, Haste::Later, Full::Wait).unwrap();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| queue.push(2, 10, Haste::Now, Full::Wait));
            assert_eq!(queue.take(Duration::ZERO).unwrap()[0], 1);
            waits.join().unwrap().unwrap();
        });
        queue.close();
        assert_eq!(queue.push(3, 1, Haste::Now, Full::Wait), Err(Refused::Closed));
        assert_eq!(queue.take(LONG).unwrap(), [2]);
        assert_eq!(queue.take(LONG), None);
    }
}
