//! Where a canonical text goes: straight into a hash, or into a buffer that people read.

use sha2::digest::Update;

/// Takes a text piece by piece.
pub(super) trait Sink {
    fn put(&mut self, bytes: &[u8]);

    fn put_byte(&mut self, byte: u8);
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn put_byte(&mut self, byte: u8) {
        self.push(byte);
    }
}

const SIZE: usize = 512;

/// Gathers small pieces, so that the hash sees few large ones. Nothing is allocated.
pub(super) struct Gathered<U> {
    inner: U,
    buffer: [u8; SIZE],
    length: usize,
}

impl<U: Update> Gathered<U> {
    pub(super) fn new(inner: U) -> Self {
        Self { inner, buffer: [0; SIZE], length: 0 }
    }

    /// The hash, with everything in it.
    pub(super) fn into_inner(mut self) -> U {
        self.flush();
        self.inner
    }

    fn flush(&mut self) {
        self.inner.update(&self.buffer[..self.length]);
        self.length = 0;
    }
}

impl<U: Update> Sink for Gathered<U> {
    fn put(&mut self, bytes: &[u8]) {
        if bytes.len() > SIZE - self.length {
            self.flush();
        }
        match self.buffer.get_mut(self.length..self.length + bytes.len()) {
            Some(free) => {
                free.copy_from_slice(bytes);
                self.length += bytes.len();
            }
            None => self.inner.update(bytes),
        }
    }

    /// Half of all pieces are separators: no call, no copy.
    #[inline]
    fn put_byte(&mut self, byte: u8) {
        if self.length == SIZE {
            self.flush();
        }
        self.buffer[self.length] = byte;
        self.length += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    proptest! {
        #[test]
        fn gathering_changes_nothing(sizes in proptest::collection::vec(prop_oneof![0usize..1200, 509usize..514], 0..12)) {
            let mut gathered = Gathered::new(Sha256::new());
            let mut whole = Vec::new();
            for (index, size) in sizes.into_iter().enumerate() {
                let piece = vec![index as u8; size];
                gathered.put(&piece);
                whole.put(&piece);
                if size % 3 == 0 {
                    gathered.put_byte(7);
                    whole.put_byte(7);
                }
            }
            prop_assert_eq!(gathered.into_inner().finalize(), Sha256::digest(&whole));
        }
    }
}
