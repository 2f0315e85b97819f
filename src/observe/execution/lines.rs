//! The lines of one execution, in AWS's order. Pure: event and kept texts in, lines out.

use super::{
    failure::Reached,
    redaction::{Redaction, body_text},
};
use crate::{
    body::Outcome,
    context::{ExecutionTexts, RequestContext},
    observe::{RequestEvent, access_log::mask},
    route::{ExecutionLogging, LoggingLevel},
};
use http::Method;

/// One line, before it is cut.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) is_error: bool,
    pub(super) text: String,
    /// Its end was not kept.
    pub(super) is_cut: bool,
}

/// What the lines are made from, and what several of them say.
pub(super) struct Execution<'a> {
    pub(super) event: &'a RequestEvent<'a>,
    texts: &'a ExecutionTexts,
    logging: ExecutionLogging,
    redaction: &'a Redaction,
    limit: usize,
    /// The key, masked; empty where none was sent or needed.
    pub(super) key: String,
    /// `a1b2c3/prod`.
    pub(super) api_stage: String,
    /// `GET /pets/{id}`.
    pub(super) method_key: String,
}

/// The lines in their order.
struct Lines(Vec<Line>);

impl Lines {
    fn info(&mut self, text: impl Into<String>) {
        self.0.push(Line { is_error: false, text: text.into(), is_cut: false });
    }

    fn body(&mut self, what: &str, (bytes, is_cut): (&[u8], bool)) {
        let text = format!("{what}: {}", body_text(bytes));
        self.0.push(Line { is_error: false, text, is_cut });
    }

    fn error(&mut self, text: Option<String>) {
        self.0.extend(text.map(|text| Line { is_error: true, text, is_cut: false }));
    }
}

impl<'a> Execution<'a> {
    pub(super) fn new(
        event: &'a RequestEvent<'a>,
        texts: &'a ExecutionTexts,
        logging: ExecutionLogging,
        redaction: &'a Redaction,
        limit: usize,
    ) -> Self {
        let context = event.context();
        let verified = context.api_key().map(|key| mask(key.expose_value()));
        let api = event.api().api_id().or(Some(event.api().name()).filter(|name| !name.is_empty()));
        Self {
            event,
            texts,
            logging,
            redaction,
            limit,
            key: verified
                .or_else(|| texts.sent_key.clone().filter(|_| needs_key(context)))
                .unwrap_or_default(),
            api_stage: format!("{}/{}", api.unwrap_or("-"), context.stage().unwrap_or("-")),
            method_key: context.route_key().unwrap_or_else(|| format!("{} -", context.method())),
        }
    }

    /// All lines of its level.
    pub(super) fn lines(&self) -> Vec<Line> {
        let mut lines = Lines(Vec::with_capacity(24));
        let failure = self.failure();
        let everything =
            self.logging.level() == LoggingLevel::Info || failure.is_some() && self.logging.traces_data();
        if everything {
            self.steps(failure, &mut lines);
        } else if failure.is_some() {
            lines.error(failure);
            self.completed(&mut lines);
        }
        lines.0
    }

    fn steps(&self, failure: Option<String>, lines: &mut Lines) {
        let context = self.event.context();
        let reached = Reached::of(context);
        lines.info(format!("Extended Request Id: {}", context.extended_request_id()));
        if reached >= Reached::Authorizer {
            self.authorizer(reached > Reached::Authorizer, lines);
        }
        let answered_here = is_preflight_answer(self.event);
        if reached >= Reached::UsagePlan && !answered_here {
            self.usage_plan(reached > Reached::UsagePlan, lines);
        }
        if reached == Reached::Execution && !answered_here {
            self.execution(lines);
        }
        let succeeded = failure.is_none() && !answered_here;
        lines.error(failure);
        self.response(succeeded, lines);
        self.completed(lines);
        self.ids(lines);
    }

    fn authorizer(&self, allowed: bool, lines: &mut Lines) {
        let context = self.event.context();
        let declared = context.route().map(|route| &route.declared().method);
        let Some(name) = declared.and_then(|method| method.authorization.authorizer()) else { return };
        lines.info(format!("Starting authorizer: {name} for request: {}", context.request_id()));
        if let Some(identity) = &self.texts.identity {
            lines.info(format!("Incoming identity: {identity}"));
        }
        self.authorizer_call(lines);
        if allowed {
            let principal = context.principal().map(|principal| mask(principal.id())).unwrap_or_default();
            lines.info(format!("Using valid authorizer policy for principal: {principal}"));
            lines.info("Successfully completed authorizer execution");
        }
    }

    /// The call of the authorizer's function, where it was called for this request and a data trace wants it.
    #[cfg(feature = "authorizer")]
    fn authorizer_call(&self, lines: &mut Lines) {
        let run = self.event.context().authorizer_run().filter(|_| self.logging.traces_data());
        let Some(texts) = run.and_then(|run| run.call.as_ref()?.texts.as_ref()) else { return };
        if let Some(endpoint) = &texts.endpoint {
            lines.info(format!("Endpoint request URI: {}", endpoint.uri));
            lines.info(format!("Endpoint request headers: {}", endpoint.headers));
        }
        lines.info(format!("Endpoint request body after transformations: {}", texts.event));
        if let Some(answer) = &texts.answer {
            lines.info(format!("Authorizer result body before parsing: {answer}"));
        }
    }

