//! The seam between what the cache does and what it decides: the two modes implement [`Rules`], pure functions of
//! what they are given.
//!
//! The life of a request, with the question that is asked at each step:
//!
//! 1. [`Rules::intake`]: is the request for the cache at all? Nothing has been looked up.
//! 2. The key is hashed and the store asked. [`Rules::on_lookup`]: what of what was found may be used?
//! 3. Where the service must be called: [`Rules::prepare`] changes the request (validators in, the client's own
//!    conditions and ranges out). The first request of a key flies, the others wait for its head.
//! 4. [`Rules::on_response`]: may the answer be stored and shared, does it confirm a stored one, or is the stale one
//!    better? An `Err` of the service asks [`Rules::on_error`].
//! 5. A request that waited asks [`Rules::may_share`] before it takes somebody else's answer.
//! 6. [`Rules::present`]: how the client sees a stored or shared answer (`Age`, 304, 206, a `HEAD` from a `GET`).
//!    [`Rules::passed`]: the same for an answer that the cache had no part in.

use super::{
    entry::{Entry, Freshness, Meta},
    present::Present,
    reason::{CacheStatus, NoCacheReason},
};
use crate::{clock::Timestamp, context::RequestContext, response::GatewayError, route::CacheSettings};
use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use std::{fmt, ops::Range, sync::Arc};

/// A request as the rules see it: as it arrived, before [`Rules::prepare`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestView<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    /// Where an outer layer made one: the principal, the API key.
    pub(crate) context: Option<&'a RequestContext>,
    /// Of a request that is still whole.
    pub(crate) extensions: Option<&'a Extensions>,
    /// Whether a body may follow, as far as the body itself says.
    pub(crate) has_body: bool,
}

/// The head of an answer of the service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseView<'a> {
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    /// When the request was sent, and when this head came.
    pub(crate) requested: Timestamp,
    pub(crate) responded: Timestamp,
}

/// The answer to: is the request for the cache?
#[derive(Debug)]
pub(crate) enum Intake {
    /// It is forwarded as it is, and its answer is not stored.
    Bypass { reason: NoCacheReason, warns: bool },
    /// It is answered at once.
    Refuse(Box<GatewayError>),
    /// The store is asked.
    Lookup(Lookup),
}

/// How the store is asked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lookup {
    /// What is stored is not used; the answer replaces it. (A client that may invalidate said so.)
    pub(crate) reload: bool,
    /// The answer gets a `Warning`: the client wanted to invalidate and may not.
    pub(crate) warn: bool,
    /// `HEAD` is looked up as `GET`.
    pub(crate) as_get: bool,
    /// The request carries credentials that its key does not tell apart: set after step 1.
    pub(crate) has_credentials: bool,
}

/// The answer to: what of what was found may be used?
#[derive(Debug)]
pub(crate) enum Decision {
    /// Serve it.
    Hit,
    /// Serve it though it is stale, because the request or the entry allows that, without a refresh.
    Stale,
    /// Serve it though it is stale, and refresh it in the background.
    StaleWhileRevalidate,
    /// Call the service; the entry's validators go along ([`Rules::prepare`]), and it may be freshened by a 304 or
    /// served if the service fails.
    Revalidate(NoCacheReason),
    /// Call the service, together with everybody who asks the same.
    Miss(NoCacheReason),
    /// Call the service for this request alone; its answer is not stored.
    Pass(NoCacheReason),
    /// 504: the client wants a stored answer or none.
    GatewayTimeout,
}

/// The answer to: may this be stored and shared?
#[derive(Debug)]
pub(crate) enum Verdict {
    Store(StorePlan),
    /// A 304 that confirms the stored entry: `headers` are the entry's, brought up to date. Without a plan, it is served
    /// once more, to the client that asked, and not kept in that form.
    Freshen {
        headers: HeaderMap,
        plan: Result<StorePlan, NoCacheReason>,
    },
    /// The stale entry is served in place of this answer.
    ServeStale,
    /// Only for the client that asked.
    Discard(NoCacheReason),
    /// The same, and it shows that the stored entry is no longer what the service has.
    Contradict(NoCacheReason),
}

