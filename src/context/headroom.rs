//! What only observers ask for of the access checks: how near a caller is to its limits, and what its authorizer cost.

use super::RequestContext;
use std::{sync::Arc, time::Duration};

/// What a plan had left for a caller once a request was charged or refused.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PlanHeadroom {
    /// The plan's id.
    pub plan_id: Arc<str>,
    /// Tokens left of the throttle in force, and its burst.
    pub throttle: Option<(u32, u32)>,
    /// Requests left of the quota, and its limit.
    pub quota: Option<(u64, u64)>,
}

impl PlanHeadroom {
    /// The share of the bucket that is left, from 0 to 1.
    pub fn throttle_ratio(&self) -> Option<f64> {
        self.throttle.map(|(left, burst)| ratio(left.into(), burst.into()))
    }

    /// The share of the quota that is left: from 0 to 1, and above where more was granted.
    pub fn quota_ratio(&self) -> Option<f64> {
        self.quota.map(|(left, limit)| ratio(left, limit))
    }
}

/// Of nothing, nothing is left.
fn ratio(left: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { left as f64 / of as f64 }
}

/// What an authorizer did for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthorizerUse<'a> {
    /// The name that the method asks for; `other` where no method says one.
    pub name: &'a str,
    /// How long the request waited for it: for the call of a function, or for a token to be verified. `None` where the
    /// answer was cached, or the token is remembered.
    pub latency: Option<Duration>,
}

impl RequestContext {
    /// What the caller's plan had left; `None` where no plan was asked, or no observer wants to know.
    pub fn plan_headroom(&self) -> Option<&PlanHeadroom> {
        self.0.observed.rare()?.headroom.get()
    }

    /// What the method's authorizer (Lambda-style, JWT or Cognito) did; `None` where it was not asked.
    pub fn authorizer_use(&self) -> Option<AuthorizerUse<'_>> {
        let was_cached = self.0.observed.was_cached();
        let run = self.authorizer_run().filter(|_| !was_cached);
        if run.is_none() && !was_cached {
            return None;
        }
        let name = self.route().and_then(|route| route.declared().method.authorization.authorizer());
        Some(AuthorizerUse { name: name.unwrap_or("other"), latency: run.map(|run| run.latency) })
    }

    #[cfg(feature = "usage-plan")]
    pub(crate) fn note_headroom(&self, headroom: impl FnOnce() -> Option<PlanHeadroom>) {
        if self.0.observed.wants_headroom()
            && let Some(headroom) = headroom()
        {
            let _first_writer_wins = self.0.observed.make_rare().headroom.set(headroom);
        }
    }
}
