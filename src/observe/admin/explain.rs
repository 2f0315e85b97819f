//! A ring of the last requests: what the layers found out about each.

use super::super::{access_log::Escaping, event::RequestEvent, layer::Observer};
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
    /// The path as received, without its query.
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
        let cache = named("cache.status").map(|status| match named("cache.reason") {
            Some(reason) => format!("{status}: {reason}"),
            None => status,
        });
        Self {
            request_id: context.request_id().to_owned(),
            arrived_unix_millis: context.arrived().unix_millis(),
            method: cut(context.method().as_str()),
            path: cut(context.received_uri().path()),
            stage: context.stage().map(str::to_owned),
            resource_path: context.resource_path().map(str::to_owned),
            status: event.status().map(|status| status.as_u16()),
            outcome: event.outcome().as_str(),
            response_type: error.map(|error| error.response_type().as_str()),
            cause: error.map(|error| format!("{:?}", error.cause())),
            explanation: context.explanation().map(bounded),
            message: error.and_then(|error| error.message()).map(cut),
            api_key_id: named("identity.apiKeyId"),
            principal_id: named("authorizer.principalId"),
            source_ip: context.source_ip().map(|address| address.to_string()),
            cache,
            latency: event.latency(),
            integration_latency: context.integration_latency(),
            response_length: event.response_length(),
        }
    }

    /// As a JSON object; what is absent is left out.
    pub fn to_json(&self) -> String {
        let mut out = String::from("{\"requestId\":");
        push_string(&mut out, &self.request_id);
        out.push_str(&format!(",\"arrived\":{}", self.arrived_unix_millis));
        let status = self.status.map(|status| status.to_string());
        let texts = [
            ("method", Some(self.method.as_str())),
            ("path", Some(self.path.as_str())),
            ("stage", self.stage.as_deref()),
            ("resourcePath", self.resource_path.as_deref()),
            ("status", status.as_deref()),
            ("outcome", Some(self.outcome)),
            ("responseType", self.response_type),
            ("cause", self.cause.as_deref()),
            ("message", self.message.as_deref()),
            ("apiKeyId", self.api_key_id.as_deref()),
            ("principalId", self.principal_id.as_deref()),
            ("sourceIp", self.source_ip.as_deref()),
            ("cache", self.cache.as_deref()),
        ];
        for (name, text) in texts.into_iter().filter_map(|(name, text)| Some((name, text?))) {
            out.push_str(&format!(",\"{name}\":"));
            push_string(&mut out, text);
        }
        if let Some(explanation) = &self.explanation {
            push_explanation(&mut out, explanation);
        }
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        out.push_str(&format!(",\"latencyMs\":{:.3}", millis(self.latency)));
        if let Some(time) = self.integration_latency {
            out.push_str(&format!(",\"integrationLatencyMs\":{:.3}", millis(time)));
        }
        out.push_str(&format!(",\"responseLength\":{}}}", self.response_length));
        out
    }
}

fn bounded(mut explanation: Explanation) -> Explanation {
    explanation.decided_by = cut(&explanation.decided_by);
    explanation.would_allow.truncate(MAX_ALTERNATIVES);
    explanation.would_allow.iter_mut().for_each(|text| *text = cut(text));
    explanation
}

fn push_explanation(out: &mut String, explanation: &Explanation) {
    out.push_str(",\"explanation\":{\"layer\":");
    push_string(out, explanation.layer);
    out.push_str(",\"decidedBy\":");
    push_string(out, &explanation.decided_by);
    out.push_str(",\"wouldAllow\":[");
    for (index, text) in explanation.would_allow.iter().enumerate() {
        out.push_str(if index == 0 { "" } else { "," });
        push_string(out, text);
    }
    out.push_str("]}");
}

pub(super) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    Escaping::Json.push(text, out);
    out.push('"');
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

impl fmt::Debug for Explain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Explain").field("capacity", &self.0.capacity).finish_non_exhaustive()
    }
}
