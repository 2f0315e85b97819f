//! What an execution log keeps of a request until its end: texts of bounded length, masked before they are kept.

use super::RequestContext;
use crate::route::ExecutionLogging;
use http::HeaderMap;
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// How texts are made that may be kept: masked, and of bounded length. The log knows; layers that have something for it
/// ask the record.
pub(crate) trait Redact: fmt::Debug + Send + Sync {
    /// Whether values of this name are masked.
    #[cfg(feature = "authorizer")]
    fn masks(&self, name: &str) -> bool;

    fn mask(&self, secret: &str) -> String;

    /// `{k=v, k2=v2}`.
    fn headers(&self, headers: &HeaderMap) -> String;

    /// A URI, the values of masked parameters replaced.
    #[cfg(feature = "authorizer")]
    fn target(&self, base: &str, query: Option<&str>) -> String;

    /// A path, or an ARN made of one, the values of the request's masked path variables replaced.
    #[cfg(feature = "authorizer")]
    fn path(&self, path: &str, context: &RequestContext) -> String;

    /// What of a text that is masked already fits into a line.
    #[cfg(feature = "authorizer")]
    fn cut(&self, text: String) -> String;
}

/// Made at the start of an execution that is logged.
#[derive(Debug)]
pub(crate) struct ExecutionRecord {
    logging: ExecutionLogging,
    redact: Arc<dyn Redact>,
    texts: Mutex<ExecutionTexts>,
}

/// What the context itself does not keep. Without a data trace only the first two are ever written.
#[derive(Debug, Default)]
pub(crate) struct ExecutionTexts {
    /// The key that the client sent, masked.
    pub(crate) sent_key: Option<String>,
    /// The `Authorization` field, or what the method's authorizer goes by, masked.
    pub(crate) identity: Option<String>,
    /// Query parameters that identify the caller, whatever their names say.
    pub(crate) secret_parameters: Vec<Box<str>>,
    pub(crate) query: String,
    pub(crate) method_headers: String,
    pub(crate) request_body: KeptBody,
    pub(crate) endpoint: Option<EndpointTexts>,
    pub(crate) endpoint_response_headers: Option<String>,
    pub(crate) method_response_headers: Option<String>,
    pub(crate) response_body: KeptBody,
}

/// What an authorizer goes by.
#[cfg(feature = "authorizer")]
#[derive(Debug, Default)]
pub(crate) struct Credentials {
    /// The values, as the log names them.
    pub(crate) shown: Vec<String>,
    /// The values as they stand in fields and query.
    pub(crate) sent: Vec<String>,
    /// Names of query parameters.
    pub(crate) parameters: Vec<Box<str>>,
}

/// What the service inside was sent.
#[derive(Debug)]
pub(crate) struct EndpointTexts {
    pub(crate) uri: String,
    pub(crate) headers: String,
}

/// The call of an authorizer's function.
#[cfg(feature = "authorizer")]
#[derive(Debug)]
pub(crate) struct CallTexts {
    /// Where the function was called; `None` for one in the program.
    pub(crate) endpoint: Option<EndpointTexts>,
    pub(crate) event: String,
    /// `None` where there was no answer.
    pub(crate) answer: Option<String>,
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
    pub(crate) fn new(logging: ExecutionLogging, redact: Arc<dyn Redact>, texts: ExecutionTexts) -> Self {
        Self { logging, redact, texts: Mutex::new(texts) }
    }

    #[cfg(feature = "authorizer")]
    pub(crate) fn redact(&self) -> &Arc<dyn Redact> {
        &self.redact
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
        let _first_writer_wins = self.0.observed.make_rare().execution.set(Box::new(record));
    }

    /// By what the method's authorizer knows the caller, where an execution log wants to know. What was kept before, by
    /// nobody who knew which fields those are, is masked now.
    #[cfg(feature = "authorizer")]
    pub(crate) fn note_identity(&self, identity: impl FnOnce() -> Credentials) {
        let Some(record) = self.execution() else { return };
        let Credentials { shown, sent, parameters } = identity();
        let told = shown.iter().filter(|value| !value.is_empty());
        let masked: Vec<_> = told.map(|value| record.redact.mask(value)).collect();
        record.note(|texts| {
            for value in sent.iter().filter(|value| !value.is_empty()) {
                let (from, to) = (format!("={value}"), format!("={}", record.redact.mask(value)));
                texts.query = texts.query.replace(&from, &to);
                texts.method_headers = texts.method_headers.replace(&from, &to);
            }
            texts.secret_parameters = parameters;
            if !masked.is_empty() {
                texts.identity = Some(masked.join(","));
            }
        });
    }

    pub(crate) fn execution(&self) -> Option<&ExecutionRecord> {
        self.0.observed.rare()?.execution.get().map(|record| &**record)
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
