//! What is configured and what is in the file, made one: what was changed last counts.
//!
//! With each thing the file keeps the configuration that it came from. At a start:
//!
//! | the file | configured | what counts |
//! |---|---|---|
//! | has not seen it | yes | the configuration |
//! | has it, or has seen it deleted | as at the last start | the file: it was changed while the process ran |
//! | has it, or has seen it deleted | differently, or for the first time | the configuration: it was changed in between |
//! | has it | no longer, but once | it is deleted |
//! | has it | never | the file |

use crate::codec::{Reader, Writer};
use sha2::{Digest, Sha256};

const VERSION: u8 = 1;

/// The digest of what was configured.
pub(super) type Seed = [u8; 32];

pub(super) fn seed_of(configured: &[u8]) -> Seed {
    Sha256::digest(configured).into()
}

/// What the file has of a key or plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// The configuration that it came from, if it ever did.
    pub(super) seed: Option<Seed>,
    /// `None`: it was configured and deleted since.
    pub(super) record: Option<Vec<u8>>,
}

impl Row {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new(VERSION);
        writer.option(self.seed, |writer, seed| {
            writer.raw(&seed);
        });
        writer.option(self.record.as_deref(), |writer, record| {
            writer.bytes(record);
        });
        writer.finish()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::of_version(bytes, VERSION)?;
        let seed = reader.option(Reader::array)?;
        let record = reader.option(|reader| reader.bytes().map(<[u8]>::to_vec))?;
        reader.end()?;
        Some(Self { seed, record })
    }
}

/// Which side counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counts {
    Configuration,
    File,
    Nothing,
}

/// By the seeds of the file's row (if there is one) and of the configuration (if there is one).
pub(super) fn which(row: Option<Option<Seed>>, configured: Option<Seed>) -> Counts {
    match (row, configured) {
        (None, None) | (Some(Some(_)), None) => Counts::Nothing,
        (Some(None), None) => Counts::File,
        (Some(seed), configured @ Some(_)) if seed == configured => Counts::File,
        (_, Some(_)) => Counts::Configuration,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_module_page() {
        let (old, new) = (Some([1; 32]), Some([2; 32]));
        assert_eq!(which(None, new), Counts::Configuration);
        assert_eq!(which(Some(old), old), Counts::File);
        assert_eq!(which(Some(old), new), Counts::Configuration);
        assert_eq!(which(Some(None), new), Counts::Configuration);
        assert_eq!(which(Some(old), None), Counts::Nothing);
        assert_eq!(which(Some(None), None), Counts::File);
        assert_eq!(which(None, None), Counts::Nothing);
    }

    #[test]
    fn rows_come_back() {
        for row in [
            Row { seed: None, record: Some(vec![1, 2]) },
            Row { seed: Some([7; 32]), record: None },
            Row { seed: Some([7; 32]), record: Some(Vec::new()) },
        ] {
            let bytes = row.to_bytes();
            assert_eq!(Row::from_bytes(&bytes), Some(row));
            assert!((0..bytes.len()).all(|cut| Row::from_bytes(&bytes[..cut]).is_none()));
        }
    }
}
