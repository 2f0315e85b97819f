//! What becomes of an answer: stored, shared, passed to the leader alone, or replaced by what is stored.

use super::{
    Flight, Job,
    motor::{HeadRef, Motor},
    state::{End, Landing, Own},
    window::Segments,
};
use crate::{
    body::BoxError,
    cache::{
        answer::{compact, compact_whole, content_length, hop_by_hop, is_given_up, split_off},
        core::Terms,
        entry::{Content, Entry, Freshness, Meta},
        present::Present,
        reason::NoCacheReason,
        rules::{ResponseView, StorePlan, Verdict},
        selection::Selection,
        store::Slot,
        tags,
    },
    clock::Timestamp,
    response::GatewayError,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, StatusCode, header::DATE, response::Parts};
use http_body::{Frame, SizeHint};
use std::{
    any::Any,
    sync::Arc,
    task::{Context, Poll},
};

const TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");

/// How an answer came to be that is complete when its head is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// The service's own; whether it is stored.
    Answered { stored: bool },
    /// The same, and not as long as its head has said: for nobody but the client that made the call.
    Short,
    /// The service confirmed what was stored, by that status; whether it is stored again.
    Freshened { stored: bool, status: StatusCode },
    /// The service failed, with that status or without an answer.
    StaleOnError(Option<StatusCode>),
}

/// The head of an answer whose body is still on its way.
#[derive(Debug)]
pub(crate) struct StreamHead {
    pub(crate) meta: Meta,
    pub(crate) headers: HeaderMap,
    pub(crate) hint: SizeHint,
    /// The length that the head announces.
    pub(crate) announced: Option<u64>,
    /// Fields that are for the leader alone.
    pub(crate) private: Box<[HeaderName]>,
}

/// What one poll of the call brought.
pub(super) enum After {
    Pending(Motor),
    Landed { landing: Landing, raw: Option<Box<dyn Any + Send>>, own: Option<Own> },
    Opened { motor: Motor, head: Arc<StreamHead>, own: Own, read: Eager },
    Data(Motor, Bytes),
    Trailers(Motor, Box<HeaderMap>),
    Ended(End, Option<BoxError>),
}

/// A body that is ready is read up to here before its head is sent: most answers are complete then, and need no
/// stream.
const EAGER_BYTES: usize = 64 * 1024;
/// And for so many frames at most.
const EAGER_FRAMES: usize = 256;

pub(super) fn step(flight: &Flight, mut motor: Motor, streams: bool, cx: &mut Context<'_>) -> After {
    if !streams {
        return match motor.as_mut().poll_head(cx) {
            Poll::Pending => After::Pending(motor),
            Poll::Ready(()) => land(flight, motor, cx),
        };
    }
    match motor.as_mut().poll_frame(cx) {
        Poll::Pending => After::Pending(motor),
        Poll::Ready(None) => After::Ended(End::Complete, None),
        Poll::Ready(Some(Err(error))) => After::Ended(End::Broken, Some(error)),
        Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
            Ok(data) => After::Data(motor, data),
            Err(frame) => After::Trailers(motor, Box::new(frame.into_trailers().unwrap_or_default())),
        },
    }
}

fn land(flight: &Flight, mut motor: Motor, cx: &mut Context<'_>) -> After {
    let job = &flight.job;
    let now = job.core.clock.now();
    let Some(head) = motor.head() else { return failed(job, motor, now) };
    let present = Present::of(head.headers);
    match verdict(job, head, present, now) {
        Verdict::Discard(reason) => released(job, motor, reason),
        Verdict::Contradict(reason) => {
            job.core.soften(&job.key.primary, &job.request.headers(), job.started);
            released(job, motor, reason)
        }
        Verdict::ServeStale => match &job.entry {
            Some(entry) => landed(Landing::Entry(Arc::clone(entry), How::StaleOnError(Some(head.status)))),
            None => released(job, motor, NoCacheReason::Status),
        },
        Verdict::Freshen { headers, plan } => {
            let status = head.status;
            freshened(flight, motor, headers, (&plan, status), now)
        }
        Verdict::Store(plan) => {
            let announced = content_length(head.headers);
            if is_too_large(job, announced, &motor) {
                return released(job, motor, NoCacheReason::TooLarge);
            }
            let announced = announced.or(motor.size_hint().exact());
            let is_end = head.is_end;
            match motor.as_mut().open() {
                Some(parts) => open(flight, motor, (parts, present, plan, announced, is_end), now, cx),
                None => landed(Landing::Failed),
            }
        }
    }
}

