//! Answers on their way to the client: out of the store, out of a flight, or passing by.

use super::{
    answer::WithTrailers,
    aws,
    entry::{Entry, Meta},
    flight::{Arrived, How, Own, Rider, StreamHead},
    plan::LayerState,
    reason::{CacheStatus, NoCacheReason},
    rules::{BodyPart, Head, Provenance, RequestView},
    tags,
};
use crate::{
    body::GatewayBody,
    response::{Cause, GatewayError, ResponseType},
};
use http::{Extensions, HeaderMap, Response, StatusCode, header::WARNING};

pub(super) fn pass<R>(layer: &LayerState, response: &mut Response<R>, provenance: Provenance) {
    if layer.core.strips_tags {
        tags::remove(response.headers_mut());
    }
    layer.core.rules.passed(response.headers_mut(), provenance);
}

/// An answer out of a flight, for one of its readers.
pub(super) fn answer_arrived<R>(
    layer: &LayerState,
    request: RequestView<'_>,
    rider: Rider,
    (arrived, own): (Arrived, Option<Own>),
    status: CacheStatus,
    reason: Option<NoCacheReason>,
    warns: bool,
) -> Response<GatewayBody<R>> {
    let now = match (&arrived, &own) {
        // It came just now.
        (Arrived::Entry(entry, _), Some(_)) => entry.meta.responded,
        _ => layer.core.clock.now(),
    };
    match arrived {
        Arrived::Entry(entry, how) => {
            let (status, forward_status, stored) = match how {
                How::Answered { stored } => (status, None, stored),
                How::Freshened { stored } => {
                    (CacheStatus::Revalidated, Some(StatusCode::NOT_MODIFIED), stored)
                }
                How::StaleOnError(failed) => (CacheStatus::Stale, failed, true),
            };
            let provenance = Provenance { status, reason, forward_status, stored, not_stored: None, now };
            answer_entry(layer, request, &entry, provenance, warns, own)
        }
        Arrived::Streaming(head) => {
            let provenance =
                Provenance { status, reason, forward_status: None, stored: true, not_stored: None, now };
            answer_stream(layer, request, rider, &head, provenance, warns, own)
        }
        // Handled by the callers, which know what to do instead.
        Arrived::Released(_) | Arrived::Failed => {
            GatewayError::new(ResponseType::Default5xx, Cause::SharedCallFailed).refuse_in(request.context)
        }
    }
}

fn answer_stream<R>(
    layer: &LayerState,
    request: RequestView<'_>,
    rider: Rider,
    stream: &StreamHead,
    provenance: Provenance,
    warns: bool,
    own: Option<Own>,
) -> Response<GatewayBody<R>> {
    let Own { headers, extensions, .. } = own.unwrap_or_else(|| copied(&stream.headers));
    let mut head = Head { status: stream.meta.status, headers };
    let part = layer.core.rules.present(request, &stream.meta, &mut head, None, provenance);
    let body = match part {
        BodyPart::Whole => GatewayBody::shared(rider.into_body(stream)),
        BodyPart::Nothing | BodyPart::Slice(_) => GatewayBody::default(),
    };
    finish(layer, request, head, body, provenance, &stream.meta, warns, extensions)
}

pub(super) fn answer_entry<R>(
    layer: &LayerState,
    request: RequestView<'_>,
    entry: &Entry,
    provenance: Provenance,
    warns: bool,
    own: Option<Own>,
) -> Response<GatewayBody<R>> {
    let content = &entry.content;
    let Own { headers, body, extensions } = own.unwrap_or_else(|| copied(&content.headers));
    let mut head = Head { status: entry.meta.status, headers };
    let part = layer.core.rules.present(request, &entry.meta, &mut head, Some(&content.body), provenance);
    let body = match (part, &content.trailers) {
        (BodyPart::Whole, Some(trailers)) => {
            GatewayBody::shared(WithTrailers::new(content.body.clone(), trailers))
        }
        (BodyPart::Whole, None) => body.unwrap_or_else(|| content.body.clone()).into(),
        (BodyPart::Slice(range), _) => content.body.slice(range).into(),
        (BodyPart::Nothing, _) => GatewayBody::default(),
    };
    finish(layer, request, head, body, provenance, &entry.meta, warns, extensions)
}

/// The fields for one who did not make the call.
fn copied(headers: &HeaderMap) -> Own {
    Own { headers: headers.clone(), ..Own::default() }
}

/// The last touches, and the notes.
#[allow(clippy::too_many_arguments, reason = "the parts of one answer")]
fn finish<R>(
    layer: &LayerState,
    request: RequestView<'_>,
    mut head: Head,
    body: GatewayBody<R>,
    provenance: Provenance,
    meta: &Meta,
    warns: bool,
    extensions: Extensions,
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
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    *response.extensions_mut() = extensions;
    response
}
