//! The event that an authorizer's function is called with.

mod json;

use super::{call::CallNotes, query};
use crate::{context::RequestContext, policy::ExecuteApi};
use http::{HeaderMap, Method};
use std::{fmt, sync::Arc};

/// Which of AWS's four forms an event has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventForm {
    /// REST `TOKEN`.
    Token,
    /// REST `REQUEST`.
    RestRequest,
    /// HTTP API, payload format 1.0.
    Http1,
    /// HTTP API, payload format 2.0.
    Http2,
}

impl EventForm {
    pub(super) fn is_http_api(self) -> bool {
        matches!(self, Self::Http1 | Self::Http2)
    }
}

/// What an authorizer is asked. [`to_json`](Self::to_json) is the event as Lambda functions know it; the other methods
/// read it without JSON. A clone is a reference count.
///
/// An answer is cached by the identity sources alone. A function that decides by anything else (the path, another
/// header, the address) must do so through the policy it returns, or name it as an identity source too.
///
/// `Debug` shows kind and ARN: the rest is a credential.
#[derive(Clone)]
pub struct AuthorizerEvent(Arc<Inner>);

struct Inner {
    form: EventForm,
    method_arn: String,
    identity: Vec<String>,
    headers: HeaderMap,
    path: Box<str>,
    query: Option<Box<str>>,
    context: RequestContext,
    api: ExecuteApi,
    notes: CallNotes,
}

/// What an event is made of.
pub(super) struct EventParts<'a> {
    pub(super) form: EventForm,
    pub(super) method_arn: String,
    pub(super) identity: Vec<String>,
    pub(super) headers: &'a HeaderMap,
    /// The path that is routed, without stage.
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
    pub(super) context: &'a RequestContext,
    pub(super) api: &'a ExecuteApi,
}

impl AuthorizerEvent {
    pub(super) fn new(parts: EventParts<'_>) -> Self {
        // A TOKEN event has three members, and the function shall not come to rely on more.
        let whole = parts.form != EventForm::Token;
        Self(Arc::new(Inner {
            form: parts.form,
            method_arn: parts.method_arn,
            identity: parts.identity,
            headers: if whole { parts.headers.clone() } else { HeaderMap::new() },
            path: if whole { parts.path.into() } else { Box::default() },
            query: parts.query.filter(|_| whole).map(Into::into),
            context: parts.context.clone(),
            api: parts.api.clone(),
            notes: CallNotes::default(),
        }))
    }

    /// `type`: `TOKEN` or `REQUEST`.
    pub fn event_type(&self) -> &'static str {
        if self.0.form == EventForm::Token { "TOKEN" } else { "REQUEST" }
    }

    /// `authorizationToken`: the value of a TOKEN authorizer's header, with its scheme; empty for REQUEST.
    pub fn authorization_token(&self) -> &str {
        match self.0.form {
            EventForm::Token => self.0.identity.first().map_or("", String::as_str),
            _ => "",
        }
    }

    /// `methodArn` (2.0: `routeArn`): the ARN of the concrete method and path that are called.
    pub fn method_arn(&self) -> &str {
        &self.0.method_arn
    }

    /// `identitySource`: the values of the identity sources, in their order.
    pub fn identity(&self) -> impl Iterator<Item = &str> {
        self.0.identity.iter().map(String::as_str)
    }

    /// The method as received.
    pub fn method(&self) -> &Method {
        self.0.context.method()
    }

    /// The headers; none in a TOKEN event.
    pub fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    /// The first value of a header, if it is text; none in a TOKEN event.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.0.headers.get(name)?.to_str().ok()
    }

    /// The path without stage, not decoded; empty in a TOKEN event.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// The last value of a query parameter, decoded; none in a TOKEN event.
    pub fn query_parameter(&self, name: &str) -> Option<String> {
        let found = query::pairs(self.0.query.as_deref()).filter(|(own, _)| **own == *name.as_bytes());
        found.last().map(|(_, value)| String::from_utf8_lossy(&value).into_owned())
    }

    /// The request's context: request id, stage, stage and path variables, source address.
    pub fn request_context(&self) -> &RequestContext {
        &self.0.context
    }

    /// Of the call that it is made for.
    pub(super) fn notes(&self) -> &CallNotes {
        &self.0.notes
    }

    #[cfg(feature = "tracing")]
    pub(super) fn shown(&self) -> serde_json::Value {
        json::event(&self.0)
    }

    /// The event as JSON, with the members AWS sends: payload format 1.0 for REST, 1.0 or 2.0 for HTTP APIs.
    ///
    /// Header names are in lower case, as HTTP/2 clients send them; in REST events `Authorization` and `User-Agent`
    /// have capitals whatever the client sent, as on AWS. Bytes that are no text become U+FFFD.
    pub fn to_json(&self) -> String {
        json::event(&self.0).to_string()
    }
}

impl fmt::Debug for AuthorizerEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizerEvent")
            .field("type", &self.event_type())
            .field("method_arn", &self.0.method_arn)
            .finish_non_exhaustive()
    }
}