    #[cfg(not(feature = "authorizer"))]
    fn authorizer_call(&self, _: &mut Lines) {}

    fn usage_plan(&self, succeeded: bool, lines: &mut Lines) {
        let (context, key, stage) = (self.event.context(), &self.key, &self.api_stage);
        let id = context.request_id();
        lines.info(format!("Verifying Usage Plan for request: {id}. API Key: {key} API Stage: {stage}"));
        if succeeded && !needs_key(context) {
            lines.info(format!(
                "API Key {key} authorized because method '{}' does not require API Key. Request will not contribute to throttle or quota limits",
                self.method_key
            ));
        }
        if succeeded {
            lines.info(format!("Usage Plan check succeeded for API Key {key} and API Stage {stage}"));
        }
    }

    fn execution(&self, lines: &mut Lines) {
        let context = self.event.context();
        lines.info(format!("Starting execution for request: {}", context.request_id()));
        let path = self.redaction.path(routed_path(context), context);
        lines.info(format!("HTTP Method: {}, Resource Path: {path}", context.method()));
        if !self.key.is_empty() {
            lines.info(format!("API Key: {}", self.key));
        }
        if self.logging.traces_data() {
            self.request_data(lines);
        }
        if let Some(latency) = context.integration_latency() {
            let millis = latency.as_millis();
            lines.0.extend(context.integration_status().map(|status| Line {
                is_error: false,
                text: format!(
                    "Received response. Status: {}, Integration latency: {millis} ms",
                    status.as_u16()
                ),
                is_cut: false,
            }));
        }
    }

    fn request_data(&self, lines: &mut Lines) {
        let texts = self.texts;
        let path_parameters = self.redaction.path_parameters(self.event.context(), self.limit);
        lines.info(format!("Method request path: {path_parameters}"));
        lines.info(format!("Method request query string: {}", texts.query));
        lines.info(format!("Method request headers: {}", texts.method_headers));
        lines.body("Method request body before transformations", texts.request_body.kept());
        let Some(endpoint) = &texts.endpoint else { return };
        lines.info(format!("Endpoint request URI: {}", endpoint.uri));
        lines.info(format!("Endpoint request headers: {}", endpoint.headers));
        lines.body("Endpoint request body after transformations", texts.request_body.kept());
        lines.info(format!("Sending request to {}", endpoint.uri));
    }

    /// What the service answered and what the client was sent: of the same bytes, since nothing here transforms them.
    fn response(&self, succeeded: bool, lines: &mut Lines) {
        let texts = self.texts;
        if self.logging.traces_data() {
            if let (Some(headers), None) = (&texts.endpoint_response_headers, self.event.error()) {
                lines.info(format!("Endpoint response headers: {headers}"));
                lines.body("Endpoint response body before transformations", texts.response_body.kept());
            }
            if let Some(headers) = &texts.method_response_headers {
                lines.body("Method response body after transformations", texts.response_body.kept());
                lines.info(format!("Method response headers: {headers}"));
            }
        }
        if self.event.outcome() == Outcome::ClientClosed {
            lines.info("Client closed the connection before the end of the response");
        } else if succeeded {
            lines.info("Successfully completed execution");
        }
    }

    fn completed(&self, lines: &mut Lines) {
        if let Some(status) = self.event.status() {
            lines.info(format!("Method completed with status: {}", status.as_u16()));
        }
    }

    fn ids(&self, lines: &mut Lines) {
        if let Some(id) = self.event.context().endpoint_ids()[0] {
            let id = String::from_utf8_lossy(id.as_bytes());
            lines.info(format!("AWS Integration Endpoint RequestId : {id}"));
        }
        if let Some(trace) = self.event.context().trace() {
            lines.info(format!("X-ray Tracing ID : {}", trace.trace_id()));
        }
    }
}

fn needs_key(context: &RequestContext) -> bool {
    context.api_key().is_some()
        || context.route().is_some_and(|route| route.declared().method.api_key_required)
}

/// CORS answers a preflight before anything that a method asks for.
fn is_preflight_answer(event: &RequestEvent<'_>) -> bool {
    let (context, is_told) = (event.context(), event.status().is_some());
    let is_complete = is_told && event.outcome() == Outcome::Complete && event.error().is_none();
    context.method() == Method::OPTIONS && is_complete && context.integration_latency().is_none()
}

/// The path without stage and base path, as it was routed.
fn routed_path(context: &RequestContext) -> &str {
    let path = context.received_uri().path();
    let base = context.route().and_then(|route| route.base).unwrap_or(0);
    path.get(base as usize..).unwrap_or(path)
}
