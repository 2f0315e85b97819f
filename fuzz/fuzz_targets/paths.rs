//! Paths: what is accepted never means a dot segment to anybody behind us, and a match is what the path says.
#![no_main]

use http::Method;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tower_gateway::route::{ApiMethod, Routes, check_path};

static ROUTES: LazyLock<Routes> = LazyLock::new(|| {
    let method = ApiMethod::new;
    Routes::builder()
        .any("/", method())
        .method("/pets", Method::GET, method())
        .method("/pets/{id}", Method::GET, method())
        .any("/pets/{id}/toys/{toy}", method())
        .any("/pets/mine/{rest+}", method())
        .any("/files/{path+}", method())
        .build()
        .expect("a valid table")
});

fuzz_target!(|path: &str| {
    if check_path(path).is_ok() {
        no_reader_sees_a_dot_segment(path);
    }
    for verb in [Method::GET, Method::POST] {
        a_match_is_what_the_path_says(&verb, path);
    }
});

/// As received and decoded, and whichever slash the reader believes in.
fn no_reader_sees_a_dot_segment(path: &str) {
    assert_no_dot_segment(path.as_bytes(), path);
    assert_no_dot_segment(&decoded(path.as_bytes()), path);
}

fn assert_no_dot_segment(read: &[u8], path: &str) {
    let mut segments = read.split(|byte| matches!(byte, b'/' | b'\\'));
    assert!(!segments.any(|segment| matches!(segment, b"." | b"..")), "{path:?}");
    assert!(!read.contains(&0) || path.contains('\0'), "{path:?}");
}

fn decoded(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = path;
    while let [first, tail @ ..] = rest {
        let digits = tail.get(..2).filter(|_| *first == b'%').and_then(|pair| std::str::from_utf8(pair).ok());
        let escape = digits.filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match escape.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &rest[3..];
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

fn a_match_is_what_the_path_says(verb: &Method, path: &str) {
    let Some(found) = ROUTES.find(verb, path) else { return };
    let mut literal_bytes = 0;
    for segment in found.resource_path().split('/').filter(|segment| !segment.is_empty()) {
        let Some(name) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            literal_bytes += segment.len();
            continue;
        };
        let value = found.param(name.trim_end_matches('+')).expect("a declared variable has a value");
        assert!(path.contains(value), "{path:?} {value:?}");
        assert!(name.ends_with('+') || (!value.is_empty() && !value.contains('/')), "{path:?} {value:?}");
        literal_bytes += value.len();
    }
    assert!(literal_bytes <= path.len(), "{path:?} {}", found.resource_path());
}
