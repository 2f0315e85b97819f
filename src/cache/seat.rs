//! A request's place in a call to the service: its own, somebody else's, or none because an answer came just now.

use super::{
    core::Core,
    entry::{Entry, Meta},
    flight::{Arrived, Flight, Job, RequestSnapshot, Rider},
    plan::{Fetch, Found, LayerState},
    rules::{Decision, RequestView, ResponseView, StorePlan},
};
use crate::clock::Timestamp;
use std::sync::Arc;

/// A place in a call, or an answer that came just now.
pub(super) enum Seat {
    Leader(Rider),
    Follower(Rider),
    None(Arc<Entry>),
}

pub(super) fn take_seat(layer: &LayerState, request: RequestView<'_>, fetch: Fetch, now: Timestamp) -> Seat {
    let core = &layer.core;
    if !fetch.collapses || !core.limits.coalesces {
        let since = core.purge_count();
        return Seat::Leader(Flight::new(job(core, request, fetch, now, Some(since))).1);
    }
    let gate = core.flights.enter(&fetch.key);
    if let Some(rider) = gate.get(&fetch.key).and_then(|known| join(known, &fetch, now)) {
        return Seat::Follower(rider);
    }
    if let Some(entry) = just_stored(layer, request, &fetch, now) {
        return Seat::None(entry);
    }
    let (flight, rider) = Flight::new(job(core, request, fetch, now, None));
    gate.put(flight);
    Seat::Leader(rider)
}

fn job(
    core: &Arc<Core>,
    request: RequestView<'_>,
    fetch: Fetch,
    started: Timestamp,
    alone_since: Option<u64>,
) -> Job {
    let request = match core.rules.reads_requests() {
        true => RequestSnapshot::whole(request),
        false => RequestSnapshot::packed(request),
    };
    let Fetch { key, settings, lookup, entry, reason, has_identity, nothing_at, lead, .. } = fetch;
    Job {
        core: Arc::clone(core),
        key,
        request,
        settings,
        entry,
        started,
        reason,
        has_identity,
        is_head_of_get: lookup.as_get,
        alone_since,
        nothing_at,
        lead,
    }
}

/// A seat in a call that others have begun; a call that is not to be waited for is overtaken.
fn join(known: &Arc<Flight>, fetch: &Fetch, now: Timestamp) -> Option<Rider> {
    let rider = if fetch.lookup.reload || known.is_late(now) { None } else { known.join(now) };
    if rider.is_none() {
        known.supersede();
    }
    rider
}

/// Between the look-up and this moment somebody's call may have ended.
fn just_stored(
    layer: &LayerState,
    request: RequestView<'_>,
    fetch: &Fetch,
    now: Timestamp,
) -> Option<Arc<Entry>> {
    let core = &layer.core;
    let key = fetch.key.primary.borrowed();
    if fetch.nothing_at.is_some_and(|then| then == core.changes(key)) {
        return None;
    }
    let found = Found::new(core, key, request.headers, now);
    match found.decide(core, request, fetch.lookup, now) {
        Decision::Hit => found.into_entry(),
        _ => None,
    }
}

/// Whether an answer that was waited for is one for this request.
pub(super) fn is_shared(
    layer: &LayerState,
    request: RequestView<'_>,
    meta: &Meta,
    arrived: &Arrived,
) -> bool {
    let headers = match arrived {
        Arrived::Streaming(head) => &head.headers,
        Arrived::Entry(entry, _) => &entry.content.headers,
        _ => return false,
    };
    if meta.selection.as_ref().is_some_and(|selection| !selection.matches(request.headers)) {
        return false;
    }
    let vary = meta.selection.as_ref().map(|selection| Arc::clone(selection.names()));
    let plan = StorePlan { freshness: meta.freshness, vary, ..StorePlan::default() };
    let response =
        ResponseView { status: meta.status, headers, requested: meta.requested, responded: meta.responded };
    layer.core.rules.may_share(request, response, &plan)
}
