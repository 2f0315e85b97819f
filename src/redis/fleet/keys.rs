//! API keys of a fleet: one process's change is all processes' change. Digests travel, values never do.

use super::{
    Fleet,
    state::{Field, Holder, Others, State},
};
use crate::{
    api_key::{ApiKeys, KeyChange, KeyImage, KeyObserver},
    error::ConfigError,
    store::StoreError,
};
use bytes::Bytes;
use std::{
    convert::Infallible,
    str,
    sync::{Arc, Weak},
};

impl Fleet {
    /// Shares the keys: what is added, disabled, rotated, changed or deleted in one process is so in all, and a process
    /// that comes later begins with it. Changes count here at once and elsewhere a moment later; to wait for that, see
    /// [`settled`](Self::settled).
    ///
    /// Where Redis has a record of a key already, it counts, and not what the program was built with: a key that was
    /// deleted or disabled stays so when a process starts. Of two changes to one key at one time, one counts in all.
    ///
    /// # Errors
    ///
    /// Redis does not answer: the keys are as they were, and not shared.
    pub async fn share_keys(&self, keys: &ApiKeys) -> Result<(), StoreError> {
        State::reach(&self.0).await?;
        let state = State::new(&self.0, "keys", KeyHolder(keys.clone()));
        let observer = Arc::new(Watching(Arc::downgrade(&state)));
        let Ok(()) = keys.observe(observer, |_| Ok::<_, Infallible>(Vec::new()));
        Ok(state.join(&self.0).await?)
    }
}

/// The keys themselves.
struct KeyHolder(ApiKeys);

impl Holder for KeyHolder {
    fn apply(&self, others: &mut dyn FnMut() -> Others) {
        self.0.apply(|| others().iter().filter_map(|(id, value)| change(id, value.as_ref())).collect());
    }

    fn fields(&self) -> Vec<Field> {
        self.0.images().iter().map(field).collect()
    }
}

fn field(image: &KeyImage) -> Field {
    (image.id().as_bytes().to_vec(), image.to_bytes())
}

/// A record that cannot be read, or is another key's, lets nobody in.
fn change(id: &[u8], value: Option<&Bytes>) -> Option<KeyChange> {
    let id = str::from_utf8(id).ok()?;
    let image = value.and_then(|value| KeyImage::from_bytes(value)).filter(|image| **image.id() == *id);
    Some(image.map_or_else(|| KeyChange::Delete(id.into()), KeyChange::Put))
}

/// Is told of changes that are made here.
struct Watching(Weak<State>);

impl KeyObserver for Watching {
    fn changing(&self, changes: &[KeyChange]) -> Result<(), ConfigError> {
        let fields = changes.iter().map(|change| match change {
            KeyChange::Put(image) => field(image),
            KeyChange::Delete(id) => (id.as_bytes().to_vec(), Vec::new()),
        });
        if let Some(state) = self.0.upgrade() {
            state.change(&fields.collect::<Vec<_>>());
        }
        Ok(())
    }
}
