//! From a request to what is to be done with it: everything that can be decided before the service is called.

use super::{
    answer::takes_others_off,
    core::Core,
    entry::Entry,
    flight::FlightKey,
    future::Learned,
    instance::Instance,
    key::{KeyBuffer, KeyScope, StoreKey, encode},
    present::Present,
    reason::{CacheStatus, NoCacheReason},
    rules::{Decision, Intake, Lookup, RequestView},
    selection::Selection,
    store::Slot,
    tier::Lead,
};
use crate::{
    clock::Timestamp,
    context::RequestContext,
    response::GatewayError,
    route::{CacheKey, CacheSettings, MatchedRoute, Scope},
};
use http::{
    HeaderMap, HeaderName, Method,
    header::{CONTENT_LENGTH, IF_MODIFIED_SINCE, IF_NONE_MATCH},
};
use std::sync::Arc;

/// What a layer is made of.
#[derive(Clone, Debug)]
pub(super) struct LayerState {
    pub(super) core: Arc<Core>,
    /// The layer's own table, where no `StageRouter` has matched.
    pub(super) scope: Option<Arc<Scope>>,
    /// Whose entries these are.
    pub(super) instance: Instance,
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Plan {
    /// The service answers this request alone; nothing is stored.
    Forward {
        reason: NoCacheReason,
        warns: bool,
    },
    /// The cache's own answer, and why.
    Refuse(Box<GatewayError>, NoCacheReason),
    Serve(Serve),
    Fetch(Fetch),
}

/// A stored answer that is served.
#[derive(Debug)]
pub(super) struct Serve {
    pub(super) entry: Arc<Entry>,
    pub(super) status: CacheStatus,
    pub(super) warns: bool,
    /// The refresh in the background.
    pub(super) refresh: Option<Box<Fetch>>,
}

/// A call to the service whose answer may be stored.
#[derive(Debug)]
pub(super) struct Fetch {
    pub(super) key: FlightKey,
    pub(super) settings: CacheSettings,
    pub(super) lookup: Lookup,
    /// Fields of the request.
    pub(super) present: Present,
    /// What may be confirmed, or served if the service fails.
    pub(super) entry: Option<Arc<Entry>>,
    pub(super) reason: NoCacheReason,
    /// Together with everybody who asks the same; see [`is_shared`](Self::is_shared).
    pub(super) collapses: bool,
    pub(super) has_identity: bool,
    /// The right to make the call for all processes.
    pub(super) lead: Option<Arc<Lead>>,
    /// Nothing lay under the key when entries under such keys had been changed that often ([`Core::changes`]).
    pub(super) nothing_at: Option<u64>,
}

impl Fetch {
    /// Whether others may share the call. What a `HEAD` brings is of no use to a `GET` that waits under the same key.
    pub(super) fn is_shared(&self) -> bool {
        self.collapses && !self.lookup.as_get
    }
}

/// What is known of the resource.
struct Target<'a> {
    settings: CacheSettings,
    key: &'a CacheKey,
    scope: KeyScope<'a>,
}

impl LayerState {
    pub(super) fn plan(&self, request: RequestView<'_>, learned: Option<&Learned>, now: Timestamp) -> Plan {
        let own = self.own_route(request);
        let route = request.context.and_then(RequestContext::route).or(own.as_ref());
        let target = self.target(request, route);
        let present = Present::of(request.headers);
        if let Some(reason) = self.uncached(request, &target, route) {
            return Plan::Forward { reason, warns: false };
        }
        match self.core.rules.intake(request, present, &target.settings) {
            Intake::Bypass { reason, warns } => Plan::Forward { reason, warns },
            Intake::Refuse(error) => Plan::Refuse(error, NoCacheReason::Unauthorized),
            Intake::Lookup(lookup) => {
                let has_credentials = self.core.credentials.uncovered(request, present, target.key);
                let lookup = Lookup { has_credentials, ..lookup };
                match self.excluded(request, present, lookup) {
                    Some(reason) => Plan::Forward { reason, warns: lookup.warn },
                    None => self.look_up((request, present), &target, lookup, learned, now),
                }
            }
        }
    }

    /// Matches the layer's own table: in the context, where there is one, so that others find it too.
    fn own_route(&self, request: RequestView<'_>) -> Option<MatchedRoute> {
        let scope = self.scope.as_ref()?;
        let path = request.uri.path();
        match request.context {
            Some(context) => {
                context.route_or_match(Some(scope), path);
                None
            }
            None => MatchedRoute::find(scope, Some(request.method), path, path),
        }
    }

