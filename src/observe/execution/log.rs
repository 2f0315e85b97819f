//! The log: its settings, what it keeps of a request while it runs, and its events.

use super::{
    lines::{Execution, Line},
    redaction::{Redaction, cut, masked},
};
use crate::{
    context::{ExecutionRecord, ExecutionTexts, Redact, RequestContext},
    observe::{RequestEvent, access_log::mask},
    route::{ExecutionLogging, LoggingLevel},
};
#[cfg(feature = "gateway")]
use http::Response;
use http::{HeaderMap, header};
use std::sync::Arc;

/// Where AWS cuts an event.
const MAX_LINE: usize = 1024;

/// Writes execution logs as `tracing` events; see the [module docs](super). A clone is a reference count.
#[derive(Clone, Debug, Default)]
pub struct ExecutionLog(Arc<Config>);

#[derive(Clone, Debug)]
struct Config {
    logging: ExecutionLogging,
    redaction: Redaction,
    max_line: usize,
    max_body: usize,
}

impl Default for Config {
    fn default() -> Self {
        let (logging, redaction) = (ExecutionLogging::default(), Redaction::default());
        Self { logging, redaction, max_line: MAX_LINE, max_body: MAX_LINE }
    }
}

impl Redact for Config {
    #[cfg(feature = "authorizer")]
    fn masks(&self, name: &str) -> bool {
        self.redaction.masks(name)
    }

    fn mask(&self, secret: &str) -> String {
        mask(secret)
    }

    fn headers(&self, headers: &HeaderMap) -> String {
        self.redaction.headers(headers, None, self.max_line)
    }

    #[cfg(feature = "authorizer")]
    fn target(&self, base: &str, query: Option<&str>) -> String {
        self.redaction.uri(base, query, self.max_line)
    }

    #[cfg(feature = "authorizer")]
    fn path(&self, path: &str, context: &RequestContext) -> String {
        self.redaction.path(path, context)
    }

    #[cfg(feature = "authorizer")]
    fn cut(&self, mut text: String) -> String {
        let end = (0..=self.max_line.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        text
    }
}

impl ExecutionLog {
    /// Off, but for the methods whose stage says otherwise.
    pub fn new() -> Self {
        Self::default()
    }

    fn change(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// What is logged of requests whose method has no setting of its own, and of those that match no method. Default:
    /// nothing.
    #[must_use]
    pub fn logging(self, logging: ExecutionLogging) -> Self {
        self.change(|config| config.logging = logging)
    }

    /// Masks the header fields, query parameters and path variables of these names too, in any case.
    #[must_use]
    pub fn redact<'a>(self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.change(|config| names.into_iter().for_each(|name| config.redaction.add(name)))
    }

    /// Longest line in bytes, without the request id before it and ` [TRUNCATED]` behind it. Default: 1,024, as on AWS.
    #[must_use]
    pub fn max_line_bytes(self, bytes: usize) -> Self {
        self.change(|config| config.max_line = bytes)
    }

    /// How much of a body is kept for the data trace, of the request and of the answer each; 0 logs no body. A line's own
    /// limit counts too. Default: 1,024.
    #[must_use]
    pub fn max_body_bytes(self, bytes: usize) -> Self {
        self.change(|config| config.max_body = bytes)
    }

    fn logging_of(&self, context: &RequestContext) -> ExecutionLogging {
        let of_method = context.route().and_then(|route| route.settings()?.logging(context.method()));
        of_method.unwrap_or(self.0.logging)
    }

    /// At the start of a request: what is gone at its end.
    pub(in crate::observe) fn begin(&self, context: &RequestContext, headers: &HeaderMap) {
        let logging = self.logging_of(context);
        if logging.level() == LoggingLevel::Off || !somebody_listens() {
            return;
        }
        let mut texts = ExecutionTexts {
            sent_key: headers.get("x-api-key").map(masked),
            identity: headers.get(header::AUTHORIZATION).map(masked),
            ..ExecutionTexts::default()
        };
        if logging.traces_data() {
            let Config { redaction, max_line, max_body, .. } = &*self.0;
            texts.query = redaction.query(context.received_uri().query(), *max_line);
            texts.method_headers = redaction.headers(headers, Some(context), *max_line);
            texts.keep_bodies(*max_body);
        }
        let redact = Arc::clone(&self.0) as Arc<dyn Redact>;
        context.set_execution(ExecutionRecord::new(logging, redact, texts));
    }

    /// The service is called.
    #[cfg(feature = "gateway")]
    pub(crate) fn called<B>(&self, context: &RequestContext, request: &http::Request<B>) {
        let Some(record) = context.execution().filter(|record| record.traces_data()) else { return };
        let Config { redaction, max_line, .. } = &*self.0;
        let redaction = redaction.with(record.note(|texts| texts.secret_parameters.clone()));
        let endpoint = crate::context::EndpointTexts {
            uri: redaction.uri(
                &redaction.path(request.uri().path(), context),
                request.uri().query(),
                *max_line,
            ),
            headers: redaction.headers(request.headers(), Some(context), *max_line),
        };
        record.note(|texts| texts.endpoint = Some(endpoint));
    }

    /// The service has answered.
    #[cfg(feature = "gateway")]
    pub(crate) fn endpoint_answered<R>(&self, context: &RequestContext, response: &Response<R>) {
        let Some(record) = context.execution().filter(|record| record.traces_data()) else { return };
        let headers = self.0.redaction.headers(response.headers(), Some(context), self.0.max_line);
        record.note(|texts| texts.endpoint_response_headers = Some(headers));
    }

    /// The client is sent the head of its answer.
    pub(in crate::observe) fn answered(&self, context: &RequestContext, headers: &HeaderMap) {
        let Some(record) = context.execution().filter(|record| record.traces_data()) else { return };
        let headers = self.0.redaction.headers(headers, Some(context), self.0.max_line);
        record.note(|texts| texts.method_response_headers = Some(headers));
    }

    /// The request is over.
    pub(in crate::observe) fn ended(&self, event: &RequestEvent<'_>) {
        let logging = self.logging_of(event.context());
        if logging.level() == LoggingLevel::Off || !somebody_listens() {
            return;
        }
        let lines = |texts: &ExecutionTexts| {
            let Config { redaction, max_line, .. } = &*self.0;
            Execution::new(event, texts, logging, redaction, *max_line).lines()
        };
        let lines = match event.context().execution() {
            // Not while it is locked: a subscriber may be slow.
            Some(record) => record.note(|texts| lines(texts)),
            None => lines(&ExecutionTexts::default()),
        };
        lines.into_iter().for_each(|line| write(event.context(), line, self.0.max_line));
    }
}

fn somebody_listens() -> bool {
    tracing::enabled!(target: "tower_gateway::execution", tracing::Level::ERROR)
}

fn write(context: &RequestContext, line: Line, limit: usize) {
    let (id, stage) = (context.request_id(), context.stage());
    let text = cut(line.text, line.is_cut, limit);
    if line.is_error {
        tracing::error!(target: "tower_gateway::execution", { aws.request_id = id, stage }, "({id}) {text}");
    } else {
        tracing::info!(target: "tower_gateway::execution", { aws.request_id = id, stage }, "({id}) {text}");
    }
}
