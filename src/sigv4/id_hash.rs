//! The hash of access key ids.

use std::hash::Hasher;

/// Without a secret: what a client sends is looked up, and never put into the table. Eight bytes are one multiplication,
/// of which both halves count.
#[derive(Default)]
pub(super) struct IdHasher(u64);

/// 2^64 divided by the golden ratio.
const FACTOR: u128 = 0x9e37_79b9_7f4a_7c15;

impl IdHasher {
    fn add(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * FACTOR;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }
}

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        words.iter().for_each(|word| self.add(u64::from_le_bytes(*word)));
        let last = rest.iter().fold(1, |last, byte| last << 8 | u64::from(*byte));
        self.add(last);
    }

    /// The end of a text, whose length is in the last word.
    fn write_u8(&mut self, _: u8) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        collections::HashSet,
        hash::{BuildHasher, BuildHasherDefault},
    };

    fn hash(id: &str) -> u64 {
        BuildHasherDefault::<IdHasher>::default().hash_one(id)
    }

    /// Tables look at the lowest bits first, and then at the seven highest.
    #[test]
    fn ids_that_look_alike_fall_far_apart() {
        for pattern in [
            |n: u32| format!("AKIA{n:016}"),
            |n: u32| format!("{n}"),
            |n: u32| format!("{n:08}AKIAIOSFODNN7"),
        ] {
            let hashes: Vec<_> = (0..4096).map(|number| hash(&pattern(number))).collect();
            let places: HashSet<_> = hashes.iter().map(|hash| hash & 0xfff).collect();
            let tags: HashSet<_> = hashes.iter().map(|hash| hash >> 57).collect();
            // By chance 4,096 balls hit 2,589 of as many places.
            assert!(places.len() > 2_400 && tags.len() == 128, "{} {}", places.len(), tags.len());
        }
        assert_ne!(hash("a"), hash("a\0"));
    }
}