    fn target<'a>(&'a self, request: RequestView<'a>, route: Option<&'a MatchedRoute>) -> Target<'a> {
        let received = request.context.map_or(request.uri, RequestContext::received_uri);
        let scope = KeyScope { instance: self.instance.bytes(), route, received: received.path() };
        let caching = route.and_then(|route| route.settings()?.caching(request.method));
        let key = route.and_then(|route| route.declared().method.cache_key.as_deref());
        Target {
            settings: caching.map_or(self.core.settings, |(settings, _)| settings),
            key: key.unwrap_or(&self.core.key),
            scope,
        }
    }

    /// Why the cache has no part in any request to this method.
    fn uncached(
        &self,
        request: RequestView<'_>,
        target: &Target<'_>,
        route: Option<&MatchedRoute>,
    ) -> Option<NoCacheReason> {
        if !target.settings.enabled || target.settings.ttl.is_zero() {
            return Some(NoCacheReason::Disabled);
        }
        if target.settings.data_encrypted && !self.core.can_encrypt() {
            return Some(NoCacheReason::NotEncrypted);
        }
        let is_named = || {
            route.and_then(|route| route.settings()?.caching(request.method)).is_some_and(|(_, named)| named)
        };
        (!self.core.rules.caches(request.method) && !is_named()).then_some(NoCacheReason::Method)
    }

    /// Why it has none in this one, whatever is stored.
    fn excluded(&self, request: RequestView<'_>, present: Present, lookup: Lookup) -> Option<NoCacheReason> {
        if present.any(Present::UPGRADE) {
            return Some(NoCacheReason::Upgrade);
        }
        if carries_body(request, present) {
            return Some(NoCacheReason::RequestBody);
        }
        if present.any(Present::CONNECTION) && takes_others_off(request.headers) {
            return Some(NoCacheReason::RequestDirective);
        }
        (lookup.has_credentials && self.core.rules.bypasses_credentials())
            .then_some(NoCacheReason::IdentityNotInKey)
    }

    fn look_up(
        &self,
        (request, present): (RequestView<'_>, Present),
        target: &Target<'_>,
        lookup: Lookup,
        learned: Option<&Learned>,
        now: Timestamp,
    ) -> Plan {
        let mut buffer = KeyBuffer::new();
        let method = if lookup.as_get { Method::GET.as_str() } else { request.method.as_str() };
        encode(&mut buffer, target.scope, (target.key, &self.core.credentials), request, method);
        let key = StoreKey::new(self.core.hash(buffer.bytes()), buffer.bytes());
        let changes = self.core.changes(key);
        let found = Found::new(&self.core, key, (request.headers, lookup.has_credentials), now);
        let decision = found.decide(&self.core, request, lookup, now);
        if let (Decision::Hit, Some(_)) = (&decision, found.entry()) {
            return found.hit(lookup);
        }
        let varies_by = learned.and_then(|learned| learned.varies_by.as_ref());
        let goes_alone = learned.is_some_and(|learned| learned.goes_alone);
        let fetch = |reason: NoCacheReason, entry: Option<Arc<Entry>>| Fetch {
            key: FlightKey {
                primary: key.to_owned(),
                variant: found.variant(request.headers, varies_by),
                has_credentials: lookup.has_credentials,
            },
            settings: target.settings,
            lookup,
            present,
            entry,
            reason: if found.is_pass() { NoCacheReason::HitForMiss } else { reason },
            collapses: !found.is_pass() && !goes_alone && !self.core.rules.goes_alone(request, present),
            has_identity: buffer.has_identity(),
            lead: None,
            nothing_at: found.slot.is_none().then_some(changes),
        };
        found.other_than_hit(&decision, request, lookup, fetch)
    }
}

/// What is under a key.
pub(super) struct Found {
    slot: Option<Slot>,
    /// Where in the slot the answer lies that is meant.
    at: Option<usize>,
    /// The same, opened, if it was sealed.
    opened: Option<Arc<Entry>>,
    /// There is one that could not be opened.
    is_sealed: bool,
}

impl Found {
    pub(super) fn new(
        core: &Core,
        key: StoreKey<'_>,
        (request, has_credentials): (&HeaderMap, bool),
        now: Timestamp,
    ) -> Self {
        let slot = core.store.get(key).map(|value| value.0);
        let slot =
            slot.filter(|slot| !matches!(slot, Slot::Pass { .. }) || slot.is_pass(now, has_credentials));
        let at = slot.as_ref().and_then(|slot| slot.position(request));
        let kept = slot.as_ref().and_then(|slot| slot.entries().get(at?)).filter(|kept| kept.is_sealed);
        let opened = kept.and_then(|kept| core.opened(key, kept));
        let is_sealed = kept.is_some() && opened.is_none();
        Self { slot, at, opened, is_sealed }
    }

