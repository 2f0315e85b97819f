//! What an execution log keeps of a request until its end: texts of bounded length, masked before they are kept.

use super::RequestContext;
use crate::route::ExecutionLogging;
use std::sync::{Mutex, PoisonError};

/// Made at the start of an execution that is logged.
#[derive(Debug)]
pub(crate) struct ExecutionRecord {
    logging: ExecutionLogging,
    texts: Mutex<ExecutionTexts>,
}

/// What the context itself does not keep. Without a data trace only the first two are ever written.
#[derive(Debug, Default)]
pub(crate) struct ExecutionTexts {
    /// The key that the client sent, masked.
    pub(crate) sent_key: Option<String>,
    /// The `Authorization` field, masked.
    pub(crate) identity: Option<String>,
    pub(crate) query: String,
    pub(crate) method_headers: String,
    pub(crate) request_body: KeptBody,
    pub(crate) endpoint: Option<EndpointTexts>,
    pub(crate) endpoint_response_headers: Option<String>,
    pub(crate) method_response_headers: Option<String>,
    pub(crate) response_body: KeptBody,
}

/// What the service inside was sent.
#[derive(Debug)]
pub(crate) struct EndpointTexts {
    pub(crate) uri: String,
    pub(crate) headers: String,
}

/// The beginning of a body.
#[derive(Debug, Default)]
pub(crate) struct KeptBody {
    bytes: Vec<u8>,
    limit: usize,
    cut: bool,
}

impl KeptBody {
    fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, cut: false }
    }

    pub(crate) fn push(&mut self, data: &[u8]) {
        let room = self.limit - self.bytes.len();
        self.bytes.extend_from_slice(&data[..data.len().min(room)]);
        self.cut |= data.len() > room;
    }

    /// What was kept, and whether that is not all.
    pub(crate) fn kept(&self) -> (&[u8], bool) {
        (&self.bytes, self.cut)
    }
}

impl ExecutionTexts {
    /// Keeps up to `limit` bytes of the body of the request, and as many of that of the answer.
    pub(crate) fn keep_bodies(&mut self, limit: usize) {
        (self.request_body, self.response_body) = (KeptBody::new(limit), KeptBody::new(limit));
    }
}

impl ExecutionRecord {
    pub(crate) fn new(logging: ExecutionLogging, texts: ExecutionTexts) -> Self {
        Self { logging, texts: Mutex::new(texts) }
    }

    pub(crate) fn traces_data(&self) -> bool {
        self.logging.traces_data()
    }

    /// Requests and answers stream from different tasks; each note is short.
    pub(crate) fn note<T>(&self, note: impl FnOnce(&mut ExecutionTexts) -> T) -> T {
        note(&mut self.texts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl RequestContext {
    pub(crate) fn set_execution(&self, record: ExecutionRecord) {
        let _first_writer_wins = self.0.observed.execution.set(Box::new(record));
    }

    pub(crate) fn execution(&self) -> Option<&ExecutionRecord> {
        self.0.observed.execution.get().map(|record| &**record)
    }
}

#[cfg(test)]
mod tests {
    use super::KeptBody;

    #[test]
    fn a_body_is_kept_up_to_its_limit() {
        let mut body = KeptBody::new(5);
        body.push(b"abc");
        assert_eq!(body.kept(), (&b"abc"[..], false));
        body.push(b"de");
        assert_eq!(body.kept(), (&b"abcde"[..], false));
        body.push(b"f");
        assert_eq!(body.kept(), (&b"abcde"[..], true));
        let mut none = KeptBody::default();
        none.push(b"a");
        assert_eq!(none.kept(), (&b""[..], true));
    }
}
