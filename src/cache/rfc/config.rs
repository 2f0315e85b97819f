//! What may be set about the RFC 9111 mode.

use http::HeaderName;
use std::time::Duration;

/// `CDN-Cache-Control` (RFC 9213).
const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// What becomes of an answer with `Set-Cookie`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetCookie {
    /// It is not stored. RFC 9111 section 7.3 would allow it, but a cookie that was made for one client must not
    /// reach another because a `max-age` was set for the whole site.
    #[default]
    Refuse,
    /// It is stored without the field; only the client that caused it gets the cookie.
    Strip,
    /// It is stored with the field, to the letter of RFC 9111.
    Store,
}

/// The settings of the RFC 9111 mode; see the [module docs](super).
#[derive(Clone, Debug)]
#[must_use]
pub struct Rfc9111 {
    targets: Vec<HeaderName>,
    heuristic_percent: u32,
    heuristic_ceiling: u32,
    stale_if_error: u32,
    set_cookie: SetCookie,
    cookies_are_credentials: bool,
    honors_requests: bool,
    forwards_conditions: bool,
    cache_status: bool,
}

impl Default for Rfc9111 {
    fn default() -> Self {
        Self {
            targets: vec![CDN_CACHE_CONTROL],
            heuristic_percent: 0,
            heuristic_ceiling: 86_400,
            stale_if_error: 0,
            set_cookie: SetCookie::Refuse,
            cookies_are_credentials: true,
            honors_requests: true,
            forwards_conditions: false,
            cache_status: true,
        }
    }
}

impl Rfc9111 {
    /// The defaults: `CDN-Cache-Control` before `Cache-Control`, no heuristic freshness, nothing stale that the
    /// service does not allow, no answer with `Set-Cookie`, `Cookie` counts as a credential, request directives
    /// are honoured, `Cache-Status` is sent.
    pub fn new() -> Self {
        Self::default()
    }

    /// The targeted fields (RFC 9213) that count before `Cache-Control`, the most specific first. Default:
    /// `CDN-Cache-Control`.
    pub fn targets(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.targets = names.into_iter().collect();
        self
    }

    /// Answers with `Last-Modified` and no lifetime of their own stay fresh for `percent` of their age when they
    /// were sent, at most `ceiling` (RFC 9111 section 4.2.2, which suggests 10 percent). Default: 0, which is off.
    pub fn heuristic_freshness(mut self, percent: u32, ceiling: Duration) -> Self {
        self.heuristic_percent = percent;
        self.heuristic_ceiling = u32::try_from(ceiling.as_secs()).unwrap_or(u32::MAX);
        self
    }

    /// For how long past its lifetime an answer that says nothing about it stands in for a service that fails: an error,
    /// or 500, 502, 503, 504, or one that the gateway gives up. Never for one that forbids it (`must-revalidate`,
    /// `proxy-revalidate`, `s-maxage`, `no-cache`). Default: 0, only where the answer or the request has
    /// `stale-if-error`.
    pub fn stale_if_error(mut self, grace: Duration) -> Self {
        self.stale_if_error = u32::try_from(grace.as_secs()).unwrap_or(u32::MAX);
        self
    }

    /// What becomes of an answer with `Set-Cookie`. Default: [`SetCookie::Refuse`].
    pub fn set_cookie(mut self, rule: SetCookie) -> Self {
        self.set_cookie = rule;
        self
    }

    /// Whether a request with `Cookie` is treated like one with `Authorization`: its answer is stored only where it
    /// says `public`, `s-maxage` or `must-revalidate`. RFC 9111 does not ask for it. Default: `true`.
    pub fn cookies_are_credentials(mut self, yes: bool) -> Self {
        self.cookies_are_credentials = yes;
        self
    }

    /// Whether a client's `Cache-Control` and `Pragma` count, so that anybody can make the service work. Where they
    /// do not, `no-store` still keeps the answer out of the cache. Default: `true`.
    pub fn honor_request_directives(mut self, yes: bool) -> Self {
        self.honors_requests = yes;
        self
    }

    /// Whether a client's own condition (`If-None-Match`, `If-Modified-Since`) goes to the service where nothing is
    /// stored; such a request goes alone, and its answer is not stored. Default: `false`: the whole answer is fetched
    /// for everybody who asks, and the condition is answered from it.
    pub fn forward_conditions(mut self, yes: bool) -> Self {
        self.forwards_conditions = yes;
        self
    }

    /// Whether answers carry `Cache-Status` (RFC 9211). Default: `true`.
    pub fn cache_status(mut self, yes: bool) -> Self {
        self.cache_status = yes;
        self
    }

    pub(super) fn target_names(&self) -> &[HeaderName] {
        &self.targets
    }

    pub(super) fn heuristic_lifetime(&self, unmodified_for: u32) -> u32 {
        let share = u64::from(unmodified_for) * u64::from(self.heuristic_percent) / 100;
        u32::try_from(share).unwrap_or(u32::MAX).min(self.heuristic_ceiling)
    }

    pub(super) fn default_stale_if_error(&self) -> u32 {
        self.stale_if_error
    }

    pub(super) fn set_cookie_rule(&self) -> SetCookie {
        self.set_cookie
    }

    pub(super) fn counts_cookies(&self) -> bool {
        self.cookies_are_credentials
    }

    pub(super) fn honors_requests(&self) -> bool {
        self.honors_requests
    }

    pub(super) fn forwards_conditions(&self) -> bool {
        self.forwards_conditions
    }

    pub(super) fn sends_cache_status(&self) -> bool {
        self.cache_status
    }
}
