//! SipHash with 128 bits of output: what tokens and identities are remembered by.
//!
//! Keyed, because the caches are indexed by what clients send; 128 bits, because whoever meets an entry is let in; one
//! round per word and three at the end, as in `std`'s hasher, because nobody outside sees an output.

use crate::error::ConfigError;
use std::hash::{BuildHasher, Hasher};

/// A key of its own, drawn when it is made.
#[derive(Clone)]
pub(crate) struct KeyedHash {
    key: [u64; 2],
}

impl KeyedHash {
    /// `location` is the cache that the error names if the system has no randomness.
    pub(crate) fn random(location: &'static str) -> Result<Self, ConfigError> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)
            .map_err(|error| ConfigError::of_system(location, "", "no randomness for its key", error))?;
        let key = u128::from_le_bytes(bytes);
        Ok(Self { key: [key as u64, (key >> 64) as u64] })
    }

    /// A key that somebody chose.
    #[cfg(feature = "authorizer")]
    pub(crate) fn from_secret(secret: [u8; 16]) -> Self {
        let key = u128::from_le_bytes(secret);
        Self { key: [key as u64, (key >> 64) as u64] }
    }

    /// One text, and nothing else.
    #[cfg(feature = "jwt")]
    pub(crate) fn of(&self, text: &[u8]) -> u128 {
        sip_hash::<1, 3>(self.key, text)
    }

    /// Starts a list of fields.
    pub(crate) fn fields(&self) -> Fields {
        Fields { state: start(self.key), words: 0 }
    }
}

/// Shows nothing: who knows the key can aim.
impl std::fmt::Debug for KeyedHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyedHash(..)")
    }
}

/// A hash over a list of texts and marks, each of whole words: before a text stands its length, so no two lists are
/// written alike.
#[derive(Clone)]
pub(crate) struct Fields {
    state: [u64; 4],
    words: u64,
}

/// No text is that long, so a mark cannot be taken for a length.
const MARK: u64 = u64::MAX;

impl Fields {
    /// A text, after its length; its last word is filled up with zeros.
    #[inline]
    pub(crate) fn text(&mut self, text: &[u8]) {
        self.word(text.len() as u64);
        let (words, rest) = text.as_chunks::<8>();
        words.iter().for_each(|word| self.word(u64::from_le_bytes(*word)));
        if !rest.is_empty() {
            self.word(part(rest));
        }
    }

    /// What separates one group of texts from the next.
    pub(crate) fn mark(&mut self) {
        self.word(MARK);
    }

    #[inline]
    fn word(&mut self, word: u64) {
        self.words = self.words.wrapping_add(1);
        absorb::<1>(&mut self.state, word);
    }

    /// The hash; the last word is the number of bytes, as at the end of one text.
    pub(crate) fn finish(mut self) -> u128 {
        absorb::<1>(&mut self.state, self.words << 3 << 56);
        finish::<3>(&mut self.state)
    }
}

