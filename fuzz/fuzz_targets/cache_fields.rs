//! The fields a cache reads: nothing makes a reader panic, and what an answer forbids it forbids however it is padded.
#![no_main]

use http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::fuzz_target;
use tower_gateway::cache::rfc::{
    ByteRange, RequestControl, ResponseControl, byte_range, hop_by_hop_fields, parse_http_date,
    parse_targeted, vary_fields,
};

fuzz_target!(|input: (&[u8], i64, usize)| {
    let (bytes, now, length) = input;
    dates_are_in_range(bytes, now);
    ranges_are_within(bytes, length);
    targeted_durations_are_bounded(bytes);
    if let Ok(value) = HeaderValue::from_bytes(bytes) {
        a_restriction_survives_what_stands_before_it(&value);
        names_are_sorted(&value);
    }
});

/// Years 0 to 9999, and the same whatever case the letters have.
fn dates_are_in_range(bytes: &[u8], now: i64) {
    let now = now.clamp(0, 253_402_300_799);
    let date = parse_http_date(bytes, now);
    assert!(date.is_none_or(|date| (-62_167_219_200..=253_402_300_800).contains(&date)), "{bytes:?}");
    assert_eq!(parse_http_date(&bytes.to_ascii_lowercase(), now), date, "{bytes:?}");
}

fn ranges_are_within(bytes: &[u8], length: usize) {
    if let ByteRange::Part(range) = byte_range(bytes, length) {
        assert!(range.start < range.end && range.end <= length, "{bytes:?} {length}");
    }
}

fn targeted_durations_are_bounded(bytes: &[u8]) {
    if let Some(control) = parse_targeted(bytes) {
        assert!(control.max_age.is_none_or(|age| age <= 1 << 31), "{bytes:?}");
    }
}

/// `no-store` behind any text counts, or the text has an open quote and nothing may be stored anyway.
fn a_restriction_survives_what_stands_before_it(value: &HeaderValue) {
    let mut headers = HeaderMap::new();
    let padded = [value.as_bytes(), b", no-store"].concat();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_bytes(&padded).expect("a value with a suffix"));
    let answer = ResponseControl::of(&headers);
    assert!(answer.no_store || answer.malformed, "{value:?}");
    let _ = RequestControl::of(&headers);
}

fn names_are_sorted(value: &HeaderValue) {
    let mut headers = HeaderMap::new();
    headers.insert(header::VARY, value.clone());
    headers.insert(header::CONNECTION, value.clone());
    if let Some(names) = vary_fields(&headers) {
        assert!(names.is_sorted_by(|one, other| one.as_str() < other.as_str()), "{value:?}");
    }
    assert!(hop_by_hop_fields(&headers).iter().all(|name| headers.contains_key(name)), "{value:?}");
}