/// A refusal of a layer inside the cache is not the service's answer, whatever the rules would say to its status. One
/// for a service that was given up says that it failed.
fn verdict(job: &Job, head: HeadRef<'_>, present: Present, now: Timestamp) -> Verdict {
    if let Some(refusal) = head.extensions.get::<GatewayError>() {
        if is_given_up(head.extensions) && stand_in(job, now).is_some() {
            return Verdict::ServeStale;
        }
        // Who refused may have left that to the cache, which alone knows what it has instead.
        job.request.context.iter().for_each(|context| context.set_error(refusal.clone()));
        return Verdict::Discard(NoCacheReason::GatewayRefusal);
    }
    let response =
        ResponseView { status: head.status, headers: head.headers, requested: job.started, responded: now };
    let (request, entry) = (job.request.view(), job.entry.as_deref());
    job.core.rules.on_response(request, job.lookup, &job.settings, response, present, entry)
}

fn is_too_large(job: &Job, announced: Option<u64>, motor: &Motor) -> bool {
    let limit = job.core.limits.entry as u64;
    let is_head = job.request.method == Method::HEAD;
    motor.size_hint().lower() > limit || !is_head && announced.is_some_and(|length| length > limit)
}

fn landed(landing: Landing) -> After {
    After::Landed { landing, raw: None, own: None }
}

/// What is served where the service failed.
fn stand_in(job: &Job, now: Timestamp) -> Option<&Arc<Entry>> {
    job.entry.as_ref().filter(|entry| job.core.rules.on_error(job.request.view(), entry, now))
}

fn failed(job: &Job, mut motor: Motor, now: Timestamp) -> After {
    if let Some(entry) = stand_in(job, now) {
        return landed(Landing::Entry(Arc::clone(entry), How::StaleOnError(None)));
    }
    job.core.counters.not_stored(NoCacheReason::ServiceError);
    After::Landed { landing: Landing::Failed, raw: motor.as_mut().raw(), own: None }
}

fn released(job: &Job, mut motor: Motor, reason: NoCacheReason) -> After {
    job.core.counters.not_stored(reason);
    // The answer to a `HEAD` says nothing about those to others that share its key.
    if reason != NoCacheReason::GatewayRefusal && !job.lookup.as_get {
        mark_pass(job, reason);
    }
    After::Landed { landing: Landing::Released(reason), raw: motor.as_mut().raw(), own: None }
}

fn freshened(
    flight: &Flight,
    mut motor: Motor,
    mut headers: HeaderMap,
    (plan, status): (&Result<StorePlan, NoCacheReason>, StatusCode),
    now: Timestamp,
) -> After {
    let job = &flight.job;
    let Some(old) = &job.entry else { return released(job, motor, NoCacheReason::Status) };
    let (freshness, selection) = match plan {
        Ok(plan) => (plan.freshness, selection(job, plan)),
        Err(_) => (Freshness { always_validate: true, ..old.meta.freshness }, old.meta.selection.clone()),
    };
    let is_tagged = motor.head().is_some_and(|head| Present::of(head.headers).any(Present::TAGS));
    let tags = if is_tagged { tags::read(&headers) } else { old.meta.tags.clone() };
    let present = Present::of(&headers);
    take_off(&mut headers, present);
    let meta = Meta::new(old.meta.status, (job.started, now), freshness, selection, tags);
    let names = plan.as_ref().map_or(&[][..], |plan| &plan.private);
    let private = split_off(&mut headers, names);
    let mut content = Content { headers: compact(&mut headers), ..old.content.clone() };
    strip_trailers(&mut content.trailers, names);
    let entry = Arc::new(Entry::new(meta, content));
    let stored = match plan {
        Ok(_) => keep(flight, &entry),
        Err(reason) => outdated(job, *reason),
    };
    let how = How::Freshened { stored, status };
    // The 304 itself is of no use to anybody.
    drop(motor.as_mut().raw());
    let own = (!private.is_empty()).then(|| {
        headers.extend(private);
        Own { headers, ..Own::default() }
    });
    After::Landed { landing: Landing::Entry(entry, how), raw: None, own }
}

