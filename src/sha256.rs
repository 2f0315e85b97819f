//! What is needed to use the compression of SHA-256 directly: where it starts, and how its words are written.

#[cfg(feature = "api-key")]
use sha2::block_api::compress256;

/// Bytes that are compressed at a time.
pub(crate) const BLOCK: usize = 64;

/// FIPS 180-4 section 5.3.3.
pub(crate) const START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

pub(crate) fn to_bytes(words: [u32; 8]) -> [u8; 32] {
    let mut digest = [0; 32];
    for (bytes, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *bytes = word.to_be_bytes();
    }
    digest
}

/// SHA-256 of a text that fits, with its padding, into three blocks (FIPS 180-4 section 5.1.1): padded in one go, because
/// the front of `sha2` costs as much as its compression of such a text.
#[cfg(feature = "api-key")]
pub(crate) fn short_sha256(text: &[u8]) -> Option<[u8; 32]> {
    let mut room = [0; 3 * BLOCK];
    let end = (text.len() + 1 + size_of::<u64>()).next_multiple_of(BLOCK);
    let padded = room.get_mut(..end)?;
    padded[..text.len()].copy_from_slice(text);
    padded[text.len()] = 0x80;
    let bits = text.len() as u64 * 8;
    padded[end - size_of::<u64>()..].copy_from_slice(&bits.to_be_bytes());
    let mut words = START;
    compress256(&mut words, padded.as_chunks().0);
    Some(to_bytes(words))
}
