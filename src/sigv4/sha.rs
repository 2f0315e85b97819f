//! SHA-256 and HMAC over texts that are gathered first, so that the compression sees whole blocks, several at a time.
//!
//! The compression is that of `sha2`, with the instructions of the machine. The usual fronts, `Sha256` and `Hmac`, take a
//! text piece by piece and copy their states with every hash that is begun, which is about a thousand instructions for a
//! signature. Both constructions here are held against them in the tests.

use super::sink::Sink;
use crate::sha256::{BLOCK, START, to_bytes};
use sha2::block_api::compress256;
use std::fmt;

/// A hash so far: whole blocks.
#[derive(Clone, Copy)]
struct Midstate {
    words: [u32; 8],
    /// Bytes that were compressed.
    length: u64,
}

impl Midstate {
    const START: Self = Self { words: START, length: 0 };

    fn compress(&mut self, blocks: &[[u8; BLOCK]]) {
        compress256(&mut self.words, blocks);
        self.length += (blocks.len() * BLOCK) as u64;
    }
}

/// A text on its way into a hash, and room for `BLOCKS` blocks of it. Any length may be written.
pub(super) struct Gathered<const BLOCKS: usize> {
    state: Midstate,
    blocks: [[u8; BLOCK]; BLOCKS],
    /// Bytes in `blocks`.
    filled: usize,
}

impl<const BLOCKS: usize> Gathered<BLOCKS> {
    const SIZE: usize = BLOCKS * BLOCK;

    pub(super) fn new() -> Self {
        Self::behind(Midstate::START)
    }

    fn behind(state: Midstate) -> Self {
        Self { state, blocks: [[0; BLOCK]; BLOCKS], filled: 0 }
    }

    fn flush(&mut self) {
        self.state.compress(&self.blocks);
        self.filled = 0;
    }

    /// More than there is room for: whole blocks are compressed where they stand.
    fn put_long(&mut self, mut bytes: &[u8]) {
        if self.filled > 0 {
            let (first, rest) = bytes.split_at(Self::SIZE - self.filled);
            self.blocks.as_flattened_mut()[self.filled..].copy_from_slice(first);
            self.flush();
            bytes = rest;
        }
        let (whole, rest) = bytes.as_chunks();
        self.state.compress(whole);
        self.blocks.as_flattened_mut()[..rest.len()].copy_from_slice(rest);
        self.filled = rest.len();
    }

    /// The hash of the whole text (FIPS 180-4 section 5.1.1), which is at its end then.
    pub(super) fn finish(&mut self) -> [u8; 32] {
        let bits = (self.state.length + self.filled as u64) * 8;
        self.put_byte(0x80);
        if self.filled > Self::SIZE - 8 {
            self.blocks.as_flattened_mut()[self.filled..].fill(0);
            self.flush();
        }
        let end = (self.filled + 8).next_multiple_of(BLOCK);
        let text = self.blocks.as_flattened_mut();
        text[self.filled..end - 8].fill(0);
        text[end - 8..end].copy_from_slice(&bits.to_be_bytes());
        self.state.compress(&self.blocks[..end / BLOCK]);
        to_bytes(self.state.words)
    }
}

impl<const BLOCKS: usize> Sink for Gathered<BLOCKS> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        let end = self.filled + bytes.len();
        match self.blocks.as_flattened_mut().get_mut(self.filled..end) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.filled = end;
            }
            None => self.put_long(bytes),
        }
    }

    /// Half of all pieces are separators: no call, no copy.
    #[inline]
    fn put_byte(&mut self, byte: u8) {
        if self.filled == Self::SIZE {
            self.flush();
        }
        self.blocks.as_flattened_mut()[self.filled] = byte;
        self.filled += 1;
    }
}

/// A key of HMAC-SHA-256 (RFC 2104), of which both blocks are compressed already. `Debug` shows nothing.
#[derive(Clone, Copy)]
pub(super) struct MacKey {
    inner: [u32; 8],
    outer: [u32; 8],
}

