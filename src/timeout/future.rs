//! Polls the service first, and waits for a timer only if it must.

use crate::{
    clock::{Clock, timer::Sleep},
    context::RequestContext,
    response::{Cause, GatewayError, Remains, ResponseType},
};
use bytes::Bytes;
use http::Response;
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

pin_project! {
    /// Response future of [`TimeoutService`](super::TimeoutService).
    #[derive(Debug)]
    pub struct TimeoutFuture<F> {
        // `None` once the timer has rung: the service's future is dropped before the answer is given.
        #[pin]
        inner: Option<F>,
        deadline: Deadline,
        context: Option<RequestContext>,
        is_head: bool,
        // Whether a cache outside says whether it has come to this.
        leaves_note: bool,
    }
}

/// The timer, made at the first `Pending`, and what it is made from.
#[derive(Debug)]
pub(crate) struct Deadline {
    pub(super) timer: Option<Sleep>,
    pub(super) timeout: Duration,
    pub(super) clock: Clock,
    pub(super) uploads: Option<Uploads>,
}

/// What a client makes of the time, whose body is watched.
#[derive(Debug)]
pub(super) struct Uploads {
    context: RequestContext,
    /// What it had kept others waiting before (a signature over the body): no part of the service's time.
    before: Duration,
    /// By how much the deadline has moved, because the client kept the service waiting.
    spared: Duration,
}

/// No more than this is a client's: it occupies the service while it sends.
const MOST_SPARED: Duration = Duration::from_secs(300);

/// While the client is waited for, somebody looks no oftener than this.
const SHORTEST_LOOK: Duration = Duration::from_millis(20);

impl<F> TimeoutFuture<F> {
    pub(super) fn new(
        inner: F,
        deadline: Deadline,
        context: Option<RequestContext>,
        (is_head, leaves_note): (bool, bool),
    ) -> Self {
        Self { inner: Some(inner), deadline, context, is_head, leaves_note }
    }
}

impl<F, R, E> Future for TimeoutFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: From<Bytes>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else { return Poll::Pending };
        if let Poll::Ready(answer) = inner.poll(cx) {
            return Poll::Ready(answer);
        }
        if this.deadline.poll(cx).is_pending() {
            return Poll::Pending;
        }
        this.inner.set(None);
        let remains = Remains::of_head(*this.is_head);
        Poll::Ready(Ok(match this.context {
            Some(context) if *this.leaves_note => timed_out().unnoted(context, remains),
            context => timed_out().refuse_in(context.as_ref(), remains),
        }))
    }
}

impl Deadline {
    /// In `Gateway`, whose meter of the body goes by the same clock: the time for which the client keeps the service
    /// waiting is not the service's.
    #[cfg(feature = "gateway")]
    pub(crate) fn sparing_uploads(mut self, watched: Option<&RequestContext>) -> Self {
        self.uploads = watched.map(|context| Uploads {
            context: context.clone(),
            before: context.client_waited(),
            spared: Duration::ZERO,
        });
        self
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Self { timer, timeout, clock, .. } = self;
            let timer = timer.get_or_insert_with(|| clock.sleep(*timeout));
            ready!(Pin::new(timer).poll(cx));
            let Some(later) = self.moves_by() else { return Poll::Ready(()) };
            self.timer = Some(self.clock.sleep(later));
        }
    }

    /// Looked at only when the timer has rung: what the client made of the time until now.
    fn moves_by(&mut self) -> Option<Duration> {
        let Uploads { context, before, spared } = self.uploads.as_mut()?;
        let (waited, is_waiting) = context.client_wait(self.clock.now());
        let owed = waited.saturating_sub(*before).min(MOST_SPARED).saturating_sub(*spared);
        let is_waiting = is_waiting && *spared < MOST_SPARED;
        let later = if is_waiting { owed.max(SHORTEST_LOOK) } else { owed };
        *spared += later;
        (!later.is_zero()).then_some(later)
    }
}

/// The refusal of a request whose answer did not come in time.
pub(crate) fn timed_out() -> GatewayError {
    GatewayError::new(ResponseType::IntegrationTimeout, Cause::IntegrationTimeout)
}
