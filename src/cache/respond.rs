//! Answers on their way to the client: out of the store, out of a flight, or passing by.

use super::{
    answer::WithTrailers,
    aws,
    entry::{Entry, Meta},
    flight::{How, Own, Rider, StreamHead},
    plan::LayerState,
    reason::{CacheStatus, NoCacheReason},
    rules::{BodyPart, Head, Provenance, RequestView},
    tags,
};
use crate::body::GatewayBody;
use bytes::Bytes;
use http::{Extensions, Response, header::WARNING};

pub(super) fn pass<R>(layer: &LayerState, response: &mut Response<R>, provenance: Provenance, warns: bool) {
    if warns {
        response.headers_mut().append(WARNING, aws::WARNING);
    }
    if layer.core.strips_tags {
        tags::remove(response.headers_mut());
    }
    layer.core.rules.passed(response.headers_mut(), provenance);
}

/// A complete answer out of a flight, for one of its readers; with what the leader gets, for the leader.
pub(super) fn answer_landed<R>(
    layer: &LayerState,
    request: RequestView<'_>,
    (entry, how): (&Entry, How),
    own: Option<Own>,
    (status, reason): (CacheStatus, Option<NoCacheReason>),
    warns: bool,
) -> Response<GatewayBody<R>> {
    let now = match &own {
        // It came just now.
        Some(_) => entry.meta.responded,
        None => layer.core.clock.now(),
    };
    let (status, forward_status, stored) = match how {
        How::Answered { stored } => (status, None, stored),
        How::Short => (status, None, false),
        // Who shares a confirmation is one of those who share a call.
        How::Freshened { stored, status: confirmed } if status == CacheStatus::Collapsed => {
            (status, Some(confirmed), stored)
        }
        How::Freshened { stored, status: confirmed } => (CacheStatus::Revalidated, Some(confirmed), stored),
        How::StaleOnError(failed) => (CacheStatus::Stale, failed, true),
    };
    let provenance = Provenance { status, reason, forward_status, stored, not_stored: None, now };
    match own {
        None => answer_entry(layer, request, entry, provenance, warns),
        Some(Own { headers, body, extensions }) => {
            let head = Head { status: entry.meta.status, headers };
            let mut response = answer_with(layer, request, entry, (head, body), provenance, warns);
            *response.extensions_mut() = extensions;
            response
        }
    }
}

/// An answer that is still on its way, for one of its readers.
pub(super) fn answer_stream<R>(
    layer: &LayerState,
    request: RequestView<'_>,
    (rider, stream): (Rider, &StreamHead),
    own: Option<Own>,
    (status, reason): (CacheStatus, Option<NoCacheReason>),
    warns: bool,
) -> Response<GatewayBody<R>> {
    let now = layer.core.clock.now();
    let provenance = Provenance { status, reason, forward_status: None, stored: true, not_stored: None, now };
    let (headers, extensions) = match own {
        Some(own) => (own.headers, own.extensions),
        None => (stream.headers.clone(), Extensions::new()),
    };
    let mut head = Head { status: stream.meta.status, headers };
    let part = layer.core.rules.present(request, &stream.meta, &mut head, None, provenance);
    let body = match part {
        BodyPart::Whole => GatewayBody::shared(rider.into_body(stream)),
        BodyPart::Nothing | BodyPart::Slice(_) => GatewayBody::default(),
    };
    let mut response = finish(layer, request, (head, body), provenance, &stream.meta, warns);
    *response.extensions_mut() = extensions;
    response
}

/// A stored answer.
pub(super) fn answer_entry<R>(
    layer: &LayerState,
    request: RequestView<'_>,
    entry: &Entry,
    provenance: Provenance,
    warns: bool,
) -> Response<GatewayBody<R>> {
    let head = Head { status: entry.meta.status, headers: entry.content.headers.clone() };
    answer_with(layer, request, entry, (head, None), provenance, warns)
}

/// An answer with a head, and with a body in place of the stored one if there is one.
fn answer_with<R>(
    layer: &LayerState,
    request: RequestView<'_>,
    entry: &Entry,
    (mut head, body): (Head, Option<Bytes>),
    provenance: Provenance,
    warns: bool,
) -> Response<GatewayBody<R>> {
    let content = &entry.content;
    let part = layer.core.rules.present(request, &entry.meta, &mut head, Some(&content.body), provenance);
    let body = match (part, &content.trailers) {
        (BodyPart::Whole, Some(trailers)) => {
            GatewayBody::shared(WithTrailers::new(content.body.clone(), trailers))
        }
        (BodyPart::Whole, None) => body.unwrap_or_else(|| content.body.clone()).into(),
        (BodyPart::Slice(range), _) => content.body.slice(range).into(),
        (BodyPart::Nothing, _) => GatewayBody::default(),
    };
    finish(layer, request, (head, body), provenance, &entry.meta, warns)
}

/// The last touches, and the notes.
fn finish<R>(
    layer: &LayerState,
    request: RequestView<'_>,
    (mut head, body): (Head, GatewayBody<R>),
    provenance: Provenance,
    meta: &Meta,
    warns: bool,
) -> Response<GatewayBody<R>> {
    let Provenance { status, reason, now, .. } = provenance;
    layer.core.counters.answered(status, reason);
    if let Some(context) = request.context {
        let age = (status != CacheStatus::Miss).then(|| meta.age(now));
        context.note_cache(status, reason, age);
    }
    if warns {
        head.headers.append(WARNING, aws::WARNING);
    }
    // Here, and not before it is stored: what is confirmed, and what other processes stored, has them, too.
    if layer.core.strips_tags {
        tags::remove(&mut head.headers);
    }
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    response
}
