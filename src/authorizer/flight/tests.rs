//! Flights under cancellation at every point, idle waiters, panics, and real threads.

use super::*;
use std::{
    pin::pin,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    thread,
};

/// A future that needs `steps` polls and is woken from outside in between.
struct Steps {
    left: usize,
    polls: Arc<AtomicUsize>,
    waker: Arc<Mutex<Option<Waker>>>,
}

impl Future for Steps {
    type Output = &'static str;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.polls.fetch_add(1, SeqCst);
        if self.left == 0 {
            return Poll::Ready("landed");
        }
        self.left -= 1;
        *self.waker.lock().unwrap() = Some(cx.waker().clone());
        Poll::Pending
    }
}

struct Rig {
    flight: Arc<Flight<&'static str>>,
    polls: Arc<AtomicUsize>,
    waker: Arc<Mutex<Option<Waker>>>,
}

fn rig(left: usize) -> Rig {
    let (polls, waker) = <(Arc<AtomicUsize>, Arc<Mutex<Option<Waker>>>)>::default();
    let future = Steps { left, polls: Arc::clone(&polls), waker: Arc::clone(&waker) };
    Rig { flight: Flight::new(Box::pin(future)), polls, waker }
}

impl Rig {
    fn wake(&self) {
        let waker = self.waker.lock().unwrap().take();
        waker.expect("the future left a waker").wake();
    }
}

/// A waiter of a hand-driven executor: knows whether it has been woken.
struct Waiter {
    flight: Arc<Flight<&'static str>>,
    seat: Seat,
    flag: Arc<Flag>,
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

impl Waiter {
    fn new(flight: &Arc<Flight<&'static str>>) -> Self {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        Self { seat: flight.seat(), flight: Arc::clone(flight), flag }
    }

    /// Polls if it has been woken, as an executor would.
    fn run(&self) -> Option<Option<&'static str>> {
        if !self.flag.0.swap(false, SeqCst) {
            return None;
        }
        let waker = Waker::from(Arc::clone(&self.flag));
        match self.flight.poll(self.seat, &mut Context::from_waker(&waker)) {
            Poll::Ready(value) => Some(value.map(|value| *value)),
            Poll::Pending => None,
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        drop(self.flight.leave(self.seat));
    }
}

#[test]
fn every_waiter_gets_the_outcome_of_one_run() {
    let rig = rig(2);
    let waiters: Vec<_> = (0..5).map(|_| Waiter::new(&rig.flight)).collect();
    assert!(waiters.iter().all(|waiter| waiter.run().is_none()));
    assert_eq!(rig.polls.load(SeqCst), 1, "only the first poll finds something to do");
    for polls in [2, 3] {
        rig.wake();
        let landed = waiters.iter().filter(|waiter| waiter.run().is_some()).count();
        assert_eq!((rig.polls.load(SeqCst), landed), (polls, if polls == 3 { 5 } else { 0 }));
    }
    assert_eq!(Waiter::new(&rig.flight).run(), Some(Some("landed")), "late, and still served");
}

/// Three waiters, four points in time; any one waiter hangs up at any point, in either order of running.
#[test]
fn whoever_hangs_up_and_whenever_the_others_land() {
    for victim in 0..3 {
        for point in 0..4 {
            for reverse in [false, true] {
                let rig = rig(2);
                let mut waiters: Vec<_> = (0..3).map(|_| Some(Waiter::new(&rig.flight))).collect();
                let mut landed = [false; 3];
                for now in 0..4 {
                    if now == point {
                        waiters[victim] = None;
                    }
                    let mut order: Vec<_> = (0..3).collect();
                    if reverse {
                        order.reverse();
                    }
                    for index in order {
                        if let Some(waiter) = &waiters[index]
                            && waiter.run() == Some(Some("landed"))
                        {
                            landed[index] = true;
                        }
                    }
                    if now < 2 {
                        rig.wake();
                    }
                }
                let others = (0..3).filter(|index| *index != victim).all(|index| landed[index]);
                assert!(others, "victim {victim} at {point}, reverse {reverse}: {landed:?}");
            }
        }
    }
}

#[test]
fn a_waiter_that_is_kept_but_never_polled_again_holds_nobody_up() {
    let rig = rig(1);
    let (idle, busy) = (Waiter::new(&rig.flight), Waiter::new(&rig.flight));
    assert!(idle.run().is_none() && busy.run().is_none());
    rig.wake();
    assert_eq!(busy.run(), Some(Some("landed")));
    drop(idle);
}

/// Wakes itself while it is polled, and has another waiter come by at that moment.
#[test]
fn a_wake_in_the_middle_of_a_poll_is_not_lost_when_the_poller_hangs_up() {
    let slot: Arc<Mutex<Option<Waiter>>> = Arc::default();
    let (passer_by, mut first) = (Arc::clone(&slot), true);
    let future = std::future::poll_fn(move |cx: &mut Context<'_>| {
        if !std::mem::take(&mut first) {
            return Poll::Ready("landed");
        }
        cx.waker().wake_by_ref();
        let visitor = passer_by.lock().unwrap().take().unwrap();
        assert!(visitor.run().is_none(), "the future is away");
        *passer_by.lock().unwrap() = Some(visitor);
        Poll::Pending
    });
    let flight = Flight::new(Box::pin(future));
    let poller = Waiter::new(&flight);
    *slot.lock().unwrap() = Some(Waiter::new(&flight));
    assert!(poller.run().is_none());
    drop(poller);
    let visitor = slot.lock().unwrap().take().unwrap();
    assert_eq!(visitor.run(), Some(Some("landed")), "woken again when the future was put back");
}

