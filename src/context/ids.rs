//! Request id and extended request id, rendered once.

/// Both ids, one after the other: 36 characters of UUID version 4, then 16 of base64.
#[derive(Clone, Debug)]
pub(super) struct RequestIds([u8; TEXT_LEN]);

const UUID_LEN: usize = 36;
pub(crate) const TEXT_LEN: usize = UUID_LEN + 16;

const HEX: &[u8; 16] = b"0123456789abcdef";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

impl RequestIds {
    /// Ids name requests, they protect nothing: a fast generator will do.
    pub(super) fn random() -> Self {
        let mut text = [0; TEXT_LEN];
        write_uuid(fastrand::u128(..), &mut text[..UUID_LEN]);
        write_extended(fastrand::u128(..), &mut text[UUID_LEN..]);
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

fn write_uuid(random: u128, out: &mut [u8]) {
    let bits = random & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let mut shift = 128;
    for (index, byte) in out.iter_mut().enumerate() {
        if matches!(index, 8 | 13 | 18 | 23) {
            *byte = b'-';
        } else {
            shift -= 4;
            *byte = HEX[(bits >> shift & 0xf) as usize];
        }
    }
}

/// 11 bytes of base64: 14 full characters, one with four bits, and one `=`.
fn write_extended(random: u128, out: &mut [u8]) {
    for (index, byte) in out.iter_mut().enumerate() {
        let bits = (random >> (6 * index)) as usize;
        *byte = match index {
            0..=13 => BASE64[bits & 0x3f],
            14 => BASE64[bits & 0x3c],
            _ => b'=',
        };
    }
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
