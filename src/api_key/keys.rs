//! The keys in memory: one handle to look up, and to change while traffic flows.

use super::{
    digest::KeyDigest,
    format::{KeyFormat, generate_value, has_key_form},
    image::KeyImage,
    import::{self, ImportOptions, ImportReport},
    observer::{KeyChange, KeyObserver},
    record::{ApiKey, ApiKeyRecord, EXISTS, INVALID_ID, KeyUpdate, NewKey, check_value, value_error},
    store::{ApiKeyStore, KeyEntry},
    table::Table,
};
use crate::{
    clock::Clock,
    error::{ConfigError, ConfigErrorKind},
};
use arc_swap::ArcSwap;
use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// API keys in memory: look-up table of [`ApiKeyLayer`](super::ApiKeyLayer) and, at run time, the place to add,
/// disable, rotate and delete. A clone is a reference count to the same keys.
///
/// Only SHA-256 digests of the values are kept. A look-up costs the same at any number of keys and never waits for a
/// change; a change counts from the next look-up on.
///
/// ```
/// use std::time::Duration;
/// use tower_gateway::api_key::{ApiKey, ApiKeys};
///
/// let keys = ApiKeys::new();
/// let created = keys.add(ApiKey::new("k1").name("Acme"))?; // the value is shown here and nowhere else
/// assert_eq!(created.expose_value().len(), 40);
/// keys.set_enabled("k1", false)?;
/// assert!(!keys.get("k1").expect("added").enabled());
/// let rotated = keys.rotate("k1", None, Duration::from_secs(3600))?; // both values for an hour
/// assert_ne!(rotated.expose_value(), created.expose_value());
/// keys.delete("k1")?;
/// assert_eq!(keys.delete("k1").unwrap_err().problem(), "Invalid API Key identifier specified");
/// # Ok::<(), tower_gateway::ConfigError>(())
/// ```
#[derive(Clone, Default)]
pub struct ApiKeys {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    snapshot: ArcSwap<Table>,
    /// For changes and reports; a request never asks for it.
    records: Mutex<Records>,
    format: Option<KeyFormat>,
    clock: Clock,
}

#[derive(Default)]
struct Records {
    keys: BTreeMap<Arc<str>, KeyImage>,
    observers: Vec<Arc<dyn KeyObserver>>,
}

impl Records {
    fn tell(&self, changes: &[KeyChange]) -> Result<(), ConfigError> {
        self.observers.iter().try_for_each(|observer| observer.changing(changes))
    }
}

fn unknown(id: &str) -> ConfigError {
    ConfigError::new("API key id", id, INVALID_ID).with_kind(ConfigErrorKind::NotFound)
}

impl ApiKeys {
    /// No keys yet, no format, the system's clock.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts with keys, a format, or a clock.
    pub fn builder() -> ApiKeysBuilder {
        ApiKeysBuilder::default()
    }

    /// Adds a key.
    ///
    /// # Errors
    ///
    /// A value, name, description or id outside AWS's limits, a value without the configured format, an id or value
    /// that exists. The value itself is never part of the error.
    pub fn add(&self, key: ApiKey) -> Result<NewKey, ConfigError> {
        let (stored, created) = self.inner.prepare(key)?;
        self.inner.insert(vec![stored])?;
        Ok(created)
    }

