//! What became of one request: the event that every observer gets.

use crate::{
    body::{End, Outcome},
    clock::Timestamp,
    context::{AuthorizerUse, PlanHeadroom, RequestContext},
    response::{GatewayError, ResponseType},
};
#[cfg(any(feature = "prometheus", feature = "emf", feature = "metrics", feature = "tracing"))]
use http::Method;
use http::StatusCode;
use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

/// What the gateway cannot learn from a request: the names of the API in logs and metrics.
///
/// ```
/// use tower_gateway::observe::ApiInfo;
///
/// let api = ApiInfo::new("pets").id("a1b2c3d4e5").account_id("123456789012");
/// assert_eq!(api.name(), "pets");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiInfo {
    name: Arc<str>,
    id: Option<Arc<str>>,
    account_id: Option<Arc<str>>,
}

impl ApiInfo {
    /// An API by its name: the `ApiName` dimension of metrics.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), id: None, account_id: None }
    }

    /// `$context.apiId`. Default: `-` in logs, the name in metrics.
    #[must_use]
    pub fn id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// `$context.accountId`. Default: `-`.
    #[must_use]
    pub fn account_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.account_id = Some(id.into());
        self
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id, where one was given.
    pub fn api_id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub(crate) fn account(&self) -> Option<&str> {
        self.account_id.as_deref()
    }
}

/// A request at its end: the context, and how the answer went.
#[derive(Clone, Copy)]
pub struct RequestEvent<'a> {
    context: &'a RequestContext,
    api: &'a ApiInfo,
    end: &'a End,
    ended_at: Timestamp,
}

impl<'a> RequestEvent<'a> {
    pub(super) fn new(
        context: &'a RequestContext,
        api: &'a ApiInfo,
        end: &'a End,
        ended_at: Timestamp,
    ) -> Self {
        Self { context, api, end, ended_at }
    }

