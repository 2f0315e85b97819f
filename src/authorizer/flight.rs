//! One future that many wait for: whoever is awake polls it, and it outlives each of them but the last.
//!
//! Nothing is spawned. Every waiter leaves its waker; a wake of the future wakes them all, and the first that comes
//! polls it, outside the lock. So a waiter that is dropped, or that nobody polls any more, holds nobody up.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
};

/// The future of a flight.
pub(super) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A shared future; see the [module docs](self).
pub(super) struct Flight<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    /// Away while somebody polls it, and at the end.
    future: Option<BoxFuture<T>>,
    /// Whether a poll may get further: nobody has polled since the last wake.
    woken: bool,
    outcome: Option<Outcome<T>>,
    wakers: BTreeMap<u64, Waker>,
    next_seat: u64,
    seats_taken: usize,
}

/// How a flight ended.
enum Outcome<T> {
    Landed(Arc<T>),
    /// The future panicked while it was polled, or nobody waited for it any more.
    Lost,
}

/// A waiter's place in a flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat(u64);

impl<T> fmt::Debug for Flight<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flight(..)")
    }
}

impl<T: Send + Sync + 'static> Flight<T> {
    pub(super) fn new(future: BoxFuture<T>) -> Arc<Self> {
        let state = State {
            future: Some(future),
            woken: true,
            outcome: None,
            wakers: BTreeMap::new(),
            next_seat: 0,
            seats_taken: 0,
        };
        Arc::new(Self { state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn seat(&self) -> Seat {
        let mut state = self.lock();
        state.next_seat += 1;
        state.seats_taken += 1;
        Seat(state.next_seat)
    }

    /// Frees a seat. With the last one the future is given back to be dropped: whatever it waits for holds a waker,
    /// and with it this flight, so that it would keep itself alive. Drop what comes back outside of any lock.
    pub(super) fn leave(&self, seat: Seat) -> Left<T> {
        let mut state = self.lock();
        state.seats_taken -= 1;
        let waker = state.wakers.remove(&seat.0);
        let future = if state.seats_taken == 0 { state.future.take() } else { None };
        if future.is_some() {
            state.outcome = Some(Outcome::Lost);
        }
        Left { future, waker }
    }

    /// The outcome, `None` after a panic.
    pub(super) fn poll(self: &Arc<Self>, seat: Seat, cx: &mut Context<'_>) -> Poll<Option<Arc<T>>> {
        let mut future = match self.board(seat, cx.waker().clone()) {
            Boarded::Ended(outcome) => return Poll::Ready(outcome),
            Boarded::Waiting => return Poll::Pending,
            Boarded::Pilot(future) => Piloting { flight: self, future: Some(future) },
        };
        let waker = Waker::from(Arc::clone(self));
        match future.poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => Poll::Ready(Some(self.land(Arc::new(value)))),
            Poll::Pending => {
                self.park(future.take(), seat, cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Leaves the waker, and takes the future along if there is something to poll.
    fn board(&self, seat: Seat, waker: Waker) -> Boarded<T> {
        let mut state = self.lock();
        match &state.outcome {
            Some(Outcome::Landed(value)) => return Boarded::Ended(Some(Arc::clone(value))),
            Some(Outcome::Lost) => return Boarded::Ended(None),
            None => {}
        }
        let replaced = state.wakers.insert(seat.0, waker);
        let future = if state.woken { state.future.take() } else { None };
        if future.is_some() {
            state.woken = false;
        }
        drop(state);
        drop(replaced);
        future.map_or(Boarded::Waiting, Boarded::Pilot)
    }

    /// Puts the future back. Whoever came by meanwhile found it away: a wake in between is theirs too, since the one
    /// who polled may never come again.
    fn park(&self, future: Option<BoxFuture<T>>, seat: Seat, waker: Waker) {
        let mut state = self.lock();
        let replaced = state.wakers.insert(seat.0, waker);
        state.future = future;
        if state.woken {
            Self::wake_all(state);
        } else {
            drop(state);
        }
        drop(replaced);
    }

    fn land(&self, value: Arc<T>) -> Arc<T> {
        let mut state = self.lock();
        state.outcome = Some(Outcome::Landed(Arc::clone(&value)));
        Self::wake_all(state);
        value
    }

    fn wake_all(mut state: MutexGuard<'_, State<T>>) {
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_values().for_each(Waker::wake);
    }
}

/// What is to be dropped when a waiter leaves; dropping either may run anything.
pub(super) struct Left<T> {
    future: Option<BoxFuture<T>>,
    #[allow(dead_code, reason = "held to be dropped")]
    waker: Option<Waker>,
}

impl<T> Left<T> {
    /// Whether the flight is over before it has landed: nobody waits any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.future.is_some()
    }
}

enum Boarded<T> {
    Ended(Option<Arc<T>>),
    Waiting,
    Pilot(BoxFuture<T>),
}

/// Has the future while it is polled.
struct Piloting<'a, T: Send + Sync + 'static> {
    flight: &'a Flight<T>,
    future: Option<BoxFuture<T>>,
}

impl<T: Send + Sync + 'static> Piloting<'_, T> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        let Some(future) = &mut self.future else { return Poll::Pending };
        let polled = future.as_mut().poll(cx);
        if polled.is_ready() {
            self.future = None;
        }
        polled
    }

    fn take(&mut self) -> Option<BoxFuture<T>> {
        self.future.take()
    }
}

/// Only a panic leaves the future here.
impl<T: Send + Sync + 'static> Drop for Piloting<'_, T> {
    fn drop(&mut self) {
        if self.future.is_some() {
            let mut state = self.flight.lock();
            state.outcome = Some(Outcome::Lost);
            Flight::wake_all(state);
        }
    }
}

impl<T: Send + Sync + 'static> Wake for Flight<T> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.lock();
        state.woken = true;
        Self::wake_all(state);
    }
}

#[cfg(test)]
mod tests;
