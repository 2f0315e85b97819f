//! What a policy is asked, and what it answers.

use super::{ConditionKeys, RequestPrincipal};
use std::fmt;

/// A question to a policy. Everything is borrowed; building one costs nothing.
#[derive(Clone, Copy)]
pub struct AccessRequest<'a> {
    pub(super) action: &'a str,
    pub(super) resource: &'a str,
    /// How else the resource may be read: what `NotResource` excepts, it excepts in every spelling.
    pub(super) spellings: [Option<&'a str>; 2],
    pub(super) caller: RequestPrincipal<'a>,
    pub(super) keys: &'a dyn ConditionKeys,
}

impl<'a> AccessRequest<'a> {
    /// May somebody take `action` (`execute-api:Invoke`) on `resource` (an ARN)? `keys` answers for the condition keys;
    /// `&()` has none. The caller is [anonymous](RequestPrincipal::Anonymous) unless [`caller`](Self::caller) says who.
    pub fn new(action: &'a str, resource: &'a str, keys: &'a dyn ConditionKeys) -> Self {
        Self { action, resource, spellings: [None; 2], caller: RequestPrincipal::Anonymous, keys }
    }

    /// Other spellings of the resource.
    #[allow(dead_code, reason = "not every feature set has a layer that asks")]
    pub(crate) fn also_spelled(mut self, spellings: [Option<&'a str>; 2]) -> Self {
        self.spellings = spellings;
        self
    }

    /// Who asks. Identity policies do not look at it: they are attached to the caller.
    #[must_use]
    pub fn caller(mut self, caller: RequestPrincipal<'a>) -> Self {
        self.caller = caller;
        self
    }
}

impl fmt::Debug for AccessRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("AccessRequest");
        out.field("action", &self.action).field("resource", &self.resource);
        out.field("caller", &self.caller).finish_non_exhaustive()
    }
}

/// The answer of one policy, before others are combined with it ([`combine`](super::combine)). In order from the most
/// generous to the strictest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decision {
    /// A statement allows it, and none denies it.
    Allow,
    /// Of the statements that allow it, all name the caller by its account alone (`111122223333`, `…:root`). That
    /// delegates to the account: within it, an identity policy must allow as well.
    AllowAccount,
    /// No statement says anything.
    ImplicitDeny,
    /// A statement denies it, or might: a `Deny` whose conditions cannot be evaluated denies.
    ExplicitDeny,
}

impl Decision {
    /// Whether the policy allows by itself: [`Allow`](Self::Allow) only.
    pub fn is_allow(self) -> bool {
        self == Self::Allow
    }

    /// Whether the policy denies explicitly.
    pub fn is_explicit_deny(self) -> bool {
        self == Self::ExplicitDeny
    }
}

/// What a statement does where it applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It allows.
    Allow,
    /// It denies, whatever else allows.
    Deny,
}