    /// All that the layers found out.
    pub fn context(&self) -> &'a RequestContext {
        self.context
    }

    /// The names of the API.
    pub fn api(&self) -> &'a ApiInfo {
        self.api
    }

    /// How it ended.
    pub fn outcome(&self) -> Outcome {
        self.end.outcome
    }

    /// `$context.status`: what the client was told; `None` where it was told nothing.
    pub fn status(&self) -> Option<StatusCode> {
        self.end.status
    }

    /// `$context.responseLength`: bytes of the body that were handed to the server.
    pub fn response_length(&self) -> u64 {
        self.end.length
    }

    /// The bytes of the request's body that were read: [`RequestContext::request_length`]. Never what a client announced
    /// and nobody read, so that no client can make a counter run over.
    pub fn request_length(&self) -> Option<u64> {
        self.context.request_length()
    }

    /// `$context.responseLatency`: from arrival to the last byte.
    pub fn latency(&self) -> Duration {
        self.ended_at.since(self.context.arrived())
    }

    /// From arrival to the head of the answer, where an observer [wants to know](super::Observer::needs_time_to_head).
    pub fn time_to_head(&self) -> Option<Duration> {
        self.end.time_to_head
    }

    /// When it ended.
    pub fn ended_at(&self) -> Timestamp {
        self.ended_at
    }

    /// The refusal, if it was refused.
    pub fn error(&self) -> Option<&'a GatewayError> {
        self.context.error()
    }

    /// The layer that refused, by its name; `other` where it is none of ours.
    #[cfg(any(feature = "prometheus", feature = "emf", feature = "metrics"))]
    pub(super) fn refusing_layer(&self) -> &'static str {
        self.context.refusing_layer().unwrap_or("other")
    }

    /// Whether an operator may want to see it: refused, told 4xx or 5xx, or not answered to its end.
    pub fn is_error(&self) -> bool {
        is_error(self.end.status, self.context) || self.end.outcome != Outcome::Complete
    }

    /// 4 or 5: what `4XXError` and `5XXError` count. A refusal whose status was changed to none of them counts by the
    /// status that it had; a panic and an error of the service count as 5, a client that left counts by what it was told.
    pub fn error_class(&self) -> Option<u8> {
        let class = |status: StatusCode| match status.as_u16() / 100 {
            class @ (4 | 5) => Some(class as u8),
            _ => None,
        };
        let broken = matches!(self.end.outcome, Outcome::Panicked | Outcome::Failed).then_some(5);
        let refused = || class(self.context.error()?.status());
        broken.or_else(|| class(self.end.status?)).or_else(refused)
    }

    /// `$context.integration.error`: what went wrong with the service inside, in the execution log's words. Its own error
    /// is not looked into.
    pub fn integration_error(&self) -> Option<&'static str> {
        match (self.end.outcome, self.error()) {
            (_, Some(error)) if error.response_type() == ResponseType::IntegrationTimeout => {
                Some("Execution failed due to a timeout error")
            }
            (_, Some(_)) => None,
            (Outcome::Failed, None) => {
                Some("Execution failed due to a network error communicating with endpoint")
            }
            (Outcome::Panicked, None) => Some("Execution failed due to an internal error"),
            (Outcome::Complete | Outcome::ClientClosed, None) => None,
        }
    }

    /// What the cache did, and why; `None` where no cache was asked.
    #[cfg(feature = "cache")]
    pub fn cache_lookup(&self) -> Option<(&'static str, Option<&'static str>)> {
        let status = self.context.cache_status()?;
        Some((status.as_str(), self.context.cache_reason().map(crate::cache::NoCacheReason::as_str)))
    }

    /// What the cache did, and why; `None`: there is no cache.
    #[cfg(not(feature = "cache"))]
    pub fn cache_lookup(&self) -> Option<(&'static str, Option<&'static str>)> {
        None
    }

    /// What the caller's plan had left, where an observer [wants to know](super::Observer::needs_headroom).
    pub fn plan_headroom(&self) -> Option<&'a PlanHeadroom> {
        self.context.plan_headroom()
    }

    /// What the method's authorizer did.
    pub fn authorizer_use(&self) -> Option<AuthorizerUse<'a>> {
        self.context.authorizer_use()
    }

    /// The value of `$context.<name>` at the end of the request: what [`RequestContext::variable`] knows, and what only
    /// the end tells. `None` prints as `-`.
    pub fn variable(&self, name: &str) -> Option<Cow<'a, str>> {
        match super::access_log::Variable::named(name).value(self)? {
            super::access_log::Value::Text(text) => Some(text),
            other => {
                let mut text = String::new();
                other.write_plain(&mut text);
                Some(text.into())
            }
        }
    }

    pub(super) fn account_id(&self) -> Option<&'a str> {
        self.api.account()
    }
}

impl fmt::Debug for RequestEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestEvent")
            .field("request_id", &self.context.request_id())
            .field("end", self.end)
            .finish_non_exhaustive()
    }
}

/// Whole ones, as logs and spans have them.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Refused, told 4xx or 5xx, or told nothing.
pub(super) fn is_error(status: Option<StatusCode>, context: &RequestContext) -> bool {
    let told = status.is_none_or(|status| status.is_client_error() || status.is_server_error());
    told || context.error().is_some()
}

/// Whether the cache, or another request's call, gave the answer; by the word for what the cache did.
#[cfg(any(feature = "prometheus", feature = "emf"))]
pub(super) fn is_hit(result: &str) -> bool {
    matches!(result, "hit" | "stale" | "collapsed")
}

/// Whether the service gave it, with caching on.
#[cfg(any(feature = "prometheus", feature = "emf"))]
pub(super) fn is_miss(result: &str) -> bool {
    matches!(result, "miss" | "revalidated")
}

/// OpenTelemetry: what is no method of HTTP is `_OTHER`.
#[cfg(any(feature = "prometheus", feature = "emf", feature = "metrics", feature = "tracing"))]
pub(super) fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::TRACE => "TRACE",
        Method::CONNECT => "CONNECT",
        _ => "_OTHER",
    }
}

#[cfg(all(test, feature = "cache", any(feature = "prometheus", feature = "emf")))]
mod tests {
    use super::{is_hit, is_miss};
    use crate::cache::CacheStatus;

    #[test]
    fn hits_and_misses_are_those_of_the_cache() {
        for status in CacheStatus::ALL {
            let word = status.as_str();
            assert_eq!((is_hit(word), is_miss(word)), (status.is_hit(), status.is_miss()), "{word}");
        }
    }
}
