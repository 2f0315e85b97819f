//! Stored answers as bytes: nothing makes the reader panic, also past the checksum, and what is read is written alike.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};
use std::time::Duration;
use tower_gateway::{
    cache::{StoredFor, StoredValue},
    clock::Timestamp,
};

const KEY: &[u8] = b"key";
/// What stands before what the checksum is of.
const HEAD: usize = 21;
/// Behind the time at which it was written, and the key.
const CONTENT: usize = HEAD + 8 + 4 + KEY.len();

fuzz_target!(|input: (&[u8], u32)| {
    let (content, now) = input;
    let now = Timestamp::new(u64::from(now), i64::from(now));
    let read = |bytes: Vec<u8>| {
        StoredValue::from_bytes(Bytes::from(bytes), KEY, StoredFor::Time(Duration::ZERO), now)
    };
    assert!(read(content.to_vec()).is_none(), "who guesses a digest?");
    let Some(value) = read(with_head(content)) else { return };
    let once = value.to_bytes(KEY, now);
    let again = read(once.clone()).expect("what was written can be read");
    assert_eq!(again.to_bytes(KEY, now)[CONTENT..], once[CONTENT..]);
});

fn with_head(content: &[u8]) -> Vec<u8> {
    let mut text = vec![0; 8];
    text.extend((KEY.len() as u32).to_be_bytes());
    text.extend(KEY);
    text.extend(content);
    let digest = Sha256::digest(&text);
    [b"tgcv\x01", &digest[..16], &text].concat()
}