    /// Adds many keys in one step: all or, at the first fault, none. The values come back in order.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    pub fn add_all(&self, keys: impl IntoIterator<Item = ApiKey>) -> Result<Vec<NewKey>, ConfigError> {
        let prepared = keys.into_iter().map(|key| self.inner.prepare(key)).collect::<Result<Vec<_>, _>>()?;
        let (stored, created): (Vec<_>, Vec<_>) = prepared.into_iter().unzip();
        self.inner.insert(stored)?;
        Ok(created)
    }

    /// Enables or disables a key, with both values where it was rotated.
    ///
    /// # Errors
    ///
    /// No key with that id.
    pub fn set_enabled(&self, id: &str, enabled: bool) -> Result<(), ConfigError> {
        self.inner.edit(id, |stored| {
            stored.record.fields.enabled = enabled;
            Ok(())
        })
    }

    /// Gives a key another value (generated where none or an empty one is given). The old one stays valid for
    /// `overlap`; an older one ends at once, so that a key never has more than two. Rotating back to the value before
    /// is allowed.
    ///
    /// The end is a wall-clock time of this handle's clock: at `now + overlap` the old value is refused.
    ///
    /// # Errors
    ///
    /// No key with that id; a value outside the limits, without the configured format, or that exists.
    pub fn rotate(
        &self,
        id: &str,
        new_value: Option<&str>,
        overlap: Duration,
    ) -> Result<NewKey, ConfigError> {
        let value = self.inner.value_or_new(id, new_value.unwrap_or_default())?;
        let digest = KeyDigest::of(value.as_bytes());
        let overlap = i64::try_from(overlap.as_millis()).unwrap_or(i64::MAX);
        let end = self.inner.clock.now().unix_millis().saturating_add(overlap);
        self.inner.edit(id, |stored| {
            if self.inner.has(&digest) && !stored.has_previous(&digest) {
                return Err(value_error(id, EXISTS).with_kind(ConfigErrorKind::Exists));
            }
            stored.rotate(digest, end);
            Ok(())
        })?;
        Ok(NewKey { id: id.into(), value })
    }

    /// Changes name, description or customer id.
    ///
    /// # Errors
    ///
    /// No key with that id, or a text outside AWS's limits.
    pub fn update(&self, id: &str, update: KeyUpdate) -> Result<(), ConfigError> {
        update.check()?;
        self.inner.edit(id, |stored| {
            update.apply(&mut stored.record.fields);
            Ok(())
        })
    }

    /// Deletes a key, with both values where it was rotated. It stays attached to its usage plan, and so in the plan's
    /// reports; a key that is made anew with its id takes over what it has used. `UsagePlans::detach` takes it out.
    ///
    /// # Errors
    ///
    /// No key with that id.
    pub fn delete(&self, id: &str) -> Result<(), ConfigError> {
        let mut records = self.inner.lock();
        let (id, _) = records.keys.get_key_value(id).ok_or_else(|| unknown(id))?;
        let change = KeyChange::Delete(Arc::clone(id));
        self.inner.commit(&mut records, vec![change])
    }

    /// The record of a key, without its value.
    pub fn get(&self, id: &str) -> Option<ApiKeyRecord> {
        self.inner.lock().keys.get(id).map(|stored| stored.record.clone())
    }

    /// The records whose name starts with `name_prefix` (case counts, as for AWS's `nameQuery`), by id. All of them
    /// for an empty prefix.
    pub fn list(&self, name_prefix: &str) -> Vec<ApiKeyRecord> {
        let records = self.inner.lock();
        let named = records.keys.values().filter(|stored| stored.record.fields.name.starts_with(name_prefix));
        named.map(|stored| stored.record.clone()).collect()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.inner.lock().keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Imports keys from AWS's CSV format (developer guide, "API Gateway API key file format").
    ///
    /// * The first line names the columns, in any order and case: `Name` and `Key`; `Description`, `Enabled` (default
    ///   true) and `UsagePlanIds` where wanted; other columns are ignored.
    /// * A field may stand in `"` or `'`, doubled to mean itself; several plan ids are one such field.
    /// * Ids are generated. A value that exists already, in the file or as a key, is the same key again: the last
    ///   record decides its name, description, enabled and plans.
    /// * A record that breaks a limit is skipped with a warning (`Skipped invalid record: 3. ...`), and so is one
    ///   with more fields than the header. An `Enabled` that is not a boolean counts as false, with a warning.
    /// * The file takes effect in one step. Attach the plans of [`ImportReport::plan_ids`] to the keys afterwards.
    ///
    /// ```
    /// use tower_gateway::api_key::{ApiKeys, ImportOptions};
    ///
    /// let file = "Enabled,Name,key,UsageplanIds\ntrue,First,apikey1234abcdefghij0123456789,\"c7y23b,glvrsr\"\n";
    /// let keys = ApiKeys::new();
    /// let report = keys.import_csv(file, ImportOptions::default())?;
    /// assert_eq!(report.plan_ids, [(report.ids[0].clone(), vec!["c7y23b".to_owned(), "glvrsr".to_owned()])]);
    /// assert_eq!(keys.get(&report.ids[0]).expect("imported").name(), Some("First"));
    /// # Ok::<(), tower_gateway::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A file without the two columns, with a column twice, or with a broken quote; the first warning, with
    /// [`ImportOptions::fail_on_warnings`]. The error names the line, and nothing is imported.
    pub fn import_csv(&self, text: &str, options: ImportOptions) -> Result<ImportReport, ConfigError> {
        let format = self.inner.format.as_ref();
        let file = import::read(text, |key| {
            key.check()?;
            check_given(format, &key.id, &key.value)
        })?;
        self.inner.import(file, options)
    }
}

