//! The cache's side of the second tier: what it writes behind, and what it lets out of it.

use super::{
    CacheTier, PurgeListener, TierPlace,
    ask::Told,
    envelope,
    lead::Lead,
    log::{self, Judged, PurgeLog},
    outbox::Outbox,
    stats::{Counters, TierStats, count},
    words,
};
use crate::{
    cache::{
        core::Core,
        entry::Entry,
        flight::FlightKey,
        key::StoredKey,
        purge::Purge,
        store::{Slot, StoredValue},
    },
    clock::{Clock, timer::Sleep},
    store::{Acknowledgement, StoreCounts, StoreError, StoreFuture, StoreGuard, StoreOptions},
};
use bytes::Bytes;
use std::{
    collections::HashMap,
    fmt,
    future::{Future, poll_fn},
    hash::{BuildHasher, RandomState},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
    time::Duration,
};
use tokio::sync::watch;

/// Bytes of entries that may be on their way into the tier; what would be more is not written.
const MOST_UNDER_WAY: usize = 32 * 1024 * 1024;

/// The second tier of a cache.
pub(in crate::cache) struct Tier {
    pub(super) store: Arc<dyn CacheTier>,
    guard: StoreGuard,
    pub(super) clock: Clock,
    /// Random: whose purges are this cache's own.
    pub(super) maker: u128,
    pub(super) outbox: Arc<Outbox>,
    /// Questions on their way, which newcomers share.
    pub(super) asks: Mutex<HashMap<FlightKey, watch::Receiver<Option<Told>>>>,
    log: Mutex<PurgeLog>,
    under_way: AtomicUsize,
    pub(super) counters: Counters,
    /// Held here, as long as there is a cache to purge.
    purger: OnceLock<Arc<Purger>>,
}

impl fmt::Debug for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tier").field("store", &self.store).field("guard", &self.guard).finish_non_exhaustive()
    }
}

impl Tier {
    pub(in crate::cache) fn new(store: Arc<dyn CacheTier>, options: StoreOptions, clock: Clock) -> Arc<Self> {
        let half = || u128::from(RandomState::new().hash_one(0));
        Arc::new(Self {
            store,
            guard: StoreGuard::new("second cache tier", options, clock.clone()),
            clock,
            maker: half() << 64 | half(),
            outbox: Arc::default(),
            asks: Mutex::default(),
            log: Mutex::default(),
            under_way: AtomicUsize::new(0),
            counters: Counters::default(),
            purger: OnceLock::new(),
        })
    }

    /// From now on, purges of other processes are those of this cache.
    pub(in crate::cache) fn listen(&self, core: &Arc<Core>) {
        let purger = self.purger.get_or_init(|| Arc::new(Purger(Arc::downgrade(core))));
        let listener: Weak<dyn PurgeListener> = Arc::downgrade(purger) as _;
        self.store.listen(listener);
    }

