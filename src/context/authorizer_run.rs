//! What an authorizer did for a request, and `$context.authorizer.*` of it.

use super::{ApiKind, AuthorizerContext, RequestContext};
use crate::response::Cause;
use std::{borrow::Cow, sync::Arc, time::Duration};

/// The work of an authorizer for one request. Absent where a cached answer, or a remembered token, was used.
#[derive(Clone, Debug, Default)]
pub(crate) struct AuthorizerRun {
    /// How long the request waited for it.
    pub(crate) latency: Duration,
    /// The call of a function; `None` where a token was verified here.
    pub(crate) call: Option<Arc<AuthorizerCall>>,
    /// 200, or the status that the authorizer's failure leads to.
    pub(crate) status: u16,
    pub(crate) error: Option<Box<str>>,
}

/// A call of a Lambda-style authorizer's function. Requests that waited for the same call share it.
#[derive(Debug, Default)]
pub(crate) struct AuthorizerCall {
    pub(crate) latency: Duration,
    /// `None` where there was no answer at all.
    pub(crate) status: Option<u16>,
    /// What the function's service says its id is.
    pub(crate) request_id: Option<Box<str>>,
    /// What was sent and answered, where the request that made the call is traced.
    #[cfg(all(feature = "tracing", feature = "authorizer"))]
    pub(crate) texts: Option<super::CallTexts>,
}

/// `$context.authorizer.error` of an HTTP API's request that is not signed, as AWS's documentation has it.
const UNSIGNED: &str =
    "The request for the IAM Authorizer doesn't match the format that API Gateway expects.";

impl RequestContext {
    #[cfg(any(feature = "authorizer", test))]
    pub(crate) fn set_authorizer_run(&self, run: AuthorizerRun) {
        let _first_writer_wins = self.0.authorizer_run.set(Box::new(run));
    }

    /// A token has been verified here; told to those who observe.
    #[cfg(all(feature = "jwt", feature = "access-log"))]
    pub(crate) fn note_verified_token(&self, latency: impl FnOnce() -> Duration) {
        if self.is_observed() {
            let run = AuthorizerRun { latency: latency(), status: 200, ..AuthorizerRun::default() };
            self.set_authorizer_run(run);
        }
    }

    pub(crate) fn authorizer_run(&self) -> Option<&AuthorizerRun> {
        self.0.authorizer_run.get().map(|run| &**run)
    }

