//! `X-Amzn-Trace-Id` and `traceparent`, read and written: no I/O, no clock.

use crate::context::trace::{SpanId, TraceId, hex};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::fmt::Write;

pub(super) static X_AMZN_TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");
pub(super) static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(super) static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Length of version 00's `traceparent`, and of the parts that every version has.
const TRACEPARENT_LEN: usize = 55;
/// Longest text of other fields (`Lineage`, ...) that is carried on.
const MAX_EXTRA: usize = 512;

/// What a request brought: the trace, the caller's span, and whether it is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Incoming {
    pub(super) trace_id: TraceId,
    pub(super) parent: Option<SpanId>,
    /// `None`: the decision is ours.
    pub(super) sampled: Option<bool>,
    /// Fields of `X-Amzn-Trace-Id` that are not ours to understand, each with its `;` before it.
    pub(super) extra: String,
    /// By `traceparent`, whose `tracestate` is this trace's.
    pub(super) is_w3c: bool,
}

/// What the request's fields say: `traceparent` before `X-Amzn-Trace-Id`. A repeated field says nothing.
pub(super) fn read(headers: &HeaderMap) -> Option<Incoming> {
    let amzn = single(headers, &X_AMZN_TRACE_ID).and_then(parse_amzn);
    let w3c = single(headers, &TRACEPARENT).and_then(parse_traceparent);
    match (w3c, amzn) {
        // The same trace in both: X-Ray's fields are kept.
        (Some(w3c), Some(amzn)) if w3c.trace_id == amzn.trace_id => {
            Some(Incoming { extra: amzn.extra, ..w3c })
        }
        (w3c, amzn) => w3c.or(amzn),
    }
}

/// A field that stands there once, and is text.
pub(super) fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.next().is_some() { None } else { first.to_str().ok() }
}

/// Fields in any order, keys in any case; the last of a repeated key counts.
pub(super) fn parse_amzn(text: &str) -> Option<Incoming> {
    let (mut root, mut parent, mut sampled, mut extra) = (None, None, None, String::new());
    for (key, value) in text.split(';').filter_map(|field| field.trim().split_once('=')) {
        match key.to_ascii_lowercase().as_str() {
            "root" => root = TraceId::parse_root(value),
            "parent" => parent = SpanId::parse(value),
            "sampled" => sampled = parse_sampled(value),
            // The hop of a load balancer; not the integration's.
            "self" => {}
            _ if extra.len() + key.len() + value.len() + 2 <= MAX_EXTRA => {
                extra.extend([";", key, "=", value]);
            }
            _ => {}
        }
    }
    Some(Incoming { trace_id: root?, parent, sampled, extra, is_w3c: false })
}

fn parse_sampled(value: &str) -> Option<bool> {
    match value {
        "1" => Some(true),
        "0" => Some(false),
        _ => None,
    }
}

/// W3C Trace Context level 1, section 3.2: version 00 exactly, later versions by their first four parts.
pub(super) fn parse_traceparent(text: &str) -> Option<Incoming> {
    // What later versions add is theirs.
    let is_lower = !text.bytes().take(TRACEPARENT_LEN).any(|byte| byte.is_ascii_uppercase());
    let mut parts = text.split('-');
    let version = hex(parts.next()?, 2)?;
    let trace_id = TraceId::checked(hex(parts.next()?, 32)?)?;
    let parent = SpanId::parse(parts.next()?)?;
    let flags = hex(parts.next()?, 2)?;
    let complete = version != 0 || parts.next().is_none();
    let valid = version != 0xff && complete && is_lower;
    let sampled = Some(flags & 1 == 1);
    let (parent, extra) = (Some(parent), String::new());
    valid.then_some(Incoming { trace_id, parent, sampled, extra, is_w3c: true })
}

/// `Root=…;Parent=…;Sampled=1` and what came along.
pub(super) fn amzn_value(trace: TraceId, parent: SpanId, sampled: bool, extra: &str) -> Option<HeaderValue> {
    let mut text = String::with_capacity(80 + extra.len());
    write!(text, "Root={trace};Parent={parent};Sampled={}{extra}", u8::from(sampled)).ok()?;
    HeaderValue::try_from(text).ok()
}

