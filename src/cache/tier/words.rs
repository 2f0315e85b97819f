//! What travels of purges: which cache tells of them, and which they are.

use crate::cache::{codec, purge::Purge};
use bytes::{Buf, BufMut, Bytes};

/// Above those of a purge alone, which is what was sent before.
const VERSION: u8 = 3;

pub(super) fn to_bytes(maker: u128, purges: &[Bytes]) -> Bytes {
    let mut out = vec![VERSION];
    out.put_u128(maker);
    purges.iter().for_each(|purge| codec::put_text(&mut out, purge));
    out.into()
}

/// `None`: of another version, or nonsense.
pub(super) fn from_bytes(bytes: &[u8]) -> Option<(u128, Box<[Purge]>)> {
    let mut bytes = Bytes::copy_from_slice(bytes);
    if bytes.try_get_u8().ok()? != VERSION {
        return None;
    }
    let maker = bytes.try_get_u128().ok()?;
    let mut purges = Vec::new();
    while !bytes.is_empty() {
        purges.push(Purge::from_bytes(&codec::take_text(&mut bytes)?)?);
    }
    Some((maker, purges.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_come_back_whole_and_what_is_cut_off_is_none() {
        let purges = [Purge::all().tag("a"), Purge::exactly(b"key")];
        let text = to_bytes(7, &purges.each_ref().map(Purge::to_bytes));
        let (maker, read) = from_bytes(&text).unwrap();
        assert_eq!((maker, format!("{read:?}")), (7, format!("{purges:?}")));
        assert!(from_bytes(&text[..text.len() - 1]).is_none() && from_bytes(&text[..9]).is_none());
        assert!(from_bytes(&purges[0].to_bytes()).is_none(), "of before");
    }
}