    /// `$context.authorizer.<field>`. What the gateway itself knows comes before the values of the authorizer.
    pub(super) fn authorizer_variable(&self, field: &str) -> Option<Cow<'_, str>> {
        match field {
            "principalId" => {
                let own = self.authorizer().and_then(AuthorizerContext::principal_id);
                own.or_else(|| Some(self.principal()?.id())).map(Cow::Borrowed)
            }
            "latency" => self.authorizer_latency(),
            "integrationLatency" => self.authorizer_call_latency(),
            "integrationStatus" => Some(self.authorizer_call()?.status?.to_string().into()),
            "requestId" => self.authorizer_call()?.request_id.as_deref().map(Cow::Borrowed),
            "status" => self.authorizer_status(),
            "error" => match self.authorizer_run() {
                Some(run) => run.error.as_deref().map(Cow::Borrowed),
                None if self.is_rejected_by_cache() => Some("Unauthorized".into()),
                None => self.is_unsigned_on_http().then_some(UNSIGNED.into()),
            },
            other => self.authorizer_value(other),
        }
    }

    /// Whether an HTTP API asked for a signature, and there was none.
    fn is_unsigned_on_http(&self) -> bool {
        let is_unsigned = self.error().is_some_and(|error| error.cause() == Cause::SignatureMissing);
        is_unsigned && self.api_kind() == ApiKind::Http
    }

    fn authorizer_call(&self) -> Option<&AuthorizerCall> {
        self.authorizer_run()?.call.as_deref()
    }

    /// Milliseconds; none were spent where the answer was known.
    fn authorizer_latency(&self) -> Option<Cow<'_, str>> {
        match self.authorizer_run() {
            Some(run) => Some(run.latency.as_millis().to_string().into()),
            None => self.is_authorizer_cached().then_some("0".into()),
        }
    }

    fn authorizer_call_latency(&self) -> Option<Cow<'_, str>> {
        if self.authorizer().is_some_and(AuthorizerContext::is_of_token) {
            return None;
        }
        match self.authorizer_run() {
            Some(run) => Some(run.call.as_ref()?.latency.as_millis().to_string().into()),
            None => self.is_authorizer_cached().then_some("0".into()),
        }
    }

    fn authorizer_status(&self) -> Option<Cow<'_, str>> {
        match self.authorizer_run() {
            Some(run) => Some(run.status.to_string().into()),
            None if self.is_rejected_by_cache() => Some("401".into()),
            None => self.is_authorizer_cached().then_some("200".into()),
        }
    }

    /// Whether an answer was used that was there before.
    fn is_authorizer_cached(&self) -> bool {
        self.authorizer().is_some() || self.noted_cached_authorizer()
    }

    /// Whether it was that the function rejects the credential.
    fn is_rejected_by_cache(&self) -> bool {
        self.authorizer().is_none() && self.noted_cached_authorizer()
    }

    fn authorizer_value(&self, name: &str) -> Option<Cow<'_, str>> {
        let established = self.authorizer()?;
        let value = match name.strip_prefix("claims.") {
            Some(claim) => established.claim(claim),
            None => established.value(name),
        };
        value.map(|value| value.as_str().into())
    }

    #[cfg(feature = "access-log")]
    fn noted_cached_authorizer(&self) -> bool {
        self.0.observed.was_cached()
    }

    #[cfg(not(feature = "access-log"))]
    fn noted_cached_authorizer(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::ContextConfig;

    fn context() -> RequestContext {
        ContextConfig::default().find_or_create(&mut http::Request::new(()))
    }

    fn variable(context: &RequestContext, name: &str) -> Option<String> {
        context.variable(&format!("authorizer.{name}")).map(Cow::into_owned)
    }

    #[test]
    #[allow(clippy::needless_update, reason = "one member more with `tracing`")]
    fn a_run_shows_its_call_and_its_error() {
        let context = context();
        let call = AuthorizerCall {
            latency: Duration::from_millis(12),
            status: Some(200),
            request_id: Some("id-1".into()),
            ..AuthorizerCall::default()
        };
        context.set_authorizer_run(AuthorizerRun {
            latency: Duration::from_millis(15),
            call: Some(call.into()),
            status: 500,
            error: Some("boom".into()),
        });
        let of = |name: &str| variable(&context, name);
        assert_eq!(of("latency").as_deref(), Some("15"));
        assert_eq!(of("integrationLatency").as_deref(), Some("12"));
        assert_eq!(of("integrationStatus").as_deref(), Some("200"));
        assert_eq!(of("requestId").as_deref(), Some("id-1"));
        assert_eq!(of("status").as_deref(), Some("500"));
        assert_eq!(of("error").as_deref(), Some("boom"));
        assert_eq!(of("plan"), None);
    }

    #[test]
    fn a_token_has_no_call_and_nobody_has_nothing() {
        let token = context();
        let run = AuthorizerRun { latency: Duration::from_millis(3), status: 200, ..Default::default() };
        token.set_authorizer_run(run);
        assert_eq!(variable(&token, "latency").as_deref(), Some("3"));
        let nobody = context();
        for name in ["integrationLatency", "integrationStatus", "requestId", "error"] {
            assert_eq!(variable(&token, name), None, "{name}");
            assert_eq!(variable(&nobody, name), None, "{name}");
        }
        assert_eq!(variable(&nobody, "status"), None);
    }
}
