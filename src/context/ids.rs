//! Request id and extended request id, rendered once.

/// Both ids, one after the other: 36 characters of UUID version 4, then 16 of base64.
#[derive(Clone, Debug)]
pub(super) struct RequestIds([u8; TEXT_LEN]);

const UUID_LEN: usize = 36;
const EXTENDED_LEN: usize = 16;
pub(crate) const TEXT_LEN: usize = UUID_LEN + EXTENDED_LEN;

const HEX: &[u8; 16] = b"0123456789abcdef";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

impl RequestIds {
    /// Ids name requests, they protect nothing: a fast generator will do.
    pub(super) fn random() -> Self {
        let (mut request_id, mut extended) = ([0; UUID_LEN], [0; EXTENDED_LEN]);
        write_uuid(fastrand::u128(..), &mut request_id);
        write_extended(fastrand::u128(..), &mut extended);
        let mut text = [0; TEXT_LEN];
        text[..UUID_LEN].copy_from_slice(&request_id);
        text[UUID_LEN..].copy_from_slice(&extended);
        Self(text)
    }

    pub(super) fn text(&self) -> &[u8; TEXT_LEN] {
        &self.0
    }

    pub(super) fn request_id(&self) -> &str {
        std::str::from_utf8(&self.0[..UUID_LEN]).unwrap_or_default()
    }

    pub(super) fn extended_request_id(&self) -> &str {
        std::str::from_utf8(&self.0[UUID_LEN..]).unwrap_or_default()
    }
}

/// Two characters for every byte.
static HEX_PAIRS: [[u8; 2]; 256] = hex_pairs();

const fn hex_pairs() -> [[u8; 2]; 256] {
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [HEX[byte >> 4], HEX[byte & 0xf]];
        byte += 1;
    }
    pairs
}

/// Where the pairs of the 16 bytes stand between the dashes.
const UUID_PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

fn write_uuid(random: u128, out: &mut [u8; UUID_LEN]) {
    let bits = random & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    *out = [b'-'; UUID_LEN];
    for (byte, place) in bits.to_be_bytes().into_iter().zip(UUID_PLACES) {
        [out[place], out[place + 1]] = HEX_PAIRS[usize::from(byte)];
    }
}

/// 11 bytes of base64: 14 full characters, one with four bits, and one `=`.
fn write_extended(random: u128, out: &mut [u8; EXTENDED_LEN]) {
    // Seven characters of each half: 42 of 64 bits.
    let halves = [random as u64, (random >> 64) as u64];
    for (half, characters) in halves.into_iter().zip(out.as_chunks_mut::<7>().0) {
        for (index, character) in characters.iter_mut().enumerate() {
            *character = BASE64[(half >> (6 * index)) as usize & 0x3f];
        }
    }
    out[14] = BASE64[(halves[0] >> 48) as usize & 0x3c];
    out[15] = b'=';
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_their_documented_form() {
        let (one, other) = (RequestIds::random(), RequestIds::random());
        assert_ne!(one.request_id(), other.request_id());
        assert_ne!(one.extended_request_id(), other.extended_request_id());
        for ids in [one, other] {
            let parts: Vec<_> = ids.request_id().split('-').map(str::len).collect();
            assert_eq!(parts, [8, 4, 4, 4, 12]);
            assert_eq!(&ids.request_id()[14..15], "4");
            assert!(["8", "9", "a", "b"].contains(&&ids.request_id()[19..20]));
            assert_eq!(ids.extended_request_id().len(), 16);
            assert!(ids.extended_request_id().ends_with('='));
        }
    }
}
