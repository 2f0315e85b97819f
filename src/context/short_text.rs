//! A short text, kept in place: copying it costs less than counting a reference, and reading it no cache miss.

use std::{fmt, sync::Arc};

/// Up to `N` bytes in place (at most 255), longer ones behind a reference count.
#[derive(Clone)]
pub(crate) enum ShortText<const N: usize> {
    Short { len: u8, text: [u8; N] },
    Long(Arc<str>),
}

impl<const N: usize> ShortText<N> {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Short { len, text } => std::str::from_utf8(&text[..usize::from(*len)]).unwrap_or_default(),
            Self::Long(text) => text,
        }
    }
}

impl<const N: usize> From<&str> for ShortText<N> {
    fn from(given: &str) -> Self {
        let mut text = [0; N];
        match (text.get_mut(..given.len()), u8::try_from(given.len())) {
            (Some(start), Ok(len)) => {
                start.copy_from_slice(given.as_bytes());
                Self::Short { len, text }
            }
            _ => Self::Long(given.into()),
        }
    }
}

/// Shows the length alone: the text may be a secret.
impl<const N: usize> fmt::Debug for ShortText<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShortText({} bytes)", self.as_str().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_every_length_are_kept_whole() {
        for length in [0, 1, 21, 22, 23, 255, 256, 4_000] {
            let text = "ä".repeat(length / 2) + &"x".repeat(length % 2);
            assert_eq!(ShortText::<22>::from(text.as_str()).as_str(), text);
            assert_eq!(ShortText::<300>::from(text.as_str()).as_str(), text);
        }
    }
}