pub(super) fn traceparent_value(trace: TraceId, parent: SpanId, sampled: bool) -> Option<HeaderValue> {
    let mut text = String::with_capacity(TRACEPARENT_LEN);
    write!(text, "00-{}-{parent}-0{}", trace.to_hex(), u8::from(sampled)).ok()?;
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROOT: &str = "1-5759e988-bd862e3fe1be46a994272793";

    fn headers(pairs: &[(&HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn aws_documented_forms_are_read() {
        let read = |text: &str| {
            parse_amzn(text)
                .map(|found| (found.trace_id.to_string(), found.parent, found.sampled, found.extra))
        };
        let parent = SpanId::parse("53995c3f42cd8ad8");
        let plain = format!("Root={ROOT};Parent=53995c3f42cd8ad8;Sampled=1");
        assert_eq!(read(&plain), Some((ROOT.into(), parent, Some(true), String::new())));
        let balanced = format!(
            "Self=1-67891234-12456789abcdef012345678;root={ROOT}; Lineage=a87bd80c:1|68fd508a:5; Sampled=?"
        );
        assert_eq!(read(&balanced), Some((ROOT.into(), None, None, ";Lineage=a87bd80c:1|68fd508a:5".into())));
        for broken in [
            "",
            "Root=",
            "Root=1-5759e988-bd862e3fe1be46a99427279",
            "Root=1-+759e988-bd862e3fe1be46a994272793",
            "Parent=53995c3f42cd8ad8",
        ] {
            assert_eq!(read(broken), None, "{broken}");
        }
    }

    #[test]
    fn traceparent_is_read_as_w3c_says() {
        let valid = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01";
        let found = parse_traceparent(valid).unwrap();
        assert_eq!((found.trace_id.to_string().as_str(), found.sampled), (ROOT, Some(true)));
        assert!(parse_traceparent(&valid.replacen("00", "01", 1).replace("-01", "-00-later")).is_some());
        for later in ["01-Next", "cc-a=b"] {
            let (version, tail) = later.split_once('-').unwrap();
            let text = format!("{}-{tail}", valid.replacen("00", version, 1));
            assert!(parse_traceparent(&text).is_some(), "{text}");
        }
        for broken in [
            valid.replacen("00", "ff", 1),
            valid.replacen("00", "CC", 1),
            format!("{valid}-x"),
            valid.to_uppercase(),
            valid.replace("53995c3f42cd8ad8", "0000000000000000"),
            valid.replace("5759e988bd862e3fe1be46a994272793", &"0".repeat(32)),
        ] {
            assert_eq!(parse_traceparent(&broken), None, "{broken}");
        }
    }

    #[test]
    fn traceparent_comes_first_and_repeated_fields_say_nothing() {
        let w3c = "00-11111111111111111111111111111111-53995c3f42cd8ad8-00";
        let amzn = format!("Root={ROOT};Sampled=1");
        let both = headers(&[(&TRACEPARENT, w3c), (&X_AMZN_TRACE_ID, &amzn)]);
        assert_eq!(read(&both).unwrap().sampled, Some(false));
        let repeated = headers(&[(&TRACEPARENT, w3c), (&TRACEPARENT, w3c), (&X_AMZN_TRACE_ID, &amzn)]);
        assert_eq!(read(&repeated).unwrap().trace_id.to_string(), ROOT);
        assert_eq!(read(&headers(&[(&X_AMZN_TRACE_ID, &amzn), (&X_AMZN_TRACE_ID, &amzn)])), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(trace in 1..u128::MAX, span in 1..u64::MAX, sampled in any::<bool>()) {
            let (trace, span) = (TraceId::checked(trace).unwrap(), SpanId::new(span));
            let amzn = amzn_value(trace, span, sampled, ";Lineage=a:1").unwrap();
            let wanted = Incoming { trace_id: trace, parent: Some(span), sampled: Some(sampled), extra: ";Lineage=a:1".into(), is_w3c: false };
            prop_assert_eq!(parse_amzn(amzn.to_str().unwrap()), Some(wanted.clone()));
            let w3c = traceparent_value(trace, span, sampled).unwrap();
            prop_assert_eq!(parse_traceparent(w3c.to_str().unwrap()), Some(Incoming { extra: String::new(), is_w3c: true, ..wanted }));
        }

        #[test]
        fn nothing_that_a_client_writes_breaks_the_readers(text in "\\PC{0,120}") {
            let _ = (parse_amzn(&text), parse_traceparent(&text));
        }
    }
}