/// The future's waker, kept by what it waits for, is the flight itself.
#[test]
fn a_future_that_nobody_waits_for_is_dropped_though_its_waker_lives() {
    let rig = rig(1);
    let alive = Arc::downgrade(&rig.polls);
    let Rig { flight, polls, waker } = rig;
    let (one, other) = (Waiter::new(&flight), Waiter::new(&flight));
    assert!(one.run().is_none() && other.run().is_none());
    drop((polls, one));
    assert!(alive.upgrade().is_some());
    drop(other);
    assert!(alive.upgrade().is_none(), "the future held the last count of its polls");
    waker.lock().unwrap().take().unwrap().wake();
    assert_eq!(Waiter::new(&flight).run(), Some(None), "who comes after all is not left to wait");
}

#[test]
fn a_panic_ends_the_flight_for_everybody() {
    let flight = Flight::<&'static str>::new(Box::pin(async { panic!("the user's function") }));
    let (first, second) = (Waiter::new(&flight), Waiter::new(&flight));
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| first.run()));
    assert!(caught.is_err());
    assert_eq!(second.run(), Some(None));
}

/// Eight threads wait, half of them for one poll only, while another wakes.
#[test]
fn on_real_threads_the_patient_ones_land() {
    for _ in 0..10 {
        let rig = rig(20);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let seats: Vec<_> = (0..8).map(|_| rig.flight.seat()).collect();
            let waiters: Vec<_> = seats
                .into_iter()
                .enumerate()
                .map(|(index, seat)| {
                    let flight = &rig.flight;
                    scope.spawn(move || {
                        let mut polls = 0;
                        let outcome = block_on(std::future::poll_fn(|cx| {
                            polls += 1;
                            if index % 2 == 0 && polls > index {
                                return Poll::Ready(None);
                            }
                            flight.poll(seat, cx).map(|outcome| outcome.map(|value| *value))
                        }));
                        drop(flight.leave(seat));
                        outcome
                    })
                })
                .collect();
            scope.spawn(|| {
                while !stop.load(SeqCst) {
                    if let Some(waker) = rig.waker.lock().unwrap().take() {
                        waker.wake();
                    }
                    thread::yield_now();
                }
            });
            let outcomes: Vec<_> = waiters.into_iter().map(|waiter| waiter.join().unwrap()).collect();
            stop.store(true, SeqCst);
            assert!(
                outcomes.iter().skip(1).step_by(2).all(|outcome| *outcome == Some("landed")),
                "{outcomes:?}"
            );
        });
    }
}

/// Parks the thread between polls.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}