/// For stores outside of the process; see [`observer`](super::observer).
#[cfg(any(feature = "redb", feature = "redis"))]
#[allow(dead_code, reason = "for the stores outside of the process")]
impl ApiKeys {
    /// Has every change from here on told to an observer. `start` is given the keys that there are, and answers with
    /// the changes to them that nobody is told of.
    pub(crate) fn observe<E>(
        &self,
        observer: Arc<dyn KeyObserver>,
        start: impl FnOnce(&mut dyn Iterator<Item = &KeyImage>) -> Result<Vec<KeyChange>, E>,
    ) -> Result<(), E> {
        let mut records = self.inner.lock();
        let changes = start(&mut records.keys.values())?;
        self.inner.apply(&mut records, changes);
        records.observers.push(observer);
        Ok(())
    }

    /// Every key as it is kept.
    pub(crate) fn images(&self) -> Vec<KeyImage> {
        self.inner.lock().keys.values().cloned().collect()
    }

    /// Makes changes that come from a store; nobody is told. Which they are is asked under the lock: no change that is
    /// made here falls in between.
    pub(crate) fn apply(&self, changes: impl FnOnce() -> Vec<KeyChange>) {
        let mut records = self.inner.lock();
        self.inner.apply(&mut records, changes());
    }
}

/// Limits and format of a value that somebody chose.
fn check_given(format: Option<&KeyFormat>, id: &str, value: &str) -> Result<(), ConfigError> {
    check_value(id, value)?;
    match format {
        Some(format) if !format.accepts(value.as_bytes()) => {
            Err(value_error(id, "the value does not have the configured format"))
        }
        _ => Ok(()),
    }
}

impl Inner {
    /// A panic while the lock was held cannot have left a half-made change: the snapshot comes last.
    fn lock(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(&self, digest: &KeyDigest) -> bool {
        self.snapshot.load().get(digest).is_some()
    }

    /// Makes the changes, once every observer has agreed to them.
    fn commit(&self, records: &mut Records, changes: Vec<KeyChange>) -> Result<(), ConfigError> {
        records.tell(&changes)?;
        self.apply(records, changes);
        Ok(())
    }

    /// Makes the changes. Callers hold the lock, so none is lost. The values that a key had leave before those that
    /// it has now: they may be the same.
    fn apply(&self, records: &mut Records, changes: Vec<KeyChange>) {
        let mut entries = Vec::with_capacity(changes.len());
        for change in changes {
            let (KeyChange::Put(KeyImage { record: ApiKeyRecord { id, .. }, .. }) | KeyChange::Delete(id)) =
                &change;
            entries.extend(records.keys.get(id).into_iter().flat_map(KeyImage::removals));
            match change {
                KeyChange::Put(image) => {
                    entries.extend(image.entries());
                    records.keys.insert(Arc::clone(image.id()), image);
                }
                KeyChange::Delete(id) => drop(records.keys.remove(&id)),
            }
        }
        let next = self.snapshot.load().with(entries);
        self.snapshot.store(Arc::new(next));
    }

    fn value_or_new(&self, id: &str, given: &str) -> Result<String, ConfigError> {
        if given.is_empty() {
            return generate_value(self.format.as_ref());
        }
        check_given(self.format.as_ref(), id, given)?;
        Ok(given.to_owned())
    }

    fn prepare(&self, key: ApiKey) -> Result<(KeyImage, NewKey), ConfigError> {
        key.check()?;
        let value = self.value_or_new(&key.id, &key.value)?;
        let stored = self.stored(key, KeyDigest::of(value.as_bytes()));
        let id = Arc::clone(&stored.record.id);
        Ok((stored, NewKey { id, value }))
    }

    fn stored(&self, key: ApiKey, digest: KeyDigest) -> KeyImage {
        let id: Arc<str> = key.id.into();
        let created = key.created.unwrap_or_else(|| self.clock.now().unix_seconds());
        let record = ApiKeyRecord { id, fields: key.fields, created, updated: created, previous_until: None };
        KeyImage { record, current: digest, previous: None }
    }

    fn insert(&self, stored: Vec<KeyImage>) -> Result<(), ConfigError> {
        let mut records = self.lock();
        let (mut ids, mut digests) = (HashSet::new(), HashSet::new());
        for stored in &stored {
            let (id, digest) = (&stored.record.id, &stored.current);
            if records.keys.contains_key(id) || !ids.insert(Arc::clone(id)) {
                return Err(ConfigError::new("API key id", id, EXISTS).with_kind(ConfigErrorKind::Exists));
            }
            if self.has(digest) || !digests.insert(*digest) {
                return Err(value_error(id, EXISTS).with_kind(ConfigErrorKind::Exists));
            }
        }
        self.commit(&mut records, stored.into_iter().map(KeyChange::Put).collect())
    }

    fn edit(
        &self,
        id: &str,
        edit: impl FnOnce(&mut KeyImage) -> Result<(), ConfigError>,
    ) -> Result<(), ConfigError> {
        let mut records = self.lock();
        let mut stored = records.keys.get(id).cloned().ok_or_else(|| unknown(id))?;
        edit(&mut stored)?;
        stored.record.updated = self.clock.now().unix_seconds();
        self.commit(&mut records, vec![KeyChange::Put(stored)])
    }

    fn import(&self, file: import::File, options: ImportOptions) -> Result<ImportReport, ConfigError> {
        let mut records = self.lock();
        let plan = import::plan(
            file,
            options,
            |digest| self.owner(&records, digest),
            |id| records.keys.contains_key(id),
        )?;
        let changes = plan.keys.into_iter().map(|planned| {
            let existing = records.keys.get(&*planned.key.id).filter(|_| planned.existing);
            KeyChange::Put(match existing {
                Some(stored) => self.overwritten(stored, planned.key),
                None => self.stored(planned.key, planned.digest),
            })
        });
        let changes = changes.collect();
        self.commit(&mut records, changes)?;
        Ok(plan.report)
    }

    fn overwritten(&self, stored: &KeyImage, key: ApiKey) -> KeyImage {
        let mut stored = stored.clone();
        let fields = &mut stored.record.fields;
        (fields.name, fields.description) = (key.fields.name, key.fields.description);
        fields.enabled = key.fields.enabled;
        stored.record.updated = self.clock.now().unix_seconds();
        stored
    }

    /// Whose value a digest is.
    fn owner(&self, records: &Records, digest: &KeyDigest) -> import::Owner {
        let snapshot = self.snapshot.load();
        let Some(entry) = snapshot.get(digest) else { return import::Owner::Nobody };
        match records.keys.get(entry.id()) {
            Some(stored) if !stored.has_previous(digest) => import::Owner::Key(entry.id().to_owned()),
            _ => import::Owner::Rotated,
        }
    }
}

impl ApiKeyStore for ApiKeys {
    fn lookup(&self, digest: &KeyDigest) -> Option<KeyEntry> {
        self.inner.snapshot.load().get(digest).cloned()
    }

