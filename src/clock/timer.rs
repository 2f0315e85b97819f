//! Timers of either clock.

use super::{Clock, ManualState, Repr};
use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, PoisonError, atomic::Ordering::Relaxed},
    task::{Context, Poll},
    time::Duration,
};
use tokio::task::coop::unconstrained;

/// A timer. Boxed, so that a future which may never need it stays small.
#[derive(Debug)]
pub(crate) struct Sleep(Timer);

#[derive(Debug)]
enum Timer {
    System(Pin<Box<tokio::time::Sleep>>),
    Manual { state: Arc<ManualState>, deadline: u64 },
}

impl Clock {
    /// A future that completes when `delay` has passed on this clock.
    #[allow(clippy::disallowed_methods, reason = "the one place that makes timers")]
    pub(crate) fn sleep(&self, delay: Duration) -> Sleep {
        Sleep(match &self.0 {
            Repr::System => Timer::System(Box::pin(tokio::time::sleep(delay))),
            Repr::Manual(state) => {
                let delay = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
                let deadline = state.monotonic_nanos.load(Relaxed).saturating_add(delay);
                Timer::Manual { state: Arc::clone(state), deadline }
            }
        })
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            // A service that always uses up its cooperative budget must not starve its own deadline.
            Timer::System(sleep) => Pin::new(&mut unconstrained(sleep.as_mut())).poll(cx),
            Timer::Manual { state, deadline } => poll_manual(state, *deadline, cx),
        }
    }
}

/// Registers before it looks, so that an `advance` in between is never missed.
fn poll_manual(state: &ManualState, deadline: u64, cx: &Context<'_>) -> Poll<()> {
    state.sleepers.lock().unwrap_or_else(PoisonError::into_inner).push(cx.waker().clone());
    if state.monotonic_nanos.load(Relaxed) >= deadline { Poll::Ready(()) } else { Poll::Pending }
}