/// How an answer is stored.
#[derive(Debug, Default)]
pub(crate) struct StorePlan {
    pub(crate) freshness: Freshness,
    /// The request fields that it varies by, sorted and without repetition; empty for none.
    pub(crate) vary: Option<Arc<[HeaderName]>>,
    /// Fields of the answer that are for the client alone that caused it, and neither stored nor shared
    /// (`private="..."`, `no-cache="..."`).
    pub(crate) private: Vec<HeaderName>,
    /// A `Date` for an answer that came without one.
    pub(crate) date: Option<HeaderValue>,
}

/// Where the answer that is presented comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Provenance {
    pub(crate) status: CacheStatus,
    /// Why the service was called, where it was.
    pub(crate) reason: Option<NoCacheReason>,
    /// What the service answered, where it was called and that is not what is served.
    pub(crate) forward_status: Option<StatusCode>,
    /// Whether the answer is stored, or will be when it is complete.
    pub(crate) stored: bool,
    /// Why it is not, where the service was asked for an answer that might have been.
    pub(crate) not_stored: Option<NoCacheReason>,
    pub(crate) now: Timestamp,
}

/// A head that is on its way to the client; the rules change it in place.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
}

/// What of the stored body the client gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BodyPart {
    Whole,
    Nothing,
    Slice(Range<usize>),
}

/// What a mode decides. No I/O, no clock, no tower.
pub(crate) trait Rules: fmt::Debug + Send + Sync {
    /// Methods that are cached unless settings say otherwise; others only where their own settings say so.
    fn caches(&self, method: &Method) -> bool {
        method == Method::GET
    }

    /// Whether a request with credentials that its key does not tell apart passes by the cache. A mode that says no
    /// is told of them ([`Lookup::has_credentials`]).
    fn bypasses_credentials(&self) -> bool {
        true
    }

    /// Whether `Cookie` is a credential.
    fn heeds_cookies(&self) -> bool {
        true
    }

    /// Whether steps 4 and 6 look at the request that a call was made for, beyond its method and context. Where they do
    /// not, what they are given has no fields.
    fn reads_requests(&self) -> bool {
        true
    }

    /// Whether the answer to a request that is for the cache is for nobody else, so that it leads nobody.
    fn goes_alone(&self, _: RequestView<'_>, _: Present) -> bool {
        false
    }

    /// Whether [`Rules::invalidates`] is to be asked after a request of that method.
    fn watches(&self, _: &Method) -> bool {
        false
    }

    /// Step 1. `settings` are those of the matched method, or the cache's own.
    fn intake(&self, request: RequestView<'_>, present: Present, settings: &CacheSettings) -> Intake;

    /// Step 2. `found` is the newest entry under the key whose `Vary` values match; `others` says that there are some
    /// whose values do not.
    fn on_lookup(
        &self,
        request: RequestView<'_>,
        lookup: Lookup,
        found: Option<&Entry>,
        others: bool,
        now: Timestamp,
    ) -> Decision;

    /// Step 3: the request that is sent for everybody. `entry`: what [`Decision::Revalidate`] named.
    fn prepare(&self, request: &mut HeaderMap, present: Present, entry: Option<&Entry>);

    /// Step 4. `present`: fields of the answer.
    fn on_response(
        &self,
        request: RequestView<'_>,
        lookup: Lookup,
        settings: &CacheSettings,
        response: ResponseView<'_>,
        present: Present,
        entry: Option<&Entry>,
    ) -> Verdict;

    /// Step 4, where the service failed: may the stale entry be served?
    fn on_error(&self, request: RequestView<'_>, entry: &Entry, now: Timestamp) -> bool;

    /// Step 5: `request` waited for an answer that is `plan`ned to be stored. Its `Vary` values match already.
    /// `came_before`: it came before the service was asked.
    fn may_share(
        &self,
        request: RequestView<'_>,
        response: ResponseView<'_>,
        plan: &StorePlan,
        came_before: bool,
    ) -> bool;

    /// Step 6. `complete` is the whole body where it is there; without it only `Whole` and `Nothing` can be had.
    fn present(
        &self,
        request: RequestView<'_>,
        entry: &Meta,
        head: &mut Head,
        complete: Option<&Bytes>,
        provenance: Provenance,
    ) -> BodyPart;

    /// Step 6 for a refusal of the cache's own.
    fn refused(&self, _: &mut HeaderMap) {}

    /// Step 6 for an answer that passes by.
    fn passed(&self, response: &mut HeaderMap, provenance: Provenance);

    /// After a request that passed by was answered: the targets whose entries are now invalid.
    fn invalidates(&self, request: RequestView<'_>, response: ResponseView<'_>) -> Vec<Uri>;
}
