//! What the phases before the service came to, and how long they took: kept where an observer asks for it.

use super::RequestContext;
use crate::clock::{Clock, Timestamp};
use std::{borrow::Cow, sync::OnceLock, time::Duration};

/// A phase with variables of its own beside the authorizer's.
///
/// AWS: "Troubleshooting Amazon API Gateway with enhanced observability variables" in the compute blog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// `waf`: the filter in AWS WAF's place.
    Filter,
    /// `authenticate`: the signature of the request.
    #[cfg_attr(not(feature = "sigv4"), allow(dead_code, reason = "nobody verifies signatures"))]
    Authenticate,
    /// `authorize`: what policies say of the caller, whom a signature or a Lambda-style authorizer established.
    #[cfg_attr(not(feature = "policy"), allow(dead_code, reason = "nobody judges"))]
    Authorize,
}

/// What is known of the phases of one request.
#[derive(Debug, Default)]
pub(super) struct Phases {
    /// Times since the phase began, and whether it let the request pass.
    ended: [OnceLock<(Duration, bool)>; 3],
    /// Of a phase that may wait.
    #[cfg_attr(not(feature = "sigv4"), allow(dead_code, reason = "nobody verifies signatures"))]
    authentication_began: OnceLock<Timestamp>,
    pub(super) first_content: OnceLock<Timestamp>,
}

impl Phases {
    fn end(&self, phase: Phase, took: Duration, passed: bool) {
        let _first_word_stays = self.ended[phase as usize].set((took, passed));
    }
}

impl RequestContext {
    /// A phase that does not wait.
    pub(crate) fn in_phase<T, E>(
        &self,
        phase: Phase,
        clock: &Clock,
        run: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let Some(phases) = self.phases() else { return run() };
        let began = clock.now();
        let result = run();
        phases.end(phase, clock.now().since(began), result.is_ok());
        result
    }

    /// A phase that refuses before its own time.
    #[cfg(feature = "authorizer")]
    pub(crate) fn refused_early(&self, phase: Phase) {
        if let Some(phases) = self.phases() {
            phases.end(phase, Duration::ZERO, false);
        }
    }

    #[cfg(feature = "sigv4")]
    pub(crate) fn begin_authentication(&self, clock: &Clock) {
        if let Some(phases) = self.phases() {
            let _first_writer_wins = phases.authentication_began.set(clock.now());
        }
    }

    #[cfg(feature = "sigv4")]
    pub(crate) fn end_authentication(&self, clock: &Clock, passed: bool) {
        if let Some(phases) = self.phases()
            && let Some(began) = phases.authentication_began.get()
        {
            phases.end(Phase::Authenticate, clock.now().since(*began), passed);
        }
    }

    /// `waf.<field>`, `authenticate.<field>`, `authorize.<field>`.
    pub(super) fn phase_variable(&self, phase: Phase, field: &str) -> Option<Cow<'_, str>> {
        let (took, passed) = self.phases()?.ended[phase as usize].get()?;
        let error = || self.error().filter(|_| !passed);
        match field {
            "latency" => Some(took.as_millis().to_string().into()),
            "status" => {
                let status = error().map_or(200, |error| error.status().as_u16());
                Some(status.to_string().into())
            }
            "error" => error()?.message().map(Cow::Borrowed),
            _ => None,
        }
    }

    /// `wafResponseCode`.
    pub(super) fn filter_verdict(&self) -> Option<&'static str> {
        let (_, passed) = self.phases()?.ended[Phase::Filter as usize].get()?;
        Some(if *passed { "WAF_ALLOW" } else { "WAF_BLOCK" })
    }

    #[cfg(feature = "access-log")]
    fn phases(&self) -> Option<&Phases> {
        self.0.observed.phases()
    }

    #[cfg(not(feature = "access-log"))]
    fn phases(&self) -> Option<&Phases> {
        None
    }
}

#[cfg(all(test, feature = "access-log"))]
mod tests {
    use super::*;
    use crate::{
        clock::ManualClock,
        context::{ContextConfig, Wanted},
        response::{Cause, GatewayError, ResponseType},
    };
    use http::{HeaderMap, Request};

    fn context(phases: bool) -> RequestContext {
        let context = ContextConfig::default().find_or_create(&mut Request::new(()));
        context.observe_head(&HeaderMap::new(), Wanted { phases, ..Wanted::default() });
        context
    }

    #[test]
    fn a_phase_tells_its_time_and_its_refusal_where_somebody_asks() {
        let manual = ManualClock::at_unix_seconds(0);
        for wanted in [true, false] {
            let context = context(wanted);
            let pass = || {
                manual.advance(Duration::from_millis(2));
                Ok::<_, ()>(())
            };
            context.in_phase(Phase::Filter, &manual.clock(), pass).unwrap();
            let refuse = || {
                manual.advance(Duration::from_millis(3));
                context
                    .set_error(GatewayError::new(ResponseType::InvalidSignature, Cause::SignatureMismatch));
                Err::<(), _>(())
            };
            context.in_phase(Phase::Authorize, &manual.clock(), refuse).unwrap_err();
            let of = |name: &str| context.variable(name).map(Cow::into_owned);
            let kept = |text: &str| wanted.then(|| text.to_owned());
            assert_eq!(of("waf.latency"), kept("2"));
            assert_eq!(of("waf.status"), kept("200"));
            assert_eq!(of("waf.error"), None);
            assert_eq!(of("wafResponseCode"), kept("WAF_ALLOW"));
            assert_eq!(of("authorize.latency"), kept("3"));
            assert_eq!(of("authorize.status"), kept("403"));
            assert!(of("authorize.error").is_some() == wanted);
            assert_eq!(of("authenticate.status"), None);
        }
    }
}
