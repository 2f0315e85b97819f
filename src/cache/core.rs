//! What all layers of one cache share.

use super::{
    credentials::Credentials,
    entry::{Entry, Meta},
    flight::FlightTable,
    key::{StoreKey, StoredKey},
    purge::Purge,
    reason::NoCacheReason,
    releases::Releases,
    rules::Rules,
    stats::Counters,
    store::{CacheStore, Room, Slot, StoredValue},
    tier::{Lead, Tier},
    under_way::{Holder, Kept, UnderWay},
};
use crate::{
    clock::{Clock, Timestamp},
    route::{CacheKey, CacheSettings},
};
use http::HeaderMap;
use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

/// Sizes and times of a cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Longest body of an entry, in bytes.
    pub(super) entry: usize,
    /// How long a request waits for the head of somebody else's call.
    pub(super) wait: Duration,
    /// A call that has taken longer is not waited for by newcomers.
    pub(super) lock_age: Duration,
    /// How long it is remembered that an answer was not storable.
    pub(super) hit_for_miss: Duration,
    pub(super) coalesces: bool,
    pub(super) finish_abandoned: bool,
}

impl Limits {
    /// How long a reader of somebody else's call waits to learn whether the body is too long for an entry: those have
    /// little in common with their readers' paces.
    pub(super) fn hold(&self) -> Duration {
        self.wait / 20
    }
}

const STRIPES: usize = 64;

/// Entries under some of the keys. On a line of its own: every miss writes to one.
#[derive(Default)]
#[repr(align(64))]
struct Changes {
    /// Held while the entries under one key are read and written.
    lock: Mutex<()>,
    /// How often some were written.
    count: AtomicU64,
    /// How often those under one of the keys were purged.
    purges: AtomicU64,
}

impl Changes {
    fn lock(&self) -> MutexGuard<'_, ()> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How an answer is kept.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) settings: &'a CacheSettings,
    /// Nothing lay under the key at that count of [`Core::changes`].
    pub(super) nothing_at: Option<u64>,
    pub(super) lead: Option<&'a Arc<Lead>>,
    /// Whether it is not to be kept, beside what lies there: asked at a moment at which nobody can purge the key.
    pub(super) is_void: &'a dyn Fn(Option<&Slot>) -> bool,
}

/// The state behind a [`Cache`](super::Cache).
pub(crate) struct Core {
    pub(super) rules: Box<dyn Rules>,
    pub(super) store: Arc<dyn CacheStore>,
    /// Behind the store, shared with other processes.
    pub(super) tier: Option<Arc<Tier>>,
    pub(super) flights: FlightTable,
    pub(super) counters: Counters,
    pub(super) clock: Clock,
    pub(super) limits: Limits,
    pub(super) settings: CacheSettings,
    pub(super) key: CacheKey,
    pub(super) credentials: Credentials,
    pub(super) strips_tags: bool,
    /// A secret of this cache.
    hasher: RandomState,
    changes: [Changes; STRIPES],
    room: Room,
    under_way: Arc<UnderWay>,
    purges: AtomicU64,
    instances: AtomicU32,
    tokens: AtomicU64,
    /// Some entry's key is, or may be, of one caller only.
    has_identities: AtomicBool,
    releases: Releases,
    #[cfg(feature = "cache-encryption")]
    pub(super) keys: Option<super::seal::EncryptionKeys>,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("store", &self.store)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// What a core is made of.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) rules: Box<dyn Rules>,
    pub(super) store: Arc<dyn CacheStore>,
    pub(super) tier: Option<Arc<Tier>>,
    pub(super) clock: Clock,
    pub(super) limits: Limits,
    pub(super) settings: CacheSettings,
    pub(super) key: CacheKey,
    pub(super) credentials: Credentials,
    pub(super) strips_tags: bool,
    #[cfg(feature = "cache-encryption")]
    pub(super) keys: Option<super::seal::EncryptionKeys>,
}

impl Core {
    pub(super) fn new(parts: Parts) -> Self {
        // Whose entries a store brought along is not known, nor whose other processes keep.
        let has_identities = parts.store.is_warm() || parts.tier.is_some();
        Self {
            rules: parts.rules,
            room: Room::of(parts.store.usage()),
            under_way: Arc::new(UnderWay::beside(parts.store.usage(), parts.limits.entry)),
            store: parts.store,
            tier: parts.tier,
            flights: FlightTable::default(),
            counters: Counters::default(),
            clock: parts.clock,
            limits: parts.limits,
            settings: parts.settings,
            key: parts.key,
            credentials: parts.credentials,
            strips_tags: parts.strips_tags,
            hasher: RandomState::new(),
            changes: std::array::from_fn(|_| Changes::default()),
            purges: AtomicU64::new(0),
            instances: AtomicU32::new(0),
            tokens: AtomicU64::new(0),
            has_identities: AtomicBool::new(has_identities),
            releases: Releases::default(),
            #[cfg(feature = "cache-encryption")]
            keys: parts.keys,
        }
    }

