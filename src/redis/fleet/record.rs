//! What travels: who says it, about what, and the words.

use bytes::{Buf, BufMut, Bytes};

/// One record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Random: two records that say the same differ in it.
    pub(super) mark: Bytes,
    /// Which process.
    pub(super) from: Bytes,
    /// Whom it concerns.
    pub(super) topic: Bytes,
    pub(super) words: Bytes,
}

const VERSION: u8 = 2;
/// The scripts know where the mark is, too.
const MARK: usize = 8;

impl Record {
    pub(super) fn to_bytes(from: &str, topic: &str, words: &[u8]) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.put_u64(fastrand::u64(..));
        for part in [from.as_bytes(), topic.as_bytes()] {
            out.put_u32(part.len() as u32);
            out.put_slice(part);
        }
        out.put_slice(words);
        out
    }

    /// `None`: of another version, or nonsense.
    pub(super) fn from_bytes(mut bytes: Bytes) -> Option<Self> {
        if bytes.try_get_u8().ok()? != VERSION {
            return None;
        }
        let mark = (bytes.len() >= MARK).then(|| bytes.split_to(MARK))?;
        let mut part = || {
            let length = bytes.try_get_u32().ok()? as usize;
            (length <= bytes.len()).then(|| bytes.split_to(length))
        };
        let (from, topic) = (part()?, part()?);
        Some(Self { mark, from, topic, words: bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_record_comes_back_whole_and_garbage_is_none(
            from in ".{0,9}", topic in ".{0,9}", words in proptest::collection::vec(any::<u8>(), 0..40), cut in 0_usize..9,
        ) {
            let bytes = Record::to_bytes(&from, &topic, &words);
            let record = Record::from_bytes(bytes.clone().into()).unwrap();
            let parts = (&record.from[..], &record.topic[..], &record.words[..]);
            prop_assert_eq!(parts, (from.as_bytes(), topic.as_bytes(), &words[..]));
            prop_assert!(Record::from_bytes(Bytes::copy_from_slice(&bytes[..cut])).is_none());
            let _garbage = Record::from_bytes(words.into());
        }
    }
}
