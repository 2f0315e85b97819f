//! A future that is given up when its time is over.

use crate::clock::{Clock, timer::Sleep};
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

/// The network's time: virtual clocks do not move it.
pub(super) fn sleep(delay: Duration) -> Sleep {
    Clock::system().sleep(delay)
}

/// What `work` gives, or `None` once `sleep` is over. Work that is ready wins.
pub(super) async fn before<T>(sleep: &mut Sleep, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => Pin::new(&mut *sleep).poll(cx).map(|()| None),
    })
    .await
}

/// The same with a fresh timer.
pub(super) async fn within<T>(delay: Duration, work: impl Future<Output = T>) -> Option<T> {
    before(&mut sleep(delay), work).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_work_wins_and_late_work_is_given_up() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            assert_eq!(within(Duration::ZERO, async { 1 }).await, Some(1));
            assert_eq!(within(Duration::from_millis(1), std::future::pending::<()>()).await, None);
        });
    }
}
