//! Why an answer did not come from the cache, or did not go into it.

use std::fmt;

/// What the cache did for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CacheStatus {
    /// Answered from a stored entry that was fresh. The service was not called.
    Hit,
    /// Answered from a stale entry: while it is refreshed, or because the service failed (RFC 9111 mode).
    Stale,
    /// The service said that the stored entry is still good (RFC 9111 mode).
    Revalidated,
    /// Answered by a call to the service that somebody else's request had begun.
    Collapsed,
    /// The service was called while caching was on: for an answer that may be stored, or because nobody else's could be
    /// used.
    Miss,
    /// The request or its answer is not for the cache.
    Bypass,
}

impl CacheStatus {
    pub(crate) const ALL: [Self; 6] =
        [Self::Hit, Self::Stale, Self::Revalidated, Self::Collapsed, Self::Miss, Self::Bypass];

    /// The word for logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Revalidated => "revalidated",
            Self::Collapsed => "collapsed",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
        }
    }
}

impl CacheStatus {
    /// Whether a stored answer, or somebody else's call, was the answer (AWS: `CacheHitCount`).
    pub const fn is_hit(self) -> bool {
        matches!(self, Self::Hit | Self::Stale | Self::Collapsed)
    }

    /// Whether the service was called for it while caching was on (AWS: `CacheMissCount`).
    pub const fn is_miss(self) -> bool {
        matches!(self, Self::Miss | Self::Revalidated)
    }
}

impl fmt::Display for CacheStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)+) => {
        /// Why the cache did not answer, or did not keep what the service answered.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum NoCacheReason {
            $($(#[$doc])* $name,)+
        }

        impl NoCacheReason {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The word for logs and metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

reasons! {
    /// Caching is off for this method or stage.
    Disabled => "disabled",
    /// The method is not one that is cached here.
    Method => "method",
    /// The request carries credentials, and no identity is part of the key.
    IdentityNotInKey => "identity-not-in-key",
    /// No entry under that key.
    NotFound => "not-found",
    /// There is an entry, but for other values of the fields that the answer varies by.
    VaryMismatch => "vary-mismatch",
    /// The entry had expired, or was purged softly.
    Expired => "expired",
    /// The client invalidated the entry, and had the right to.
    Invalidated => "invalidated",
    /// A range was asked for and no entry was there, or the mode takes no ranges from entries.
    Range => "range",
    /// A `GET` or `HEAD` with a body: the service might read it, and no key has it.
    RequestBody => "request-body",
    /// The request wants another protocol.
    Upgrade => "upgrade",
    /// The request's own words keep it from the cache, or from what is stored: a directive, a condition that only the
    /// service can judge, or a `Connection` that lists a field which may decide the answer.
    RequestDirective => "request-directive",
    /// The client wanted to invalidate the entry, may not, and was refused for that.
    Unauthorized => "unauthorized",
    /// The answer of a request like this was not storable a short while ago.
    HitForMiss => "hit-for-miss",
    /// Waited as long as is allowed for somebody else's call.
    WaitTimeout => "wait-timeout",
    /// The service failed.
    ServiceError => "service-error",
    /// Nobody waited for the answer any more.
    Abandoned => "abandoned",
    /// The status is not one that is stored.
    Status => "status",
    /// The service said of what is stored that it is another answer (a 304 with another strong entity tag): it goes.
    Contradicted => "contradicted",
    /// `Cache-Control: no-store`.
    NoStore => "no-store",
    /// `Cache-Control: private`.
    Private => "private",
    /// `Cache-Control: no-cache`, which needs a validation at each use.
    NoCache => "no-cache",
    /// The answer sets a cookie.
    SetCookie => "set-cookie",
    /// `Vary: *`.
    VaryAny => "vary-any",
    /// The answer belongs to whom the request's `Authorization` names, and does not say that it may be shared.
    Authorization => "authorization",
    /// Nothing says for how long the answer is good.
    NoFreshness => "no-freshness",
    /// A gateway layer inside the cache refused the request.
    GatewayRefusal => "gateway-refusal",
    /// Longer than the limit of an entry, or than the store takes.
    TooLarge => "too-large",
    /// Bodies on their way held as much memory as they may, all together, and this one had stood still for longest
    /// (see [`CacheBuilder::capacity`](super::CacheBuilder::capacity)); or a request waited for such a one.
    OutOfRoom => "out-of-room",
    /// The body ended early, or not where `Content-Length` said.
    Incomplete => "incomplete",
    /// A stream of events has no end.
    EventStream => "event-stream",
    /// Purged, flushed or overtaken by a newer request while the answer was on its way.
    Superseded => "superseded",
    /// The method's settings ask for encryption, and the cache has no keys.
    NotEncrypted => "not-encrypted",
    /// The stored value could not be decrypted with the keys at hand.
    Sealed => "sealed",
}

impl NoCacheReason {
    /// What an answer is that passes by for this reason: a miss, where caching was on and nothing could be used.
    pub(crate) const fn of_passing(self) -> CacheStatus {
        match self {
            Self::HitForMiss | Self::WaitTimeout | Self::ServiceError | Self::OutOfRoom => CacheStatus::Miss,
            _ => CacheStatus::Bypass,
        }
    }

    /// Whether it holds for everybody who asks the same: neither an error nor something about one client.
    pub(crate) const fn is_about_the_resource(self) -> bool {
        !matches!(
            self,
            Self::Status | Self::Authorization | Self::RequestDirective | Self::SetCookie | Self::OutOfRoom
        )
    }
}

impl fmt::Display for NoCacheReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