    /// For a body that begins.
    pub(super) fn keeping(&self, holder: Weak<dyn Holder>) -> Kept {
        Kept::nothing_of(&self.under_way, holder)
    }

    /// Bodies that are on their way are more than may be kept.
    pub(super) fn make_room(&self) {
        self.under_way.make_room();
    }

    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    /// A number that no other layer of this cache has.
    pub(super) fn next_instance(&self) -> u32 {
        self.instances.fetch_add(1, SeqCst)
    }

    /// How many purges there were that may mean a key.
    pub(super) fn purges_of(&self, key: StoreKey<'_>) -> u64 {
        self.purges.load(SeqCst) + self.stripe(key).purges.load(SeqCst)
    }

    pub(super) fn count_purge(&self) {
        self.purges.fetch_add(1, SeqCst);
    }

    /// One that means a single key: calls under others have nothing to do with it.
    pub(super) fn count_purge_of(&self, key: StoreKey<'_>) {
        self.stripe(key).purges.fetch_add(1, SeqCst);
    }

    pub(super) fn has_identities(&self) -> bool {
        self.has_identities.load(SeqCst)
    }

    /// A call is begun whose key is of one caller only: before its answer is stored, which may be while somebody asks.
    pub(super) fn note_identity(&self) {
        // Read first: all threads would write to this line.
        if !self.has_identities() {
            self.has_identities.store(true, SeqCst);
        }
    }

    /// Which deployments of which stages entries may be of, as far as this process has asked for them.
    pub(super) fn releases(&self) -> &Releases {
        &self.releases
    }

    fn stripe(&self, key: StoreKey<'_>) -> &Changes {
        &self.changes[key.hash() as usize % STRIPES]
    }

    /// A number that changes whenever something is stored under a key of the same stripe. A caller that read it, then found
    /// nothing, and reads the same again need not look a second time.
    pub(super) fn changes(&self, key: StoreKey<'_>) -> u64 {
        self.stripe(key).count.load(SeqCst)
    }

