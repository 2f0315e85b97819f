//! A key as it is kept: its record and the digests of its values, never the values.

use super::{digest::KeyDigest, record::ApiKeyRecord, store::KeyEntry, table::Change};
use std::sync::Arc;

/// A record with the digests of its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyImage {
    pub(super) record: ApiKeyRecord,
    pub(super) current: KeyDigest,
    /// The value before the last rotation, and its end.
    pub(super) previous: Option<(KeyDigest, i64)>,
}

impl KeyImage {
    /// What requests shall know of the record as it is now.
    pub(super) fn entries(&self) -> impl Iterator<Item = Change> {
        let fields = &self.record.fields;
        let mut current = KeyEntry::new(self.current, &self.record.id).with_enabled(fields.enabled);
        if let Some(customer_id) = fields.customer_id.as_deref() {
            current = current.with_customer_id(customer_id);
        }
        let previous = self
            .previous
            .map(|(digest, end)| put(current.clone().with_digest(digest).with_end_unix_millis(end)));
        previous.into_iter().chain([put(current)])
    }

    /// The digests to forget.
    pub(super) fn removals(&self) -> impl Iterator<Item = Change> {
        let previous = self.previous.map(|(digest, _)| (digest, None));
        previous.into_iter().chain([(self.current, None)])
    }

    pub(super) fn rotate(&mut self, digest: KeyDigest, end: i64) {
        self.previous = Some((std::mem::replace(&mut self.current, digest), end));
        self.record.previous_until = Some(end);
    }

    pub(super) fn has_previous(&self, digest: &KeyDigest) -> bool {
        self.previous.is_some_and(|(previous, _)| previous == *digest)
    }

    /// Of the values that are valid, or will have been.
    #[cfg(feature = "redb")]
    pub(crate) fn digests(&self) -> impl Iterator<Item = &KeyDigest> {
        self.previous.iter().map(|(digest, _)| digest).chain([&self.current])
    }

    /// The id.
    pub(crate) fn id(&self) -> &Arc<str> {
        &self.record.id
    }
}

fn put(entry: KeyEntry) -> Change {
    (*entry.digest(), Some(entry))
}

#[cfg(any(feature = "redb", feature = "redis"))]
mod bytes {
    use super::{ApiKeyRecord, KeyDigest, KeyImage};
    use crate::{
        api_key::record::Fields,
        codec::{Reader, Writer},
    };

    /// Of the record's form. A reader knows no other.
    const VERSION: u8 = 1;

    #[allow(dead_code, reason = "for the stores outside of the process")]
    impl KeyImage {
        /// As a record for a store outside of the process.
        pub(crate) fn to_bytes(&self) -> Vec<u8> {
            let mut writer = Writer::new(VERSION);
            self.write_configured(&mut writer);
            writer.i64(self.record.created).i64(self.record.updated);
            writer.option(self.previous, |writer, (digest, end)| {
                writer.raw(digest.as_bytes()).i64(end);
            });
            writer.finish()
        }

        /// What an owner chose, without the times at which it happened.
        pub(crate) fn configured_bytes(&self) -> Vec<u8> {
            let mut writer = Writer::new(VERSION);
            self.write_configured(&mut writer);
            writer.finish()
        }

        fn write_configured(&self, writer: &mut Writer) {
            let fields = &self.record.fields;
            writer.text(&self.record.id).raw(self.current.as_bytes());
            writer.text(&fields.name).text(&fields.description).flag(fields.enabled);
            writer.option(fields.customer_id.as_deref(), |writer, id| {
                writer.text(id);
            });
            writer.list(fields.tags.iter(), |writer, (name, value)| {
                writer.text(name).text(value);
            });
        }

        /// `None`: not such a record.
        pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
            let mut reader = Reader::of_version(bytes, VERSION)?;
            let id = reader.text()?.into();
            let current = KeyDigest::from_bytes(reader.array()?);
            let fields = fields(&mut reader)?;
            let (created, updated) = (reader.i64()?, reader.i64()?);
            let previous =
                reader.option(|reader| Some((KeyDigest::from_bytes(reader.array()?), reader.i64()?)))?;
            let previous_until = previous.map(|(_, end)| end);
            reader.end()?;
            let record = ApiKeyRecord { id, fields, created, updated, previous_until };
            Some(Self { record, current, previous })
        }
    }

    fn fields(reader: &mut Reader<'_>) -> Option<Fields> {
        let text = |reader: &mut Reader<'_>| reader.text().map(str::to_owned);
        Some(Fields {
            name: text(reader)?,
            description: text(reader)?,
            enabled: reader.flag()?,
            customer_id: reader.option(text)?,
            tags: reader.list(|reader| Some((text(reader)?, text(reader)?)))?.into_iter().collect(),
        })
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use proptest::prelude::*;

        fn image(texts: &[String], enabled: bool, end: Option<i64>) -> KeyImage {
            let customer_id = texts.first().cloned();
            let tags = texts.iter().map(|text| (text.clone(), text.to_uppercase())).collect();
            let description = texts.concat();
            let fields = Fields { name: "é".into(), description, enabled, customer_id, tags };
            let record =
                ApiKeyRecord { id: "k1".into(), fields, created: -1, updated: i64::MAX, previous_until: end };
            let previous = end.map(|end| (KeyDigest::of(b"old"), end));
            KeyImage { record, current: KeyDigest::of(b"new"), previous }
        }

        proptest! {
            #[test]
            fn it_comes_back_whole(
                texts in proptest::collection::vec(".{0,9}", 0..4), enabled: bool, end: Option<i64>,
            ) {
                let image = image(&texts, enabled, end);
                let bytes = image.to_bytes();
                prop_assert_eq!(KeyImage::from_bytes(&bytes), Some(image));
                for cut in 0..bytes.len() {
                    prop_assert_eq!(KeyImage::from_bytes(&bytes[..cut]), None);
                }
            }

            #[test]
            fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..90)) {
                let _whatever = KeyImage::from_bytes(&bytes);
            }
        }
    }
}