/// What is stored leaves where the service now forbids to keep it, or has another answer in its place. It stays where only
/// this confirmation of it is not for others.
fn outdated(job: &Job, reason: NoCacheReason) -> bool {
    job.core.counters.not_stored(reason);
    if reason == NoCacheReason::Contradicted {
        job.core.forget_answer(&job.key.primary, &job.request.headers(), job.started);
    } else if reason.is_about_the_resource() {
        mark_pass(job, reason);
    }
    false
}

fn mark_pass(job: &Job, reason: NoCacheReason) {
    let why = (reason, job.started);
    job.core.mark_pass(&job.key.primary, &job.request.headers(), why, job.lead.as_ref());
}

fn selection(job: &Job, plan: &StorePlan) -> Option<Selection> {
    let names = plan.vary.as_ref().filter(|names| !names.is_empty())?;
    Some(Selection::of(Arc::clone(names), &job.request.headers()))
}

type Opening = (Parts, Present, StorePlan, Option<u64>, bool);

/// Goes on to the body, and to its end if it is ready.
fn open(
    flight: &Flight,
    mut motor: Motor,
    (parts, present, plan, announced, is_end): Opening,
    now: Timestamp,
    cx: &mut Context<'_>,
) -> After {
    let job = &flight.job;
    let Parts { status, mut headers, extensions, .. } = parts;
    let tags = if present.any(Present::TAGS) { tags::read(&headers) } else { Box::default() };
    take_off(&mut headers, present);
    plan.date.iter().for_each(|date| drop(headers.insert(DATE, date.clone())));
    let private = split_off(&mut headers, &plan.private);
    let meta = Meta::new(status, (job.started, now), plan.freshness, selection(job, &plan), tags);
    let mut read = Eager::default();
    let is_whole = is_end || read.run(&mut motor, job.core.limits.entry, cx);
    strip_trailers(&mut read.trailers, &plan.private);
    if is_whole {
        let (fields, body) = compact_whole(&mut headers, &read.segments);
        let content = Content { headers: fields, body, trailers: read.trailers };
        let (entry, how) = complete(flight, meta, content, announced);
        let landing = Landing::Entry(entry, how);
        headers.extend(private);
        let own = Own { headers, body: read.segments.into_only(), extensions };
        return After::Landed { landing, raw: None, own: Some(own) };
    }
    let hint = read.hint(motor.size_hint());
    let names = plan.private.into();
    let head = Arc::new(StreamHead { meta, headers: compact(&mut headers), hint, announced, private: names });
    headers.extend(private);
    After::Opened { motor, head, own: Own { headers, body: None, extensions }, read }
}

/// Fields that are for one connection or one client.
fn take_off(headers: &mut HeaderMap, present: Present) {
    if present.any(Present::HOP_BY_HOP) {
        hop_by_hop(headers);
    }
    // The trace of the one who asked first is nobody else's; a `TraceLayer` outside writes each caller's own.
    if present.any(Present::TRACE_ID) {
        headers.remove(TRACE_ID);
    }
}

/// Nobody gets trailers that are for one client alone: whoever shares a body reads the same trailers.
pub(super) fn strip_trailers(trailers: &mut Option<Box<HeaderMap>>, private: &[HeaderName]) {
    if let Some(trailers) = trailers {
        private.iter().for_each(|name| drop(trailers.remove(name)));
    }
}

/// What of a body was ready at once.
#[derive(Default)]
pub(super) struct Eager {
    pub(super) segments: Segments,
    pub(super) trailers: Option<Box<HeaderMap>>,
    pub(super) error: Option<BoxError>,
}

