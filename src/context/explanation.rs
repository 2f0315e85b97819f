//! Why a request was refused, for operators: which layer, what decided, and what would have been allowed.

use super::RequestContext;
use std::fmt;

/// Why a request was refused. For operators: in `observe::admin`'s records and here, never in the client's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// The layer that refused.
    pub layer: &'static str,
    /// What decided: a statement of a policy, a claim of a token, or the check by its name.
    pub decided_by: String,
    /// What would have been allowed: statements that lack one thing only, the audiences that are accepted, or in a
    /// sentence what the check asks for.
    pub would_allow: Vec<String>,
}

/// What a layer knows of its refusal beyond the [`Cause`](crate::response::Cause). Put into words when somebody asks.
pub(crate) trait Reason: fmt::Debug + Send + Sync {
    fn layer(&self) -> &'static str;

    /// `None`: the cause says it.
    fn decided_by(&self) -> Option<String>;

    /// Empty: the cause says it.
    fn would_allow(&self) -> Vec<String>;
}

impl RequestContext {
    /// Why the request was refused; `None` where it was not. Allocates.
    pub fn explanation(&self) -> Option<Explanation> {
        let cause = self.error()?.cause();
        let reason = self.0.reason.get();
        let would_allow = reason.map(|reason| reason.would_allow()).filter(|known| !known.is_empty());
        Some(Explanation {
            layer: reason.map_or_else(|| cause.layer(), |reason| reason.layer()),
            decided_by: reason.and_then(|reason| reason.decided_by()).unwrap_or_else(|| format!("{cause:?}")),
            would_allow: would_allow.unwrap_or_else(|| vec![cause.would_allow().to_owned()]),
        })
    }

    /// Notes the reason of the refusal that is about to be noted; of a later one none.
    #[cfg(feature = "policy")]
    pub(crate) fn set_reason(&self, reason: impl Reason + 'static) {
        if self.error().is_none() {
            let _first_writer_wins = self.0.reason.set(Box::new(reason));
        }
    }
}
