//! Records as bytes, for stores outside of the process: lengths before texts, numbers in little endian.
//!
//! A record starts with its version. Reading is total: whatever the bytes are, the answer is a record or `None`, and
//! nothing is allocated that the bytes do not hold.

/// Writes a record.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// A record of this version.
    pub(crate) fn new(version: u8) -> Self {
        Self(vec![version])
    }

    pub(crate) fn u8(&mut self, number: u8) -> &mut Self {
        self.raw(&[number])
    }

    pub(crate) fn flag(&mut self, flag: bool) -> &mut Self {
        self.u8(flag.into())
    }

    pub(crate) fn u32(&mut self, number: u32) -> &mut Self {
        self.raw(&number.to_le_bytes())
    }

    pub(crate) fn u64(&mut self, number: u64) -> &mut Self {
        self.raw(&number.to_le_bytes())
    }

    pub(crate) fn i64(&mut self, number: i64) -> &mut Self {
        self.raw(&number.to_le_bytes())
    }

    /// Bytes of a length that the reader knows.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Bytes behind their length. Nothing that is kept has 4 GiB: limits far below are checked where it is made.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        debug_assert!(u32::try_from(bytes.len()).is_ok(), "a field of 4 GiB");
        self.u32(bytes.len() as u32).raw(bytes)
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    /// A mark, and the value where there is one.
    pub(crate) fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) -> &mut Self {
        self.flag(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
        self
    }

    /// A count, and the items.
    pub(crate) fn list<T>(
        &mut self,
        items: impl ExactSizeIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        self.u32(items.len() as u32);
        items.for_each(|item| write(self, item));
        self
    }

    pub(crate) fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}

/// Reads a record. Every step answers `None` where the bytes end, or are not what is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// A record of exactly this version.
    pub(crate) fn of_version(bytes: &'a [u8], version: u8) -> Option<Self> {
        let mut reader = Self(bytes);
        (reader.u8()? == version).then_some(reader)
    }

    pub(crate) fn raw(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(crate) fn array<const LENGTH: usize>(&mut self) -> Option<[u8; LENGTH]> {
        self.raw(LENGTH)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    /// 0 or 1 and nothing else, so that a record has one form.
    pub(crate) fn flag(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()?;
        self.raw(length as usize)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// `Some(None)` where no value was written.
    pub(crate) fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.flag()? { read(self).map(Some) } else { Some(None) }
    }

    /// Grows as items are read: a count is only a promise.
    pub(crate) fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.u32()?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(read(self)?);
        }
        Some(items)
    }

    /// What is left, all of it.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// The record ends here.
    pub(crate) fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read() {
        let mut writer = Writer::new(3);
        writer.u8(9).flag(true).u32(7).u64(u64::MAX).i64(-1).text("é").bytes(&[]).raw(&[1, 2]);
        writer.option(Some(5), |writer, number| {
            writer.u32(number);
        });
        writer.option(None::<u32>, |_, _| ()).list([1, 2].into_iter(), |writer, number| {
            writer.u32(number);
        });
        let bytes = writer.finish();
        assert!(Reader::of_version(&bytes, 2).is_none());
        let mut reader = Reader::of_version(&bytes, 3).unwrap();
        assert_eq!((reader.u8(), reader.flag(), reader.u32()), (Some(9), Some(true), Some(7)));
        assert_eq!((reader.u64(), reader.i64()), (Some(u64::MAX), Some(-1)));
        assert_eq!((reader.text(), reader.bytes()), (Some("é"), Some(&[][..])));
        assert_eq!(reader.array(), Some([1, 2]));
        assert_eq!(reader.option(Reader::u32), Some(Some(5)));
        assert_eq!(reader.option(Reader::u32), Some(None));
        assert_eq!(reader.list(Reader::u32), Some(vec![1, 2]));
        assert_eq!(reader.end(), Some(()));
    }

    #[test]
    fn a_count_that_lies_allocates_nothing() {
        assert_eq!(Reader::new(&[0xff; 4]).list(Reader::u8), None);
        assert_eq!(Reader::new(&[0xff; 5]).bytes(), None);
        assert_eq!(Reader::new(&[2]).flag(), None);
        assert_eq!(Reader::new(&[1, 0, 0, 0, 0xff]).text(), None);
        assert_eq!(Reader::new(&[0]).end(), None);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut reader = Reader::new(&bytes);
            let read = reader.list(|reader| Some((reader.text()?, reader.option(Reader::u64)?)));
            prop_assert!(read.is_none_or(|items| items.len() * 5 <= bytes.len()));
        }
    }
}
