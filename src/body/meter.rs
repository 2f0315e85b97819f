//! Counts the bytes of a request body, and the time spent waiting for them.

use super::{BodyLimitError, BoxError};
use crate::{
    clock::{Clock, Sleep, Timestamp},
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

/// A body may keep us waiting for `grace` plus the time its bytes take at `bytes_per_second`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MinimumRate {
    pub(crate) bytes_per_second: u64,
    pub(crate) grace: Duration,
}

impl MinimumRate {
    /// Longest total wait after `received` bytes.
    fn allowance(self, received: u64) -> Duration {
        self.grace + Duration::from_secs_f64(received as f64 / self.bytes_per_second as f64)
    }
}

/// What a meter is set to, and whom it tells.
#[derive(Clone, Debug)]
pub(crate) struct MeterConfig {
    pub(crate) limit: u64,
    pub(crate) minimum_rate: Option<MinimumRate>,
    pub(crate) context: RequestContext,
    pub(crate) clock: Clock,
}

#[derive(Debug)]
pub(super) struct Meter {
    config: MeterConfig,
    received: u64,
    /// Time spent waiting for the client before the present wait.
    waited: Duration,
    waiting_since: Option<Timestamp>,
    timer: Option<Sleep>,
    ended: bool,
}

type Polled = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

impl Meter {
    pub(super) fn new(config: MeterConfig) -> Self {
        Self { config, received: 0, waited: Duration::ZERO, waiting_since: None, timer: None, ended: false }
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
            Poll::Ready(frame) => {
                self.stop_waiting();
                self.count(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => self.wait(cx),
        }
    }

    fn count(&mut self, frame: Option<Result<Frame<Bytes>, BoxError>>) -> Polled {
        if let Some(Ok(frame)) = &frame {
            self.received += frame.data_ref().map_or(0, Bytes::len) as u64;
        }
        if self.received > self.config.limit {
            return self.cut_off(BodyFault::TooLarge, BodyLimitError::TooLarge { limit: self.config.limit });
        }
        Poll::Ready(frame)
    }

    fn cut_off(&mut self, fault: BodyFault, error: BodyLimitError) -> Polled {
        self.ended = true;
        self.timer = None;
        self.config.context.set_body_fault(fault);
        Poll::Ready(Some(Err(error.into())))
    }

    fn stop_waiting(&mut self) {
        if let Some(since) = self.waiting_since.take() {
            self.waited += self.config.clock.now().since(since);
            self.timer = None;
        }
    }

    /// Armed only while the client keeps us waiting: a handler that does not read costs the client nothing.
    fn wait(&mut self, cx: &mut Context<'_>) -> Polled {
        let Some(rate) = self.config.minimum_rate else { return Poll::Pending };
        let clock = &self.config.clock;
        let since = *self.waiting_since.get_or_insert_with(|| clock.now());
        let timer = match &mut self.timer {
            Some(timer) => timer,
            None => {
                let waited = self.waited + clock.now().since(since);
                self.timer.insert(clock.sleep(rate.allowance(self.received).saturating_sub(waited)))
            }
        };
        match Pin::new(timer).poll(cx) {
            Poll::Ready(()) => self.cut_off(BodyFault::TooSlow, BodyLimitError::TooSlow),
            Poll::Pending => Poll::Pending,
        }
    }
}