impl MacKey {
    pub(super) fn new(key: &[u8]) -> Self {
        let mut block = [0; BLOCK];
        match block.get_mut(..key.len()) {
            Some(start) => start.copy_from_slice(key),
            None => block[..32].copy_from_slice(&sha256(key)),
        }
        let with = |pad: u8| {
            let mut words = START;
            compress256(&mut words, &[block.map(|byte| byte ^ pad)]);
            words
        };
        Self { inner: with(0x36), outer: with(0x5c) }
    }

    /// The code of the text that `write` writes.
    pub(super) fn of<const BLOCKS: usize>(&self, write: impl FnOnce(&mut Gathered<BLOCKS>)) -> [u8; 32] {
        let mut text = Gathered::behind(Midstate { words: self.inner, length: BLOCK as u64 });
        write(&mut text);
        let mut words = self.outer;
        compress256(&mut words, &[last_block(&text.finish())]);
        to_bytes(words)
    }
}

/// A digest behind one block, with the end of the text.
fn last_block(digest: &[u8; 32]) -> [u8; BLOCK] {
    const BITS: u64 = (BLOCK as u64 + 32) * 8;
    let mut block = [0; BLOCK];
    block[..32].copy_from_slice(digest);
    block[32] = 0x80;
    block[BLOCK - 8..].copy_from_slice(&BITS.to_be_bytes());
    block
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey(..)")
    }
}

/// The hash of a text that is all there.
pub(super) fn sha256(text: &[u8]) -> [u8; 32] {
    let mut gathered = Gathered::<1>::new();
    gathered.put(text);
    gathered.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hmac::{Hmac, KeyInit, Mac};
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    fn gather<const BLOCKS: usize>(pieces: &[Vec<u8>]) -> [u8; 32] {
        let mut gathered = Gathered::<BLOCKS>::new();
        for piece in pieces {
            match piece[..] {
                [byte] => gathered.put_byte(byte),
                _ => gathered.put(piece),
            }
        }
        gathered.finish()
    }

    #[test]
    fn every_length_around_the_ends_of_blocks() {
        for length in 0..600 {
            let text: Vec<u8> = (0..length).map(|index| index as u8).collect();
            let expected: [u8; 32] = Sha256::digest(&text).into();
            assert_eq!(gather::<1>(std::slice::from_ref(&text)), expected, "{length}");
            assert_eq!(gather::<2>(std::slice::from_ref(&text)), expected, "{length}");
            assert_eq!(gather::<8>(std::slice::from_ref(&text)), expected, "{length}");
        }
    }

    #[test]
    fn keys_of_every_length() {
        for length in 0..140 {
            let key: Vec<u8> = (0..length).map(|index| index as u8 ^ 0x5a).collect();
            let mut theirs = Hmac::<Sha256>::new_from_slice(&key).unwrap();
            theirs.update(b"text");
            let expected: [u8; 32] = theirs.finalize().into_bytes().into();
            assert_eq!(MacKey::new(&key).of::<1>(|text| text.put(b"text")), expected, "{length}");
        }
    }

    proptest! {
        #[test]
        fn gathering_changes_nothing(
            sizes in prop::collection::vec(prop_oneof![0usize..200, 1usize..2, 60usize..70, 505usize..520], 0..12),
        ) {
            let pieces: Vec<_> = sizes.into_iter().enumerate().map(|(index, size)| vec![index as u8; size]).collect();
            let expected: [u8; 32] = Sha256::digest(pieces.concat()).into();
            prop_assert_eq!(gather::<1>(&pieces), expected);
            prop_assert_eq!(gather::<3>(&pieces), expected);
            prop_assert_eq!(gather::<8>(&pieces), expected);
        }

        #[test]
        fn codes_are_those_of_hmac(key in prop::collection::vec(any::<u8>(), 0..100), text in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut theirs = Hmac::<Sha256>::new_from_slice(&key).unwrap();
            theirs.update(&text);
            let expected: [u8; 32] = theirs.finalize().into_bytes().into();
            prop_assert_eq!(MacKey::new(&key).of::<2>(|sink| sink.put(&text)), expected);
        }
    }
}