    pub(super) fn update(&self, key: StoreKey<'_>) -> MutexGuard<'_, ()> {
        self.stripe(key).lock()
    }

    /// Waits for everybody who is about to store what they found to be good. Whoever looks from now on sees what was marked
    /// or counted before.
    pub(super) fn let_updates_pass(&self) {
        self.changes.iter().for_each(|stripe| drop(stripe.lock()));
    }

    /// Writes what is kept under a key whose stripe is locked. The count follows, and a call leaves the table of flights
    /// after both: whoever finds no call any more finds the entry, or another count.
    fn write(&self, key: &StoredKey, slot: Slot) -> bool {
        let kept = self.store.insert(key, StoredValue(slot));
        self.stripe(key.borrowed()).count.fetch_add(1, SeqCst);
        kept
    }

    /// Whether there are keys to encrypt with.
    pub(super) fn can_encrypt(&self) -> bool {
        #[cfg(feature = "cache-encryption")]
        let can = self.keys.is_some();
        #[cfg(not(feature = "cache-encryption"))]
        let can = false;
        can
    }

    /// Puts an entry among those under a key, unless it does not fit, cannot be encrypted, or was purged or replaced
    /// meanwhile.
    pub(super) fn keep(
        self: &Arc<Self>,
        key: &StoredKey,
        entry: &Arc<Entry>,
        terms: Terms<'_>,
    ) -> Result<(), NoCacheReason> {
        let entry = self.sealed(key, entry, terms.settings).ok_or(NoCacheReason::NotEncrypted)?;
        let _guard = self.update(key.borrowed());
        let previous = match terms.nothing_at {
            Some(then) if then == self.changes(key.borrowed()) => None,
            _ => self.slot(key),
        };
        if (terms.is_void)(previous.as_ref()) {
            return Err(NoCacheReason::Superseded);
        }
        if let Some(tier) = &self.tier {
            tier.put(self, key, &entry, terms.lead);
        }
        let room = self.room.beside(key.borrowed());
        let is_kept = self.write(key, Slot::with(previous.as_ref(), entry, room));
        is_kept.then_some(()).ok_or(NoCacheReason::TooLarge)
    }

    /// Puts in what another process has stored, unless a call of this one has brought something newer. `false`: something
    /// was purged meanwhile.
    pub(super) fn adopt(&self, key: &StoredKey, value: StoredValue, purges: u64) -> bool {
        let _guard = self.update(key.borrowed());
        if self.purges_of(key.borrowed()) != purges {
            return false;
        }
        let (previous, now) = (self.slot(key), self.clock.now());
        match value.0 {
            Slot::One(entry) if previous.as_ref().is_some_and(|slot| slot.has_newer(&entry, now)) => {}
            Slot::One(entry) => {
                let room = self.room.beside(key.borrowed());
                self.write(key, Slot::with(previous.as_ref(), entry, room));
            }
            mark if previous.is_none_or(|previous| previous.entries().is_empty()) => {
                self.write(key, mark);
            }
            _ => {}
        }
        true
    }

    fn slot(&self, key: &StoredKey) -> Option<Slot> {
        self.store.get(key.borrowed()).map(|value| value.0)
    }

    /// A number that nobody else has.
    pub(super) fn token(&self) -> u128 {
        let number = self.tokens.fetch_add(1, SeqCst);
        let half = |side: u8| u128::from(self.hasher.hash_one((side, number)));
        half(0) << 64 | half(1)
    }

    #[cfg(feature = "cache-encryption")]
    fn sealed(&self, key: &StoredKey, entry: &Arc<Entry>, settings: &CacheSettings) -> Option<Arc<Entry>> {
        if !settings.data_encrypted {
            return Some(Arc::clone(entry));
        }
        Some(Arc::new(self.keys.as_ref()?.seal(key.borrowed().bytes(), entry)?))
    }

    /// Without the feature there are no keys: what must be encrypted is not stored.
    #[cfg(not(feature = "cache-encryption"))]
    fn sealed(&self, _: &StoredKey, entry: &Arc<Entry>, settings: &CacheSettings) -> Option<Arc<Entry>> {
        (!settings.data_encrypted).then(|| Arc::clone(entry))
    }

    /// What is stored for such a request counts as stale from now on, in the other processes, too, unless a later call than
    /// the one that says so has brought it.
    pub(super) fn soften(self: &Arc<Self>, key: &StoredKey, request: &HeaderMap, asked: Timestamp) {
        let _guard = self.update(key.borrowed());
        let Some(StoredValue(slot)) = self.store.get(key.borrowed()) else { return };
        let entry = slot.position(request).and_then(|at| slot.entries().get(at));
        let is_affected = |meta: &Meta| !meta.is_soft_purged() && !meta.is_of_later_call(asked);
        let Some(entry) = entry.filter(|entry| is_affected(&entry.meta)) else { return };
        if let Some(tier) = &self.tier {
            tier.tell(&Purge::exactly(key.borrowed().bytes()).softly());
            // What is being read from the tier does not come back fresh.
            self.count_purge();
        }
        entry.meta.purge_softly(self.clock.now(), Duration::ZERO);
        self.write(key, slot.clone());
    }

    /// What the service no longer has goes, unless a later call than that has brought it.
    pub(super) fn forget_answer(self: &Arc<Self>, key: &StoredKey, request: &HeaderMap, asked: Timestamp) {
        let _guard = self.update(key.borrowed());
        let Some(slot) = self.slot(key) else { return };
        let goes = |entry: &&Arc<Entry>| entry.is_for(request) && !entry.meta.is_of_later_call(asked);
        let others: Vec<_> = slot.entries().iter().filter(|entry| !goes(entry)).cloned().collect();
        if others.len() == slot.entries().len() {
            return;
        }
        if let Some(tier) = &self.tier {
            tier.tell(&Purge::exactly(key.borrowed().bytes()));
            // What is being read from the tier does not come back.
            self.count_purge_of(key.borrowed());
        }
        match Slot::of(others) {
            Some(others) => drop(self.write(key, others)),
            None => self.store.remove(key.borrowed()),
        }
    }

    /// Remembers that the answer to such a request is not storable, unless answers to others under the same key are
    /// stored: those stay, and the request's own goes, if the service now forbids to keep it. An error, or what only
    /// this client brought about, does not drive out what may be confirmed later, nor does any answer what a later call
    /// has brought; and what is so because of who asks is remembered for nobody else.
    pub(super) fn mark_pass(
        self: &Arc<Self>,
        key: &StoredKey,
        request: &HeaderMap,
        (reason, asked): (NoCacheReason, Timestamp),
        lead: Option<&Arc<Lead>>,
    ) {
        if reason == NoCacheReason::RequestDirective {
            return;
        }
        let now = self.clock.now();
        let _guard = self.update(key.borrowed());
        let previous = self.slot(key);
        let entries = previous.as_ref().map_or(&[][..], Slot::entries);
        if !entries.is_empty() && !reason.is_about_the_resource() {
            return;
        }
        let (own, others): (Vec<_>, Vec<_>) =
            entries.iter().cloned().partition(|entry| entry.is_for(request));
        if own.iter().any(|entry| entry.meta.is_of_later_call(asked)) {
            return;
        }
        let of_credentials = reason == NoCacheReason::Authorization;
        if of_credentials && previous.is_some_and(|slot| slot.is_pass(now, false)) {
            return;
        }
        let slot = match others.is_empty() {
            true => Slot::Pass { until: deadline(now, self.limits.hit_for_miss), of_credentials },
            false => Slot::Many(others.into()),
        };
        if let (Slot::Pass { until, of_credentials: false }, Some(tier)) = (&slot, &self.tier) {
            tier.put_pass(self, key, *until, lead);
        }
        self.write(key, slot);
    }
}

fn deadline(now: Timestamp, after: Duration) -> u64 {
    now.monotonic_nanos().saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX))
}

