//! Tells when an answer has ended, or was given up: the hook of whoever writes down what became of a request.

use crate::{clock::Timestamp, context::RequestContext};
use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, header::CONTENT_LENGTH};
use http_body::{Body, Frame};
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

/// Who is told, once a request.
pub(crate) trait Watch: fmt::Debug + Send + Sync {
    /// The request is over, whichever way.
    fn ended(&self, context: &RequestContext, end: &End);

    /// The client is sent the head of its answer. Gives the time from the arrival, if somebody wants to know.
    fn answered(&self, context: &RequestContext, headers: &HeaderMap) -> Option<Duration>;

    /// By the watcher's clock.
    fn now(&self) -> Timestamp;
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The answer was handed over to its last byte.
    Complete,
    /// The client went away: the answer, or what was made of it, was dropped before its end.
    ClientClosed,
    /// The service, or its body, panicked.
    Panicked,
    /// The service, or its body, gave an error instead of an answer.
    Failed,
}

impl Outcome {
    /// `complete`, `client_closed`, `panicked`, `failed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientClosed => "client_closed",
            Self::Panicked => "panicked",
            Self::Failed => "failed",
        }
    }
}

/// What is known of an answer at its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) outcome: Outcome,
    /// `None` where no head was made.
    pub(crate) status: Option<StatusCode>,
    /// Where somebody wanted to know.
    pub(crate) time_to_head: Option<Duration>,
    /// Bytes of the body that were handed over.
    pub(crate) length: u64,
}

type Polled<E> = Poll<Option<Result<Frame<Bytes>, E>>>;

/// Belongs to the future first, then to the body of its answer. Tells its watcher exactly once: at the end that it
/// saw, or when it is dropped. Small, because it moves with both.
#[derive(Debug)]
pub(crate) struct EndGuard {
    watcher: Arc<dyn Watch>,
    context: RequestContext,
    time_to_head: Option<Duration>,
    /// Bytes of the body that were handed over.
    length: u64,
    /// Where servers stop asking: `Content-Length`, or `u64::MAX`.
    announced: u64,
    status: Option<StatusCode>,
    /// The service or its body has the word; a guard that is dropped in between was dropped by a panic.
    inside: bool,
    told: bool,
}

impl EndGuard {
    pub(crate) fn new(watcher: Arc<dyn Watch>, context: RequestContext) -> Self {
        Self {
            watcher,
            context,
            time_to_head: None,
            length: 0,
            announced: u64::MAX,
            status: None,
            inside: false,
            told: false,
        }
    }

    pub(crate) fn context(&self) -> &RequestContext {
        &self.context
    }

    /// What may panic has the word, until [`inside`](Self::inside) or [`answered`](Self::answered) is over.
    #[cfg(feature = "gateway")]
    pub(crate) fn enter(&mut self) {
        self.inside = true;
    }

    /// Calls into what may panic. Inlined, or what it gives is copied once more.
    #[inline(always)]
    pub(crate) fn inside<T>(&mut self, call: impl FnOnce() -> T) -> T {
        self.inside = true;
        let result = call();
        self.inside = false;
        result
    }

    /// The service gave an error.
    pub(crate) fn failed(&mut self) {
        self.tell(Outcome::Failed);
    }

    /// The head of the answer is there. Gives itself back for the body; where none follows, all is told.
    pub(crate) fn answered<R: Body>(mut self, response: &Response<R>) -> Option<Self> {
        self.inside = false;
        self.status = Some(response.status());
        self.time_to_head = self.watcher.answered(&self.context, response.headers());
        // What the body knows of its length is found without a look at the fields.
        let announced = response.body().size_hint().exact().or_else(|| announced(response));
        // Where nothing is announced, servers do not ask the body, which may be a stream, for anything.
        if announced == Some(0) || response.body().is_end_stream() || self.without_body(response.status()) {
            self.tell(Outcome::Complete);
            return None;
        }
        self.announced = announced.unwrap_or(u64::MAX);
        Some(self)
    }

    /// Bodies of these answers are never sent, whatever they hold (RFC 9110, sections 6.4.1 and 15).
    fn without_body(&self, status: StatusCode) -> bool {
        self.context.method() == Method::HEAD
            || status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
    }

    /// The next frame of the answer's body. Inlined, for the same reason.
    #[inline(always)]
    pub(super) fn poll<K>(&mut self, mut body: Pin<&mut K>, cx: &mut Context<'_>) -> Polled<K::Error>
    where
        K: Body<Data = Bytes>,
    {
        let polled = self.inside(|| body.as_mut().poll_frame(cx));
        match &polled {
            Poll::Pending => {}
            Poll::Ready(None) => self.tell(Outcome::Complete),
            Poll::Ready(Some(Err(_))) => self.tell(Outcome::Failed),
            Poll::Ready(Some(Ok(frame))) => {
                self.saw(frame);
                if self.length >= self.announced || self.inside(|| body.is_end_stream()) {
                    self.tell(Outcome::Complete);
                }
            }
        }
        polled
    }

    fn saw(&mut self, frame: &Frame<Bytes>) {
        let Some(data) = frame.data_ref().filter(|data| !data.is_empty()) else { return };
        if self.length == 0 {
            self.context.note_first_content(|| self.watcher.now());
        }
        self.length += data.len() as u64;
        #[cfg(feature = "tracing")]
        if let Some(execution) = self.context.execution() {
            execution.note(|texts| texts.response_body.push(data));
        }
    }

    fn tell(&mut self, outcome: Outcome) {
        if !std::mem::replace(&mut self.told, true) {
            let Self { status, time_to_head, length, .. } = *self;
            self.watcher.ended(&self.context, &End { outcome, status, time_to_head, length });
        }
    }
}

/// Where a guard is while the service is called, which may panic: one that is dropped in here was dropped by a panic.
#[derive(Debug, Default)]
pub(crate) struct LentGuard(Option<EndGuard>);

impl LentGuard {
    pub(crate) fn put(&mut self, guard: EndGuard) {
        self.0 = Some(guard);
    }

    pub(crate) fn take(&mut self) -> Option<EndGuard> {
        self.0.take()
    }
}

impl Drop for LentGuard {
    fn drop(&mut self) {
        if let Some(guard) = &mut self.0 {
            guard.inside = true;
        }
    }
}

fn announced<R>(response: &Response<R>) -> Option<u64> {
    response.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.tell(if self.inside { Outcome::Panicked } else { Outcome::ClientClosed });
    }
}
