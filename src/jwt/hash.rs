//! SipHash with 128 bits of output: what tokens are remembered by.
//!
//! Keyed, because the cache is indexed by what clients send; 128 bits, because whoever meets an entry is let in; one
//! round per word and three at the end, as in `std`'s hasher, because nobody outside sees an output.

/// Hashes under a key of its own, drawn when it is made.
#[derive(Clone)]
pub(super) struct TokenHasher {
    key: [u64; 2],
}

impl TokenHasher {
    pub(super) fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        let key = u128::from_le_bytes(bytes);
        Ok(Self { key: [key as u64, (key >> 64) as u64] })
    }

    pub(super) fn hash(&self, token: &[u8]) -> u128 {
        sip_hash::<1, 3>(self.key, token)
    }
}

/// Shows nothing: who knows the key can aim.
impl std::fmt::Debug for TokenHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenHasher(..)")
    }
}

/// SipHash-C-D (Aumasson and Bernstein, 2012) with the 128-bit output of the reference implementation.
fn sip_hash<const C: usize, const D: usize>(key: [u64; 2], text: &[u8]) -> u128 {
    let mut state = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d ^ 0xee,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    let (words, rest) = text.as_chunks::<8>();
    for word in words {
        absorb::<C>(&mut state, u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    last[7] = text.len() as u8;
    absorb::<C>(&mut state, u64::from_le_bytes(last));
    state[2] ^= 0xee;
    let low = squeeze::<D>(&mut state);
    state[1] ^= 0xdd;
    u128::from(squeeze::<D>(&mut state)) << 64 | u128::from(low)
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
    fn every_byte_and_every_key_counts() {
        let hasher = TokenHasher::random().unwrap();
        let token = [b'x'; 77];
        for index in 0..token.len() {
            let mut other = token;
            other[index] ^= 1;
            assert_ne!(hasher.hash(&token), hasher.hash(&other), "{index}");
        }
        assert_ne!(hasher.hash(&token), hasher.hash(&token[1..]));
        assert_ne!(hasher.hash(&token), TokenHasher::random().unwrap().hash(&token));
    }
}
