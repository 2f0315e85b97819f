//! Counts the bytes of a request body, and the time spent waiting for them.

use super::{BodyLimitError, BoxError};
use crate::{
    clock::{Clock, Timestamp, timer::Sleep},
    context::{BodyFault, RequestContext},
};
use bytes::Bytes;
use http_body::{Body, Frame};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// What bytes earn at most, beyond the grace: a body that came fast may stall no longer than a slow one for that. Ours: a
/// minute is what servers wait for a client by default (nginx, `client_body_timeout`).
const MOST_EARNED: Duration = Duration::from_secs(60);

/// A body may keep us waiting for `grace` plus the time its bytes take at `bytes_per_second`, of which no more than
/// [`MOST_EARNED`] is kept for later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MinimumRate {
    pub(crate) bytes_per_second: u64,
    pub(crate) grace: Duration,
}

impl MinimumRate {
    /// Longest total wait after `received` bytes. Never, where no rate is asked for.
    pub(crate) fn allowance(self, received: u64) -> Duration {
        let seconds = received as f64 / self.bytes_per_second as f64;
        let earned = if self.bytes_per_second == 0 { f64::INFINITY } else { seconds };
        self.grace.saturating_add(Duration::try_from_secs_f64(earned).unwrap_or(Duration::MAX))
    }

    /// What is used up of an allowance when the next wait begins, after `waited`: what has not been needed is forfeit.
    fn used_up(self, allowance: Duration, waited: Duration) -> Duration {
        let is_unbounded = self.bytes_per_second == 0;
        let most = if is_unbounded { Duration::MAX } else { self.grace.saturating_add(MOST_EARNED) };
        waited.max(allowance.saturating_sub(most))
    }
}

/// The minimum rate, and the clock it is measured with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pace {
    pub(crate) rate: Option<MinimumRate>,
    pub(crate) clock: Clock,
}

/// What a meter is set to, and whom it tells.
#[derive(Clone, Debug)]
pub(crate) struct MeterConfig {
    pub(crate) limit: u64,
    pub(crate) pace: Pace,
    pub(crate) context: RequestContext,
    /// Whether the context is told of the bytes, too.
    #[cfg_attr(not(feature = "access-log"), allow(dead_code, reason = "nobody wants to know"))]
    pub(crate) counts: bool,
}

/// Small, because it moves with its request; nothing is allocated before the client keeps us waiting.
#[derive(Debug)]
pub(super) struct Meter {
    config: MeterConfig,
    received: u64,
    wait: Option<Box<Wait>>,
    ended: bool,
}

type Polled = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

impl Meter {
    #[cfg_attr(not(feature = "access-log"), allow(unused_mut, reason = "nobody wants to know"))]
    pub(super) fn new(mut config: MeterConfig) -> Self {
        #[cfg(feature = "access-log")]
        {
            config.counts = config.counts && config.context.begin_request_count();
        }
        Self { config, received: 0, wait: None, ended: false }
    }

    pub(super) fn poll<B>(&mut self, body: Pin<&mut B>, cx: &mut Context<'_>) -> Polled
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        if self.ended {
            return Poll::Ready(None);
        }
        match body.poll_frame(cx) {
            Poll::Ready(frame) => self.count(frame.map(|frame| frame.map_err(Into::into))),
            Poll::Pending => self.wait(cx),
        }
    }

    /// Whether the body was cut off: nothing follows.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    fn count(&mut self, frame: Option<Result<Frame<Bytes>, BoxError>>) -> Polled {
        if let (Some(wait), Some(rate)) = (&mut self.wait, self.config.pace.rate) {
            wait.stop(rate.allowance(self.received));
        }
        if let Some(Ok(frame)) = &frame {
            let length = frame.data_ref().map_or(0, Bytes::len) as u64;
            self.received = self.received.saturating_add(length);
        }
        if self.received > self.config.limit {
            let limit = self.config.limit;
            return self.cut_off(BodyFault::TooLarge { limit }, BodyLimitError::TooLarge { limit });
        }
        #[cfg(feature = "access-log")]
        if let Some(Ok(frame)) = &frame
            && self.config.counts
            && let Some(data) = frame.data_ref()
        {
            self.config.context.saw_request_data(data);
        }
        Poll::Ready(frame)
    }

    /// Armed only while the client keeps us waiting: a handler that does not read costs the client nothing.
    fn wait(&mut self, cx: &mut Context<'_>) -> Polled {
        let Some(rate) = self.config.pace.rate else { return Poll::Pending };
        let clock = &self.config.pace.clock;
        let allowance = rate.allowance(self.received);
        let context = &self.config.context;
        let wait = self.wait.get_or_insert_with(|| Box::new(Wait::new(clock, context, rate, allowance)));
        if wait.expired(rate, allowance, cx) {
            return self.cut_off(BodyFault::TooSlow, BodyLimitError::TooSlow);
        }
        Poll::Pending
    }

    fn cut_off(&mut self, fault: BodyFault, error: BodyLimitError) -> Polled {
        self.ended = true;
        self.wait = None;
        self.config.context.set_body_fault(fault);
        Poll::Ready(Some(Err(error.into())))
    }
}

/// The time spent waiting for the client. The context is told of it: the timeout of the integration does not count it.
#[derive(Debug)]
struct Wait {
    clock: Clock,
    context: RequestContext,
    /// Before the present wait, and what was forfeit.
    waited: Duration,
    since: Option<Timestamp>,
    /// Rings when the allowance may be used up, never later: bytes and pauses only move that moment away. So it
    /// runs on from frame to frame, and one timer serves about `grace` of waiting.
    timer: Sleep,
}

impl Wait {
    fn new(clock: &Clock, context: &RequestContext, rate: MinimumRate, allowance: Duration) -> Self {
        let (clock, context) = (clock.clone(), context.clone());
        let waited = rate.used_up(allowance, Duration::ZERO);
        let timer = clock.sleep(allowance.saturating_sub(waited));
        Self { clock, context, waited, since: None, timer }
    }

    /// The client sent something. A wait beyond the allowance is one that nobody watched (the timer would have
    /// ended it): the handler stopped reading meanwhile, and nobody knows when the bytes came, so it is forgiven.
    fn stop(&mut self, allowance: Duration) {
        if let Some(since) = self.since.take() {
            let now = self.clock.now();
            self.context.client_wait_ends(now);
            let waited = self.waited + now.since(since);
            if waited <= allowance {
                self.waited = waited;
            }
        }
    }

    fn expired(&mut self, rate: MinimumRate, allowance: Duration, cx: &mut Context<'_>) -> bool {
        let since = *self.since.get_or_insert_with(|| {
            let now = self.clock.now();
            self.waited = rate.used_up(allowance, self.waited);
            self.context.client_wait_begins(now, allowance.saturating_sub(self.waited));
            now
        });
        while Pin::new(&mut self.timer).poll(cx).is_ready() {
            let left = allowance.saturating_sub(self.waited + self.clock.now().since(since));
            if left.is_zero() {
                return true;
            }
            self.timer = self.clock.sleep(left);
        }
        false
    }
}

impl Drop for Wait {
    /// Nobody reads on.
    fn drop(&mut self) {
        if self.since.is_some() {
            self.context.client_wait_ends(self.clock.now());
        }
    }
}