impl Eager {
    /// `true`: the body has ended well, and is no longer than `limit`.
    fn run(&mut self, motor: &mut Motor, limit: usize, cx: &mut Context<'_>) -> bool {
        for _ in 0..EAGER_FRAMES {
            if self.segments.length() > EAGER_BYTES {
                return false;
            }
            match motor.as_mut().poll_frame(cx) {
                Poll::Pending => return false,
                Poll::Ready(None) => return true,
                Poll::Ready(Some(Ok(frame))) => self.take(frame),
                Poll::Ready(Some(Err(error))) => {
                    self.error = Some(error);
                    return false;
                }
            }
            if self.segments.length() > limit {
                return false;
            }
            if motor.is_end_stream() {
                return true;
            }
        }
        false
    }

    fn take(&mut self, frame: Frame<Bytes>) {
        match frame.into_data() {
            Ok(data) if data.is_empty() => {}
            Ok(data) => self.segments.push(data),
            Err(frame) => self.trailers = frame.into_trailers().ok().map(Box::new),
        }
    }

    /// The length of the whole body, from what is left of it.
    fn hint(&self, left: SizeHint) -> SizeHint {
        let read = self.segments.length() as u64;
        let mut hint = SizeHint::new();
        if let Some(upper) = left.upper() {
            hint.set_upper(upper.saturating_add(read));
        }
        hint.set_lower(left.lower().saturating_add(read));
        hint
    }
}

/// Whether a body that has ended is what its head has said.
pub(super) fn is_whole(job: &Job, announced: Option<u64>, length: u64) -> bool {
    job.request.method == Method::HEAD || announced.is_none_or(|announced| announced == length)
}

/// Stores a complete answer, if it is what its head said.
pub(super) fn complete(
    flight: &Flight,
    meta: Meta,
    content: Content,
    announced: Option<u64>,
) -> (Arc<Entry>, How) {
    let is_whole = is_whole(&flight.job, announced, content.body.len() as u64);
    let entry = Arc::new(Entry::new(meta, content));
    if !is_whole {
        flight.job.core.counters.not_stored(NoCacheReason::Incomplete);
        return (entry, How::Short);
    }
    let stored = keep(flight, &entry);
    (entry, How::Answered { stored })
}

/// Into the store, unless something was purged meanwhile: purges mark flights, and wait for whoever has looked before
/// that and is about to store, before they go through the store.
fn keep(flight: &Flight, entry: &Arc<Entry>) -> bool {
    let job = &flight.job;
    let is_void = |stored: Option<&Slot>| {
        flight.is_superseded() || stored.is_some_and(|slot| is_newer(slot, job, flight.is_overtaken()))
    };
    let (settings, nothing_at, lead) = (&job.settings, job.nothing_at, job.lead.as_ref());
    let stored =
        job.core.keep(&job.key.primary, entry, Terms { settings, nothing_at, lead, is_void: &is_void });
    match stored {
        Ok(()) => job.core.counters.stored(),
        Err(reason) => job.core.counters.not_stored(reason),
    }
    stored.is_ok()
}

/// Whether a later call has brought what lies under the key: an answer to the same `Vary` values, or, where this one was
/// overtaken, the mark that none is storable. (Calls that nobody waits for are made under such a mark, and end it.) A
/// mark that has expired says nothing: it may have been there all the while.
fn is_newer(slot: &Slot, job: &Job, is_overtaken: bool) -> bool {
    let is_later = |entry: &&Arc<Entry>| entry.meta.is_of_later_call(job.started);
    let mut later = slot.entries().iter().filter(is_later).peekable();
    let is_marked = || slot.is_pass(job.core.clock.now(), job.lookup.has_credentials);
    if later.peek().is_none() {
        return is_overtaken && is_marked();
    }
    let headers = job.request.headers();
    later.any(|entry| entry.is_for(&headers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_without_a_bound_has_none_after_some_of_it_was_read() {
        let mut read = Eager::default();
        read.take(Frame::data(Bytes::from_static(b"some")));
        let mut left = SizeHint::new();
        left.set_upper(u64::MAX);
        left.set_lower(u64::MAX);
        let hint = read.hint(left);
        assert_eq!((hint.lower(), hint.upper()), (u64::MAX, Some(u64::MAX)));
    }
}
