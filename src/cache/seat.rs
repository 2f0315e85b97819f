//! A request's place in a call to the service: its own, somebody else's, or none because an answer came just now.

use super::{
    core::Core,
    entry::Entry,
    flight::{Arrived, Flight, How, Job, RequestSnapshot, Rider},
    key::KeyReader,
    plan::{Fetch, Found, LayerState},
    reason::NoCacheReason,
    rules::{Decision, RequestView, ResponseView, StorePlan},
};
use crate::clock::Timestamp;
use http::HeaderName;
use std::sync::Arc;

/// A place in a call, or an answer that came just now.
pub(super) enum Seat {
    Leader(Rider),
    Follower(Rider),
    None(Arc<Entry>),
}

pub(super) fn take_seat(layer: &LayerState, request: RequestView<'_>, fetch: Fetch, now: Timestamp) -> Seat {
    let core = &layer.core;
    if fetch.lookup.reload {
        invalidate(core, &fetch);
    }
    if !fetch.is_shared() || !core.limits.coalesces {
        return Seat::Leader(Flight::new(job(core, request, fetch, now, true)).1);
    }
    let gate = core.flights.enter(&fetch.key);
    if let Some(rider) = gate.get(&fetch.key).and_then(|known| join(known, &fetch, now)) {
        return Seat::Follower(rider);
    }
    if let Some(entry) = just_stored(layer, request, &fetch, now) {
        return Seat::None(entry);
    }
    let (flight, rider) = Flight::new(job(core, request, fetch, now, false));
    gate.put(flight);
    Seat::Leader(rider)
}

fn job(core: &Arc<Core>, request: RequestView<'_>, fetch: Fetch, started: Timestamp, is_alone: bool) -> Job {
    if fetch.has_identity {
        core.note_identity();
    }
    if let Some((head, rest)) = KeyReader::head(fetch.key.primary.borrowed().bytes()) {
        core.releases().note(head.stage, head.deployment, rest.is_of_canary());
    }
    let request = match core.rules.reads_requests() {
        true => RequestSnapshot::whole(request),
        false => RequestSnapshot::packed(request),
    };
    let Fetch { key, settings, lookup, entry, reason, nothing_at, lead, .. } = fetch;
    Job {
        core: Arc::clone(core),
        purges: core.purges_of(key.primary.borrowed()),
        key,
        request,
        settings,
        entry,
        started,
        reason,
        lookup,
        is_alone,
        nothing_at,
        lead,
    }
}

/// A client that may invalidate an entry has it go, whatever comes of the call. Where it was asked for the lead, the
/// second tier has been told.
fn invalidate(core: &Core, fetch: &Fetch) {
    let key = fetch.key.primary.borrowed();
    match fetch.lead {
        Some(_) => core.forget_key(key),
        None => core.invalidate_key(key),
    }
}

/// A seat in a call that others have begun. One that is not to be waited for is overtaken: what it brings is of use only
/// until the new call has brought something. After a reload it is of no use.
fn join(known: &Arc<Flight>, fetch: &Fetch, now: Timestamp) -> Option<Rider> {
    if fetch.lookup.reload {
        known.supersede();
        return None;
    }
    let rider = if known.is_late(now) { None } else { known.join(now) };
    if rider.is_none() {
        known.overtake();
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
    let found = Found::new(core, key, (request.headers, fetch.lookup.has_credentials), now);
    match found.decide(core, request, fetch.lookup, now) {
        Decision::Hit => found.into_entry(),
        _ => None,
    }
}

/// What an answer that was waited for is to a request.
pub(super) enum Fit {
    Shared,
    /// It is for other values of these fields.
    Varies(Arc<[HeaderName]>),
    /// It is for those who asked otherwise, or before.
    Unfit,
    /// It is for nobody but the leader.
    Released(NoCacheReason),
    /// There is none: somebody else tries.
    Failed,
}

/// `came_before`: the request came before the call was made.
pub(super) fn fit(layer: &LayerState, request: RequestView<'_>, arrived: &Arrived, came_before: bool) -> Fit {
    let (meta, headers, is_new) = match arrived {
        Arrived::Streaming(head) => (&head.meta, &head.headers, true),
        Arrived::Entry(_, How::Short) | Arrived::Failed => return Fit::Failed,
        Arrived::Entry(entry, how) => (&entry.meta, &entry.content.headers, is_new(*how)),
        // No mark is left of that, and the next ones share again.
        Arrived::Released(NoCacheReason::OutOfRoom) => return Fit::Released(NoCacheReason::OutOfRoom),
        Arrived::Released(_) => return Fit::Released(NoCacheReason::HitForMiss),
    };
    if let Some(other) = meta.selection.as_ref().filter(|selection| !selection.matches(request.headers)) {
        return Fit::Varies(Arc::clone(other.names()));
    }
    if let Arrived::Entry(entry, How::StaleOnError(_)) = arrived {
        return fit_of_stale(layer, request, entry);
    }
    let vary = meta.selection.as_ref().map(|selection| Arc::clone(selection.names()));
    let plan = StorePlan { freshness: meta.freshness, vary, ..StorePlan::default() };
    let response =
        ResponseView { status: meta.status, headers, requested: meta.requested, responded: meta.responded };
    match layer.core.rules.may_share(request, response, &plan, came_before && is_new) {
        true => Fit::Shared,
        false => Fit::Unfit,
    }
}

/// What stands in for a service that fails does so for those who may have it at this time. The others need not wait for
/// another call that fails.
fn fit_of_stale(layer: &LayerState, request: RequestView<'_>, entry: &Entry) -> Fit {
    let core = &layer.core;
    match core.rules.on_error(request, entry, core.clock.now()) {
        true => Fit::Shared,
        false => Fit::Released(NoCacheReason::ServiceError),
    }
}

/// Whether the service has just said so, and not to the leader alone.
fn is_new(how: How) -> bool {
    matches!(how, How::Answered { .. } | How::Freshened { stored: true, .. })
}