    fn is_plausible(&self, value: &[u8]) -> bool {
        self.inner.format.as_ref().map_or_else(|| has_key_form(value), |format| format.accepts(value))
    }

    fn clock(&self) -> Clock {
        self.inner.clock.clone()
    }
}

/// Shows how many keys there are, and the format.
impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("ApiKeys");
        out.field("len", &self.len()).field("format", &self.inner.format).finish_non_exhaustive()
    }
}

/// Collects the first keys; see [`ApiKeys::builder`].
#[derive(Debug, Default)]
#[must_use]
pub struct ApiKeysBuilder {
    keys: Vec<ApiKey>,
    format: Option<KeyFormat>,
    clock: Clock,
}

impl ApiKeysBuilder {
    /// A key to start with. It must have a value: a generated one would be shown to nobody (see [`ApiKeys::add`]).
    pub fn key(mut self, key: ApiKey) -> Self {
        self.keys.push(key);
        self
    }

    /// A form that every value has, given ones and generated ones; all else is refused without a look-up. Default:
    /// none.
    pub fn format(mut self, format: KeyFormat) -> Self {
        self.format = Some(format);
        self
    }

    /// The clock of creation dates and of the ends of rotations, and the default of the layer's. Default: the
    /// system's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Makes the handle.
    ///
    /// # Errors
    ///
    /// As [`ApiKeys::add`], and for a key without a value.
    pub fn build(self) -> Result<ApiKeys, ConfigError> {
        if let Some(key) = self.keys.iter().find(|key| key.value.is_empty()) {
            let problem =
                "a key of the builder needs a value: a generated one is shown by `ApiKeys::add` only";
            return Err(ConfigError::new("API key id", &key.id, problem));
        }
        let inner = Inner { format: self.format, clock: self.clock, ..Inner::default() };
        let keys = ApiKeys { inner: Arc::new(inner) };
        keys.add_all(self.keys).map(|_values_are_known| keys)
    }
}
