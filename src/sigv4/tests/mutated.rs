//! Damaged signatures: none makes anything panic, and whatever passes says what was signed. 20,000 in every run, a million
//! with `LONG=1`; `fuzz/fuzz_targets/signatures.rs` looks further.

use super::{Raw, properties};

/// A small generator with a fixed seed (xorshift64): the same requests every time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// Bytes that mean something somewhere in a signature.
const BYTES: &[u8] = b"=,;/&%+?: \t.~-_0Aa9ZTXz\x7f\xff";

fn damage(text: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(text.len().max(1)).min(text.len());
    let byte = BYTES[random.below(BYTES.len())];
    match random.below(5) {
        0 => text.truncate(at),
        1 | 2 => text.insert(at, byte),
        _ if at == text.len() => text.push(byte),
        3 => text[at] ^= 1 << random.below(8),
        _ => drop(text.remove(at)),
    }
}

fn damaged(good: &Raw, random: &mut Random) -> Raw {
    let mut raw = good.clone();
    for _ in 0..=random.below(3) {
        match random.below(raw.headers.len() + 1) {
            0 => damage(&mut raw.target, random),
            field => damage(&mut raw.headers[field - 1].1, random),
        }
    }
    if random.below(20) == 0 {
        let twice = raw.headers[random.below(raw.headers.len())].clone();
        raw.headers.push(twice);
    }
    raw
}

#[test]
fn what_is_damaged_is_refused_or_says_the_same() {
    let count = if std::env::var_os("LONG").is_some() { 500_000 } else { 10_000 };
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for presigned in [false, true] {
        let good = properties::example(presigned);
        let texts = properties::texts(&good);
        let mut accepted = 0;
        for _ in 0..count {
            let raw = damaged(&good, &mut random);
            if properties::is_accepted(&raw) {
                accepted += 1;
                assert_eq!(properties::texts(&raw), texts, "{raw:?}");
            }
        }
        assert!(accepted > 0 && accepted < count / 10, "{accepted}: some damage hits what is not signed");
    }
}
