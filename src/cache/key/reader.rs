//! Reads keys back, for purges.

use super::{END, KeyHead, tag};

/// What is left to read of a key.
#[derive(Clone, Copy, Debug)]
pub(in crate::cache) struct KeyReader<'a>(&'a [u8]);

impl<'a> KeyReader<'a> {
    /// The head of a key, and a reader of what follows.
    pub(in crate::cache) fn head(key: &'a [u8]) -> Option<(KeyHead<'a>, Self)> {
        let mut reader = Self(key);
        let head = KeyHead {
            instance: reader.part()?,
            stage: reader.part()?,
            deployment: reader.part()?,
            namespace: reader.part()?,
            method: reader.part()?,
            path: reader.part()?,
        };
        Some((head, reader))
    }

    /// Whether what follows the head says that a canary has a cache of its own.
    pub(in crate::cache) fn is_of_canary(self) -> bool {
        self.0.first() == Some(&tag::CANARY)
    }

    fn part(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let (part, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.0 = rest;
        Some(part)
    }

    /// Whether `wanted`, the encoding of one parameter, is one of those that follow the head. What cannot be read (another
    /// version has written it) is searched byte by byte: a purge takes too much rather than too little.
    pub(in crate::cache) fn contains(mut self, wanted: &[u8]) -> bool {
        while !self.0.is_empty() {
            let rest = self.0;
            match self.parameter() {
                Some(()) if rest[..rest.len() - self.0.len()] == *wanted => return true,
                Some(()) => {}
                None => return rest.windows(wanted.len().max(1)).any(|window| window == wanted),
            }
        }
        false
    }

    /// Goes past one: a tag, its name where it has one, its values where it may have several.
    fn parameter(&mut self) -> Option<()> {
        let (tag, rest) = self.0.split_first()?;
        self.0 = rest;
        match *tag {
            tag::RECEIVED | tag::WHOLE_PATH | tag::PRINCIPAL | tag::ISSUER | tag::API_KEY => {
                self.part()?;
            }
            #[cfg(feature = "mtls")]
            tag::CERTIFICATE => {
                self.part()?;
            }
            tag::CANARY | tag::HOST | tag::WHOLE_QUERY => self.values()?,
            tag::QUERY | tag::HEADER | tag::DIGEST | tag::PATH => {
                self.part()?;
                self.values()?;
            }
            _ => return None,
        }
        Some(())
    }

    fn values(&mut self) -> Option<()> {
        loop {
            if let Some(rest) = self.0.strip_prefix(&END.to_le_bytes()) {
                self.0 = rest;
                return Some(());
            }
            self.part()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_found_whole_and_nowhere_else() {
        let part = |text: &str| [&(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat();
        let end = END.to_le_bytes().to_vec();
        let none = [vec![tag::WHOLE_QUERY], end.clone()].concat();
        let query = [vec![tag::WHOLE_QUERY], part("a=Q"), end.clone()].concat();
        let header = [vec![tag::HEADER], part("x"), part("1"), part(""), end.clone()].concat();
        let caller = [vec![tag::PRINCIPAL], part("ada")].concat();
        let all = [&query[..], &header, &caller].concat();
        for (wanted, is_there) in [(&none, false), (&query, true), (&header, true), (&caller, true)] {
            assert_eq!(KeyReader(&all).contains(wanted), is_there, "{wanted:?}");
        }
        assert!(!KeyReader(&all).contains(&[]));
        // What a newer version may have written.
        let unknown = [&[0xff][..], &caller, &none].concat();
        assert!(KeyReader(&unknown).contains(&caller) && KeyReader(&unknown).contains(&none));
    }
}
