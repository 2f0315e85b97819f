//! A body that is judged at its end: the last frame is held back until then.

use super::BoxError;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::{
    fmt,
    task::{Context, Poll, ready},
};

/// Sees the data of a body as it streams, and judges it at its end.
pub(crate) trait Judge: fmt::Debug + Send + Sync {
    fn update(&mut self, data: &[u8]);

    /// Whether the whole body is what it should be.
    fn finish(&mut self) -> Result<(), BoxError>;
}

/// What a layer checks of a body as it streams. Made by layers of this crate only.
#[derive(Debug)]
#[doc(hidden)]
pub struct BodyCheck {
    judge: Box<dyn Judge>,
    held: Option<Bytes>,
    ended: bool,
}

pub(super) type Polled = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

impl BodyCheck {
    pub(crate) fn new(judge: impl Judge + 'static) -> Self {
        Self { judge: Box::new(judge), held: None, ended: false }
    }

    /// Trailers are dropped: nobody judges them.
    pub(super) fn poll(
        &mut self,
        mut source: impl FnMut(&mut Context<'_>) -> Polled,
        cx: &mut Context<'_>,
    ) -> Polled {
        while !self.ended {
            match ready!(source(cx)) {
                Some(Ok(frame)) => {
                    if let Some(before) = frame.into_data().ok().and_then(|data| self.hold(data)) {
                        return Poll::Ready(Some(Ok(Frame::data(before))));
                    }
                }
                Some(Err(error)) => return self.end(Err(error)),
                None => {
                    let judged = self.judge.finish();
                    return self.end(judged);
                }
            }
        }
        Poll::Ready(None)
    }

    /// Keeps a frame, and gives back the one that was kept.
    fn hold(&mut self, data: Bytes) -> Option<Bytes> {
        if data.is_empty() {
            return None;
        }
        self.judge.update(&data);
        self.held.replace(data)
    }

    fn end(&mut self, judged: Result<(), BoxError>) -> Polled {
        self.ended = true;
        let held = self.held.take();
        Poll::Ready(match judged {
            Ok(()) => held.map(|data| Ok(Frame::data(data))),
            Err(error) => Some(Err(error)),
        })
    }

    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// The size of what is still to come, the held frame included.
    pub(super) fn size_hint(&self, rest: &SizeHint) -> SizeHint {
        let held = self.held.as_ref().map_or(0, Bytes::len) as u64;
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(held));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint
    }
}