    pub(super) fn log(&self) -> MutexGuard<'_, PurgeLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::cache) fn stats(&self) -> TierStats {
        self.counters.snapshot()
    }

    /// Writes an answer behind the request's back, if it will be fresh for a while.
    pub(in crate::cache) fn put(
        self: &Arc<Self>,
        core: &Arc<Core>,
        key: &StoredKey,
        entry: &Arc<Entry>,
        lead: Option<&Arc<Lead>>,
    ) {
        let ttl = entry.meta.remaining(core.clock.now());
        if !entry.meta.freshness.always_validate {
            self.write(core, key, Slot::One(Arc::clone(entry)), ttl, lead);
        }
    }

    /// Tells the other processes that such answers are not storable.
    pub(in crate::cache) fn put_pass(
        self: &Arc<Self>,
        core: &Arc<Core>,
        key: &StoredKey,
        until: u64,
        lead: Option<&Arc<Lead>>,
    ) {
        let ttl = Duration::from_nanos(until.saturating_sub(core.clock.now().monotonic_nanos()));
        self.write(core, key, Slot::Pass { until, of_credentials: false }, ttl, lead);
    }

    fn write(
        self: &Arc<Self>,
        core: &Arc<Core>,
        key: &StoredKey,
        slot: Slot,
        ttl: Duration,
        lead: Option<&Arc<Lead>>,
    ) {
        // Without a lead nobody knows which purges the answer has seen.
        let (Some(lead), Ok(runtime)) = (lead, tokio::runtime::Handle::try_current()) else { return };
        let value = StoredValue(slot);
        let weight = usize::try_from(value.weight(key.borrowed().bytes().len())).unwrap_or(usize::MAX);
        if ttl.as_millis() == 0 || !self.has_room(weight) {
            return count(&self.counters.not_stored);
        }
        let (tier, core, key) = (Arc::clone(self), Arc::clone(core), key.clone());
        let lead = Arc::clone(lead);
        runtime.spawn(async move {
            let written = tier.write_now(&core, &key, &value, ttl, &lead).await;
            tier.under_way.fetch_sub(weight, SeqCst);
            count(if written.is_ok() { &tier.counters.stored } else { &tier.counters.not_stored });
        });
    }

    fn has_room(&self, weight: usize) -> bool {
        let before = self.under_way.fetch_add(weight, SeqCst);
        let fits = before.saturating_add(weight) <= MOST_UNDER_WAY;
        if !fits {
            self.under_way.fetch_sub(weight, SeqCst);
        }
        fits
    }

    async fn write_now(
        &self,
        core: &Core,
        key: &StoredKey,
        value: &StoredValue,
        ttl: Duration,
        lead: &Lead,
    ) -> Result<(), StoreError> {
        let selection = value.0.entries().first().and_then(|entry| entry.meta.selection.as_ref());
        let primary = FlightKey { primary: key.clone(), variant: None, has_credentials: false };
        let bytes = key.borrowed().bytes();
        let text = envelope::seal(value, bytes, ttl, lead.purges(), core.clock.now());
        let Some(selection) = selection else {
            return self.write_at(TierPlace::of(&primary), text, ttl, lead).await;
        };
        let variant = FlightKey { variant: Some(*selection.values()), ..primary.clone() };
        // The answer first: who reads the signpost finds it.
        self.write_at(TierPlace::of(&variant), text, ttl, lead).await?;
        let signpost = envelope::signpost(selection.names(), bytes);
        self.write_at(TierPlace::of(&primary), signpost, ttl, lead).await
    }

    /// Ends the claim if it was made there.
    async fn write_at(
        &self,
        place: TierPlace,
        text: Bytes,
        ttl: Duration,
        lead: &Lead,
    ) -> Result<(), StoreError> {
        let token = if lead.place() == place { lead.settle() } else { None };
        self.guarded(|| self.store.store(place, text, ttl, token)).await
    }

    /// What was found, judged by the purges and put into memory. `None`: it is of no use.
    pub(super) fn take(&self, core: &Core, key: &FlightKey, found: Found) -> Option<Told> {
        let now = core.clock.now();
        let bytes = key.primary.borrowed().bytes();
        match envelope::open(found.bytes, bytes, found.left, now)? {
            envelope::Opened::Varies(names) => key.variant.is_none().then_some(Told::Varies(names)),
            envelope::Opened::Value(value, seen) => {
                let judged = log::judge(&self.log(), seen, found.purges, bytes, &value);
                match judged {
                    Judged::Gone => return None,
                    Judged::Stale => {
                        // When that was is not known: not before it was asked for.
                        let metas = value.0.entries().iter().map(|entry| &entry.meta);
                        metas.for_each(|meta| meta.purge_softly(now, meta.age(now)));
                    }
                    Judged::Good => {}
                }
                core.adopt(&key.primary, value, found.local_purges).then_some(Told::Found)
            }
        }
    }

    /// Tells every process of a purge, and gives back its number, if a request may wait for that. Here it only counts: what
    /// is being read from the tier is seen to be too old.
    pub(in crate::cache) async fn announce(
        self: &Arc<Self>,
        core: &Core,
        purge: &Purge,
    ) -> Result<u64, StoreError> {
        let (step, outbox) = (self.tell(purge), Arc::clone(&self.outbox));
        core.count_purge();
        self.guarded(|| Box::pin(async move { Ok(outbox.numbered(step).await) })).await
    }

    /// Waits for the number of a purge, whatever is known of the store: an operator waits.
    pub(in crate::cache) async fn numbered(&self, step: u64, within: Duration) -> Result<u64, StoreError> {
        self.in_time(within, async { Ok(self.outbox.numbered(step).await) }).await
    }

    pub(super) async fn in_time<T>(
        &self,
        within: Duration,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let late = || StoreError::new("the second tier did not answer in time");
        before(self.clock.sleep(within), call).await.unwrap_or_else(|| Err(late()))
    }

    /// What the store did and did not do.
    pub(in crate::cache) fn store_counts(&self) -> StoreCounts {
        self.guard.counts()
    }

    pub(in crate::cache) async fn acknowledged(
        &self,
        number: u64,
        within: Duration,
    ) -> Result<Acknowledgement, StoreError> {
        self.store.acknowledged(number, within).await
    }

    /// Asks the store, if it is worth it: not for longer than the deadline, and not at all where it is away.
    pub(super) async fn guarded<T>(&self, call: impl FnOnce() -> StoreFuture<T>) -> Result<T, StoreError> {
        Ok(self.guard.call(self.guard.deadline(), call).await?)
    }
}

async fn before<T>(mut timer: Sleep, call: impl Future<Output = T>) -> Option<T> {
    let mut call = pin!(call);
    poll_fn(|cx| match call.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => Pin::new(&mut timer).poll(cx).map(|()| None),
    })
    .await
}

/// What a place had, before it is looked at.
pub(super) struct Found {
    pub(super) bytes: Bytes,
    pub(super) left: Duration,
    /// The last purge there is, by the tier.
    pub(super) purges: u64,
    /// How many purges this process had seen before it asked.
    pub(super) local_purges: u64,
}

/// Applies the purges of other processes to a cache.
struct Purger(Weak<Core>);

impl Purger {
    fn with(&self, apply: impl FnOnce(&Core, &Tier)) {
        if let Some(core) = self.0.upgrade()
            && let Some(tier) = core.tier.as_ref()
        {
            apply(&core, tier);
        }
    }
}

impl PurgeListener for Purger {
    fn purged(&self, number: u64, words: &[u8]) {
        self.with(|core, tier| {
            let told = words::from_bytes(words);
            // What this cache has told has been in force since, and took nothing from the tier meanwhile.
            if let Some((_, purges)) = told.as_ref().filter(|(maker, _)| *maker != tier.maker) {
                purges.iter().for_each(|purge| core.purge_heard(purge.clone()));
            }
            let known = told.is_some_and(|(_, purges)| tier.log().push(number, purges));
            // One of a newer version, or out of order: whatever it meant, it is gone.
            if !known {
                tier.log().reset(number);
                core.purge_heard(Purge::all());
            }
        });
    }

    fn passed(&self, number: u64) {
        self.with(|_, tier| tier.log().pass(number));
    }

    fn missed(&self, number: u64) {
        self.with(|core, tier| {
            tier.log().reset(number);
            core.purge_heard(Purge::all());
        });
    }
}
