//! A ring of the last requests: what the layers found out about each.

use super::{
    super::{access_log::is_secret_name, event::RequestEvent, layer::Observer, secret_path::mask_path},
    json::{Object, object},
};
use crate::context::Explanation;
use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Longest text of a client that is kept.
const MAX_TEXT: usize = 256;
/// As many things that would have been allowed are kept.
const MAX_ALTERNATIVES: usize = 8;

/// The last requests, each with why it got its answer. A clone is a reference count; memory is bounded by the number of
/// requests, since what a client wrote is cut.
#[derive(Clone)]
pub struct Explain(Arc<Ring>);

struct Ring {
    records: Mutex<VecDeque<Arc<RequestRecord>>>,
    capacity: usize,
}

/// One request at its end. No credentials: keys and principals by their ids.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RequestRecord {
    /// `$context.requestId`.
    pub request_id: String,
    /// When it arrived, in milliseconds since 1970.
    pub arrived_unix_millis: i64,
    /// The method as received.
    pub method: String,
    /// The path as received, without its query. Values of variables whose names are secrets' (`{token}`, as the page of the
    /// execution log says) are stars.
    pub path: String,
    /// The stage that was found.
    pub stage: Option<String>,
    /// The resource that was found.
    pub resource_path: Option<String>,
    /// What the client was told.
    pub status: Option<u16>,
    /// How it ended.
    pub outcome: &'static str,
    /// Kind of the refusal.
    pub response_type: Option<&'static str>,
    /// Why it was refused: which limit, which check.
    pub cause: Option<String>,
    /// By which layer, what decided, and what would have been allowed; the first eight, each cut.
    pub explanation: Option<Explanation>,
    /// What the client was told of it.
    pub message: Option<String>,
    /// Id of the API key.
    pub api_key_id: Option<String>,
    /// Id of the principal.
    pub principal_id: Option<String>,
    /// The client's address.
    pub source_ip: Option<String>,
    /// What the cache did, and why.
    pub cache: Option<String>,
    /// The authorizer that was asked: Lambda-style, JWT or Cognito.
    pub authorizer: Option<String>,
    /// How long the request waited for it; `None` where its answer was cached.
    pub authorizer_latency: Option<Duration>,
    /// From arrival to the last byte.
    pub latency: Duration,
    /// Of the service inside.
    pub integration_latency: Option<Duration>,
    /// Bytes of the answer's body.
    pub response_length: u64,
}

impl Explain {
    /// Keeps the last `capacity` requests; about 500 bytes each.
    pub fn new(capacity: usize) -> Self {
        Self(Arc::new(Ring { records: Mutex::default(), capacity }))
    }

    /// What is known of a request.
    pub fn request(&self, request_id: &str) -> Option<Arc<RequestRecord>> {
        self.recent().into_iter().find(|record| record.request_id == request_id)
    }

    /// The last requests, newest first.
    pub fn recent(&self) -> Vec<Arc<RequestRecord>> {
        let records = self.0.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.iter().rev().cloned().collect()
    }
}

impl Observer for Explain {
    fn ended(&self, event: &RequestEvent<'_>) {
        if self.0.capacity == 0 {
            return;
        }
        let record = Arc::new(RequestRecord::of(event));
        let mut records = self.0.records.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = if records.len() == self.0.capacity { records.pop_front() } else { None };
        records.push_back(record);
        drop(records);
        drop(oldest);
    }
}

impl RequestRecord {
    fn of(event: &RequestEvent<'_>) -> Self {
        let (context, error) = (event.context(), event.error());
        let named = |name: &str| context.variable(name).map(|text| cut(&text));
        let cache = event.cache_lookup().map(|(status, reason)| match reason {
            Some(reason) => format!("{status}: {reason}"),
            None => status.to_owned(),
        });
        let authorizer = event.authorizer_use();
        Self {
            request_id: context.request_id().to_owned(),
            arrived_unix_millis: context.arrived().unix_millis(),
            method: cut(context.method().as_str()),
            path: cut(&mask_path(context.received_uri().path(), context, is_secret_name)),
            stage: context.stage().map(str::to_owned),
            resource_path: context.resource_path().map(str::to_owned),
            status: event.status().map(|status| status.as_u16()),
            outcome: event.outcome().as_str(),
            response_type: error.map(|error| error.response_type().as_str()),
            cause: error.map(|error| format!("{:?}", error.cause())),
            explanation: context.explanation().map(bounded),
            message: error.and_then(|error| error.told(context.api_kind())).map(cut),
            api_key_id: named("identity.apiKeyId"),
            principal_id: named("authorizer.principalId"),
            source_ip: context.source_ip().map(|address| address.to_string()),
            cache,
            authorizer: authorizer.map(|authorizer| cut(authorizer.name)),
            authorizer_latency: authorizer.and_then(|authorizer| authorizer.latency),
            latency: event.latency(),
            integration_latency: context.integration_latency(),
            response_length: event.response_length(),
        }
    }

    /// As a JSON object; what is absent is left out.
    pub fn to_json(&self) -> String {
        object(|o| self.push(o))
    }

    pub(super) fn push(&self, o: &mut Object<'_>) {
        let status = self.status.map(|status| status.to_string());
        o.text("requestId", &self.request_id).value("arrived", self.arrived_unix_millis);
        o.text("method", &self.method).text("path", &self.path);
        o.optional("stage", self.stage.as_deref()).optional("resourcePath", self.resource_path.as_deref());
        o.optional("status", status.as_deref()).text("outcome", self.outcome);
        o.optional("responseType", self.response_type).optional("cause", self.cause.as_deref());
        o.optional("message", self.message.as_deref()).optional("apiKeyId", self.api_key_id.as_deref());
        o.optional("principalId", self.principal_id.as_deref());
        o.optional("sourceIp", self.source_ip.as_deref()).optional("cache", self.cache.as_deref());
        o.optional("authorizer", self.authorizer.as_deref());
        if let Some(explanation) = &self.explanation {
            o.object("explanation", |o| push_explanation(o, explanation));
        }
        let times = [
            ("authorizerLatencyMs", self.authorizer_latency),
            ("latencyMs", Some(self.latency)),
            ("integrationLatencyMs", self.integration_latency),
        ];
        for (name, time) in times.into_iter().filter_map(|(name, time)| Some((name, time?))) {
            o.fraction(name, time.as_secs_f64() * 1e3);
        }
        o.value("responseLength", self.response_length);
    }
}

fn push_explanation(o: &mut Object<'_>, explanation: &Explanation) {
    o.text("layer", explanation.layer).text("decidedBy", &explanation.decided_by);
    o.texts("wouldAllow", explanation.would_allow.iter().map(String::as_str));
}

fn bounded(mut explanation: Explanation) -> Explanation {
    explanation.decided_by = cut(&explanation.decided_by);
    explanation.would_allow.truncate(MAX_ALTERNATIVES);
    explanation.would_allow.iter_mut().for_each(|text| *text = cut(text));
    explanation
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

impl fmt::Debug for Explain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Explain").field("capacity", &self.0.capacity).finish_non_exhaustive()
    }
}