/// Up to seven bytes as a word.
fn part(rest: &[u8]) -> u64 {
    rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// For maps whose keys are such hashes: a part of the key is as good as a hash of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TakeHalf;

impl BuildHasher for TakeHalf {
    type Hasher = Half;

    fn build_hasher(&self) -> Half {
        Half(0)
    }
}

/// The hasher of [`TakeHalf`].
#[derive(Debug)]
pub(crate) struct Half(u64);

impl Hasher for Half {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

/// SipHash-C-D (Aumasson and Bernstein, 2012) with the 128-bit output of the reference implementation.
#[cfg(any(feature = "jwt", test))]
fn sip_hash<const C: usize, const D: usize>(key: [u64; 2], text: &[u8]) -> u128 {
    let mut state = start(key);
    let (words, rest) = text.as_chunks::<8>();
    for word in words {
        absorb::<C>(&mut state, u64::from_le_bytes(*word));
    }
    absorb::<C>(&mut state, part(rest) | (text.len() as u64) << 56);
    finish::<D>(&mut state)
}

fn start(key: [u64; 2]) -> [u64; 4] {
    [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d ^ 0xee,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ]
}

fn finish<const D: usize>(state: &mut [u64; 4]) -> u128 {
    state[2] ^= 0xee;
    let low = squeeze::<D>(state);
    state[1] ^= 0xdd;
    u128::from(squeeze::<D>(state)) << 64 | u128::from(low)
}

fn absorb<const C: usize>(state: &mut [u64; 4], word: u64) {
    state[3] ^= word;
    (0..C).for_each(|_| round(state));
    state[0] ^= word;
}

fn squeeze<const D: usize>(state: &mut [u64; 4]) -> u64 {
    (0..D).for_each(|_| round(state));
    state.iter().fold(0, |sum, part| sum ^ part)
}

#[inline(always)]
fn round(state: &mut [u64; 4]) {
    let [mut a, mut b, mut c, mut d] = *state;
    a = a.wrapping_add(b);
    b = b.rotate_left(13) ^ a;
    a = a.rotate_left(32);
    c = c.wrapping_add(d);
    d = d.rotate_left(16) ^ c;
    a = a.wrapping_add(d);
    d = d.rotate_left(21) ^ a;
    c = c.wrapping_add(b);
    b = b.rotate_left(17) ^ c;
    c = c.rotate_left(32);
    *state = [a, b, c, d];
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first rows of `vectors_sip128` in the reference implementation: SipHash-2-4, key 00 01 .. 0f, input the
    /// bytes 0, 1, 2, ...
    #[test]
    fn agrees_with_the_reference_vectors() {
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let expected: [[u8; 16]; 2] = [
            [0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93],
            [0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b, 0x22, 0xfc, 0x45],
        ];
        for (length, expected) in expected.into_iter().enumerate() {
            let text: Vec<u8> = (0..length as u8).collect();
            assert_eq!(sip_hash::<2, 4>(key, &text).to_le_bytes(), expected, "{length} bytes");
        }
    }

    /// The first output of SipHash-1-3 with 64 bits is `std`'s; ours differs only in the marks of the long output, so
    /// the rounds are compared through it.
    #[test]
    #[allow(deprecated, reason = "the one SipHash of std with a known key")]
    fn the_rounds_are_those_of_std() {
        use std::hash::{Hasher, SipHasher};
        let short = |text: &[u8]| {
            let mut state =
                [0x736f_6d65_7073_6575, 0x646f_7261_6e64_6f6d, 0x6c79_6765_6e65_7261, 0x7465_6462_7974_6573];
            let (words, rest) = text.as_chunks::<8>();
            words.iter().for_each(|word| absorb::<2>(&mut state, u64::from_le_bytes(*word)));
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            last[7] = text.len() as u8;
            absorb::<2>(&mut state, u64::from_le_bytes(last));
            state[2] ^= 0xff;
            squeeze::<4>(&mut state)
        };
        for length in 0..64 {
            let text = vec![7; length];
            let mut theirs = SipHasher::new();
            theirs.write(&text);
            assert_eq!(short(&text), theirs.finish(), "{length} bytes");
        }
    }

    #[test]
    #[cfg(feature = "jwt")]
    fn every_byte_and_every_key_counts() {
        let hasher = KeyedHash::random("test").unwrap();
        let token = [b'x'; 77];
        for index in 0..token.len() {
            let mut other = token;
            other[index] ^= 1;
            assert_ne!(hasher.of(&token), hasher.of(&other), "{index}");
        }
        assert_ne!(hasher.of(&token), hasher.of(&token[1..]));
        assert_ne!(hasher.of(&token), KeyedHash::random("test").unwrap().of(&token));
    }

    fn of_fields(key: [u64; 2], fields: &[Option<&[u8]>]) -> u128 {
        let mut hash = KeyedHash { key }.fields();
        for field in fields {
            match field {
                Some(text) => hash.text(text),
                None => hash.mark(),
            }
        }
        hash.finish()
    }

    /// The words of a list, hashed as one text.
    #[test]
    fn fields_are_hashed_as_the_text_that_they_are_written_as() {
        let key = [3, 4];
        let mut text = Vec::new();
        for word in
            [3, u64::from_le_bytes(*b"abc\0\0\0\0\0"), 0, u64::MAX, 8, u64::from_le_bytes(*b"12345678")]
        {
            text.extend_from_slice(&word.to_le_bytes());
        }
        let hashed = of_fields(key, &[Some(b"abc"), Some(b""), None, Some(b"12345678")]);
        assert_eq!(hashed, sip_hash::<1, 3>(key, &text));
    }

    #[test]
    fn zeros_at_the_end_and_marks_count() {
        let lists: [&[Option<&[u8]>]; 9] = [
            &[],
            &[None],
            &[Some(b"")],
            &[Some(b""), Some(b"")],
            &[Some(b"a")],
            &[Some(b"a\0")],
            &[Some(b"a\0"), None],
            &[None, Some(b"a\0")],
            &[Some(&[0xff; 8])],
        ];
        for (index, one) in lists.iter().enumerate() {
            for other in &lists[index + 1..] {
                assert_ne!(of_fields([1, 2], one), of_fields([1, 2], other), "{one:?} {other:?}");
            }
            assert_ne!(of_fields([1, 2], one), of_fields([1, 3], one), "{one:?}");
        }
    }
}
