//! A short header value under construction, without an allocation.

/// Up to 128 bytes; what does not fit is left out whole.
#[derive(Clone, Debug)]
pub(crate) struct HeaderText {
    bytes: [u8; 128],
    length: usize,
}

impl Default for HeaderText {
    fn default() -> Self {
        Self { bytes: [0; 128], length: 0 }
    }
}

impl HeaderText {
    #[cfg(feature = "usage-plan")]
    pub(crate) fn push(&mut self, text: &str) {
        let end = self.length + text.len();
        if let Some(free) = self.bytes.get_mut(self.length..end) {
            free.copy_from_slice(text.as_bytes());
            self.length = end;
        }
    }

    #[cfg(feature = "usage-plan")]
    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}