impl Core {
    /// An entry as the rules see it.
    #[cfg(feature = "cache-encryption")]
    pub(super) fn opened(&self, key: StoreKey<'_>, entry: &Arc<Entry>) -> Option<Arc<Entry>> {
        if !entry.is_sealed {
            return Some(Arc::clone(entry));
        }
        self.keys.as_ref()?.open(key.bytes(), entry).map(Arc::new)
    }

    /// An entry as the rules see it.
    #[cfg(not(feature = "cache-encryption"))]
    pub(super) fn opened(&self, _: StoreKey<'_>, entry: &Arc<Entry>) -> Option<Arc<Entry>> {
        Some(Arc::clone(entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cache::{
            Cache,
            entry::{Content, Freshness},
        },
        clock::ManualClock,
    };
    use bytes::Bytes;
    use http::StatusCode;

    fn entry(asked: Timestamp, lifetime: u64) -> Arc<Entry> {
        let freshness = Freshness { lifetime: Duration::from_secs(lifetime), ..Freshness::default() };
        let meta = Meta::new(StatusCode::OK, (asked, asked), freshness, None, Box::default());
        let content = Content { headers: HeaderMap::new(), body: Bytes::new(), trailers: None };
        Arc::new(Entry::new(meta, content))
    }

    /// The answer to a `HEAD` says what was so when it was asked.
    #[test]
    fn an_older_answer_makes_nothing_newer_stale() {
        let manual = ManualClock::at_unix_seconds(0);
        let core = Arc::new(Cache::builder().clock(manual.clock()).build().unwrap().into_core());
        let key = StoreKey::new(1, b"key").to_owned();
        let earlier = core.clock.now();
        manual.advance(Duration::from_secs(1));
        let later = core.clock.now();
        let stored = entry(later, 60);
        core.write(&key, Slot::One(Arc::clone(&stored)));
        for (asked, is_stale) in [(earlier, false), (later, true)] {
            core.soften(&key, &HeaderMap::new(), asked);
            assert_eq!(stored.meta.is_soft_purged(), is_stale);
        }
    }

    /// While the second tier was asked, a call that shares with nobody may have come to its end.
    #[test]
    fn what_another_process_has_stored_replaces_nothing_newer() {
        let manual = ManualClock::at_unix_seconds(0);
        let core = Cache::builder().clock(manual.clock()).build().unwrap().into_core();
        let key = StoreKey::new(1, b"key").to_owned();
        let earlier = core.clock.now();
        manual.advance(Duration::from_secs(1));
        let later = core.clock.now();
        for (own, lifetime, of_other, is_kept) in
            [(later, 60, earlier, true), (earlier, 60, later, false), (later, 0, earlier, false)]
        {
            let (own, of_other) = (entry(own, lifetime), entry(of_other, 60));
            core.write(&key, Slot::One(Arc::clone(&own)));
            let value = StoredValue(Slot::One(Arc::clone(&of_other)));
            assert!(core.adopt(&key, value, core.purges_of(key.borrowed())));
            let expected = if is_kept { own } else { of_other };
            assert!(Arc::ptr_eq(&core.slot(&key).unwrap().entries()[0], &expected), "{is_kept}");
        }
    }
}