    /// The entry that is meant.
    fn entry(&self) -> Option<&Arc<Entry>> {
        let kept = || self.slot.as_ref()?.entries().get(self.at?);
        self.opened.as_ref().or_else(kept).filter(|_| !self.is_sealed)
    }

    /// The same, with the count that the slot had: a hot entry's count is a line that all threads write to.
    pub(super) fn into_entry(self) -> Option<Arc<Entry>> {
        if self.opened.is_some() || self.is_sealed {
            return self.opened;
        }
        match (self.slot?, self.at?) {
            (Slot::One(entry), _) => Some(entry),
            (slot, at) => slot.entries().get(at).cloned(),
        }
    }

    fn is_pass(&self) -> bool {
        matches!(self.slot, Some(Slot::Pass { .. }))
    }

    /// What the rules say; nothing stored is used where it is to be replaced.
    pub(super) fn decide(
        &self,
        core: &Core,
        request: RequestView<'_>,
        lookup: Lookup,
        now: Timestamp,
    ) -> Decision {
        if lookup.reload {
            return Decision::Miss(NoCacheReason::Invalidated);
        }
        let others =
            self.entry().is_none() && self.slot.as_ref().is_some_and(|slot| !slot.entries().is_empty());
        match core.rules.on_lookup(request, lookup, self.entry().map(Arc::as_ref), others, now) {
            Decision::Miss(_) if self.is_sealed => Decision::Miss(NoCacheReason::Sealed),
            decision => decision,
        }
    }

    /// Which of the answers is asked for, as far as it is known what they vary by.
    fn variant(&self, request: &HeaderMap, varies_by: Option<&Arc<[HeaderName]>>) -> Option<[u8; 32]> {
        let stored = || self.slot.as_ref()?.entries().first()?.meta.selection.as_ref().map(Selection::names);
        let names = varies_by.or_else(stored)?;
        Some(*Selection::of(Arc::clone(names), request).values())
    }

    fn hit(self, lookup: Lookup) -> Plan {
        match self.into_entry() {
            Some(entry) => {
                Plan::Serve(Serve { entry, status: CacheStatus::Hit, warns: lookup.warn, refresh: None })
            }
            None => Plan::Forward { reason: NoCacheReason::NotFound, warns: lookup.warn },
        }
    }

    fn other_than_hit(
        &self,
        decision: &Decision,
        request: RequestView<'_>,
        lookup: Lookup,
        fetch: impl Fn(NoCacheReason, Option<Arc<Entry>>) -> Fetch,
    ) -> Plan {
        let serve = |status: CacheStatus, refresh: Option<Box<Fetch>>| match self.entry().cloned() {
            Some(entry) => Plan::Serve(Serve { entry, status, warns: lookup.warn, refresh }),
            None => Plan::Fetch(fetch(NoCacheReason::NotFound, None)),
        };
        match decision {
            Decision::Hit => serve(CacheStatus::Hit, None),
            Decision::Stale => serve(CacheStatus::Stale, None),
            Decision::StaleWhileRevalidate => {
                let refresh = Box::new(fetch(NoCacheReason::Expired, self.entry().cloned()));
                serve(CacheStatus::Stale, Some(refresh))
            }
            Decision::Revalidate(reason) => Plan::Fetch(fetch(*reason, self.entry().cloned())),
            // The client's own conditions are worth more than an answer that is most likely not storable.
            Decision::Miss(_) if self.is_pass() && is_conditional(request.headers) => {
                Plan::Forward { reason: NoCacheReason::HitForMiss, warns: lookup.warn }
            }
            Decision::Miss(reason) => Plan::Fetch(fetch(*reason, None)),
            Decision::Pass(reason) => Plan::Forward { reason: *reason, warns: lookup.warn },
            Decision::GatewayTimeout => {
                Plan::Refuse(Box::new(GatewayError::not_cached()), NoCacheReason::RequestDirective)
            }
        }
    }
}

/// What a `GET` carries must not decide what others are told ("fat GET"). A method that is cached by settings of its
/// own is known to whoever wrote them.
fn carries_body(request: RequestView<'_>, present: Present) -> bool {
    let is_read = request.method == Method::GET || request.method == Method::HEAD;
    let has_length = || request.headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
    // Over HTTP/2 a body needs neither field.
    let announces =
        present.any(Present::TRANSFER_ENCODING) || present.any(Present::CONTENT_LENGTH) && has_length();
    is_read && (announces || request.has_body)
}

fn is_conditional(headers: &HeaderMap) -> bool {
    headers.contains_key(IF_NONE_MATCH) || headers.contains_key(IF_MODIFIED_SINCE)
}
